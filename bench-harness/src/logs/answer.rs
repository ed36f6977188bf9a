//! A key holder's memory of what it has answered: one file that only grows.

use super::failed;
use super::record::{Front, front, to_bytes};
use crate::whole_file::{folder_of, sync_folder};
use lwe::{AnswerLog, Entry, Head, LogError};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const VERSION: &[u8] = b"TensorGuard answer log 1\n";

/// An [`AnswerLog`] in a file, locked as long as it is open.
///
/// A record that a crash cut short at the end was never followed by an answer: [`open`](Self::open) removes it and says so. Any
/// other damage is refused. A file that lost whole records at its end looks like an older one: only a witness shows that, see
/// [`head`](Self::head).
#[derive(Debug)]
pub struct AnswerFile {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    head: Head,
    length: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    /// An append failed: what the file holds is known again when it is opened.
    Unknown,
}

/// What [`AnswerFile::open`] found at the end of the file. To be shown to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recovery {
    /// A whole record, or none.
    Whole,
    /// The beginning of a record, which was removed.
    TornRecordRemoved {
        /// Its bytes.
        bytes: u64,
        /// Where it began.
        offset: u64,
    },
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the answer log is whole"),
            Self::TornRecordRemoved { bytes, offset } => write!(
                f,
                "the answer log's last record was cut short by a crash, before its answer was given: its {bytes} bytes from {offset} on were removed"
            ),
        }
    }
}

impl AnswerFile {
    /// Makes an empty log where nothing is yet: once in the life of a key holder's key.
    ///
    /// # Errors
    /// [`LogError`] if something is there, or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(path, "is there already: open it, a new answer log in its place would forget what was answered")
            }
            _ => failed(path, format_args!("cannot make an answer log: {error}")),
        };
        let file = options().create_new(true).open(path).map_err(cannot)?;
        lock(&file, path)?;
        let written = (&file).write_all(VERSION).and_then(|()| file.sync_all());
        written.and_then(|()| sync_folder(folder_of(path))).map_err(cannot)?;
        let (path, length) = (path.to_owned(), VERSION.len() as u64);
        Ok(Self { path, file, entries: Vec::new(), head: Head::default(), length, state: State::Sound })
    }

    /// Opens and checks a log.
    ///
    /// # Errors
    /// [`LogError`] if there is none, another process has it, or it is damaged. It is not made anew: that would forget what
    /// was answered.
    pub fn open(path: &Path) -> Result<(Self, Recovery), LogError> {
        let file = options().open(path).map_err(|error| {
            failed(path, format_args!("no answer log can be opened: {error}. If this key has answered before, do not make a new one: mount the disk it is on, or use new keys"))
        })?;
        lock(&file, path)?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).map_err(|error| failed(path, format_args!("cannot read it: {error}")))?;
        if !bytes.starts_with(VERSION) {
            return Err(failed(
                path,
                "no answer log of this version, or making it was cut short: if its key never answered, remove it and make a new one; otherwise restore the newest copy, or use new keys",
            ));
        }
        let (entries, head, length) = replay(path, &bytes)?;
        let torn = (bytes.len() - length) as u64;
        let length = length as u64;
        // A whole record may not be synced yet. Nothing is answered on it before it is.
        let cut = if torn > 0 { file.set_len(length) } else { Ok(()) };
        let mended = cut.and_then(|()| file.sync_all()).and_then(|()| sync_folder(folder_of(path)));
        mended.map_err(|error| failed(path, format_args!("cannot make it durable: {error}")))?;
        let recovery = match torn {
            0 => Recovery::Whole,
            bytes => Recovery::TornRecordRemoved { bytes, offset: length },
        };
        Ok((Self { path: path.to_owned(), file, entries, head, length, state: State::Sound }, recovery))
    }

    /// Where the log stands. Keep it where a restore of the log does not reach, and give it to [`lwe::answer`] as the witness.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whether the file is still what this process left: the same file, of the same length.
    fn check(&self) -> Result<(), LogError> {
        if self.state == State::Unknown {
            return Err(failed(&self.path, "an append failed before: mend the cause and open the log again"));
        }
        let id = |data: &fs::Metadata| (data.dev(), data.ino(), data.len());
        let both = self.file.metadata().and_then(|mine| Ok((id(&mine), id(&fs::metadata(&self.path)?))));
        let (mine, there) = both.map_err(|error| failed(&self.path, format_args!("cannot look at it: {error}")))?;
        if mine != there || mine.2 != self.length {
            return Err(failed(
                &self.path,
                "somebody else replaced or changed the answer log while it was open: find out who, then open it again",
            ));
        }
        Ok(())
    }
}

