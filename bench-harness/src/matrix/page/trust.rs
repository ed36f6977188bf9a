//! Why a run may be believed: what was checked, what it can be held against, where and how it was measured.

use crate::matrix::outcome::CellOutcome;
use crate::matrix::pipeline::SUITE;
use crate::matrix::{against, link};
use crate::record::Record;
use crate::report::marks::folded;
use crate::report::page::{Column, escape, paragraph, table};
use std::collections::BTreeMap;

pub(super) fn rightness(record: &Record, cells: &[&CellOutcome]) -> String {
    let worst = cells.iter().map(|cell| cell.error_max).fold(0.0, f64::max);
    let estimate = SUITE.estimate();
    let wrong = record.checks.iter().filter(|check| !check.holds).count();
    paragraph(&format!(
        "Every opened mean was compared with the mean of the plain updates before its time counted; the farthest value was off by {worst:.2e}, \
         within a step of the grid. {} further checks, {wrong} failed. The suite is {}: estimated at {} bits against classical attacks and {} \
         against quantum ones, {} where the sum of the secrets is known (docs/PARAMETERS.md says how).",
        record.checks.len(),
        SUITE.name(),
        estimate.classical,
        estimate.quantum,
        estimate.quantum_with_public_sum
    )) + &corpus(cells)
}

/// Which updates these were.
fn corpus(cells: &[&CellOutcome]) -> String {
    let named: BTreeMap<&str, &str> =
        cells.iter().filter_map(|cell| Some((cell.updates_sha256.as_deref()?, cell.cell.as_str()))).collect();
    if named.is_empty() {
        return paragraph("Which updates were sent was not recorded in this run.");
    }
    let rows: Vec<Vec<String>> = named.iter().map(|(hash, cell)| vec![escape(cell), escape(hash)]).collect();
    let columns = [("updates of, among others", Column::Text), ("SHA-256", Column::Text)];
    folded("Updates that were sent, by hash", &table("Cells with the same hash sent the same bytes", &columns, &rows))
}

/// What another run can be held against, and how small a change it would show.
pub(super) fn earlier(cells: &[&CellOutcome]) -> String {
    let visible = against::visible(cells.iter().copied());
    let visible = visible.map_or("Its intervals are without bound, so no change would be seen.".to_owned(), |visible| {
        format!(
            "Half of its cells would show a change of {:.0} % or more: where it is smaller, the intervals of two such runs overlap.",
            100.0 * visible
        )
    });
    paragraph(&format!(
        "No earlier run was given, so whether something became slower was not measured in this run. `tensorguard compare OLD NEW` holds \
         two runs of one machine and one configuration against each other, cell by cell. {visible} `tensorguard ab` lets two builds take \
         turns, and sees far less: a gate for commits is made of that."
    ))
}

pub(super) fn environment(record: &Record) -> String {
    let machine = serde_json::to_value(&record.environment.machine).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = vec![
        vec!["command".to_owned(), escape(&format!("tensorguard {}", record.header.argv.join(" ")))],
        vec!["program".to_owned(), escape(&record.header.program)],
        vec!["commit".to_owned(), escape(&record.header.commit_in_words())],
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
    let formulas = format!("Transfers are derived by formula {}: {}", link::FORMULA, link::FORMULA_TEXT);
    text + &paragraph(&formulas)
        + &paragraph(
            "Robots compute one after the other on this machine and count as if side by side. Whoever has the result's folder can compute every figure again: tensorguard verify.",
        )
}
