//! Ctrl-C while a fleet trains: it stops soon, says how to go on, and going on comes to an end that can be verified.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tensorguard::record::Record;
use tensorguard::record::journal::{RESULT, SAMPLES};

/// Campaigns of a fleet take longer than this by far, a robot's training takes less.
const SOON: Duration = Duration::from_secs(30);

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
    let parent = std::env::temp_dir().join(format!("tensorguard-interrupt-{}", std::process::id()));
    let out = parent.to_string_lossy().into_owned();
    // Ten robots train in each of these rounds; one cell, so that its end is near once it goes on.
    let arguments = words(&["run", "--progress", "json", "--filter", "clients==10 && net==100mbit", "--out", &out]);
    // The first campaign has begun when its step is told.
    stopped_at("campaign 1 of", &arguments);
    let folder = folder(&parent);
    assert!(folder.join(SAMPLES).exists() && !folder.join(RESULT).exists(), "no fleet was finished");

    let resumed = [arguments, words(&["--resume", &folder.to_string_lossy()])].concat();
    let output = tensorguard(&resumed).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Record = serde_json::from_slice(&fs::read(folder.join(RESULT)).expect("a result")).expect("a record");
    assert_eq!((record.matrix.len(), record.end_to_end.len()), (1, 1));
    let verified = tensorguard(&words(&["verify", &folder.to_string_lossy()])).output().expect("it runs");
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    fs::remove_dir_all(parent).expect("it was made");
}

#[test]
fn a_run_is_stopped_while_version_0_is_trained() {
    let parent = std::env::temp_dir().join(format!("tensorguard-interrupt-zero-{}", std::process::id()));
    let out = parent.to_string_lossy().into_owned();
    // The widest policy: its version 0 takes minutes.
    let filter = "task==imitation && size==10mb && clients==2 && net==100mbit";
    let arguments = words(&["run", "--preset", "full", "--progress", "json", "--filter", filter, "--out", &out]);
    let told = stopped_at("training version 0", &arguments);
    assert!(!told.contains("campaign 1 of"), "it was trained to its end: {told}");
    assert!(!folder(&parent).join(RESULT).exists());
    fs::remove_dir_all(parent).expect("it was made");
}
