//! Records of measurements: what is written agrees with its samples, and no edit goes unnoticed.

use crate::scratch::Scratch;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tensorguard::interrupt;
use tensorguard::machine::Machine;
use tensorguard::record::formula::{Formula, Input};
use tensorguard::record::journal::{Journal, Plan, RESULT, SAMPLES, SUMMARY};
use tensorguard::record::verify::verify;
use tensorguard::record::{Check, Environment, Label, Line, Measure, Property, Record, Sample, index, schema};

fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../results")
}

fn plan(config: &BTreeMap<String, Value>) -> Plan<'static> {
    let environment = Environment { machine: Machine::look(), engine: "cpu-portable".into(), gpu: None };
    Plan { command: "test", what: "test", config: config.clone(), corpus_sha256: Some("0".repeat(64)), environment }
}

fn config() -> BTreeMap<String, Value> {
    BTreeMap::from([("filter".to_owned(), json!("a")), ("pairs".to_owned(), json!(9))])
}

fn sample(turn: u32, arm: &str, cpu_ns: u64) -> Line {
    let values = BTreeMap::from([(Measure::CpuNs, cpu_ns.into()), (Measure::WireBytes, 700.into())]);
    Line::Sample(Sample { cell: "a".into(), stage: "b".into(), arm: arm.into(), turn, repetitions: 10, values })
}

fn stage(stage: &str, label: Label, formula: Option<Formula>) -> Line {
    Line::Stage { cell: "a".into(), stage: stage.into(), label, item: "value".into(), items: 3, formula }
}

/// A finished run with everything that a record can have.
fn entry(parent: &Path) -> PathBuf {
    let mut journal = Journal::begin(parent, plan(&config())).expect("a folder");
    let properties: BTreeMap<String, Property> = BTreeMap::from([("clients".to_owned(), 20usize.into())]);
    let input = |measure| Input { cell: "a".into(), stage: "b".into(), arm: "base".into(), measure };
    let transfer = Formula::Transfer { bytes: input(Measure::WireBytes), bits_per_s: 1e7, latency_ns: 5.0 };
    let mut lines = vec![Line::Cell { cell: "a".into(), properties: properties.clone() }, stage("b", Label::M, None)];
    for turn in 0..9 {
        lines.push(sample(turn, "base", 1000 + u64::from(turn) * 10));
        lines.push(sample(turn, "candidate", 1100 + u64::from(turn) * 7));
        lines.push(sample(turn, "again", 1003 + u64::from(turn * turn)));
    }
    lines.push(stage("upload", Label::D, Some(transfer)));
    lines.push(stage(
        "share",
        Label::D,
        Some(Formula::Share { of: input(Measure::CpuNs), limit: input(Measure::WireBytes) }),
    ));
    lines.push(Line::NotRun { cell: "z".into(), properties, reason: "no such device".into() });
    let digest = Some("ab".to_owned());
    lines.push(Line::Check(Check { cell: "a".into(), claim: "equals the reference".into(), digest, holds: true }));
    for line in &lines {
        journal.write(line).expect("a line");
    }
    journal.finish(|record| format!("{} cells", record.cells.len())).expect("a record").0
}

#[test]
fn what_was_written_agrees_with_its_samples() {
    let parent = Scratch::new("record-agrees");
    let folder = entry(&parent);
    let verified = verify(&folder).expect("a record");
    assert!(verified.differences.is_empty() && verified.agreed > 60, "{verified}");
    let record: Record = serde_json::from_slice(&fs::read(folder.join(RESULT)).unwrap()).expect("the types read it");
    let figure = record.figure("a", "b", "base", Measure::CpuNs).expect("it was sampled");
    // 1000, 1010, .. 1080 over ten repetitions.
    assert_eq!((figure.median, figure.p95, figure.samples), (104.0, 108.0, 9));
    let bytes = record.figure("a", "b", "base", Measure::WireBytes).expect("it was sampled");
    assert_eq!(bytes.median, 700.0);
    let stages = &record.cells[0].stages;
    assert_eq!(stages[1].derived, Some(5.0 + 700.0 * 8.0 / 1e7 * 1e9));
    assert_eq!(stages[2].derived, Some(104.0 / 700.0));
    // The candidate's middle pair: 1128 over 1040.
    let ratio = stages[0].ratios.iter().find(|ratio| ratio.arm == "candidate").expect("a ratio");
    assert!((ratio.median - 1128.0 / 1040.0).abs() < 1e-12 && ratio.pairs == 9, "{ratio:?}");
    assert!(record.noise.is_some_and(|noise| noise > 0.0));
    assert!(record.footer.is_some());
}

