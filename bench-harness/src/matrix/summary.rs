//! A run in lines, for terminals.

use super::compose::Arm;
use super::explain::{active, headline, mix};
use super::outcome::CellOutcome;
use super::rules;
use super::tpdi::Clock;
use crate::record::Record;
use std::fmt::Write;

/// The table for a terminal.
#[must_use]
pub fn summary(record: &Record) -> String {
    let mut text = String::new();
    if !record.matrix.is_empty() {
        let _ = writeln!(
            text,
            "{:34} {:>26}  {:>26}  {:>8}  {:>11}  {:>10}  active time is",
            "cell", "active, per improvement", "with policy waits", "deployed", "success", "encryption"
        );
    }
    for cell in &record.matrix {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", row(cell));
    }
    if !record.matrix.is_empty() {
        text += FOOTNOTE;
    }
    if let Some(rules) = rules::told(&record.header.config) {
        let _ = writeln!(text, "{rules}");
    }
    for whole in &record.end_to_end {
        let _ = writeln!(text, "\nend to end, {}: {}", whole.cell, whole.told());
    }
    for absent in record.cells.iter().filter_map(|cell| Some((&cell.id, cell.not_run.as_ref()?))) {
        let _ = writeln!(text, "\nnot run, {}: {}", absent.0, absent.1);
    }
    text
}

const FOOTNOTE: &str = "
active: computing, one robot after the other (M measured here; R where robots send what others learned, and training is theirs), and
transfers (D derived, formula tcp-1). With policy waits: and robot time (P), when they collect and soak; between rounds nothing is
waited. 95 % intervals over campaigns.
";

fn row(cell: &CellOutcome) -> String {
    let [Some(encrypted), plain] = Arm::ALL.map(|arm| cell.arm(arm)) else { return String::new() };
    let tpdi = &encrypted.tpdi;
    let share =
        plain.map_or(String::new(), |plain| format!("{:.1} %", 100.0 * (1.0 - active(plain) / active(encrypted))));
    let after = cell.success_after.map_or("-".to_owned(), |after| format!("{:.0}", 100.0 * after));
    format!(
        "{:34} {:>26}  {:>26}  {:>8}  {:>11}  {share:>10}  {}",
        cell.cell,
        headline(tpdi.active),
        headline(tpdi.wall),
        format!("{}/{}", tpdi.deployed, tpdi.attempts),
        format!("{:.0} -> {after} %", 100.0 * cell.success_before),
        mix(encrypted, Clock::Active),
    )
}
