//! The server's side: adding uploads. No key, no secret, constant memory.

use crate::agreement::Agreement;
use crate::context::Context;
use crate::ledger::{Ledger, Overflow, Weights};
use crate::suite::Suite;
use crate::wire::{self, Ciphertext, HEADER_LEN, Kind, Malformed};
use core::fmt;
use kernels::{Backend, Fault, Shape};

/// A sum of uploads, so far. Sums of different robots' uploads can be added up again, in any order.
#[derive(Clone, PartialEq)]
pub struct Sum {
    context: Context,
    shape: Shape,
    ledger: Ledger,
    weights: Weights,
    factor: u32,
    accumulator: Vec<u32>,
}

/// Why nothing was added or multiplied. The sum is as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AddError {
    /// The upload or the other sum is of another round.
    OtherRound,
    /// What is to be added counts otherwise than what is there.
    OtherFactor {
        /// What it is multiplied by.
        found: u32,
        /// What the sum is multiplied by.
        expected: u32,
    },
    /// Multiplied by zero, a sum would say nothing.
    Zero,
    /// It would not open any more.
    Overflow(Overflow),
    /// No backend did the work.
    Backend(Fault),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRound => f.write_str("of another round than the sum: start a sum for that round"),
            Self::OtherFactor { found, expected } => write!(
                f,
                "multiplied by {found}, the sum by {expected}: all robots of a sum count the same, so add first, then multiply"
            ),
            Self::Zero => f.write_str("a sum times zero says nothing: leave it out instead"),
            Self::Overflow(overflow) => overflow.fmt(f),
            Self::Backend(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for AddError {}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum({} messages, {:?})", self.weights.messages, self.context)
    }
}

impl<P: Suite> Agreement<P> {
    /// A sum of nothing yet.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let (context, shape, ledger) = (*self.context(), self.shape(), *self.ledger());
        let accumulator = vec![0; shape.accumulator_len()];
        Sum { context, shape, ledger, weights: Weights::default(), factor: 1, accumulator }
    }

    /// Bytes of a stored sum.
    #[must_use]
    pub fn sum_len(&self) -> usize {
        HEADER_LEN + COUNTS_LEN + self.shape().packed_len()
    }

    /// Reads a stored sum of this agreement.
    ///
    /// # Errors
    /// [`StoredSumError`] says what is wrong with it.
    pub fn read_sum(&self, bytes: &[u8], backend: &dyn Backend) -> Result<Sum, StoredSumError> {
        let rest = wire::open(bytes, Kind::Sum, self.context(), self.sum_len())?;
        let (count, rest) = rest.split_first_chunk().expect("the length was checked");
        let (factor, packed) = rest.split_first_chunk().expect("the length was checked");
        let (count, factor) = (u64::from(u32::from_le_bytes(*count)), u32::from_le_bytes(*factor));
        if factor == 0 {
            return Err(Malformed::Factor.into());
        }
        let crowded = Malformed::Count { messages: count, factor };
        let weights = Weights::equal(count).checked_scale(factor).ok_or_else(|| crowded.clone())?;
        self.ledger().admit(weights).map_err(|_| crowded)?;
        wire::check_padding(self.shape(), packed)?;
        let mut sum = self.sum();
        backend.sum(&sum.shape, &[packed], &mut sum.accumulator)?;
        (sum.weights, sum.factor) = (weights, factor);
        Ok(sum)
    }
}

/// Bytes of a stored sum's count of messages and of its factor.
const COUNTS_LEN: usize = 4 + 4;

/// Why a stored sum was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredSumError {
    /// The bytes are wrong.
    Malformed(Malformed),
    /// No backend did the work.
    Backend(Fault),
}

impl From<Malformed> for StoredSumError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<Fault> for StoredSumError {
    fn from(fault: Fault) -> Self {
        Self::Backend(fault)
    }
}

