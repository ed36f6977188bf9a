//! Which try of a cell that goes end to end counts, and when it is tried again: decided before a run, and never by how well a try agrees.
//!
//! A try is all runs of the cell, one after the other. Only a run for publishing has more than one, and only where the first does not agree
//! and others took the processor meanwhile. The first quiet try counts, whatever it says; where none was quiet, the first one.

use super::{WholeLine, WholeOutcome, middle};
use crate::matrix::trace::FleetTrace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The entry of a configuration that says how many tries a cell may have; one without it.
pub const KEY: &str = "end_to_end_tries";
/// Tries of a cell in a run for publishing.
pub const MOST: u64 = 3;
/// A try is quiet if in its middle run processes outside of the fleet kept at most so many cores busy. However their work falls, the clock then
/// runs longer by at most as much as totals may be apart.
pub const QUIET_CORES: f64 = super::TOLERANCE;

/// A try, as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Try {
    /// By the clock.
    pub end_to_end_s: f64,
    /// Put together.
    pub composed_s: Option<f64>,
    /// Composed over end to end.
    pub ratio: Option<f64>,
    /// Whether that is near enough to 1.
    pub agrees: Option<bool>,
    /// Cores that processes outside of the fleet kept busy in the middle run, where the system tells.
    pub others_cores: Option<f64>,
    /// Whether that is few enough; none where the system does not tell.
    pub quiet: Option<bool>,
    /// Whether this is the try that counts.
    pub counts: bool,
}

/// How many tries a cell may have by this configuration.
#[must_use]
pub fn most(config: &BTreeMap<String, Value>) -> u64 {
    config.get(KEY).and_then(Value::as_u64).unwrap_or(1)
}

/// The cells that went end to end, each by the try that counts. Where the configuration allows more than one try, all are listed.
///
/// # Errors
/// Names a line without a run.
pub fn outcomes<'a>(
    lines: &[&'a WholeLine],
    config: &BTreeMap<String, Value>,
    trace: impl Fn(&WholeLine) -> Option<&'a FleetTrace>,
) -> Result<Vec<WholeOutcome>, String> {
    let mut cells: Vec<Vec<(&WholeLine, WholeOutcome)>> = Vec::new();
    for line in lines {
        let outcome = WholeOutcome::of(line, trace(line));
        let outcome = outcome.ok_or_else(|| format!("{} went end to end without a run", line.fleet))?;
        match cells.iter_mut().find(|tries| tries[0].1.cell == outcome.cell) {
            Some(tries) => tries.push((line, outcome)),
            None => cells.push(vec![(line, outcome)]),
        }
    }
    Ok(cells.into_iter().map(|tries| outcome(tries, most(config))).collect())
}

/// A cell by the try that counts. Where there can be one at most, it is not listed.
fn outcome(mut tries: Vec<(&WholeLine, WholeOutcome)>, most: u64) -> WholeOutcome {
    let mut list: Vec<Try> = tries.iter().map(|(line, outcome)| seen(line, outcome)).collect();
    let counted = counted(&list);
    list[counted].counts = true;
    let mut outcome = tries.swap_remove(counted).1;
    outcome.tries = if most > 1 { list } else { Vec::new() };
    outcome
}

fn seen(line: &WholeLine, outcome: &WholeOutcome) -> Try {
    let cores = f64::from(line.cores);
    let others_cores = middle(line.runs.iter().filter_map(|run| run.others_share).map(|share| share * cores));
    Try {
        end_to_end_s: outcome.end_to_end_s,
        composed_s: outcome.composed_s,
        ratio: outcome.ratio,
        agrees: outcome.agrees,
        others_cores,
        quiet: others_cores.map(|cores| cores <= QUIET_CORES),
        counts: false,
    }
}

/// The first quiet one; where none was, the first. Where nobody can tell whether others took the processor, nothing speaks for it.
fn counted(tries: &[Try]) -> usize {
    tries.iter().position(|one| one.quiet != Some(false)).unwrap_or(0)
}

