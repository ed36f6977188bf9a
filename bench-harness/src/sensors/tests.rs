//! On boards that are made up as text: see tests/sysfs.

use super::*;
use crate::sysfs::board::Board;

fn nothing() -> Result<String, String> {
    Err("not asked".to_owned())
}

fn readings(sensors: &mut Sensors, nvidia: &str) -> Vec<(String, Option<f64>)> {
    let names: Vec<String> = sensors.present.iter().map(|sensor| sensor.name.clone()).collect();
    names.into_iter().zip(sensors.read_with(nvidia)).collect()
}

fn named(name: &str, value: f64) -> (String, Option<f64>) {
    (name.to_owned(), Some(value))
}

#[test]
fn a_jetson_tells_its_temperatures_clocks_and_rails() {
    let board = Board::new("orin", include_str!("../../tests/sysfs/jetson-orin.txt"));
    let mut sensors = Sensors::below(board.root(), nothing());
    let expected = [
        named("CPU-therm", 48.187),
        named("GPU-therm", 44.5),
        named("processor clock", 1228.8),
        named("clock of 17000000.ga10b", 612.0),
        named("VDD_GPU_SOC", 19.088 * 0.184),
        named("VDD_CPU_CV", 19.096 * 0.04),
        named("VDD_CPU_CV #2", 5.0),
    ];
    let found = readings(&mut sensors, "");
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((name, value), (expected, right)) in found.iter().zip(&expected) {
        assert_eq!(name, expected);
        assert!((value.unwrap() - right.unwrap()).abs() < 1e-9, "{name}: {value:?}");
    }
    let absent: Vec<&str> = sensors.absent.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(absent, ["RAPL", "nvidia-smi"]);
}

#[test]
fn rails_of_an_older_jetson_are_iio_devices() {
    let board = Board::new("nano", include_str!("../../tests/sysfs/jetson-nano.txt"));
    let mut sensors = Sensors::below(board.root(), nothing());
    let found = readings(&mut sensors, "");
    assert!(found.contains(&named("POM_5V_IN", 2.543)), "{found:?}");
    assert!(found.contains(&named("POM_5V_GPU", 0.0)), "{found:?}");
}

#[test]
fn a_counter_gives_what_was_used_since_and_survives_its_end() {
    let board = Board::new("server", include_str!("../../tests/sysfs/server.txt"));
    let mut sensors = Sensors::below(board.root(), nothing());
    let at = sensors.present.iter().position(|sensor| sensor.name == "RAPL package-0").expect("it is there");
    assert_eq!(sensors.present[at].measure, Measure::Joules);
    sensors.read_with("");
    board.write("sys/class/powercap/intel-rapl:0/energy_uj", "9500000");
    assert_eq!(sensors.read_with("")[at], Some(0.5));
    board.write("sys/class/powercap/intel-rapl:0/energy_uj", "200000");
    assert_eq!(sensors.read_with("")[at], Some(0.7));
    let found = readings(&mut sensors, "");
    assert!(found.contains(&named("coretemp Package id 0", 55.0)), "{found:?}");
    assert!(found.contains(&named("amdgpu power 1", 18.0)), "{found:?}");
}

#[test]
fn nvidia_smi_is_read_with_its_gaps() {
    let board = Board::new("cards", "");
    let lines = "NVIDIA H100 PCIe, 78.94, 41, 1755\nGeForce MX150, [N/A], 50, [Not Supported]\n";
    let mut sensors = Sensors::below(board.root(), Ok(lines.to_owned()));
    let later = "NVIDIA H100 PCIe, 310.5, 71, 1410\n";
    let expected = [named("GPU 0 power", 310.5), named("GPU 0 temperature", 71.0), named("GPU 0 clock", 1410.0)];
    let found = readings(&mut sensors, later);
    assert_eq!(found[..3], expected);
    assert_eq!(found[3..], [("GPU 1 temperature".to_owned(), None)], "its line is gone");
    for odd in ["", "\n", "x", "a,b,c,d\n", "a, 1e999, -3, nan\n"] {
        assert!(Sensors::below(board.root(), Ok(odd.to_owned())).present.is_empty(), "{odd:?}");
    }
}

#[test]
fn where_nothing_is_every_kind_says_why() {
    let board = Board::new("bare", "");
    let sensors = Sensors::below(board.root(), nothing());
    assert!(sensors.present.is_empty());
    assert_eq!(sensors.absent.len(), 6);
    assert!(sensors.absent.iter().all(|found| !found.present && !found.note.is_empty()));
}

#[test]
fn files_with_nonsense_are_no_sensors() {
    let tree = "sys/class/thermal/thermal_zone0/type = a\nsys/class/thermal/thermal_zone0/temp = hot\n\
                sys/class/thermal/thermal_zone1/type = b\nsys/class/thermal/thermal_zone1/temp = inf\n\
                sys/class/powercap/intel-rapl:0/name = p\nsys/class/powercap/intel-rapl:0/energy_uj = x\n";
    let board = Board::new("nonsense", tree);
    assert!(Sensors::below(board.root(), nothing()).present.is_empty());
}
