//! A cell that goes end to end: its fleet as separate processes over TLS, an attempt by the clock from the opening of its first
//! round to the last healthy robot; beside it the same attempt, put together from what this run measured of its parts.
//!
//! What processes share is modelled as they share it: robots' computing is spread over the cores that are there, and the link is
//! the one that was calibrated. So the two must agree; where they do not, a part is missing in what is put together.

pub mod formula;
pub mod page;
pub mod run;
pub mod tries;

use super::explain::duration;
use super::grid::{Fleet, Link};
use super::trace::{FleetTrace, RoundTrace};
use crate::record::Label;
use crate::shaping::{Calibration, Shaping};
use crate::stats::median;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tries::Try;

/// How far composed over end to end may be from 1.
pub const TOLERANCE: f64 = 0.10;

/// How it is put together, for readers of a report.
pub const FORMULA_TEXT: &str = "uploads: half a round trip until the terms are there; collecting, training and encrypting of all robots over \
    the cores, at least the slowest robot's; two round trips and the upload's bytes over the link's rate. Mean: the last \
    addition, signatures, opening. Gate: its evaluation. Roll-out: for each stage two round trips, the package over the link's \
    rate, and applying and simulated soaking by all robots of the stage over the cores. To each, what parties make durable one after the other before they \
    go on: 9 writes for the last upload, 4 for the mean, 2 for the candidate, 5 for the verdict and the package, and for each stage 10 and one for \
    each robot. Parts are medians of what this run measured in CPU time, one robot after the other; round trip, rate and the time \
    of a durable write are those measured right before.";

/// Durable writes of an upload: the seal and its folder, the kept upload and its folder; at the server the announcement, the upload's
/// folder and file, that it is stored, and that the round is closed.
const UPLOAD_WRITES: f64 = 9.0;
/// Of a mean: the answer, the mean and its folder; at the server, that it is open.
const MEAN_WRITES: f64 = 4.0;
/// Of a candidate: its file and its folder.
const CANDIDATE_WRITES: f64 = 2.0;
/// Of a package: the verdict; at the server its folder before and after, its file, and that it is there.
const PACKAGE_WRITES: f64 = 5.0;
/// Of a stage: that it is reached, and the offer; at each robot three files with their folders, all robots at once. What each says of
/// its health is one more.
const STAGE_WRITES: f64 = 8.0;
/// Of a robot's soak: the note on it and its folder.
const SOAK_WRITES: f64 = 2.0;

/// A part of an attempt that processes can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "WholePart")]
pub enum Part {
    /// From the opening of a round to its last upload.
    Uploads,
    /// To the opened mean.
    Mean,
    /// To the gate's verdict.
    Gate,
    /// To the last healthy robot; or, for what the gate refuses, to the end of the round.
    Rollout,
}

impl Part {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Uploads, Self::Mean, Self::Gate, Self::Rollout];

    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Mean => "mean",
            Self::Gate => "gate",
            Self::Rollout => "rollout",
        }
    }
}

/// An attempt, by the clock. Every mean is judged, so it is one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptMarks {
    /// How long each part took, in order.
    pub parts_ns: [u64; 4],
    /// Robots of each stage of the roll-out; none where the gate refused.
    pub waves: Vec<u32>,
    /// Whether the fleet runs it.
    pub deployed: bool,
}

/// A fleet's attempts until one was deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WholeTrace {
    /// In order.
    pub attempts: Vec<AttemptMarks>,
    /// Times to append a line to a file and make it durable, right before.
    pub write_ns: Vec<u64>,
    /// How far the deployed mean is from that of the plain updates.
    pub error_max: Option<f64>,
    /// The share of the cores' time that processes outside of the fleet took meanwhile, where the system tells.
    pub others_share: Option<f64>,
}

/// A cell that went end to end, as a journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeLine {
    /// The fleet.
    pub fleet: Fleet,
    /// How robots reached the server.
    pub shaping: Shaping,
    /// The link that was asked for; none over the bare loopback.
    pub link: Option<Link>,
    /// What about it is not as asked for.
    pub note: Option<String>,
    /// The link as it was found before the runs.
    pub calibration: Calibration,
    /// Cores that the processes shared.
    pub cores: u32,
    /// What was run, one after the other.
    pub runs: Vec<WholeTrace>,
}

