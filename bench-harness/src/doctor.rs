//! `tensorguard doctor`: what this machine offers, and why what is missing is missing.

use crate::backends;
use crate::calibration::{self, Calibration, Fingerprint, Remembered};
use crate::device::{self, Adapter};
use crate::machine::{Machine, program};
use cuda::{Cuda, Facts};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::Serialize;
use std::fmt;

/// The answer, as text through [`fmt::Display`] and as JSON through [`Serialize`].
#[derive(Debug, Serialize)]
pub struct Findings {
    /// The program's version.
    pub version: &'static str,
    /// The machine.
    pub machine: Machine,
    /// The engine that jobs go to if nobody chooses.
    pub chosen: &'static str,
    /// Every engine there is.
    pub backends: Vec<Found>,
    /// Every adapter that the drivers show, and why it is used or not.
    pub adapters: Vec<Adapter>,
    /// From which sizes on the device is faster, if that is known.
    pub calibration: Option<Calibration>,
    /// Whether it is known, and if not, why.
    pub calibration_note: String,
    /// Programs that some measurements need.
    pub tools: Vec<Found>,
}

/// Something that is there, or the reason why not.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Its name.
    pub name: &'static str,
    /// Whether it can be used.
    pub present: bool,
    /// What it is for, or why it is absent and what would help.
    pub note: String,
}

/// Looks around. Loads GPU drivers, so it takes a moment; `adapter` is a part of the wanted one's name.
#[must_use]
pub fn examine(adapter: Option<&str>) -> Findings {
    let choice = device::choice(adapter);
    let opened = device::open(choice, shaders::Options::default());
    let backends = backends::all();
    let backends = backends.iter().map(|listed| match (listed.name, &opened) {
        ("wgpu", Ok((_, device))) => present("wgpu", &device.to_string()),
        ("wgpu", Err(why)) => absent("wgpu", &why.to_string()),
        ("cuda", _) => match Cuda::new() {
            Ok(cuda) => present("cuda", &gpu(cuda.facts())),
            Err(why) => absent("cuda", &why.to_string()),
        },
        _ => match listed.open(1) {
            Ok(_) => present(listed.name, listed.note),
            Err(why) => absent(listed.name, &why),
        },
    });
    let (calibration, calibration_note) = match &opened {
        Ok((_, device)) => recall(device),
        Err(_) => (None, "without a device there is nothing to choose".to_owned()),
    };
    let tool = |name, use_for: &str, install: &str| match program(name) {
        Some(_) => present(name, use_for),
        None => absent(name, install),
    };
    let counts = "counts instructions in `cargo bench --bench instructions`";
    let tools = vec![
        tool(
            "cargo",
            "builds the peers for `tensorguard compare-peers`",
            "needed for compare-peers: see https://rustup.rs",
        ),
        tool("valgrind", counts, "no instruction counts: install the package `valgrind`"),
        tool(
            "gungraun-runner",
            counts,
            "no instruction counts: `cargo install --locked gungraun-runner --version 0.20.0`",
        ),
    ];
    Findings {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::look(),
        chosen: Cpu::best(1).name(),
        backends: backends.collect(),
        adapters: device::adapters(choice),
        calibration,
        calibration_note,
        tools,
    }
}

fn present(name: &'static str, note: &str) -> Found {
    Found { name, present: true, note: note.to_owned() }
}

fn absent(name: &'static str, note: &str) -> Found {
    Found { name, present: false, note: note.to_owned() }
}

fn recall(device: &device::Device) -> (Option<Calibration>, String) {
    let Some(path) = calibration::path() else {
        return (None, "no folder to keep it in: set TENSORGUARD_CACHE".to_owned());
    };
    let again = "run `tensorguard calibrate`";
    match calibration::remembered(&path, &Fingerprint::of(&Cpu::best(device::cores()), device)) {
        Remembered::Known(calibration) => (Some(calibration), path.display().to_string()),
        Remembered::Absent => (None, format!("not measured yet: {again}")),
        Remembered::Stale(why) => (None, format!("not believed, for it is stale: {why}; {again}")),
        Remembered::Edited(why) => (None, format!("not believed, for it was changed: {why}; {again}")),
    }
}

/// Name, capability and driver of a GPU in one line.
fn gpu(facts: &Facts) -> String {
    let Facts { name, capability, driver, multiprocessors, .. } = facts;
    let version = |number: u32, unit: u32, step: u32| format!("{}.{}", number / unit, number % unit / step);
    let (capability, driver) = (version(*capability, 10, 1), version(*driver, 1000, 10));
    format!("{name}, compute capability {capability}, {multiprocessors} multiprocessors, driver for CUDA {driver}")
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        let unknown = || "unknown".to_owned();
        let bytes = |value: Option<u64>, unit: u64, name: &str| {
            value.map_or_else(unknown, |bytes| format!("{:.1} {name}", bytes as f64 / unit as f64))
        };
        writeln!(f, "tensorguard {}", self.version)?;
        let kernel = machine.kernel.as_deref().unwrap_or("release unknown");
        writeln!(f, "system     {}, {kernel}", machine.platform)?;
        writeln!(f, "processor  {}", machine.cpu.clone().unwrap_or_else(unknown))?;
        writeln!(f, "cores      {}", machine.cores)?;
        let (memory, cache) = (bytes(machine.memory_bytes, 1 << 30, "GiB"), bytes(machine.cache_bytes, 1 << 20, "MiB"));
        writeln!(f, "memory     {memory}, largest cache {cache}")?;
        writeln!(f, "governor   {}", machine.governor.clone().unwrap_or_else(unknown))?;
        writeln!(f, "engine     {}", self.chosen)?;
        let load = machine.load.map_or_else(unknown, |load| format!("{load:.2}"));
        let busy = machine.load.is_some_and(|load| load > 0.5 * machine.cores as f64);
        let hint = if busy { ": busy, so trust ratios of one run only" } else { "" };
        writeln!(f, "load       {load}{hint}")?;
        list(f, "backends", &self.backends)?;
        writeln!(f, "\nadapters")?;
        for Adapter { name, kind, api, driver, reason, .. } in &self.adapters {
            writeln!(f, "  {name} ({kind}, {api}, {driver})\n    {reason}")?;
        }
        if self.adapters.is_empty() {
            writeln!(f, "  none: no driver for Vulkan, Metal or DX12 shows one")?;
        }
        writeln!(f, "\ncalibration\n  {}", self.calibration_note)?;
        self.calibration.as_ref().map_or(Ok(()), |calibration| write!(f, "{calibration}"))?;
        list(f, "tools", &self.tools)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, entries: &[Found]) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    for Found { name, present, note } in entries {
        let state = if *present { "present" } else { "absent " };
        let line = format!("  {state}  {name:16} {note}");
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}
