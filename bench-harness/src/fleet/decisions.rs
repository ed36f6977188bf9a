//! What was decided about candidates, in the key holder's folder: the log, and beside it the head it had last, so that a log cut off
//! at its end is found too. Whoever keeps a head elsewhere finds also a folder that was restored from an older copy.

use super::failed;
use crate::calendar::{time_utc, unix_s};
use crate::failure::Failure;
use crate::logs::{DecisionFile, Recovery};
use crate::whole_file::Target;
use fleet_client::protocol::Id;
use folding::lwe::Head;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use trust::decisions::{Decision, End, History, MemoryLog, record};
use trust::rollout::{Reason, Stage};

const LOG: &str = "decisions";
const HEAD: &str = "decisions.head";

/// Begins a log in a new key holder's folder.
///
/// # Errors
/// [`Failure`], for instance where there is one already.
pub fn create(folder: &Path) -> Result<(), Failure> {
    DecisionFile::create(&folder.join(LOG)).map_err(failed)?;
    keep(folder, Head::default())
}

/// Reads the log of a key holder that may be at work, and checks it: its chain, its rules, the head beside it, and the `anchor`, a head
/// that was kept elsewhere.
///
/// # Errors
/// [`Failure::Wrong`] if it was edited, cut off or replaced; [`Failure::Usage`] if there is none.
pub fn read(folder: &Path, anchor: Option<Head>) -> Result<History, Failure> {
    // The head first: the log is never behind it.
    let kept = kept(folder)?;
    let path = folder.join(LOG);
    fs::metadata(&path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    let wrong = |why: &dyn std::fmt::Display| Failure::Wrong(format!("{}: {why}", folder.display()));
    let mut log = MemoryLog(DecisionFile::read(&path).map_err(|error| wrong(&error))?);
    let history = History::read(&mut log, Some(kept)).map_err(|error| wrong(&error))?;
    match anchor {
        None => Ok(history),
        Some(anchor) => History::read(&mut log, Some(anchor)).map_err(|error| wrong(&error)),
    }
}

/// The log of a key holder at work.
pub(super) struct Book {
    folder: PathBuf,
    file: DecisionFile,
    history: History,
}

impl Book {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let kept = kept(folder)?;
        let (mut file, recovery) = DecisionFile::open(&folder.join(LOG)).map_err(failed)?;
        if recovery != Recovery::Whole {
            super::say(recovery);
        }
        let history = History::read(&mut file, Some(kept)).map_err(failed)?;
        let mut book = Self { folder: folder.to_owned(), file, history };
        book.follow()?;
        Ok(book)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Makes a decision durable, and says it in a line.
    pub(super) fn record(&mut self, decision: Decision) -> Result<(), String> {
        let line = told(&decision).lines().next().unwrap_or_default().to_owned();
        record(&mut self.file, Some(self.history.head()), unix_s(), decision).map_err(|error| error.to_string())?;
        super::say(format_args!("decision {}: {line}", self.history.head().entries + 1));
        self.follow().map_err(|error| error.to_string())
    }

    /// Takes note of what the log says now. What is in it counts, even if the head cannot be kept.
    fn follow(&mut self) -> Result<(), Failure> {
        let before = self.history.head();
        self.history = History::read(&mut self.file, Some(before)).map_err(failed)?;
        keep(&self.folder, self.history.head())
    }
}

fn keep(folder: &Path, head: Head) -> Result<(), Failure> {
    Target::new(&folder.join(HEAD), &[])?.write(|file| writeln!(file, "{}", head_text(head)))
}

fn kept(folder: &Path) -> Result<Head, Failure> {
    let path = folder.join(HEAD);
    let hint = "it is made with the key holder's folder and says where the decision log stands; write the head there that you kept elsewhere";
    let wrong = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}. {hint}", path.display()));
    let text = fs::read_to_string(&path).map_err(|error| wrong(&error))?;
    parse_head(text.trim()).map_err(|why| wrong(&why))
}