/// A part, both ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartSeconds {
    /// The part.
    pub part: Part,
    /// By the clock.
    pub end_to_end_s: f64,
    /// Put together.
    pub composed_s: Option<f64>,
}

/// A cell that went end to end: medians over its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WholeOutcome {
    /// Its name.
    pub cell: String,
    /// How robots reached the server.
    pub shaping: Shaping,
    /// Where its total comes from: measured over the bare loopback, emulated over a shaped link.
    pub label: Label,
    /// Robots.
    pub clients: u32,
    /// The least number of robots that the key holder opened a sum for.
    pub min_clients: u32,
    /// Cores that the processes shared.
    pub cores: u32,
    /// What about the link is not as asked for.
    pub note: Option<String>,
    /// The link, as calibrated: bits per second, towards the server.
    pub bits_per_s: f64,
    /// The same from the server.
    pub bits_per_s_down: f64,
    /// The link's round trip, as calibrated.
    pub rtt_s: f64,
    /// A bulk transfer over what it should take: the round trip that was found, and bytes * 8 / the rate that was asked for.
    pub bulk_over: Option<f64>,
    /// The same of a small one.
    pub small_over: Option<f64>,
    /// Runs.
    pub runs: u32,
    /// Attempts of all runs, and deployed improvements.
    pub attempts: u32,
    /// Deployed improvements.
    pub deployed: u32,
    /// By the clock, from the opening of the first round to the last healthy robot.
    pub end_to_end_s: f64,
    /// The same attempts, put together.
    pub composed_s: Option<f64>,
    /// Composed over end to end.
    pub ratio: Option<f64>,
    /// Whether that is within [`TOLERANCE`].
    pub agrees: Option<bool>,
    /// Part by part.
    pub parts: Vec<PartSeconds>,
    /// The parts with transfers, put together with the formula that the composed cells use; none over the bare loopback, or
    /// without measured parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_formula: Option<formula::ByFormula>,
    /// The farthest that a deployed mean was from that of the plain updates.
    pub error_max: Option<f64>,
    /// The largest share of the cores' time that other processes took.
    pub others_share: Option<f64>,
    /// Until a line is durable on this disk: the mean of a run, the middle of all runs.
    pub write_s: Option<f64>,
    /// All tries in order, where the configuration allows more than one. What is above is of the one that counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tries: Vec<Try>,
}

impl WholeOutcome {
    /// Of a line, which is one try, beside what the same run measured of the fleet's parts, if it did; none of a line without a run.
    #[must_use]
    pub fn of(line: &WholeLine, trace: Option<&FleetTrace>) -> Option<Self> {
        let spent: Vec<[f64; 4]> = line.runs.iter().map(spent).collect();
        let measured = trace.and_then(Measured::of);
        let kept = measured.as_ref().map_or(Carried::default(), |measured| measured.kept(line));
        let composed: Option<Vec<[f64; 4]>> =
            measured.as_ref().map(|measured| line.runs.iter().map(|run| measured.compose(line, run, kept)).collect());
        let total = |runs: &[[f64; 4]]| middle(runs.iter().map(|parts| parts.iter().sum()));
        let end_to_end_s = total(&spent)?;
        let composed_s = composed.as_deref().and_then(total);
        let ratio = composed_s.map(|composed| composed / end_to_end_s);
        let part = |(index, part): (usize, Part)| {
            let of = |runs: &[[f64; 4]]| middle(runs.iter().map(|parts| parts[index]));
            Some(PartSeconds { part, end_to_end_s: of(&spent)?, composed_s: composed.as_deref().and_then(of) })
        };
        let attempts = || line.runs.iter().flat_map(|run| &run.attempts);
        let largest = |of: fn(&WholeTrace) -> Option<f64>| line.runs.iter().filter_map(of).reduce(f64::max);
        let [bulk_over, small_over] = line.calibration.over(line.link);
        Some(Self {
            cell: cell_name(line.fleet, line.shaping, line.link),
            shaping: line.shaping,
            label: line.shaping.label(),
            clients: line.fleet.clients,
            min_clients: line.fleet.clients.min(super::grid::DEFAULT_MIN_CLIENTS),
            cores: line.cores,
            note: line.note.clone(),
            bits_per_s: line.calibration.bits_per_s(),
            bits_per_s_down: line.calibration.bits_per_s_down(),
            rtt_s: line.calibration.rtt_s(),
            bulk_over,
            small_over,
            runs: line.runs.len() as u32,
            attempts: attempts().count() as u32,
            deployed: attempts().filter(|attempt| attempt.deployed).count() as u32,
            end_to_end_s,
            composed_s,
            ratio,
            agrees: ratio.map(|ratio| (ratio - 1.0).abs() <= TOLERANCE),
            parts: Part::ALL.into_iter().enumerate().filter_map(part).collect(),
            by_formula: measured.as_ref().and_then(|measured| formula::ByFormula::of(line, measured)),
            error_max: largest(|run| run.error_max),
            others_share: largest(|run| run.others_share),
            write_s: middle(line.runs.iter().map(WholeTrace::write_s)),
            tries: Vec::new(),
        })
    }
}

