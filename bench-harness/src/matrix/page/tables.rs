//! Cells, stages, encryption and failures as tables.

use super::{Kind, bytes, cost, encrypted, kinds, mixes, representative, stage_labels};
use crate::matrix::compose::{Arm, Stage};
use crate::matrix::explain::{active, duration, meaning, mix};
use crate::matrix::grid::DEFAULT_MIN_CLIENTS;
use crate::matrix::outcome::{ArmOutcome, CellOutcome};
use crate::matrix::tpdi::{Clock, Figure};
use crate::record::Label;
use crate::report::chart::{Part, Words, waterfall};
use crate::report::page::{Column, escape, paragraph, table};
use std::collections::BTreeSet;

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

pub(super) fn every_cell(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Name),
        ("active", Column::Number),
        ("wall", Column::Number),
        ("deployed", Column::Number),
        ("rounds per improvement", Column::Number),
        ("sent per round", Column::Number),
        ("success", Column::Number),
        ("active time is", Column::Labels),
        ("wall time is", Column::Labels),
    ];
    let row = |cell: &&CellOutcome| {
        let arm = encrypted(cell)?;
        let tpdi = &arm.tpdi;
        let lowered = if cell.min_clients < DEFAULT_MIN_CLIENTS {
            format!("<br><small>min_clients {}</small>", cell.min_clients)
        } else {
            String::new()
        };
        let after = cell.success_after.map_or("-".to_owned(), |after| format!("{:.0} %", 100.0 * after));
        Some(vec![
            format!("{}{lowered}", escape(&cell.cell)),
            figure_cell(tpdi.active),
            figure_cell(tpdi.wall),
            format!("{} of {}", tpdi.deployed, tpdi.attempts),
            tpdi.rounds_per_improvement.map_or("-".to_owned(), |rounds| format!("{rounds:.1}")),
            bytes(arm.upload_bytes),
            format!("{:.0} % &rarr; {after}", 100.0 * cell.success_before),
            escape(&mix(arm, Clock::Active)),
            escape(&mix(arm, Clock::Wall)),
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

pub(super) fn stages(cells: &[&CellOutcome]) -> String {
    let mut text = String::new();
    for kind in kinds(cells) {
        let shown = representative(&kind.among(cells)).and_then(|cell| Some((cell, encrypted(cell)?)));
        let Some((cell, arm)) = shown else { continue };
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
            "Active time of a mean attempt, {} in all, from top to bottom: {}. Policy waits (P) of {} are left out.",
            duration(active(arm)),
            mix(arm, Clock::Active),
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
                vec![escape(stage.name()), shown(with), shown(plain), saves, stage_labels(arm, stage)]
            })
            .collect();
        let columns = [
            ("stage", Column::Text),
            ("encrypted", Column::Number),
            ("plaintext", Column::Number),
            ("halving it saves", Column::Number),
            ("its time is", Column::Name),
        ];
        text += &table(&format!("{}, seconds of a mean attempt without policy waits", cell.cell), &columns, &rows);
    }
    text
}

pub(super) fn encryption(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Name),
        ("plaintext", Column::Number),
        ("encrypted", Column::Number),
        ("more", Column::Number),
        ("share", Column::Number),
        ("up, plaintext", Column::Number),
        ("up, encrypted", Column::Number),
        ("link's share", Column::Number),
        ("plaintext is", Column::Labels),
        ("encrypted is", Column::Labels),
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
            escape(&mix(without, Clock::Active)),
            escape(&mix(with, Clock::Active)),
        ])
    };
    let rows: Vec<Vec<String>> = cells.iter().filter_map(row).collect();
    paragraph(
        "The same attempt twice: through the scheme, and with the same values on the same grid for the server to read. Both are \
               signed.",
    ) + &table("Active time of a mean attempt", &columns, &rows)
}

pub(super) fn failures(cells: &[&CellOutcome]) -> String {
    let columns = [
        ("cell", Column::Name),
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
        .filter(|cell| seen.insert((Kind::of(cell), cell.clients, cell.update_bytes)))
        .filter_map(|cell| {
            let tpdi = &encrypted(cell)?.tpdi;
            let only = tpdi.active_if_deployed_s;
            let shown =
                |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| escape(&duration(seconds.max(0.0))));
            let charged = match tpdi.active {
                Figure::Improves { seconds, .. } => shown(only.map(|only| seconds - only)),
                // All of it was for nothing.
                Figure::NoImprovement { at_least_s } => format!("&ge; {}", escape(&duration(at_least_s))),
            };
            Some(vec![
                escape(&cell.cell),
                tpdi.attempts.to_string(),
                tpdi.deployed.to_string(),
                tpdi.rolled_back.to_string(),
                format!("{:.0} .. {:.0} %", 100.0 * tpdi.success_low, 100.0 * tpdi.success_high),
                shown(only),
                charged,
            ])
        })
        .collect();
    let caption = format!("Attempts, and what failures add to each improvement; active time is {}", mixes(cells));
    table(&caption, &columns, &rows)
}
