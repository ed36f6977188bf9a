//! What must outlive a process, in files: which keys have sealed ([`SealFolder`], a robot's) and which attempts were answered
//! ([`AnswerFile`], a key holder's), and what was decided about candidates ([`DecisionFile`]).
//!
//! All are made once with `create` and then opened: a log that is missing is an error, never an empty log. All sync before
//! they answer, and whatever they cannot vouch for counts as used: a robot that loses power seals at most once, a key holder
//! that is killed answers at most once.
//!
//! **Never restore the first two from a backup**: an older copy has forgotten what happened since. An older answer log is noticed
//! if its [`Head`](lwe::Head) is kept outside its store, from [`AnswerFile::head`], and given to [`lwe::answer`]. An older seal
//! folder is not noticed: after a restore, delete the robot's keys, pads and unsent uploads, and let it join anew.
//!
//! On network file systems locks, exclusive creation and syncing may not do what they say: use a local disk.
//!
//! ```
//! use lwe::{AnswerLog, Attempt, Created, SealLog, close};
//! use tensorguard::logs::{AnswerFile, Recovery, SealFolder};
//! # let folder = std::env::temp_dir().join(format!("tensorguard-logs-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let (seals, answers) = (folder.join("seals"), folder.join("answers"));
//!
//! // Robot: given to `Agreement::encrypt` or `Round::encrypt`.
//! let mut log = SealFolder::create(&seals)?;
//! assert_eq!(log.create(&[1; 32], &[2; 32])?, Created::New);
//! drop(log);
//! let mut log = SealFolder::open(&seals)?;
//! assert_eq!(log.create(&[1; 32], &[3; 32])?, Created::Exists([2; 32]));
//!
//! // Key holder: given to `lwe::answer` or `Round::open`.
//! let attempt = Attempt { round: [7; 32], number: 0 };
//! let mut log = AnswerFile::create(&answers)?;
//! close(attempt, &mut log)?;
//! let witness = log.head();
//! drop(log);
//! let (mut log, recovery) = AnswerFile::open(&answers)?;
//! assert_eq!(recovery, Recovery::Whole);
//! assert_eq!(log.head(), witness);
//! assert!(close(attempt, &mut log).is_err());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod append;
mod decision;
mod frame;
mod record;
mod seal;

pub use answer::AnswerFile;
pub use append::Recovery;
pub use decision::DecisionFile;
pub use seal::SealFolder;

use lwe::LogError;
use std::fmt;
use std::path::Path;

/// An error about a path.
fn failed(path: &Path, what: impl fmt::Display) -> LogError {
    LogError(format!("{}: {what}", path.display()))
}
