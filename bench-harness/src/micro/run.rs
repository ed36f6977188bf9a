//! Taking times: cases that differ by their threads alone take turns, after their outputs were checked.

use super::case::{Case, HOST, Job, Work};
use super::view::{self, COPY_CELL, KERNELS_STAGE, LIMIT_CELL, LIMIT_STAGE};
use super::work::{Data, Engine, Facts};
use crate::bandwidth::Reader;
use crate::ceiling::Ceiling;
use crate::clock::{Clock, Spent};
use crate::compare::Effort;
use crate::device::Copies;
use crate::failure::Failure;
use crate::floor::Needs;
use crate::interrupt;
use crate::machine::Machine;
use crate::paired::take_turns;
use crate::progress::Progress;
use crate::record::fold::AGAIN;
use crate::record::journal::{Journal, Plan, clean_enough};
use crate::record::{Check, Environment, Label, Line, Measure, Property, Record, Sample};
use crate::stats::{SEED, median_interval};
use kernels::cpu::Cpu;
use kernels::{Backend, Fault};
use serde_json::json;
use shaders::Wgpu;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much to measure.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which cases; empty for the usual ones.
    pub filter: String,
    /// How often.
    pub effort: Effort,
    /// After this, what is left is named as not run.
    pub time_budget: Option<Duration>,
}

/// Length of a sample and how many there are: at most, and at least where a run takes long.
struct Amount {
    sample_ns: u64,
    most: usize,
    least: usize,
}

/// What all samples of a cell may take, unless there would be too few of them.
const CELL_NS: u64 = 1_000_000_000;
/// Turns between two looks at the interval.
const LOOK: usize = 9;
/// Samples of each limit.
const PASSES: u32 = 15;

impl Request {
    fn amount(&self) -> Amount {
        match self.effort {
            Effort::Smoke => Amount { sample_ns: 500_000, most: 3, least: 3 },
            Effort::Full => Amount { sample_ns: 8_000_000, most: 27, least: 7 },
        }
    }

    /// The selected cases, those of one cell together.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a filter that is not understood, [`Failure::Nothing`] where it selects nothing.
    pub fn cells(&self) -> Result<Vec<Vec<Case>>, Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let cases = match self.effort {
            Effort::Smoke => Case::smoke(&self.filter, threads)?,
            Effort::Full => Case::select(&self.filter, threads)?,
        };
        let mut cells: Vec<Vec<Case>> = Vec::new();
        for case in cases {
            match cells.last_mut() {
                Some(cell) if cell[0].cell() == case.cell() => cell.push(case),
                _ => cells.push(vec![case]),
            }
        }
        Ok(cells)
    }

    fn config(&self) -> BTreeMap<String, serde_json::Value> {
        let Amount { sample_ns, most, least } = self.amount();
        BTreeMap::from([
            ("filter".to_owned(), json!(self.filter)),
            ("smoke".to_owned(), json!(self.effort == Effort::Smoke)),
            ("sample_ns".to_owned(), json!(sample_ns)),
            ("most_samples".to_owned(), json!(most)),
            ("least_samples".to_owned(), json!(least)),
        ])
    }
}

/// Measures what is asked for into a new folder below `out`, or goes on in `resume`. Gives the folder and the record.
///
/// # Errors
/// [`Failure::Wrong`] where an output is wrong; [`Failure::Interrupted`] after Ctrl-C, saying how to go on; the journal's own.
pub fn run(request: &Request, out: &Path, resume: Option<&Path>) -> Result<(PathBuf, Record), Failure> {
    let cells = request.cells()?;
    clean_enough(out)?;
    let engines = Engines::open(&cells);
    let (journal, done) = begin(request, out, resume, &engines)?;
    let mut session = Session { journal, engines, amount: request.amount(), data: Data::default(), proven: false };
    let mut progress = Progress::new(cells.len() + 1);
    progress.step("limits");
    session.memory(request.effort, &done)?;
    session.arithmetic(&done)?;
    session.copies(&done)?;
    let began = Instant::now();
    for cell in cells {
        let name = cell[0].cell();
        progress.step(&name);
        if done.contains(&name) {
            continue;
        }
        if interrupt::asked() {
            return Err(interrupt::resumable(session.journal.folder()));
        }
        if request.time_budget.is_some_and(|budget| began.elapsed() >= budget) {
            session.not_run(&cell, "the time budget was spent; give a longer --time-budget, or --filter for less")?;
            continue;
        }
        session.measure(&cell, &mut progress)?;
    }
    drop(progress);
    session.journal.finish(view::summary)
}