/// A head as it is printed: the number of decisions, and the hash after them.
#[must_use]
pub fn head_text(head: Head) -> String {
    format!("{}:{}", head.entries, Id(head.hash))
}

/// What [`head_text`] wrote.
///
/// # Errors
/// What it should be.
pub fn parse_head(text: &str) -> Result<Head, String> {
    let parts = text.split_once(':').and_then(|(entries, hash)| Some((entries.parse().ok()?, Id::parse(hash)?)));
    let (entries, hash) = parts.ok_or("a head is the number of decisions, a colon, and 64 hexadecimal digits")?;
    Ok(Head { entries, hash: hash.0 })
}

/// All decisions in words, and where the log stands.
#[must_use]
pub fn page(history: &History) -> String {
    let mut text = String::new();
    for (index, (decision, &at)) in history.decisions().iter().zip(history.times_unix_s()).enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:>4}  {}  {}", index + 1, time_utc(at), told(decision));
    }
    let count = history.decisions().len();
    let running = history.deployed().map_or_else(|| "what it began with".to_owned(), |package| short(&package));
    let head = head_text(history.head());
    let _ = writeln!(text, "whole: {count} decisions; the fleet runs {running}; head {head}");
    text
}

fn short(hash: &[u8; 32]) -> String {
    Id(*hash).short()
}

/// A decision in words. A verdict has a line for each finding.
fn told(decision: &Decision) -> String {
    match decision {
        Decision::Registered { thresholds } => {
            format!("thresholds {} registered: candidates are held against them from now on", short(thresholds))
        }
        Decision::Judged(verdict) => {
            let (candidate, thresholds) = (short(verdict.candidate()), short(verdict.thresholds()));
            let evaluation = short(verdict.evaluation());
            let mut text = format!("candidate {candidate}, thresholds {thresholds}, evaluation {evaluation}: ");
            text.push_str(verdict.to_string().trim_end());
            text
        }
        Decision::Unjudged { candidate } => format!("candidate {}: NO GATE, let through unjudged", short(candidate)),
        Decision::Reached { candidate, stage } => {
            format!("candidate {}: {}", short(candidate), stage_told(*stage))
        }
        Decision::Settled { candidate, end } => {
            let end = match end {
                End::Deployed => "deployed",
                End::Unhealthy => "rolled back, too many robots were unhealthy",
                End::TooFew => "rolled back, too few robots were healthy in time",
                End::Halted => "rolled back, somebody stopped it",
            };
            format!("candidate {}: {end}", short(candidate))
        }
    }
}

fn stage_told(stage: Stage) -> String {
    match stage {
        Stage::Canary => "offered to the canary".into(),
        Stage::Progressive(step) => format!("promoted to step {} between canary and all", step + 1),
        Stage::Full => "promoted to all robots".into(),
        Stage::Deployed => "deployed".into(),
        Stage::RollingBack(reason) => format!("rolling back, {}", reason_told(reason)),
        Stage::RolledBack(reason) => format!("rolled back, {}", reason_told(reason)),
    }
}

