//! The one list: kernels and stages, by size, clients, backend and threads. Everything that measures them one by one takes its cases
//! from here.

use super::stage::Stage;
use crate::backends;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::filter::{Filter, Properties, Value};
use crate::matrix::grid::{CLIENTS, bytes};
use crate::task::{self, Kernel, LENGTHS};
use kernels::Backend;
use kernels::cpu::Cpu;
use std::fmt;
use workload::Size;

/// What is not given to an engine runs on the processor as it is.
pub const HOST: &str = "host";
/// Robots of a case where the number is of no great weight.
const CLIENTS_USUAL: u32 = 20;

/// A kernel or a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A kernel, and the length of its polynomials.
    Kernel(task::Case),
    /// A stage of a round.
    Stage(Stage),
}

/// A kernel or a stage on so much data, whoever computes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What is run.
    pub work: Work,
    /// How large an update is, as 32-bit floats. A kernel gets as much as such an update brings it.
    pub size: Size,
    /// How many robots, where that matters.
    pub clients: Option<u32>,
}

/// A job on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The job.
    pub job: Job,
    /// The backend's name, or [`HOST`].
    pub backend: &'static str,
    /// Threads.
    pub threads: usize,
}

impl Job {
    /// Every job: sizes from small to large, those of one fleet together.
    #[must_use]
    pub fn all() -> Vec<Self> {
        Size::ALL.into_iter().flat_map(Self::of_size).collect()
    }

    fn of_size(size: Size) -> Vec<Self> {
        let kernel = |kernel, n, clients| Self { work: Work::Kernel(task::Case { kernel, n }), size, clients };
        let mut jobs = Vec::new();
        for transform in [Kernel::Forward, Kernel::Inverse] {
            jobs.extend(LENGTHS.map(|n| kernel(transform, n, None)));
        }
        let others = [Kernel::Expand, Kernel::Pad, Kernel::Seal, Kernel::Encrypt, Kernel::Decrypt];
        jobs.extend(others.map(|one| kernel(one, 4096, None)));
        jobs.push(kernel(Kernel::Dense, 2048, None));
        jobs.extend(CLIENTS.map(|clients| kernel(Kernel::Sum, 4096, Some(clients))));
        for clients in CLIENTS {
            for stage in Stage::ALL {
                match stage.depends_on_clients() {
                    true => jobs.push(Self { work: Work::Stage(stage), size, clients: Some(clients) }),
                    // Beside stages that are prepared with as many.
                    false if clients == CLIENTS_USUAL => {
                        jobs.push(Self { work: Work::Stage(stage), size, clients: None });
                    }
                    false => {}
                }
            }
        }
        jobs
    }

    /// The job of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|job| job.to_string() == name)
    }

    /// Values of an update.
    #[must_use]
    pub fn length(&self) -> usize {
        // At most 2.5 million.
        (bytes(self.size) / 4) as usize
    }

    /// Robots of the round or sum that is prepared.
    #[must_use]
    pub fn robots(&self) -> u32 {
        self.clients.unwrap_or(CLIENTS_USUAL)
    }

    /// What its time is counted by.
    #[must_use]
    pub fn item(&self) -> &'static str {
        match self.work {
            Work::Kernel(case) => case.kernel.item(),
            Work::Stage(_) => "value",
        }
    }

    /// Whether it belongs to the two minutes that nobody asked to be otherwise: the scheme's own length; twenty robots, and where
    /// their number is the matter also few and many.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        let clients_matter = matches!(
            self.work,
            Work::Stage(Stage::Add | Stage::Decrypt) | Work::Kernel(task::Case { kernel: Kernel::Sum, .. })
        );
        let clients = match self.clients {
            None | Some(CLIENTS_USUAL) => true,
            Some(clients) => clients_matter && [2, 100].contains(&clients) && bytes(self.size) <= 1_000_000,
        };
        clients
            && match self.work {
                Work::Kernel(task::Case { kernel: Kernel::Forward | Kernel::Inverse, n }) => n == 4096,
                // A product for each value and dimension: seconds for a large update.
                Work::Kernel(task::Case { kernel: Kernel::Dense, .. }) => bytes(self.size) <= 100_000,
                _ => true,
            }
    }

    /// Whether engines of this name can run it.
    fn runs_on(&self, backend: &backends::Listed) -> bool {
        match self.work {
            // No job of a backend: a part of the CPU engines that is measured by itself.
            Work::Kernel(task::Case { kernel: Kernel::Expand, .. }) => backend.isa().is_some(),
            Work::Kernel(_) => true,
            Work::Stage(stage) => stage.needs_engine(),
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.work {
            Work::Kernel(task::Case { kernel: kernel @ (Kernel::Forward | Kernel::Inverse), n }) => {
                write!(f, "kernel-{}-{n}/{}", kernel.name(), self.size.name())?;
            }
            Work::Kernel(task::Case { kernel, .. }) => write!(f, "kernel-{}/{}", kernel.name(), self.size.name())?,
            Work::Stage(stage) => write!(f, "stage-{}/{}", stage.name(), self.size.name())?,
        }
        self.clients.map_or(Ok(()), |clients| write!(f, "/{clients}"))
    }
}

