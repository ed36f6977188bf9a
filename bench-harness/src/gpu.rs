//! `tensorguard gpu`: what the CUDA device can do at best, every kernel against that, and whole jobs with and without transfers.
//!
//! Times on the device are its own clock's; times of whole jobs are wall time. The suite that `scripts/gpu-check` runs before this compares
//! every kernel with the definition at sizes that a processor can follow; here the end of each large batch is compared before its time counts.

mod batches;
mod measure;

use crate::built;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::record::Measure;
use cuda::{Cuda, Facts, Memory};
use kernels::{Encoding, Modulus, Ring};
use measure::Bench;
use serde::Serialize;
use std::fmt;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The program's version.
    pub program: &'static str,
    /// The commit it was built from, where the build knew it.
    pub commit: Option<&'static str>,
    /// The host.
    pub machine: Machine,
    /// The device.
    pub device: Device,
    /// Everything measured, in order.
    pub rows: Vec<Row>,
}

/// What the driver says of the device.
#[derive(Debug, Serialize)]
pub struct Device {
    name: String,
    capability: u32,
    driver: u32,
    multiprocessors: u32,
    shares_memory_with_host: bool,
    /// In bytes.
    pub memory_bytes: u64,
    /// The highest clock of the multiprocessors, where the driver tells it.
    pub clock_khz: Option<u32>,
    /// The highest clock of the memory, where the driver tells it.
    pub memory_clock_khz: Option<u32>,
}

impl Device {
    /// A short name for folders.
    #[must_use]
    pub fn label(&self) -> String {
        let name = self.name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.join("-")
    }
}

/// One measurement: the median of several.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The median; none where there is no device but a stand-in.
    pub value: Option<f64>,
    /// Of what.
    pub unit: &'static str,
    /// How much of the time the floor would take, and the limit that makes the floor: 1 is the floor itself.
    pub share: Option<(f64, &'static str)>,
    /// How many times the time of a limit's own row each limit would take: the largest is the floor.
    pub limits: Vec<(&'static str, f64)>,
    /// Whose nanoseconds the samples are: the device's own, or elapsed ones for whole jobs.
    pub clock: Measure,
    /// Runs in a sample.
    pub repetitions: u64,
    /// Why it was not measured, if it was not.
    pub not_run: Option<&'static str>,
    /// All samples, in nanoseconds. In a file of their own.
    #[serde(skip)]
    pub samples_ns: Vec<u64>,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Sizes that fill a GPU.
    Full,
    /// Small sizes, a few repetitions: a check that it works, not a measurement.
    Smoke,
}

fn is_stand_in(facts: &Facts) -> bool {
    facts.name.contains("host shim")
}

/// The name of what stands in for a GPU, if something does.
#[must_use]
pub fn stand_in() -> Option<String> {
    let facts = Cuda::new().ok()?.facts().clone();
    is_stand_in(&facts).then_some(facts.name)
}

/// A device that may be measured.
#[derive(Debug)]
pub struct Opened {
    /// The host, before.
    pub machine: Machine,
    /// What the driver says of it.
    pub device: Device,
    cuda: Cuda,
    effort: Effort,
}

impl Opened {
    /// The device of this machine.
    ///
    /// # Errors
    /// [`Failure::Usage`] without one, or where only a stand-in is there to be measured.
    pub fn new(effort: Effort) -> Result<Self, Failure> {
        let cuda = Cuda::new().map_err(|absent| Failure::Usage(format!("no CUDA device: {absent}")))?;
        // Figures of a stand-in would be figures of nothing: it is only a check that everything runs.
        if effort == Effort::Full && is_stand_in(cuda.facts()) {
            return Err(Failure::Usage(format!("{} is not a GPU: only --smoke runs on it", cuda.facts().name)));
        }
        let facts = cuda.facts().clone();
        let device = Device {
            name: facts.name,
            capability: facts.capability,
            driver: facts.driver,
            multiprocessors: facts.multiprocessors,
            shares_memory_with_host: facts.memory == Memory::Shared,
            memory_bytes: facts.memory_bytes,
            clock_khz: facts.clock_khz,
            memory_clock_khz: facts.memory_clock_khz,
        };
        Ok(Self { machine: Machine::look(), device, cuda, effort })
    }

    /// How much will be measured.
    #[must_use]
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// Measures everything. A few minutes on a GPU. `keep` gets each row as it is done.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a batch does not end as the definition says; [`Failure::Internal`] where the device fails; those of `keep`.
    pub fn measure(self, keep: Keep<'_>) -> Result<Report, Failure> {
        let Self { machine, device, cuda, effort } = self;
        let rows = Bench::new(&cuda, effort, keep).all()?;
        let program = concat!("tensorguard ", env!("CARGO_PKG_VERSION"));
        Ok(Report { program, commit: built::COMMIT, machine, device, rows })
    }
}

/// Who keeps rows.
pub type Keep<'a> = &'a mut dyn FnMut(&Row) -> Result<(), Failure>;

fn suites() -> Result<Vec<(&'static str, Encoding)>, Failure> {
    let suite = |name, n, primes: &[Modulus], bits, base, digits| {
        let primes: Vec<u32> = primes.iter().map(|p| p.value()).collect();
        let ring = Ring::new(n, &primes).map_err(|error| Failure::Internal(error.to_string()))?;
        let encoding = Encoding::new(ring, bits, base, digits).map_err(|error| Failure::Internal(error.to_string()))?;
        Ok::<_, Failure>((name, encoding))
    };
    // 8-bit values of 100 clients: sums below 255 * 100 + 1.
    let base = 255 * 100 + 1;
    Ok(vec![
        suite("FL-4096-60", 4096, &[Modulus::P1, Modulus::P2], 50, base, 3)?,
        suite("FL-2048-30", 2048, &[Modulus::P1], 21, base, 1)?,
    ])
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, capability, driver, multiprocessors, .. } = self;
        write!(f, "{name}, capability {capability}, {multiprocessors} multiprocessors, driver {driver}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, commit {}", self.program, self.commit.unwrap_or("unknown"))?;
        writeln!(f, "{}", self.device)?;
        writeln!(f, "\n{:62} {:>12} {:14} {:>10}", "", "median", "", "floor")?;
        for Row { name, value, unit, share, not_run, .. } in &self.rows {
            let Some(value) = value else {
                writeln!(f, "{name:62}     {}", not_run.unwrap_or("ran, no device to time"))?;
                continue;
            };
            let share = share.map_or(String::new(), |(share, which)| format!("{:8.0} % {which}", 100.0 * share));
            writeln!(f, "{}", format!("{name:62} {value:12.3} {unit:14} {share}").trim_end())?;
        }
        Ok(())
    }
}
