//! A file that only grows, locked as long as it is open: what the answer log and the decision log have in common.

use super::failed;
use crate::whole_file::{folder_of, sync_folder};
use lwe::LogError;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a log begins, and what its owner is told when something is wrong.
#[derive(Debug)]
pub(super) struct Words {
    /// The first line of the file.
    pub(super) version: &'static [u8],
    /// What it is.
    pub(super) name: &'static str,
    /// What a new one in its place would do.
    pub(super) anew: &'static str,
    /// What to do where there is none.
    pub(super) missing: &'static str,
    /// What to do where something else is.
    pub(super) foreign: &'static str,
}

#[derive(Debug)]
pub(super) struct AppendFile {
    path: PathBuf,
    file: File,
    length: u64,
    state: State,
    words: &'static Words,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    /// An append failed: what the file holds is known again when it is opened.
    Unknown,
}

/// What was found at the end of a log when it was opened. To be shown to the operator.
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
            Self::Whole => f.write_str("the log is whole"),
            Self::TornRecordRemoved { bytes, offset } => write!(
                f,
                "the log's last record was cut short by a crash, before anybody acted on it: its {bytes} bytes from {offset} on were removed"
            ),
        }
    }
}

impl AppendFile {
    /// Makes one where nothing is yet.
    pub(super) fn create(path: &Path, words: &'static Words) -> Result<Self, LogError> {
        let name = words.name;
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(path, format_args!("is there already: open it, a new {name} in its place would {}", words.anew))
            }
            _ => failed(path, format_args!("cannot make the {name}: {error}")),
        };
        let file = options().create_new(true).open(path).map_err(cannot)?;
        lock(&file, path, words)?;
        let written = (&file).write_all(words.version).and_then(|()| file.sync_all());
        written.and_then(|()| sync_folder(folder_of(path))).map_err(cannot)?;
        let length = words.version.len() as u64;
        Ok(Self { path: path.to_owned(), file, length, state: State::Sound, words })
    }

    /// Opens one, and gives what follows its first line. It may not be appended to before [`keep`](Self::keep).
    pub(super) fn open(path: &Path, words: &'static Words) -> Result<(Self, Vec<u8>), LogError> {
        let file = options().open(path).map_err(|error| {
            failed(path, format_args!("no {} can be opened: {error}. {}", words.name, words.missing))
        })?;
        lock(&file, path, words)?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes).map_err(|error| failed(path, format_args!("cannot read it: {error}")))?;
        let Some(records) = bytes.strip_prefix(words.version) else { return Err(foreign(path, words)) };
        let (records, length) = (records.to_vec(), bytes.len() as u64);
        Ok((Self { path: path.to_owned(), file, length, state: State::Unknown, words }, records))
    }

    /// Reads one that another process may have open: what follows its first line, as it stands.
    pub(super) fn read(path: &Path, words: &'static Words) -> Result<Vec<u8>, LogError> {
        let bytes = fs::read(path)
            .map_err(|error| failed(path, format_args!("no {} can be read: {error}. {}", words.name, words.missing)))?;
        let records = bytes.strip_prefix(words.version);
        records.map(<[u8]>::to_vec).ok_or_else(|| foreign(path, words))
    }

    /// Where a byte of what [`open`](Self::open) gave lies in the file.
    pub(super) fn offset(&self, of: usize) -> u64 {
        (self.words.version.len() + of) as u64
    }

    /// Keeps so many bytes after the first line and removes the rest, which is the beginning of a record.
    pub(super) fn keep(&mut self, records_len: usize) -> Result<Recovery, LogError> {
        let length = self.offset(records_len);
        let torn = self.length - length;
        // A whole record may not be synced yet. Nobody acts on it before it is.
        let cut = if torn > 0 { self.file.set_len(length) } else { Ok(()) };
        let mended = cut.and_then(|()| self.file.sync_all()).and_then(|()| sync_folder(folder_of(&self.path)));
        mended.map_err(|error| failed(&self.path, format_args!("cannot make it durable: {error}")))?;
        (self.length, self.state) = (length, State::Sound);
        Ok(match torn {
            0 => Recovery::Whole,
            bytes => Recovery::TornRecordRemoved { bytes, offset: length },
        })
    }

    /// Whether the file is still what this process left: the same file, of the same length.
    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.state == State::Unknown {
            return Err(failed(&self.path, "an append failed before: mend the cause and open the log again"));
        }
        let id = |data: &fs::Metadata| (data.dev(), data.ino(), data.len());
        let both = self.file.metadata().and_then(|mine| Ok((id(&mine), id(&fs::metadata(&self.path)?))));
        let (mine, there) = both.map_err(|error| failed(&self.path, format_args!("cannot look at it: {error}")))?;
        if mine != there || mine.2 != self.length {
            let name = self.words.name;
            let found = format_args!(
                "somebody else replaced or changed the {name} while it was open: find out who, then open it again"
            );
            return Err(failed(&self.path, found));
        }
        Ok(())
    }

    /// Appends whole records, durably.
    pub(super) fn append(&mut self, records: &[u8]) -> Result<(), LogError> {
        self.check()?;
        self.state = State::Unknown;
        let written = self.file.write_all(records).and_then(|()| self.file.sync_all());
        written.map_err(|error| failed(&self.path, format_args!("cannot append: {error}")))?;
        self.state = State::Sound;
        self.length += records.len() as u64;
        Ok(())
    }

    /// An error about the file.
    pub(super) fn failed(&self, what: impl fmt::Display) -> LogError {
        failed(&self.path, what)
    }
}

fn foreign(path: &Path, words: &Words) -> LogError {
    failed(path, format_args!("no {} of this version, or making it was cut short: {}", words.name, words.foreign))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    options
}

fn lock(file: &File, path: &Path, words: &Words) -> Result<(), LogError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            failed(path, format_args!("another process has this {} open: one at a time", words.name))
        }
        TryLockError::Error(error) => failed(path, format_args!("cannot be locked: {error}. Keep it on a local disk")),
    })
}
