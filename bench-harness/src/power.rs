//! How this machine may spend power: the board, its power mode, governor, clocks and quota. Read as an ordinary user.

use crate::found::Found;
use crate::sysfs::{entries, number, some_text};
use std::path::{Path, PathBuf};

/// Looks around below a root, `/` on a real machine: what is there, and why the rest is not.
#[must_use]
pub fn look(root: &Path) -> Vec<Found> {
    vec![
        Found::of("board", board(root)),
        Found::of("power mode", power_mode(root)),
        Found::of("governor", governor(root)),
        Found::of("clocks", clocks(root)),
        Found::of("turbo", turbo(root)),
        Found::of("quota", quota(root)),
    ]
}

/// Device trees have a model; PCs a product's name.
fn board(root: &Path) -> Result<String, String> {
    let model = some_text(&root.join("proc/device-tree/model"));
    let name = model.or_else(|| some_text(&root.join("sys/class/dmi/id/product_name")));
    let release = some_text(&root.join("etc/nv_tegra_release"));
    let release = release.and_then(|text| text.lines().next().map(|line| line.trim_start_matches("# ").to_owned()));
    match (name, release) {
        (Some(name), Some(release)) => Ok(format!("{name}, {release}")),
        (Some(name), None) => Ok(name),
        (None, _) => Err("neither a device tree nor DMI names it".to_owned()),
    }
}

/// The mode's number as nvpmodel keeps it, and its name from nvpmodel's configuration.
fn power_mode(root: &Path) -> Result<String, String> {
    let status = some_text(&root.join("var/lib/nvpmodel/status"));
    let status = status.ok_or("no nvpmodel: only Jetson has it")?;
    let number = status.split_whitespace().find_map(|word| word.strip_prefix("pmode:"));
    let number: u32 =
        number.and_then(|number| number.parse().ok()).ok_or_else(|| format!("not understood: {status}"))?;
    let models = some_text(&root.join("etc/nvpmodel.conf")).unwrap_or_default();
    let name = models.lines().filter(|line| line.contains("POWER_MODEL")).find_map(|line| {
        let field = |key| line.split_whitespace().find_map(|word: &str| word.strip_prefix(key));
        (field("ID=")?.parse() == Ok(number)).then(|| field("NAME="))?
    });
    Ok(format!("nvpmodel {number} ({})", name.unwrap_or("its name is not in /etc/nvpmodel.conf")))
}

fn processors(root: &Path) -> Vec<PathBuf> {
    let processors = entries(&root.join("sys/devices/system/cpu"), "cpu").into_iter();
    processors.map(|cpu| cpu.join("cpufreq")).filter(|folder| folder.is_dir()).collect()
}

const NO_CPUFREQ: &str = "no cpufreq: the kernel or the host of a virtual machine decides and does not tell";

fn governor(root: &Path) -> Result<String, String> {
    let files = processors(root).into_iter().map(|cpu| cpu.join("scaling_governor"));
    let mut names: Vec<String> = files.filter_map(|file| some_text(&file)).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => Err(NO_CPUFREQ.to_owned()),
        [name] if name == "performance" => Ok("performance".to_owned()),
        _ => Ok(format!("{}: times jump with the clock unless it is performance", names.join(" and "))),
    }
}

/// The range that each processor's clock may move in. `jetson_clocks` makes it a point.
fn clocks(root: &Path) -> Result<String, String> {
    let (mut low, mut high, mut most) = (f64::INFINITY, 0.0_f64, 0.0_f64);
    for cpu in processors(root) {
        let mhz = |name| number(&cpu.join(name)).map(|khz| khz / 1000.0);
        low = low.min(mhz("scaling_min_freq").unwrap_or(f64::INFINITY));
        high = high.max(mhz("scaling_max_freq").unwrap_or(0.0));
        most = most.max(mhz("cpuinfo_max_freq").unwrap_or(0.0));
    }
    if low > high {
        return Err(NO_CPUFREQ.to_owned());
    }
    let range = if low == high { format!("pinned at {low:.0} MHz") } else { format!("{low:.0} to {high:.0} MHz") };
    let capped = if high < most { format!(", of {most:.0} that the processor can") } else { String::new() };
    Ok(range + &capped)
}

fn turbo(root: &Path) -> Result<String, String> {
    let cpu = root.join("sys/devices/system/cpu");
    let boost = number(&cpu.join("cpufreq/boost")).map(|boost| boost != 0.0);
    let turbo = || number(&cpu.join("intel_pstate/no_turbo")).map(|off| off == 0.0);
    match boost.or_else(turbo) {
        Some(true) => Ok("on: the clock depends on temperature and on what other cores do".to_owned()),
        Some(false) => Ok("off".to_owned()),
        None => Err("no switch for it".to_owned()),
    }
}