/// Whether the cell is tried once more: its first try did not agree, and others took the processor in every one so far.
#[must_use]
pub fn is_tried_again(tries: &[Try], most: u64) -> bool {
    let disturbed = tries.iter().all(|one| one.quiet == Some(false));
    let apart = tries.first().is_some_and(|first| first.agrees == Some(false));
    apart && disturbed && (tries.len() as u64) < most
}

impl Try {
    /// In words; `number` counts from 1.
    #[must_use]
    pub fn told(&self, number: usize) -> String {
        let ratio = self.ratio.map_or("nothing put together".to_owned(), |ratio| format!("{ratio:.2}"));
        let counts = if self.counts { "; counts" } else { "" };
        format!("try {number}: {ratio}, {}{counts}", self.disturbance())
    }

    /// What others did meanwhile, in words.
    #[must_use]
    pub fn disturbance(&self) -> String {
        match (self.others_cores, self.quiet) {
            (Some(cores), Some(true)) => format!("quiet, others kept {cores:.2} cores busy"),
            (Some(cores), _) => format!("disturbed, others kept {cores:.2} cores busy"),
            (None, _) => "what others did is unknown here".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TOLERANCE;
    use super::*;

    /// A try by its ratio, and how many cores others kept busy.
    fn seen(ratio: f64, others_cores: Option<f64>) -> Try {
        let quiet = others_cores.map(|cores| cores <= QUIET_CORES);
        let (agrees, ratio) = (Some((ratio - 1.0).abs() <= TOLERANCE), Some(ratio));
        Try { end_to_end_s: 1.0, composed_s: ratio, ratio, agrees, others_cores, quiet, counts: false }
    }

    const AGREES: f64 = 1.0;
    const APART: f64 = 0.5;
    const BUSY: Option<f64> = Some(0.8);
    const CALM: Option<f64> = Some(0.04);

    #[test]
    fn the_first_quiet_try_counts_whatever_it_says_and_the_first_where_none_was() {
        for (tries, expected) in [
            (vec![(APART, BUSY), (APART, CALM), (AGREES, CALM)], 1),
            (vec![(APART, BUSY), (AGREES, BUSY), (AGREES, CALM)], 2),
            (vec![(APART, BUSY), (AGREES, BUSY), (AGREES, BUSY)], 0),
            (vec![(APART, CALM), (AGREES, CALM)], 0),
            (vec![(AGREES, BUSY)], 0),
            (vec![(APART, BUSY), (APART, None)], 1),
        ] {
            let tries: Vec<Try> = tries.into_iter().map(|(ratio, cores)| seen(ratio, cores)).collect();
            assert_eq!(counted(&tries), expected, "{tries:?}");
        }
    }

    #[test]
    fn only_a_disagreement_that_others_may_have_made_is_tried_again_and_not_without_end() {
        for (tries, expected) in [
            (vec![(APART, BUSY)], true),
            (vec![(APART, CALM)], false),
            (vec![(APART, None)], false),
            (vec![(AGREES, BUSY)], false),
            (vec![(AGREES, CALM)], false),
            // One that agrees while others work is no more to be believed than one that does not.
            (vec![(APART, BUSY), (AGREES, BUSY)], true),
            (vec![(APART, BUSY), (APART, CALM)], false),
            (vec![(APART, BUSY), (AGREES, CALM)], false),
            (vec![(APART, BUSY), (APART, BUSY), (APART, BUSY)], false),
        ] {
            let tries: Vec<Try> = tries.into_iter().map(|(ratio, cores)| seen(ratio, cores)).collect();
            assert_eq!(is_tried_again(&tries, MOST), expected, "{tries:?}");
        }
        assert!(!is_tried_again(&[seen(APART, BUSY)], 1), "a run that is not for publishing");
        assert!(!is_tried_again(&[], MOST));
    }
}
