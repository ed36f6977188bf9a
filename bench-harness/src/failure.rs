//! Why the command stopped, and the exit code that says so to scripts.

use std::fmt;

/// A reason to stop. Each says what was found and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Something outside went wrong: a file, a program, the network. Exit code 1.
    Internal(String),
    /// The command line asks for what cannot be. Exit code 2.
    Usage(String),
    /// Something became slower, larger or different than the base allows. Exit code 3.
    Regression(String),
    /// A filter selects nothing. Exit code 4.
    Nothing(String),
    /// There is no answer: the machine is too noisy, or a check could not prove that it would notice. Exit code 5.
    Unfit(String),
    /// Two results come from different machines, corpora or configurations. Exit code 6.
    Incomparable(String),
    /// Figures are not of the provenance that was demanded. Exit code 7.
    Unmet(String),
    /// A kernel or a peer computed something wrong. Exit code 8; it wins over all others.
    Wrong(String),
    /// Stopped by Ctrl-C; what was measured is kept, and the text says how to resume. Exit code 130.
    Interrupted(String),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Internal(_) => 1,
            Self::Usage(_) => 2,
            Self::Regression(_) => 3,
            Self::Nothing(_) => 4,
            Self::Unfit(_) => 5,
            Self::Incomparable(_) => 6,
            Self::Unmet(_) => 7,
            Self::Wrong(_) => 8,
            Self::Interrupted(_) => 130,
        }
    }

    /// What to end with where two things failed: a wrong result before all others, else what came first.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Wrong(_), _) => self,
            (_, Self::Wrong(_)) => other,
            _ => self,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Internal(why) | Self::Usage(why) | Self::Nothing(why) => f.write_str(why),
            Self::Regression(why) => write!(f, "REGRESSION: {why}"),
            Self::Unfit(why) => write!(f, "no answer: {why}"),
            Self::Incomparable(why) => write!(f, "not comparable: {why}"),
            Self::Unmet(why) => write!(f, "provenance: {why}"),
            Self::Wrong(why) => write!(f, "WRONG RESULT: {why}"),
            Self::Interrupted(why) => write!(f, "interrupted: {why}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_result_wins_over_whatever_else_failed() {
        let (wrong, slow) = (Failure::Wrong("a".into()), Failure::Regression("b".into()));
        assert_eq!(wrong.clone().or(slow.clone()).code(), 8);
        assert_eq!(slow.clone().or(wrong).code(), 8);
        assert_eq!(slow.or(Failure::Unfit("c".into())).code(), 3);
    }
}