impl Properties for Job {
    const KEYS: &'static [&'static str] = &["kernel", "stage", "n", "size", "clients"];

    fn value(&self, key: &str) -> Option<Value> {
        Some(match (key, self.work) {
            ("kernel", Work::Kernel(case)) => Value::Word(case.kernel.name()),
            ("stage", Work::Stage(stage)) => Value::Word(stage.name()),
            ("n", Work::Kernel(case)) => Value::Number(case.n as f64),
            ("size", _) => Value::Number(bytes(self.size) as f64),
            ("clients", _) => Value::Number(self.clients?.into()),
            _ => return None,
        })
    }
}

impl Case {
    /// Every case: every job on every backend that may run it, on one thread, two, four, up to all there are. A backend that is absent
    /// here is in the list: asked for, it is a row that says why.
    #[must_use]
    pub fn all(threads: usize) -> Vec<Self> {
        let backends: Vec<_> = backends::all().into_iter().filter(|listed| listed.name != "reference").collect();
        let mut cases = Vec::new();
        for job in Job::all() {
            if let Work::Stage(stage) = job.work
                && !stage.needs_engine()
            {
                cases.push(Self { job, backend: HOST, threads: 1 });
            }
            for listed in backends.iter().filter(|listed| job.runs_on(listed)) {
                // A device has its own; its host's count for nothing.
                let counts = if listed.isa().is_some() { thread_counts(threads) } else { vec![1] };
                cases.extend(counts.into_iter().map(|threads| Self { job, backend: listed.name, threads }));
            }
        }
        cases
    }

    /// The cases that a filter selects; without one, those of the usual two minutes: the best CPU engine, one thread and all.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a filter that is not understood, [`Failure::Nothing`] where it selects nothing.
    pub fn select(filter: &str, threads: usize) -> Result<Vec<Self>, Failure> {
        let all = Self::all(threads);
        if filter.trim().is_empty() {
            let best = Cpu::best(1);
            let usual = |case: &Self| {
                let engine = case.backend == best.name() && [1, threads].contains(&case.threads);
                case.job.is_usual() && (engine || case.backend == HOST)
            };
            return Ok(all.into_iter().filter(usual).collect());
        }
        let filter = Filter::parse::<Self>(filter)?;
        let mut selected = Vec::new();
        for case in all {
            if filter.admits(&case)? {
                selected.push(case);
            }
        }
        if selected.is_empty() {
            let why = "no case passes the filter; `tensorguard micro --list` shows cases, `--help` the keys";
            return Err(Failure::Nothing(why.to_owned()));
        }
        Ok(selected)
    }

    /// What a run checks that it works: the smallest of the usual cases, on one thread.
    ///
    /// # Errors
    /// As [`Case::select`].
    pub fn smoke(filter: &str, threads: usize) -> Result<Vec<Self>, Failure> {
        let mut cases = Self::select(filter, threads)?;
        if filter.trim().is_empty() {
            let small =
                |case: &Self| case.job.size == Size::Kb10 && case.job.robots() == CLIENTS_USUAL && case.threads == 1;
            cases.retain(small);
        }
        Ok(cases)
    }

    /// The case of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut words = name.splitn(3, ' ');
        let (job, backend, threads) = (Job::named(words.next()?)?, words.next()?, words.next()?);
        let listed = backends::all().into_iter().find(|listed| listed.name == backend)?;
        let case = Self { job, backend: listed.name, threads: threads.split(' ').next()?.parse().ok()? };
        // Written as it would be, and no other way.
        (case.to_string() == name).then_some(case)
    }

    /// The clock that says what it costs: CPU time where one thread of the processor does all the work.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let is_processor = backends::all().iter().any(|listed| listed.name == self.backend && listed.isa().is_some());
        if self.threads == 1 && (is_processor || self.backend == HOST) { Clock::Cpu } else { Clock::Wall }
    }

    /// The cell of a record: cases that differ by their threads alone are arms of one.
    #[must_use]
    pub fn cell(&self) -> String {
        format!("{} {}", self.job, self.backend)
    }

    /// The arm of it.
    #[must_use]
    pub fn arm(&self) -> String {
        arm(self.threads)
    }
}

