//! Temperature, clock and power of this machine: each sensor, or the reason why there is none.
//!
//! Everything is read as an ordinary user. Files are looked for below a root, so that tests can make a board up.

use crate::found::Found;
use crate::record::Measure;
use crate::sysfs::{entries, number, some_text, text};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A thing that can be read again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensor {
    /// What it is called here.
    pub name: String,
    /// Of what.
    pub measure: Measure,
    source: Source,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// The mean of files, each with a number of units that so many of make one of the measure's.
    Files { files: Vec<PathBuf>, per_unit: f64 },
    /// A file with millivolts and one with milliamperes.
    Product { millivolts: PathBuf, milliamperes: PathBuf },
    /// A counter of microjoules, which begins again at zero after so many.
    Counter { file: PathBuf, range: f64, last: Option<f64> },
    /// A column of a GPU's line of nvidia-smi.
    Nvidia { gpu: usize, column: usize },
}

/// Every sensor there is, and the kinds that are absent.
#[derive(Clone, Debug, Default)]
pub struct Sensors {
    /// Those that gave a number when they were found.
    pub present: Vec<Sensor>,
    /// The kinds of which there is none, and why.
    pub absent: Vec<Found>,
}

type Kind = Result<Vec<Sensor>, String>;

impl Sensors {
    /// Looks around on this machine.
    #[must_use]
    pub fn look() -> Self {
        Self::below(Path::new("/"), nvidia_smi())
    }

    /// Looks around below a root; `nvidia` is what nvidia-smi printed, or why it did not.
    #[must_use]
    pub fn below(root: &Path, nvidia: Result<String, String>) -> Self {
        let mut sensors = Self::default();
        let kinds = [
            ("temperature", temperatures(root)),
            ("processor clock", processor_clock(root)),
            ("gpu clock", gpu_clock(root)),
            ("power rails", rails(root)),
            ("RAPL", rapl(root)),
            ("nvidia-smi", nvidia.and_then(|lines| nvidia_sensors(&lines))),
        ];
        for (name, kind) in kinds {
            match kind {
                Ok(found) => sensors.present.extend(found),
                Err(why) => sensors.absent.push(Found::absent(name, why)),
            }
        }
        sensors
    }

    /// Reads all, in their order; none where a sensor gives nothing now, as a counter does the first time.
    pub fn read(&mut self) -> Vec<Option<f64>> {
        let uses_nvidia = self.present.iter().any(|sensor| matches!(sensor.source, Source::Nvidia { .. }));
        let lines = if uses_nvidia { nvidia_smi().unwrap_or_default() } else { String::new() };
        self.read_with(&lines)
    }

    fn read_with(&mut self, nvidia: &str) -> Vec<Option<f64>> {
        self.present.iter_mut().map(|sensor| sensor.read(nvidia)).collect()
    }

    /// As rows for people, with what each sensor gives now.
    #[must_use]
    pub fn rows(&mut self) -> Vec<Found> {
        let values = self.read();
        let note = |sensor: &Sensor, value: Option<f64>| match (sensor.measure, value) {
            (Measure::Joules, _) => "counts joules".to_owned(),
            (Measure::Celsius, Some(value)) => format!("{value:.1} degrees Celsius"),
            (Measure::Megahertz, Some(value)) => format!("{value:.0} MHz"),
            (_, Some(value)) => format!("{value:.2} W"),
            (_, None) => "gives nothing now".to_owned(),
        };
        let present = self.present.iter().zip(values);
        let present = present.map(|(sensor, value)| Found::present(&sensor.name, note(sensor, value)));
        present.chain(self.absent.iter().cloned()).collect()
    }
}

impl Sensor {
    fn new(name: String, measure: Measure, source: Source) -> Option<Self> {
        let mut sensor = Self { name, measure, source };
        let counts = matches!(sensor.source, Source::Counter { .. });
        let answers = sensor.read("").is_some();
        (counts || answers).then_some(sensor)
    }

    fn file(name: String, measure: Measure, file: PathBuf, per_unit: f64) -> Option<Self> {
        Self::new(name, measure, Source::Files { files: vec![file], per_unit })
    }

