//! What must outlive a process: which keys have encrypted, and which attempts were answered. A library has no files, so
//! these are traits; `tensorguard::logs` keeps them in files.

use crate::agreement::Attempt;
use crate::buckets::Drawn;
use crate::hash::hash_fields;
use core::fmt;
use std::collections::HashMap;

/// A log could not be read, or could not promise to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogError(pub String);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for LogError {}

/// What came of [`SealLog::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There was no such entry; now there is.
    New,
    /// There was one, with this content, and it is unchanged.
    Exists([u8; 32]),
}

/// A robot's memory of what it has sealed.
///
/// `create` must be atomic and durable: of two processes that create one name exactly one sees [`Created::New`], and
/// the entry is there after a crash.
pub trait SealLog {
    /// Creates the entry `name`, unless it is there.
    ///
    /// # Errors
    /// [`LogError`] if that cannot be promised; then nothing is sealed.
    fn create(&mut self, name: &[u8; 32], content: &[u8; 32]) -> Result<Created, LogError>;
}

/// The hash of a canary, and whether it was good.
pub(crate) type CanaryVerdict = ([u8; 32], bool);

/// What a key holder has done, one entry after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An answer is about to be given, or was.
    Answered {
        /// To which attempt.
        attempt: Attempt,
        /// Hash of the set of manifests.
        set: [u8; 32],
        /// The updates in it.
        updates: Vec<[u8; 32]>,
    },
    /// An attempt that will get no answer.
    Closed {
        /// Which.
        attempt: Attempt,
    },
    /// A canary was opened.
    Judged {
        /// In which attempt.
        attempt: Attempt,
        /// Which message's.
        message: [u8; 32],
        /// Hash of its bytes.
        canary: [u8; 32],
        /// Whether it was right.
        good: bool,
    },
    /// Buckets were drawn.
    Drawn {
        /// For which attempt.
        attempt: Attempt,
        /// Hash of the robots.
        set: [u8; 32],
        /// How many buckets.
        buckets: u32,
        /// Who is in which follows from this.
        seed: [u8; 32],
    },
}

impl Entry {
    /// The attempt it ends, if it ends one.
    pub(crate) fn settles(&self) -> Option<Attempt> {
        match self {
            Self::Answered { attempt, .. } | Self::Closed { attempt } => Some(*attempt),
            Self::Judged { .. } | Self::Drawn { .. } => None,
        }
    }

    /// The buckets it draws for this attempt.
    pub(crate) fn drawn(&self, of: Attempt) -> Option<Drawn> {
        match self {
            Self::Drawn { attempt, set, buckets, seed } if *attempt == of => {
                Some(Drawn { set: *set, buckets: *buckets, seed: *seed })
            }
            _ => None,
        }
    }

    /// The updates it uses up.
    pub(crate) fn updates(&self) -> &[[u8; 32]] {
        match self {
            Self::Answered { updates, .. } => updates,
            Self::Closed { .. } | Self::Judged { .. } | Self::Drawn { .. } => &[],
        }
    }

    /// The message it judges, and the verdict on its canary.
    pub(crate) fn verdict(&self) -> Option<([u8; 32], CanaryVerdict)> {
        match self {
            Self::Judged { message, canary, good, .. } => Some((*message, (*canary, *good))),
            _ => None,
        }
    }

    fn link(&self, before: &[u8; 32]) -> [u8; 32] {
        match self {
            Self::Answered { attempt: Attempt { round, number }, set, updates } => {
                hash_fields("answered", &[before, round, &number.to_le_bytes(), set, &updates.concat()])
            }
            Self::Closed { attempt: Attempt { round, number } } => {
                hash_fields("closed", &[before, round, &number.to_le_bytes()])
            }
            Self::Judged { attempt: Attempt { round, number }, message, canary, good } => {
                let good = [u8::from(*good)];
                hash_fields("judged", &[before, round, &number.to_le_bytes(), message, canary, &good])
            }
            Self::Drawn { attempt: Attempt { round, number }, set, buckets, seed } => {
                let buckets = buckets.to_le_bytes();
                hash_fields("drawn", &[before, round, &number.to_le_bytes(), set, &buckets, seed])
            }
        }
    }
}

/// Where a log stands: how many entries, and a hash that chains them. Keep one outside the store, and a restored copy is
/// noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Entries so far.
    pub entries: u64,
    /// Chained over all of them.
    pub hash: [u8; 32],
}

impl Head {
    /// Of a log with these entries.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        entries.iter().fold(Self::default(), |head, entry| head.after(entry))
    }

    /// Once `entry` is added.
    #[must_use]
    pub fn after(self, entry: &Entry) -> Self {
        Self { entries: self.entries + 1, hash: entry.link(&self.hash) }
    }
}

/// A key holder's memory of what it has answered. One process at a time.
pub trait AnswerLog {
    /// Everything ever appended, oldest first.
    ///
    /// # Errors
    /// [`LogError`] if it cannot be read whole; then nothing is answered.
    fn entries(&mut self) -> Result<Vec<Entry>, LogError>;

    /// Appends, durably: the entry is there after a crash.
    ///
    /// # Errors
    /// [`LogError`] if that cannot be promised; then nothing is answered.
    fn append(&mut self, entry: &Entry) -> Result<(), LogError>;

    /// Appends entries in this order, durably. A log that waits for its store after each entry should wait once for all. After
    /// a crash in between, the first few of them may be there.
    ///
    /// # Errors
    /// [`LogError`] if that cannot be promised; then nothing is answered.
    fn append_all(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        entries.iter().try_for_each(|entry| self.append(entry))
    }
}

/// Both logs, in memory: forgets everything with the process, so **a restart may encrypt or answer twice**. For tests and
/// for programs whose keys live no longer than they do.
#[derive(Clone, Debug, Default)]
pub struct ForgetfulLog {
    sealed: HashMap<[u8; 32], [u8; 32]>,
    answered: Vec<Entry>,
}

impl SealLog for ForgetfulLog {
    fn create(&mut self, name: &[u8; 32], content: &[u8; 32]) -> Result<Created, LogError> {
        match self.sealed.get(name) {
            Some(content) => Ok(Created::Exists(*content)),
            None => {
                self.sealed.insert(*name, *content);
                Ok(Created::New)
            }
        }
    }
}

impl AnswerLog for ForgetfulLog {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        Ok(self.answered.clone())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.answered.push(entry.clone());
        Ok(())
    }
}
