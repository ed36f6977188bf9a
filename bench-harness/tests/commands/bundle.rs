//! Bundles: what was packed agrees, no edit of any byte goes unnoticed, and hostile files are refused.

use crate::scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};
use tensorguard::machine::Machine;
use tensorguard::record::bundle::{self, MANIFEST};
use tensorguard::record::journal::{Journal, Plan, RESULT, SAMPLES, SUMMARY};
use tensorguard::record::{Environment, Label, Line, Measure, Sample, sha256};

/// A finished entry.
fn entry(parent: &Path, what: &str) -> PathBuf {
    let environment = Environment { machine: Machine::look(), engine: "cpu-portable".into(), gpu: None };
    let plan = Plan { command: "test", what, config: BTreeMap::new(), corpus_sha256: None, environment };
    let mut journal = Journal::begin(parent, plan).expect("a folder");
    let (cell, stage, item) = ("a".to_owned(), "b".to_owned(), "run".to_owned());
    journal.write(&Line::Cell { cell: cell.clone(), properties: BTreeMap::new() }).expect("a line");
    let (label, formula) = (Label::M, None);
    journal
        .write(&Line::Stage { cell: cell.clone(), stage: stage.clone(), label, item, items: 1, formula })
        .expect("a line");
    for turn in 0..5u32 {
        let values = BTreeMap::from([(Measure::CpuNs, (100 + turn).into())]);
        let (cell, stage, arm) = (cell.clone(), stage.clone(), "ours".to_owned());
        journal.write(&Line::Sample(Sample { cell, stage, arm, turn, repetitions: 1, values })).expect("a line");
    }
    journal.finish(|_| "a table".to_owned()).expect("a record").0
}

/// The exit code with which a file is refused; none if it is not.
fn code(path: &Path) -> Option<u8> {
    match bundle::verify(path) {
        Ok(found) => (found.iter().any(|(_, verified)| !verified.differences.is_empty())).then_some(8),
        Err(failure) => Some(failure.code()),
    }
}

#[test]
fn what_was_packed_agrees_and_is_the_same_bytes_every_time() {
    let scratch = Scratch::new("bundle-agrees");
    let folders = [entry(&scratch, "one"), entry(&scratch, "two")];
    let (one, other) = (scratch.join("one.tar"), scratch.join("other.tar"));
    bundle::write(&folders, &one).expect("a bundle");
    bundle::write(&folders, &other).expect("a bundle");
    assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
    let found = bundle::verify(&one).expect("it agrees");
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(_, verified)| verified.differences.is_empty() && verified.agreed > 20));
    // And it is a tar like any other.
    let mut archive = tar::Archive::new(fs::File::open(&one).unwrap());
    let names: Vec<String> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names.len(), 7);
    assert!(names[0] == MANIFEST && names[1].ends_with(RESULT) && names[3].ends_with(SUMMARY), "{names:?}");
}

#[test]
fn an_edit_of_any_byte_is_found() {
    let scratch = Scratch::new("bundle-bytes");
    let path = scratch.join("a.tar");
    bundle::write(&[entry(&scratch, "one")], &path).expect("a bundle");
    let original = fs::read(&path).unwrap();
    // The manifest with its header and that of the first file, byte by byte; then every so many.
    let places =
        (0..2500).chain((2500..original.len()).step_by(41)).chain((original.len() - 1100..original.len()).step_by(61));
    for at in places {
        let mut edited = original.clone();
        edited[at] ^= 1;
        fs::write(&path, &edited).unwrap();
        assert!(code(&path).is_some(), "byte {at} of {}", original.len());
    }
    for length in (0..original.len()).step_by(256) {
        fs::write(&path, &original[..length]).unwrap();
        assert!(code(&path).is_some(), "the first {length} bytes");
    }
    fs::write(&path, [original.as_slice(), &[0]].concat()).unwrap();
    assert_eq!(code(&path), Some(8), "a byte more");
    fs::write(&path, &original).unwrap();
    assert_eq!(code(&path), None);
}

