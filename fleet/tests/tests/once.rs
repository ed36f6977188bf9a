//! A key holder answers once and a key seals once, whenever the process is killed: `interrupted` is the process, its logs
//! are the files that the command's users have.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Linux's and everybody's numbers.
const SIGKILL: i32 = 9;
const SIGXFSZ: i32 = 25;

/// A folder for one test, removed after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("once-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A place where no log is.
    fn log(&self) -> PathBuf {
        let path = self.0.join("log");
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs until it ends, or kills it where it stops. What it said.
fn run(who: &str, log: &Path, stop: &str, round: u32) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interrupted"));
    let command = command.arg(who).arg(log).arg(stop).arg(round.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
        if line == "stopped" {
            child.kill().unwrap();
        } else {
            said.push(line);
        }
    }
    let status = child.wait().unwrap();
    let expected = match stop.split(' ').next() {
        Some("never") => None,
        Some("during") => Some(SIGXFSZ),
        _ => Some(SIGKILL),
    };
    assert_eq!(status.signal(), expected, "{who} {stop}: {status}, said {said:?}");
    said
}

fn count(runs: &[Vec<String>], beginning: &str) -> usize {
    runs.iter().flatten().filter(|line| line.starts_with(beginning)).count()
}

/// Writes to the log: three verdicts on canaries at once, then the answer.
const VERDICTS: usize = 0;
const ANSWERED: usize = 1;
/// Bytes of their records.
const VERDICT_LEN: usize = 142;
const ANSWERED_LEN: usize = 205;
const ANSWER: &str = "answered [3, 3, 6, 9, 12]";

/// Interrupts a fresh log's first run, then starts twice more.
fn holder_after(scratch: &Scratch, stop: &str) -> [Vec<String>; 3] {
    let log = scratch.log();
    [run("holder", &log, stop, 1), run("holder", &log, "never", 1), run("holder", &log, "never", 1)]
}

#[track_caller]
fn answers_after(runs: &[Vec<String>; 3], stop: &str) {
    assert_eq!(count(&runs[..1], "answered"), 0, "{stop}: {runs:?}");
    assert_eq!(count(&runs[1..2], ANSWER), 1, "{stop}: {runs:?}");
    assert_eq!(count(&runs[2..], "refused: attempt 0 was answered or closed"), 1, "{stop}: {runs:?}");
}

#[test]
fn killed_before_the_answer_is_logged_it_answers_once_later() {
    let scratch = Scratch::new("before");
    for stop in [format!("before {VERDICTS}"), format!("after {VERDICTS}"), format!("before {ANSWERED}")] {
        let runs = holder_after(&scratch, &stop);
        answers_after(&runs, &stop);
        assert_eq!(count(&runs, "the log is whole"), 2, "{stop}: {runs:?}");
    }
}

#[test]
fn killed_while_entries_are_written_it_removes_a_torn_one_and_answers_once_later() {
    let scratch = Scratch::new("during");
    let verdicts = [1, VERDICT_LEN - 1, VERDICT_LEN, VERDICT_LEN + 8, 2 * VERDICT_LEN, 3 * VERDICT_LEN - 1];
    let verdicts = verdicts.map(|bytes| (VERDICTS, bytes, bytes % VERDICT_LEN));
    let answers = [1, 3, 4, 7, 8, 40, 172, ANSWERED_LEN - 1].map(|bytes| (ANSWERED, bytes, bytes));
    for (write, bytes, torn) in verdicts.into_iter().chain(answers) {
        let stop = format!("during {write} {bytes}");
        let runs = holder_after(&scratch, &stop);
        answers_after(&runs, &stop);
        let found = match torn {
            0 => "the log is whole".to_owned(),
            torn => format!("cut short by a crash, before anybody acted on it: its {torn} bytes"),
        };
        assert!(runs[1][0].contains(&found), "{stop}: {runs:?}");
    }
}

#[test]
fn killed_once_the_answer_is_logged_it_never_answers_again() {
    let scratch = Scratch::new("after");
    for (stop, printed) in [(format!("after {ANSWERED}"), 0), ("unprinted".into(), 0), ("printed".into(), 1)] {
        let runs = holder_after(&scratch, &stop);
        assert_eq!(count(&runs[..1], ANSWER), printed, "{stop}: {runs:?}");
        assert_eq!(count(&runs[1..], "answered"), 0, "{stop}: {runs:?}");
        assert_eq!(count(&runs[1..], "refused: attempt 0 was answered or closed"), 2, "{stop}: {runs:?}");
    }
    // Another round with the same updates is no way around it.
    let log = scratch.log();
    run("holder", &log, &format!("after {ANSWERED}"), 1);
    let other = run("holder", &log, "never", 2);
    assert_eq!(count(&[other], "refused: updates of robots"), 1);
}

/// Of an update's mark, then the key's.
const MARK_LEN: u64 = 64;

#[test]
fn killed_before_the_key_is_marked_the_robot_seals_once_later_and_for_the_same_round_only() {
    let scratch = Scratch::new("robot-before");
    for (stop, bound) in [("before 0", false), ("after 0", true), ("before 1", true)] {
        let log = scratch.log();
        let first = run("robot", &log, stop, 1);
        assert_eq!(first.len(), 0, "{stop}: {first:?}");
        if bound {
            let other = run("robot", &log, "never", 2);
            assert_eq!(count(&[other], "refused: this update was sealed for another round"), 1, "{stop}");
        }
        let again = [run("robot", &log, "never", 1), run("robot", &log, "never", 1)];
        assert_eq!(count(&again[..1], "sealed"), 1, "{stop}: {again:?}");
        assert_eq!(count(&again[1..], "refused: this key has encrypted a message"), 1, "{stop}: {again:?}");
    }
}

#[test]
fn killed_while_a_mark_is_written_the_mark_counts_as_used() {
    let scratch = Scratch::new("robot-during");
    for bytes in [0, 1, 31, 32, 33, MARK_LEN - 1] {
        for entry in 0..2 {
            let (log, stop) = (scratch.log(), format!("during {entry} {bytes}"));
            let mut runs = vec![run("robot", &log, &stop, 1)];
            runs.extend([1, 2, 1].map(|round| run("robot", &log, "never", round)));
            assert_eq!(count(&runs, "sealed"), 0, "{stop}: {runs:?}");
            let torn = count(&runs[1..], "refused: the seal log failed, so nothing was sealed");
            // A whole mark of the update, and a torn one of the key: another round is refused for the update's sake.
            let bound = count(&runs[1..], "refused: this update was sealed for another round");
            assert_eq!((torn, bound), if entry == 0 { (3, 0) } else { (2, 1) }, "{stop}: {runs:?}");
        }
    }
}

#[test]
fn killed_between_the_mark_and_the_output_key_and_update_stay_used() {
    let scratch = Scratch::new("robot-after");
    for (stop, printed) in [("after 1", 0), ("unprinted", 0), ("printed", 1)] {
        let log = scratch.log();
        let runs = [run("robot", &log, stop, 1), run("robot", &log, "never", 1), run("robot", &log, "never", 2)];
        assert_eq!(count(&runs, "sealed"), printed, "{stop}: {runs:?}");
        assert_eq!(count(&runs[1..2], "refused: this key has encrypted a message"), 1, "{stop}: {runs:?}");
        assert_eq!(count(&runs[2..], "refused: this update was sealed for another round"), 1, "{stop}: {runs:?}");
    }
}
