//! A matrix for programs and pull requests: Markdown, CSV, JUnit, OpenMetrics.

use super::compose::Arm;
use super::explain::duration;
use super::outcome::{ArmOutcome, CellOutcome};
use super::tpdi::Figure;
use crate::decision::export::{escape, label};
use crate::record::Record;
use crate::report::export::{Markdown, family, line};
use std::fmt::Write;

/// The arms of a cell by name.
const ARMS: [(Arm, &str); 2] = [(Arm::Encrypted, "encrypted"), (Arm::Plaintext, "plaintext")];

fn words(figure: Figure) -> String {
    match figure {
        Figure::Improves { seconds, low, high } => {
            let high = high.map_or("without bound".to_owned(), duration);
            format!("{} ({} .. {high})", duration(seconds), duration(low))
        }
        Figure::NoImprovement { at_least_s } => format!("no improvement, at least {}", duration(at_least_s)),
    }
}

/// One line a cell.
#[must_use]
pub fn markdown(record: &Record) -> String {
    let mut text = Markdown::default();
    text.line(&format!(
        "# Time per deployed improvement\n\nResult {}, measured {}.",
        record.header.id, record.header.begin_utc
    ));
    text.heading("Encrypted", &["cell", "active", "wall", "deployed", "attempts", "sent per round, bytes"]);
    for cell in &record.matrix {
        let Some(arm) = cell.arm(Arm::Encrypted) else { continue };
        text.row(&[
            cell.cell.clone(),
            words(arm.tpdi.active),
            words(arm.tpdi.wall),
            arm.tpdi.deployed.to_string(),
            arm.tpdi.attempts.to_string(),
            arm.upload_bytes.to_string(),
        ]);
    }
    text.finish()
}

/// One line a cell and arm. A cell without an improvement has its lower bound in `low`, and no figure.
#[must_use]
pub fn csv(record: &Record) -> String {
    let columns = [
        "result",
        "cell",
        "task",
        "robots",
        "update_bytes",
        "mbit_per_s",
        "rtt_ms",
        "arm",
        "total",
        "seconds",
        "low",
        "high",
        "deployed",
        "attempts",
        "upload_bytes",
    ];
    let mut text = line(&columns);
    for (cell, arm, name) in arms(record) {
        for (total, figure) in [("active", arm.tpdi.active), ("wall", arm.tpdi.wall)] {
            let [seconds, low, high] = numbers(figure).map(|number| number.map_or(String::new(), |n| n.to_string()));
            let whole = [
                cell.clients.to_string(),
                cell.update_bytes.to_string(),
                cell.mbit_per_s.to_string(),
                cell.rtt_ms.to_string(),
                arm.tpdi.deployed.to_string(),
                arm.tpdi.attempts.to_string(),
                arm.upload_bytes.to_string(),
            ];
            let [robots, size, mbit, rtt, deployed, attempts, sent] = &whole;
            text += &line(&[
                &record.header.id,
                &cell.cell,
                &cell.task,
                robots,
                size,
                mbit,
                rtt,
                name,
                total,
                &seconds,
                &low,
                &high,
                deployed,
                attempts,
                sent,
            ]);
        }
    }
    text
}

/// The figure, and its interval.
fn numbers(figure: Figure) -> [Option<f64>; 3] {
    match figure {
        Figure::Improves { seconds, low, high } => [Some(seconds), Some(low), high],
        Figure::NoImprovement { at_least_s } => [None, Some(at_least_s), None],
    }
}

fn arms(record: &Record) -> impl Iterator<Item = (&CellOutcome, &ArmOutcome, &'static str)> {
    record
        .matrix
        .iter()
        .flat_map(|cell| ARMS.into_iter().filter_map(move |(arm, name)| Some((cell, cell.arm(arm)?, name))))
}

/// A test for each cell: passed where something was deployed. What was not run is skipped, and a check that failed is a failure.
#[must_use]
pub fn junit(record: &Record) -> String {
    let mut cases = String::new();
    let (mut failures, mut skipped, mut tests) = (0, 0, 0);
    for cell in &record.matrix {
        let Some(arm) = cell.arm(Arm::Encrypted) else { continue };
        let (name, said) = (escape(&cell.cell), escape(&words(arm.tpdi.active)));
        tests += 1;
        let inside = match arm.tpdi.active {
            Figure::Improves { .. } => format!("<system-out>{said}</system-out>"),
            Figure::NoImprovement { .. } => {
                failures += 1;
                format!("<failure type=\"NO-IMPROVEMENT\" message=\"{said}\"/>")
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(cases, "  <testcase classname=\"tensorguard.matrix\" name=\"{name}\">{inside}</testcase>");
    }
    for check in record.checks.iter().filter(|check| !check.holds) {
        (tests, failures) = (tests + 1, failures + 1);
        let (name, claim) = (escape(&check.cell), escape(&check.claim));
        let _ = writeln!(
            cases,
            "  <testcase classname=\"tensorguard.check\" name=\"{name}\"><failure message=\"{claim}\"/></testcase>"
        );
    }
    for (cell, why) in record.cells.iter().filter_map(|cell| Some((&cell.id, cell.not_run.as_ref()?))) {
        (tests, skipped) = (tests + 1, skipped + 1);
        let (name, why) = (escape(cell), escape(why));
        let _ = writeln!(
            cases,
            "  <testcase classname=\"tensorguard.matrix\" name=\"{name}\"><skipped message=\"{why}\"/></testcase>"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"tensorguard matrix\" tests=\"{tests}\" failures=\"{failures}\" \
         skipped=\"{skipped}\">\n{cases}</testsuite>\n"
    )
}

/// A metric's name, its help, and its value in an arm.
type Family = (&'static str, &'static str, fn(&ArmOutcome) -> Option<f64>);

/// For a scraper.
#[must_use]
pub fn open_metrics(record: &Record) -> String {
    let families: [Family; 5] = [
        ("tensorguard_active_seconds", "Computing and transfers per deployed improvement.", |arm| {
            numbers(arm.tpdi.active)[0]
        }),
        ("tensorguard_active_seconds_low", "Where its interval begins, or the least it can be.", |arm| {
            numbers(arm.tpdi.active)[1]
        }),
        ("tensorguard_wall_seconds", "The same with policy waits.", |arm| numbers(arm.tpdi.wall)[0]),
        ("tensorguard_deployed", "Improvements that the fleet kept.", |arm| Some(f64::from(arm.tpdi.deployed))),
        ("tensorguard_attempts", "Attempts behind them.", |arm| Some(f64::from(arm.tpdi.attempts))),
    ];
    let mut text = String::new();
    for (name, help, value) in families {
        family(&mut text, name, help);
        for (cell, arm, who) in arms(record) {
            if let Some(value) = value(arm) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name}{{cell=\"{}\",arm=\"{who}\"}} {value}", label(&cell.cell));
            }
        }
    }
    text + "# EOF\n"
}
