//! The record of what was decided, in one file that only grows.

use super::append::{AppendFile, Recovery, Words};
use super::frame::{self, Frame};
use lwe::LogError;
use sha2::{Digest, Sha256};
use std::path::Path;
use trust::decisions::DecisionLog;

const WORDS: Words = Words {
    version: b"TensorGuard decision log 1\n",
    name: "decision log",
    anew: "hide what was decided",
    missing: "If this fleet has decided before, do not make a new one: mount the disk it is on, or restore the newest copy",
    foreign: "if nothing was ever decided, remove it and make a new one; otherwise restore the newest copy",
};

/// A [`DecisionLog`] in a file, locked as long as it is open.
///
/// A record that a crash cut short at the end was never acted upon: [`open`](Self::open) removes it and says so. Any other
/// damage is refused. What the records say is checked by [`trust::decisions::History`], a file cut off at its end against
/// its anchor.
#[derive(Debug)]
pub struct DecisionFile {
    file: AppendFile,
    records: Vec<Vec<u8>>,
    hash: [u8; 32],
}

impl DecisionFile {
    /// Makes an empty log where nothing is yet: once in the life of a fleet.
    ///
    /// # Errors
    /// [`LogError`] if something is there, or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        Ok(Self { file: AppendFile::create(path, &WORDS)?, records: Vec::new(), hash: [0; 32] })
    }

    /// Opens and checks a log.
    ///
    /// # Errors
    /// [`LogError`] if there is none, another process has it, or it is damaged. It is not made anew.
    pub fn open(path: &Path) -> Result<(Self, Recovery), LogError> {
        let (mut file, bytes) = AppendFile::open(path, &WORDS)?;
        let Chain { records, hash, len } = chain(&bytes).map_err(|damage| file.failed(damage))?;
        let recovery = file.keep(len)?;
        Ok((Self { file, records, hash }, recovery))
    }

    /// Reads the records of a log that another process may have open, and changes nothing. The beginning of a record at its end is
    /// left out: it is being written, or a crash cut it short.
    ///
    /// # Errors
    /// [`LogError`] if there is none, or it is damaged.
    pub fn read(path: &Path) -> Result<Vec<Vec<u8>>, LogError> {
        let bytes = AppendFile::read(path, &WORDS)?;
        chain(&bytes).map(|chain| chain.records).map_err(|damage| super::failed(path, damage))
    }
}

/// Whole records, the hash after the last, and the bytes that they take.
struct Chain {
    records: Vec<Vec<u8>>,
    hash: [u8; 32],
    len: usize,
}

fn chain(bytes: &[u8]) -> Result<Chain, String> {
    let mut chain = Chain { records: Vec::new(), hash: [0; 32], len: 0 };
    loop {
        match frame::front(&bytes[chain.len..], &chain.hash) {
            Frame::End | Frame::Torn => return Ok(chain),
            Frame::Whole { payload, hash, length } if hash == after(&chain.hash, payload) => {
                chain.records.push(payload.to_vec());
                (chain.hash, chain.len) = (hash, chain.len + length);
            }
            Frame::Whole { .. } | Frame::Damaged => {
                return Err(format!(
                    "record {} at byte {} is damaged. Keep the file, restore the newest whole copy and check it against its anchor",
                    chain.records.len(),
                    WORDS.version.len() + chain.len
                ));
            }
        }
    }
}

impl DecisionLog for DecisionFile {
    fn records(&mut self) -> Result<Vec<Vec<u8>>, LogError> {
        self.file.check()?;
        Ok(self.records.clone())
    }

    fn append(&mut self, record: &[u8]) -> Result<(), LogError> {
        let hash = after(&self.hash, record);
        let bytes = frame::to_bytes(record, &self.hash, &hash);
        self.file.append(&bytes.ok_or_else(|| self.file.failed("a record of more than 4 GiB"))?)?;
        self.hash = hash;
        self.records.push(record.to_vec());
        Ok(())
    }
}

/// The file's own chain, so that it needs no word of what its records say.
fn after(before: &[u8; 32], record: &[u8]) -> [u8; 32] {
    Sha256::digest([&b"TensorGuard decision"[..], before, record].concat()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use lwe::Head;
    use std::fs;
    use trust::decisions::{Decision, DecisionError, History, record};

    fn registered(number: u8) -> Decision {
        Decision::Registered { thresholds: [number; 32] }
    }

    fn filled(path: &Path) -> Head {
        let mut log = DecisionFile::create(path).unwrap();
        (0..4).map(|number| record(&mut log, None, 0, registered(number)).unwrap()).last().unwrap()
    }

    #[test]
    fn what_was_recorded_is_there_when_opened_again() {
        let scratch = Scratch::new("decision-again");
        let path = scratch.join("log");
        let head = filled(&path);
        let (mut log, recovery) = DecisionFile::open(&path).unwrap();
        assert_eq!(recovery, Recovery::Whole);
        let history = History::read(&mut log, Some(head)).unwrap();
        assert_eq!(history.decisions(), (0..4).map(registered).collect::<Vec<_>>());
        record(&mut log, Some(head), 0, registered(4)).unwrap();
        drop(log);
        assert_eq!(DecisionFile::open(&path).unwrap().0.records().unwrap().len(), 5);
    }

    #[test]
    fn a_torn_last_record_is_removed_and_a_lost_one_missed_by_the_anchor() {
        let scratch = Scratch::new("decision-torn");
        let path = scratch.join("log");
        let head = filled(&path);
        let whole = fs::read(&path).unwrap();
        let last = (whole.len() - WORDS.version.len()) / 4;
        for cut in 1..=last {
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            let (mut log, recovery) = DecisionFile::open(&path).unwrap();
            let (bytes, offset) = ((last - cut) as u64, (whole.len() - last) as u64);
            let torn = Recovery::TornRecordRemoved { bytes, offset };
            assert_eq!(recovery, if cut == last { Recovery::Whole } else { torn });
            assert_eq!(History::read(&mut log, None).unwrap().decisions().len(), 3);
            let missed = DecisionError::CutOff { found: 3, anchored: 4 };
            assert_eq!(History::read(&mut log, Some(head)), Err(missed));
            assert_eq!(record(&mut log, None, 0, registered(3)), Ok(head));
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn damage_before_the_end_is_refused_and_the_file_left_alone() {
        let scratch = Scratch::new("decision-damage");
        let path = scratch.join("log");
        filled(&path);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            assert!(DecisionFile::open(&path).is_err() && DecisionFile::read(&path).is_err(), "byte {at}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn a_log_is_neither_made_over_another_nor_opened_where_none_is_nor_shared() {
        let scratch = Scratch::new("decision-open");
        let path = scratch.join("log");
        assert!(DecisionFile::open(&path).unwrap_err().0.contains("do not make a new one"));
        filled(&path);
        assert!(DecisionFile::create(&path).unwrap_err().0.contains("already"));
        let (mut log, _) = DecisionFile::open(&path).unwrap();
        assert!(DecisionFile::open(&path).unwrap_err().0.contains("another process"));
        assert_eq!(DecisionFile::read(&path).unwrap(), log.records().unwrap(), "who only reads may look");
        fs::remove_file(&path).unwrap();
        assert!(record(&mut log, None, 0, registered(9)).unwrap_err().to_string().contains("cannot look at it"));
    }
}
