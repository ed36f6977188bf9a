//! The GPU that the command uses: which one, and why.

use crate::clock::Clock;
use kernels::Fault;
use serde::Serialize;
use shaders::{Absent, Arithmetic, Choice, Options, Timing, Wgpu};
use std::fmt;
use std::sync::OnceLock;

/// An adapter that was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Its name for itself.
    pub name: String,
    /// What it is: a discrete GPU, software.
    pub kind: String,
    /// The interface it is reached through.
    pub api: &'static str,
    /// The driver and its version.
    pub driver: String,
    /// Whether it is the one that is used.
    pub taken: bool,
    /// Why it is used or not.
    pub reason: String,
}

/// The chosen adapter as words: what a calibration holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device(String);

/// Threads for an engine that may use the whole processor.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Where the environment may name the wanted adapter.
pub const ADAPTER: &str = "TENSORGUARD_ADAPTER";

static WANTED: OnceLock<String> = OnceLock::new();

/// Chooses for the whole process, once: the first adapter with this in its name, instead of the best one.
pub fn choose(name: Option<String>) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        // The first choice stays.
        let _ = WANTED.set(name);
    }
}

/// What was chosen, if anything was.
#[must_use]
pub fn chosen() -> Option<&'static str> {
    WANTED.get().map(String::as_str)
}

fn choice() -> Choice<'static> {
    chosen().map_or(Choice::Best, Choice::Named)
}

/// Every adapter, and why it is used or not.
#[must_use]
pub fn adapters() -> Vec<Adapter> {
    let adapter = |found: shaders::Found| Adapter {
        name: found.name,
        kind: found.kind.to_string(),
        api: found.api,
        driver: found.driver,
        taken: found.taken,
        reason: found.reason,
    };
    shaders::adapters(choice()).into_iter().map(adapter).collect()
}

/// Opens the chosen one, or the best.
///
/// # Errors
/// [`Absent`] says what is missing.
pub fn open(options: Options) -> Result<(Wgpu, Device), Absent> {
    let engine = Wgpu::open(choice(), options)?;
    let found = engine.adapter();
    let words = match engine.arithmetic() {
        Arithmetic::Limbs => "16-bit limbs",
        Arithmetic::Native => "64-bit integers",
    };
    let device = Device(format!("{}, {}, {}, {}, {words}", found.name, found.kind, found.api, found.driver));
    Ok((engine, device))
}

/// One whose kernels the device times. Time stamps take time themselves, so whole jobs are timed on another.
///
/// # Errors
/// [`Absent`] says what is missing.
pub fn open_stamped() -> Result<Wgpu, Absent> {
    open(Options { timing: Timing::Kernels, ..Options::default() }).map(|(engine, _)| engine)
}

/// Copied at once: beyond the caches of the largest GPUs, and half of what a buffer may hold.
const COPY_BYTES: u64 = 1 << 27;

/// Copies within the device's own memory, so many in one submission: the rate that kernels are held against.
#[derive(Debug)]
pub struct Copies<'a> {
    engine: &'a Wgpu,
    times: u64,
}

impl<'a> Copies<'a> {
    /// As many as take about `sample_ns`.
    ///
    /// # Errors
    /// Where the device has no memory for them.
    pub fn new(engine: &'a Wgpu, sample_ns: u64) -> Result<Self, Fault> {
        let times = Clock::Wall.calibrate(sample_ns, || engine.copy(COPY_BYTES, 1))?;
        Ok(Self { engine, times })
    }

    /// Bytes that [`Self::run`] moves, read and written counted once each.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        2 * COPY_BYTES * self.times
    }

    /// Copies, and waits.
    ///
    /// # Errors
    /// The device's.
    pub fn run(&self) -> Result<(), Fault> {
        self.engine.copy(COPY_BYTES, self.times as u32)
    }

    /// Bytes per nanosecond.
    ///
    /// # Errors
    /// The device's.
    pub fn rate(&self) -> Result<f64, Fault> {
        Ok(self.bytes() as f64 / Clock::Wall.sample(1, || self.run())?.max(1) as f64)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
