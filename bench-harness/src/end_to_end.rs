//! Whole rounds, ours against others': each in a process of its own, one thread, taking turns.
//!
//! Each side makes updates, encrypts, adds and opens them, and compares the mean with that of the plain updates, before any
//! of its times counts.

use crate::compare::{Effort, Row};
use crate::failure::Failure;
use crate::memory::{self, Server};
use crate::peer::{Worker, keep_core};
use crate::progress::Progress;
use crate::rounds::{Facts, Ours, PLANNED, Step};
use crate::scaling::{self, Scaling};
use crate::stats::{median, paired_ratio};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values of an update: 10 KB and 10 MB of fp32.
pub const LENGTHS: [usize; 2] = [2500, 2_500_000];
/// Our sample's least length.
const SAMPLE_NS: u64 = 3_000_000;
/// What a row may take, about.
const ROW_NS: u64 = 8_000_000_000;
const LEAST_PAIRS: usize = 7;

/// Software that adds up updates nobody should read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Tenseal,
    Seal,
    Masks,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Tenseal, Self::Seal, Self::Masks];

    fn name(self) -> &'static str {
        match self {
            Self::Tenseal => "TenSEAL CKKS",
            Self::Seal => "SEAL BFV packed",
            Self::Masks => "pairwise masks",
        }
    }

    fn reader(self) -> &'static str {
        match self {
            Self::Tenseal | Self::Seal => "every client (one shared key)",
            Self::Masks => "nobody (interactive, no dropouts)",
        }
    }

    /// Robots in the round that is checked. These two would take minutes for a hundred large updates.
    fn robots(self, length: usize) -> u64 {
        if self != Self::Masks && length > 100_000 { 10 } else { PLANNED }
    }

    fn steps(self) -> &'static [Step] {
        match self {
            Self::Masks => &[Step::Encrypt, Step::Online, Step::Add, Step::Decrypt],
            Self::Tenseal | Self::Seal => &[Step::Encrypt, Step::Add, Step::Decrypt],
        }
    }
}

/// Who takes part, at which length, and what it costs besides time.
#[derive(Clone, Debug, Serialize)]
pub struct Party {
    /// The name in the rows; ours is `tensorguard`.
    pub peer: &'static str,
    /// Values of an update.
    pub length: usize,
    /// Who can read a single robot's update.
    pub reader: &'static str,
    /// Sizes and errors.
    #[serde(flatten)]
    pub facts: Facts,
}

/// A peer that is not here.
#[derive(Clone, Debug, Serialize)]
pub struct Absent {
    /// Which.
    pub peer: &'static str,
    /// Why, and how to get it.
    pub why: String,
}

/// What whole rounds showed.
#[derive(Debug, Default, Serialize)]
pub struct Rounds {
    /// Times, which the report lists with the others.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// Sizes, errors, readers.
    pub parties: Vec<Party>,
    /// Peers that could not be asked.
    pub absent: Vec<Absent>,
    /// What a server needs.
    pub server: Option<Server>,
    /// What a second thread brings to a robot.
    pub scaling: Option<Scaling>,
}

#[derive(Serialize)]
struct Request {
    step: &'static str,
    length: usize,
    robots: u64,
    repetitions: u64,
}

#[derive(Deserialize)]
struct Answer {
    cpu_ns: u64,
    #[serde(flatten)]
    facts: Facts,
}

/// Which peers and steps the filter lets through.
fn selected(filter: &str) -> Vec<(Peer, Vec<Step>)> {
    let is_wanted = |peer: Peer, step: &Step| format!("{} {}", peer.name(), step.name()).contains(filter);
    let steps = |peer: Peer| peer.steps().iter().copied().filter(|step| is_wanted(peer, step)).collect();
    Peer::ALL.map(|peer| (peer, steps(peer))).into_iter().filter(|(_, steps): &(_, Vec<_>)| !steps.is_empty()).collect()
}

/// How many rows the filter lets through.
#[must_use]
pub fn count(filter: &str) -> usize {
    selected(filter).iter().map(|(_, steps)| steps.len()).sum()
}

/// Runs what the filter selects. `kernels` is the worker that runs masks.
///
/// # Errors
/// [`Failure::Wrong`] where a side's mean is wrong.
pub fn compare(cpu: &Cpu, filter: &str, effort: Effort, mut masks: Option<&mut Worker>) -> Result<Rounds, Failure> {
    let (mut rounds, selected) = (Rounds::default(), selected(filter));
    if effort == Effort::Full && "round".contains(filter) {
        // Before this thread is kept on one core.
        rounds.scaling = scaling::of_rounds(cpu, LENGTHS[1])?;
        rounds.server = Some(memory::measure(cpu, LENGTHS[1])?);
    }
    keep_core();
    let lengths = if effort == Effort::Smoke { &LENGTHS[..1] } else { &LENGTHS[..] };
    let mut progress = Progress::new(lengths.len() * count(filter));
    for &length in if selected.is_empty() { &[] } else { lengths } {
        let mut ours = Ours::prepare(cpu, length, PLANNED)?;
        right("tensorguard", &ours.facts)?;
        let reader = "nobody but the key holder, with the server";
        rounds.parties.push(Party { peer: "tensorguard", length, reader, facts: ours.facts.clone() });
        for (peer, steps) in &selected {
            let mut python;
            let worker = match peer {
                Peer::Masks => match masks.as_deref_mut() {
                    Some(worker) => worker,
                    None => continue,
                },
                Peer::Tenseal | Peer::Seal => {
                    match Worker::python(if *peer == Peer::Seal { "seal" } else { "tenseal" }) {
                        Ok(worker) => python = worker,
                        Err(why) => {
                            if length == LENGTHS[0] {
                                rounds.absent.push(Absent { peer: peer.name(), why: why.to_string() });
                            }
                            continue;
                        }
                    }
                    &mut python
                }
            };
            let request = Request { step: "prepare", length, robots: peer.robots(length), repetitions: 0 };
            let facts = worker.ask::<_, Answer>(&request)?.facts;
            right(peer.name(), &facts)?;
            for &step in steps {
                progress.step(&format!("{} {} of {length} values", peer.name(), step.name()));
                rounds.rows.push(row(cpu, &mut ours, worker, *peer, step, &facts, effort)?);
            }
            rounds.parties.push(Party { peer: peer.name(), length, reader: peer.reader(), facts });
        }
    }
    Ok(rounds)
}