/// A new journal, or the one to go on with; and the cells that are in it.
fn begin(
    request: &Request,
    out: &Path,
    resume: Option<&Path>,
    engines: &Engines,
) -> Result<(Journal, Vec<String>), Failure> {
    let machine = Machine::look();
    let environment = Environment { machine, engine: Cpu::best(1).name().to_owned(), gpu: engines.device() };
    let what = if request.effort == Effort::Smoke { "micro-smoke" } else { "micro" };
    let plan = Plan { command: "micro", what, config: request.config(), corpus_sha256: None, environment };
    let (journal, lines) = Journal::open(out, resume, plan)?;
    let cell = |line: Line| if let Line::Cell { cell, .. } = line { Some(cell) } else { None };
    Ok((journal, lines.into_iter().filter_map(cell).collect()))
}

/// Every engine that is asked for, or why it is absent.
struct Engines(Vec<(Case, Result<Engine, String>)>);

impl Engines {
    fn open(cells: &[Vec<Case>]) -> Self {
        let mut engines: Vec<(Case, Result<Engine, String>)> = Vec::new();
        for case in cells.iter().flatten() {
            if !engines.iter().any(|(known, _)| (known.backend, known.threads) == (case.backend, case.threads)) {
                engines.push((*case, Engine::open(case.backend, case.threads)));
            }
        }
        Self(engines)
    }

    fn of(&self, case: &Case) -> Result<&Engine, &str> {
        let found = self.0.iter().find(|(known, _)| (known.backend, known.threads) == (case.backend, case.threads));
        found.map_or(Err("it was not opened"), |(_, engine)| engine.as_ref().map_err(String::as_str))
    }

    /// The processor's engines that work on one thread.
    fn alone(&self) -> Vec<Cpu> {
        let alone = self.0.iter().filter(|(case, _)| case.threads == 1 && case.backend != HOST);
        let cpu = |engine: &Engine| if let Engine::Cpu(cpu) = engine { Cpu::with(cpu.isa(), 1) } else { None };
        alone.filter_map(|(_, engine)| cpu(engine.as_ref().ok()?)).collect()
    }

    /// The WGSL engine, if it takes part.
    fn wgpu(&self) -> Option<&Wgpu> {
        self.0.iter().find_map(|(_, engine)| engine.as_ref().ok()?.wgpu())
    }

    /// The devices that take part.
    fn device(&self) -> Option<String> {
        let devices: Vec<&str> = self.0.iter().filter_map(|(_, engine)| engine.as_ref().ok()?.device()).collect();
        if devices.is_empty() { None } else { Some(devices.join("; ")) }
    }
}

struct Session {
    journal: Journal,
    engines: Engines,
    amount: Amount,
    data: Data,
    /// Whether identical code stood beside itself already.
    proven: bool,
}

impl Session {
    fn not_run(&mut self, cell: &[Case], reason: &str) -> Result<(), Failure> {
        let (cell, properties) = (cell[0].cell(), properties(&cell[0], None));
        self.journal.write(&Line::NotRun { cell, properties, reason: reason.to_owned() })
    }

    /// What one thread reads from memory: a limit that kernels are held against.
    fn memory(&mut self, effort: Effort, done: &[String]) -> Result<(), Failure> {
        if done.iter().any(|cell| cell == LIMIT_CELL) {
            return Ok(());
        }
        let reader = if effort == Effort::Full { Reader::new() } else { Reader::small() };
        reader.read();
        let read = || {
            reader.read();
            Ok(())
        };
        self.journal.write_all(&limit(LIMIT_CELL, ("byte", reader.bytes()), 1, read)?)
    }

    /// What the arithmetic of each engine that works on one thread gives at best: the other limits.
    fn arithmetic(&mut self, done: &[String]) -> Result<(), Failure> {
        for cpu in self.engines.alone() {
            for ceiling in [Ceiling::products(&cpu)?, Ceiling::operations(&cpu)?] {
                let cell = view::limit_cell(ceiling.limit(), cpu.name());
                if done.contains(&cell) {
                    continue;
                }
                let run = || {
                    ceiling.run();
                    Ok(())
                };
                let runs = Clock::Cpu.calibrate(self.amount.sample_ns, run)?;
                self.journal.write_all(&limit(&cell, (ceiling.limit().unit(), ceiling.count), runs, run)?)?;
            }
        }
        Ok(())
    }

