//! The commands that decide, as a user runs them: what they say and how they end.

use crate::scratch::Scratch;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tensorguard::machine::Machine;
use tensorguard::record::fold::{self, fold};
use tensorguard::record::journal::{self, Plan, RESULT, SAMPLES, SUMMARY};
use tensorguard::record::{Environment, Git, Label, Line, Measure, Record, Sample, sha256};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tensorguard");

fn run(folder: &Path, args: &[&str]) -> (i32, String) {
    let output: Output = Command::new(PROGRAM).args(args).current_dir(folder).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

/// A recorded measurement: a cell, its backend, and what CPU and elapsed time its arms take.
struct Recorded<'a> {
    engine: &'a str,
    cell: &'a str,
    backend: &'a str,
    arms: &'a [(&'a str, u64, u64)],
}

impl Recorded<'_> {
    fn write(&self, parent: &Path, machine: Machine) -> PathBuf {
        let environment = Environment { machine, engine: self.engine.into(), gpu: None };
        let config = BTreeMap::from([("filter".to_owned(), json!(""))]);
        let plan = Plan { command: "test", what: "test", config, corpus_sha256: None, environment };
        let mut journal = journal::Journal::begin(parent, plan).expect("a folder");
        let (cell, stage, item) = (self.cell.to_owned(), "b".to_owned(), "run".to_owned());
        let properties = BTreeMap::from([("backend".to_owned(), self.backend.into())]);
        journal.write(&Line::Cell { cell: cell.clone(), properties }).expect("a line");
        let line =
            Line::Stage { cell: cell.clone(), stage: stage.clone(), label: Label::M, item, items: 1, formula: None };
        journal.write(&line).expect("a line");
        for turn in 0..30 {
            for &(arm, cpu_ns, wall_ns) in self.arms {
                let later = |time_ns: u64| (time_ns + u64::from(turn)).into();
                let values = BTreeMap::from([(Measure::CpuNs, later(cpu_ns)), (Measure::WallNs, later(wall_ns))]);
                let (cell, stage) = (cell.clone(), stage.clone());
                let sample = Sample { cell, stage, arm: arm.into(), turn, repetitions: 1, values };
                journal.write(&Line::Sample(sample)).expect("a line");
            }
        }
        journal.finish(|_| String::new()).expect("a record").0
    }
}

/// One stage of one arm that takes so long.
fn record(parent: &Path, engine: &str, time_ns: u64) -> PathBuf {
    let arms = [("ours", time_ns, time_ns)];
    Recorded { engine, cell: "a", backend: engine, arms: &arms }.write(parent, Machine::look())
}

#[test]
fn two_recorded_measurements_end_with_the_code_that_fits() {
    let folder = Scratch::new("gate-compare");
    let [old, same, slow] = [100_000, 100_100, 110_000].map(|time_ns| record(&folder, "cpu-x", time_ns));
    let other = record(&folder, "cpu-y", 100_000);
    let compare = |new: &Path| run(&folder, &["compare", old.to_str().unwrap(), new.to_str().unwrap()]);
    let (code, said) = compare(&same);
    assert!(code == 0 && said.contains("in this session: not measured"), "{code}: {said}");
    let (code, said) = compare(&slow);
    assert!(code == 5 && said.contains("INCONCLUSIVE") && said.contains("+9.9"), "{code}: {said}");
    assert!(said.contains("looks slower") && said.contains("tensorguard ab"), "{said}");
    let (code, said) = compare(&other);
    assert!(code == 6 && said.contains("engine: cpu-x and cpu-y"), "{code}: {said}");
    let text = fs::read_to_string(slow.join(RESULT)).unwrap();
    fs::write(slow.join(RESULT), text.replace("110014.5", "100014.5")).unwrap();
    assert_eq!(compare(&slow).0, 8, "it was edited");
    assert_eq!(run(&folder, &["verify", slow.to_str().unwrap(), same.to_str().unwrap()]).0, 8);
    assert_eq!(run(&folder, &["verify", same.to_str().unwrap()]).0, 0);
    let (code, said) = run(&folder, &["gate", "--result", same.to_str().unwrap()]);
    assert!(code == 6 && said.contains("no baseline"), "{code}: {said}");
}