impl fmt::Display for StoredSumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Backend(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for StoredSumError {}

impl Sum {
    /// Adds uploads. Several at once cost less each than one at a time.
    ///
    /// # Errors
    /// [`AddError`]; then none of them was added.
    pub fn add(&mut self, uploads: &[Ciphertext<'_>], backend: &dyn Backend) -> Result<(), AddError> {
        if uploads.iter().any(|upload| *upload.context() != self.context) {
            return Err(AddError::OtherRound);
        }
        self.counts_like(1)?;
        let weights = self.admit(Weights::equal(uploads.len() as u64))?;
        let rows: Vec<&[u8]> = uploads.iter().map(Ciphertext::body).collect();
        backend.sum(&self.shape, &rows, &mut self.accumulator).map_err(AddError::Backend)?;
        self.weights = weights;
        Ok(())
    }

    /// Adds another sum of the same round, of other robots.
    ///
    /// # Errors
    /// [`AddError`]; then it was not added.
    pub fn merge(&mut self, other: &Self) -> Result<(), AddError> {
        if other.context != self.context {
            return Err(AddError::OtherRound);
        }
        self.counts_like(other.factor)?;
        self.weights = self.admit(other.weights)?;
        let (words, mask) = (self.shape.words_per_value(), self.shape.mask());
        let pairs = self.accumulator.chunks_exact_mut(words).zip(other.accumulator.chunks_exact(words));
        for (mine, theirs) in pairs {
            store(mine, load(mine).wrapping_add(load(theirs)) & mask);
        }
        Ok(())
    }

    /// Multiplies the whole sum, without a key: every message in it counts `factor` times what it did. There is no way to
    /// weigh one robot alone, because sums in which robots count differently can betray their keys.
    ///
    /// There are no negative factors: messages are not negative, and the ledger's plan has no room below zero. Whoever wants to
    /// subtract opens both sums and subtracts what came out; to turn one around, take the opened values' negatives.
    ///
    /// # Errors
    /// [`AddError`]; then it was not multiplied.
    pub fn scale(&mut self, factor: u32) -> Result<(), AddError> {
        if factor == 0 {
            return Err(AddError::Zero);
        }
        let all = self.factor.checked_mul(factor).zip(self.weights.checked_scale(factor));
        let (all, weights) = all.ok_or(self.beyond())?;
        self.ledger.admit(weights).map_err(AddError::Overflow)?;
        (self.factor, self.weights) = (all, weights);
        let (words, mask) = (self.shape.words_per_value(), self.shape.mask());
        for value in self.accumulator.chunks_exact_mut(words) {
            store(value, load(value).wrapping_mul(factor.into()) & mask);
        }
        Ok(())
    }

    fn counts_like(&self, found: u32) -> Result<(), AddError> {
        let expected = self.factor;
        if found == expected { Ok(()) } else { Err(AddError::OtherFactor { found, expected }) }
    }

    fn admit(&self, more: Weights) -> Result<Weights, AddError> {
        let all = self.weights.checked_add(more).ok_or(self.beyond())?;
        self.ledger.admit(all).map_err(AddError::Overflow)?;
        Ok(all)
    }

    /// Past every plan.
    fn beyond(&self) -> AddError {
        AddError::Overflow(Overflow::Planned { sum: u64::MAX, planned: self.ledger.planned() })
    }

    /// What was added so far.
    #[must_use]
    pub fn weights(&self) -> Weights {
        self.weights
    }

    /// What every message in it counts.
    #[must_use]
    pub fn factor(&self) -> u32 {
        self.factor
    }

    /// What it is a sum for.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Unpacked words, as a backend takes them.
    pub(crate) fn accumulator(&self) -> &[u32] {
        &self.accumulator
    }

    /// To be stored, or sent to the key holder or to another aggregator.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // At most 10,000 messages: the ledger admits no more.
        let counts = [self.weights.messages as u32, self.factor].map(u32::to_le_bytes).concat();
        let mut bytes = [&wire::header(Kind::Sum, &self.context)[..], &counts].concat();
        let start = bytes.len();
        bytes.resize(start + self.shape.packed_len(), 0);
        wire::pack(&self.shape, &self.accumulator, &mut bytes[start..]);
        bytes
    }
}

fn load(value: &[u32]) -> u64 {
    value.iter().rev().fold(0, |sum, &word| sum << 32 | u64::from(word))
}

fn store(value: &mut [u32], word: u64) {
    value[0] = word as u32;
    if let Some(high) = value.get_mut(1) {
        *high = (word >> 32) as u32;
    }
}
