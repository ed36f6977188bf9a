//! Did it become slower? A three-way answer, from the samples of a record and terms that were fixed before.
//!
//! A row fails if its interval lies above the threshold, passes if it lies below, and needs more pairs otherwise. The
//! threshold is never finer than twice what identical code differed by in the same session. A row counts only if the
//! machine proved there and then that it would notice: the same code again must stay quiet, and code with real extra work
//! must fail.

pub mod export;
pub mod sequential;

use crate::failure::Failure;
use crate::record::fold::{AGAIN, paired_logs};
use crate::record::{Measure, Property, Ratio, Record, Sample, Stage};
use crate::stats::sign_test;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The arm that a candidate is compared with.
pub const BASE: &str = "base";
/// The arm on trial.
pub const CANDIDATE: &str = "candidate";
/// The base's code with real extra work: a slowdown that must be noticed.
pub const INJECTED: &str = "injected";
/// The stage that is judged.
pub const TIME: &str = "time";
/// The stage in which fresh processes repeat what failed.
pub const REPEAT: &str = "repeat";
/// The stage of figures that have no noise.
pub const EXACT: &str = "exact";
/// The property of a metric that was not measured: which build does not know it.
pub const UNKNOWN_TO: &str = "unknown_to";
/// The injected slowdown, in thresholds.
pub const INJECTION: f64 = 1.5;
/// With fewer, even all pairs on one side are no rarer than 1 in 20 by chance: there is no 95 % interval of their median.
pub const LEAST_PAIRS: u32 = 6;

/// What is allowed. Fixed before anything is measured, and part of the configuration's hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// The slowdown that may not pass unnoticed: 0.02 is 2 %.
    pub delta: f64,
    /// Other slowdowns for some metrics; the last that matches counts.
    pub metric: Vec<Exception>,
    /// How often all rows together may fail by chance.
    pub alpha: f64,
    /// Pairs of samples at most; half of what a row had is added until it is decided.
    pub most_pairs: u32,
    /// How much more instructions may be executed; they are only shown if there is no limit.
    pub instructions: Option<f64>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { delta: 0.02, metric: Vec::new(), alpha: 0.05, most_pairs: 160, instructions: None }
    }
}

/// Another slowdown for metrics whose name contains this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// A part of the name.
    pub name: String,
    /// The slowdown.
    pub delta: f64,
}

impl Terms {
    /// Reads a file of terms, TOML.
    ///
    /// # Errors
    /// [`Failure::Usage`] where it is none, or asks for what cannot be.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let terms: Self = toml::from_str(text).map_err(|error| Failure::Usage(format!("terms: {error}")))?;
        terms.check()?;
        Ok(terms)
    }

    /// Whether they can be met at all.
    ///
    /// # Errors
    /// [`Failure::Usage`] where they cannot.
    pub fn check(&self) -> Result<(), Failure> {
        let deltas = self.metric.iter().map(|exception| exception.delta);
        for delta in deltas.chain([self.delta]).chain(self.instructions) {
            if !(0.0005..=1.0).contains(&delta) {
                let why = format!("a threshold of {delta} is not between 0.0005 (0.05 %) and 1");
                return Err(Failure::Usage(why));
            }
        }
        if !(0.0001..=0.5).contains(&self.alpha) {
            return Err(Failure::Usage("alpha is between 0.0001 and 0.5".to_owned()));
        }
        if !(LEAST_PAIRS..=100_000).contains(&self.most_pairs) {
            let why = format!("most_pairs is between {LEAST_PAIRS} and 100000: fewer pairs have no 95 % interval");
            return Err(Failure::Usage(why));
        }
        Ok(())
    }

    /// The slowdown that matters for a metric.
    #[must_use]
    pub fn delta(&self, metric: &str) -> f64 {
        let exception = self.metric.iter().rfind(|exception| metric.contains(&exception.name));
        exception.map_or(self.delta, |exception| exception.delta)
    }
}

/// The answer. The order is that of what is reported if rows differ: the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Slower, larger or more than allowed.
    Fail,
    /// The check could not prove that it would notice.
    Unfit,
    /// Too noisy to say, with all the pairs there may be.
    Inconclusive,
    /// Not slower than allowed.
    Pass,
    /// The base has nothing to compare with.
    Skipped,
}

