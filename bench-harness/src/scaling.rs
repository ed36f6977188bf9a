//! What more threads bring: the same large batch on one thread and on all, taking turns.

use crate::clock::{Clock, cpu_ns};
use crate::failure::Failure;
use crate::machine;
use crate::paired;
use crate::rounds::Ours;
use crate::stats::{Interval, paired_ratio};
use crate::task::{Case, Kernel, Scale, Task, check};
use kernels::cpu::Cpu;
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Elapsed time of one sample.
const SAMPLE_NS: u64 = 20_000_000;
/// Pairs of samples for each kernel.
const PAIRS: usize = 15;

/// One kernel's gain.
#[derive(Debug, Serialize)]
pub struct Scaling {
    /// The kernel.
    pub kernel: &'static str,
    /// Length of a polynomial or row.
    pub n: usize,
    /// Threads on the fast side.
    pub threads: usize,
    /// Elapsed time on one thread over that on all: `threads` would be perfect.
    #[serde(flatten)]
    pub interval: Interval,
    /// Elapsed nanoseconds of each pair of samples, all threads first.
    pub samples_ns: Vec<(u64, u64)>,
    /// Cores that other processes kept busy meanwhile, on average; unknown on some systems.
    pub others_cores: Option<f64>,
}

/// Others' share of a core beyond which a gain is theirs as much as ours.
const QUIET_CORES: f64 = 0.1;

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, interval, others_cores, .. } = self;
        write!(f, "{:.2} x on {threads} threads ({:.2} .. {:.2})", interval.ratio, interval.low, interval.high)?;
        match others_cores {
            Some(cores) if *cores > QUIET_CORES => {
                write!(f, "; does not count: other processes kept {cores:.1} of the cores busy")
            }
            Some(_) => f.write_str("; others used less than a tenth of a core"),
            None => f.write_str("; less if others used the machine, which this system does not tell"),
        }
    }
}

/// What is batched: a kernel bound by arithmetic, one by memory, and the whole way of a robot.
pub const KERNELS: [Kernel; 3] = [Kernel::Forward, Kernel::Encrypt, Kernel::Sum];

/// Measures one kernel on the engine `one`, which has one thread, and on the same engine with all of them.
///
/// Elapsed time: whatever else runs on the machine takes from the side with more threads. A process that keeps one of two
/// cores busy leaves nothing of the gain, so its share is measured too.
///
/// # Errors
/// [`Failure::Wrong`] where either computes otherwise than the reference.
pub fn measure(one: &Cpu, all: &Cpu, kernel: Kernel) -> Result<Scaling, Failure> {
    let case = Case { kernel, n: 4096 };
    check(all, case)?;
    let mut task = Task::new(case, Scale::Polys(256))?;
    take_turns(one, all, kernel.name(), case.n, |cpu| Ok(task.step(cpu)?))
}

/// Samples of `work` on either side, in turns that change sides, so that a drift hits both alike.
fn take_turns(
    one: &Cpu,
    all: &Cpu,
    kernel: &'static str,
    n: usize,
    mut work: impl FnMut(&Cpu) -> Result<(), Failure>,
) -> Result<Scaling, Failure> {
    let repetitions = Clock::Wall.calibrate(SAMPLE_NS, || work(one))?;
    let mut sample = |cpu: &Cpu| Clock::Wall.sample(repetitions, || work(cpu));
    let (begin, ours, busy) = (Instant::now(), cpu_ns(), machine::busy_ns());
    let rows = paired::take_turns(2, 0..PAIRS, |arm| sample(if arm == 0 { all } else { one }))?;
    let samples_ns: Vec<(u64, u64)> = rows.into_iter().map(|row| (row[0], row[1])).collect();
    let elapsed_ns = begin.elapsed().as_nanos() as f64;
    // Whole ticks, so a little may be missing.
    let others_ns = |after: u64, before: u64| after.saturating_sub(before).saturating_sub(cpu_ns() - ours) as f64;
    let others_cores = machine::busy_ns().zip(busy).map(|(after, before)| others_ns(after, before) / elapsed_ns);
    let interval = paired_ratio(&samples_ns);
    Ok(Scaling { kernel, n, threads: all.threads(), interval, samples_ns, others_cores })
}

/// What all threads bring to a robot that encrypts an update; nothing to say on one core.
///
/// # Errors
/// [`Failure::Wrong`] where the round is wrong.
pub fn of_rounds(one: &Cpu, length: usize) -> Result<Option<Scaling>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let Some(all) = Cpu::with(one.isa(), threads).filter(|_| threads > 1) else { return Ok(None) };
    let mut ours = Ours::prepare(one, length, 16)?;
    take_turns(one, &all, "round-encrypt", length, |cpu| ours.encrypt(cpu)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_beside_other_processes_does_not_count() {
        let interval = paired_ratio(&[(10, 19), (10, 20), (10, 21)]);
        let shown = |others_cores| {
            Scaling { kernel: "sum", n: 1, threads: 2, interval, samples_ns: vec![], others_cores }.to_string()
        };
        assert!(shown(Some(0.9)).contains("does not count"), "{}", shown(Some(0.9)));
        assert!(shown(Some(0.02)).starts_with("2.00 x on 2 threads"), "{}", shown(Some(0.02)));
        assert!(!shown(Some(0.02)).contains("count") && !shown(None).contains("count"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_busy_neighbour_is_seen() {
        let (one, all) = (Cpu::best(1), Cpu::best(2));
        let mut neighbour = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let scaling = measure(&one, &all, Kernel::Forward);
        neighbour.kill().unwrap();
        neighbour.wait().unwrap();
        let others = scaling.unwrap().others_cores.unwrap();
        assert!(others > QUIET_CORES, "only {others} of a core");
    }

    #[test]
    fn a_batch_on_two_threads_equals_the_reference() {
        let all = Cpu::best(2);
        for kernel in KERNELS {
            let mut batch = Task::new(Case { kernel, n: 1024 }, Scale::Polys(256)).unwrap();
            assert!(batch.items >= 256, "a batch has many items");
            batch.step(&all).unwrap();
            check(&all, Case { kernel, n: 1024 }).unwrap();
        }
    }
}
