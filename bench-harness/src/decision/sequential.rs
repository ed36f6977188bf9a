//! Two finished records, one after the other: weaker than taking turns, because the machine may have changed in between.
//! So only the ratio to a peer of the same run can fail: what hit both arms cancels. An arm by itself that looks slower
//! is a reason to ask `ab`, and no answer.

use super::{Decision, INJECTED, Outcome, Place, Row, Terms, holm, place};
use crate::failure::Failure;
use crate::micro::case::{HOST, arm};
use crate::micro::view::LIMIT_CELL;
use crate::record::fold::AGAIN;
use crate::record::{Cell, Measure, Property, Record, Stage};
use crate::stats::normal_tail;

/// The arms of a stage that has a peer.
const OURS: &str = "ours";
const THEIRS: &str = "theirs";
/// Half the width of an interval of 95 %, in standard deviations.
const HALF_WIDTH: f64 = 1.96;

/// Compares `new` with `old`.
///
/// # Errors
/// [`Failure::Incomparable`] where they come from different machines, engines, corpora, configurations or provenance;
/// [`Failure::Nothing`] where they have no stage in common.
pub fn compare(old: &Record, new: &Record, terms: &Terms) -> Result<Decision, Failure> {
    comparable(old, new)?;
    let noise = old.noise.into_iter().chain(new.noise).reduce(f64::max);
    let mut rows = Vec::new();
    // A limit is the machine's, not the code's.
    for cell in new.cells.iter().filter(|cell| cell.id != LIMIT_CELL) {
        let Some(before) = old.cells.iter().find(|before| before.id == cell.id) else { continue };
        same_peer(before, cell)?;
        for stage in &cell.stages {
            let Some(earlier) = before.stages.iter().find(|earlier| earlier.name == stage.name) else { continue };
            if earlier.label != stage.label {
                let (cell, name) = (&cell.id, &stage.name);
                let why = format!("{cell}, {name}: one is {:?}, the other {:?}", earlier.label, stage.label);
                return Err(Failure::Incomparable(why));
            }
            rows.extend(timed(cell, earlier, stage, noise, terms));
            rows.extend(exact(cell, earlier, stage));
        }
    }
    holm(&mut rows, terms.alpha);
    let Some(outcome) = rows.iter().map(|row| row.outcome).min() else {
        return Err(Failure::Nothing("the two records have no stage in common".to_owned()));
    };
    let blind_below = rows.iter().map(|row| row.delta).fold(0.0, f64::max);
    Ok(Decision { outcome, noise, blind_below, rows, not_run: Vec::new() })
}

fn comparable(old: &Record, new: &Record) -> Result<(), Failure> {
    let (a, b) = (&old.environment, &new.environment);
    let facts = [
        ("processor", format!("{:?}", a.machine.cpu), format!("{:?}", b.machine.cpu)),
        ("cores", a.machine.cores.to_string(), b.machine.cores.to_string()),
        ("platform", a.machine.platform.clone(), b.machine.platform.clone()),
        ("kernel", format!("{:?}", a.machine.kernel), format!("{:?}", b.machine.kernel)),
        ("memory", format!("{:?}", a.machine.memory_bytes), format!("{:?}", b.machine.memory_bytes)),
        ("cache", format!("{:?}", a.machine.cache_bytes), format!("{:?}", b.machine.cache_bytes)),
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

/// The ratio to a peer says something about us only while the peer stays the same.
fn same_peer(old: &Cell, new: &Cell) -> Result<(), Failure> {
    for property in ["peer_isa", "version"] {
        let (a, b) = (old.properties.get(property), new.properties.get(property));
        if a != b {
            let why = format!("{}: {property} is {a:?} in the one and {b:?} in the other", new.id);
            return Err(Failure::Incomparable(why));
        }
    }
    Ok(())
}

/// A median and its interval, as logarithms.
struct Estimate {
    middle: f64,
    low: f64,
    high: f64,
    count: u64,
}

impl Estimate {
    fn of(middle: f64, low: f64, high: f64, count: u64) -> Option<Self> {
        let estimate = Self { middle: middle.ln(), low: low.ln(), high: high.ln(), count };
        [estimate.middle, estimate.low, estimate.high].iter().all(|log| log.is_finite()).then_some(estimate)
    }
}

/// Our time over a peer's.
fn over_peer(stage: &Stage, measure: Measure) -> Option<Estimate> {
    let found = |ratio: &&crate::record::Ratio| ratio.arm == THEIRS && ratio.over == OURS && ratio.measure == measure;
    let ratio = stage.ratios.iter().find(found)?;
    // The record has the other's over ours.
    Estimate::of(1.0 / ratio.median, 1.0 / ratio.high, 1.0 / ratio.low, ratio.pairs)
}

/// The time of an arm by itself.
fn alone(stage: &Stage, arm: &str, measure: Measure) -> Option<Estimate> {
    let figure = stage.figures.iter().find(|figure| figure.arm == arm && figure.measure == measure)?;
    Estimate::of(figure.median, figure.low, figure.high, figure.samples)
}

/// By which clocks an arm is held, the first that both records have: CPU time says nothing about a device, nor about how
/// long several threads take together.
fn clocks(cell: &Cell, name: &str) -> &'static [Measure] {
    let engine = ["backend", "engine"].iter().find_map(|property| match cell.properties.get(*property) {
        Some(Property::Text(engine)) => Some(engine.as_str()),
        _ => None,
    });
    let is_processor = engine.is_none_or(|engine| engine.starts_with("cpu-") || [HOST, "reference"].contains(&engine));
    let is_many = name.ends_with(" threads") && name != arm(1);
    if is_processor && !is_many {
        &[Measure::CpuNs, Measure::DeviceNs, Measure::WallNs]
    } else {
        &[Measure::DeviceNs, Measure::WallNs]
    }
}

/// One row for a stage with a peer; else one for each arm.
fn timed(cell: &Cell, old: &Stage, new: &Stage, noise: Option<f64>, terms: &Terms) -> Vec<Row> {
    let row = |metric: String, measure, estimates: [Estimate; 2], peer| {
        let delta = terms.delta(&metric).max(2.0 * noise.unwrap_or(0.0));
        judged(metric, measure, estimates, delta, peer)
    };
    let both = |of: &dyn Fn(&Stage, Measure) -> Option<Estimate>, arm: &str| {
        clocks(cell, arm).iter().find_map(|&measure| Some((measure, [of(old, measure)?, of(new, measure)?])))
    };
    let metric = format!("{} {}", cell.id, new.name);
    if let Some((measure, estimates)) = both(&over_peer, OURS) {
        return vec![row(metric, measure, estimates, Peer::Present)];
    }
    let proofs = [AGAIN, INJECTED];
    let mut arms: Vec<&str> = new.figures.iter().map(|figure| figure.arm.as_str()).collect();
    arms.retain(|arm| !proofs.contains(arm));
    arms.dedup();
    let rows = arms.iter().filter_map(|arm| {
        let (measure, estimates) = both(&|stage, measure| alone(stage, arm, measure), arm)?;
        let metric = if arms.len() > 1 { format!("{metric} {arm}") } else { metric.clone() };
        Some(row(metric, measure, estimates, Peer::Absent))
    });
    rows.collect()
}

/// Whether a ratio is to somebody who was measured in the same run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Present,
    Absent,
}

