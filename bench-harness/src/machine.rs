//! What can be known about this machine without measuring. Unknown facts are `None`, never guessed.

use serde::Serialize;
use std::path::PathBuf;

/// Facts about the machine.
#[derive(Clone, Debug, Serialize)]
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

/// The first line's user, nice, system, interrupts and what the host took; not idle or waiting.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    [0, 1, 2, 5, 6, 7].iter().map(|&field| ticks.get(field)).sum()
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
    fn programs_are_looked_up() {
        assert!(program("no-such-program-anywhere").is_none());
    }
}
