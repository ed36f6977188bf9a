//! The gate: whether a candidate may be deployed, by rules that were fixed before anybody saw how it does.
//!
//! Old and new policy meet the same episodes on robots that did not train them. Each [`Rule`] compares a figure with a limit of
//! the [`Thresholds`]; a candidate passes if all of them hold. How figures are bounded: docs/TRUST.md.
//!
//! ```
//! use tensorguard_trust::gate::*;
//! let episode = |seed| {
//!     let (old, new) = (Outcome { success: seed % 2 == 0, violations: 0 }, Outcome { success: seed % 10 > 0, violations: 0 });
//!     PairedEpisode { seed, old, new }
//! };
//! let robot = |number: u32, origin| EvaluatedRobot {
//!     name: format!("{origin:?}-{number}"),
//!     group: "arms".into(),
//!     origin,
//!     kl_nats: 0.01,
//!     episodes: (0..50).map(episode).collect(),
//! };
//! let robots = (0..16).flat_map(|number| [robot(number, Distribution::Within), robot(number, Distribution::Outside)]);
//! let evaluation = Evaluation { old: [0; 32], new: [1; 32], robots: robots.collect() };
//! let verdict = judge(&evaluation, &Thresholds::default())?;
//! assert!(verdict.passed());
//! println!("{verdict}");
//! # Ok::<(), GateError>(())
//! ```

mod bounds;
mod verdict;

pub use verdict::{Finding, Limit, Rule, Verdict};

use crate::canonical;
use crate::digest::digest_fields;
use bounds::{Difference, of_fleet, of_these};
use core::fmt;
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};

/// What one policy did in one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Outcome {
    /// Whether it did its task.
    #[n(0)]
    pub success: bool,
    /// How often it broke a safety rule.
    #[n(1)]
    pub violations: u32,
}

/// An episode that both policies met, from the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PairedEpisode {
    /// What makes it this episode.
    #[n(0)]
    pub seed: u64,
    /// The deployed policy.
    #[n(1)]
    pub old: Outcome,
    /// The candidate.
    #[n(2)]
    pub new: Outcome,
}

/// Where an evaluated robot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Distribution {
    /// From what the fleet is drawn from.
    #[n(0)]
    Within,
    /// From beyond it: what the policy should survive, not what it is for.
    #[n(1)]
    Outside,
}

/// A robot that trained neither policy, and how both did on it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct EvaluatedRobot {
    /// Its name, once in an evaluation.
    #[n(0)]
    pub name: String,
    /// The kind of robot it is: no kind may get worse.
    #[n(1)]
    pub group: String,
    /// Where it comes from.
    #[n(2)]
    pub origin: Distribution,
    /// The mean over visited states of KL(new || old).
    #[n(3)]
    pub kl_nats: f64,
    /// The episodes, each seed once.
    #[n(4)]
    pub episodes: Vec<PairedEpisode>,
}

/// Everything a gate looks at.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Evaluation {
    /// The fingerprint of the deployed package.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub old: [u8; 32],
    /// The fingerprint of the candidate.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub new: [u8; 32],
    /// The robots.
    #[n(2)]
    pub robots: Vec<EvaluatedRobot>,
}

impl Evaluation {
    /// SHA-256 over everything in it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest_fields("evaluation", &[&canonical::to_bytes(self)])
    }
}

/// What a candidate is held against. Register [`hash`](Self::hash) in the decision log before the first evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Thresholds {
    /// The lower 95 % bound of the success difference on the fleet must exceed this.
    #[n(0)]
    pub min_effect: f64,
    /// Robots within the distribution, at least; and as many outside as [`min_outside_robots`](Self::min_outside_robots).
    #[n(1)]
    pub min_robots: u32,
    /// Robots outside the distribution, at least.
    #[n(2)]
    pub min_outside_robots: u32,
    /// Episodes of each robot, at least.
    #[n(3)]
    pub min_episodes: u32,
    /// No group's success may fall by this much or more, with 95 % confidence.
    #[n(4)]
    pub max_group_drop: f64,
    /// In no group may the share of episodes with a safety violation rise by this much or more, with 95 % confidence.
    #[n(5)]
    pub max_violation_rise: f64,
    /// No robot's KL(new || old) may exceed this.
    #[n(6)]
    pub max_kl_nats: f64,
    /// Success outside the distribution may not fall by this much or more, with 95 % confidence.
    #[n(7)]
    pub max_outside_drop: f64,
}

