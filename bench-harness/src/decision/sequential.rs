//! Two finished records, one after the other: weaker than taking turns, because the machine may have changed in between.
//! Where a stage has a second arm, such as a peer, the ratios to it are compared, and what hit both arms cancels.

use super::{BASE, Decision, Outcome, Place, Row, Terms, place};
use crate::failure::Failure;
use crate::record::fold::AGAIN;
use crate::record::{Measure, Record, Stage};

/// Compares `new` with `old`.
///
/// # Errors
/// [`Failure::Incomparable`] where they come from different machines, engines, corpora, configurations or provenance;
/// [`Failure::Nothing`] where they have no stage in common.
pub fn compare(old: &Record, new: &Record, terms: &Terms) -> Result<Decision, Failure> {
    comparable(old, new)?;
    let noise = old.noise.unwrap_or(0.0).max(new.noise.unwrap_or(0.0));
    let mut rows = Vec::new();
    for cell in &new.cells {
        let Some(before) = old.cells.iter().find(|before| before.id == cell.id) else { continue };
        for stage in &cell.stages {
            let Some(earlier) = before.stages.iter().find(|earlier| earlier.name == stage.name) else { continue };
            if earlier.label != stage.label {
                let (cell, name) = (&cell.id, &stage.name);
                let why = format!("{cell}, {name}: one is {:?}, the other {:?}", earlier.label, stage.label);
                return Err(Failure::Incomparable(why));
            }
            rows.extend(row(&cell.id, earlier, stage, noise, terms));
            rows.extend(exact(&cell.id, earlier, stage));
        }
    }
    let Some(outcome) = rows.iter().map(|row| row.outcome).min() else {
        return Err(Failure::Nothing("the two records have no stage in common".to_owned()));
    };
    let blind_below = rows.iter().map(|row| row.delta).fold(0.0, f64::max);
    Ok(Decision { outcome, noise, blind_below, rows })
}

fn comparable(old: &Record, new: &Record) -> Result<(), Failure> {
    let (a, b) = (&old.environment, &new.environment);
    let facts = [
        ("processor", format!("{:?}", a.machine.cpu), format!("{:?}", b.machine.cpu)),
        ("cores", a.machine.cores.to_string(), b.machine.cores.to_string()),
        ("platform", a.machine.platform.clone(), b.machine.platform.clone()),
        ("engine", a.engine.clone(), b.engine.clone()),
        ("GPU", format!("{:?}", a.gpu), format!("{:?}", b.gpu)),
        ("command", old.header.command.clone(), new.header.command.clone()),
        ("configuration", old.header.config_sha256.clone(), new.header.config_sha256.clone()),
        ("corpus", format!("{:?}", old.header.corpus_sha256), format!("{:?}", new.header.corpus_sha256)),
    ];
    let differing: Vec<String> =
        facts.iter().filter(|(_, a, b)| a != b).map(|(what, a, b)| format!("{what}: {a} and {b}")).collect();
    if differing.is_empty() { Ok(()) } else { Err(Failure::Incomparable(differing.join("; "))) }
}

/// A median and its interval, as logarithms.
struct Estimate {
    middle: f64,
    low: f64,
    high: f64,
    count: u64,
}

/// Our time over another arm's where there is one, else our time.
fn estimate(stage: &Stage, measure: Measure) -> Option<Estimate> {
    let other = stage.ratios.iter().find(|ratio| ratio.measure == measure && ratio.arm != AGAIN && ratio.over != BASE);
    let logs = |middle: f64, low: f64, high: f64, count| {
        let estimate = Estimate { middle: middle.ln(), low: low.ln(), high: high.ln(), count };
        Some(estimate).filter(|estimate| estimate.middle.is_finite())
    };
    match other {
        // The ratio is the other's over ours.
        Some(ratio) => logs(1.0 / ratio.median, 1.0 / ratio.high, 1.0 / ratio.low, ratio.pairs),
        None => {
            let figure = stage.figures.iter().find(|figure| figure.measure == measure)?;
            logs(figure.median, figure.low, figure.high, figure.samples)
        }
    }
}

/// The interval of a difference from two intervals: the distances to the ends add up as squares.
fn row(cell: &str, old: &Stage, new: &Stage, noise: f64, terms: &Terms) -> Option<Row> {
    let measure = [Measure::CpuNs, Measure::DeviceNs, Measure::WallNs]
        .into_iter()
        .find(|&measure| estimate(old, measure).is_some() && estimate(new, measure).is_some())?;
    let (before, after) = (estimate(old, measure)?, estimate(new, measure)?);
    let middle = after.middle - before.middle;
    let below = (after.middle - after.low).hypot(before.high - before.middle);
    let above = (after.high - after.middle).hypot(before.middle - before.low);
    let (low, high) = ((middle - below).exp(), (middle + above).exp());
    let metric = format!("{cell} {}", new.name);
    let delta = terms.delta(&metric).max(2.0 * noise);
    let (outcome, why) = match place(low, high, delta) {
        Place::Above => (Outcome::Fail, ""),
        Place::Below => (Outcome::Pass, ""),
        Place::Across => (Outcome::Inconclusive, "the interval lies across the threshold; `tensorguard ab` sees more"),
    };
    let pairs = before.count.min(after.count);
    Some(Row { metric, measure, outcome, ratio: middle.exp(), low, high, pairs, delta, p_value: None, why: why.into() })
}

fn exact(cell: &str, old: &Stage, new: &Stage) -> Vec<Row> {
    let bytes = |stage: &Stage, arm: &str| {
        let found = stage.figures.iter().find(|figure| figure.arm == arm && figure.measure == Measure::WireBytes);
        found.map(|figure| figure.median)
    };
    let mut rows = Vec::new();
    for figure in new.figures.iter().filter(|figure| figure.measure == Measure::WireBytes) {
        let Some(before) = bytes(old, &figure.arm) else { continue };
        let ratio = if before == figure.median { 1.0 } else { figure.median / before };
        let outcome = if ratio > 1.0 { Outcome::Fail } else { Outcome::Pass };
        let why = if ratio == 1.0 { String::new() } else { format!("{before} became {}", figure.median) };
        let (metric, measure) = (format!("{cell} {} {}", new.name, figure.arm), Measure::WireBytes);
        let row =
            Row { metric, measure, outcome, ratio, low: ratio, high: ratio, pairs: 0, delta: 0.0, p_value: None, why };
        rows.push(row);
    }
    rows
}
