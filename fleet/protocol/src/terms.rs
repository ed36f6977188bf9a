//! The terms of a round as they travel, and what they must be for anyone to act on them.

use crate::coding::Id;
use core::fmt;
use folding::lwe::{CHUNK_LEN, KeyModel, MOST_MESSAGES};
use folding::{Round, RoundError, RoundTerms};
use minicbor::{CborLen, Decode, Encode};

/// The longest upload anyone takes: ten megabytes of fp32 are five of these.
pub const MOST_UPLOAD_LEN: usize = 256 << 20;
/// The longest name of a fleet.
const MOST_FLEET_LEN: usize = 64;
/// Values that give no more than [`MOST_UPLOAD_LEN`]: looked at before anything is computed from them.
const MOST_LENGTH: u64 = 100_000_000;

/// What all parties of an attempt at a round agree on. The server proposes them; robots and key holder compare them with what they
/// were given when they joined, and whatever differs between two parties gives noise, never a wrong mean.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct Terms {
    /// Which fleet.
    #[n(0)]
    pub fleet: String,
    /// Number of the round.
    #[n(1)]
    pub round: u64,
    /// Number of the attempt at it, from 0.
    #[n(2)]
    pub attempt: u32,
    /// What robots train on: the package or base model that the update is a change of.
    #[n(3)]
    pub model: Id,
    /// Fingerprint of the key holder's key.
    #[n(4)]
    pub holder: Id,
    /// Values in an update.
    #[n(5)]
    pub length: u64,
    /// Bits of a value on the grid.
    #[n(6)]
    pub bits: u32,
    /// The largest magnitude of a value.
    #[n(7)]
    pub clip: f32,
    /// The most robots.
    #[n(8)]
    pub planned: u64,
    /// With so many uploads the round closes at once.
    #[n(9)]
    pub quorum: u64,
    /// With fewer at the deadline there is no mean.
    #[n(10)]
    pub least: u64,
}

#[cfg(test)]
impl Terms {
    /// Terms that everybody accepts.
    pub(crate) fn of_a_test() -> Self {
        Self {
            fleet: "arms".to_owned(),
            round: 3,
            attempt: 0,
            model: Id([1; 32]),
            holder: Id([2; 32]),
            length: 100,
            bits: 8,
            clip: 0.5,
            planned: 20,
            quorum: 18,
            least: 16,
        }
    }
}

/// Why nobody acts on these terms.
#[derive(Clone, Debug, PartialEq)]
pub enum TermsError {
    /// A name of a fleet that is empty or too long.
    Fleet(usize),
    /// More values, or a longer upload, than anyone takes.
    Length(u64),
    /// Not `2 <= least <= quorum <= planned`.
    Counts,
    /// The scheme does not take them.
    Round(RoundError),
}

impl fmt::Display for TermsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet(len) => write!(f, "a fleet's name of {len} bytes: must be 1 to {MOST_FLEET_LEN}"),
            Self::Length(length) => {
                write!(f, "{length} values: an upload may be {MOST_UPLOAD_LEN} bytes, about {MOST_LENGTH} values")
            }
            Self::Counts => {
                f.write_str("must be 2 <= least <= quorum <= planned: lower the first, or raise the others")
            }
            Self::Round(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TermsError {}

impl Terms {
    /// The round that everything is computed from.
    ///
    /// # Errors
    /// [`TermsError`] says what is wrong with them.
    pub fn round(&self) -> Result<Round, TermsError> {
        self.check()?;
        let terms = RoundTerms {
            bits: self.bits,
            fleet: self.fleet.as_bytes(),
            model: self.model.0,
            round: self.round,
            attempt: self.attempt,
            ..RoundTerms::new(self.length as usize, self.planned, self.clip, KeyModel::OneMessage(self.holder.0))
        };
        let round = Round::new(&terms).map_err(TermsError::Round)?;
        if round.agreement().upload_len() > MOST_UPLOAD_LEN {
            return Err(TermsError::Length(self.length));
        }
        Ok(round)
    }

    /// What can be seen without computing anything from them.
    pub(crate) fn check(&self) -> Result<(), TermsError> {
        if self.fleet.is_empty() || self.fleet.len() > MOST_FLEET_LEN {
            return Err(TermsError::Fleet(self.fleet.len()));
        }
        if self.length > MOST_LENGTH {
            return Err(TermsError::Length(self.length));
        }
        let counts = [2, self.least, self.quorum, self.planned, MOST_MESSAGES];
        if !counts.is_sorted() {
            return Err(TermsError::Counts);
        }
        Ok(())
    }
}

/// Bytes of an upload that lie under the root its robot signs: canary and body.
pub(crate) fn stream_len(round: &Round) -> usize {
    let agreement = round.agreement();
    agreement.canary_shape().packed_len() + agreement.shape().packed_len()
}

/// Leaves of that tree.
pub(crate) fn leaf_count(round: &Round) -> usize {
    stream_len(round).div_ceil(CHUNK_LEN)
}