impl Default for Thresholds {
    /// Sixteen robots of fifty episodes, two points better at least, no group ten points worse.
    fn default() -> Self {
        Self {
            min_effect: 0.02,
            min_robots: 16,
            min_outside_robots: 8,
            min_episodes: 50,
            max_group_drop: 0.10,
            max_violation_rise: 0.05,
            max_kl_nats: 5.0,
            max_outside_drop: 0.10,
        }
    }
}

impl Thresholds {
    /// SHA-256 over all of them.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        digest_fields("thresholds", &[&canonical::to_bytes(self)])
    }

    /// Thresholds that could not refuse anything are none.
    fn check(&self) -> Result<(), GateError> {
        let shares = [
            ("min_effect", self.min_effect),
            ("max_group_drop", self.max_group_drop),
            ("max_violation_rise", self.max_violation_rise),
            ("max_outside_drop", self.max_outside_drop),
        ];
        let share = shares.into_iter().find(|(_, share)| !(0.0..1.0).contains(share));
        let kl =
            (!(self.max_kl_nats.is_finite() && self.max_kl_nats >= 0.0)).then_some(("max_kl_nats", self.max_kl_nats));
        let counts = [
            ("min_robots", self.min_robots, 2),
            ("min_outside_robots", self.min_outside_robots, 1),
            ("min_episodes", self.min_episodes, 1),
        ];
        let count =
            counts.into_iter().find(|(_, count, least)| count < least).map(|(name, count, _)| (name, count.into()));
        match share.or(kl).or(count) {
            Some((name, value)) => Err(GateError::Threshold { name, value }),
            None => Ok(()),
        }
    }
}

/// Why there is no verdict. Nobody may take it for a passed gate.
#[derive(Clone, Debug, PartialEq)]
pub enum GateError {
    /// A threshold that is no limit.
    Threshold {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// Two robots of one name.
    RobotTwice(String),
    /// A robot that meets an episode twice.
    EpisodeTwice {
        /// Which robot.
        robot: String,
        /// Which episode.
        seed: u64,
    },
    /// Candidate and deployed policy are one package.
    Same,
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threshold { name, value } => write!(
                f,
                "threshold {name} = {value} is no limit: shares are from 0 to below 1, KL is finite and not negative, counts are at least 1 (min_robots 2)"
            ),
            Self::RobotTwice(name) => write!(f, "robot `{name}` is in the evaluation twice: give each robot one name"),
            Self::EpisodeTwice { robot, seed } => {
                write!(f, "robot `{robot}` has episode {seed} twice: an episode counts once")
            }
            Self::Same => f.write_str("the candidate is the deployed package: evaluate the new one"),
        }
    }
}

impl core::error::Error for GateError {}

/// Holds a candidate against every rule.
///
/// # Errors
/// [`GateError`] if the evaluation or the thresholds make no sense. An evaluation that is merely too small gets a verdict: it fails.
pub fn judge(evaluation: &Evaluation, thresholds: &Thresholds) -> Result<Verdict, GateError> {
    thresholds.check()?;
    check(evaluation)?;
    let mut findings = evidence(evaluation, thresholds);
    findings.push(improvement(evaluation, thresholds));
    findings.extend(groups(evaluation, thresholds));
    findings.push(divergence(evaluation, thresholds));
    findings.push(outside(evaluation, thresholds));
    Ok(Verdict { candidate: evaluation.new, thresholds: thresholds.hash(), evaluation: evaluation.digest(), findings })
}

fn check(evaluation: &Evaluation) -> Result<(), GateError> {
    if evaluation.old == evaluation.new {
        return Err(GateError::Same);
    }
    let mut names = BTreeSet::new();
    for robot in &evaluation.robots {
        if !names.insert(&robot.name) {
            return Err(GateError::RobotTwice(robot.name.clone()));
        }
        let mut seeds = BTreeSet::new();
        if let Some(twice) = robot.episodes.iter().find(|episode| !seeds.insert(episode.seed)) {
            return Err(GateError::EpisodeTwice { robot: robot.name.clone(), seed: twice.seed });
        }
    }
    Ok(())
}

