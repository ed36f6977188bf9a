//! Where the answer log stands, kept in a file outside its store: so that a log restored from an older copy, which has forgotten what it
//! answered since, is noticed.

use super::decisions::{head_text, parse_head};
use super::{failed, say};
use crate::failure::Failure;
use crate::logs::AnswerFile;
use crate::whole_file::Target;
use folding::lwe::{AnswerLog, Entry, Head, LogError};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// An answer log, and its witness if it has one.
pub(super) struct Witnessed {
    log: AnswerFile,
    witness: Option<PathBuf>,
}

impl Witnessed {
    /// Compares the log with its witness. A witness begins with an empty log: beside a log that has answered, one that is not there was
    /// lost, and so may answers be.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where the log is not what the witness saw, with more behind it or not; [`Failure::Usage`] without a witness that
    /// can be read.
    pub(super) fn new(mut log: AnswerFile, witness: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = witness {
            let wrong = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", path.display()));
            match fs::read_to_string(path) {
                Ok(text) => {
                    let seen = parse_head(text.trim()).map_err(|error| wrong(&error))?;
                    check(&log.entries().map_err(failed)?, seen)?;
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let (head, entries) = (log.head(), log.entries().map_err(failed)?.len());
                    if entries > 0 {
                        return Err(wrong(&format!(
                            "no witness is there, and the answer log has {entries} entries. If you know that it is the newest, write {} \
                             into that file; else restore the newest",
                            head_text(head)
                        )));
                    }
                    say(format_args!("a witness of the answer log begins at {}", head_text(head)));
                }
                Err(error) => return Err(wrong(&error)),
            }
        }
        let witnessed = Self { log, witness: witness.map(Path::to_owned) };
        witnessed.keep().map_err(failed)?;
        Ok(witnessed)
    }

    fn keep(&self) -> Result<(), Failure> {
        let Some(path) = &self.witness else { return Ok(()) };
        Target::new(path, &[])?.write(|file| writeln!(file, "{}", head_text(self.log.head())))
    }
}

fn check(entries: &[Entry], seen: Head) -> Result<(), Failure> {
    let known = usize::try_from(seen.entries).ok().and_then(|count| entries.get(..count)).map(Head::of);
    if known == Some(seen) {
        return Ok(());
    }
    Err(Failure::Wrong(format!(
        "the answer log has {} entries and is not the one that its witness saw, with {}: it was restored from an older copy, or replaced, and has forgotten what was answered since. Restore the newest copy; if there is none, make a new key holder and a new fleet",
        entries.len(),
        seen.entries
    )))
}

impl AnswerLog for Witnessed {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        self.log.entries()
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// An answer that the witness has not seen is not given: its attempt is used up.
    fn append_all(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        self.log.append_all(entries)?;
        self.keep().map_err(|failure| LogError(format!("the witness of the answer log cannot be kept: {failure}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use folding::lwe::Attempt;

    fn closed(number: u32) -> Entry {
        Entry::Closed { attempt: Attempt { round: [1; 32], number } }
    }

    /// A key holder's life: what it appends, or why it does not begin.
    fn lives(log: &Path, witness: Option<&Path>, entries: &[Entry]) -> Result<(), String> {
        let (file, _) = AnswerFile::open(log).unwrap();
        let mut log = Witnessed::new(file, witness).map_err(|failure| failure.to_string())?;
        entries.iter().try_for_each(|entry| log.append(entry)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_restored_from_an_older_copy_is_noticed_by_its_witness_alone() {
        let scratch = Scratch::new("witness");
        let (log, witness) = (scratch.join("log"), scratch.join("witness"));
        drop(AnswerFile::create(&log).unwrap());
        lives(&log, Some(&witness), &[closed(0)]).unwrap();
        let old = fs::read(&log).unwrap();
        lives(&log, Some(&witness), &[closed(1), closed(2)]).unwrap();
        let new = fs::read(&log).unwrap();
        fs::write(&log, &old).unwrap();
        let refused = lives(&log, Some(&witness), &[]).unwrap_err();
        assert!(refused.contains("has 1 entries") && refused.contains("with 3"), "{refused}");
        // Nobody else could tell; and other entries in their places are no better than none.
        lives(&log, None, &[closed(7), closed(8)]).unwrap();
        assert!(lives(&log, Some(&witness), &[]).is_err());
        fs::write(&log, &new).unwrap();
        lives(&log, Some(&witness), &[closed(3)]).unwrap();
        // A witness that was lost, or comes late, is made by hand.
        let seen = fs::read(&witness).unwrap();
        fs::remove_file(&witness).unwrap();
        let refused = lives(&log, Some(&witness), &[]).unwrap_err();
        assert!(refused.contains(String::from_utf8_lossy(&seen).trim()), "{refused}");
        assert!(!witness.exists(), "it does not begin by itself");
        fs::write(&witness, &seen).unwrap();
        // A crash between the two: the log is ahead, and the witness follows.
        lives(&log, None, &[closed(4)]).unwrap();
        lives(&log, Some(&witness), &[]).unwrap();
        assert!(fs::read_to_string(&witness).unwrap().starts_with("5:"));
    }

    #[test]
    fn what_the_witness_cannot_see_is_not_answered() {
        let scratch = Scratch::new("witness-full");
        let (log, folder) = (scratch.join("log"), scratch.join("other"));
        drop(AnswerFile::create(&log).unwrap());
        fs::create_dir(&folder).unwrap();
        let witness = folder.join("witness");
        let mut witnessed = Witnessed::new(AnswerFile::open(&log).unwrap().0, Some(&witness)).unwrap();
        // Its disk is gone.
        fs::remove_dir_all(&folder).unwrap();
        assert!(witnessed.append(&closed(0)).unwrap_err().0.contains("witness"));
        assert_eq!(witnessed.entries().unwrap().len(), 1, "recorded, so used up");
    }
}
