//! The command where there is no GPU driver at all.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

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