#[test]
fn a_record_is_held_by_the_arms_and_clocks_that_say_something() {
    let folder = Scratch::new("gate-arms");
    let write = |cell: &str, backend: &str, arms: &[(&str, u64, u64)]| {
        Recorded { engine: "cpu-x", cell, backend, arms }.write(&folder, Machine::look())
    };
    let compare = |old: &Path, new: &Path| run(&folder, &["compare", old.to_str().unwrap(), new.to_str().unwrap()]);
    // All of it half as slow again: two threads over one are no peer that could cancel that.
    let threads = |by: u64| write("a", "cpu-x", &[("1 thread", by * 100, by * 101), ("2 threads", by * 102, by * 60)]);
    let (code, said) = compare(&threads(1000), &threads(1500));
    assert!(code == 5 && said.matches("looks slower").count() == 2, "{code}: {said}");
    let clock = |arm: &str, clock: &str| said.lines().any(|line| line.contains(arm) && line.contains(clock));
    assert!(clock("a b 1 thread ", "cpu_ns") && clock("a b 2 threads", "wall_ns"), "{said}");
    // A peer of the same run tells a slower machine from slower code.
    let peer = |ours: u64, theirs: u64| write("a", "cpu-x", &[("ours", ours, ours), ("theirs", theirs, theirs)]);
    let alike = peer(100_000, 300_000);
    assert_eq!(compare(&alike, &peer(150_000, 450_000)).0, 0, "the machine is slower");
    let (code, said) = compare(&alike, &peer(150_000, 300_000));
    assert!(code == 3 && said.contains("FAIL") && said.contains("beside the peer"), "{code}: {said}");
    // On a device CPU time is only what waiting costs.
    let device = |cpu: u64| write("a", "cuda", &[("1 thread", cpu, 500_000)]);
    let (code, said) = compare(&device(100_000), &device(300_000));
    assert!(code == 0 && said.contains("wall_ns"), "{code}: {said}");
    // How fast memory is read is no code of ours.
    let limit = |time_ns: u64| write("limit-memory", "cpu-x", &[("1 thread", time_ns, time_ns)]);
    assert_eq!(compare(&limit(100_000), &limit(200_000)).0, 4);
    // Another kernel is another machine.
    let older = Machine { kernel: Some("0.0".to_owned()), ..Machine::look() };
    let arms = [("1 thread", 100_000, 100_000)];
    let older = Recorded { engine: "cpu-x", cell: "a", backend: "cpu-x", arms: &arms }.write(&folder, older);
    let (code, said) = compare(&older, &write("a", "cpu-x", &arms));
    assert!(code == 6 && said.contains("kernel: "), "{code}: {said}");
}