/// Every leaf of a record, as a path.
fn leaves(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(name, value)| leaves(&format!("{path}/{name}"), value, found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| leaves(&format!("{path}/{index}"), value, found));
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn an_edit_of_any_value_of_a_record_is_found() {
    let parent = Scratch::new("record-edit");
    let folder = entry(&parent);
    let file = folder.join(RESULT);
    let original: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut paths = Vec::new();
    leaves("", &original, &mut paths);
    assert!(paths.len() > 60, "{}", paths.len());
    for path in paths {
        let mut edited = original.clone();
        let value = edited.pointer_mut(&path).expect("a leaf");
        *value = match &*value {
            // A thousandth, which nobody would notice in a table.
            Value::Number(number) => json!(number.as_f64().unwrap() * 1.001 + 0.000_001),
            Value::String(text) => json!(format!("{text}x")),
            Value::Bool(was) => json!(!was),
            _ => json!("something"),
        };
        if path == "/header/version" {
            continue;
        }
        fs::write(&file, edited.to_string()).unwrap();
        assert_eq!(verify(&folder).expect("a record").differences.len(), 1, "{path}");
    }
    let mut more = original.clone();
    more["cells"][0]["speed"] = json!(1);
    fs::write(&file, more.to_string()).unwrap();
    assert!(!verify(&folder).expect("a record").differences.is_empty());
    let mut fewer = original;
    fewer["cells"].as_array_mut().unwrap().pop();
    fs::write(&file, fewer.to_string()).unwrap();
    assert!(!verify(&folder).expect("a record").differences.is_empty());
}

#[test]
fn an_edit_of_any_line_of_a_journal_is_found() {
    let parent = Scratch::new("record-line");
    let folder = entry(&parent);
    let file = folder.join(SAMPLES);
    let original = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = original.lines().collect();
    for index in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(index);
        fs::write(&file, fewer.join("\n") + "\n").unwrap();
        assert!(!verify(&folder).expect("a record").differences.is_empty(), "without {}", lines[index]);
    }
    fs::write(&file, original.replacen("\"cpu_ns\":1010", "\"cpu_ns\":1011", 1)).unwrap();
    assert!(!verify(&folder).expect("a record").differences.is_empty());
}

#[test]
fn an_edit_that_no_figure_shows_is_found_too() {
    let parent = Scratch::new("record-unseen");
    let folder = entry(&parent);
    let found = |folder: &Path| verify(folder).expect("a record").differences;
    assert_eq!(found(&folder), Vec::<String>::new());
    let edited = |name: &str, edit: &dyn Fn(&str) -> String, why: &str| {
        let original = fs::read_to_string(folder.join(name)).unwrap();
        let text = edit(&original);
        assert_ne!(text, original, "{why}");
        fs::write(folder.join(name), text).unwrap();
        let differences = found(&folder);
        assert!(differences.iter().any(|difference| difference.contains(why)), "{why}: {differences:?}");
        fs::write(folder.join(name), original).unwrap();
    };
    edited(SUMMARY, &|text| text.replace("1 cells", "9 cells").replace("2 cells", "9 cells"), "summary_sha256");
    edited(SAMPLES, &|text| format!("{text}more, without an end"), "goes on behind its last line");
    let otherwise = "written otherwise";
    // A reader takes the last of two; which one people see is another question.
    edited(RESULT, &|text| text.replacen("\"noise\":", "\"noise\": 0.5,\n  \"noise\":", 1), otherwise);
    edited(RESULT, &|text| text.replacen("  \"decision\": null,\n", "", 1), otherwise);
    edited(RESULT, &|text| text.replacen("  \"noise\"", "   \"noise\"", 1), otherwise);
    edited(RESULT, &|text| format!("{text}\n"), otherwise);
    let removed = folder.join(SUMMARY);
    let page = fs::read(&removed).unwrap();
    fs::remove_file(&removed).unwrap();
    assert!(found(&folder).iter().any(|difference| difference.contains("summary.md is not there")));
    fs::write(&removed, page).unwrap();
    let renamed = parent.join("another-name");
    fs::rename(&folder, &renamed).unwrap();
    assert!(found(&renamed).iter().any(|difference| difference.contains("the folder is called another-name")));
}

