//! Why the command stopped, and the exit code that says so to scripts.

use std::fmt;

/// A reason to stop. Each says what was found and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something outside went wrong: a file, a program, the network. Exit code 1.
    Internal(String),
    /// The command line asks for what cannot be. Exit code 2.
    Usage(String),
    /// A filter selects nothing. Exit code 4.
    Nothing(String),
    /// The machine is too noisy for an answer. Exit code 5.
    Unfit(String),
    /// A kernel or a peer computed something wrong. Exit code 8; it wins over all others.
    Wrong(String),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Internal(_) => 1,
            Self::Usage(_) => 2,
            Self::Nothing(_) => 4,
            Self::Unfit(_) => 5,
            Self::Wrong(_) => 8,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal(why) | Self::Usage(why) | Self::Nothing(why) => f.write_str(why),
            Self::Unfit(why) => write!(f, "no answer: {why}"),
            Self::Wrong(why) => write!(f, "WRONG RESULT: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<kernels::Fault> for Failure {
    fn from(fault: kernels::Fault) -> Self {
        Self::Internal(fault.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("JSON: {error}"))
    }
}