/// A base that answers, and knows no metric.
#[cfg(unix)]
fn knows_nothing(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("old-base");
    let optimised = !cfg!(debug_assertions);
    let hello =
        format!("{{\"say\":\"hello\",\"protocol\":1,\"program\":\"p\",\"engine\":\"e\",\"is_optimised\":{optimised}}}");
    let script = format!("#!/bin/sh\necho '{hello}'\nwhile read -r line; do echo '{{\"say\":\"unknown\"}}'; done\n");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
#[cfg(unix)]
fn a_gate_that_compared_nothing_says_so_in_every_report() {
    let folder = Scratch::new("gate-nothing");
    let base = knows_nothing(&folder);
    let reports = ["--junit", "gate.xml", "--markdown", "gate.md", "--json", "gate.json", "--open-metrics", "gate.txt"];
    let gate = |args: &[&str]| {
        for file in ["gate.xml", "gate.md", "gate.json", "gate.txt"] {
            fs::write(folder.join(file), "of an earlier run").unwrap();
        }
        run(&folder, &[&["gate", "--out", "runs"], args, &reports[..]].concat())
    };
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("it is there");
    let (code, said) = gate(&["--base-binary", base.to_str().unwrap(), "--filter", "forward/1024"]);
    assert!(code == 4 && said.contains("SKIPPED") && said.contains("the base does not know"), "{code}: {said}");
    assert!(read("gate.xml").contains("<skipped message=") && read("gate.md").contains("| SKIPPED | forward/1024"));
    // What never came to a decision is one error, and nothing of an earlier run.
    let (code, said) = gate(&["--base-binary", PROGRAM, "--filter", "no-such-metric"]);
    assert_eq!(code, 4, "{said}");
    let xml = read("gate.xml");
    assert!(xml.contains("errors=\"1\"") && xml.contains("exit code 4") && xml.contains("no metric has"), "{xml}");
    assert!(read("gate.md").contains("no decision") && read("gate.json").contains("\"exit_code\": 4"));
    assert!(read("gate.txt").contains("tensorguard_exit_code 4"));
    assert_eq!(gate(&["--base-binary", PROGRAM, "--terms", "nowhere.toml"]).0, 2);
    assert!(read("gate.xml").contains("exit code 2"));
    // Nor while it is measuring: what is killed then leaves no report.
    let sleeper = folder.join("sleeper");
    fs::write(&sleeper, "#!/bin/sh\nexec sleep 60\n").unwrap();
    fs::set_permissions(&sleeper, fs::metadata(&base).unwrap().permissions()).unwrap();
    let args = ["gate", "--out", "runs", "--base-binary", "./sleeper", "--junit", "gate.xml"];
    let mut child = Command::new(PROGRAM).args(args).current_dir(&folder).spawn().expect("it starts");
    let begin = std::time::Instant::now();
    while folder.join("gate.xml").exists() && begin.elapsed().as_secs() < 20 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let is_there = folder.join("gate.xml").exists();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(!is_there, "the report of an earlier run");
    fs::write(folder.join("gate.toml"), "delta = 0.5\n").unwrap();
    let (code, said) =
        run(&folder, &["gate", "--base-binary", PROGRAM, "--terms", "gate.toml", "--junit", "gate.toml"]);
    assert!(code == 2 && read("gate.toml") == "delta = 0.5\n", "{code}: {said}");
}

#[test]
fn what_was_measured_is_never_replaced_by_what_is_made_of_it() {
    let folder = Scratch::new("gate-inputs");
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-micro");
    let entry = folder.join("2026-11-22-amd-epyc-2c-micro");
    fs::create_dir_all(&entry).unwrap();
    let files = ["result.json", "samples.jsonl", "summary.md"];
    for file in files {
        fs::copy(committed.join(file), entry.join(file)).expect("a copy");
    }
    let name = entry.to_str().unwrap();
    for file in files {
        let out = entry.join(file);
        let out = out.to_str().unwrap();
        let (code, said) = run(&folder, &["report", name, "--to", out]);
        assert!(code == 2 && said.contains("is the input"), "{code}: {said}");
        let (code, said) = run(&folder, &["bundle", name, "--out", out]);
        assert!(code == 2 && said.contains("is the input"), "{code}: {said}");
        assert!(fs::read(out).unwrap() == fs::read(committed.join(file)).unwrap(), "{file}");
    }
    let (code, said) = run(&folder, &["report", name, "--to", "a", "--csv", "./a"]);
    assert!(code == 2 && said.contains("written twice") && !folder.join("a").exists(), "{code}: {said}");
    assert_eq!(run(&folder, &["report", name, "--to", "a", "--csv", "b"]).0, 0);
}

#[test]
fn what_cannot_be_asked_is_a_usage_error_and_an_empty_selection_its_own() {
    let folder = Scratch::new("gate-usage");
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
        assert!(!said.contains("ab-worker") && !said.contains("link-probe"), "{shell} offers what is not for people");
    }
    assert_eq!(run(&folder, &["kat", "--in", "nowhere", "--out", "a.json"]).0, 2);
    fs::write(folder.join("file"), "").unwrap();
    let (code, said) = run(&folder, &["micro", "--smoke", "--filter", "kernel==sum && size==10kb", "--out", "file/a"]);
    assert!(code == 1 && said.contains("cannot write results in file/a: Not a directory"), "{code}: {said}");
    // Told before anything is measured.
    let (code, said) = run(&folder, &["compare-peers", "--filter", "memory", "--out", "file/a"]);
    assert!(code == 1 && !said.contains("memory read"), "{code}: {said}");
}

#[test]
fn a_program_against_itself_gets_an_answer_that_its_record_repeats() {
    let folder = Scratch::new("gate-itself");
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
}

/// What a program was built from.
enum Built {
    Commit,
    Changes,
}

