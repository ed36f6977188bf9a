//! Which engine is faster from which size on: measured once per machine, remembered in a file, believed only if it is
//! ours and of this machine, program and device.

use crate::clock::Clock;
use crate::device::Device;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::stats::median;
use crate::task::{Case, Kernel, Scale, Task, check_on};
use kernels::cpu::Cpu;
use kernels::{Backend, JobKind, Ladder, Rung};
use serde::{Deserialize, Serialize};
use shaders::Wgpu;
use std::fmt;
use std::path::{Path, PathBuf};

/// Polynomials (rows of plain LWE: eight for each) of the jobs that are timed.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];
const LENGTH: usize = 4096;
/// One sample.
const SAMPLE_NS: u64 = 4_000_000;
const SAMPLES: usize = 5;
/// Copied on the device: beyond its caches.
const COPY_BYTES: u64 = 1 << 26;
const COPIES: u32 = 8;
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
    /// Adapter, interface, driver, and how products are had.
    pub device: String,
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
    /// The smallest measured size from which on the device was always faster; `None` where it never was.
    pub from_words: Option<usize>,
    /// What was measured.
    pub points: Vec<Point>,
}

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What it holds for.
    pub fingerprint: Fingerprint,
    /// What the device copies in its own memory, read and written, in MB/s.
    pub copy_mb_s: u64,
    /// One per kind of job.
    pub crossovers: Vec<Crossover>,
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
    pub fn of(cpu: &Cpu, device: &Device) -> Self {
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
            device: device.to_string(),
        }
    }

    fn differs(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("version", &self.version, &now.version),
            ("program", &self.program, &now.program),
            ("machine", &self.machine, &now.machine),
            ("cpu", &self.cpu, &now.cpu),
            ("device", &self.device, &now.device),
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

/// Measures every kind of job on both engines, outputs compared with the reference first. `timed` is a second engine on
/// the device, one that times its kernels: time stamps take time themselves.
///
/// # Errors
/// [`Failure::Wrong`] where an engine computes something else.
pub fn measure(cpu: &Cpu, device: &Device, engine: &Wgpu, timed: &Wgpu) -> Result<Calibration, Failure> {
    let mut progress = Progress::new(JobKind::ALL.len());
    let mut crossovers = Vec::new();
    for kind in JobKind::ALL {
        progress.step(kind.name());
        let case = case(kind);
        check_on(cpu, case)?;
        check_on(engine, case)?;
        let mut points = Vec::new();
        for polys in SIZES {
            let mut task = Task::new(case, Scale::Polys(polys))?;
            let (cpu_ns, device_ns) = (time(&mut task, cpu)?, time(&mut task, engine)?);
            let kernel_ns = kernel_time(&mut task, timed)?;
            let point = Point { words: task.words(), cpu_ns, device_ns, kernel_ns, bytes: task.bytes };
            let longest = point.cpu_ns.max(point.device_ns);
            points.push(point);
            if longest > LONGEST_NS {
                break;
            }
        }
        crossovers.push(Crossover { job: kind.name().to_owned(), from_words: from_words(&points), points });
    }
    Ok(Calibration { fingerprint: Fingerprint::of(cpu, device), copy_mb_s: copy_rate(engine)?, crossovers })
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

fn kernel_time(task: &mut Task, timed: &Wgpu) -> Result<Option<u64>, Failure> {
    // The first run compiles and allocates.
    task.step_on(timed)?;
    let Some(before) = timed.kernel_ns() else { return Ok(None) };
    for _ in 0..SAMPLES {
        task.step_on(timed)?;
    }
    Ok(timed.kernel_ns().map(|after| (after - before) / SAMPLES as u64))
}

/// Megabytes per second, read and written counted once each.
fn copy_rate(engine: &Wgpu) -> Result<u64, Failure> {
    engine.copy(COPY_BYTES, 1)?;
    let took = Clock::Wall.sample(1, || engine.copy(COPY_BYTES, COPIES))?;
    Ok(2 * COPY_BYTES * u64::from(COPIES) * 1000 / took.max(1))
}

/// The smallest size from which on the device is always faster.
fn from_words(points: &[Point]) -> Option<usize> {
    let faster = points.iter().rev().take_while(|point| point.device_ns < point.cpu_ns);
    faster.last().map(|point| point.words)
}

impl Calibration {
    /// The smallest job of a kind that the device is asked to do; `usize::MAX` where it never is.
    #[must_use]
    pub fn from_words(&self, kind: JobKind) -> usize {
        let found = self.crossovers.iter().find(|crossover| crossover.job == kind.name());
        found.and_then(|crossover| crossover.from_words).unwrap_or(usize::MAX)
    }

    /// The device where it was faster, the processor below that and where the device fails.
    #[must_use]
    pub fn ladder(&self, engine: Wgpu, cpu: Cpu) -> Ladder {
        let device = Rung::from_sizes(Box::new(engine), |kind| self.from_words(kind));
        Ladder::new(vec![device, Rung::new(Box::new(cpu))])
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for crossover in &self.crossovers {
            let from = match crossover.from_words {
                Some(words) => format!("device from {words} words on"),
                None => "processor at every measured size".to_owned(),
            };
            let times = crossover.points.iter().map(|point| point.device_ns as f64 / point.cpu_ns.max(1) as f64);
            let times: Vec<String> = times.map(|ratio| format!("{ratio:.2}")).collect();
            writeln!(f, "  {:8} {from:34} device over processor: {}", crossover.job, times.join(" "))?;
        }
        writeln!(f, "  largest jobs in kernels alone, against the device's copy rate of {} MB/s", self.copy_mb_s)?;
        for Crossover { job, points, .. } in &self.crossovers {
            let Some(Point { words, kernel_ns: Some(ns), bytes, .. }) = points.last() else { continue };
            let share = 100_000.0 * *bytes as f64 / *ns as f64 / self.copy_mb_s as f64;
            writeln!(f, "  {job:8} {words} words in {:.1} us, {share:.1} %", *ns as f64 / 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Calibration {
        let text = |text: &str| text.to_owned();
        let fingerprint = Fingerprint {
            version: text("1"),
            program: text("2 bytes of 3"),
            machine: text("box-2c"),
            cpu: text("cpu-avx2, 2 threads"),
            device: text("a device"),
        };
        let point = |words, cpu_ns, device_ns| Point { words, cpu_ns, device_ns, kernel_ns: Some(3), bytes: 4 };
        let points = vec![point(10, 5, 50), point(100, 50, 40), point(1000, 500, 60)];
        let crossovers = vec![Crossover { job: text("pad"), from_words: from_words(&points), points }];
        Calibration { fingerprint, copy_mb_s: 9, crossovers }
    }

    #[test]
    fn a_device_is_taken_from_where_it_stays_faster() {
        let point = |cpu_ns, device_ns| Point { words: cpu_ns as usize, cpu_ns, device_ns, kernel_ns: None, bytes: 0 };
        assert_eq!(from_words(&[point(1, 2), point(2, 1), point(3, 4), point(4, 3), point(5, 4)]), Some(4));
        assert_eq!(from_words(&[point(1, 0), point(2, 3)]), None);
        assert_eq!(from_words(&[]), None);
        let calibration = sample();
        assert_eq!(calibration.from_words(JobKind::Pad), 100);
        assert_eq!(calibration.from_words(JobKind::Sum), usize::MAX);
    }

    #[test]
    fn an_edited_or_stale_file_is_not_believed() {
        let folder = std::env::temp_dir().join(format!("tensorguard-calibration-{}", std::process::id()));
        let path = folder.join("deeper/calibration.json");
        let calibration = sample();
        let now = calibration.fingerprint.clone();
        assert_eq!(remembered(&path, &now), Remembered::Absent);
        remember(&path, &calibration).unwrap();
        assert_eq!(remembered(&path, &now), Remembered::Known(calibration.clone()));
        let other = Fingerprint { device: "another device".into(), ..now.clone() };
        assert!(matches!(remembered(&path, &other), Remembered::Stale(why) if why.contains("another device")));
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to) in [("\"from_words\": 100", "\"from_words\": 1"), ("a device", "b device"), ("}", "")] {
            assert!(text.contains(from));
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            assert!(matches!(remembered(&path, &now), Remembered::Edited(_)), "{from} to {to}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