impl WholeOutcome {
    /// In words, for terminals and refusals.
    #[must_use]
    pub fn told(&self) -> String {
        let by_clock = format!("{} by the clock ({:?}, {} runs)", duration(self.end_to_end_s), self.label, self.runs);
        let mut text = match self.composed_s.zip(self.ratio) {
            Some((composed, ratio)) => format!(
                "{by_clock}, {} put together: {ratio:.2}, {} 1 +- {TOLERANCE}",
                duration(composed),
                if self.agrees == Some(true) { "within" } else { "outside of" },
            ),
            None => by_clock,
        };
        let part = |part: &PartSeconds| {
            let composed = part.composed_s.map_or(String::new(), |composed| format!(" against {}", duration(composed)));
            format!("{} {}{composed}", part.part.name(), duration(part.end_to_end_s))
        };
        text += &format!("\n  {}", self.parts.iter().map(part).collect::<Vec<_>>().join(", "));
        if let Some(by_formula) = &self.by_formula {
            text += &format!("\n  {}", by_formula.told());
        }
        text += &format!("\n  {} robots on {} cores over a link of {}", self.clients, self.cores, self.link());
        if let Some(write_s) = self.write_s {
            text += &format!("; a durable write takes {}", duration(write_s));
        }
        if let Some(share) = self.others_share {
            text += &format!("; other processes took {:.0} % of the cores meanwhile", 100.0 * share);
        }
        for (index, one) in self.tries.iter().enumerate() {
            text += &format!("\n  {}", one.told(index + 1));
        }
        text
    }

    /// The link as calibrated, in words.
    #[must_use]
    pub fn link(&self) -> String {
        let over =
            |what: &str, over: Option<f64>| over.map_or(String::new(), |over| format!(", {what} {over:.2} of asked"));
        let note = self.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
        format!(
            "{:.0} Mbit/s up, {:.0} down, round trip {}{}{}{note}",
            self.bits_per_s / 1e6,
            self.bits_per_s_down / 1e6,
            duration(self.rtt_s),
            over("bulk", self.bulk_over),
            over("10 KB", self.small_over)
        )
    }
}

/// The name of a cell that goes end to end.
#[must_use]
pub fn cell_name(fleet: Fleet, shaping: Shaping, link: Option<Link>) -> String {
    let rate = link.map_or(String::new(), |link| format!("-{}mbit", link.mbit_per_s));
    format!("{fleet}{rate}-{}", shaping.name())
}

impl WholeTrace {
    /// How long a durable write takes, in the mean: an attempt has many, one after the other.
    fn write_s(&self) -> f64 {
        self.write_ns.iter().sum::<u64>() as f64 * 1e-9 / self.write_ns.len().max(1) as f64
    }
}

fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| median(&values))
}

/// Seconds of each part of a run, over all of its attempts.
fn spent(run: &WholeTrace) -> [f64; 4] {
    let mut parts = [0.0; 4];
    for attempt in &run.attempts {
        parts.iter_mut().zip(attempt.parts_ns).for_each(|(part, ns)| *part += ns as f64 * 1e-9);
    }
    parts
}

/// What the link takes: of a round, until uploads are in; of a stage of the roll-out, until the package is there and answered.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    up_s: f64,
    down_s: f64,
}