fn evidence(evaluation: &Evaluation, thresholds: &Thresholds) -> Vec<Finding> {
    let count = |origin| evaluation.robots.iter().filter(|robot| robot.origin == origin).count() as f64;
    let robots = [
        ("robots within", count(Distribution::Within), thresholds.min_robots),
        ("robots outside", count(Distribution::Outside), thresholds.min_outside_robots),
    ];
    let fewest = evaluation.robots.iter().map(|robot| robot.episodes.len()).min().unwrap_or(0) as f64;
    let episodes = ("episodes of a robot", fewest, thresholds.min_episodes);
    let finding = |(subject, figure, limit): (&str, f64, u32)| {
        found(Rule::Evidence, subject, figure, Limit::AtLeast(f64::from(limit)))
    };
    robots.into_iter().chain([episodes]).map(finding).collect()
}

fn improvement(evaluation: &Evaluation, thresholds: &Thresholds) -> Finding {
    let robots = successes(evaluation.robots.iter().filter(|robot| robot.origin == Distribution::Within));
    // Fewer than two robots say nothing about a fleet: the worst that can be.
    let low = if robots.len() < 2 { -1.0 } else { of_fleet(&robots).low() };
    found(Rule::Improvement, "robots within", low, Limit::Above(thresholds.min_effect))
}

fn groups(evaluation: &Evaluation, thresholds: &Thresholds) -> Vec<Finding> {
    let mut groups: BTreeMap<&str, Vec<&EvaluatedRobot>> = BTreeMap::new();
    for robot in &evaluation.robots {
        groups.entry(&robot.group).or_default().push(robot);
    }
    let finding = |(group, robots): (&&str, &Vec<&EvaluatedRobot>)| {
        let (low, rise) = (lowest(&successes(robots.iter().copied())), highest(&violations(robots.iter().copied())));
        [
            found(Rule::Regression, group, low, Limit::Above(-thresholds.max_group_drop)),
            found(Rule::Safety, group, rise, Limit::Below(thresholds.max_violation_rise)),
        ]
    };
    groups.iter().flat_map(finding).collect()
}

fn divergence(evaluation: &Evaluation, thresholds: &Thresholds) -> Finding {
    // What is no number, or negative, was not measured: as bad as can be.
    let measured = |kl: f64| if kl >= 0.0 { kl } else { f64::INFINITY };
    let worst = evaluation.robots.iter().map(|robot| (measured(robot.kl_nats), robot.name.as_str()));
    let (kl, name) = worst.max_by(|left, right| left.0.total_cmp(&right.0)).unwrap_or((f64::INFINITY, "nobody"));
    found(Rule::Divergence, name, kl, Limit::AtMost(thresholds.max_kl_nats))
}

fn outside(evaluation: &Evaluation, thresholds: &Thresholds) -> Finding {
    let robots = successes(evaluation.robots.iter().filter(|robot| robot.origin == Distribution::Outside));
    found(Rule::Robustness, "robots outside", lowest(&robots), Limit::Above(-thresholds.max_outside_drop))
}

fn found(rule: Rule, subject: &str, figure: f64, limit: Limit) -> Finding {
    Finding { rule, subject: subject.to_owned(), figure, limit }
}

/// No episodes: the worst that can be.
fn lowest(robots: &[Vec<Difference>]) -> f64 {
    if robots.is_empty() { -1.0 } else { of_these(robots).low() }
}

fn highest(robots: &[Vec<Difference>]) -> f64 {
    if robots.is_empty() { 1.0 } else { of_these(robots).high() }
}

fn successes<'a>(robots: impl Iterator<Item = &'a EvaluatedRobot>) -> Vec<Vec<Difference>> {
    differences(robots, |outcome| outcome.success)
}

fn violations<'a>(robots: impl Iterator<Item = &'a EvaluatedRobot>) -> Vec<Vec<Difference>> {
    differences(robots, |outcome| outcome.violations > 0)
}

/// New minus old, for each robot that met an episode.
fn differences<'a>(
    robots: impl Iterator<Item = &'a EvaluatedRobot>,
    what: impl Fn(&Outcome) -> bool,
) -> Vec<Vec<Difference>> {
    let pair = |episode: &PairedEpisode| Difference::from(what(&episode.new)) - Difference::from(what(&episode.old));
    let robots = robots.filter(|robot| !robot.episodes.is_empty());
    robots.map(|robot| robot.episodes.iter().map(pair).collect()).collect()
}
