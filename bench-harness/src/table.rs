//! `tensorguard table`: every kernel's throughput on one screen, beside what limits it here.

use crate::bandwidth::Reader;
use crate::ceiling;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::floor::Ceilings;
use crate::machine::Machine;
use crate::micro::view::nanoseconds;
use crate::progress::Progress;
use crate::scaling::{self, KERNELS, Scaling};
use crate::stats::median;
use crate::task::{Case, Scale, Task, cases, check};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::Serialize;
use std::fmt;

/// Length of one sample.
const SAMPLE_NS: u64 = 8_000_000;
/// Samples per row. With 19 rows, some ten seconds.
const SAMPLES: usize = 61;

/// Values of an update whose encryption is tried on all threads: 10 MB of fp32.
const UPDATE: usize = 2_500_000;

/// The table.
#[derive(Debug, Serialize)]
pub struct Table {
    /// The machine.
    pub machine: Machine,
    /// The engine.
    pub engine: &'static str,
    /// Its threads.
    pub threads: usize,
    /// `cpu` for one thread, `wall` for several.
    pub clock: &'static str,
    /// What one thread reads from memory, in GB/s.
    pub memory_gb_s: f64,
    /// What one thread's products give at best, in units of 10^9 a second.
    pub products_g_s: f64,
    /// The same of operations on lanes.
    pub operations_g_s: f64,
    /// One per case.
    pub rows: Vec<Row>,
    /// What all threads bring, where one was asked for and the machine has more.
    pub scaling: Vec<Scaling>,
}

/// One kernel.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The kernel.
    pub kernel: &'static str,
    /// Length of a polynomial or row.
    pub n: usize,
    /// What the time is per.
    pub item: &'static str,
    /// Nanoseconds per item, median of the samples.
    pub time_ns_median: f64,
    /// Bytes the step must move, over its time.
    pub gb_s: f64,
    /// The limit that makes the kernel's floor; none on several threads, of which no limit is measured.
    pub limit: &'static str,
    /// The floor's time over the kernel's time: 1 is the floor itself. NaN (JSON null) where there is none.
    pub reached: f64,
    /// Every sample, in nanoseconds per item.
    pub samples_ns: Vec<f64>,
}

/// Measures everything: memory first, then each case after comparing its output with the reference.
///
/// # Errors
/// [`Failure::Wrong`] where an output is wrong.
pub fn measure(cpu: &Cpu) -> Result<Table, Failure> {
    let cases = cases();
    let mut progress = Progress::new(cases.len() + 1 + if cpu.threads() == 1 { KERNELS.len() + 1 } else { 0 });
    progress.step("limits");
    let ceilings = ceiling::measure(cpu, Reader::new().rate()?)?;
    let clock = if cpu.threads() == 1 { Clock::Cpu } else { Clock::Wall };
    let mut rows = Vec::new();
    for case in cases {
        progress.step(&format!("{} n = {}", case.kernel.name(), case.n));
        check(cpu, case)?;
        rows.push(row(cpu, case, clock, &ceilings)?);
    }
    let mut scaling = Vec::new();
    if cpu.threads() == 1 {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        if let Some(all) = Cpu::with(cpu.isa(), threads).filter(|all| all.threads() > 1) {
            for kernel in KERNELS {
                progress.step(&format!("{} on {threads} threads", kernel.name()));
                scaling.push(scaling::measure(cpu, &all, kernel)?);
            }
            progress.step(&format!("a robot's encryption on {threads} threads"));
            scaling.extend(scaling::of_rounds(cpu, UPDATE)?);
        }
    }
    Ok(Table {
        machine: Machine::look(),
        engine: cpu.name(),
        threads: cpu.threads(),
        clock: if clock == Clock::Cpu { "cpu" } else { "wall" },
        memory_gb_s: ceilings.bytes,
        products_g_s: ceilings.products,
        operations_g_s: ceilings.operations,
        rows,
        scaling,
    })
}

fn row(cpu: &Cpu, case: Case, clock: Clock, ceilings: &Ceilings) -> Result<Row, Failure> {
    let mut task = Task::new(case, Scale::Full)?;
    let (items, bytes) = (task.items as f64, task.bytes as f64);
    let repetitions = clock.calibrate(SAMPLE_NS, || task.step(cpu))?;
    let mut samples_ns = Vec::new();
    for _ in 0..SAMPLES {
        let took = clock.sample(repetitions, || task.step(cpu))?;
        samples_ns.push(took as f64 / (repetitions as f64 * items));
    }
    let time_ns_median = median(&samples_ns);
    let gb_s = bytes / (time_ns_median * items);
    let (kernel, item) = (case.kernel.name(), case.kernel.item());
    let floor = task.needs().floor(ceilings, Machine::look().cache_bytes).filter(|_| cpu.threads() == 1);
    let (limit, floor_ns) = floor.map_or(("", f64::NAN), |floor| (floor.limit.name(), floor.ns));
    let reached = floor_ns / (time_ns_median * items);
    Ok(Row { kernel, n: case.n, item, time_ns_median, gb_s, limit, reached, samples_ns })
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.machine.cpu.as_deref().unwrap_or("unknown processor");
        let threads = if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        writeln!(f, "{} on {cpu}, {threads}, {} time, outputs checked", self.engine, self.clock)?;
        writeln!(
            f,
            "one thread reads {:.1} GB/s from memory, makes {:.1} G products and {:.1} G lane operations a second\n",
            self.memory_gb_s, self.products_g_s, self.operations_g_s
        )?;
        writeln!(f, "{:8} {:>6}  {:>22}  {:>10}   of its floor", "kernel", "n", "time", "bytes")?;
        for row in &self.rows {
            let time = format!("{} /{}", nanoseconds(row.time_ns_median), row.item);
            let reached = match row.limit {
                "" => String::new(),
                limit => format!("{:3.0} %, limit: {limit}", 100.0 * row.reached),
            };
            let line = format!("{:8} {:>6}  {time:>22}  {:>5.1} GB/s   {reached}", row.kernel, row.n, row.gb_s);
            writeln!(f, "{}", line.trim_end())?;
        }
        if self.threads == 1 {
            writeln!(
                f,
                "\nbytes: what must move if no cache helps, over the time. The floor is the largest of what bytes (those that no"
            )?;
            writeln!(f, "cache can keep), products and lane operations would each take: docs/KERNELS.md.")?;
        }
        for scaling in &self.scaling {
            write!(f, "\n{:13} {:>7}  {scaling}", scaling.kernel, scaling.n)?;
        }
        if !self.scaling.is_empty() {
            writeln!(
                f,
                "\nscaling: elapsed time of a large batch, one thread over all; round-encrypt: floats to wire bytes"
            )?;
        }
        Ok(())
    }
}
