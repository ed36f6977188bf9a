//! Which engine is faster from which size on: measured once per machine, remembered in a file, believed only if it is
//! ours and of this machine, program and devices.

use crate::clock::Clock;
use crate::device::{self, Copies};
use crate::failure::Failure;
use crate::gpu;
use crate::machine::Machine;
use crate::micro::work::Engine;
use crate::progress::Progress;
use crate::stats::median;
use crate::task::{Case, Kernel, Scale, Task, check_on};
use kernels::cpu::Cpu;
use kernels::{Backend, Fault, JobKind, Ladder, Rung};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Polynomials (rows of plain LWE: eight for each) of the jobs that are timed.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];
const LENGTH: usize = 4096;
/// One sample.
const SAMPLE_NS: u64 = 4_000_000;
const SAMPLES: usize = 5;
/// A step that takes longer decides as it is, and larger ones are not tried: a software device needs minutes for them.
const LONGEST_NS: u64 = 300_000_000;

/// What a measurement holds for, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The program's version.
    pub version: String,
    /// Length and time of change of the program's own file: a rebuilt program is another one.
    pub program: String,
    /// Processor and cores.
    pub machine: String,
    /// The engine on the processor.
    pub cpu: String,
    /// Each device: its name, and for WGSL also interface, driver, and how products are had.
    pub devices: Vec<String>,
}

/// One job at one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// The size as a ladder counts it.
    pub words: usize,
    /// Elapsed nanoseconds on the processor, all cores: median.
    pub cpu_ns: u64,
    /// Elapsed nanoseconds on the device, both transfers included: median.
    pub device_ns: u64,
    /// Of these in kernels, by the device's own clock: the mean of some runs. Absent where it has none.
    pub kernel_ns: Option<u64>,
    /// Bytes that the kernels must at least move.
    pub bytes: u64,
}

/// One kind of job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crossover {
    /// The job.
    pub job: String,
    /// The smallest measured size from which on the device was always faster than the processor and the devices after it;
    /// `None` where it never was.
    pub from_words: Option<usize>,
    /// What was measured.
    pub points: Vec<Point>,
}

/// One device beside the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Which device.
    pub device: String,
    /// What it copies in its own memory, read and written, in MB/s; absent where kernels are not timed by themselves.
    pub copy_mb_s: Option<u64>,
    /// One per kind of job.
    pub crossovers: Vec<Crossover>,
}

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What it holds for.
    pub fingerprint: Fingerprint,
    /// The devices, in the order in which a ladder asks them.
    pub rungs: Vec<Measured>,
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// There is none.
    Absent,
    /// It is not what this program wrote.
    Edited(String),
    /// It was measured under other circumstances.
    Stale(String),
    /// It holds.
    Known(Calibration),
}

/// The file: the text that was written, and its checksum.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    checksum: String,
    calibration: Calibration,
}