/// What a run of the matrix measured of a fleet's parts: medians, in seconds.
struct Measured {
    /// All robots of a round, one after the other.
    robots_s: f64,
    /// The slowest of them.
    slowest_s: f64,
    /// Adding the last upload, checking all signatures, opening.
    mean_s: f64,
    gate_s: f64,
    apply_s: f64,
    /// None in records of before robots soaked.
    soaking_s: Option<f64>,
    upload_bytes: u64,
    package_bytes: u64,
}

impl Measured {
    fn of(trace: &FleetTrace) -> Option<Self> {
        let attempts: Vec<_> = trace.campaigns.iter().flatten().collect();
        let rounds: Vec<&RoundTrace> = attempts.iter().flat_map(|attempt| &attempt.rounds).collect();
        let work: Vec<Vec<f64>> = rounds.iter().map(|round| robots(round)).collect();
        let mean = |round: &&RoundTrace| {
            let last = round.times.add_ns.iter().copied().max().unwrap_or(0);
            (last + round.times.check_ns + round.times.open_ns) as f64 * 1e-9
        };
        let applied = attempts.iter().flat_map(|attempt| &attempt.apply_ns);
        let soaking = attempts.iter().filter_map(|attempt| attempt.soaking_ns);
        Some(Self {
            robots_s: middle(work.iter().map(|robots| robots.iter().sum()))?,
            slowest_s: middle(work.iter().map(|robots| robots.iter().copied().fold(0.0, f64::max)))?,
            mean_s: middle(rounds.iter().map(mean))?,
            gate_s: middle(attempts.iter().map(|attempt| attempt.gate_ns as f64 * 1e-9))?,
            apply_s: middle(applied.map(|&ns| ns as f64 * 1e-9)).unwrap_or(0.0),
            soaking_s: middle(soaking.map(|ns| ns as f64 * 1e-9)),
            upload_bytes: rounds.first()?.upload_bytes,
            package_bytes: attempts.first()?.package_bytes,
        })
    }

    /// What the link takes where connections are kept: as it was calibrated.
    fn kept(&self, line: &WholeLine) -> Carried {
        let rtt_s = line.calibration.rtt_s();
        Carried {
            up_s: 2.5 * rtt_s + self.upload_bytes as f64 * 8.0 / line.calibration.bits_per_s(),
            down_s: 2.0 * rtt_s + self.package_bytes as f64 * 8.0 / line.calibration.bits_per_s_down(),
        }
    }

    /// Seconds of each part of a run's attempts, put together.
    fn compose(&self, line: &WholeLine, run: &WholeTrace, carried: Carried) -> [f64; 4] {
        let cores = f64::from(line.cores);
        let writes_s = |count: f64| count * run.write_s();
        let stage_writes = STAGE_WRITES + self.soaking_s.map_or(0.0, |_| SOAK_WRITES);
        let mut parts = [0.0; 4];
        for attempt in &run.attempts {
            let learning_s = (self.robots_s / cores).max(self.slowest_s);
            parts[0] += carried.up_s + learning_s + writes_s(UPLOAD_WRITES);
            parts[1] += self.mean_s + writes_s(MEAN_WRITES);
            parts[2] += self.gate_s + writes_s(CANDIDATE_WRITES);
            for (stage, &robots) in attempt.waves.iter().enumerate() {
                let robots = f64::from(robots);
                let writes = stage_writes + robots + if stage == 0 { PACKAGE_WRITES } else { 0.0 };
                parts[3] +=
                    carried.down_s + robots / cores.min(robots) * (self.apply_s + self.soaking_s.unwrap_or(0.0));
                parts[3] += writes_s(writes);
            }
        }
        parts
    }
}

/// Seconds of each robot of a round: collecting, training and what it does with its update. Where fewer trained than take part, the
/// others did what these did.
fn robots(round: &RoundTrace) -> Vec<f64> {
    let times = &round.times;
    let at = |times: &[u64], robot: usize| times.get(robot % times.len().max(1)).copied().unwrap_or(0);
    let one = |robot: usize| {
        let learned = at(&round.collect_ns, robot) + at(&round.train_ns, robot);
        let sent = at(&times.clip_ns, robot) + at(&times.encrypt_ns, robot) + at(&times.sign_ns, robot);
        (learned + sent) as f64 * 1e-9
    };
    (0..times.encrypt_ns.len()).map(one).collect()
}

#[cfg(test)]
mod tests;
