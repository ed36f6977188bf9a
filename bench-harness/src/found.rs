//! Something that is there, or the reason why not.

use serde::Serialize;
use std::fmt;

/// Something that is there, or the reason why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub present: bool,
    /// What it is or is for; or why it is absent and what would help.
    pub note: String,
}

impl Found {
    /// It is there.
    #[must_use]
    pub fn present(name: impl Into<String>, note: impl Into<String>) -> Self {
        Self { name: name.into(), present: true, note: note.into() }
    }

    /// It is not, and why.
    #[must_use]
    pub fn absent(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), present: false, note: why.into() }
    }

    /// Either of them.
    #[must_use]
    pub fn of(name: &str, found: Result<String, String>) -> Self {
        match found {
            Ok(note) => Self::present(name, note),
            Err(why) => Self::absent(name, why),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.present { "present" } else { "absent " };
        let line = format!("{state}  {:16} {}", self.name, self.note);
        f.write_str(line.trim_end())
    }
}
