//! The GPU that the command uses: which one, and why.

use serde::Serialize;
use shaders::{Absent, Arithmetic, Choice, Options, Wgpu};
use std::fmt;

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

/// The user's choice: a part of a name, or nothing for the best one.
#[must_use]
pub fn choice(name: Option<&str>) -> Choice<'_> {
    name.filter(|name| !name.is_empty()).map_or(Choice::Best, Choice::Named)
}

/// Every adapter, and why it is used or not.
#[must_use]
pub fn adapters(choice: Choice<'_>) -> Vec<Adapter> {
    let adapter = |found: shaders::Found| Adapter {
        name: found.name,
        kind: found.kind.to_string(),
        api: found.api,
        driver: found.driver,
        taken: found.taken,
        reason: found.reason,
    };
    shaders::adapters(choice).into_iter().map(adapter).collect()
}

/// Opens the chosen one.
///
/// # Errors
/// [`Absent`] says what is missing.
pub fn open(choice: Choice<'_>, options: Options) -> Result<(Wgpu, Device), Absent> {
    let engine = Wgpu::open(choice, options)?;
    let found = engine.adapter();
    let words = match engine.arithmetic() {
        Arithmetic::Limbs => "16-bit limbs",
        Arithmetic::Native => "64-bit integers",
    };
    let device = Device(format!("{}, {}, {}, {words}", found.name, found.api, found.driver));
    Ok((engine, device))
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