#[test]
fn hostile_files_are_refused_and_never_panic() {
    let parent = Scratch::new("record-hostile");
    let folder = entry(&parent);
    let (result, samples) = (folder.join(RESULT), folder.join(SAMPLES));
    let original = fs::read(&samples).unwrap();
    let nan = "\"cpu_ns\":1e999";
    let text = String::from_utf8(original.clone()).unwrap();
    let hostile = [
        Vec::new(),
        b"\n\n".to_vec(),
        b"\xff\xfe\n".to_vec(),
        b"[[[[[[[[\n".to_vec(),
        original[..original.len() / 2].to_vec(),
        text.replacen("\"cpu_ns\":1010", nan, 1).into_bytes(),
        text.replacen("\"cpu_ns\":1010", "\"cpu_ns\":-3", 1).into_bytes(),
        text.replacen("\"repetitions\":10", "\"repetitions\":0", 1).into_bytes(),
    ];
    for bytes in hostile {
        fs::write(&samples, bytes).unwrap();
        assert!(!verify(&folder).expect("a record").differences.is_empty());
    }
    for text in [
        "",
        "{}",
        "[]",
        "{\"version\":3}",
        "{\"header\":{\"version\":-1}}",
        "{\"version\":1,\"what\":\"compare-peers\"}",
    ] {
        fs::write(&result, text).unwrap();
        let code = verify(&folder).map_err(|failure| failure.code());
        assert_eq!(code.map(|verified| verified.differences.len()), Err(2), "{text}");
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped_and_only_with_its_own_configuration() {
    let parent = Scratch::new("record-resume");
    let mut journal = Journal::begin(&parent, plan(&config())).expect("a folder");
    journal.write(&Line::Cell { cell: "a".into(), properties: BTreeMap::new() }).expect("a line");
    journal.write(&stage("b", Label::M, None)).expect("a line");
    let folder = journal.folder().to_owned();
    drop(journal);
    // What a crash in the middle of a line leaves.
    let mut bytes = fs::read(folder.join(SAMPLES)).unwrap();
    bytes.extend(b"{\"line\":\"sam");
    fs::write(folder.join(SAMPLES), bytes).unwrap();
    let other = BTreeMap::from([("filter".to_owned(), json!("b"))]);
    let resume = |config: &BTreeMap<String, Value>| Journal::open(&parent, Some(&folder), plan(config));
    assert_eq!(resume(&other).map_err(|failure| failure.code()).err(), Some(6));
    let (mut journal, lines) = resume(&config()).expect("the same configuration");
    assert_eq!(lines.len(), 4);
    journal.write(&sample(0, "base", 5)).expect("a line");
    let (_, record) = journal.finish(|_| String::new()).expect("a record");
    assert_eq!(record.cells[0].stages[0].figures[0].samples, 1);
    assert!(verify(&folder).expect("a record").differences.is_empty());
    assert_eq!(resume(&config()).map_err(|failure| failure.code()).err(), Some(2), "it is finished");
}

#[test]
fn what_ctrl_c_left_out_is_tried_again_and_a_cell_that_begins_anew_has_only_what_came_after() {
    let parent = Scratch::new("record-anew");
    let mut journal = Journal::begin(&parent, plan(&config())).expect("a folder");
    let cell = |cell: &str| Line::Cell { cell: cell.into(), properties: BTreeMap::new() };
    let check = |claim: &str| Line::Check(Check { cell: "a".into(), claim: claim.into(), digest: None, holds: true });
    let missing = Line::NotRun {
        cell: "z".into(),
        properties: BTreeMap::new(),
        reason: format!("{}, it says", interrupt::MISSING),
    };
    let first = [cell("a"), stage("b", Label::M, None), sample(0, "base", 50), check("first"), missing];
    journal.write_all(&first).expect("lines");
    let (folder, record) = journal.finish(|_| String::new()).expect("a record of what there is");
    assert!(record.footer.is_none() && record.cells[1].not_run.is_some(), "it can go on: {record:?}");
    assert!(verify(&folder).expect("a record").differences.is_empty());
    let kept = fs::read(folder.join(SAMPLES)).unwrap();

    let resume = |plan: Plan<'_>| Journal::open(&parent, Some(&folder), plan).map_err(|failure| failure.code());
    let mut elsewhere = plan(&config());
    elsewhere.environment.machine.cores += 1;
    assert_eq!(resume(elsewhere).err(), Some(6), "another machine");
    let (mut journal, mut lines) = resume(plan(&config())).expect("the same machine");
    assert!(lines.iter().all(|line| line.cell() != Some("z")) && lines.contains(&cell("a")), "{lines:?}");
    journal.anew("a", &mut lines).expect("a line");
    assert!(lines.iter().all(|line| line.cell().is_none()), "{lines:?}");
    let second = [cell("a"), stage("b", Label::M, None), sample(0, "base", 70), check("second"), cell("z")];
    journal.write_all(&second).expect("lines");
    let (folder, record) = journal.finish(|_| String::new()).expect("a record");
    assert!(record.footer.is_some() && record.cells.iter().all(|cell| cell.not_run.is_none()), "{record:?}");
    let figure = record.figure("a", "b", "base", Measure::CpuNs).expect("it was sampled");
    assert_eq!((figure.median, figure.samples, record.checks.len()), (7.0, 1, 1));
    assert!(verify(&folder).expect("a record").differences.is_empty());
    assert!(fs::read(folder.join(SAMPLES)).unwrap().starts_with(&kept), "a journal is only appended to");
}

#[test]
fn the_schema_is_that_of_the_types() {
    let committed = fs::read_to_string(results().join("result.schema.json")).expect("the committed schema");
    let mend = "types and schema differ. If readers must change, raise record::VERSION; then: \
                cargo run --release -- results schema > results/result.schema.json";
    assert_eq!(committed, schema(), "{mend}");
}

#[test]
fn the_index_lists_every_entry() {
    let committed = fs::read_to_string(results().join(index::INDEX)).expect("the committed index");
    let made = index::index(&results()).expect("readable entries");
    assert_eq!(committed, made, "write it anew: cargo run --release -- results index");
}

#[test]
fn every_committed_entry_agrees_with_its_samples() {
    for entry in fs::read_dir(results()).expect("the folder").flatten().filter(|entry| entry.path().is_dir()) {
        let verified = verify(&entry.path()).expect("a record");
        assert!(verified.differences.is_empty(), "{}: {verified}", entry.path().display());
    }
}

#[test]
fn an_edit_of_a_record_of_version_1_is_found() {
    let parent = Scratch::new("record-one");
    let from = results().join("2026-11-21-amd-epyc-2c-peers-expand-avx512");
    fs::copy(from.join(SAMPLES), parent.join(SAMPLES)).expect("a copy");
    let original: Value = serde_json::from_slice(&fs::read(from.join(RESULT)).unwrap()).unwrap();
    for pointer in ["/rows/1/ratio", "/rows/1/low", "/rows/1/high", "/rows/1/ours_ns", "/rows/1/theirs_ns", "/noise"] {
        let mut edited = original.clone();
        let value = edited.pointer_mut(pointer).expect(pointer);
        *value = json!(value.as_f64().unwrap() * 1.01);
        fs::write(parent.join(RESULT), edited.to_string()).unwrap();
        assert_eq!(verify(&parent).expect("a record").differences.len(), 1, "{pointer}");
    }
}