    /// What the device copies in its own memory: what its kernels are held against.
    fn copies(&mut self, done: &[String]) -> Result<(), Failure> {
        let Some(engine) = self.engines.wgpu().filter(|_| !done.iter().any(|cell| cell == COPY_CELL)) else {
            return Ok(());
        };
        let copies = Copies::new(engine, self.amount.sample_ns)?;
        let lines = limit(COPY_CELL, ("byte", copies.bytes()), 1, || copies.run())?;
        self.journal.write_all(&lines)
    }

    /// One cell: output first, then turns. Its lines are written together, so that a cell is in the journal whole or not at all.
    fn measure(&mut self, cell: &[Case], progress: &mut Progress) -> Result<(), Failure> {
        let (job, name) = (cell[0].job, cell[0].cell());
        let engines: Result<Vec<&Engine>, &str> = cell.iter().map(|case| self.engines.of(case)).collect();
        let engines = match engines {
            Ok(engines) => engines,
            Err(why) => {
                let why = format!("{} is absent here: {why}", cell[0].backend);
                return self.not_run(cell, &why);
            }
        };
        let facts = self.data.prepare(job)?;
        let mut checks = Vec::new();
        for engine in &engines {
            match self.data.check(job, engine) {
                Ok((claim, digest)) => {
                    checks.push(Check {
                        cell: name.clone(),
                        claim: claim.to_owned(),
                        digest: Some(digest),
                        holds: true,
                    });
                }
                // It does not take jobs of this size.
                Err(Failure::Internal(why)) if engine.device().is_some() => return self.not_run(cell, &why),
                Err(failure) => return Err(failure),
            }
        }
        let mut arms: Vec<(String, &Engine)> = cell.iter().map(Case::arm).zip(engines).collect();
        if !self.proven {
            self.proven = true;
            arms.push((AGAIN.to_owned(), arms[0].1));
        }
        let rows = rows(&mut self.data, cell, &arms, &self.amount, progress)?;
        let mut lines = vec![Line::Cell { cell: name.clone(), properties: properties(&cell[0], Some(&facts)) }];
        lines.extend(checks.into_iter().map(Line::Check));
        lines.push(stage(&name, stage_name(&cell[0]), job.item(), facts.items));
        for (turn, row) in rows.iter().enumerate() {
            for ((arm, engine), (runs, spent)) in arms.iter().zip(row) {
                let turn = (u32::try_from(turn).unwrap_or(u32::MAX), *runs);
                let mut line = sample(&name, stage_name(&cell[0]), arm, turn, *spent, facts.wire_bytes);
                if arm == AGAIN
                    && engine.clock() == Clock::Cpu
                    && let Line::Sample(sample) = &mut line
                {
                    // Noise is that of the clock that counts.
                    sample.values.remove(&Measure::WallNs);
                }
                lines.push(line);
            }
        }
        lines.extend(in_kernels(&mut self.data, &name, job, &arms, &rows)?);
        self.journal.write_all(&lines)
    }
}

/// What the same runs take in the device's kernels alone: a stage of its own, where a device has a clock.
fn in_kernels(
    data: &mut Data,
    cell: &str,
    job: Job,
    arms: &[(String, &Engine)],
    rows: &[Row],
) -> Result<Vec<Line>, Failure> {
    let Some((arm, engine)) = arms.first() else { return Ok(Vec::new()) };
    // The first run compiles and allocates.
    if data.kernels_ns(job, engine, 1)?.is_none() {
        return Ok(Vec::new());
    }
    let mut lines = vec![stage(cell, KERNELS_STAGE, job.item(), data.prepare(job)?.items)];
    for (turn, row) in rows.iter().enumerate() {
        let runs = row[0].0;
        let values = data.kernels_ns(job, engine, runs)?.map(|ns| (Measure::DeviceNs, ns.into()));
        let (cell, stage, arm) = (cell.to_owned(), KERNELS_STAGE.to_owned(), arm.clone());
        let (turn, values) = (u32::try_from(turn).unwrap_or(u32::MAX), values.into_iter().collect());
        lines.push(Line::Sample(Sample { cell, stage, arm, turn, repetitions: runs, values }));
    }
    Ok(lines)
}

/// All samples of a limit, to be written in one piece: whoever goes on finds them all or none.
fn limit(
    cell: &str,
    (item, items): (&str, u64),
    runs: u64,
    mut run: impl FnMut() -> Result<(), Fault>,
) -> Result<Vec<Line>, Failure> {
    let mut lines = vec![Line::Cell { cell: cell.to_owned(), properties: BTreeMap::new() }];
    lines.push(stage(cell, LIMIT_STAGE, item, items));
    for turn in 0..PASSES {
        let mut spent = Spent::default();
        spent.on(|| (0..runs).try_for_each(|_| run()))?;
        lines.push(sample(cell, LIMIT_STAGE, "1 thread", (turn, runs), spent, None));
    }
    Ok(lines)
}