#[test]
fn an_entry_that_was_changed_or_never_finished_is_not_packed() {
    let scratch = Scratch::new("bundle-changed");
    let folder = entry(&scratch, "one");
    let out = scratch.join("a.tar");
    let result = fs::read_to_string(folder.join(RESULT)).unwrap();
    fs::write(folder.join(RESULT), result.replacen("\"median\": 102", "\"median\": 101", 1)).unwrap();
    assert_eq!(bundle::write(std::slice::from_ref(&folder), &out).map_err(|failure| failure.code()), Err(8));
    fs::write(folder.join(RESULT), &result).unwrap();
    let twice = [folder.clone(), folder.clone()];
    assert_eq!(bundle::write(&twice, &out).map_err(|failure| failure.code()), Err(2));
    fs::remove_file(folder.join(RESULT)).unwrap();
    let refused = bundle::write(&[folder], &out).expect_err("it is not finished");
    assert!(refused.code() == 2 && refused.to_string().contains("interrupted"), "{refused}");
    assert!(!out.exists());
}

fn add(out: &mut Vec<u8>, path: &str, claimed: u64, content: &[u8]) {
    let mut header = Header::new_ustar();
    // Not `set_path`, which refuses what is tried here.
    header.as_ustar_mut().expect("it is one").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(claimed);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    out.extend(header.as_bytes());
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

/// A bundle as somebody else would make it up.
fn made_up(files: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let listed = |(path, bytes, content): &(&str, u64, &[u8])| {
        format!("{{\"path\":{path:?},\"bytes\":{bytes},\"sha256\":\"{}\"}}", sha256(content))
    };
    let listed: Vec<String> = files.iter().map(listed).collect();
    let manifest = format!("{{\"bundle\":1,\"files\":[{}]}}", listed.join(","));
    let mut out = Vec::new();
    add(&mut out, MANIFEST, manifest.len() as u64, manifest.as_bytes());
    files.iter().for_each(|(path, bytes, content)| add(&mut out, path, *bytes, content));
    out.resize(out.len() + 1024, 0);
    out
}

#[test]
fn paths_out_of_an_entry_are_refused() {
    let scratch = Scratch::new("bundle-paths");
    let path = scratch.join("a.tar");
    let ids = ["..", "../..", "/etc", "", ".hidden", "a/b", "a\\b", "a b", "a\n"];
    for id in ids {
        let names = [RESULT, SAMPLES, SUMMARY].map(|name| format!("{id}/{name}"));
        let files: Vec<(&str, u64, &[u8])> = names.iter().map(|name| (name.as_str(), 2, &b"{}"[..])).collect();
        fs::write(&path, made_up(&files)).unwrap();
        let refused = bundle::verify(&path).expect_err(id);
        assert!(refused.code() == 2 && refused.to_string().contains("is no file of an entry"), "{id}: {refused}");
    }
    let others: [&[(&str, u64, &[u8])]; 3] = [
        &[],
        &[("a/result.json", 2, b"{}")],
        &[("a/result.json", 2, b"{}"), ("a/samples.jsonl", 2, b"{}"), ("b/summary.md", 2, b"{}")],
    ];
    for files in others {
        fs::write(&path, made_up(files)).unwrap();
        assert_eq!(code(&path), Some(2), "{files:?}");
    }
    let twice = [("a/result.json", 2, &b"{}"[..]), ("a/samples.jsonl", 2, b"{}"), ("a/summary.md", 2, b"{}")];
    fs::write(&path, made_up(&[twice, twice].concat())).unwrap();
    assert!(bundle::verify(&path).expect_err("twice").to_string().contains("twice"));
}

#[test]
fn claims_of_lengths_that_are_not_there_cost_no_memory() {
    let scratch = Scratch::new("bundle-claims");
    let path = scratch.join("a.tar");
    let huge =
        [("a/result.json", u64::MAX >> 1, &b"{}"[..]), ("a/samples.jsonl", 2, b"{}"), ("a/summary.md", 2, b"{}")];
    fs::write(&path, made_up(&huge)).unwrap();
    let refused = bundle::verify(&path).expect_err("too large");
    assert!(refused.to_string().contains("is the most"), "{refused}");
    let large = [("a/result.json", 64 << 20, &b"{}"[..]), ("a/samples.jsonl", 2, b"{}"), ("a/summary.md", 2, b"{}")];
    fs::write(&path, made_up(&large)).unwrap();
    assert_eq!(code(&path), Some(8), "it is cut off");
    let mut long = Vec::new();
    add(&mut long, MANIFEST, 1 << 40, b"{}");
    fs::write(&path, long).unwrap();
    assert_eq!(code(&path), Some(2));
    for text in [&b""[..], b"{}", &[0; 4096], &[0xFF; 4096]] {
        fs::write(&path, text).unwrap();
        assert_eq!(code(&path), Some(2));
    }
    assert_eq!(code(&scratch.join("absent.tar")), Some(2));
    assert!(code(&scratch).is_some(), "a folder");
}
