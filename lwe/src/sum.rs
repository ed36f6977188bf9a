//! The server's side: adding uploads. No key, no secret, constant memory.

use crate::agreement::Agreement;
use crate::context::Context;
use crate::ledger::{Ledger, Overflow, Weights};
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
    accumulator: Vec<u32>,
}

/// Why nothing was added. The sum is as it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AddError {
    /// The upload or the other sum is of another round.
    OtherRound,
    /// It would not open any more.
    Overflow(Overflow),
    /// No backend did the work.
    Backend(Fault),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRound => f.write_str("of another round than the sum: start a sum for that round"),
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

impl Agreement {
    /// A sum of nothing yet.
    #[must_use]
    pub fn sum(&self) -> Sum {
        let (context, shape, ledger) = (*self.context(), self.shape(), *self.ledger());
        Sum { context, shape, ledger, weights: Weights::default(), accumulator: vec![0; shape.accumulator_len()] }
    }

    /// Bytes of a stored sum.
    #[must_use]
    pub fn sum_len(&self) -> usize {
        HEADER_LEN + 8 + self.shape().packed_len()
    }

    /// Reads a stored sum of this agreement.
    ///
    /// # Errors
    /// [`StoredSumError`] says what is wrong with it.
    pub fn read_sum(&self, bytes: &[u8], backend: &dyn Backend) -> Result<Sum, StoredSumError> {
        let rest = wire::open(bytes, Kind::Sum, self.context(), self.sum_len())?;
        let (count, packed) = rest.split_first_chunk().expect("the length was checked");
        let weights = Weights::equal(u64::from_le_bytes(*count));
        self.ledger().admit(weights).map_err(|_| Malformed::Count(weights.messages))?;
        wire::check_padding(self.shape(), packed)?;
        let mut sum = self.sum();
        backend.sum(&sum.shape, &[packed], &mut sum.accumulator)?;
        sum.weights = weights;
        Ok(sum)
    }
}

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
        self.weights = self.admit(other.weights)?;
        let (words, mask) = (self.shape.words_per_value(), self.shape.mask());
        let pairs = self.accumulator.chunks_exact_mut(words).zip(other.accumulator.chunks_exact(words));
        for (mine, theirs) in pairs {
            store(mine, load(mine).wrapping_add(load(theirs)) & mask);
        }
        Ok(())
    }

    fn admit(&self, more: Weights) -> Result<Weights, AddError> {
        let planned = self.ledger.planned();
        let all = self.weights.checked_add(more);
        let all = all.ok_or(AddError::Overflow(Overflow::Planned { sum: u64::MAX, planned }))?;
        self.ledger.admit(all).map_err(AddError::Overflow)?;
        Ok(all)
    }

    /// What was added so far.
    #[must_use]
    pub fn weights(&self) -> Weights {
        self.weights
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
        let mut bytes = Vec::with_capacity(HEADER_LEN + 8 + self.shape.packed_len());
        bytes.extend(wire::header(Kind::Sum, &self.context));
        bytes.extend(self.weights.messages.to_le_bytes());
        // Words wait here until eight bits are full: l <= 57, so 7 + 57 bits are the most.
        let (mut waiting, mut count) = (0u64, 0);
        for value in self.accumulator.chunks_exact(self.shape.words_per_value()) {
            waiting |= load(value) << count;
            count += self.shape.bits;
            while count >= 8 {
                bytes.push(waiting as u8);
                waiting >>= 8;
                count -= 8;
            }
        }
        if count > 0 {
            bytes.push(waiting as u8);
        }
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