/// No mean may be off by more than one level of an 8-bit grid.
fn right(who: &str, facts: &Facts) -> Result<(), Failure> {
    // A NaN is wrong too.
    if facts.error_max <= 1.0 / 127.0 {
        return Ok(());
    }
    Err(Failure::Wrong(format!("the mean that {who} opens is off by {}", facts.error_max)))
}

fn row(
    cpu: &Cpu,
    ours: &mut Ours,
    worker: &mut Worker,
    peer: Peer,
    step: Step,
    facts: &Facts,
    effort: Effort,
) -> Result<Row, Failure> {
    let length = ours.length();
    // The first run pays for untouched memory, on both sides.
    let mut repetitions = 1;
    ours.sample(cpu, step, 1)?;
    let took = ours.sample(cpu, step, 1)?.max(1);
    if took < SAMPLE_NS {
        repetitions = (SAMPLE_NS / took).max(1);
    }
    let mut theirs = |repetitions| {
        let request = Request { step: step.theirs(), length, robots: facts.robots, repetitions };
        worker.ask::<_, Answer>(&request).map(|answer| answer.cpu_ns)
    };
    let each = took + theirs(1)?;
    let affordable = (ROW_NS / (each * repetitions).max(1)) as usize;
    let pairs = affordable.clamp(LEAST_PAIRS, effort.pairs().max(LEAST_PAIRS));
    let pairs = if effort == Effort::Smoke { effort.pairs() } else { pairs };
    let mut samples = Vec::new();
    for pair in 0..pairs {
        // Turns change sides, so that a drift hits both alike.
        samples.push(if pair % 2 == 0 {
            let ours = ours.sample(cpu, step, repetitions)?;
            (ours, theirs(repetitions)?)
        } else {
            let theirs = theirs(repetitions)?;
            (ours.sample(cpu, step, repetitions)?, theirs)
        });
    }
    let middle = |side: fn(&(u64, u64)) -> u64| {
        median(&samples.iter().map(|pair| side(pair) as f64 / repetitions as f64).collect::<Vec<_>>())
    };
    Ok(Row {
        peer: peer.name(),
        kernel: step.name(),
        n: length,
        interval: paired_ratio(&samples),
        ours_ns: middle(|pair| pair.0),
        theirs_ns: middle(|pair| pair.1),
        engine: cpu.name(),
        peer_isa: facts.version.clone(),
        values: (length * step.updates()) as u64,
        pairs: samples.len(),
        repetitions,
        samples,
    })
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.parties.is_empty() {
            writeln!(
                f,
                "\n{:16} {:>8}  {:>9} {:>9}  {:>6}  {:>9} {:>9}  who can read an update",
                "whole rounds", "values", "up B/val", "sum B/val", "robots", "error rms", "largest"
            )?;
        }
        for Party { peer, length, reader, facts } in &self.parties {
            let per = |bytes: u64| bytes as f64 / *length as f64;
            let (up, sum) = (per(facts.upload_bytes), per(facts.sum_bytes));
            let Facts { robots, error_max, error_rms, .. } = facts;
            writeln!(
                f,
                "{peer:16} {length:>8}  {up:>9.3} {sum:>9.3}  {robots:>6}  {error_rms:>9.2e} {error_max:>9.2e}  {reader}"
            )?;
        }
        for Absent { peer, why } in &self.absent {
            writeln!(f, "{peer:16} not measured: {why}")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "\n{server}")?;
        }
        if let Some(scaling) = &self.scaling {
            writeln!(f, "encrypt, elapsed time: {scaling}")?;
        }
        Ok(())
    }
}

/// Whether a row is about a whole round.
#[must_use]
pub fn is_round(row: &Row) -> bool {
    row.kernel.starts_with("round-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_steps_and_peers() {
        assert_eq!(count("round"), 4 + 3 + 3);
        assert_eq!(count("round-add"), 3);
        assert_eq!(count("masks"), 4);
        assert_eq!(count("forward"), 0);
    }

    #[test]
    fn a_wrong_mean_is_refused() {
        let facts = |error_max| Facts {
            version: String::new(),
            upload_bytes: 1,
            sum_bytes: 1,
            robots: 1,
            error_max,
            error_rms: 0.0,
        };
        assert_eq!(right("x", &facts(0.001)), Ok(()));
        assert_eq!(right("x", &facts(0.01)).map_err(|failure| failure.code()), Err(8));
        assert_eq!(right("x", &facts(f64::NAN)).map_err(|failure| failure.code()), Err(8));
    }
}