impl AnswerLog for AnswerFile {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        self.check()?;
        Ok(self.entries.clone())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.append_all(std::slice::from_ref(entry))
    }

    fn append_all(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        self.check()?;
        if entries.is_empty() {
            return Ok(());
        }
        let (mut records, mut head) = (Vec::new(), self.head);
        for entry in entries {
            let record = to_bytes(entry, &head).ok_or_else(|| failed(&self.path, "an entry of more than 4 GiB"))?;
            records.extend(record);
            head = head.after(entry);
        }
        self.state = State::Unknown;
        let written = self.file.write_all(&records).and_then(|()| self.file.sync_all());
        written.map_err(|error| failed(&self.path, format_args!("cannot append: {error}")))?;
        self.state = State::Sound;
        self.length += records.len() as u64;
        self.head = head;
        self.entries.extend_from_slice(entries);
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => failed(path, "another process has this answer log open: one key holder at a time"),
        TryLockError::Error(error) => failed(path, format_args!("cannot be locked: {error}. Keep it on a local disk")),
    })
}

/// All entries, and where the whole records end.
fn replay(path: &Path, bytes: &[u8]) -> Result<(Vec<Entry>, Head, usize), LogError> {
    let (mut entries, mut head, mut at) = (Vec::new(), Head::default(), VERSION.len());
    loop {
        match front(&bytes[at..], &head) {
            Front::End | Front::Torn => return Ok((entries, head, at)),
            Front::Record(entry, length) => {
                head = head.after(&entry);
                entries.push(entry);
                at += length;
            }
            Front::Damaged => {
                return Err(failed(
                    path,
                    format_args!(
                        "record {} at byte {at} is damaged, so what was answered is not known and nothing will be. Keep the file, restore the newest whole copy and check it against the witness; without one, use new keys",
                        entries.len()
                    ),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::entries;
    use super::*;
    use crate::logs::scratch::Scratch;

    fn filled(path: &Path) -> AnswerFile {
        let mut log = AnswerFile::create(path).unwrap();
        entries().iter().for_each(|entry| log.append(entry).unwrap());
        log
    }

    #[test]
    fn what_was_appended_is_there_when_opened_again() {
        let scratch = Scratch::new("answer-again");
        let path = scratch.path("log");
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
        let (one_by_one, together) = (scratch.path("one"), scratch.path("all"));
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
        let path = scratch.path("log");
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
        let path = scratch.path("log");
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
        let (first, second) = (VERSION.len(), to_bytes(&entries()[0], &Head::default()).unwrap().len());
        fs::write(&path, [&whole[..first], &whole[first + second..]].concat()).unwrap();
        assert!(AnswerFile::open(&path).is_err());
        fs::write(&path, [&whole[..], &[0; 100]].concat()).unwrap();
        assert!(AnswerFile::open(&path).is_err());
    }

    #[test]
    fn one_process_at_a_time() {
        let scratch = Scratch::new("answer-lock");
        let path = scratch.path("log");
        let log = AnswerFile::create(&path).unwrap();
        assert!(AnswerFile::open(&path).unwrap_err().0.contains("another process"));
        drop(log);
        assert!(AnswerFile::open(&path).is_ok());
    }

    #[test]
    fn a_log_replaced_or_changed_while_open_is_noticed() {
        let scratch = Scratch::new("answer-replaced");
        let path = scratch.path("log");
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
        let path = scratch.path("log");
        assert!(AnswerFile::open(&path).unwrap_err().0.contains("do not make a new one"));
        drop(filled(&path));
        assert!(AnswerFile::create(&path).unwrap_err().0.contains("already"));
        fs::write(&path, b"").unwrap();
        assert!(AnswerFile::open(&path).is_err());
    }
}