impl Outcome {
    /// The word in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Unfit => "UNFIT",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Pass => "PASS",
            Self::Skipped => "SKIPPED",
        }
    }
}

/// What was decided, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The worst of the rows.
    pub outcome: Outcome,
    /// How far identical code differed in this session, at the 95th percentile; none where nobody measured it.
    pub noise: Option<f64>,
    /// Slowdowns below this cannot be seen here.
    pub blind_below: f64,
    /// One for each metric and measure.
    pub rows: Vec<Row>,
    /// What was selected and could not be measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<NotRun>,
}

/// A metric that was selected and could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotRun {
    /// The metric: the record's cell.
    pub metric: String,
    /// [`Outcome::Skipped`] where only the base lacks it, which is how new metrics come; else [`Outcome::Unfit`].
    pub outcome: Outcome,
    /// Why, in words.
    pub why: String,
}

/// One metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The metric: the record's cell.
    pub metric: String,
    /// Of what.
    pub measure: Measure,
    /// The answer.
    pub outcome: Outcome,
    /// The candidate over the base: above 1 is more.
    pub ratio: f64,
    /// Where its interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Pairs behind it; none for an exact figure.
    pub pairs: u64,
    /// The threshold: what was asked for, or twice the noise if that is more.
    pub delta: f64,
    /// The chance of as many pairs above the threshold if it were not exceeded.
    pub p_value: Option<f64>,
    /// Why, in words.
    pub why: String,
}

/// Where an interval lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All of it above the threshold.
    Above,
    /// All of it below.
    Below,
    /// Across.
    Across,
}

/// Where an interval of ratios lies.
#[must_use]
pub fn place(low: f64, high: f64, delta: f64) -> Place {
    if low > 1.0 + delta {
        Place::Above
    } else if high < 1.0 + delta {
        Place::Below
    } else {
        Place::Across
    }
}

/// Decides about a record whose cells have stages [`TIME`] and [`EXACT`]. `samples` are its journal's.
///
/// # Errors
/// A sample that is no measurement.
pub fn decide(record: &Record, samples: &[&Sample], terms: &Terms) -> Result<Decision, String> {
    let noise = record.noise;
    let (mut rows, mut not_run) = (Vec::new(), Vec::new());
    for cell in &record.cells {
        if let Some(why) = &cell.not_run {
            // A metric that only the candidate knows is new. One that it lost, or that neither tells of, is a hole.
            let is_new = cell.properties.get(UNKNOWN_TO) == Some(&Property::from(BASE));
            let outcome = if is_new { Outcome::Skipped } else { Outcome::Unfit };
            not_run.push(NotRun { metric: cell.id.clone(), outcome, why: why.clone() });
        }
        for stage in &cell.stages {
            match stage.name.as_str() {
                TIME => {
                    let repeat = cell.stages.iter().find(|stage| stage.name == REPEAT);
                    rows.extend(timed(&cell.id, stage, repeat, samples, noise, terms)?);
                }
                EXACT => rows.extend(exact(&cell.id, stage, terms)),
                _ => {}
            }
        }
    }
    holm(&mut rows, terms.alpha);
    let outcomes = rows.iter().map(|row| row.outcome).chain(not_run.iter().map(|not_run| not_run.outcome));
    let outcome = outcomes.min().unwrap_or(Outcome::Inconclusive);
    let blind_below = rows.iter().filter(|row| row.pairs > 0).map(|row| row.delta).fold(0.0, f64::max);
    Ok(Decision { outcome, noise, blind_below, rows, not_run })
}

/// The clock that counts: that of the arm with identical code. CPU time for one thread; elapsed time for several, and for devices.
#[must_use]
pub fn clock(ratios: &[Ratio]) -> Measure {
    ratios.iter().find(|ratio| ratio.arm == AGAIN).map_or(Measure::CpuNs, |ratio| ratio.measure)
}

/// An arm over the base, by a clock.
#[must_use]
pub fn ratio<'a>(ratios: &'a [Ratio], arm: &str, clock: Measure) -> Option<&'a Ratio> {
    ratios.iter().find(|ratio| ratio.arm == arm && ratio.over == BASE && ratio.measure == clock)
}

