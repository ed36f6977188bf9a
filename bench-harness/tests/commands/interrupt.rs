//! Ctrl-C: a measurement stops soon, says how to go on, and going on comes to an end that can be verified.

use crate::scratch::Scratch;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tensorguard::record::Record;
use tensorguard::record::journal::{RESULT, SAMPLES};

/// Longer than a robot's training, even where others take the processor.
const SOON: Duration = Duration::from_secs(120);

fn tensorguard(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    command.args(arguments);
    command
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|&word| word.to_owned()).collect()
}

/// Runs until its progress says so, then presses Ctrl-C. Gives all that it told, and checks that it stopped soon and says how to go on.
fn stopped_at(place: &str, arguments: &[String]) -> String {
    let mut child = tensorguard(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut errors = child.stderr.take().expect("it is piped");
    let mut told = String::new();
    let mut buffer = [0; 512];
    while !told.contains(place) {
        let read = errors.read(&mut buffer).expect("its progress");
        assert!(read > 0, "it ended early: {told}");
        told += &String::from_utf8_lossy(&buffer[..read]);
    }
    let asked = Instant::now();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    errors.read_to_string(&mut told).expect("its last words");
    let ended = child.wait().expect("it ends");
    assert_eq!(ended.code(), Some(130), "{told}");
    assert!(asked.elapsed() < SOON, "it went on for {:?}", asked.elapsed());
    assert!(told.contains("to go on: tensorguard ") && told.contains("--resume"), "{told}");
    told
}

/// The folder of the one run below a parent.
fn folder(parent: &Path) -> PathBuf {
    fs::read_dir(parent).expect("a folder").flatten().next().expect("one run").path()
}

#[test]
fn a_run_is_stopped_while_a_fleet_trains_and_goes_on_to_its_end() {
    let parent = Scratch::new("interrupt-fleet");
    let out = parent.to_string_lossy().into_owned();
    // Ten robots train in each of these rounds; one cell, so that its end is near once it goes on.
    let arguments = words(&["run", "--progress", "json", "--filter", "clients==10 && net==100mbit", "--out", &out]);
    // The first campaign has begun when its step is told.
    stopped_at("campaign 1 of", &arguments);
    let folder = folder(&parent);
    // A fleet whose campaigns came to their end is a line of the journal.
    let finished = |folder: &Path| journal(folder).contains("\"line\":\"matrix\"");
    assert!(folder.join(SAMPLES).exists() && !finished(&folder), "it was stopped within a campaign");

    let resumed = [arguments, words(&["--resume", &folder.to_string_lossy()])].concat();
    let output = tensorguard(&resumed).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Record = serde_json::from_slice(&fs::read(folder.join(RESULT)).expect("a result")).expect("a record");
    assert!(finished(&folder));
    assert_eq!((record.matrix.len(), record.end_to_end.len()), (1, 1));
    let verified = tensorguard(&words(&["verify", &folder.to_string_lossy()])).output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn a_run_is_stopped_while_version_0_is_trained() {
    let parent = Scratch::new("interrupt-zero");
    let out = parent.to_string_lossy().into_owned();
    // The widest policy: its version 0 takes minutes.
    let filter = "task==imitation && size==10mb && clients==2 && net==100mbit";
    let arguments = words(&["run", "--preset", "full", "--progress", "json", "--filter", filter, "--out", &out]);
    let told = stopped_at("training version 0", &arguments);
    assert!(!told.contains("campaign 1 of"), "it was trained to its end: {told}");
    assert!(!folder(&parent).join(RESULT).exists());
}

impl Scratch {
    /// This command, with what it measures going to `runs`, and without software Vulkan, which would take minutes.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = tensorguard(&words(args));
        command.current_dir(self).env("VK_DRIVER_FILES", "/nowhere/none.json");
        command.env("VK_ICD_FILENAMES", "/nowhere/none.json").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        said(&self.command(args).output().expect("it starts"))
    }

    /// Starts it, asks it to stop once its journal holds `when`, and gives the code, what was said, and the folder.
    fn stopped(&self, args: &[&str], when: &str) -> (i32, String, PathBuf) {
        let child = self.command(args).spawn().expect("it starts");
        let entry = || Some(fs::read_dir(self.join("runs")).ok()?.flatten().next()?.path());
        let is_there = || entry().is_some_and(|entry| journal(&entry).contains(when));
        let begin = Instant::now();
        while !is_there() && begin.elapsed().as_secs() < 600 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
        let (code, said) = said(&child.wait_with_output().expect("it ends"));
        (code, said, entry().expect("what was measured"))
    }
}

fn said(output: &Output) -> (i32, String) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

fn journal(entry: &Path) -> String {
    fs::read_to_string(entry.join(SAMPLES)).unwrap_or_default()
}

fn record(entry: &Path) -> Record {
    serde_json::from_slice(&fs::read(entry.join(RESULT)).expect("a result")).expect("a record")
}

fn missing(record: &Record) -> Vec<&str> {
    record.cells.iter().filter(|cell| cell.not_run.is_some()).map(|cell| cell.id.as_str()).collect()
}

#[test]
fn a_trial_is_stopped_and_goes_on_with_the_turn_it_was_at() {
    let scratch = Scratch::new("interrupt-ab");
    let program = env!("CARGO_BIN_EXE_tensorguard");
    let args = ["ab", "--base-binary", program, "--filter", "forward", "--delta", "0.5", "--out", "runs"];
    let (code, said, entry) = scratch.stopped(&args, "\"injected\"");
    assert!(code == 130 && said.contains("--resume"), "{code}: {said}");
    let entry = entry.to_string_lossy();
    let resumed = [&args[..], &["--resume", &entry]].concat();
    let (code, said) = scratch.run(&resumed);
    assert!([0, 5].contains(&code) && said.contains("forward/32768"), "{code}: {said}");
    assert_eq!(scratch.run(&["verify", &entry]).0, 0);
    let (code, said) = scratch.run(&resumed);
    assert!(code == 2 && said.contains("nothing to resume"), "{code}: {said}");
}

#[test]
fn a_comparison_is_stopped_names_what_is_missing_and_goes_on_to_its_end() {
    let scratch = Scratch::new("interrupt-peers");
    // Our code against itself, and against the memory: nobody else has to be built.
    let args = ["compare-peers", "--filter", "memory", "--out", "runs"];
    let (code, said, entry) = scratch.stopped(&args, "\"environment\"");
    assert!(code == 130 && said.contains("to go on: tensorguard ") && said.contains("--resume"), "{code}: {said}");
    assert!(said.contains("the rest") && said.contains("Ctrl-C came before it"), "{said}");
    let first = record(&entry);
    assert!(first.footer.is_none() && missing(&first) == ["the rest absent 0"], "{first:?}");
    let (name, kept) = (entry.to_string_lossy(), journal(&entry));
    assert_eq!(scratch.run(&["verify", &name]).0, 0);

    let other = ["compare-peers", "--filter", "chacha", "--out", "runs", "--resume", &name];
    let (code, said) = scratch.run(&other);
    assert!(code == 6 && said.contains("another configuration"), "{code}: {said}");
    // On a busy machine identical code differs: then it ends with 5, and everything is there all the same.
    let resumed = [&args[..], &["--resume", &name]].concat();
    let (code, said) = scratch.run(&resumed);
    assert!([0, 5].contains(&code) && said.contains("memory read"), "{code}: {said}");
    let whole = record(&entry);
    assert!(whole.footer.is_some() && missing(&whole).is_empty(), "{:?}", missing(&whole));
    // Each sitting measures identical code; the row of the first is in the table too.
    let sittings = whole.cells.iter().filter(|cell| cell.id.starts_with("itself ")).count();
    assert_eq!(sittings, 1 + kept.matches("\"line\":\"cell\",\"cell\":\"itself ").count());
    assert_eq!(said.lines().filter(|line| line.starts_with("itself ")).count(), sittings, "{said}");
    assert!(whole.cells.iter().any(|cell| cell.id == "memory read sum 4096"));
    assert!(journal(&entry).starts_with(&kept), "what was measured stays");
    assert_eq!(scratch.run(&["verify", &name]).0, 0);
    let (code, said) = scratch.run(&resumed);
    assert!(code == 2 && said.contains("nothing to resume"), "{code}: {said}");
}

#[test]
fn a_validation_is_stopped_in_its_soak_keeps_answers_and_soaks_anew() {
    let scratch = Scratch::new("interrupt-validate");
    let args = ["validate", "--smoke", "--soak", "8s", "--out", "runs"];
    let (code, said, entry) = scratch.stopped(&args, "\"first\"");
    assert!(code == 130 && said.contains("--resume") && said.contains("until then each of"), "{code}: {said}");
    let first = record(&entry);
    let soak = first.cells.iter().find(|cell| cell.id.starts_with("soak ")).expect("it had begun").id.clone();
    assert!(first.footer.is_none() && missing(&first).contains(&format!("rest of {soak}").as_str()));
    let (name, kept) = (entry.to_string_lossy(), journal(&entry));
    assert_eq!(scratch.run(&["verify", &name]).0, 0);

    let (code, said) = scratch.run(&[&args[..], &["--resume", &name]].concat());
    assert!(code == 0 && said.contains("each of ") && !said.contains("rest of"), "{code}: {said}");
    let all = journal(&entry);
    let added = all.strip_prefix(&kept).expect("what was measured stays");
    let anew = |cell: &str| added.contains(&format!("{{\"line\":\"anew\",\"cell\":\"{cell}\"}}"));
    assert!(
        anew(&soak) && anew("memory read") && !anew("machine") && !added.contains("\"cell\":\"answers "),
        "{added}"
    );
    // A soak of its own: a first part that is not that of the sitting before.
    let whole = record(&entry);
    let stage = &whole.cells.iter().find(|cell| cell.id == soak).expect("it was soaked").stages[0];
    let windows = |text: &str| text.matches("\"stage\":\"iteration\",\"arm\":\"first\"").count() as u64;
    assert_eq!(stage.figures[0].samples, windows(added), "{stage:?}");
    assert!(whole.footer.is_some() && windows(&kept) > 0 && stage.figures.iter().any(|figure| figure.arm == "last"));
    assert_eq!(scratch.run(&["verify", &name]).0, 0);
}
