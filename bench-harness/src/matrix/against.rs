//! Two runs of the matrix against each other, cell by cell: by the intervals of their totals.
//!
//! The machine may have changed between them, which no interval shows. So a longer time alone is no failure but a reason to look again, and
//! what fails is a cell that no longer improves anything: that is the same on every machine's clock.

use super::compose::Arm;
use super::demand::listed;
use super::explain::headline;
use super::outcome::CellOutcome;
use super::tpdi::{Clock, Figure};
use crate::failure::Failure;
use crate::record::{Label, Record};
use crate::stats::median;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// What became of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Longer by more than is allowed, wherever in their intervals both lie.
    Slower,
    /// Not slower by more than is allowed, wherever both lie.
    Holds,
    /// The intervals do not say.
    Inconclusive,
}

/// A cell of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its name.
    pub cell: String,
    /// Active time per deployed improvement, encrypted, in the earlier run.
    pub old: Figure,
    /// In the later one.
    pub new: Figure,
    /// Later over earlier, at least; none where the earlier one has no bound.
    pub low: Option<f64>,
    /// At most; none where the later one has no bound.
    pub high: Option<f64>,
    /// What that means.
    pub verdict: Verdict,
}

/// All cells of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changes {
    /// The slowdown that is allowed.
    pub delta: f64,
    /// In the order of the later run.
    pub cells: Vec<Change>,
    /// Cells that one of them lacks.
    pub alone: Vec<String>,
    /// The smallest change that half of the cells would show.
    pub visible: Option<f64>,
}

/// Compares what both have.
///
/// # Errors
/// [`Failure::Incomparable`] where machine, engine, configuration or labels differ, [`Failure::Nothing`] where they share no cell.
pub fn compare(old: &Record, new: &Record, delta: f64) -> Result<Changes, Failure> {
    let of = |record: &Record| {
        let machine = record.environment.machine.label();
        [machine, record.environment.engine.clone(), record.header.config_sha256.clone()]
    };
    for ((old, new), what) in of(old).into_iter().zip(of(new)).zip(["machine", "engine", "configuration"]) {
        if old != new {
            return Err(Failure::Incomparable(format!(
                "{what} {old} and {new}: a run is held against one of the same"
            )));
        }
    }
    let (mut cells, mut alone) = (Vec::new(), Vec::new());
    for cell in &new.matrix {
        match old.matrix.iter().find(|other| other.cell == cell.cell) {
            Some(other) => cells.extend(change(other, cell, delta)?),
            None => alone.push(cell.cell.clone()),
        }
    }
    let lost = old.matrix.iter().filter(|cell| new.matrix.iter().all(|other| other.cell != cell.cell));
    alone.extend(lost.map(|cell| cell.cell.clone()));
    if cells.is_empty() {
        return Err(Failure::Nothing("the two runs share no composed cell".to_owned()));
    }
    Ok(Changes { delta, cells, alone, visible: visible(old.matrix.iter().chain(&new.matrix)) })
}

fn change(old: &CellOutcome, new: &CellOutcome, delta: f64) -> Result<Option<Change>, Failure> {
    let [Some(before), Some(after)] = [old, new].map(|cell| cell.arm(Arm::Encrypted)) else { return Ok(None) };
    let [of_old, of_new] =
        [before, after].map(|arm| arm.labels(Clock::Active).into_keys().collect::<BTreeSet<Label>>());
    if of_old != of_new {
        return Err(Failure::Incomparable(format!("{} is {}, and was {}", new.cell, listed(&of_new), listed(&of_old))));
    }
    let ([old_low, old_high], [new_low, new_high]) = (range(before.tpdi.active), range(after.tpdi.active));
    let low = old_high.zip(new_low).map(|(old, new)| new / old);
    let high = old_low.zip(new_high).map(|(old, new)| new / old);
    let allowed = 1.0 + delta;
    let verdict = match () {
        () if low.is_some_and(|low| low > allowed) => Verdict::Slower,
        () if high.is_some_and(|high| high < allowed) => Verdict::Holds,
        () => Verdict::Inconclusive,
    };
    let cell = new.cell.clone();
    Ok(Some(Change { cell, old: before.tpdi.active, new: after.tpdi.active, low, high, verdict }))
}

/// Where a figure lies, as far as it has bounds.
fn range(figure: Figure) -> [Option<f64>; 2] {
    match figure {
        Figure::Improves { low, high, .. } => [Some(low), high],
        Figure::NoImprovement { at_least_s } => [Some(at_least_s), None],
    }
}

/// The change that half of these cells would show: where two intervals as wide as theirs no longer overlap. None without bounds.
#[must_use]
pub fn visible<'a>(cells: impl Iterator<Item = &'a CellOutcome>) -> Option<f64> {
    let width = |cell: &CellOutcome| match cell.arm(Arm::Encrypted)?.tpdi.active {
        Figure::Improves { seconds, low, high } => Some((high? - low) / seconds),
        Figure::NoImprovement { .. } => None,
    };
    let widths: Vec<f64> = cells.filter_map(width).collect();
    (!widths.is_empty()).then(|| median(&widths))
}

