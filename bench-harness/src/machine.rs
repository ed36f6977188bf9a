//! What can be known about this machine without measuring. Unknown facts are `None`, never guessed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Facts about the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Operating system and architecture.
    pub platform: String,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The processor's name for itself.
    pub cpu: Option<String>,
    /// Threads that this process may use at once.
    pub cores: usize,
    /// Main memory in bytes.
    pub memory_bytes: Option<u64>,
    /// The largest cache in bytes.
    pub cache_bytes: Option<u64>,
    /// How the clock frequency is governed.
    pub governor: Option<String>,
    /// Processors' worth of time that a control group allows; none if it does not limit.
    #[serde(default)]
    pub quota_cores: Option<f64>,
    /// How a board limits its power, as `nvpmodel` names it.
    #[serde(default)]
    pub power_mode: Option<String>,
    /// Mean number of running processes over the last minute.
    pub load: Option<f64>,
}

impl Machine {
    /// Looks now.
    #[must_use]
    pub fn look() -> Self {
        let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: read("/proc/cpuinfo").and_then(|info| cpu_name(&info)),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            memory_bytes: read("/proc/meminfo").and_then(|info| memory_bytes(&info)),
            cache_bytes: cache_bytes(),
            governor,
            quota_cores: read("/proc/self/cgroup").and_then(|groups| quota(&groups)),
            power_mode: read("/var/lib/nvpmodel/status"),
            load: load(),
        }
    }

    /// A short name for folders: the processor and its cores, in small letters.
    #[must_use]
    pub fn label(&self) -> String {
        let name = self.cpu.as_deref().unwrap_or(std::env::consts::ARCH).to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        format!("{}-{}c", words.join("-"), self.cores)
    }
}

/// Mean number of running processes over the last minute.
#[must_use]
pub fn load() -> Option<f64> {
    read("/proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

/// CPU time of all processes since the machine started, kept in ticks of some milliseconds.
#[must_use]
pub fn busy_ns() -> Option<u64> {
    let ticks = busy_ticks(&read("/proc/stat")?)?;
    Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// CPU time of a process so far, in ticks of some milliseconds.
#[must_use]
pub fn process_ns(process: u32) -> Option<u64> {
    let ticks = process_ticks(&read(&format!("/proc/{process}/stat"))?)?;
    Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// User and system time are the 14th and 15th field; the second, in brackets, may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The first line's user, nice, system, interrupts and what the host took; not idle or waiting.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    [0, 1, 2, 5, 6, 7].iter().map(|&field| ticks.get(field)).sum()
}

/// What the processors did so far, in ticks: all of it, and what the host gave to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    all: u64,
    stolen: u64,
}

impl Ticks {
    /// Now.
    #[must_use]
    pub fn now() -> Option<Self> {
        ticks(&read("/proc/stat")?)
    }

    /// The share that the host gave to others since.
    #[must_use]
    pub fn steal_since(self, begin: Self) -> f64 {
        self.stolen.saturating_sub(begin.stolen) as f64 / self.all.saturating_sub(begin.all).max(1) as f64
    }
}

/// The first line counts: user, nice, system, idle, iowait, irq, softirq, steal, and guests, which are in user already.
fn ticks(stat: &str) -> Option<Ticks> {
    let counts = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let counts: Vec<u64> = counts.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Ticks { all: counts.iter().sum(), stolen: *counts.get(7)? })
}

/// The quota of this process's control group: version 2 has one hierarchy, whose line begins with `0::`.
fn quota(groups: &str) -> Option<f64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    quota_cores(&read(&format!("/sys/fs/cgroup/{group}/cpu.max")).or_else(|| read("/sys/fs/cgroup/cpu.max"))?)
}

fn quota_cores(max: &str) -> Option<f64> {
    let (quota, period) = max.split_once(' ')?;
    let cores = quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?;
    Some(cores).filter(|cores| cores.is_finite())
}

/// Where a program lies, if it is on the search path.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// x86 gives a name. Arm gives numbers only.
fn cpu_name(info: &str) -> Option<String> {
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    field("model name")
        .or_else(|| Some(format!("implementer {} part {}", field("CPU implementer")?, field("CPU part")?)))
}

fn memory_bytes(info: &str) -> Option<u64> {
    let line = info.lines().find(|line| line.starts_with("MemTotal:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

fn cache_bytes() -> Option<u64> {
    let size = |index: u32| {
        let text = read(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size"))?;
        Some(text.strip_suffix('K')?.parse::<u64>().ok()? * 1024)
    };
    (0..8).filter_map(size).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_both_kinds_of_cpuinfo() {
        assert_eq!(cpu_name("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(), Some("Some CPU @ 2 GHz"));
        let arm = cpu_name("processor : 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n");
        assert_eq!(arm.as_deref(), Some("implementer 0x41 part 0xd42"));
        assert_eq!(cpu_name("processor : 0\n"), None);
        assert_eq!(memory_bytes("MemTotal:       2048 kB\nMemFree: 1 kB"), Some(2 << 20));
    }

    #[test]
    fn busy_time_leaves_idle_time_out() {
        assert_eq!(busy_ticks("cpu  1 20 300 9 9 4000 50000 600000 7 7\ncpu0 1 1 1"), Some(654_321));
        assert_eq!(busy_ticks("cpu  1 20 300 9"), None);
        assert_eq!(busy_ticks("cpu0 1 20 300 9 9 4000 50000 600000"), None);
        assert_eq!(busy_ns().is_some(), cfg!(target_os = "linux"));
    }

    #[test]
    fn a_label_is_fit_for_a_folder() {
        let machine = Machine { cpu: Some("AMD EPYC(TM) 9555 / x".into()), cores: 2, ..Machine::look() };
        assert_eq!(machine.label(), "amd-epyc-tm-9555-x-2c");
    }

    #[test]
    fn quotas_and_stolen_time_are_read() {
        assert_eq!(quota_cores("150000 100000"), Some(1.5));
        assert_eq!((quota_cores("max 100000"), quota_cores("1 0"), quota_cores("")), (None, None, None));
        let ticks = |stat| ticks(stat).expect("a count");
        let (begin, end) = (ticks("cpu  10 0 10 70 0 0 5 5 3 0\ncpu0 1"), ticks("cpu  20 0 20 120 0 0 10 30 3 0\n"));
        assert_eq!((begin.all, end.steal_since(begin)), (100, 0.25));
        assert_eq!(super::ticks("cpu  1 2"), None);
    }

    #[test]
    fn programs_are_looked_up() {
        assert!(program("no-such-program-anywhere").is_none());
    }

    #[test]
    fn a_process_s_own_time_is_found_behind_any_name() {
        assert_eq!(process_ticks("7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1"), Some(300));
        assert_eq!(process_ticks("7 (cut) S 1"), None);
        assert!(process_ns(std::process::id()).is_some() || !cfg!(target_os = "linux"));
    }
}
