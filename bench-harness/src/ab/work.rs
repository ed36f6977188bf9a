//! What a worker can be asked to time: the kernels, the steps of whole rounds, and every case of `micro`, on any engine and threads.

use crate::clock::{Clock, Spent, cpu_ns};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::micro::case::{self, HOST, Job};
use crate::micro::work::{Data as MicroData, Engine};
use crate::record::Measure;
use crate::rounds::{Ours, Step};
use crate::task::{Case, Scale, Task, cases, check};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hint::black_box;

/// Values of an update in rounds: 10 KB and 1 MB of fp32.
const LENGTHS: [usize; 2] = [2500, 250_000];
const STEPS: [Step; 4] = [Step::Encrypt, Step::Online, Step::Add, Step::Decrypt];
/// Robots in the round that is checked before its steps are timed.
const ROBOTS: u64 = 20;
/// About this long are the runs that find out how long one run takes.
const CALIBRATION_NS: u64 = 4_000_000;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// One step of a kernel: `forward/4096`.
    Kernel(Case),
    /// One step of a round: `round-encrypt/2500`.
    Round(Step, usize),
    /// A case of `micro`, on the worker's engine and one thread: `stage-add/1mb/20`. Only for whom a filter asks for it.
    Micro(Job),
    /// The same on another engine or on more threads: `stage-add/1mb/20 cpu-avx2 2 threads`.
    On(case::Case),
}

/// Signs of which a filter has one; the names of metrics have none.
const SIGNS: [char; 4] = ['=', '<', '>', '!'];

impl Metric {
    /// Those that are measured where nobody asks for others.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let rounds = LENGTHS.iter().flat_map(|&length| STEPS.map(|step| Self::Round(step, length)));
        cases().into_iter().map(Self::Kernel).chain(rounds).collect()
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = Self::all().into_iter();
        let found = all.chain(Job::all().into_iter().map(Self::Micro)).find(|metric| metric.name() == name);
        found.or_else(|| case::Case::named(name).map(Self::On))
    }

    /// What a filter selects: of the usual ones those with this in their name; or of the cases of `micro` those for which it holds,
    /// as `stage==add && size==1mb`: on `engine` unless it asks for a backend, on one thread unless it asks for threads, of which there
    /// are so many.
    ///
    /// # Errors
    /// [`Failure::Nothing`] where it selects nothing, [`Failure::Usage`] where it is not understood.
    pub fn select(filter: &str, engine: &str, threads: usize) -> Result<Vec<Self>, Failure> {
        if !filter.contains(SIGNS) {
            let metrics: Vec<Self> = Self::all().into_iter().filter(|metric| metric.name().contains(filter)).collect();
            let names: Vec<String> = Self::all().into_iter().map(Self::name).collect();
            return some(metrics, || format!("no metric has '{filter}' in its name; there are {}", names.join(", ")));
        }
        let terms = Filter::parse::<case::Case>(filter)?;
        let mut metrics = Vec::new();
        for case in case::Case::all(threads) {
            let is_workers = [engine, HOST].contains(&case.backend);
            let is_meant =
                (is_workers || terms.asks_for("backend")) && (case.threads == 1 || terms.asks_for("threads"));
            if is_meant && terms.admits(&case)? {
                let is_plain = is_workers && case.threads == 1;
                metrics.push(if is_plain { Self::Micro(case.job) } else { Self::On(case) });
            }
        }
        some(metrics, || format!("no case passes '{filter}'; `tensorguard micro --list` shows cases"))
    }

    /// The name in filters and records.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Micro(job) => job.to_string(),
            Self::On(case) => case.to_string(),
            Self::Kernel(Case { kernel, n }) => format!("{}/{n}", kernel.name()),
            Self::Round(step, length) => format!("{}/{length}", step.name()),
        }
    }

    /// What one run handles.
    #[must_use]
    pub fn item(self) -> &'static str {
        match self {
            Self::Kernel(case) => case.kernel.item(),
            Self::Round(..) => "value",
            Self::Micro(job) | Self::On(case::Case { job, .. }) => job.item(),
        }
    }

    /// The clock that says what it costs.
    #[must_use]
    pub fn clock(self) -> Clock {
        if let Self::On(case) = self { case.clock() } else { Clock::Cpu }
    }

    /// Whether a device runs it.
    #[must_use]
    pub fn is_on_device(self) -> bool {
        matches!(self, Self::On(case) if case.threads == 1 && case.clock() == Clock::Wall)
    }

    /// Why this machine cannot run it, if so.
    #[must_use]
    pub fn absent(self) -> Option<String> {
        let Self::On(case::Case { backend, threads, .. }) = self else { return None };
        Engine::open(backend, threads).err().map(|why| format!("{backend} is absent here: {why}"))
    }
}