fn timed(
    metric: &str,
    stage: &Stage,
    repeat: Option<&Stage>,
    samples: &[&Sample],
    noise: Option<f64>,
    terms: &Terms,
) -> Result<Option<Row>, String> {
    let clock = clock(&stage.ratios);
    let Some(found) = ratio(&stage.ratios, CANDIDATE, clock) else { return Ok(None) };
    let wanted = terms.delta(metric);
    let delta = wanted.max(2.0 * noise.unwrap_or(0.0));
    let of_stage = |sample: &&&Sample| sample.cell == metric && sample.stage == TIME;
    let of_stage: Vec<&Sample> = samples.iter().filter(of_stage).copied().collect();
    let logs = paired_logs(&of_stage, BASE, CANDIDATE, clock)?;
    let above = logs.iter().filter(|log| **log > (1.0 + delta).ln()).count();
    let (outcome, why) = match unfit(&stage.ratios, wanted, delta) {
        Some(why) => (Outcome::Unfit, why),
        None => {
            match (place(found.low, found.high, delta), repeat.and_then(|stage| ratio(&stage.ratios, CANDIDATE, clock)))
            {
                (Place::Below, _) => (Outcome::Pass, String::new()),
                (Place::Across, _) => (Outcome::Inconclusive, "the interval lies across the threshold".to_owned()),
                (Place::Above, None) => {
                    (Outcome::Inconclusive, "slower, but not repeated in fresh processes".to_owned())
                }
                (Place::Above, Some(again)) if place(again.low, again.high, delta) == Place::Above => {
                    (Outcome::Fail, format!("slower, and {:+.1} % in fresh processes", percent(again.median)))
                }
                (Place::Above, Some(again)) => {
                    let why = format!("slower, but only {:+.1} % in fresh processes", percent(again.median));
                    (Outcome::Inconclusive, why)
                }
            }
        }
    };
    Ok(Some(Row {
        metric: metric.to_owned(),
        measure: clock,
        outcome,
        ratio: found.median,
        low: found.low,
        high: found.high,
        pairs: found.pairs,
        delta,
        p_value: Some(sign_test(above as u64, logs.len() as u64)),
        why,
    }))
}

/// Why a stage has not proved that it would notice; none if it has.
#[must_use]
pub fn unfit(ratios: &[Ratio], wanted: f64, delta: f64) -> Option<String> {
    let clock = clock(ratios);
    let (Some(again), Some(injected)) = (ratio(ratios, AGAIN, clock), ratio(ratios, INJECTED, clock)) else {
        return Some("it has no arms that prove the check".to_owned());
    };
    if again.pairs.min(injected.pairs) < LEAST_PAIRS.into() {
        return Some(format!(
            "{} pairs have no 95 % interval: it takes {LEAST_PAIRS}",
            again.pairs.min(injected.pairs)
        ));
    }
    if again.low > 1.0 + wanted || again.high < 1.0 / (1.0 + wanted) {
        let why = format!("identical code differed by {:+.1} % here: use a quieter machine", percent(again.median));
        return Some(why);
    }
    if place(injected.low, injected.high, delta) != Place::Above {
        return Some(format!(
            "an injected slowdown of {:.1} % was seen as {:+.1} % ({:+.1} .. {:+.1}) and not noticed: use a quieter \
             machine or a larger delta",
            100.0 * INJECTION * wanted,
            percent(injected.median),
            percent(injected.low),
            percent(injected.high)
        ));
    }
    None
}

/// Figures without noise: any growth beyond what is allowed fails.
fn exact(metric: &str, stage: &Stage, terms: &Terms) -> Vec<Row> {
    let of = |arm: &str, measure| {
        stage.figures.iter().find(|figure| figure.arm == arm && figure.measure == measure).map(|figure| figure.median)
    };
    let mut rows = Vec::new();
    for measure in [Measure::WireBytes, Measure::Instructions] {
        let (Some(base), Some(candidate)) = (of(BASE, measure), of(CANDIDATE, measure)) else { continue };
        let allowed = if measure == Measure::Instructions { terms.instructions } else { Some(0.0) };
        let ratio = if base == candidate { 1.0 } else { candidate / base };
        let (outcome, why) = match allowed {
            Some(allowed) if ratio > 1.0 + allowed => (Outcome::Fail, format!("{base} became {candidate}")),
            None => (Outcome::Pass, format!("{base} and {candidate}; no limit is set")),
            Some(_) => {
                (Outcome::Pass, if base == candidate { String::new() } else { format!("{base} became {candidate}") })
            }
        };
        let (metric, delta) = (metric.to_owned(), allowed.unwrap_or(0.0));
        rows.push(Row {
            metric,
            measure,
            outcome,
            ratio,
            low: ratio,
            high: ratio,
            pairs: 0,
            delta,
            p_value: None,
            why,
        });
    }
    rows
}

