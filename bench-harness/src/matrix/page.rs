//! The report of the matrix: ten questions, answered in order.

use super::compose::{Arm, Stage};
use super::explain::{active, duration, meaning};
use super::outcome::{ArmOutcome, CellOutcome};
use super::tpdi::Figure;
use super::whole;
use crate::record::{Label, Record};
use crate::report::chart::{Part, Point, Series, Words, heat, lines, waterfall};
use crate::report::page::{Column, Page, escape, paragraph, strip, table};
use std::collections::BTreeSet;

/// The page of a record with a matrix; none without one.
#[must_use]
pub fn page(record: &Record) -> Option<String> {
    let cells: Vec<&CellOutcome> = record.matrix.iter().collect();
    let shown = representative(&cells);
    if shown.is_none() && record.end_to_end.is_empty() {
        return None;
    }
    let header = &record.header;
    let lead = format!(
        "What it takes until a fleet runs a policy that is provably better, from collecting to roll-out, with every failed \
         attempt charged. Result {}, measured {}.",
        header.id, header.begin_utc
    );
    let mut page = Page::new("Time per deployed improvement", &lead);
    let Some(shown) = shown else {
        page.section("composed", "End to end", whole::page::section(record));
        page.section("trust", "Where and how this was measured", environment(record));
        return Some(page.finish());
    };
    page.section("verdict", "At a glance", verdict(&cells, shown));
    page.section("tpdi", "Every cell", every_cell(&cells));
    page.section("stages", "Where the time goes", stages(&cells));
    page.section("grid", "Robots and update sizes", grids(&cells));
    page.section("scaling", "From 2 to 100 robots", scaling(&cells));
    page.section("encryption", "What encryption costs", encryption(&cells));
    page.section("failures", "How often attempts fail", failures(&cells));
    page.section("right", "Whether the mean is right", rightness(record, &cells));
    page.section("composed", "Composed against end to end", whole::page::section(record));
    page.section("trust", "Where and how this was measured", environment(record));
    Some(page.finish())
}

/// The cell that stands for a matrix: imitation, middle link, nearest to twenty robots, the largest update there.
fn representative<'a>(cells: &[&'a CellOutcome]) -> Option<&'a CellOutcome> {
    let key = |cell: &&CellOutcome| {
        let learns = u32::from(cell.task != "imitation");
        (learns, cell.mbit_per_s.abs_diff(100), cell.clients.abs_diff(20), u64::MAX - cell.update_bytes)
    };
    cells.iter().copied().min_by_key(key)
}

fn encrypted(cell: &CellOutcome) -> Option<&ArmOutcome> {
    cell.arm(Arm::Encrypted)
}

fn share_of(label: Label, arm: &ArmOutcome) -> f64 {
    arm.labels().get(&label).copied().unwrap_or(0.0) / active(arm)
}

/// Seconds that a chart can show.
fn seconds(figure: Figure) -> Option<(f64, Option<(f64, f64)>)> {
    match figure {
        Figure::Improves { seconds, low, high } => Some((seconds, high.map(|high| (low, high)))),
        Figure::NoImprovement { .. } => None,
    }
}

fn verdict(cells: &[&CellOutcome], shown: &CellOutcome) -> String {
    let Some(arm) = encrypted(shown) else { return String::new() };
    let improving = cells.iter().filter(|cell| encrypted(cell).is_some_and(|arm| seconds(arm.tpdi.active).is_some()));
    let (best, halved) = bottleneck(arm);
    let figures = [
        card("computing and transfers", arm.tpdi.active, &format!("per deployed improvement, {}", shown.cell)),
        card("with policy waits", arm.tpdi.wall, "collecting and soaking included"),
        (
            "encryption's share".to_owned(),
            cost(shown).map_or("-".to_owned(), |(_, share)| format!("{:.1} %", 100.0 * share)),
            "of the active time, same cell without it".to_owned(),
        ),
        ("bottleneck".to_owned(), best.name().to_owned(), format!("halving it saves {:.0} %", 100.0 * halved)),
        (
            "measured".to_owned(),
            format!("{:.0} %", 100.0 * share_of(Label::M, arm)),
            "of the active time; the rest is derived or replayed".to_owned(),
        ),
        (
            "cells with an improvement".to_owned(),
            format!("{} of {}", improving.count(), cells.len()),
            "the others are kept, with a lower bound".to_owned(),
        ),
    ];
    strip(&figures)
}

