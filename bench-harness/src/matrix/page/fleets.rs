//! How fleets differ: by their robots, their updates, and how values travel.

use super::{Kind, bytes, encrypted, kinds, links, mixes, seconds, sizes};
use crate::matrix::compose::Stage;
use crate::matrix::explain::{active, duration, headline};
use crate::matrix::outcome::{ArmOutcome, CellOutcome};
use crate::matrix::pipeline::Profile;
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
    for kind in kinds(cells) {
        for (mbit, rtt) in links(cells) {
            let here = over(&kind.among(cells), mbit);
            let columns: Vec<String> = sizes(cells).into_iter().map(bytes).collect();
            let cell = |clients: u32, size: u64| {
                let found = here.iter().find(|cell| cell.clients == clients && cell.update_bytes == size)?;
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
            text += &heat(&format!("{kind}, {mbit} Mbit/s, {rtt} ms: {}", mixes(&here)), &columns, &rows);
        }
    }
    text + "</div>"
}

/// Cells over the link of this rate.
fn over<'a>(cells: &[&'a CellOutcome], mbit: u32) -> Vec<&'a CellOutcome> {
    cells.iter().copied().filter(|cell| cell.mbit_per_s == mbit).collect()
}

pub(super) fn scaling(cells: &[&CellOutcome]) -> String {
    let mut text = paragraph(
        "More robots learn more per round, and upload more through one server. Where a line bends upwards, the server's link or its \
         key holder is what the next robot waits for.",
    ) + "<div class=\"two\">";
    for kind in kinds(cells) {
        for (mbit, rtt) in links(cells) {
            let here = over(&kind.among(cells), mbit);
            let series: Vec<Series> = sizes(cells)
                .into_iter()
                .map(|size| Series { name: bytes(size), points: points(&here, size) })
                .filter(|series| series.points.len() > 1)
                .collect();
            let title = format!("{kind}, {mbit} Mbit/s, {rtt} ms");
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
    for kind in kinds(cells) {
        for (mbit, _) in links(cells) {
            for size in sizes(cells) {
                let mut fleets = over(&kind.among(cells), mbit);
                fleets.retain(|cell| cell.update_bytes == size);
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
        format!(
            "{}, {} Mbit/s, {}",
            escape(&Kind::of(smallest).to_string()),
            smallest.mbit_per_s,
            bytes(smallest.update_bytes)
        ),
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

/// Bytes against rounds against time per improvement: one fleet of each size over its links, the profiles of the run side by side; for the
/// others, how to have them.
pub(super) fn compression(record: &Record, cells: &[&CellOutcome]) -> String {
    let profile = |cell: &CellOutcome| cell.profile_in(&record.header.config);
    let preset = record.header.config.get("preset").and_then(Value::as_str).unwrap_or("smoke");
    let row = |cell: &&CellOutcome| {
        let arm = encrypted(cell)?;
        Some(vec![
            escape(&cell.cell),
            profile(cell).map_or("unknown", Profile::name).to_owned(),
            bytes(cell.update_bytes),
            bytes(arm.upload_bytes),
            format!("{:.2} x", arm.upload_bytes as f64 / cell.update_bytes as f64),
            arm.tpdi.rounds_per_improvement.map_or("-".to_owned(), |rounds| format!("{rounds:.1}")),
            escape(&headline(arm.tpdi.active)),
        ])
    };
    let rows: Vec<Vec<String>> = side_by_side(cells).iter().filter_map(row).collect();
    let columns = [
        ("cell", Column::Name),
        ("profile", Column::Name),
        ("as fp32", Column::Number),
        ("sent, encrypted", Column::Number),
        ("of fp32", Column::Number),
        ("rounds per improvement", Column::Number),
        ("active", Column::Number),
    ];
    let (run, others): (Vec<Profile>, Vec<Profile>) =
        Profile::ALL.into_iter().partition(|known| cells.iter().any(|cell| profile(cell) == Some(*known)));
    let missing = if others.is_empty() {
        String::new()
    } else {
        let all: Vec<&str> = run.iter().chain(&others).map(|profile| profile.name()).collect();
        let others: Vec<&str> = others.iter().map(|profile| profile.name()).collect();
        format!(
            " Not measured in this run: {}. All side by side: tensorguard run --preset {preset} --profile {}.",
            others.join(", "),
            all.join(",")
        )
    };
    paragraph(&format!(
        "A profile pays where the bytes that it saves are worth more than the rounds that it adds; the slower the link, the sooner.{missing}"
    )) + &table(&format!("One fleet of each size; active time is {}", mixes(cells)), &columns, &rows)
}

/// Of each way of learning and size, the first fleet's cells; those that differ by how values travel alone follow each other.
fn side_by_side<'a>(cells: &[&'a CellOutcome]) -> Vec<&'a CellOutcome> {
    let mut shown: Vec<&CellOutcome> = Vec::new();
    for cell in cells {
        let of_size = shown.iter().find(|other| (&other.task, other.update_bytes) == (&cell.task, cell.update_bytes));
        if of_size.is_none_or(|first| first.clients == cell.clients) {
            shown.push(cell);
        }
    }
    shown.sort_by_key(|cell| (cell.task.clone(), cell.update_bytes, cell.mbit_per_s, cell.profile));
    shown
}

fn points(cells: &[&CellOutcome], size: u64) -> Vec<Point> {
    let mut points: Vec<Point> = cells
        .iter()
        .filter(|cell| cell.update_bytes == size)
        .filter_map(|cell| {
            let (seconds, interval) = seconds(encrypted(cell)?.tpdi.active)?;
            Some((f64::from(cell.clients), seconds, interval))
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}