/// What a control group allows, version 2 or 1.
fn quota(root: &Path) -> Result<String, String> {
    let groups = some_text(&root.join("proc/self/cgroup")).ok_or("no control groups")?;
    let unlimited = || "no limit on processor time".to_owned();
    let cores = |quota: f64, period: f64| format!("{:.2} processors' worth of time", quota / period);
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let group = group.trim_start_matches('/');
        if controllers.is_empty() {
            let files = [root.join("sys/fs/cgroup").join(group), root.join("sys/fs/cgroup")];
            let Some(max) = files.iter().find_map(|folder| some_text(&folder.join("cpu.max"))) else { continue };
            let (quota, period) = max.split_once(' ').unwrap_or((&max, ""));
            let both = quota.parse::<f64>().ok().zip(period.parse::<f64>().ok());
            return Ok(both.map_or_else(unlimited, |(quota, period)| cores(quota, period)));
        }
        if controllers.split(',').any(|controller| controller == "cpu") {
            let folder = root.join("sys/fs/cgroup").join(controllers);
            let folders = [folder.join(group), folder];
            let both = folders.iter().find_map(|folder| {
                number(&folder.join("cpu.cfs_quota_us")).zip(number(&folder.join("cpu.cfs_period_us")))
            });
            let Some((quota, period)) = both else { continue };
            return Ok(if quota < 0.0 { unlimited() } else { cores(quota, period) });
        }
    }
    Err("no control group limits processor time, or none can be seen".to_owned())
}

/// Graphics cards and accelerators on the PCI bus, whether or not a driver uses them; and the GPU of a Tegra.
#[must_use]
pub fn gpus(root: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for device in entries(&root.join("sys/bus/pci/devices"), "") {
        let field = |name| some_text(&device.join(name)).unwrap_or_default();
        // Display controllers, and processing accelerators.
        if !["0x03", "0x12"].iter().any(|class| field("class").starts_with(class)) {
            continue;
        }
        let vendor = match field("vendor").as_str() {
            "0x10de" => "NVIDIA".to_owned(),
            "0x1002" => "AMD".to_owned(),
            "0x8086" => "Intel".to_owned(),
            other => format!("vendor {other}"),
        };
        let driver = std::fs::canonicalize(device.join("driver")).ok();
        let driver = driver.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let what = format!("{vendor} {}", field("device"));
        found.push(match driver {
            Some(driver) => Found::present(name, format!("{what}, driver {driver}")),
            None => Found::absent(name, format!("{what} is on the bus, but no driver uses it")),
        });
    }
    let tree = some_text(&root.join("proc/device-tree/compatible")).unwrap_or_default();
    if tree.contains("nvidia,") {
        found.push(Found::present("Tegra", "the GPU in the same chip"));
    }
    if found.is_empty() {
        found.push(Found::absent("GPU", "neither on the PCI bus nor in the device tree"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysfs::board::Board;

    fn note(found: &[Found], name: &str) -> String {
        let Found { present, note, .. } = found.iter().find(|found| found.name == name).expect("it is a row");
        format!("{} {note}", if *present { "present" } else { "absent" })
    }

    #[test]
    fn a_jetson_names_its_power_mode_and_the_clocks_that_it_allows() {
        let board = Board::new("mode", include_str!("../tests/sysfs/jetson-orin.txt"));
        let found = look(board.root());
        assert_eq!(note(&found, "power mode"), "present nvpmodel 2 (MODE_30W)");
        assert_eq!(note(&found, "clocks"), "present 730 to 1728 MHz, of 2202 that the processor can");
        assert!(note(&found, "board").contains("AGX Orin Developer Kit, R35 (release), REVISION: 4.1"));
        assert!(note(&found, "governor").starts_with("present schedutil: "));
        assert_eq!(note(&found, "quota"), "present no limit on processor time");
        assert!(note(&found, "turbo").starts_with("absent "));
        assert_eq!(note(&gpus(board.root()), "Tegra"), "present the GPU in the same chip");
        board.write("var/lib/nvpmodel/status", "pmode:0007");
        assert!(note(&look(board.root()), "power mode").starts_with("present nvpmodel 7 (its name is not in"));
        board.write("var/lib/nvpmodel/status", "nonsense");
        assert_eq!(note(&look(board.root()), "power mode"), "absent not understood: nonsense");
    }

    #[test]
    fn clocks_that_jetson_clocks_made_a_point_are_pinned() {
        let board = Board::new("pinned", include_str!("../tests/sysfs/jetson-nano.txt"));
        assert_eq!(note(&look(board.root()), "clocks"), "present pinned at 1479 MHz");
        assert_eq!(note(&look(board.root()), "power mode"), "present nvpmodel 0 (MAXN)");
    }

    #[test]
    fn a_server_tells_quota_turbo_and_cards_without_a_driver() {
        let board = Board::new("limits", include_str!("../tests/sysfs/server.txt"));
        let found = look(board.root());
        assert_eq!(note(&found, "quota"), "present 1.50 processors' worth of time");
        assert_eq!(note(&found, "turbo"), "present off");
        assert!(note(&found, "governor").starts_with("present performance and powersave: "));
        let gpus = gpus(board.root());
        assert_eq!(gpus.len(), 1, "{gpus:?}");
        assert_eq!(note(&gpus, "0000:00:02.0"), "absent NVIDIA 0x2330 is on the bus, but no driver uses it");
    }

    #[test]
    fn where_nothing_is_every_row_says_why() {
        let board = Board::new("empty", "");
        assert!(look(board.root()).iter().all(|found| !found.present && !found.note.is_empty()));
        assert!(!gpus(board.root())[0].present);
    }
}