/// A headline, its interval below.
fn card(name: &str, figure: Figure, note: &str) -> (String, String, String) {
    let (figure, interval) = match figure {
        Figure::Improves { seconds, low, high } => {
            let high = high.map_or("without bound".to_owned(), duration);
            (duration(seconds), format!("{} .. {high}; ", duration(low)))
        }
        Figure::NoImprovement { at_least_s } => {
            ("no improvement".to_owned(), format!("at least {}; ", duration(at_least_s)))
        }
    };
    (name.to_owned(), figure, interval + note)
}

/// The stage with the most active time, and what halving it would save.
fn bottleneck(arm: &ArmOutcome) -> (Stage, f64) {
    let of = |stage: Stage| -> f64 {
        arm.stages.iter().filter(|part| part.stage == stage && part.label != Label::P).map(|part| part.seconds).sum()
    };
    let largest = Stage::ALL.into_iter().max_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(Stage::Train);
    (largest, of(largest) / active(arm) / 2.0)
}

/// What encryption adds to the active time, and its share of it.
fn cost(cell: &CellOutcome) -> Option<(f64, f64)> {
    let (with, without) = (active(encrypted(cell)?), active(cell.arm(Arm::Plaintext)?));
    Some((with - without, (with - without) / with))
}

fn bytes(count: u64) -> String {
    match count {
        count if count >= 1_000_000 => format!("{} MB", tenths(count, 1_000_000)),
        count if count >= 1000 => format!("{} KB", tenths(count, 1000)),
        count => format!("{count} B"),
    }
}

