//! Composed against end to end, for the report.

use super::tries::{MOST, QUIET_CORES, Try};
use super::{FORMULA_TEXT, PartSeconds, TOLERANCE, WholeOutcome};
use crate::matrix::explain::{duration, meaning};
use crate::record::Record;
use crate::report::page::{Column, escape, paragraph, table};

/// The section's body.
#[must_use]
pub fn section(record: &Record) -> String {
    if record.end_to_end.is_empty() {
        return paragraph(
            "No cell of this run went end to end through separate processes: every total above is composed. Why is below.",
        );
    }
    paragraph(&format!(
        "A fleet as separate processes on this machine, over TLS: training, encryption, sum, gate, canary, roll-out; by the clock, from \
         the opening of the first round to the last healthy robot. Beside it the same attempt put together from the parts that this \
         run measured, on as many cores, over the same calibrated link. More than {:.0} % apart, and a run for publishing is refused.",
        100.0 * TOLERANCE
    )) + &totals(&record.end_to_end)
        + &tries(&record.end_to_end)
        + &parts(&record.end_to_end)
        + &links(&record.end_to_end)
        + &formulas(&record.end_to_end)
        + &paragraph(&format!("Put together so: {FORMULA_TEXT}"))
}

fn totals(cells: &[WholeOutcome]) -> String {
    let columns = [
        ("cell", Column::Name),
        ("composed", Column::Number),
        ("end to end", Column::Number),
        ("composed over end to end", Column::Number),
        ("deployed", Column::Number),
        ("others on the cores", Column::Number),
        ("time is", Column::Name),
    ];
    let row = |cell: &WholeOutcome| {
        let ratio = cell.ratio.map_or("-".to_owned(), |ratio| {
            let outside = if cell.agrees == Some(true) { "" } else { " <span class=\"bad\">outside</span>" };
            format!("{ratio:.2}{outside}")
        });
        let lowered = if u64::from(cell.min_clients) < folding::lwe::Policy::MIN_CLIENTS {
            format!(" <small>min_clients {}</small>", cell.min_clients)
        } else {
            String::new()
        };
        vec![
            escape(&cell.cell) + &lowered,
            cell.composed_s.map_or("-".to_owned(), |composed| escape(&duration(composed))),
            escape(&duration(cell.end_to_end_s)),
            ratio,
            format!("{} of {} attempts", cell.deployed, cell.attempts),
            cell.others_share.map_or("unknown".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
            format!("{:?} {}", cell.label, meaning(cell.label)),
        ]
    };
    table("The same cell, put together from its parts and run as a whole", &columns, &rows(cells, row))
}

/// Every try, where there may be more than one.
fn tries(cells: &[WholeOutcome]) -> String {
    let row = |cell: &WholeOutcome, (index, one): (usize, &Try)| {
        vec![
            escape(&cell.cell),
            (index + 1).to_string(),
            one.composed_s.map_or("-".to_owned(), |composed| escape(&duration(composed))),
            escape(&duration(one.end_to_end_s)),
            one.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            escape(&one.disturbance()),
            if one.counts { "yes" } else { "no" }.to_owned(),
        ]
    };
    let of_cell = |cell: &WholeOutcome| cell.tries.iter().enumerate().map(|one| row(cell, one)).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = cells.iter().flat_map(of_cell).collect();
    if rows.is_empty() {
        return String::new();
    }
    let columns = [
        ("cell", Column::Name),
        ("try", Column::Number),
        ("composed", Column::Number),
        ("end to end", Column::Number),
        ("composed over end to end", Column::Number),
        ("meanwhile", Column::Name),
        ("counts", Column::Name),
    ];
    let caption = format!(
        "Every try. The first quiet one counts, whatever it says; where none was, the first. Quiet: others kept at most {QUIET_CORES} cores busy. A \
         first try that does not agree is followed by others, {MOST} in all, until one is quiet"
    );
    table(&caption, &columns, &rows)
}

fn rows(cells: &[WholeOutcome], row: impl Fn(&WholeOutcome) -> Vec<String>) -> Vec<Vec<String>> {
    cells.iter().map(row).collect()
}

fn parts(cells: &[WholeOutcome]) -> String {
    let columns =
        [("cell", Column::Name), ("part", Column::Name), ("composed", Column::Number), ("end to end", Column::Number)];
    let row = |cell: &WholeOutcome, part: &PartSeconds| {
        vec![
            escape(&cell.cell),
            part.part.name().to_owned(),
            part.composed_s.map_or("-".to_owned(), |composed| escape(&duration(composed))),
            escape(&duration(part.end_to_end_s)),
        ]
    };
    let rows: Vec<_> = cells.iter().flat_map(|cell| cell.parts.iter().map(move |part| row(cell, part))).collect();
    table("Part by part", &columns, &rows)
}

fn links(cells: &[WholeOutcome]) -> String {
    let columns = [("cell", Column::Name), ("the link, as calibrated", Column::Text)];
    table(
        "Links, measured before they were used",
        &columns,
        &rows(cells, |cell| vec![escape(&cell.cell), escape(&cell.link())]),
    )
}

/// The formula of the composed cells, held against shaped links.
fn formulas(cells: &[WholeOutcome]) -> String {
    let told: Vec<Vec<String>> = cells
        .iter()
        .filter_map(|cell| Some(vec![escape(&cell.cell), escape(&cell.by_formula.as_ref()?.told())]))
        .collect();
    if told.is_empty() {
        return paragraph(
            "The formula of the composed cells' transfers was not held against a shaped link in this run: tensorguard run --link paced \
             (or netns) measures it.",
        );
    }
    let columns = [("cell", Column::Name), ("transfers by formula against the emulated link", Column::Text)];
    table("The composed cells' formula and its error", &columns, &told)
}