/// What runs took. Elapsed time only where that is what counts: on several threads, and on devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// CPU time of the process.
    pub cpu_ns: u64,
    /// Elapsed time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall_ns: Option<u64>,
}

impl Took {
    fn of(spent: Spent, clock: Clock) -> Self {
        Self { cpu_ns: spent.cpu_ns, wall_ns: (clock == Clock::Wall).then_some(spent.wall_ns) }
    }

    fn cpu(cpu_ns: u64) -> Self {
        Self { cpu_ns, wall_ns: None }
    }

    /// By the clock that counts.
    #[must_use]
    pub fn counted(self) -> u64 {
        self.wall_ns.unwrap_or(self.cpu_ns)
    }

    /// As a sample has it.
    #[must_use]
    pub fn values(self) -> BTreeMap<Measure, serde_json::Number> {
        let wall = self.wall_ns.map(|wall_ns| (Measure::WallNs, wall_ns.into()));
        [(Measure::CpuNs, self.cpu_ns.into())].into_iter().chain(wall).collect()
    }
}

fn some(metrics: Vec<Metric>, why: impl FnOnce() -> String) -> Result<Vec<Metric>, Failure> {
    if metrics.is_empty() { Err(Failure::Nothing(why())) } else { Ok(metrics) }
}

/// A metric with its data, and its output checked.
#[derive(Debug)]
pub struct Work<'a> {
    /// What it is.
    pub metric: Metric,
    /// What one run handles.
    pub items: u64,
    /// What one run takes, about, by the clock that counts.
    pub run_ns: f64,
    /// Bytes that a robot sends, for rounds.
    pub wire_bytes: Option<u64>,
    cpu: &'a Cpu,
    data: Data,
    /// Turns of [`spin`] in a nanosecond.
    spins_per_ns: f64,
}

/// The data of a metric, its output checked.
#[derive(Debug)]
pub enum Data {
    /// A kernel's.
    Kernel(Box<Task>),
    /// A round's, and which step of it is meant.
    Round(Box<Ours>, Step),
    /// That of a case of `micro`, with an engine of its own.
    Micro(Box<MicroData>, Job, Box<Engine>),
}

impl Data {
    /// Makes it. Also gives how much one run handles, and for rounds what a robot sends.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where the output is wrong.
    pub fn new(cpu: &Cpu, metric: Metric) -> Result<(Self, u64, Option<u64>), Failure> {
        match metric {
            Metric::Kernel(case) => {
                check(cpu, case)?;
                let task = Task::new(case, Scale::Full)?;
                let items = task.items;
                Ok((Self::Kernel(Box::new(task)), items, None))
            }
            Metric::Round(step, length) => {
                let ours = Ours::prepare(cpu, length, ROBOTS)?;
                // A NaN is wrong too.
                if !ours.facts.error_max.le(&(1.0 / 127.0)) {
                    return Err(Failure::Wrong(format!("our mean of a round is off by {}", ours.facts.error_max)));
                }
                let bytes = ours.facts.upload_bytes;
                Ok((Self::Round(Box::new(ours), step), (length * step.updates()) as u64, Some(bytes)))
            }
            Metric::Micro(job) => Self::micro(job, cpu.name(), 1),
            Metric::On(case::Case { job, backend, threads }) => Self::micro(job, backend, threads),
        }
    }

    fn micro(job: Job, backend: &str, threads: usize) -> Result<(Self, u64, Option<u64>), Failure> {
        let engine = Engine::open(backend, threads).map_err(Failure::Usage)?;
        let mut data = MicroData::default();
        let facts = data.prepare(job)?;
        data.check(job, &engine)?;
        Ok((Self::Micro(Box::new(data), job, Box::new(engine)), facts.items, facts.wire_bytes))
    }

    /// What so many runs take.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn run(&mut self, cpu: &Cpu, runs: u64) -> Result<Took, Failure> {
        match self {
            Self::Kernel(task) => Ok(Took::cpu(Clock::Cpu.sample(runs, || task.step(cpu))?)),
            Self::Round(ours, step) => ours.sample(cpu, *step, runs).map(Took::cpu),
            Self::Micro(data, job, engine) => Ok(Took::of(data.run(*job, engine, runs)?, engine.clock())),
        }
    }
}

impl<'a> Work<'a> {
    /// Prepares a metric and checks its output.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where the output is wrong.
    pub fn new(cpu: &'a Cpu, metric: Metric) -> Result<Self, Failure> {
        let (data, items, wire_bytes) = Data::new(cpu, metric)?;
        let spins = 1 << 20;
        let begin = cpu_ns();
        spin(spins);
        let spins_per_ns = spins as f64 / (cpu_ns() - begin).max(1) as f64;
        let mut work = Self { metric, items, run_ns: 0.0, wire_bytes, cpu, data, spins_per_ns };
        let mut runs = 1;
        // The first run pays for untouched memory.
        work.run(1)?;
        loop {
            let took = work.run(runs)?.counted();
            if took >= CALIBRATION_NS {
                work.run_ns = took as f64 / runs as f64;
                return Ok(work);
            }
            runs = (runs * CALIBRATION_NS / took.max(1)).clamp(runs + 1, runs * 16);
        }
    }