fn tenths(count: u64, unit: u64) -> String {
    let tenths = (count * 10 + unit / 2) / unit;
    if tenths.is_multiple_of(10) { format!("{}", tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

fn mix(arm: &ArmOutcome) -> String {
    let mut labels = arm.labels();
    labels.remove(&Label::P);
    let total: f64 = labels.values().sum();
    labels
        .iter()
        .map(|(label, seconds)| format!("{label:?}\u{a0}{:.0}\u{a0}%", 100.0 * seconds / total))
        .collect::<Vec<_>>()
        .join(", ")
}

fn figure_cell(figure: Figure) -> String {
    match figure {
        Figure::Improves { seconds, low, high } => {
            let high = high.map_or("&infin;".to_owned(), |high| escape(&duration(high)));
            format!("{}<br><small>{} .. {high}</small>", escape(&duration(seconds)), escape(&duration(low)))
        }
        Figure::NoImprovement { at_least_s } => {
            format!(
                "<span class=\"bad\">no improvement</span><br><small>&ge; {}</small>",
                escape(&duration(at_least_s))
            )
        }
    }
}

fn every_cell(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Text),
        ("active", Column::Number),
        ("wall", Column::Number),
        ("deployed", Column::Number),
        ("rounds per improvement", Column::Number),
        ("sent per round", Column::Number),
        ("success", Column::Number),
        ("active time is", Column::Text),
    ];
    let row = |cell: &&CellOutcome| {
        let arm = encrypted(cell)?;
        let tpdi = &arm.tpdi;
        let lowered = if cell.min_clients < super::grid::DEFAULT_MIN_CLIENTS {
            format!("<br><small>min_clients {}</small>", cell.min_clients)
        } else {
            String::new()
        };
        let after = cell.success_after.map_or("-".to_owned(), |after| format!("{:.0} %", 100.0 * after));
        Some(vec![
            format!("<span class=\"nowrap\">{}</span>{lowered}", escape(&cell.cell)),
            figure_cell(tpdi.active),
            figure_cell(tpdi.wall),
            format!("{} of {}", tpdi.deployed, tpdi.attempts),
            tpdi.rounds_per_improvement.map_or("-".to_owned(), |rounds| format!("{rounds:.1}")),
            bytes(arm.upload_bytes),
            format!("{:.0} % &rarr; {after}", 100.0 * cell.success_before),
            escape(&mix(arm)),
        ])
    };
    let rows: Vec<Vec<String>> = cells.iter().filter_map(row).collect();
    let labels: Vec<String> = [Label::M, Label::E, Label::R, Label::D, Label::P]
        .iter()
        .map(|&label| format!("{label:?} {}", meaning(label)))
        .collect();
    paragraph(
        "Seconds per deployed improvement: the time of all attempts over the improvements that the fleet kept. Small figures are \
               95 % intervals over whole campaigns.",
    ) + &table(&format!("Encrypted; labels: {}", labels.join(", ")), &columns, &rows)
}

fn stages(cells: &[&CellOutcome]) -> String {
    let mut text = String::new();
    for task in tasks(cells) {
        let of_task: Vec<&CellOutcome> = cells.iter().copied().filter(|cell| cell.task == task).collect();
        let Some(arm) = representative(&of_task).and_then(|cell| Some((cell, encrypted(cell)?))) else { continue };
        let (cell, arm) = arm;
        let parts: Vec<Part> = arm
            .stages
            .iter()
            .filter(|part| part.label != Label::P && part.seconds > 0.0)
            .map(|part| Part {
                name: part.stage.name().to_owned(),
                value: part.seconds,
                shown: duration(part.seconds),
                source: format!("{:?}", part.label).chars().next().unwrap_or('?'),
            })
            .collect();
        let waits: f64 = arm.stages.iter().filter(|part| part.label == Label::P).map(|part| part.seconds).sum();
        let title = format!("An attempt of {}", cell.cell);
        let description = format!(
            "Active time of a mean attempt, {} in all, from top to bottom; solid is measured, hatched derived, thin replayed. Policy \
             waits of {} are left out.",
            duration(active(arm)),
            duration(waits)
        );
        let words = Words { title: &title, across: "seconds", up: "", description: &description };
        text += &waterfall(words, &parts).unwrap_or_default();
        let rows: Vec<Vec<String>> = Stage::ALL
            .iter()
            .map(|&stage| {
                let of = |arm: &ArmOutcome| -> f64 {
                    let parts = arm.stages.iter().filter(|part| part.stage == stage && part.label != Label::P);
                    parts.map(|part| part.seconds).sum()
                };
                let plain = cell.arm(Arm::Plaintext).map_or(0.0, of);
                let (with, share) = (of(arm), of(arm) / active(arm));
                let shown = |seconds: f64| if seconds > 0.0 { escape(&duration(seconds)) } else { "-".to_owned() };
                let saves = if with > 0.0 { format!("{:.1} %", 50.0 * share) } else { "-".to_owned() };
                vec![escape(stage.name()), shown(with), shown(plain), saves]
            })
            .collect();
        let columns = [
            ("stage", Column::Text),
            ("encrypted", Column::Number),
            ("plaintext", Column::Number),
            ("halving it saves", Column::Number),
        ];
        text += &table(&format!("{}, seconds of a mean attempt without policy waits", cell.cell), &columns, &rows);
    }
    text
}

fn tasks(cells: &[&CellOutcome]) -> Vec<String> {
    cells.iter().map(|cell| cell.task.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn links(cells: &[&CellOutcome]) -> Vec<(u32, u32)> {
    cells.iter().map(|cell| (cell.mbit_per_s, cell.rtt_ms)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn sizes(cells: &[&CellOutcome]) -> Vec<u64> {
    cells.iter().map(|cell| cell.update_bytes).collect::<BTreeSet<_>>().into_iter().collect()
}

fn grids(cells: &[&CellOutcome]) -> String {
    let mut text =
        paragraph("Active time per deployed improvement, encrypted. Darker takes longer.") + "<div class=\"two\">";
    let clients: BTreeSet<u32> = cells.iter().map(|cell| cell.clients).collect();
    for task in tasks(cells) {
        for (mbit, rtt) in links(cells) {
            let columns: Vec<String> = sizes(cells).into_iter().map(bytes).collect();
            let cell = |clients: u32, size: u64| {
                let found = cells.iter().find(|cell| {
                    cell.task == task && cell.mbit_per_s == mbit && cell.clients == clients && cell.update_bytes == size
                })?;
                let (seconds, _) = seconds(encrypted(found)?.tpdi.active)?;
                Some((seconds, duration(seconds)))
            };
            let rows: Vec<_> = clients
                .iter()
                .map(|&clients| {
                    (format!("{clients} robots"), sizes(cells).into_iter().map(|size| cell(clients, size)).collect())
                })
                .collect();
            text += &heat(&format!("{task}, {mbit} Mbit/s, {rtt} ms"), &columns, &rows);
        }
    }
    text + "</div>"
}

fn scaling(cells: &[&CellOutcome]) -> String {
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
            let description = "Active time per deployed improvement over the number of robots; bars are 95 % intervals. The table above has the figures.";
            let words = Words { title: &title, across: "robots", up: "seconds", description };
            text += &lines(words, &series).unwrap_or_default();
        }
    }
    text + "</div>"
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

fn encryption(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Text),
        ("plaintext", Column::Number),
        ("encrypted", Column::Number),
        ("more", Column::Number),
        ("share", Column::Number),
        ("up, plaintext", Column::Number),
        ("up, encrypted", Column::Number),
        ("link's share", Column::Number),
    ];
    let row = |cell: &&CellOutcome| {
        let (with, without) = (encrypted(cell)?, cell.arm(Arm::Plaintext)?);
        let (more, share) = cost(cell)?;
        let link: f64 = with
            .stages
            .iter()
            .filter(|part| [Stage::Upload, Stage::Broadcast, Stage::Rollout].contains(&part.stage))
            .map(|part| part.seconds)
            .sum();
        Some(vec![
            escape(&cell.cell),
            escape(&duration(active(without))),
            escape(&duration(active(with))),
            escape(&duration(more)),
            format!("{:.1} %", 100.0 * share),
            bytes(without.upload_bytes),
            bytes(with.upload_bytes),
            format!("{:.0} %", 100.0 * link / active(with)),
        ])
    };
    let rows: Vec<Vec<String>> = cells.iter().filter_map(row).collect();
    paragraph(
        "The same attempt twice: through the scheme, and with the same values on the same grid for the server to read. Both are \
               signed.",
    ) + &table("Active time of a mean attempt", &columns, &rows)
}

fn failures(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Text),
        ("attempts", Column::Number),
        ("deployed", Column::Number),
        ("rolled back", Column::Number),
        ("success rate, 95 %", Column::Number),
        ("if deployed", Column::Number),
        ("charged for failures", Column::Number),
    ];
    let mut seen = BTreeSet::new();
    // What is learned does not depend on the link: one row for each fleet.
    let rows: Vec<Vec<String>> = cells
        .iter()
        .filter(|cell| seen.insert((cell.task.clone(), cell.clients, cell.update_bytes)))
        .filter_map(|cell| {
            let tpdi = &encrypted(cell)?.tpdi;
            let only = tpdi.active_if_deployed_s;
            let charged = seconds(tpdi.active).zip(only).map(|((all, _), only)| all - only);
            let shown =
                |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| escape(&duration(seconds.max(0.0))));
            Some(vec![
                escape(&cell.cell),
                tpdi.attempts.to_string(),
                tpdi.deployed.to_string(),
                tpdi.rolled_back.to_string(),
                format!("{:.0} .. {:.0} %", 100.0 * tpdi.success_low, 100.0 * tpdi.success_high),
                shown(only),
                shown(charged),
            ])
        })
        .collect();
    table("Attempts, and what failures add to each improvement", &columns, &rows)
}

