//! A key holder's memory of what it has answered: one file that only grows.

use super::append::{AppendFile, Recovery, Words};
use super::record::{Front, front, to_bytes};
use lwe::{AnswerLog, Entry, Head, LogError};
use std::path::Path;

const WORDS: Words = Words {
    version: b"TensorGuard answer log 1\n",
    name: "answer log",
    anew: "forget what was answered",
    missing: "If this key has answered before, do not make a new one: mount the disk it is on, or use new keys",
    foreign: "if its key never answered, remove it and make a new one; otherwise restore the newest copy, or use new keys",
};

/// An [`AnswerLog`] in a file, locked as long as it is open.
///
/// A record that a crash cut short at the end was never followed by an answer: [`open`](Self::open) removes it and says so. Any
/// other damage is refused. A file that lost whole records at its end looks like an older one: only a witness shows that, see
/// [`head`](Self::head).
#[derive(Debug)]
pub struct AnswerFile {
    file: AppendFile,
    entries: Vec<Entry>,
    head: Head,
}

impl AnswerFile {
    /// Makes an empty log where nothing is yet: once in the life of a key holder's key.
    ///
    /// # Errors
    /// [`LogError`] if something is there, or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        Ok(Self { file: AppendFile::create(path, &WORDS)?, entries: Vec::new(), head: Head::default() })
    }

    /// Opens and checks a log.
    ///
    /// # Errors
    /// [`LogError`] if there is none, another process has it, or it is damaged. It is not made anew: that would forget what
    /// was answered.
    pub fn open(path: &Path) -> Result<(Self, Recovery), LogError> {
        let (mut file, bytes) = AppendFile::open(path, &WORDS)?;
        let (mut entries, mut head, mut at) = (Vec::new(), Head::default(), 0);
        loop {
            match front(&bytes[at..], &head) {
                Front::End | Front::Torn => break,
                Front::Record(entry, length) => {
                    head = head.after(&entry);
                    entries.push(entry);
                    at += length;
                }
                Front::Damaged => {
                    return Err(file.failed(format_args!(
                        "record {} at byte {} is damaged, so what was answered is not known and nothing will be. Keep the file, restore the newest whole copy and check it against the witness; without one, use new keys",
                        entries.len(),
                        file.offset(at)
                    )));
                }
            }
        }
        let recovery = file.keep(at)?;
        Ok((Self { file, entries, head }, recovery))
    }

    /// Where the log stands. Keep it where a restore of the log does not reach, and give it to [`lwe::answer`] as the witness.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }
}

impl AnswerLog for AnswerFile {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        self.file.check()?;
        Ok(self.entries.clone())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.append_all(std::slice::from_ref(entry))
    }

    fn append_all(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        self.file.check()?;
        if entries.is_empty() {
            return Ok(());
        }
        let (mut records, mut head) = (Vec::new(), self.head);
        for entry in entries {
            let record = to_bytes(entry, &head).ok_or_else(|| self.file.failed("an entry of more than 4 GiB"))?;
            records.extend(record);
            head = head.after(entry);
        }
        self.file.append(&records)?;
        self.head = head;
        self.entries.extend_from_slice(entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::entries;
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    fn filled(path: &Path) -> AnswerFile {
        let mut log = AnswerFile::create(path).unwrap();
        entries().iter().for_each(|entry| log.append(entry).unwrap());
        log
    }

    #[test]
    fn what_was_appended_is_there_when_opened_again() {
        let scratch = Scratch::new("answer-again");
        let path = scratch.join("log");
        let mut log = filled(&path);
        assert_eq!((log.head(), log.entries()), (Head::of(&entries()), Ok(entries())));
        drop(log);
        let (mut log, recovery) = AnswerFile::open(&path).unwrap();
        assert_eq!((log.head(), log.entries(), recovery), (Head::of(&entries()), Ok(entries()), Recovery::Whole));
        log.append(&entries()[3]).unwrap();
        drop(log);
        assert_eq!(AnswerFile::open(&path).unwrap().0.head().entries, entries().len() as u64 + 1);
    }

    #[test]
    fn entries_appended_together_are_those_appended_one_by_one() {
        let scratch = Scratch::new("answer-together");
        let (one_by_one, together) = (scratch.join("one"), scratch.join("all"));
        drop(filled(&one_by_one));
        let mut log = AnswerFile::create(&together).unwrap();
        log.append_all(&entries()[..2]).unwrap();
        log.append_all(&[]).unwrap();
        log.append_all(&entries()[2..]).unwrap();
        assert_eq!((log.head(), log.entries()), (Head::of(&entries()), Ok(entries())));
        assert_eq!(fs::read(&together).unwrap(), fs::read(&one_by_one).unwrap());
    }

    #[test]
    fn a_torn_last_record_is_removed_and_the_rest_kept() {
        let scratch = Scratch::new("answer-torn");
        let path = scratch.join("log");
        drop(filled(&path));
        let whole = fs::read(&path).unwrap();
        let all = entries();
        let (torn, kept) = all.split_last().unwrap();
        let last = to_bytes(torn, &Head::of(kept)).unwrap().len();
        for cut in 1..last {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (mut log, recovery) = AnswerFile::open(&path).unwrap();
            let (bytes, offset) = ((last - cut) as u64, (whole.len() - last) as u64);
            assert_eq!(recovery, Recovery::TornRecordRemoved { bytes, offset });
            assert_eq!(log.entries().unwrap(), kept);
            log.append(torn).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn damage_before_the_end_is_refused_and_the_file_left_alone() {
        let scratch = Scratch::new("answer-damage");
        let path = scratch.join("log");
        drop(filled(&path));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let error = AnswerFile::open(&path).expect_err("damaged");
            assert!(error.0.contains("new keys"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
        // A record taken out of the middle, and zeros at the end.
        let (first, second) = (WORDS.version.len(), to_bytes(&entries()[0], &Head::default()).unwrap().len());
        fs::write(&path, [&whole[..first], &whole[first + second..]].concat()).unwrap();
        assert!(AnswerFile::open(&path).is_err());
        fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
        assert!(AnswerFile::open(&path).is_err());
    }

    #[test]
    fn one_process_at_a_time() {
        let scratch = Scratch::new("answer-lock");
        let path = scratch.join("log");
        let log = AnswerFile::create(&path).unwrap();
        assert!(AnswerFile::open(&path).unwrap_err().0.contains("another process"));
        drop(log);
        assert!(AnswerFile::open(&path).is_ok());
    }

    #[test]
    fn a_log_replaced_or_changed_while_open_is_noticed() {
        let scratch = Scratch::new("answer-replaced");
        let path = scratch.join("log");
        let mut log = filled(&path);
        let copy = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(log.append(&entries()[3]).is_err());
        fs::write(&path, &copy).unwrap();
        assert!(log.entries().unwrap_err().0.contains("somebody else"));
        let (mut log, _) = AnswerFile::open(&path).unwrap();
        fs::write(&path, &copy[..copy.len() - 1]).unwrap();
        assert!(log.append(&entries()[3]).unwrap_err().0.contains("somebody else"));
    }

    #[test]
    fn a_log_is_neither_made_over_another_nor_opened_where_none_is() {
        let scratch = Scratch::new("answer-open");
        let path = scratch.join("log");
        assert!(AnswerFile::open(&path).unwrap_err().0.contains("do not make a new one"));
        drop(filled(&path));
        assert!(AnswerFile::create(&path).unwrap_err().0.contains("already"));
        fs::write(&path, b"").unwrap();
        assert!(AnswerFile::open(&path).is_err());
    }
}
