//! The formula of composed cells against a shaped link: what it says of the parts that have transfers, and how far off that is.

use super::{Measured, Part, WholeLine, WholeTrace, middle, spent};
use crate::matrix::explain::duration;
use crate::matrix::link::{FORMULA, transfer_s};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part by formula, and by the clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartByFormula {
    /// The part.
    pub part: Part,
    /// Its transfers by the formula, the rest as measured.
    pub formula_s: f64,
    /// By the clock, over the shaped link.
    pub emulated_s: f64,
    /// The first over the second, less 1: positive where the formula is too slow.
    pub error: f64,
}

/// The formula, for a link that was asked for, beside what that link took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByFormula {
    /// Its name.
    pub formula: String,
    /// Uploads, and the roll-out.
    pub parts: Vec<PartByFormula>,
}

impl ByFormula {
    /// Of a cell over a shaped link. The formula opens a connection for each transfer, which this fleet does not: the error has that in it.
    pub(super) fn of(line: &WholeLine, measured: &Measured) -> Option<Self> {
        let link = line.link?;
        let (up_s, down_s) = (transfer_s(link, measured.upload_bytes), transfer_s(link, measured.package_bytes));
        let composed = |run: &WholeTrace| measured.compose(line, run, super::Carried { up_s, down_s });
        let part = |part: Part| {
            let index = Part::ALL.iter().position(|found| *found == part)?;
            let formula_s = middle(line.runs.iter().map(|run| composed(run)[index]))?;
            let emulated_s = middle(line.runs.iter().map(|run| spent(run)[index]))?;
            Some(PartByFormula { part, formula_s, emulated_s, error: formula_s / emulated_s - 1.0 })
        };
        let parts = [Part::Uploads, Part::Rollout].into_iter().filter_map(part).collect();
        Some(Self { formula: FORMULA.to_owned(), parts })
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let part = |by: &PartByFormula| {
            let (formula, emulated) = (duration(by.formula_s), duration(by.emulated_s));
            format!("{} {formula} against {emulated} ({:+.0} %)", by.part.name(), 100.0 * by.error)
        };
        let parts: Vec<String> = self.parts.iter().map(part).collect();
        format!("with transfers by {} (D), as in composed cells: {}", self.formula, parts.join(", "))
    }
}
