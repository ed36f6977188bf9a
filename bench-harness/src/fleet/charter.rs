//! What a fleet's owner decides once: in the authority's folder, and copied into each party's.

use super::failed;
use crate::failure::Failure;
use fleet_client::protocol::{Id, Pins, Terms};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The file.
pub const NAME: &str = "fleet.json";

/// What all parties of a fleet are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charter {
    /// The fleet's name.
    pub fleet: String,
    /// Values in an update.
    pub values: u64,
    /// Bits of a value on the grid.
    pub bits: u32,
    /// The largest magnitude of a value.
    pub clip: f32,
    /// The fewest robots in a mean.
    pub least: u64,
    /// What robots run before the first round: 64 hexadecimal digits.
    pub model: String,
    /// The fingerprint of the key holder's key: 64 hexadecimal digits.
    pub holder: String,
}

impl Charter {
    /// Reads it from a party's folder.
    ///
    /// # Errors
    /// [`Failure::Usage`] says what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(NAME);
        let wrong = |what: &dyn std::fmt::Display| {
            Failure::Usage(format!("{}: {what}. `tensorguard authority create` writes it", path.display()))
        };
        let text = fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let charter: Self = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        charter.terms(charter.least, charter.least).round().map_err(|error| wrong(&error))?;
        Ok(charter)
    }

    /// Writes it into a folder.
    ///
    /// # Errors
    /// [`Failure::Internal`].
    pub fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(NAME);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).map_err(|error| failed(format_args!("{}: {error}", path.display())))
    }

    /// The terms of its first round.
    #[must_use]
    pub fn terms(&self, quorum: u64, planned: u64) -> Terms {
        let id = |text: &str| Id::parse(text).unwrap_or_default();
        Terms {
            fleet: self.fleet.clone(),
            round: 0,
            attempt: 0,
            model: id(&self.model),
            holder: id(&self.holder),
            length: self.values,
            bits: self.bits,
            clip: self.clip,
            planned,
            quorum,
            least: self.least,
        }
    }

    /// What a robot pins of it.
    #[must_use]
    pub fn pins(&self) -> Pins {
        let terms = self.terms(self.least, self.least);
        Pins { fleet: terms.fleet, holder: terms.holder, length: self.values, most_clip: self.clip, least: self.least }
    }
}
