//! How fleets differ: by their robots, their updates, and how values travel.

use super::{bytes, encrypted, links, mixes, seconds, sizes, tasks};
use crate::matrix::compose::Stage;
use crate::matrix::explain::{active, duration};
use crate::matrix::outcome::{ArmOutcome, CellOutcome};
use crate::matrix::tpdi::Figure;
use crate::record::{Label, Record};
use crate::report::chart::{Point, Series, Words, heat, lines};
use crate::report::page::{Column, escape, paragraph, table};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn grids(cells: &[&CellOutcome]) -> String {
    let mut text = paragraph("Active time per deployed improvement, encrypted. Darker takes longer; - was not run.")
        + "<div class=\"two\">";
    let clients: BTreeSet<u32> = cells.iter().map(|cell| cell.clients).collect();
    for task in tasks(cells) {
        for (mbit, rtt) in links(cells) {
            let columns: Vec<String> = sizes(cells).into_iter().map(bytes).collect();
            let cell = |clients: u32, size: u64| {
                let found = cells.iter().find(|cell| {
                    cell.task == task && cell.mbit_per_s == mbit && cell.clients == clients && cell.update_bytes == size
                })?;
                Some(match encrypted(found)?.tpdi.active {
                    Figure::Improves { seconds, .. } => (seconds, duration(seconds)),
                    Figure::NoImprovement { at_least_s } => {
                        (at_least_s, format!("no improvement, \u{2265} {}", duration(at_least_s)))
                    }
                })
            };
            let rows: Vec<_> = clients
                .iter()
                .map(|&clients| {
                    (format!("{clients} robots"), sizes(cells).into_iter().map(|size| cell(clients, size)).collect())
                })
                .collect();
            let here: Vec<&CellOutcome> =
                cells.iter().copied().filter(|cell| cell.task == task && cell.mbit_per_s == mbit).collect();
            text += &heat(&format!("{task}, {mbit} Mbit/s, {rtt} ms: {}", mixes(&here)), &columns, &rows);
        }
    }
    text + "</div>"
}

pub(super) fn scaling(cells: &[&CellOutcome]) -> String {
    let mut text = paragraph(
        "More robots learn more per round, and upload more through one server. Where a line bends upwards, the server's link or its \
         key holder is what the next robot waits for.",
    ) + "<div class=\"two\">";
    for task in tasks(cells) {
        for (mbit, rtt) in links(cells) {
            let series: Vec<Series> = sizes(cells)
                .into_iter()
                .map(|size| Series { name: bytes(size), points: points(cells, &task, mbit, size) })
                .filter(|series| series.points.len() > 1)
                .collect();
            let title = format!("{task}, {mbit} Mbit/s, {rtt} ms");
            let here: Vec<&CellOutcome> =
                cells.iter().copied().filter(|cell| cell.task == task && cell.mbit_per_s == mbit).collect();
            let description = format!(
                "Active time per deployed improvement over the number of robots ({}); bars are 95 % intervals. The table above has \
                 the figures.{}",
                mixes(&here),
                not_drawn(&here)
            );
            let words = Words { title: &title, across: "robots", up: "seconds", description: &description };
            text += &lines(words, &series).unwrap_or_default();
        }
    }
    text + "</div>" + &saturation(cells)
}

/// Cells without a figure to draw.
fn not_drawn(cells: &[&CellOutcome]) -> String {
    let bound = |cell: &&CellOutcome| match encrypted(cell)?.tpdi.active {
        Figure::NoImprovement { at_least_s } => {
            Some(format!("{} robots, {}: at least {}", cell.clients, bytes(cell.update_bytes), duration(at_least_s)))
        }
        Figure::Improves { .. } => None,
    };
    let bounds: Vec<String> = cells.iter().filter_map(bound).collect();
    if bounds.is_empty() {
        String::new()
    } else {
        format!(" Without an improvement, not drawn: {}.", bounds.join("; "))
    }
}

/// A fleet takes longer than the smallest one by more than this: what its robots share has filled up.
const SATURATED: f64 = 1.25;

/// From how many robots on, and by which stage.
fn saturation(cells: &[&CellOutcome]) -> String {
    let mut rows = Vec::new();
    for task in tasks(cells) {
        for (mbit, _) in links(cells) {
            for size in sizes(cells) {
                let here =
                    |cell: &&&CellOutcome| cell.task == task && cell.mbit_per_s == mbit && cell.update_bytes == size;
                let mut fleets: Vec<&CellOutcome> = cells.iter().filter(here).copied().collect();
                fleets.sort_by_key(|cell| cell.clients);
                rows.extend(saturates(&fleets));
            }
        }
    }
    let columns = [
        ("fleets", Column::Text),
        ("smallest", Column::Number),
        ("saturates at", Column::Number),
        ("takes", Column::Number),
        ("what grew most", Column::Text),
        ("so it needs", Column::Text),
    ];
    let caption = format!(
        "Where an attempt's active time passes {SATURATED} x that of the smallest fleet; where none does, the largest fleet; {}",
        mixes(cells)
    );
    if rows.is_empty() {
        return paragraph(
            "This run has no two fleets that differ by their robots alone: where they saturate was not measured.",
        );
    }
    table(&caption, &columns, &rows)
}