impl Changes {
    /// What to end with.
    ///
    /// # Errors
    /// [`Failure::Regression`] where a cell improves nothing any more, [`Failure::Unfit`] where one looks slower or intervals are too
    /// wide to say.
    pub fn verdict(&self) -> Result<(), Failure> {
        let named = |is: &dyn Fn(&Change) -> bool| -> Vec<&str> {
            self.cells.iter().filter(|cell| is(cell)).map(|cell| cell.cell.as_str()).collect()
        };
        let improves = |figure| matches!(figure, Figure::Improves { .. });
        let lost = named(&|cell| improves(cell.old) && !improves(cell.new));
        if !lost.is_empty() {
            return Err(Failure::Regression(format!("no improvement any more: {}", lost.join(", "))));
        }
        let slower = named(&|cell| cell.verdict == Verdict::Slower);
        if !slower.is_empty() {
            return Err(Failure::Unfit(format!(
                "longer by more than {}: {}. The machine may be why: run both again, one after the other, or ask `tensorguard ab` about \
                 the code",
                self.delta,
                slower.join(", ")
            )));
        }
        let unknown = named(&|cell| cell.verdict == Verdict::Inconclusive);
        if !unknown.is_empty() {
            return Err(Failure::Unfit(format!(
                "the intervals of {} of {} cells are too wide to exclude {}",
                unknown.len(),
                self.cells.len(),
                self.delta
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "active time per deployed improvement, encrypted; 95 % intervals over campaigns")?;
        let bound = |bound: Option<f64>| bound.map_or("without bound".to_owned(), |bound| format!("{bound:.2}"));
        for Change { cell, old, new, low, high, verdict } in &self.cells {
            let (old, new, low, high) = (headline(*old), headline(*new), bound(*low), bound(*high));
            writeln!(f, "{cell:34} {old:>28} -> {new:>28}   x {low} .. {high}   {}", verdict.name())?;
        }
        for cell in &self.alone {
            writeln!(f, "{cell:34} in one of them only")?;
        }
        match self.visible {
            Some(visible) => writeln!(f, "half of the cells would show a change of {:.0} % or more", 100.0 * visible),
            None => writeln!(f, "no cell has an interval with two ends: no change would be seen"),
        }
    }
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Slower => "looks slower",
            Self::Holds => "holds",
            Self::Inconclusive => "inconclusive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn recorded() -> Record {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-matrix-standard");
        crate::matrix::run::read(&folder).expect("a committed run")
    }

    /// The same run, every total this much longer.
    fn slower(by: f64) -> Record {
        let mut record = recorded();
        for arm in record.matrix.iter_mut().flat_map(|cell| &mut cell.arms) {
            if let Figure::Improves { seconds, low, high } = &mut arm.tpdi.active {
                (*seconds, *low, *high) = (*seconds * by, *low * by, high.map(|high| high * by));
            }
        }
        record
    }

    #[test]
    fn what_improves_no_more_fails_and_what_looks_slower_or_cannot_be_told_is_not_passed() {
        let code = |new: &Record, delta| {
            compare(&recorded(), new, delta)
                .and_then(|changes| changes.verdict())
                .map_err(|failure| failure.code())
                .err()
        };
        assert_eq!(code(&slower(9.0), 0.02), Some(5), "the machine may be why");
        assert_eq!(code(&recorded(), 0.0), Some(5), "intervals have a width");
        assert_eq!(code(&slower(0.1), 0.02), None);
        let mut none = recorded();
        for arm in none.matrix.iter_mut().flat_map(|cell| &mut cell.arms) {
            arm.tpdi.active = Figure::NoImprovement { at_least_s: 1e-9 };
        }
        assert_eq!(code(&none, 0.02), Some(3), "however quickly");
    }

    #[test]
    fn only_what_is_alike_is_compared() {
        let code = |new: &Record| compare(&recorded(), new, 0.02).map_err(|failure| failure.code()).err();
        let mut configured = recorded();
        configured.header.config_sha256 = "0".to_owned();
        let mut labelled = recorded();
        for stage in labelled.matrix.iter_mut().flat_map(|cell| &mut cell.arms).flat_map(|arm| &mut arm.stages) {
            stage.label = Label::M;
        }
        let mut empty = recorded();
        empty.matrix.clear();
        assert_eq!([code(&configured), code(&labelled), code(&empty)], [Some(6), Some(6), Some(4)]);
        let mut fewer = recorded();
        let gone = fewer.matrix.remove(0).cell;
        assert_eq!(compare(&recorded(), &fewer, 0.02).map(|changes| changes.alone), Ok(vec![gone]));
    }
}