fn reason_told(reason: Reason) -> &'static str {
    match reason {
        Reason::Unhealthy => "too many robots are unhealthy",
        Reason::TooFew => "too few robots were healthy in time",
        Reason::Halted => "somebody stopped it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use trust::decisions::DecisionLog;

    const CANDIDATE: [u8; 32] = [9; 32];

    fn way() -> [Decision; 5] {
        let candidate = CANDIDATE;
        let reached = |stage| Decision::Reached { candidate, stage };
        [
            Decision::Registered { thresholds: [1; 32] },
            Decision::Unjudged { candidate },
            reached(Stage::Canary),
            reached(Stage::RollingBack(Reason::Unhealthy)),
            Decision::Settled { candidate, end: End::Unhealthy },
        ]
    }

    fn filled(name: &str) -> (Scratch, PathBuf) {
        let scratch = Scratch::new(name);
        let folder = scratch.join("holder");
        fs::create_dir(&folder).unwrap();
        create(&folder).unwrap();
        for decision in way() {
            // Each by a process of its own.
            Book::open(&folder).unwrap().record(decision).unwrap();
        }
        (scratch, folder)
    }

    #[test]
    fn decisions_are_listed_in_words_also_while_the_key_holder_works() {
        let (_scratch, folder) = filled("book-words");
        let book = Book::open(&folder).unwrap();
        let page = page(&read(&folder, Some(book.history().head())).unwrap());
        for words in
            ["Z  thresholds 01010101 registered", "NO GATE", "canary", "rolling back, too many", "whole: 5 decisions"]
        {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(page.contains(&head_text(book.history().head())), "{page}");
        let times = book.history().times_unix_s();
        assert!(times.is_sorted() && times.iter().all(|&at| unix_s().abs_diff(at) < 600), "{times:?}");
    }

    #[test]
    fn an_edit_a_removal_and_a_swap_are_found() {
        let (_scratch, folder) = filled("book-edits");
        let path = folder.join(LOG);
        let whole = fs::read(&path).unwrap();
        let records = DecisionFile::read(&path).unwrap();
        let refused = |what: &str| {
            let failure = read(&folder, None).expect_err(what);
            assert!(matches!(failure, Failure::Wrong(_)), "{what}: {failure}");
            assert!(Book::open(&folder).is_err(), "{what}: a key holder does not go on with it");
        };
        for at in [whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let mut edited = whole.clone();
            edited[at] ^= 1;
            fs::write(&path, &edited).unwrap();
            refused("an edit");
        }
        // Frames written anew, so that the file is sound and only what it says is not.
        let write = |records: &[Vec<u8>]| {
            fs::remove_file(&path).unwrap();
            let mut file = DecisionFile::create(&path).unwrap();
            records.iter().for_each(|record| file.append(record).unwrap());
        };
        for removed in 0..records.len() {
            let mut fewer = records.clone();
            fewer.remove(removed);
            write(&fewer);
            refused("a removal");
        }
        let mut swapped = records.clone();
        swapped.swap(2, 3);
        write(&swapped);
        refused("a swap");
        write(&records);
        assert!(read(&folder, None).is_ok());
    }

    #[test]
    fn a_folder_that_was_restored_is_found_by_a_head_kept_elsewhere() {
        let (_scratch, folder) = filled("book-anchor");
        let older = [LOG, HEAD].map(|name| fs::read(folder.join(name)).unwrap());
        let more = Decision::Registered { thresholds: [2; 32] };
        Book::open(&folder).unwrap().record(more).unwrap();
        let head = read(&folder, None).unwrap().head();
        for (name, bytes) in [LOG, HEAD].into_iter().zip(older) {
            fs::write(folder.join(name), bytes).unwrap();
        }
        assert!(read(&folder, None).is_ok());
        let failure = read(&folder, Some(parse_head(&head_text(head)).unwrap())).unwrap_err();
        assert!(failure.to_string().contains("cut off"), "{failure}");
    }

    #[test]
    fn a_head_behind_the_log_is_what_a_crash_leaves_and_is_brought_up() {
        let (_scratch, folder) = filled("book-crash");
        let path = folder.join(HEAD);
        let now = fs::read(&path).unwrap();
        fs::write(&path, head_text(Head::default())).unwrap();
        drop(Book::open(&folder).unwrap());
        assert_eq!(fs::read(&path).unwrap(), now);
        fs::remove_file(&path).unwrap();
        assert!(Book::open(&folder).is_err_and(|failure| failure.to_string().contains("kept elsewhere")));
        for text in ["", "5", "x:00", "5:zz"] {
            assert!(parse_head(text).is_err(), "{text}");
        }
    }
}
