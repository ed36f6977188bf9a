//! `tensorguard doctor`: what this machine offers, and why what is missing is missing.

use crate::machine::{Machine, program};
use cuda::{Cuda, Facts};
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
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

/// Looks around. Takes milliseconds.
#[must_use]
pub fn examine() -> Findings {
    let mut backends = vec![found("reference", true, "the definition; slow, for checks")];
    backends.extend(Isa::ALL.iter().map(|isa| match isa.absent_reason() {
        None => found(isa.name(), true, ""),
        Some(why) => found(isa.name(), false, why),
    }));
    backends.push(found("wgpu", false, "this version has no WebGPU engine"));
    backends.push(match Cuda::new() {
        Ok(cuda) => found("cuda", true, &device(cuda.facts())),
        Err(absent) => found("cuda", false, &absent.to_string()),
    });
    let tool = |name, present: &str, absent: &str| match program(name) {
        Some(_) => found(name, true, present),
        None => found(name, false, absent),
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
        backends,
        tools,
    }
}

/// Name, capability and driver of a GPU in one line.
fn device(facts: &Facts) -> String {
    let Facts { name, capability, driver, multiprocessors, .. } = facts;
    let version = |number: u32, unit: u32, step: u32| format!("{}.{}", number / unit, number % unit / step);
    let (capability, driver) = (version(*capability, 10, 1), version(*driver, 1000, 10));
    format!("{name}, compute capability {capability}, {multiprocessors} multiprocessors, driver for CUDA {driver}")
}

fn found(name: &'static str, present: bool, note: &str) -> Found {
    Found { name, present, note: note.to_owned() }
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