impl Fingerprint {
    /// Of this program, here, with these engines.
    #[must_use]
    pub fn of(cpu: &Cpu, devices: &[Engine]) -> Self {
        let file = std::env::current_exe().and_then(std::fs::metadata).ok();
        let program = file.and_then(|data| {
            let changed = data.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some(format!("{} bytes of {}", data.len(), changed.as_secs()))
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: program.unwrap_or_default(),
            machine: Machine::look().label(),
            cpu: format!("{}, {} threads", cpu.name(), cpu.threads()),
            devices: devices.iter().map(name).collect(),
        }
    }

    fn differs(&self, now: &Self) -> Option<String> {
        let devices = [self, now].map(|of| of.devices.join("; "));
        let pairs = [
            ("version", &self.version, &now.version),
            ("program", &self.program, &now.program),
            ("machine", &self.machine, &now.machine),
            ("processor", &self.cpu, &now.cpu),
            ("device", &devices[0], &devices[1]),
        ];
        let (what, then, now) = pairs.into_iter().find(|(_, then, now)| then != now)?;
        Some(format!("its {what} is `{then}`, now it is `{now}`"))
    }
}

/// Where the file lies: `TENSORGUARD_CACHE`, or the user's folder for such things. `None` where there is no such folder.
#[must_use]
pub fn path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder("TENSORGUARD_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("tensorguard")))
        .or_else(|| Some(folder("HOME")?.join(".cache/tensorguard")))?;
    Some(folder.join("calibration.json"))
}

/// Reads the file and decides whether to believe it.
#[must_use]
pub fn remembered(path: &Path, now: &Fingerprint) -> Remembered {
    let Ok(text) = std::fs::read_to_string(path) else { return Remembered::Absent };
    let sealed: Sealed = match serde_json::from_str(&text) {
        Ok(sealed) => sealed,
        Err(error) => return Remembered::Edited(format!("it cannot be read: {error}")),
    };
    if checksum(&sealed.calibration) != sealed.checksum {
        return Remembered::Edited("its checksum does not fit".to_owned());
    }
    match sealed.calibration.fingerprint.differs(now) {
        Some(why) => Remembered::Stale(why),
        None => Remembered::Known(sealed.calibration),
    }
}

/// Writes the file.
///
/// # Errors
/// [`Failure::Internal`] where that is not possible.
pub fn remember(path: &Path, calibration: &Calibration) -> Result<(), Failure> {
    let sealed = Sealed { checksum: checksum(calibration), calibration: calibration.clone() };
    let text = serde_json::to_string_pretty(&sealed)? + "\n";
    let failed = |error: std::io::Error| Failure::Internal(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // In one step, so that nobody reads half of it.
    let half = path.with_extension("new");
    std::fs::write(&half, text).map_err(failed)?;
    std::fs::rename(&half, path).map_err(failed)
}

/// FNV-1a over the JSON without spaces. Finds accidents and edits by hand; it is no signature.
fn checksum(calibration: &Calibration) -> String {
    let text = serde_json::to_string(calibration).unwrap_or_default();
    let hash = text
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    format!("{hash:016x}")
}

fn name(device: &Engine) -> String {
    device.device().unwrap_or_default().to_owned()
}

/// The devices here, in the order in which a ladder asks them.
///
/// # Errors
/// [`Failure::Internal`] without any; [`Failure::Usage`] where an adapter was chosen that is not there.
pub fn devices() -> Result<Vec<Engine>, Failure> {
    let wgpu = Engine::open("wgpu", 1);
    if let (Err(why), Some(_)) = (&wgpu, device::chosen()) {
        return Err(Failure::Usage(why.clone()));
    }
    let why = wgpu.as_ref().err().cloned().unwrap_or_default();
    // A stand-in for a GPU is none to send jobs to.
    let cuda = if gpu::stand_in().is_some() { None } else { Engine::open("cuda", 1).ok() };
    let found: Vec<Engine> = cuda.into_iter().chain(wgpu).collect();
    if found.is_empty() { Err(Failure::Internal(why)) } else { Ok(found) }
}

/// What the file says of these engines, or why it is not believed and what to do.
///
/// # Errors
/// The reason, for people.
pub fn recall(cpu: &Cpu, devices: &[Engine]) -> Result<Calibration, String> {
    let path = path().ok_or("no folder to keep it in: set TENSORGUARD_CACHE")?;
    let again = "run `tensorguard calibrate`";
    match remembered(&path, &Fingerprint::of(cpu, devices)) {
        Remembered::Known(calibration) => Ok(calibration),
        Remembered::Absent => Err(format!("not measured yet: {again}")),
        Remembered::Stale(why) => Err(format!("not believed, for it is stale: {why}; {again}")),
        Remembered::Edited(why) => Err(format!("not believed, for it was changed: {why}; {again}")),
    }
}

/// This machine's engines, each for the jobs at which it was the fastest; and the devices' names. The first fault of each is said.
///
/// # Errors
/// The reason why there is none, for people.
pub fn ladder() -> Result<(Ladder, String), String> {
    let (cpu, devices) = (Cpu::best(device::cores()), devices().map_err(|failure| failure.to_string())?);
    let calibration = recall(&cpu, &devices)?;
    let names = calibration.fingerprint.devices.join("; ");
    Ok((calibration.ladder(devices, cpu).telling(tell), names))
}

/// A device that fails changes no result, so whoever waits longer than usual must hear of it.
fn tell(device: &'static str, fault: Fault) {
    eprintln!("note: {device} gave a job back ({fault:?}); the next engine does it, and others that {device} fails at");
}

/// Measures every kind of job on the processor and on each device, outputs compared with the reference first.
///
/// # Errors
/// [`Failure::Wrong`] where an engine computes something else; [`Failure::Internal`] where a device is lost.
pub fn measure(cpu: &Cpu, devices: &[Engine]) -> Result<Calibration, Failure> {
    let mut progress = Progress::new(devices.len() * JobKind::ALL.len());
    let mut rungs = Vec::new();
    for device in devices {
        let mut crossovers = Vec::new();
        for kind in JobKind::ALL {
            progress.step(&format!("{} on {}", kind.name(), name(device)));
            let case = case(kind);
            check_on(cpu, case)?;
            device.check(case)?;
            crossovers.push(Crossover {
                job: kind.name().to_owned(),
                from_words: None,
                points: points(cpu, device, case)?,
            });
        }
        if let Some(why) = device.wgpu().and_then(shaders::Wgpu::trouble) {
            return Err(Failure::Internal(format!("{} was lost meanwhile: {why}", name(device))));
        }
        let copied = device.wgpu().map(|engine| Copies::new(engine, SAMPLE_NS)?.rate()).transpose()?;
        // GB/s to MB/s.
        let copy_mb_s = copied.map(|rate| (1000.0 * rate) as u64);
        rungs.push(Measured { device: name(device), copy_mb_s, crossovers });
    }
    settle(&mut rungs);
    Ok(Calibration { fingerprint: Fingerprint::of(cpu, devices), rungs })
}

/// A job on the processor and on a device, from small to large.
fn points(cpu: &Cpu, device: &Engine, case: Case) -> Result<Vec<Point>, Failure> {
    let mut points = Vec::new();
    for polys in SIZES {
        let mut task = Task::new(case, Scale::Polys(polys))?;
        let cpu_ns = time(&mut task, cpu)?;
        let device_ns = match time(&mut task, device.backend()) {
            Ok(ns) => ns,
            // It takes no jobs of this size: too little memory.
            Err(Failure::Internal(_)) => break,
            Err(failure) => return Err(failure),
        };
        // The first run compiles and allocates.
        device.kernels_ns(&mut task, 1)?;
        let kernel_ns = device.kernels_ns(&mut task, SAMPLES as u64)?.map(|ns| ns / SAMPLES as u64);
        points.push(Point { words: task.words(), cpu_ns, device_ns, kernel_ns, bytes: task.bytes });
        if cpu_ns.max(device_ns) > LONGEST_NS {
            break;
        }
    }
    Ok(points)
}

/// Decides from which size on each device is asked. A job goes to the first that is meant for its size, so a device must be faster
/// than all after it.
fn settle(rungs: &mut [Measured]) {
    for first in 0..rungs.len() {
        let Some((rung, after)) = rungs[first..].split_first_mut() else { break };
        for Crossover { job, from_words: from, points } in &mut rung.crossovers {
            let of_others = || after.iter().flat_map(|other| &other.crossovers).filter(|other| other.job == *job);
            let rival = |words| {
                let same = of_others().flat_map(|other| &other.points).filter(|point| point.words == words);
                same.map(|point| point.device_ns).min().unwrap_or(u64::MAX)
            };
            *from = from_words(points, rival);
        }
    }
}

fn case(kind: JobKind) -> Case {
    let kernel = match kind {
        JobKind::Ntt => Kernel::Forward,
        JobKind::Pad => Kernel::Pad,
        JobKind::Seal => Kernel::Seal,
        JobKind::Encrypt => Kernel::Encrypt,
        JobKind::Sum => Kernel::Sum,
        JobKind::Decrypt => Kernel::Decrypt,
        JobKind::Dense => Kernel::Dense,
    };
    Case { kernel, n: LENGTH }
}

fn time(task: &mut Task, backend: &dyn Backend) -> Result<u64, Failure> {
    // The first run compiles and allocates.
    task.step_on(backend)?;
    let once = Clock::Wall.sample(1, || task.step_on(backend))?;
    if once > LONGEST_NS {
        return Ok(once);
    }
    let repetitions = (SAMPLE_NS / once.max(1)).max(1);
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        samples.push(Clock::Wall.sample(repetitions, || task.step_on(backend))? as f64 / repetitions as f64);
    }
    Ok(median(&samples) as u64)
}

/// The smallest size from which on the device is always faster than the processor, and than others take for as many words.
fn from_words(points: &[Point], others_ns: impl Fn(usize) -> u64) -> Option<usize> {
    let is_fastest = |point: &&Point| point.device_ns < point.cpu_ns.min(others_ns(point.words));
    points.iter().rev().take_while(is_fastest).last().map(|point| point.words)
}

impl Measured {
    /// The smallest job of a kind that the device is asked to do; `usize::MAX` where it never is.
    #[must_use]
    pub fn from_words(&self, kind: JobKind) -> usize {
        let found = self.crossovers.iter().find(|crossover| crossover.job == kind.name());
        found.and_then(|crossover| crossover.from_words).unwrap_or(usize::MAX)
    }
}

impl Calibration {
    /// Each device where it was the fastest, the processor below that and where they fail. The devices are those that were measured.
    #[must_use]
    pub fn ladder(&self, devices: Vec<Engine>, cpu: Cpu) -> Ladder {
        let rungs = self.rungs.iter().zip(devices);
        let mut rungs: Vec<Rung> = rungs
            .map(|(measured, device)| Rung::from_sizes(device.into_backend(), |kind| measured.from_words(kind)))
            .collect();
        rungs.push(Rung::new(Box::new(cpu)));
        Ladder::new(rungs)
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rungs.iter().try_for_each(|rung| write!(f, "{rung}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}\n    time on the device over that on the processor, by words of a job", self.device)?;
        for Crossover { job, from_words, points } in &self.crossovers {
            let from = match from_words {
                Some(words) => format!("from {words} words on"),
                None => "never asked".to_owned(),
            };
            let ratio = |point: &Point| point.device_ns as f64 / point.cpu_ns.max(1) as f64;
            let ratios: Vec<String> =
                points.iter().map(|point| format!("{} {:.2}", point.words, ratio(point))).collect();
            writeln!(f, "    {job:8} {from:24} {}", ratios.join(", "))?;
        }
        let Some(copy_mb_s) = self.copy_mb_s else { return Ok(()) };
        writeln!(f, "    its largest jobs in kernels alone, against its own copy rate of {copy_mb_s} MB/s")?;
        for Crossover { job, points, .. } in &self.crossovers {
            let Some(Point { words, kernel_ns: Some(ns), bytes, .. }) = points.last() else { continue };
            let share = 100_000.0 * *bytes as f64 / *ns as f64 / copy_mb_s as f64;
            writeln!(f, "    {job:8} {words} words in {:.1} us, {share:.1} %", *ns as f64 / 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