    fn read(&mut self, nvidia: &str) -> Option<f64> {
        match &mut self.source {
            Source::Files { files, per_unit } => {
                let values: Vec<f64> = files.iter().filter_map(|file| number(file)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                (!values.is_empty()).then_some(mean / *per_unit).filter(|value| *value >= 0.0)
            }
            Source::Product { millivolts, milliamperes } => {
                Some(number(millivolts)? * number(milliamperes)? / 1e6).filter(|watts| *watts >= 0.0)
            }
            Source::Counter { file, range, last } => {
                let now = number(file)?;
                let before = last.replace(now)?;
                let since = if now >= before { now - before } else { now + *range - before };
                Some(since / 1e6).filter(|joules| *joules >= 0.0)
            }
            Source::Nvidia { gpu, column } => nvidia_field(nvidia.lines().nth(*gpu)?, *column),
        }
    }
}

/// Thermal zones; what hardware monitors call temperatures where there are none. A zone that is switched off gives nothing.
fn temperatures(root: &Path) -> Kind {
    let zones = entries(&root.join("sys/class/thermal"), "thermal_zone");
    let zone = |zone: &PathBuf| {
        let name = some_text(&zone.join("type"))?;
        Sensor::file(name, Measure::Celsius, zone.join("temp"), 1000.0)
    };
    let mut found: Vec<Sensor> = zones.iter().filter_map(zone).collect();
    if found.is_empty() {
        for monitor in entries(&root.join("sys/class/hwmon"), "hwmon") {
            let Some(chip) = some_text(&monitor.join("name")) else { continue };
            for index in 1..=16 {
                let label = some_text(&monitor.join(format!("temp{index}_label")));
                let name = format!("{chip} {}", label.unwrap_or_else(|| index.to_string()));
                found.extend(Sensor::file(name, Measure::Celsius, monitor.join(format!("temp{index}_input")), 1000.0));
            }
        }
    }
    let why = "neither a thermal zone nor a hardware monitor gives one, as in most virtual machines";
    named_once(found).ok_or_else(|| why.to_owned())
}

fn processor_clock(root: &Path) -> Kind {
    let processors = entries(&root.join("sys/devices/system/cpu"), "cpu");
    let files = processors.iter().map(|cpu| cpu.join("cpufreq/scaling_cur_freq"));
    let files: Vec<PathBuf> = files.filter(|file| number(file).is_some()).collect();
    let source = Source::Files { files, per_unit: 1000.0 };
    let sensor = Sensor::new("processor clock".to_owned(), Measure::Megahertz, source);
    let why = "no cpufreq: the kernel or the host of a virtual machine does not tell the clock";
    sensor.map(|sensor| vec![sensor]).ok_or_else(|| why.to_owned())
}

/// The clock of an integrated GPU: on Jetson the device is called `17000000.gpu` or `gpu.0`, elsewhere after its driver.
fn gpu_clock(root: &Path) -> Kind {
    let devices = entries(&root.join("sys/class/devfreq"), "");
    let is_gpu = |device: &&PathBuf| {
        let name = device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ["gpu", "gpc", "ga10b", "gv11b", "gp10b", "mali"].iter().any(|part| name.contains(part))
    };
    let sensor = |device: &PathBuf| {
        let name = format!("clock of {}", device.file_name()?.to_string_lossy());
        Sensor::file(name, Measure::Megahertz, device.join("cur_freq"), 1e6)
    };
    let found = devices.iter().filter(is_gpu).filter_map(sensor).collect();
    named_once(found).ok_or_else(|| "no integrated GPU under /sys/class/devfreq".to_owned())
}

/// Power of a board's rails: INA3221 as a hardware monitor or, on older kernels of Jetson, as an iio device; and monitors
/// that give watts themselves.
fn rails(root: &Path) -> Kind {
    let mut found = Vec::new();
    for monitor in entries(&root.join("sys/class/hwmon"), "hwmon") {
        let Some(chip) = some_text(&monitor.join("name")) else { continue };
        for index in 1..=8 {
            let at = |what: &str| monitor.join(what.replace('#', &index.to_string()));
            if let Some(label) = some_text(&at("in#_label")).filter(|_| chip == "ina3221") {
                let source = Source::Product { millivolts: at("in#_input"), milliamperes: at("curr#_input") };
                found.extend(Sensor::new(label, Measure::Watts, source));
            }
            let name = || format!("{chip} power {}", some_text(&at("power#_label")).unwrap_or(index.to_string()));
            let watts = |file| Sensor::file(name(), Measure::Watts, at(file), 1e6);
            found.extend(watts("power#_average").or_else(|| watts("power#_input")));
        }
    }
    for chip in entries(&root.join("sys/bus/i2c/drivers/ina3221x"), "") {
        for device in entries(&chip, "iio:device") {
            for index in 0..3 {
                let Some(label) = some_text(&device.join(format!("rail_name_{index}"))) else { continue };
                let file = device.join(format!("in_power{index}_input"));
                found.extend(Sensor::file(label, Measure::Watts, file, 1000.0));
            }
        }
    }
    let why =
        "no INA3221 and no hardware monitor that gives watts: boards have them, most PCs and virtual machines not";
    named_once(found).ok_or_else(|| why.to_owned())
}

/// Energy counters of x86 processors. The kernel shows them to root only, unless told otherwise.
fn rapl(root: &Path) -> Kind {
    let mut found = Vec::new();
    let mut refused = None;
    for zone in entries(&root.join("sys/class/powercap"), "intel-rapl") {
        let (file, range) = (zone.join("energy_uj"), number(&zone.join("max_energy_range_uj")));
        let (Some(name), Some(range)) = (some_text(&zone.join("name")), range) else { continue };
        match text(&file) {
            Ok(_) => {
                let source = Source::Counter { file, range, last: None };
                found.extend(Sensor::new(format!("RAPL {name}"), Measure::Joules, source));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                refused = Some("for root only; allow it: sudo chmod a+r /sys/class/powercap/*/energy_uj".to_owned());
            }
            Err(error) => refused = Some(format!("{}: {error}", file.display())),
        }
    }
    let why = "the kernel shows no energy counter: no RAPL in this processor, or a virtual machine hides it";
    named_once(found).ok_or_else(|| refused.unwrap_or_else(|| why.to_owned()))
}

/// Two rails or zones of one name get numbers, because a record has a name once.
fn named_once(mut found: Vec<Sensor>) -> Option<Vec<Sensor>> {
    for index in 1..found.len() {
        let (before, rest) = found.split_at_mut(index);
        let same = before
            .iter()
            .filter(|other| other.name == rest[0].name || other.name.starts_with(&format!("{} #", rest[0].name)));
        match same.count() {
            0 => {}
            count => rest[0].name = format!("{} #{}", rest[0].name, count + 1),
        }
    }
    Some(found).filter(|found| !found.is_empty())
}

/// What is asked of nvidia-smi, and what each column is after the name.
const NVIDIA_QUERY: &str = "--query-gpu=name,power.draw,temperature.gpu,clocks.sm";
const NVIDIA_COLUMNS: [(&str, Measure); 3] =
    [("power", Measure::Watts), ("temperature", Measure::Celsius), ("clock", Measure::Megahertz)];

fn nvidia_smi() -> Result<String, String> {
    let output = Command::new("nvidia-smi").args([NVIDIA_QUERY, "--format=csv,noheader,nounits"]).output();
    match output {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Err(format!("nvidia-smi failed: {}", said.lines().next().unwrap_or("it said nothing").trim()))
        }
        Err(_) => Err("no nvidia-smi: it comes with the driver of NVIDIA's cards; Jetson has rails instead".to_owned()),
    }
}

fn nvidia_sensors(lines: &str) -> Kind {
    let mut found = Vec::new();
    for (gpu, line) in lines.lines().enumerate() {
        for (column, (what, measure)) in NVIDIA_COLUMNS.into_iter().enumerate() {
            if nvidia_field(line, column).is_some() {
                found.push(Sensor {
                    name: format!("GPU {gpu} {what}"),
                    measure,
                    source: Source::Nvidia { gpu, column },
                });
            }
        }
    }
    named_once(found).ok_or_else(|| "nvidia-smi gives neither power nor temperature nor clock".to_owned())
}

/// A column after the name. Names have no comma; what a card does not know is `[N/A]`.
fn nvidia_field(line: &str, column: usize) -> Option<f64> {
    let value: f64 = line.split(',').nth(column + 1)?.trim().parse().ok()?;
    Some(value).filter(|value| value.is_finite() && *value >= 0.0)
}

#[cfg(test)]
mod tests;
