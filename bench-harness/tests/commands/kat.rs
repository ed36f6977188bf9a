//! `tensorguard kat` as its users have it: the binary, on tests/vectors/kat.json with the answers taken out.

use crate::scratch::Scratch;
use kernels::Backend;
use kernels::cpu::Cpu;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SUITE_INPUTS: &[&str] = &["n", "primes", "l", "B", "rho", "a_seed", "poly", "clients"];

impl Scratch {
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.join(name), content).unwrap();
        self.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = self.read_dir().unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn kat(input: &Path, output: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    command.arg("kat").arg("--in").arg(input).arg("--out").arg(output).args(more).output().unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    parts.iter().for_each(|part| assert!(message.contains(part), "{message} lacks {part}"));
    assert!(output.stdout.is_empty());
}

fn known() -> Map<String, Value> {
    let text = include_str!("../../../tests/vectors/kat.json");
    serde_json::from_str(text).unwrap()
}

/// The inputs alone.
fn stripped(suite: &Value) -> Value {
    let inputs = SUITE_INPUTS.iter().map(|name| (name.to_string(), suite[name].clone()));
    let mut inputs: Map<_, _> = inputs.collect();
    let clients = suite["clients"].as_array().unwrap().iter().map(|client| json!({"seed": client["seed"]}));
    inputs["clients"] = clients.collect();
    inputs.into()
}

