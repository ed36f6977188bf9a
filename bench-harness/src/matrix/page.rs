//! The report of the matrix: ten questions, answered in order.

mod fleets;
mod tables;
mod trust;

use super::compose::{Arm, Stage};
use super::explain::{active, duration, mix};
use super::outcome::{ArmOutcome, CellOutcome};
use super::pipeline::Profile;
use super::tpdi::{Clock, Figure};
use super::whole;
use crate::record::{Label, Record};
use crate::report::page::{Page, strip};
use std::collections::BTreeSet;
use std::fmt;

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
        page.section("trust", "Where and how this was measured", trust::environment(record));
        return Some(page.finish());
    };
    page.section("verdict", "At a glance", verdict(&cells, shown));
    page.section("tpdi", "Every cell", tables::every_cell(&cells));
    page.section("stages", "Where the time goes", tables::stages(&cells));
    page.section("grid", "Robots and update sizes", fleets::grids(&cells));
    page.section("scaling", "From 2 to 100 robots", fleets::scaling(&cells));
    page.section("compression", "Whether compression pays", fleets::compression(record, &cells));
    page.section("encryption", "What encryption costs", tables::encryption(&cells));
    page.section("failures", "How often attempts fail", tables::failures(&cells));
    page.section("right", "Whether the mean is right", trust::rightness(record, &cells));
    page.section("earlier", "Against an earlier run", trust::earlier(&cells));
    page.section("composed", "Composed against end to end", whole::page::section(record));
    page.section("trust", "Where and how this was measured", trust::environment(record));
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
    // Each way of learning has a headline of its own: one says nothing of the other.
    let mut figures: Vec<_> = std::iter::once(Kind::of(shown))
        .chain(kinds(cells).into_iter().filter(|kind| *kind != Kind::of(shown)))
        .filter_map(|kind| {
            let cell = representative(&kind.among(cells))?;
            let arm = encrypted(cell)?;
            let note = format!("per deployed improvement, {}; {}", cell.cell, mix(arm, Clock::Active));
            Some(card(&format!("{kind}: computing and transfers"), arm.tpdi.active, &note))
        })
        .collect();
    let waits = format!("collecting and soaking included, {}; {}", shown.cell, mix(arm, Clock::Wall));
    figures.extend([
        card("with policy waits", arm.tpdi.wall, &waits),
        (
            "encryption's share".to_owned(),
            cost(shown).map_or("-".to_owned(), |(_, share)| format!("{:.1} %", 100.0 * share)),
            format!("of the active time, same cell without it; without it {}", plain_mix(shown)),
        ),
        (
            "bottleneck".to_owned(),
            best.name().to_owned(),
            format!("halving it saves {:.0} %; its time is {}", 100.0 * halved, stage_labels(arm, best)),
        ),
        (
            "measured".to_owned(),
            format!("{:.0} %", 100.0 * arm.labels(Clock::Active).get(&Label::M).copied().unwrap_or(0.0)),
            "of the active time; the rest is derived or replayed".to_owned(),
        ),
        (
            "cells with an improvement".to_owned(),
            format!("{} of {}", improving.count(), cells.len()),
            "the others are kept, with a lower bound".to_owned(),
        ),
    ]);
    strip(&figures)
}

fn plain_mix(cell: &CellOutcome) -> String {
    cell.arm(Arm::Plaintext).map_or("-".to_owned(), |plain| mix(plain, Clock::Active))
}

/// Where a stage's active time comes from.
fn stage_labels(arm: &ArmOutcome, stage: Stage) -> String {
    let parts = arm.stages.iter().filter(|part| part.stage == stage && part.label != Label::P && part.seconds > 0.0);
    parts.map(|part| format!("{:?}", part.label)).collect::<Vec<_>>().join(" + ")
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

/// A way of learning and, where a run has several, how values travel: figures of two kinds stand in no one chart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    task: String,
    profile: Option<Profile>,
}

impl Kind {
    fn of(cell: &CellOutcome) -> Self {
        Self { task: cell.task.clone(), profile: cell.profile }
    }

    fn among<'a>(&self, cells: &[&'a CellOutcome]) -> Vec<&'a CellOutcome> {
        cells.iter().copied().filter(|cell| Self::of(cell) == *self).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.task)?;
        self.profile.map_or(Ok(()), |profile| write!(f, " in {}", profile.name()))
    }
}

fn kinds(cells: &[&CellOutcome]) -> Vec<Kind> {
    cells.iter().map(|cell| Kind::of(cell)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn links(cells: &[&CellOutcome]) -> Vec<(u32, u32)> {
    cells.iter().map(|cell| (cell.mbit_per_s, cell.rtt_ms)).collect::<BTreeSet<_>>().into_iter().collect()
}

fn sizes(cells: &[&CellOutcome]) -> Vec<u64> {
    cells.iter().map(|cell| cell.update_bytes).collect::<BTreeSet<_>>().into_iter().collect()
}

/// How much of these cells' active time has which label, from the least to the most.
fn mixes(cells: &[&CellOutcome]) -> String {
    let shares: Vec<_> = cells.iter().filter_map(|cell| Some(encrypted(cell)?.labels(Clock::Active))).collect();
    let labels: BTreeSet<Label> = shares.iter().flat_map(|shares| shares.keys().copied()).collect();
    let one = |label: Label| {
        let of = || shares.iter().map(|shares| 100.0 * shares.get(&label).copied().unwrap_or(0.0));
        let (least, most) = (of().fold(f64::INFINITY, f64::min), of().fold(0.0, f64::max));
        if format!("{least:.0}") == format!("{most:.0}") {
            format!("{label:?} {most:.0} %")
        } else {
            format!("{label:?} {least:.0} to {most:.0} %")
        }
    };
    labels.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