    /// What so many runs take, and extra work on top of them: really done, by the same clocks.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn sample(&mut self, runs: u64, extra: f64) -> Result<Took, Failure> {
        let worked = self.run(runs)?;
        if extra == 0.0 {
            return Ok(worked);
        }
        let spins = extra * self.run_ns * runs as f64 * self.spins_per_ns;
        let mut spent = Spent::default();
        spent.on(|| spin(spins as u64));
        let wall_ns = worked.wall_ns.map(|wall_ns| wall_ns + spent.wall_ns);
        Ok(Took { cpu_ns: worked.cpu_ns + spent.cpu_ns, wall_ns })
    }

    fn run(&mut self, runs: u64) -> Result<Took, Failure> {
        self.data.run(self.cpu, runs)
    }
}

/// Arithmetic that takes time and nothing else.
fn spin(turns: u64) {
    let mut word = black_box(0x9E37_79B9_7F4A_7C15u64);
    for _ in 0..turns {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
    }
    black_box(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = Metric::all().into_iter().map(Metric::name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"round-encrypt/2500".to_owned()) && names.contains(&"forward/4096".to_owned()));
    }

    #[test]
    fn a_filter_with_a_comparison_selects_cases_of_micro_and_others_names() {
        let names = |filter: &str| {
            let metrics = Metric::select(filter, "cpu-avx2", 2).map_err(|failure| failure.code())?;
            Ok::<_, u8>(metrics.into_iter().map(Metric::name).collect::<Vec<_>>())
        };
        let one = |name: &str| Ok(vec![name.to_owned()]);
        let add = "stage==add && size==1mb && clients==20";
        assert_eq!(names(add), one("stage-add/1mb/20"));
        assert_eq!(names("round-add").map(|names| names.len()), Ok(2));
        assert_eq!(names(""), Ok(Metric::all().into_iter().map(Metric::name).collect()));
        assert_eq!((names("nonsense"), names("clients>100"), names("speed==1")), (Err(4), Err(4), Err(2)));
        // Who asks for no backend gets the worker's, and who asks for no threads one.
        let asked = |more: &str| names(&format!("{add} && {more}"));
        assert_eq!(asked("threads==2"), one("stage-add/1mb/20 cpu-avx2 2 threads"));
        assert_eq!(asked("backend==cpu-portable"), one("stage-add/1mb/20 cpu-portable 1 thread"));
        assert_eq!(asked("backend==cpu-avx2 && threads==1"), one("stage-add/1mb/20"));
        assert_eq!(asked("backend==cpu-avx2").map(|names| names.len()), Ok(1));
        assert_eq!(asked("backend==cpu-avx2 && threads>=1").map(|names| names.len()), Ok(2));
        assert_eq!(names("threads==1").map(|names| names.len()), Ok(Job::all().len()));
        for name in ["stage-add/1mb/20", "forward/4096", "stage-add/1mb/20 cpu-avx2 2 threads"] {
            assert_eq!(Metric::named(name).map(Metric::name).as_deref(), Some(name));
        }
    }

    #[test]
    fn several_threads_are_taken_by_elapsed_time_too_and_one_by_cpu_time_alone() {
        let (cpu, mut walls) = (Cpu::best(1), Vec::new());
        for threads in [1, 2] {
            let case =
                case::Case { job: Job::named("stage-seal/10kb/20").expect("a job"), backend: cpu.name(), threads };
            let took = Work::new(&cpu, Metric::On(case)).expect("the right output").sample(2, 0.5).expect("a sample");
            walls.push((took.wall_ns.is_some(), took.values().len()));
            assert!(took.cpu_ns > 0 && took.counted() == took.wall_ns.unwrap_or(took.cpu_ns));
        }
        assert_eq!(walls, [(false, 1), (true, 2)]);
    }

    #[test]
    fn a_case_of_micro_is_checked_and_timed_like_any_other_metric() {
        let cpu = Cpu::best(1);
        let metric = Metric::named("stage-seal/10kb/20").expect("a case");
        let mut work = Work::new(&cpu, metric).expect("the right output");
        assert!(work.items == 2500 && work.wire_bytes.is_some_and(|bytes| bytes > 2500));
        assert!(work.sample(2, 0.5).expect("a sample").cpu_ns > 0);
    }
}
