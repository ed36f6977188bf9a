//! What can go wrong.

use core::fmt;

/// What can go wrong.
#[derive(Debug)]
pub enum Fault {
    /// Sizes that no workload has.
    Config(String),
    /// An adapter or an update of another shape.
    Length {
        /// Values that the configuration asks for.
        expected: usize,
        /// Values there were.
        found: usize,
    },
    /// Bytes that are not what they should be.
    Malformed(String),
    /// Training led to values that are not finite.
    Diverged,
    /// Whoever asked for it does not want it any more.
    Stopped,
    /// A file could not be read or written.
    File(std::io::Error),
    /// The training framework failed.
    Framework(candle_core::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(what) | Self::Malformed(what) => f.write_str(what),
            Self::Length { expected, found } => {
                write!(f, "{found} values where the width and rank of the workload ask for {expected}")
            }
            Self::Diverged => f.write_str("training led to values that are not finite: start from a smaller adapter"),
            Self::Stopped => f.write_str("training was stopped"),
            Self::File(error) => write!(f, "the corpus cannot be read or written: {error}"),
            Self::Framework(error) => write!(f, "the training framework failed: {error}"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Framework(error) => Some(error),
            Self::File(error) => Some(error),
            _ => None,
        }
    }
}

impl From<candle_core::Error> for Fault {
    fn from(error: candle_core::Error) -> Self {
        Self::Framework(error)
    }
}

impl From<safetensors::SafeTensorError> for Fault {
    fn from(error: safetensors::SafeTensorError) -> Self {
        Self::Malformed(format!("not the weights that were asked for: {error}"))
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::File(error)
    }
}