/// Makes a record say that its program was built from the checkout that it ran in.
fn build_it_from(entry: &Path, built: Built) {
    let path = entry.join(SAMPLES);
    let mut journal = fold::Journal::parse(&fs::read(&path).unwrap()).expect("a journal");
    let Line::Header(header) = &mut journal.lines[0] else { panic!("its first line") };
    header.built_from = header.git.clone().map(|git| Git { is_dirty: matches!(built, Built::Changes), ..git });
    let text: Vec<String> = journal.lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    fs::write(&path, text.concat()).unwrap();
    let journal = fold::Journal::parse(text.concat().as_bytes()).expect("a journal");
    let mut record = fold(&journal).expect("a record");
    record.summary_sha256 = Some(sha256(&fs::read(entry.join(SUMMARY)).unwrap()));
    fs::write(entry.join(RESULT), journal::text(&record).unwrap()).unwrap();
}

#[test]
fn only_what_was_measured_from_a_commit_is_recorded_and_promoted() {
    let folder = Scratch::new("gate-baseline");
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
    let (code, said) = measure("results");
    assert!(code == 2 && said.contains("has no commit"), "{code}: {said}");
    change("first");
    git(&["add", "tracked"]);
    git(&["commit", "--quiet", "--message", "first"]);

    change("second");
    let (code, said) = measure("results");
    assert!(code == 2 && said.contains("commit first"), "{code}: {said}");
    // Wherever the command is called: what counts is where the results go.
    let results = folder.join("results");
    let smoke = ["micro", "--smoke", "--filter", "kernel==sum && size==10kb", "--out", results.to_str().unwrap()];
    let (code, said) = run(&std::env::temp_dir(), &smoke);
    assert!(code == 2 && said.contains("tracked files of"), "{code}: {said}");
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

    // This program was not built from that commit.
    change("first");
    let (code, said) = measure("results");
    assert!(code == 2 && said.contains("this program was built") && said.contains("build it again"), "{code}: {said}");
    let (code, said) = measure("elsewhere");
    assert_eq!(code, 0, "{said}");
    let made = only("elsewhere");
    let entry = folder.join("results").join(made.file_name().unwrap());
    fs::rename(made, &entry).unwrap();
    build_it_from(&entry, Built::Changes);
    let (code, said) = promote(&entry);
    assert!(code == 2 && said.contains("not measured from a commit"), "{code}: {said}");
    build_it_from(&entry, Built::Commit);
    assert_eq!(run(&folder, &["verify", entry.to_str().unwrap()]).0, 0);
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
}

#[test]
fn other_engines_and_more_threads_are_compared_by_filter() {
    let folder = Scratch::new("gate-keys");
    let ab = |filter: &str, more: &[&str]| {
        let args = [
            "ab",
            "--base-binary",
            PROGRAM,
            "--delta",
            "0.5",
            "--most-pairs",
            "20",
            "--out",
            "runs",
            "--filter",
            filter,
        ];
        run(&folder, &[&args[..], more].concat())
    };
    let small = |more: &str| format!("kernel==forward && n==1024 && size==10kb && {more}");
    // A busy machine is unfit, and its record says the same.
    let (code, said) = ab(&small("backend==cpu-portable"), &[]);
    assert!(
        [0, 5].contains(&code) && said.contains("kernel-forward-1024/10kb cpu-portable 1 thread"),
        "{code}: {said}"
    );
    assert!(said.contains("cpu_ns") && !said.contains("wall_ns"), "{said}");
    if std::thread::available_parallelism().is_ok_and(|threads| threads.get() > 1) {
        let (code, said) = ab(&small("threads==2"), &[]);
        assert!([0, 5].contains(&code) && said.contains(" 2 threads ") && said.contains("wall_ns"), "{code}: {said}");
        assert!(!said.contains("cpu_ns"), "{said}");
    } else {
        eprintln!("ignored: two threads, because this machine has one");
    }
    for entry in fs::read_dir(folder.join("runs")).unwrap().flatten() {
        assert_eq!(run(&folder, &["verify", entry.path().to_str().unwrap()]).0, 0);
    }
    // What is asked for and absent does not pass.
    let absent = if cfg!(target_arch = "x86_64") { "cpu-neon" } else { "cpu-avx2" };
    let (code, said) = ab(&small(&format!("backend=={absent}")), &[]);
    assert!(code == 5 && said.contains("UNFIT") && said.contains("is absent here"), "{code}: {said}");
    let (code, said) = ab(&small("backend==cpu-portable"), &["--instructions"]);
    assert!(code == 2 && said.contains("leave backend and threads out"), "{code}: {said}");
}
