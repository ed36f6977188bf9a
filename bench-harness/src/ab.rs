//! `tensorguard ab`: is this build slower than that one? Both run as processes that take turns on one core.
//!
//! Four arms take turns: the base, the candidate, the base once more in a process of its own, and the base with real extra
//! work. The last two are the check's proof of itself: see [`crate::decision`].

pub mod base;
mod instructions;
pub mod work;
pub mod worker;

use crate::clock::Clock;
use crate::decision::{
    BASE, CANDIDATE, EXACT, INJECTED, INJECTION, Outcome, Place, REPEAT, Row, TIME, Terms, UNKNOWN_TO, clock, percent,
    place, ratio, unfit,
};
use crate::failure::Failure;
use crate::interrupt;
use crate::machine::Machine;
use crate::paired::take_turns;
use crate::peer::keep_core;
use crate::progress::Progress;
use crate::record::fold::{AGAIN, TERMS, aggregates};
use crate::record::journal::{Journal, Plan, clean_enough};
use crate::record::{Check, Environment, Label, Line, Measure, Record, Sample, sha256};
use base::Base;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use work::{Metric, Took};
use worker::Worker;

/// Length of one sample.
const SAMPLE_NS: f64 = 10_000_000.0;
/// Turns before a row is looked at first.
const FIRST_TURNS: u32 = 20;
const ARMS: [&str; 4] = [BASE, CANDIDATE, AGAIN, INJECTED];

/// Whether instructions are counted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// They are, by valgrind, on the widest engine that it knows.
    Instructions,
    /// Times only.
    Times,
}

/// What to compare.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the candidate is compared with.
    pub base: Base,
    /// The candidate's program.
    pub candidate: PathBuf,
    /// Only metrics with this in their name; or cases of `micro`, by a comparison.
    pub filter: String,
    /// What is allowed.
    pub terms: Terms,
    /// The engine of both.
    pub engine: String,
    /// What else is compared.
    pub counting: Counting,
    /// In which folder the record's folder is made.
    pub out: PathBuf,
    /// A record's folder to go on with.
    pub resume: Option<PathBuf>,
}

/// The two builds, running.
struct Pair {
    base: Worker,
    candidate: Worker,
}

impl Trial {
    /// Measures and decides.
    ///
    /// # Errors
    /// [`Failure::Nothing`] where the filter selects nothing; [`Failure::Wrong`] where an output is wrong;
    /// [`Failure::Interrupted`] after Ctrl-C; the journal's and the workers' own. What was decided is in the record.
    pub fn run(&self) -> Result<(PathBuf, Record), Failure> {
        self.terms.check()?;
        clean_enough(&self.out)?;
        // Before this process keeps to one core, which would be all it sees.
        let machine = Machine::look();
        let metrics = self.metrics(machine.cores)?;
        interrupt::listen()?;
        // Several threads, and what drives a device, need more.
        if metrics.iter().all(|metric| metric.clock() == Clock::Cpu) {
            keep_core();
        }
        let mut pair = self.start()?;
        let mut again = Worker::start(AGAIN, &self.base.program, &self.engine)?;
        let mut notes = self.notes(machine)?;
        let mut progress = Progress::new(metrics.len());
        for metric in metrics {
            progress.step(&metric.name());
            let measured = self.measure(&mut notes, metric, &mut pair, &mut again, &mut progress);
            measured.map_err(|failure| interrupt::going_on(failure, notes.journal.folder()))?;
        }
        drop(progress);
        let repeated = self.repeat(&mut notes);
        repeated.map_err(|failure| interrupt::going_on(failure, notes.journal.folder()))?;
        notes.journal.finish(|record| record.decision.as_ref().map_or(String::new(), ToString::to_string))
    }