/// From the rule alone: SHA-256 over the sums of the clients' digits.
fn digits_sha256(suite: &Value) -> String {
    let number = |name: &str| suite[name].as_u64().unwrap();
    let (clients, modulus) = (suite["clients"].as_array().unwrap().len() as u64, (number("B") - 1) / 100 + 1);
    let sum = |at: u64| (0..clients).map(|client| (at * 7 + client) % modulus).sum::<u64>() as u32;
    let bytes: Vec<u8> = (0..number("n") * number("rho")).flat_map(|at| sum(at).to_le_bytes()).collect();
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_backend_present_gives_every_known_answer() {
    let (scratch, mut expected) = (Scratch::new("kat-answers"), known());
    let requests: Map<_, _> = expected.iter().map(|(name, suite)| (format!("any {name}"), stripped(suite))).collect();
    let requests = scratch.write("requests.json", Value::from(requests).to_string());
    for suite in expected.values_mut() {
        suite["digits_sha256"] = digits_sha256(suite).into();
    }
    let expected: Value = expected.into_iter().map(|(name, suite)| (format!("any {name}"), suite)).collect();
    let names = Cpu::present(1).into_iter().map(|cpu| cpu.name()).chain(["reference"]);
    for name in names.map(Some).chain([None]) {
        let answers = scratch.join("answers.json");
        let more: Vec<&str> = name.into_iter().flat_map(|name| ["--backend", name]).collect();
        let output = kat(&requests, &answers, &more);
        assert!(output.status.success(), "{name:?}: {}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&fs::read(&answers).unwrap()).unwrap();
        assert_eq!(found, expected, "{name:?}");
        assert_eq!(scratch.names(), ["answers.json", "requests.json"]);
        // A file of answers is a file of requests too.
        let again = scratch.join("again.json");
        assert!(kat(&answers, &again, &more).status.success());
        assert_eq!(fs::read(&again).unwrap(), fs::read(&answers).unwrap());
        fs::remove_file(again).unwrap();
    }
}

#[test]
fn there_may_be_no_suite_no_client_or_many() {
    let scratch = Scratch::new("kat-counts");
    let answers = scratch.join("answers.json");
    let ask = |requests: Value| {
        let output = kat(&scratch.write("requests.json", requests.to_string()), &answers, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&fs::read(&answers).unwrap()).unwrap();
        (found, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask(json!({})).0, json!({}));
    let mut suite = stripped(&known()["FL-1024-22"]);
    let seeds = |count: u32| (0..count).map(|i| json!({"seed": format!("{i:064X}")})).collect::<Value>();
    suite["clients"] = seeds(0);
    let (found, _) = ask(json!({"none": suite}));
    assert_eq!(found["none"]["digits_sha256"], digits_sha256(&suite));
    assert_eq!((&found["none"]["noise_max"], &found["none"]["noise_std"]), (&json!(0), &json!(0.0)));
    suite["clients"] = seeds(90);
    let (found, notes) = ask(json!({"ninety": suite, "the same": suite}));
    assert_eq!(found["ninety"]["digits_sha256"], digits_sha256(&suite));
    assert_eq!(found["ninety"], found["the same"]);
    assert!(!notes.contains("note"), "{notes}");
    // The digits of more than a hundred may be more than a base holds: answered as it opens, and said.
    suite["clients"] = seeds(300);
    let (found, notes) = ask(json!({"too many": suite}));
    assert_ne!(found["too many"]["digits_sha256"], digits_sha256(&suite));
    assert!(notes.contains("note: \"too many\": 300 clients are too many to open exactly"), "{notes}");
}

#[test]
fn a_refusal_leaves_every_file_as_it_was() {
    let scratch = Scratch::new("kat-refusals");
    let mut suite = stripped(&known()["FL-1024-22"]);
    suite["clients"][1]["message"] = json!([1, 2, 3]);
    let requests = scratch.write("requests.json", json!({"mine": suite}).to_string());
    let answers = scratch.write("answers.json", "old answers");
    let output = kat(&requests, &answers, &[]);
    refused(&output, 2, &["requests.json", r#""mine".clients[1]"#, r#""message""#, "to encrypt, use the library"]);
    suite["clients"][1] = json!({"seed": "1b"});
    let late = scratch.write("late.json", json!({"good": stripped(&known()["FL-1024-22"]), "mine": suite}).to_string());
    refused(&kat(&late, &answers, &[]), 2, &[r#""mine".clients[1].seed"#, "2 hexadecimal digits"]);
    refused(&kat(&requests, &answers, &["--backend", "fast"]), 2, &["reference", "cpu-portable"]);
    refused(&kat(&scratch.join("none.json"), &answers, &[]), 2, &["none.json", "--in"]);
    refused(&kat(&scratch, &answers, &[]), 2, &["cannot read"]);
    let large = scratch.write("large.json", vec![b' '; (16 << 20) + 1]);
    refused(&kat(&large, &answers, &[]), 2, &["16777216 bytes"]);
    fs::remove_file(large).unwrap();
    assert_eq!(fs::read(&answers).unwrap(), b"old answers");
    assert_eq!(scratch.names(), ["answers.json", "late.json", "requests.json"]);
}

#[test]
fn the_input_is_never_replaced_whatever_it_is_called() {
    let scratch = Scratch::new("kat-input");
    let text = json!({"x": stripped(&known()["FL-1024-22"])}).to_string();
    let requests = scratch.write("requests.json", &text);
    fs::hard_link(&requests, scratch.join("hard.json")).unwrap();
    std::os::unix::fs::symlink(&requests, scratch.join("soft.json")).unwrap();
    for (input, output) in [
        ("requests.json", "requests.json"),
        ("requests.json", "hard.json"),
        ("requests.json", "soft.json"),
        ("soft.json", "requests.json"),
    ] {
        refused(&kat(&scratch.join(input), &scratch.join(output), &[]), 2, &["is the input"]);
    }
    refused(&kat(&requests, &scratch, &[]), 2, &["no regular file"]);
    refused(&kat(&requests, Path::new("/dev/null"), &[]), 2, &["no regular file"]);
    refused(&kat(&requests, &scratch.join("none/answers.json"), &[]), 2, &["no folder"]);
    assert_eq!(fs::read_to_string(&requests).unwrap(), text);
    // Through a link the file behind it is replaced, and the link stays.
    scratch.write("old.json", "old");
    std::os::unix::fs::symlink("old.json", scratch.join("link.json")).unwrap();
    assert!(kat(&requests, &scratch.join("link.json"), &[]).status.success());
    assert!(fs::read_to_string(scratch.join("old.json")).unwrap().contains("digits_sha256"));
    assert!(scratch.join("link.json").is_symlink());
    assert_eq!(scratch.names(), ["hard.json", "link.json", "old.json", "requests.json", "soft.json"]);
}

#[test]
fn the_help_says_what_it_is_not() {
    let help = Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(["kat", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("This is no encryption tool. It takes no messages"), "{help}");
}