/// Holm's correction: among many rows, one fails by chance more easily. What no longer counts is inconclusive.
fn holm(rows: &mut [Row], alpha: f64) {
    let mut order: Vec<usize> = (0..rows.len()).filter(|&index| rows[index].p_value.is_some()).collect();
    order.sort_by(|&a, &b| rows[a].p_value.unwrap_or(1.0).total_cmp(&rows[b].p_value.unwrap_or(1.0)));
    let count = order.len();
    let mut rejecting = true;
    for (rank, index) in order.into_iter().enumerate() {
        let row = &mut rows[index];
        let limit = alpha / (count - rank) as f64;
        rejecting &= row.p_value.is_some_and(|p| p <= limit);
        if !rejecting && row.outcome == Outcome::Fail {
            row.outcome = Outcome::Inconclusive;
            row.why += &format!("; among {count} rows that may be chance (p = {:.2e})", row.p_value.unwrap_or(1.0));
        }
    }
}

/// A ratio as a change in per cent.
#[must_use]
pub fn percent(ratio: f64) -> f64 {
    100.0 * (ratio - 1.0)
}

impl Decision {
    /// What [`Self::noise`] is called: nobody may read a zero where nothing was measured.
    #[must_use]
    pub fn noise_in_words(&self) -> String {
        self.noise.map_or("not measured".to_owned(), |noise| format!("{:.2} %", 100.0 * noise))
    }

    /// As an exit code.
    ///
    /// # Errors
    /// [`Failure::Regression`] and [`Failure::Unfit`], by the worst row; [`Failure::Nothing`] where nothing was compared.
    pub fn verdict(&self) -> Result<(), Failure> {
        let named = |outcome| {
            let rows = self.rows.iter().map(|row| (row.outcome, row.metric.as_str()));
            let all = rows.chain(self.not_run.iter().map(|not_run| (not_run.outcome, not_run.metric.as_str())));
            all.filter(|(found, _)| *found == outcome).map(|(_, metric)| metric).collect::<Vec<_>>().join(", ")
        };
        match self.outcome {
            Outcome::Pass => Ok(()),
            Outcome::Fail => Err(Failure::Regression(named(Outcome::Fail))),
            Outcome::Unfit => Err(Failure::Unfit(format!("the check is unfit for {}", named(Outcome::Unfit)))),
            Outcome::Inconclusive => Err(Failure::Unfit(format!("inconclusive: {}", named(Outcome::Inconclusive)))),
            Outcome::Skipped => {
                Err(Failure::Nothing(format!("nothing to compare: the base lacks {}", named(Outcome::Skipped))))
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.rows.iter().map(|row| &row.metric).chain(self.not_run.iter().map(|not_run| &not_run.metric));
        let width = metrics.map(String::len).max().unwrap_or(6).max(6);
        writeln!(
            f,
            "{:12} {:width$}  {:12} {:>8}  {:>19}  {:>9}  {:>5}",
            "", "metric", "measure", "change", "95 % interval", "threshold", "pairs"
        )?;
        for row in &self.rows {
            let Row { metric, measure, outcome, ratio, low, high, pairs, delta, why, .. } = row;
            let interval = match pairs {
                0 => "exact".to_owned(),
                _ => format!("{:+.2} .. {:+.2} %", percent(*low), percent(*high)),
            };
            let line = format!(
                "{:12} {metric:width$}  {:12} {:>+6.2} %  {interval:>19}  {:>+7.2} %  {pairs:>5}  {why}",
                outcome.word(),
                measure.name(),
                percent(*ratio),
                100.0 * delta
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for NotRun { metric, outcome, why } in &self.not_run {
            writeln!(f, "{:12} {metric:width$}  not measured: {why}", outcome.word())?;
        }
        writeln!(f, "\nchange: the candidate over the base; above 0, the candidate takes more.")?;
        writeln!(
            f,
            "{}: blind below {:.1} %. How far identical code differed in this session: {}.",
            self.outcome.word(),
            100.0 * self.blind_below,
            self.noise_in_words()
        )
    }
}