/// The interval of a difference from two intervals: the distances to the ends add up as squares.
fn judged(metric: String, measure: Measure, [before, after]: [Estimate; 2], delta: f64, peer: Peer) -> Row {
    let middle = after.middle - before.middle;
    let below = (after.middle - after.low).hypot(before.high - before.middle);
    let above = (after.high - after.middle).hypot(before.middle - before.low);
    let (low, high) = ((middle - below).exp(), (middle + above).exp());
    let (outcome, why) = match (place(low, high, delta), peer) {
        (Place::Below, _) => (Outcome::Pass, ""),
        (Place::Above, Peer::Present) => (Outcome::Fail, "slower, beside the peer of the same run"),
        (Place::Above, Peer::Absent) => {
            (Outcome::Inconclusive, "looks slower, and so may the machine have been: ask `tensorguard ab`")
        }
        (Place::Across, _) => {
            (Outcome::Inconclusive, "the interval lies across the threshold; `tensorguard ab` sees more")
        }
    };
    // How far the middle lies above the threshold, in standard deviations of the lower side.
    let far = (middle - delta.ln_1p()) / (below / HALF_WIDTH).max(f64::MIN_POSITIVE);
    let p_value = (peer == Peer::Present).then(|| normal_tail(far));
    let (pairs, ratio, why) = (before.count.min(after.count), middle.exp(), why.to_owned());
    Row { metric, measure, outcome, ratio, low, high, pairs, delta, p_value, why }
}

/// Bytes that we send; what a peer sends is not ours to fail for.
fn exact(cell: &Cell, old: &Stage, new: &Stage) -> Vec<Row> {
    let is_of_a_peer = matches!(cell.properties.get("peer"), Some(Property::Text(peer)) if peer != "tensorguard");
    let bytes = |stage: &Stage, arm: &str| {
        let found = stage.figures.iter().find(|figure| figure.arm == arm && figure.measure == Measure::WireBytes);
        found.map(|figure| figure.median)
    };
    let mut rows = Vec::new();
    let sent = new.figures.iter().filter(|figure| figure.measure == Measure::WireBytes && !is_of_a_peer);
    for figure in sent {
        let Some(before) = bytes(old, &figure.arm) else { continue };
        let ratio = if before == figure.median { 1.0 } else { figure.median / before };
        let outcome = if ratio > 1.0 { Outcome::Fail } else { Outcome::Pass };
        let why = if ratio == 1.0 { String::new() } else { format!("{before} became {}", figure.median) };
        let (metric, measure) = (format!("{} {} {}", cell.id, new.name, figure.arm), Measure::WireBytes);
        let row =
            Row { metric, measure, outcome, ratio, low: ratio, high: ratio, pairs: 0, delta: 0.0, p_value: None, why };
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_ratios_to_peers_may_be_chance() {
        // 10 % slower, threshold 2 %, and the threshold 2.5 standard deviations away: p = 0.006.
        let width = HALF_WIDTH * (1.10f64.ln() - 1.02f64.ln()) / 2.5;
        let estimate = |middle: f64| {
            let width = width / std::f64::consts::SQRT_2;
            let (low, high) = ((middle.ln() - width).exp(), (middle.ln() + width).exp());
            Estimate::of(middle, low, high, 30).expect("a time")
        };
        let row = |after| judged(String::new(), Measure::CpuNs, [estimate(1.0), estimate(after)], 0.02, Peer::Present);
        let mut alone = vec![row(1.10)];
        holm(&mut alone, 0.05);
        assert_eq!(alone[0].outcome, Outcome::Fail);
        assert!(alone[0].p_value.is_some_and(|p| (p - 0.0062).abs() < 1e-4), "{:?}", alone[0].p_value);
        let mut many: Vec<Row> = (0..40).map(|index| row(if index == 0 { 1.10 } else { 1.0 })).collect();
        holm(&mut many, 0.05);
        assert_eq!(many[0].outcome, Outcome::Inconclusive, "{}", many[0].why);
    }
}