    fn metrics(&self, threads: usize) -> Result<Vec<Metric>, Failure> {
        let metrics = Metric::select(&self.filter, &self.engine, threads)?;
        if self.counting == Counting::Instructions && metrics.iter().any(|metric| matches!(metric, Metric::On(_))) {
            let why = "instructions are counted on one thread of the engine of --isa: leave backend and threads out of --filter";
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok(metrics)
    }

    fn notes(&self, machine: Machine) -> Result<Notes, Failure> {
        let config = self.config()?;
        let what = format!("ab-{}", self.engine.trim_start_matches("cpu-"));
        let environment = Environment { machine, engine: self.engine.clone(), gpu: None };
        let plan = Plan { command: "ab", what: &what, config, corpus_sha256: None, environment };
        let (journal, known) = Journal::open(&self.out, self.resume.as_deref(), plan)?;
        Ok(Notes { journal, known })
    }

    fn start(&self) -> Result<Pair, Failure> {
        let base = Worker::start(BASE, &self.base.program, &self.engine)?;
        let candidate = Worker::start(CANDIDATE, &self.candidate, &self.engine)?;
        if base.is_optimised != candidate.is_optimised {
            let why = "one is a debug build and the other is not; run this command with `cargo run --release`";
            return Err(Failure::Incomparable(why.to_owned()));
        }
        Ok(Pair { base, candidate })
    }

    fn config(&self) -> Result<BTreeMap<String, serde_json::Value>, Failure> {
        let hash = |program: &Path| {
            let bytes = std::fs::read(program);
            bytes.map(|bytes| sha256(&bytes)).map_err(|error| Failure::Usage(format!("{}: {error}", program.display())))
        };
        Ok(BTreeMap::from([
            ("base".to_owned(), json!(self.base.what)),
            ("base_sha256".to_owned(), json!(hash(&self.base.program)?)),
            ("candidate_sha256".to_owned(), json!(hash(&self.candidate)?)),
            ("engine".to_owned(), json!(self.engine)),
            ("filter".to_owned(), json!(self.filter)),
            ("instructions".to_owned(), json!(self.counting == Counting::Instructions)),
            (TERMS.to_owned(), serde_json::to_value(&self.terms)?),
        ]))
    }

    /// One metric: what is exact first, then turns until the row is decided.
    fn measure(
        &self,
        notes: &mut Notes,
        metric: Metric,
        pair: &mut Pair,
        again: &mut Worker,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let cell = metric.name();
        let mut properties = BTreeMap::from([("metric".to_owned(), cell.as_str().into())]);
        if let Metric::On(case) = metric {
            properties.insert("backend".to_owned(), case.backend.into());
            properties.insert("threads".to_owned(), case.threads.into());
        }
        if let Some(reason) = metric.absent() {
            return notes.begin(Line::NotRun { cell, properties, reason });
        }
        let (before, after) = match (pair.base.prepare(&cell), pair.candidate.prepare(&cell)) {
            // A device may not take jobs of this size.
            (Err(Failure::Internal(reason)), _) | (_, Err(Failure::Internal(reason))) if metric.is_on_device() => {
                return notes.begin(Line::NotRun { cell, properties, reason });
            }
            (before, after) => (before?, after?),
        };
        let (Some(before), Some(after)) = (before, after.as_ref()) else {
            let who = if after.is_some() { BASE } else { CANDIDATE };
            properties.insert(UNKNOWN_TO.to_owned(), who.into());
            let reason = format!("the {who} does not know this metric");
            return notes.begin(Line::NotRun { cell, properties, reason });
        };
        again.prepare(&cell)?;
        notes.begin(Line::Cell { cell: cell.clone(), properties })?;
        notes.begin(stage(&cell, EXACT, metric.item(), after.items))?;
        if notes.samples(&cell, EXACT).len() < 2 {
            for (arm, prepared, program) in [(BASE, &before, &self.base.program), (CANDIDATE, after, &self.candidate)] {
                let mut values = BTreeMap::new();
                values.extend(prepared.wire_bytes.map(|bytes| (Measure::WireBytes, bytes.into())));
                if self.counting == Counting::Instructions {
                    let count = instructions::count(program, countable(&self.engine), &cell)?;
                    values.insert(Measure::Instructions, count.into());
                }
                notes.keep(sample(&cell, EXACT, arm, (0, 1), values))?;
            }
            let claim = "both builds checked their outputs before they were timed".to_owned();
            notes.keep(Line::Check(Check { cell: cell.clone(), claim, digest: None, holds: true }))?;
        }
        notes.begin(stage(&cell, TIME, metric.item(), after.items))?;
        let extra = INJECTION * self.terms.delta(&cell);
        let runs = (SAMPLE_NS / before.run_ns).round().max(1.0) as u64;
        let mut turns = notes.next_turn(&cell, TIME)..FIRST_TURNS.min(self.terms.most_pairs);
        loop {
            for turn in turns.clone() {
                let range = turn as usize..turn as usize + 1;
                let row = take_turns(ARMS.len(), range, |arm| match ARMS[arm] {
                    CANDIDATE => pair.candidate.sample(runs, 0.0),
                    AGAIN => again.sample(runs, 0.0),
                    INJECTED => pair.base.sample(runs, extra),
                    _ => pair.base.sample(runs, 0.0),
                })?;
                notes.turn((&cell, TIME), (turn, runs), &ARMS, &row[0])?;
            }
            let measured = notes.next_turn(&cell, TIME);
            if measured >= self.terms.most_pairs || self.is_decided(&cell, &notes.samples(&cell, TIME))? {
                return Ok(());
            }
            progress.live(&live(&cell, &notes.samples(&cell, TIME)));
            turns = measured..(measured + measured / 2 + 1).min(self.terms.most_pairs);
        }
    }

    /// Whether more turns would be wasted: the proof holds, and the candidate's interval does not lie across.
    fn is_decided(&self, cell: &str, samples: &[&Sample]) -> Result<bool, Failure> {
        let (_, ratios) = aggregates(samples).map_err(Failure::Internal)?;
        let clock = clock(&ratios);
        let (Some(candidate), Some(again)) = (ratio(&ratios, CANDIDATE, clock), ratio(&ratios, AGAIN, clock)) else {
            return Ok(false);
        };
        let wanted = self.terms.delta(cell);
        let delta = wanted.max(2.0 * (again.high - 1.0).max(1.0 - again.low));
        Ok(unfit(&ratios, wanted, delta).is_none() && place(candidate.low, candidate.high, delta) != Place::Across)
    }

    /// What looks slower is measured once more, by fresh processes.
    fn repeat(&self, notes: &mut Notes) -> Result<(), Failure> {
        let rows = notes.journal.record()?.decision.map(|decision| decision.rows).unwrap_or_default();
        let suspect =
            |row: &&Row| row.outcome == Outcome::Inconclusive && place(row.low, row.high, row.delta) == Place::Above;
        for Row { metric: cell, pairs, .. } in rows.iter().filter(suspect) {
            let mut pair = self.start()?;
            let (Some(before), Some(after)) = (pair.base.prepare(cell)?, pair.candidate.prepare(cell)?) else {
                continue;
            };
            notes.begin(stage(cell, REPEAT, "run", after.items))?;
            let runs = (SAMPLE_NS / before.run_ns).round().max(1.0) as u64;
            for turn in notes.next_turn(cell, REPEAT)..*pairs as u32 {
                let row = take_turns(2, turn as usize..turn as usize + 1, |arm| {
                    let worker = if arm == 0 { &mut pair.base } else { &mut pair.candidate };
                    worker.sample(runs, 0.0)
                })?;
                notes.turn((cell, REPEAT), (turn, runs), &ARMS[..2], &row[0])?;
            }
        }
        Ok(())
    }
}

/// A journal, and what it says already.
struct Notes {
    journal: Journal,
    known: Vec<Line>,
}

impl Notes {
    fn keep(&mut self, line: Line) -> Result<(), Failure> {
        self.journal.write(&line)?;
        self.known.push(line);
        Ok(())
    }

