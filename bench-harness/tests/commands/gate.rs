//! The commands that decide, as a user runs them: what they say and how they end.

use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tensorguard::machine::Machine;
use tensorguard::record::journal::{Journal, Plan, RESULT};
use tensorguard::record::{Environment, Label, Line, Measure, Record, Sample};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tensorguard");

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tensorguard-gate-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

fn run(folder: &Path, args: &[&str]) -> (i32, String) {
    let output: Output = Command::new(PROGRAM).args(args).current_dir(folder).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

/// A recorded measurement of one stage that takes so long.
fn record(parent: &Path, engine: &str, time_ns: u64) -> PathBuf {
    let environment = Environment { machine: Machine::look(), engine: engine.into(), gpu: None };
    let config = BTreeMap::from([("filter".to_owned(), json!(""))]);
    let plan = Plan { command: "test", what: "test", config, corpus_sha256: None, environment };
    let mut journal = Journal::begin(parent, plan).expect("a folder");
    let (cell, stage, item) = ("a".to_owned(), "b".to_owned(), "run".to_owned());
    journal.write(&Line::Cell { cell: cell.clone(), properties: BTreeMap::new() }).expect("a line");
    let line = Line::Stage { cell: cell.clone(), stage: stage.clone(), label: Label::M, item, items: 1, formula: None };
    journal.write(&line).expect("a line");
    for turn in 0..30 {
        let values = BTreeMap::from([(Measure::CpuNs, (time_ns + u64::from(turn)).into())]);
        let (cell, stage) = (cell.clone(), stage.clone());
        let sample = Sample { cell, stage, arm: "ours".into(), turn, repetitions: 1, values };
        journal.write(&Line::Sample(sample)).expect("a line");
    }
    journal.finish(|_| String::new()).expect("a record").0
}

#[test]
fn two_recorded_measurements_end_with_the_code_that_fits() {
    let folder = scratch("compare");
    let [old, same, slow] = [100_000, 100_100, 110_000].map(|time_ns| record(&folder, "cpu-x", time_ns));
    let other = record(&folder, "cpu-y", 100_000);
    let compare = |new: &Path| run(&folder, &["compare", old.to_str().unwrap(), new.to_str().unwrap()]);
    assert_eq!(compare(&same).0, 0);
    let (code, said) = compare(&slow);
    assert!(code == 3 && said.contains("FAIL") && said.contains("+9.9"), "{code}: {said}");
    let (code, said) = compare(&other);
    assert!(code == 6 && said.contains("engine: cpu-x and cpu-y"), "{code}: {said}");
    let text = fs::read_to_string(slow.join(RESULT)).unwrap();
    fs::write(slow.join(RESULT), text.replace("110014.5", "100014.5")).unwrap();
    assert_eq!(compare(&slow).0, 8, "it was edited");
    assert_eq!(run(&folder, &["verify", slow.to_str().unwrap(), same.to_str().unwrap()]).0, 8);
    assert_eq!(run(&folder, &["verify", same.to_str().unwrap()]).0, 0);
    let (code, said) = run(&folder, &["gate", "--result", same.to_str().unwrap()]);
    assert!(code == 6 && said.contains("no baseline"), "{code}: {said}");
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn what_cannot_be_asked_is_a_usage_error_and_an_empty_selection_its_own() {
    let folder = scratch("usage");
    assert_eq!(run(&folder, &["ab"]).0, 2);
    assert_eq!(run(&folder, &["ab", "--base-binary", "nowhere"]).0, 2);
    assert_eq!(run(&folder, &["ab", "--base", "no-such-commit"]).0, 2);
    assert_eq!(run(&folder, &["ab", "--base-binary", PROGRAM, "--delta", "7"]).0, 2);
    let (code, said) = run(&folder, &["ab", "--base-binary", PROGRAM, "--most-pairs", "2"]);
    assert!(code == 2 && said.contains("fewer pairs have no 95 % interval"), "{code}: {said}");
    assert_eq!(run(&folder, &["ab", "--base-binary", PROGRAM, "--filter", "no-such-metric"]).0, 4);
    let (code, said) = run(&folder, &["ab", "--base-binary", "/bin/true"]);
    assert!(code == 2 && said.contains("take a newer base"), "{code}: {said}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, said) = run(&folder, &["completions", shell]);
        assert!(code == 0 && said.contains("compare-peers"), "{shell}: {code}");
    }
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn a_program_against_itself_gets_an_answer_that_its_record_repeats() {
    let folder = scratch("itself");
    let out = folder.join("runs");
    let args =
        ["gate", "--base-binary", PROGRAM, "--filter", "forward/1024", "--terms", "terms.toml", "--junit", "gate.xml"];
    fs::write(folder.join("terms.toml"), "delta = 0.5\nmost_pairs = 30\n").unwrap();
    let quiet = ["--markdown", "gate.md", "--open-metrics", "gate.txt", "--progress", "json", "--out", "runs"];
    let (code, said) = run(&folder, &[&args[..], &quiet[..]].concat());
    assert!(code == 0 && said.contains("PASS") && said.contains("\"event\":\"step\""), "{code}: {said}");
    assert!(fs::read_to_string(folder.join("gate.xml")).unwrap().contains("failures=\"0\" errors=\"0\""));
    assert!(fs::read_to_string(folder.join("gate.md")).unwrap().contains("PASS"));
    assert!(fs::read_to_string(folder.join("gate.txt")).unwrap().contains("tensorguard_passed"));
    let entry = fs::read_dir(&out).unwrap().flatten().next().expect("a record").path();
    assert_eq!(run(&folder, &["verify", entry.to_str().unwrap()]).0, 0);
    // The injected slowdown is 1.5 delta of real work.
    let record: Record = serde_json::from_slice(&fs::read(entry.join(RESULT)).unwrap()).expect("a record");
    let stage = record.cells[0].stages.iter().find(|stage| stage.name == "time").expect("it was timed");
    let injected = stage.ratios.iter().find(|ratio| ratio.arm == "injected").expect("an arm");
    assert!((1.5..2.1).contains(&injected.median), "{injected:?}");
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
fn only_what_was_measured_from_a_commit_is_recorded_and_promoted() {
    let folder = scratch("baseline");
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let done = Command::new("git").args(who).args(args).current_dir(&folder).output().expect("git starts");
        assert!(done.status.success(), "{args:?}: {done:?}");
    };
    let change = |text: &str| fs::write(folder.join("tracked"), text).unwrap();
    let measure =
        |out: &str| run(&folder, &["micro", "--smoke", "--filter", "kernel==sum && size==10kb", "--out", out]);
    let only = |parent: &str| fs::read_dir(folder.join(parent)).unwrap().flatten().next().expect("an entry").path();
    let promote = |entry: &Path| run(&folder, &["baseline", "promote", entry.to_str().unwrap()]);
    git(&["init", "--quiet"]);
    change("first");
    git(&["add", "tracked"]);
    git(&["commit", "--quiet", "--message", "first"]);

    change("second");
    let (code, said) = measure("results");
    assert!(code == 2 && said.contains("commit first"), "{code}: {said}");
    let (code, said) = measure("elsewhere");
    assert_eq!(code, 0, "{said}");
    let changed = only("elsewhere");
    fs::create_dir_all(folder.join("results")).unwrap();
    let (code, said) = promote(&changed);
    assert!(code == 2 && said.contains("under its own id"), "{code}: {said}");
    let moved = folder.join("results").join(changed.file_name().unwrap());
    fs::rename(&changed, &moved).unwrap();
    let (code, said) = promote(&moved);
    assert!(code == 2 && said.contains("not measured from a commit"), "{code}: {said}");
    fs::remove_dir_all(&moved).unwrap();

    change("first");
    let (code, said) = measure("results");
    assert_eq!(code, 0, "{said}");
    let entry = only("results");
    let gate = || run(&folder, &["gate", "--result", entry.to_str().unwrap()]);
    assert_eq!(gate().0, 6, "nothing was promoted");
    let (code, said) = promote(&entry);
    assert!(code == 0 && said.contains("is the baseline for"), "{code}: {said}");
    let (code, said) = run(&folder, &["baseline", "list"]);
    assert!(code == 0 && said.contains(entry.file_name().unwrap().to_str().unwrap()), "{code}: {said}");
    assert_ne!(gate().0, 6, "it is held against its baseline");
    let text = fs::read_to_string(entry.join(RESULT)).unwrap();
    fs::write(entry.join(RESULT), text.replacen("\"median\": ", "\"median\": 1", 1)).unwrap();
    let (code, said) = promote(&entry);
    assert!(code == 8 && said.contains("not what its samples give"), "{code}: {said}");
    fs::remove_dir_all(folder).expect("it is there");
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_the_samples_and_says_how_to_go_on() {
    let folder = scratch("interrupt");
    let args = ["ab", "--base-binary", PROGRAM, "--filter", "forward", "--delta", "0.5", "--out", "runs"];
    let child = Command::new(PROGRAM).args(args).current_dir(&folder).stderr(std::process::Stdio::piped()).spawn();
    let child = child.expect("it starts");
    let journal = || Some(fs::read_dir(folder.join("runs")).ok()?.flatten().next()?.path());
    let is_measuring = || {
        journal().is_some_and(|entry| {
            fs::read_to_string(entry.join("samples.jsonl")).is_ok_and(|text| text.contains("\"injected\""))
        })
    };
    let begin = std::time::Instant::now();
    while !is_measuring() && begin.elapsed().as_secs() < 120 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(130) && said.contains("--resume"), "{:?}: {said}", output.status);
    let entry = journal().expect("what was measured");
    let mut resumed = args.to_vec();
    resumed.extend(["--resume", entry.to_str().unwrap()]);
    let (code, said) = run(&folder, &resumed);
    assert!([0, 5].contains(&code) && said.contains("forward/32768"), "{code}: {said}");
    assert_eq!(run(&folder, &["verify", entry.to_str().unwrap()]).0, 0);
    let (code, said) = run(&folder, &resumed);
    assert!(code == 2 && said.contains("nothing to resume"), "{code}: {said}");
    fs::remove_dir_all(folder).expect("it is there");
}
