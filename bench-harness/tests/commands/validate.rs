//! `tensorguard validate` and `bundle` as a vendor runs them.
#![cfg(target_os = "linux")]

use crate::scratch::Scratch;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn tensorguard(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    // Drivers that do not exist: software Vulkan would take minutes here.
    command.env("VK_DRIVER_FILES", "/nowhere/none.json").env("VK_ICD_FILENAMES", "/nowhere/none.json");
    command.args(arguments).output().expect("the command runs")
}

fn only_folder(parent: &Path) -> PathBuf {
    let mut entries = fs::read_dir(parent).expect("it was made").flatten();
    entries.next().expect("an entry").path()
}

#[test]
fn a_processor_is_validated_bundled_and_verified() {
    let out = Scratch::new("validate-smoke");
    let shown = out.display().to_string();
    let output = tensorguard(&["validate", "--smoke", "--soak", "3s", "--out", &shown]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    for line in
        ["all ", "memory read", "kernels on one thread", "whole jobs", "gave the bits of the definition", "not here"]
    {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("WRONG") && text.contains("engine wgpu"), "{text}");
    let folder = only_folder(&out);
    let record: Value = serde_json::from_slice(&fs::read(folder.join("result.json")).unwrap()).expect("JSON");
    let checks = record["checks"].as_array().expect("checks");
    assert!(checks.len() > 20 && checks.iter().all(|check| check["holds"] == true), "{checks:?}");
    let shares = record["cells"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|cell| cell["stages"][1]["derived"].as_f64().is_some_and(|share| share > 0.0));
    assert!(shares.count() >= 19, "each kernel has the share of its floor");
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" %, limit: ")).collect();
    let named = |limit: &str| rows.iter().filter(|row| row.ends_with(&format!("limit: {limit}"))).count();
    let limits = ["memory", "products", "lane operations"].map(named);
    assert!(rows.len() >= 19 && limits.iter().sum::<usize>() == rows.len(), "{text}");
    assert!(text.contains("  products cpu-") && text.contains("  lane operations cpu-"), "{text}");
    let tar = out.join("board.tar").display().to_string();
    let bundled = tensorguard(&["bundle", &folder.display().to_string(), "--out", &tar]);
    assert!(bundled.status.success(), "{}", String::from_utf8_lossy(&bundled.stderr));
    let verified = tensorguard(&["verify", &tar, &folder.display().to_string()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let mut bytes = fs::read(&tar).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 4;
    fs::write(&tar, bytes).unwrap();
    assert_eq!(tensorguard(&["verify", &tar]).status.code(), Some(8));
}

#[test]
fn an_engine_that_is_not_there_is_a_usage_error_that_says_which_are() {
    let scratch = Scratch::new("validate-usage");
    let out = scratch.join("out");
    let output = tensorguard(&["validate", "--backend", "wgpu", "--out", &out.display().to_string()]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("absent here") && errors.contains("doctor"), "{errors}");
    assert!(!out.exists(), "nothing is left behind");
}
