//! The command and the devices of a machine: which adapter, what is remembered of it, and no GPU driver at all.
#![cfg(target_os = "linux")]

use crate::scratch::Scratch;
use std::fs;
use std::process::{Command, Output};
use tensorguard::calibration::{self, Calibration, Fingerprint, Measured};
use tensorguard::failure::Failure;

fn tensorguard(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    command.args(arguments).envs(environment.iter().copied()).output().expect("the command runs")
}

/// What the command said: standard output and errors together.
fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

/// Runs the command with drivers that do not exist.
fn without_drivers(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    // The second is what older loaders read.
    command.env("VK_DRIVER_FILES", "/nowhere/none.json").env("VK_ICD_FILENAMES", "/nowhere/none.json");
    command.args(arguments).output().expect("the command runs")
}

#[test]
fn doctor_says_that_no_driver_shows_an_adapter() {
    let output = without_drivers(&["doctor"]);
    let text = String::from_utf8(output.stdout).expect("it is text");
    assert!(output.status.success(), "{text}");
    let line = text.lines().find(|line| line.contains("wgpu")).expect("the engine is listed");
    assert!(line.contains("absent") && line.contains("install a driver"), "{line}");
    assert!(text.contains("none: no driver"), "{text}");
}

#[test]
fn calibrate_stops_with_the_reason() {
    let output = without_drivers(&["calibrate"]);
    let text = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("install a driver") && !text.contains("panicked"), "{text}");
}

#[test]
fn an_adapter_that_is_named_and_not_there_is_no_other_one() {
    const NAME: &str = "no such adapter";
    let out = Scratch::new("adapter");
    let out = out.to_str().expect("a path in Unicode");
    let micro =
        ["micro", "--smoke", "--filter", "kernel==sum && size==10kb && clients==2 && backend==wgpu", "--out", out];
    let micro = tensorguard(&micro, &[("TENSORGUARD_ADAPTER", NAME)]);
    let calibrate = tensorguard(&["calibrate", "--adapter", NAME], &[("TENSORGUARD_CACHE", out)]);
    let validate = tensorguard(&["validate", "--smoke", "--backend", "wgpu", "--out", out, "--adapter", NAME], &[]);
    assert_eq!([calibrate.status.code(), validate.status.code()], [Some(2); 2]);
    for output in [micro, calibrate, validate] {
        let text = said(&output);
        // Without any adapter there is none to be named.
        assert!(text.contains(&format!("`{NAME}` in its name")) || text.contains("install a driver"), "{text}");
    }
}

#[test]
fn a_ladder_that_nobody_calibrated_says_what_to_do() {
    let output = tensorguard(
        &["kat", "--in", "in.json", "--out", "out.json", "--backend", "ladder"],
        &[("TENSORGUARD_CACHE", "/nowhere/at/all")],
    );
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("run `tensorguard calibrate`") || text.contains("install a driver"), "{text}");
}

#[test]
fn doctor_believes_neither_a_stale_nor_an_edited_calibration() {
    let devices = match calibration::devices() {
        Ok(devices) => devices,
        Err(Failure::Internal(why)) => return crate::not_checked(&why),
        Err(failure) => panic!("{failure}"),
    };
    let folder = Scratch::new("doctor");
    let file = folder.join("calibration.json");
    // Of this test's own file, which is another program than the command.
    let cpu = kernels::cpu::Cpu::best(1);
    let fingerprint = Fingerprint::of(&cpu, &devices);
    let rungs = vec![Measured { device: "a device".into(), copy_mb_s: None, crossovers: Vec::new() }];
    calibration::remember(&file, &Calibration { fingerprint, rungs }).expect("a file");
    let doctor = || said(&tensorguard(&["doctor"], &[("TENSORGUARD_CACHE", folder.to_str().expect("Unicode"))]));
    let text = doctor();
    assert!(text.contains("not believed, for it is stale: its program is"), "{text}");
    assert!(text.contains("absent   ladder") && text.contains("tensorguard calibrate"), "{text}");
    let written = fs::read_to_string(&file).expect("the file");
    fs::write(&file, written.replacen("a device", "b device", 1)).expect("an edit");
    assert!(doctor().contains("not believed, for it was changed: its checksum does not fit"));
}

#[test]
fn doctor_says_of_everything_that_a_measurement_may_need_whether_it_is_there() {
    let output = without_drivers(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let rows = [("gpus", 3), ("power", 6), ("sensors", 1), ("noise", 2), ("links", 2), ("tools", 3)];
    for (section, least) in rows {
        let rows = found[section].as_array().expect(section);
        assert!(rows.len() >= least, "{section}: {rows:?}");
        assert!(rows.iter().all(|row| row["note"].as_str().is_some_and(|note| !note.is_empty())), "{rows:?}");
    }
    assert!(found["noise"][0]["note"].as_str().is_some_and(|note| note.contains("identical code differs by")));
}

/// Runs the command over the stand-in for NVIDIA's driver, which scripts/cuda-shim builds; none without the tools for that.
fn over_stand_in(arguments: &[&str]) -> Option<Output> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cuda-shim");
    if ["bash", "g++"].iter().any(|tool| Command::new(tool).arg("--version").output().is_err()) {
        eprintln!("ignored: bash or g++ is absent");
        return None;
    }
    let built = Command::new("bash").arg(script).output().expect("bash runs, as just seen");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let driver = String::from_utf8(built.stdout).expect("a path");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    Some(command.env("LD_LIBRARY_PATH", driver.trim()).args(arguments).output().expect("the command runs"))
}

#[test]
fn a_record_of_a_gpu_says_what_was_checked_and_compares_with_other_commits() {
    let out = Scratch::new("gpu");
    let checks = out.join("checks.tsv");
    std::fs::write(&checks, "suite\tok\t78 passed\nracecheck\tnot run\tno tool\n").expect("a file");
    let (folder, file) = (out.display().to_string(), checks.display().to_string());
    let Some(output) = over_stand_in(&["gpu", "--smoke", "--out", &folder, "--checks", &file]) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let entry = std::fs::read_dir(&out).expect("a folder").flatten().find(|entry| entry.path().is_dir());
    let entry = entry.expect("an entry").path();
    let record = std::fs::read(entry.join("result.json")).expect("a record");
    let record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    // The configuration decides whether two records can be compared: the commit has no place in it.
    assert_eq!(record["header"]["config"], serde_json::json!({"effort": "smoke"}));
    assert_eq!(record["checks"][0]["cell"], "before: suite");
    let device = record["cells"].as_array().expect("cells").iter().find(|cell| cell["id"] == "device");
    assert_eq!(device.expect("the device")["properties"]["highest_clock_megahertz"], 1000);
    let page = std::fs::read_to_string(entry.join("summary.md")).expect("a page");
    assert!(
        page.contains("before: suite: ok; 78 passed") && page.contains("before: racecheck not run: no tool"),
        "{page}"
    );
    let verified = over_stand_in(&["verify", &entry.display().to_string()]).expect("the tools are there");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // A stand-in has no times that would be worth keeping.
    let refused = over_stand_in(&["gpu", "--out", &folder]).expect("the tools are there");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}