fn saturates(fleets: &[&CellOutcome]) -> Option<Vec<String>> {
    let (smallest, others) = fleets.split_first()?;
    let base = encrypted(smallest)?;
    let took = |cell: &CellOutcome| Some(active(encrypted(cell)?) / active(base));
    let first = others.iter().find(|cell| took(cell).is_some_and(|took| took > SATURATED));
    let cell = first.or(others.last())?;
    let (now, times) = (encrypted(cell)?, took(cell)?);
    let of = |arm: &ArmOutcome, stage: Stage| -> f64 {
        arm.stages.iter().filter(|part| part.stage == stage && part.label != Label::P).map(|part| part.seconds).sum()
    };
    let grew = |stage: Stage| of(now, stage) - of(base, stage);
    let most = Stage::ALL.into_iter().max_by(|&a, &b| grew(a).total_cmp(&grew(b)))?;
    let more =
        if grew(most) > 0.0 { format!("{}, by {}", most.name(), duration(grew(most))) } else { "nothing".to_owned() };
    Some(vec![
        format!("{}, {} Mbit/s, {}", escape(&smallest.task), smallest.mbit_per_s, bytes(smallest.update_bytes)),
        smallest.clients.to_string(),
        if first.is_some() { cell.clients.to_string() } else { format!("not up to {}", cell.clients) },
        format!("{times:.2} x"),
        escape(&more),
        if first.is_some() { needs(most).to_owned() } else { "-".to_owned() },
    ])
}

/// What makes a stage shorter.
fn needs(stage: Stage) -> &'static str {
    match stage {
        Stage::Upload | Stage::Broadcast | Stage::Rollout | Stage::Rollback => {
            "a faster link: the robots', or the server's where all together pass its rate"
        }
        Stage::Aggregate => "a faster processor at the server, or a faster link from it to the key holder",
        Stage::Decrypt | Stage::Gate | Stage::Canary => "a faster processor at the key holder",
        Stage::Collect | Stage::Train | Stage::Compress | Stage::Encrypt | Stage::Apply => "faster robots",
    }
}

/// Bytes against rounds against time per improvement, for the profile that was run; for the others, how to have them.
pub(super) fn compression(record: &Record, cells: &[&CellOutcome]) -> String {
    let profile = record.header.config.get("budget").and_then(|budget| budget.get("profile")).and_then(Value::as_str);
    let (profile, preset) =
        (profile.unwrap_or("unknown"), record.header.config.get("preset").and_then(Value::as_str).unwrap_or("smoke"));
    let mut seen = BTreeSet::new();
    let row = |cell: &&CellOutcome| {
        let arm = encrypted(cell)?;
        let figure = match arm.tpdi.active {
            Figure::Improves { seconds, .. } => duration(seconds),
            Figure::NoImprovement { at_least_s } => format!("no improvement, \u{2265} {}", duration(at_least_s)),
        };
        Some(vec![
            escape(&cell.cell),
            escape(profile),
            bytes(cell.update_bytes),
            bytes(arm.upload_bytes),
            format!("{:.2} x", arm.upload_bytes as f64 / cell.update_bytes as f64),
            arm.tpdi.rounds_per_improvement.map_or("-".to_owned(), |rounds| format!("{rounds:.1}")),
            escape(&figure),
        ])
    };
    let shown = cells.iter().filter(|cell| seen.insert((cell.task.clone(), cell.update_bytes)));
    let rows: Vec<Vec<String>> = shown.filter_map(row).collect();
    let columns = [
        ("cell", Column::Text),
        ("profile", Column::Text),
        ("as fp32", Column::Number),
        ("sent, encrypted", Column::Number),
        ("of fp32", Column::Number),
        ("rounds per improvement", Column::Number),
        ("active", Column::Number),
    ];
    let others: Vec<String> = [("8bit", "bits8"), ("4bit", "bits4"), ("dense", "dense")]
        .into_iter()
        .filter(|(_, name)| *name != profile)
        .map(|(option, _)| format!("tensorguard run --preset {preset} --profile {option}"))
        .collect();
    paragraph(&format!(
        "A profile pays where the bytes that it saves are worth more than the rounds that it adds. A run has one; others were not \
         measured in this run. These measure them: {}.",
        others.join("; ")
    )) + &table(&format!("One fleet of each size; active time is {}", mixes(cells)), &columns, &rows)
}

fn points(cells: &[&CellOutcome], task: &str, mbit: u32, size: u64) -> Vec<Point> {
    let here = |cell: &&&CellOutcome| cell.task == task && cell.mbit_per_s == mbit && cell.update_bytes == size;
    let mut points: Vec<Point> = cells
        .iter()
        .filter(here)
        .filter_map(|cell| {
            let (seconds, interval) = seconds(encrypted(cell)?.tpdi.active)?;
            Some((f64::from(cell.clients), seconds, interval))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}
