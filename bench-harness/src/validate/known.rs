//! What earlier sittings found out about a board and still holds. A board cools down, and its times are held against limits that
//! were measured minutes before: so what was answered counts, and soaks that came to their end, and all times are taken anew.

use super::soak;
use crate::failure::Failure;
use crate::record::journal::Journal;
use crate::record::{Check, Line, Property};
use std::collections::BTreeMap;

/// The cell that says in which state a board was.
pub(super) const MACHINE: &str = "machine";

/// The lines that count.
pub(super) struct Known(Vec<Line>);

impl Known {
    /// Begins everything else anew.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where something was wrong: a second try must not hide it.
    pub(super) fn of(journal: &mut Journal, mut lines: Vec<Line>) -> Result<Self, Failure> {
        let wrong =
            |line: &Line| if let Line::Check(check) = line { (!check.holds).then(|| check.clone()) } else { None };
        if let Some(Check { cell, claim, .. }) = lines.iter().find_map(wrong) {
            let folder = journal.folder().display();
            return Err(Failure::Wrong(format!(
                "{folder} says it already: {cell}, {claim}. Going on would not change that; begin anew"
            )));
        }
        let begun = lines.iter().filter_map(|line| if let Line::Cell { cell, .. } = line { Some(cell) } else { None });
        let passed: Vec<String> = begun.filter(|cell| !holds(cell, &lines)).cloned().collect();
        for cell in passed {
            journal.anew(&cell, &mut lines)?;
        }
        Ok(Self(lines))
    }

    /// Whether something is known of this cell.
    pub(super) fn has(&self, cell: &str) -> bool {
        self.0.iter().any(|line| line.cell() == Some(cell))
    }

    /// Whether the board was described, and is in the same state.
    ///
    /// # Errors
    /// [`Failure::Incomparable`] where it is in another.
    pub(super) fn is_state(&self, now: &BTreeMap<String, Property>) -> Result<bool, Failure> {
        let before = self.0.iter().find_map(|line| match line {
            Line::Cell { cell, properties } if cell == MACHINE => Some(properties),
            _ => None,
        });
        let Some(before) = before else { return Ok(false) };
        let names = before.keys().chain(now.keys().filter(|name| !before.contains_key(*name)));
        let differing: Vec<&str> =
            names.filter(|name| before.get(*name) != now.get(*name)).map(String::as_str).collect();
        if differing.is_empty() {
            return Ok(true);
        }
        Err(Failure::Incomparable(format!(
            "the board is in another state than when this was begun ({}); bring it back, or begin anew",
            differing.join(", ")
        )))
    }
}

/// Whether what a cell says still holds. Answers and soaks end with their check.
fn holds(cell: &str, lines: &[Line]) -> bool {
    let is_checked = lines.iter().any(|line| matches!(line, Line::Check(check) if check.cell == cell));
    let is_lasting = cell.starts_with("answers ") || cell.starts_with(soak::CELL);
    cell == MACHINE || (is_lasting && is_checked)
}