fn rightness(record: &Record, cells: &[&CellOutcome]) -> String {
    let worst = cells.iter().map(|cell| cell.error_max).fold(0.0, f64::max);
    let wrong = record.checks.iter().filter(|check| !check.holds).count();
    paragraph(&format!(
        "Every opened mean was compared with the mean of the plain updates before its time counted; the farthest value was off by {worst:.2e}, \
         within a step of the grid. {} further checks, {wrong} failed. The suite is FL-4096-60; its security estimate is in docs/PARAMETERS.md.",
        record.checks.len()
    ))
}

fn environment(record: &Record) -> String {
    let machine = serde_json::to_value(&record.environment.machine).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = vec![
        vec!["command".to_owned(), escape(&format!("tensorguard {}", record.header.argv.join(" ")))],
        vec!["program".to_owned(), escape(&record.header.program)],
        vec![
            "commit".to_owned(),
            record.header.git.as_ref().map_or("unknown".to_owned(), |git| {
                escape(&git.commit) + if git.is_dirty { " with local changes" } else { "" }
            }),
        ],
        vec!["configuration".to_owned(), escape(&record.header.config_sha256)],
        vec!["engine".to_owned(), escape(&record.environment.engine)],
    ];
    for (name, value) in machine.as_object().into_iter().flatten() {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        rows.push(vec![escape(name), escape(&shown)]);
    }
    for (name, value) in &record.header.config {
        rows.push(vec![escape(name), escape(&value.to_string())]);
    }
    let not_run =
        record.cells.iter().filter_map(|cell| cell.not_run.as_ref().map(|why| vec![escape(&cell.id), escape(why)]));
    let not_run: Vec<Vec<String>> = not_run.collect();
    let mut text = table("Provenance", &[("what", Column::Text), ("", Column::Text)], &rows);
    if !not_run.is_empty() {
        text += &table("Cells that were not run", &[("cell", Column::Text), ("why", Column::Text)], &not_run);
    }
    let formulas = format!("Transfers are derived by formula {}: {}", super::link::FORMULA, super::link::FORMULA_TEXT);
    text + &paragraph(&formulas)
        + &paragraph(
            "Robots compute one after the other on this machine and count as if side by side. Whoever has the result's folder can compute every figure again: tensorguard verify.",
        )
}