    /// Begins a cell or a stage, unless an earlier sitting did.
    fn begin(&mut self, line: Line) -> Result<(), Failure> {
        let name = |line: &Line| match line {
            Line::Cell { cell, .. } | Line::NotRun { cell, .. } => Some((cell.clone(), String::new())),
            Line::Stage { cell, stage, .. } => Some((cell.clone(), stage.clone())),
            _ => None,
        };
        let is_known = self.known.iter().any(|known| name(known) == name(&line));
        if is_known { Ok(()) } else { self.keep(line) }
    }

    fn samples(&self, cell: &str, stage: &str) -> Vec<&Sample> {
        let samples = self.known.iter().filter_map(|line| match line {
            Line::Sample(sample) => Some(sample),
            _ => None,
        });
        samples.filter(|sample| sample.cell == cell && sample.stage == stage).collect()
    }

    fn next_turn(&self, cell: &str, stage: &str) -> u32 {
        self.samples(cell, stage).iter().map(|sample| sample.turn + 1).max().unwrap_or(0)
    }

    /// Writes one turn down, whole, and stops there if somebody asked.
    fn turn(
        &mut self,
        (cell, stage): (&str, &str),
        turn: (u32, u64),
        arms: &[&str],
        row: &[Took],
    ) -> Result<(), Failure> {
        for (&arm, took) in arms.iter().zip(row) {
            let mut values = took.values();
            if arm == AGAIN && took.wall_ns.is_some() {
                // Noise is that of the clock that counts.
                values.remove(&Measure::CpuNs);
            }
            self.keep(sample(cell, stage, arm, turn, values))?;
        }
        if interrupt::asked() { Err(Failure::Interrupted(String::new())) } else { Ok(()) }
    }
}

/// The interval so far, for people who wait.
fn live(cell: &str, samples: &[&Sample]) -> String {
    let (_, ratios) = aggregates(samples).unwrap_or_default();
    ratio(&ratios, CANDIDATE, clock(&ratios)).map_or(cell.to_owned(), |found| {
        let (low, high) = (percent(found.low), percent(found.high));
        format!("{cell} {low:+.1} .. {high:+.1} % after {} pairs", found.pairs)
    })
}

/// Valgrind has no AVX-512.
fn countable(engine: &str) -> &str {
    if engine == "cpu-avx512" { "cpu-avx2" } else { engine }
}

fn stage(cell: &str, stage: &str, item: &str, items: u64) -> Line {
    let (cell, stage, item) = (cell.to_owned(), stage.to_owned(), item.to_owned());
    Line::Stage { cell, stage, label: Label::M, item, items, formula: None }
}

fn sample(
    cell: &str,
    stage: &str,
    arm: &str,
    (turn, repetitions): (u32, u64),
    values: BTreeMap<Measure, serde_json::Number>,
) -> Line {
    let (cell, stage, arm) = (cell.to_owned(), stage.to_owned(), arm.to_owned());
    Line::Sample(Sample { cell, stage, arm, turn, repetitions, values })
}
