//! `tensorguard table`: every kernel's throughput on one screen, beside what limits it here.

use crate::bandwidth::Reader;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::micro::view::nanoseconds;
use crate::progress::Progress;
use crate::scaling::{self, KERNELS, Scaling};
use crate::stats::median;
use crate::task::{Case, Kernel, Scale, Task, cases, check};
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

/// Arithmetic limits these, and that limit is not measured: only what memory alone would allow is known.
pub const COMPUTE: &str = "compute-bound";

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
    /// What the kernel is held against: memory, or its parts as measured in other rows. `compute-bound`: memory only.
    pub limit: &'static str,
    /// The limit's time over the kernel's time: 1 is the limit itself. NaN (JSON null) where there is none.
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
    progress.step("memory");
    let memory_gb_s = Reader::new().rate()?;
    let clock = if cpu.threads() == 1 { Clock::Cpu } else { Clock::Wall };
    let mut rows = Vec::new();
    for case in cases {
        progress.step(&format!("{} n = {}", case.kernel.name(), case.n));
        check(cpu, case)?;
        rows.push(row(cpu, case, clock)?);
    }
    let mut scaling = Vec::new();
    if cpu.threads() == 1 {
        limit(&mut rows, memory_gb_s);
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
        memory_gb_s,
        rows,
        scaling,
    })
}

fn row(cpu: &Cpu, case: Case, clock: Clock) -> Result<Row, Failure> {
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
    Ok(Row { kernel, n: case.n, item, time_ns_median, gb_s, limit: "", reached: f64::NAN, samples_ns })
}

/// What a kernel is held against: a name, and which other kernels' times one of its items would take, how often each.
/// Without such parts it is memory.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The name.
    pub name: &'static str,
    /// Kernels, at 4096 where they have a length, and how many of their items.
    pub parts: &'static [(Kernel, f64)],
}

/// The limit of a kernel.
#[must_use]
pub fn limit_of(kernel: Kernel) -> Limit {
    // Per coefficient: two limbs, each one word of `a` and a transform; two words of error. Three digits to each.
    const TRANSFORM: f64 = 1.0 / 4096.0;
    match kernel {
        Kernel::Pad => {
            Limit { name: "stream + transforms", parts: &[(Kernel::Expand, 4.0), (Kernel::Inverse, 2.0 * TRANSFORM)] }
        }
        Kernel::Encrypt => Limit { name: "pad + seal", parts: &[(Kernel::Pad, 1.0 / 3.0), (Kernel::Seal, 1.0)] },
        Kernel::Decrypt => Limit {
            name: "stream + transforms",
            parts: &[(Kernel::Expand, 2.0 / 3.0), (Kernel::Inverse, 2.0 * TRANSFORM / 3.0)],
        },
        Kernel::Dense => Limit { name: "stream", parts: &[(Kernel::Expand, 1.0)] },
        Kernel::Sum => Limit { name: "memory", parts: &[] },
        Kernel::Forward | Kernel::Inverse | Kernel::Expand | Kernel::Seal => Limit { name: COMPUTE, parts: &[] },
    }
}

/// Puts each row beside what was measured of its limit: memory, or the parts it is made of.
fn limit(rows: &mut [Row], memory_gb_s: f64) {
    let times: Vec<(&str, f64)> =
        rows.iter().filter(|row| row.n == 4096).map(|row| (row.kernel, row.time_ns_median)).collect();
    let time = |kernel: Kernel| {
        times.iter().find(|(name, _)| *name == kernel.name()).map_or(f64::NAN, |(_, time_ns)| *time_ns)
    };
    for row in rows {
        let Some(case) = cases().into_iter().find(|case| case.kernel.name() == row.kernel) else { continue };
        let Limit { name, parts } = limit_of(case.kernel);
        let floor = match parts {
            [] => row.time_ns_median * row.gb_s / memory_gb_s,
            parts => parts.iter().map(|&(kernel, times)| times * time(kernel)).sum(),
        };
        (row.limit, row.reached) = (name, floor / row.time_ns_median);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.machine.cpu.as_deref().unwrap_or("unknown processor");
        let threads = if self.threads == 1 { "1 thread".to_owned() } else { format!("{} threads", self.threads) };
        writeln!(f, "{} on {cpu}, {threads}, {} time, outputs checked", self.engine, self.clock)?;
        writeln!(f, "memory: one thread reads {:.1} GB/s\n", self.memory_gb_s)?;
        writeln!(f, "{:8} {:>6}  {:>22}  {:>10}   against its limit", "kernel", "n", "time", "bytes")?;
        for row in &self.rows {
            let time = format!("{} /{}", nanoseconds(row.time_ns_median), row.item);
            let reached = match row.limit {
                "" => String::new(),
                COMPUTE => format!("compute-bound; memory alone allows {:.1} x", 1.0 / row.reached),
                limit => format!("{:.0} % of {limit}", 100.0 * row.reached),
            };
            let line = format!("{:8} {:>6}  {time:>22}  {:>5.1} GB/s   {reached}", row.kernel, row.n, row.gb_s);
            writeln!(f, "{}", line.trim_end())?;
        }
        if self.threads == 1 {
            writeln!(
                f,
                "\nbytes: what must move if no cache helps, over the time. stream: the expand row; transforms: the"
            )?;
            writeln!(f, "inverse row at 4096. How fast compute-bound arithmetic could be here is not measured.")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_from_what_was_measured() {
        let row = |kernel: Kernel, n, time_ns_median| Row {
            kernel: kernel.name(),
            n,
            item: kernel.item(),
            time_ns_median,
            gb_s: 10.0,
            limit: "",
            reached: f64::NAN,
            samples_ns: Vec::new(),
        };
        let mut rows = [
            row(Kernel::Inverse, 4096, 2048.0),
            row(Kernel::Expand, 4096, 0.5),
            row(Kernel::Pad, 4096, 6.0),
            row(Kernel::Seal, 4096, 1.0),
            row(Kernel::Encrypt, 4096, 4.0),
            row(Kernel::Sum, 4096, 0.1),
        ];
        limit(&mut rows, 40.0);
        let reached: Vec<f64> = rows.iter().map(|row| row.reached).collect();
        assert_eq!(reached, [0.25, 0.25, 0.5, 0.25, 0.75, 0.25]);
    }
}