/// What an arm of so many threads is called.
#[must_use]
pub fn arm(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.job, self.backend, self.arm())
    }
}

impl Properties for Case {
    const KEYS: &'static [&'static str] = &["kernel", "stage", "n", "size", "clients", "backend", "threads"];

    fn value(&self, key: &str) -> Option<Value> {
        match key {
            "backend" => Some(Value::Word(self.backend)),
            "threads" => Some(Value::Number(self.threads as f64)),
            _ => self.job.value(key),
        }
    }
}

/// One, two, four, up to so many.
fn thread_counts(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |count| Some(count * 2)).take_while(|&count| count < most).collect();
    counts.push(most.max(1));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn count(filter: &str) -> Result<usize, u8> {
        Case::select(filter, 2).map(|cases| cases.len()).map_err(|failure| failure.code())
    }

    #[test]
    fn every_kernel_and_stage_is_there_in_every_size_and_names_are_unique() {
        let jobs = Job::all();
        assert_eq!(jobs.len(), 4 * (2 * 6 + 6 + 6 + 1 + 9 * 6));
        let names: BTreeSet<String> = jobs.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), jobs.len());
        assert_eq!(Job::named("stage-add/1mb/20").map(|job| job.robots()), Some(20));
        assert_eq!(Job::named("kernel-forward-1024/10kb").map(|job| job.length()), Some(2500));
        assert_eq!(Job::named("stage-add/1mb/21"), None);
    }

    #[test]
    fn filters_select_from_everything_and_nothing_selected_is_its_own_failure() {
        assert_eq!(count("clients>=20 && size==1mb && stage==add && backend==cpu-avx2"), Ok(3 * 2));
        assert_eq!(count("kernel==forward && n==4096 && size==10kb && backend==wgpu"), Ok(1));
        assert_eq!(count("stage==quantize"), Ok(4));
        assert_eq!(count("kernel==expand && backend==wgpu"), Err(4));
        assert_eq!(count("stage==quantize && clients>=2"), Err(4));
        assert_eq!(count("stage>=add"), Err(2));
        assert_eq!(count("speed==1"), Err(2));
    }

    #[test]
    fn the_usual_cases_have_every_kernel_stage_and_size() {
        let usual = Case::select("", 2).expect("cases");
        for kernel in ["forward", "inverse", "expand", "pad", "seal", "encrypt", "sum", "decrypt", "dense"] {
            assert!(usual.iter().any(|case| case.job.to_string().starts_with(&format!("kernel-{kernel}"))), "{kernel}");
        }
        for stage in Stage::ALL {
            let sizes: BTreeSet<_> =
                usual.iter().filter(|case| case.job.work == Work::Stage(stage)).map(|case| case.job.length()).collect();
            assert_eq!(sizes.len(), 4, "{stage:?}");
        }
        let smoke = Case::smoke("", 2).expect("cases");
        assert_eq!(smoke.len(), 9 + 10, "one of each");
    }

    #[test]
    fn a_case_is_found_by_its_name_and_each_has_the_clock_of_its_engine() {
        for case in Case::all(4).into_iter().filter(|case| case.backend != HOST) {
            assert_eq!(Case::named(&case.to_string()), Some(case));
        }
        for name in ["stage-add/1mb/20", "stage-add/1mb/20 cpu-fast 1 thread", "stage-add/1mb/20 cpu-avx2 1 threads"] {
            assert_eq!(Case::named(name), None, "{name}");
        }
        let clock = |name: &str| Case::named(name).map(|case| case.clock());
        assert_eq!(clock("stage-add/1mb/20 cpu-avx2 1 thread"), Some(Clock::Cpu));
        assert_eq!(clock("stage-add/1mb/20 cpu-avx2 2 threads"), Some(Clock::Wall));
        assert_eq!(clock("stage-add/1mb/20 cuda 1 thread"), Some(Clock::Wall));
    }

    #[test]
    fn thread_counts_end_with_all_there_are() {
        assert_eq!(thread_counts(1), [1]);
        assert_eq!(thread_counts(2), [1, 2]);
        assert_eq!(thread_counts(6), [1, 2, 4, 6]);
    }
}