/// A sample of each arm: its runs and what they took.
type Row = Vec<(u64, Spent)>;

/// Samples in turns, with the interval so far for people who wait.
fn rows(
    data: &mut Data,
    cell: &[Case],
    arms: &[(String, &Engine)],
    amount: &Amount,
    progress: &mut Progress,
) -> Result<Vec<Row>, Failure> {
    let job = cell[0].job;
    let mut runs = Vec::new();
    let mut each_turn_ns = 0;
    for (_, engine) in arms {
        let (count, took_ns) = calibrate(data, cell[0], engine, amount.sample_ns)?;
        runs.push(count);
        each_turn_ns += took_ns;
    }
    let turns = ((CELL_NS / each_turn_ns.max(1)) as usize).clamp(amount.least, amount.most);
    let mut rows: Vec<Row> = Vec::new();
    while rows.len() < turns {
        let next = rows.len()..turns.min(rows.len() + LOOK);
        let more = take_turns(arms.len(), next, |arm| Ok((runs[arm], data.run(job, arms[arm].1, runs[arm])?)))?;
        rows.extend(more);
        let clock = arms[0].1.clock();
        let times: Vec<f64> = rows.iter().map(|row| row[0].1.by(clock) as f64 / row[0].0 as f64).collect();
        let found = median_interval(&times, SEED);
        let [median, low, high] = [found.ratio, found.low, found.high].map(view::nanoseconds);
        progress.live(&format!("{} {median} ({low} .. {high})", cell[0].cell()));
    }
    Ok(rows)
}

/// How many runs make a sample, and what that takes by the clock on the wall.
fn calibrate(data: &mut Data, case: Case, engine: &Engine, sample_ns: u64) -> Result<(u64, u64), Failure> {
    // The first run pays for untouched memory.
    data.run(case.job, engine, 1)?;
    let mut runs = 1;
    loop {
        let spent = data.run(case.job, engine, runs)?;
        let took = spent.by(Clock::Wall).max(1);
        if took >= sample_ns / 4 {
            let count = (runs * sample_ns / took).max(1);
            return Ok((count, took * count / runs));
        }
        runs *= 2;
    }
}

pub(super) fn stage_name(case: &Case) -> &'static str {
    match case.job.work {
        Work::Kernel(case) => case.kernel.name(),
        Work::Stage(stage) => stage.name(),
    }
}

pub(super) fn properties(case: &Case, facts: Option<&Facts>) -> BTreeMap<String, Property> {
    let job = case.job;
    let mut properties = vec![("size", job.length() * 4), ("robots_prepared", job.robots() as usize)];
    let kind = match job.work {
        Work::Kernel(kernel) => {
            properties.push(("n", kernel.n));
            "kernel"
        }
        Work::Stage(_) => "stage",
    };
    properties.extend(job.clients.map(|clients| ("clients", clients as usize)));
    if let Some(needs) = facts.and_then(|facts| facts.needs) {
        let Needs { bytes, held_bytes, products, operations } = needs;
        let counts = [("bytes", bytes), ("held_bytes", held_bytes), ("products", products), ("operations", operations)];
        properties.extend(counts.map(|(name, count)| (name, count as usize)));
    }
    let mut all: BTreeMap<String, Property> =
        properties.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    all.insert(kind.to_owned(), stage_name(case).into());
    all.insert("backend".to_owned(), case.backend.into());
    all
}

fn stage(cell: &str, stage: &str, item: &str, items: u64) -> Line {
    let (cell, stage, item) = (cell.to_owned(), stage.to_owned(), item.to_owned());
    Line::Stage { cell, stage, label: Label::M, item, items, formula: None }
}

fn sample(cell: &str, stage: &str, arm: &str, turn: (u32, u64), spent: Spent, wire_bytes: Option<u64>) -> Line {
    let mut values = BTreeMap::from([(Measure::CpuNs, spent.cpu_ns.into()), (Measure::WallNs, spent.wall_ns.into())]);
    values.extend(wire_bytes.map(|bytes| (Measure::WireBytes, bytes.into())));
    let (cell, stage, arm) = (cell.to_owned(), stage.to_owned(), arm.to_owned());
    Line::Sample(Sample { cell, stage, arm, turn: turn.0, repetitions: turn.1, values })
}
