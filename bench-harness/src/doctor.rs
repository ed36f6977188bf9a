//! `tensorguard doctor`: what this machine offers, and why what is missing is missing.

use crate::backends;
use crate::calibration::{self, Calibration};
use crate::device::{self, Adapter};
use crate::found::Found;
use crate::machine::{Machine, program};
use crate::sensors::Sensors;
use crate::sysfs::some_text;
use crate::{disciplines, power, quiet};
use cuda::{Cuda, Facts};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::Serialize;
use std::fmt;
use std::path::Path;

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
    /// Graphics cards and the drivers that engines need.
    pub gpus: Vec<Found>,
    /// How the machine may spend power.
    pub power: Vec<Found>,
    /// Temperature, clock and power, now.
    pub sensors: Vec<Found>,
    /// By how much identical code differs here.
    pub noise: Vec<Found>,
    /// What can shape a link.
    pub links: Vec<Found>,
    /// Programs that some measurements need.
    pub tools: Vec<Found>,
}

/// Looks around. Loads GPU drivers and compares code with itself, so it takes a moment.
#[must_use]
pub fn examine() -> Findings {
    let backends = backends::all();
    let backends = backends.iter().map(|listed| match listed.name {
        "wgpu" => {
            let opened = device::open(shaders::Options::default());
            Found::of("wgpu", opened.map(|(_, device)| device.to_string()).map_err(|why| why.to_string()))
        }
        "cuda" => Found::of("cuda", Cuda::new().map(|cuda| gpu(cuda.facts())).map_err(|why| why.to_string())),
        _ => Found::of(listed.name, listed.open(1).map(|_| listed.note.to_owned())),
    });
    let calibration = match calibration::devices() {
        Ok(devices) => calibration::recall(&Cpu::best(device::cores()), &devices),
        Err(_) => Err("without a device there is nothing to choose".to_owned()),
    };
    let (calibration, calibration_note) = match calibration {
        Ok(known) => (Some(known), calibration::path().unwrap_or_default().display().to_string()),
        Err(why) => (None, why),
    };
    let adapters = device::adapters();
    let root = Path::new("/");
    let mut gpus = power::gpus(root);
    gpus.extend(drivers(root, &adapters));
    Findings {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::look(),
        chosen: Cpu::best(1).name(),
        backends: backends.collect(),
        adapters,
        calibration,
        calibration_note,
        gpus,
        power: power::look(root),
        sensors: Sensors::look().rows(),
        noise: quiet::look().unwrap_or_else(|failure| vec![Found::absent("noise", failure.to_string())]),
        links: disciplines::look(),
        tools: tools(),
    }
}

/// The drivers that GPU engines are reached through.
fn drivers(root: &Path, adapters: &[Adapter]) -> Vec<Found> {
    let vulkan: Vec<&str> =
        adapters.iter().filter(|adapter| adapter.api == "vulkan").map(|adapter| adapter.name.as_str()).collect();
    let vulkan = match vulkan.as_slice() {
        [] => Err("no driver shows an adapter: install the card's, or mesa-vulkan-drivers for software".to_owned()),
        names => Ok(names.join(", ")),
    };
    let module = some_text(&root.join("proc/driver/nvidia/version"));
    let module = module.and_then(|text| text.lines().next().map(str::to_owned));
    let module = module.ok_or_else(|| "not loaded: no /proc/driver/nvidia; Jetson's is part of its kernel".to_owned());
    vec![Found::of("Vulkan", vulkan), Found::of("NVIDIA module", module)]
}

fn tools() -> Vec<Found> {
    let tool = |name: &str, use_for: &str, install: &str| {
        Found::of(name, program(name).map(|_| use_for.to_owned()).ok_or_else(|| install.to_owned()))
    };
    let counts = "counts instructions in `cargo bench --bench instructions`";
    vec![
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
    ]
}

/// Name, capability and driver of a GPU in one line.
pub(crate) fn gpu(facts: &Facts) -> String {
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
        list(f, "GPUs and their drivers", &self.gpus)?;
        list(f, "power", &self.power)?;
        list(f, "sensors", &self.sensors)?;
        list(f, "noise", &self.noise)?;
        list(f, "shaped links", &self.links)?;
        list(f, "tools", &self.tools)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, entries: &[Found]) -> fmt::Result {
    writeln!(f, "\n{title}")?;
    entries.iter().try_for_each(|entry| writeln!(f, "  {entry}"))
}
