//! What all parties of one sum agree on, in integers. Every length is computed from it and none is read off the wire.

use crate::context::{Context, ContextFields};
use crate::hash::hash_fields;
use crate::keys::ENVELOPE_LEN;
use crate::ledger::{Ledger, Weights};
use crate::suite::{Suite, Words};
use crate::{Params, wire};
use core::fmt;
use kernels::{Encoding, Shape};

/// Coefficients of the canary: zeros under the message's own key, by which a key holder sees a wrong key before using it.
pub const CANARY_COEFFICIENTS: usize = 64;
/// Words of the shortest message. Of fewer words a key holder could not tell the noise of an honest sum from that of a wrong
/// set; of these, a wrong set passes with probability below 2^-70 (docs/SOUNDNESS.md).
pub const LEAST_WORDS: usize = 64;
/// The polynomial that only canaries use.
pub const CANARY_POLY: u32 = u32::MAX;

/// Whose key messages are for: see the crate's page on key models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyModel {
    /// One-message keys, sent to the key holder with this fingerprint. The default.
    OneMessage([u8; 32]),
    /// One long-lived key in every robot, with this fingerprint: **every robot can read every other's update**.
    FleetShared([u8; 32]),
}

/// What an [`Agreement`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a, P = Params> {
    /// The suite.
    pub params: &'a P,
    /// Which fleet.
    pub fleet: &'a [u8],
    /// Hash of the base weights, the training configuration and the quantizer.
    pub model: [u8; 32],
    /// Number of the round.
    pub round: u64,
    /// Number of the attempt at this round, from 0.
    pub attempt: u32,
    /// Which weight class or bucket; empty if there is one sum only.
    pub class: &'a [u8],
    /// Bits of a value, 1 to 24: values are below 2^bits.
    pub value_bits: u32,
    /// The most messages that will be added.
    pub planned: u64,
    /// Values in a message.
    pub length: usize,
    /// Whose key messages are for.
    pub keys: KeyModel,
}

/// One attempt at one round of a fleet: at most one answer is given for it, whatever its sums are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Names fleet and round.
    pub round: [u8; 32],
    /// Number of the attempt.
    pub number: u32,
}

/// What all parties of one sum agree on: under a ring suite, or under a [dense](crate::DenseAgreement) one.
#[derive(Clone, Debug)]
pub struct Agreement<P: Suite = Params> {
    params: P,
    words: Words<P::Layout>,
    ledger: Ledger,
    value_bits: u32,
    length: usize,
    keys: KeyModel,
    context: Context,
    a_seed: [u8; 32],
    attempt: Attempt,
}

/// Why there is no such agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgreementError {
    /// No values, or more than the polynomials a message may have.
    Length(usize),
    /// More values than a dense suite is for.
    DenseLength(usize),
    /// Not 1 to 24 bits.
    ValueBits(u32),
    /// Nobody, or more than 10,000, each counted as often as the factor says.
    Planned(u64),
    /// The suite has no room for so many values of so many bits.
    NoRoom {
        /// The suite's name.
        suite: &'static str,
        /// Bits of a value.
        value_bits: u32,
        /// Messages to be added.
        planned: u64,
        /// The largest factor of their sum.
        factor: u32,
        /// The most messages of so many bits that would fit; zero if none would.
        most_messages: u64,
        /// The most bits of so many messages that would fit; zero if none would.
        most_bits: u32,
    },
}

impl fmt::Display for AgreementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a message of {length} values: must be 1 to 2^31"),
            Self::ValueBits(bits) => write!(f, "{bits} bits per value: must be 1 to {MOST_VALUE_BITS}"),
            Self::Planned(planned) => write!(f, "{planned} messages planned: must be 1 to {MOST_MESSAGES}"),
            Self::DenseLength(length) => write!(
                f,
                "a message of {length} values: a dense suite takes up to {MOST_DENSE_VALUES}, use a ring suite such as FL-4096-60"
            ),
            Self::NoRoom { suite, value_bits, planned, factor, most_messages, most_bits } => {
                write!(f, "{suite} has no room for {planned} messages of {value_bits}-bit values")?;
                if *factor != 1 {
                    write!(f, " times {factor}")?;
                }
                write!(
                    f,
                    ": at most {most_messages} messages of {value_bits} bits fit, or {planned} of {most_bits}; else use FL-4096-60"
                )
            }
        }
    }
}

impl core::error::Error for AgreementError {}

/// The most bits of a value.
pub const MOST_VALUE_BITS: u32 = 24;
/// The most messages in a sum: what the suites' sizes and failure bounds were computed for.
pub const MOST_MESSAGES: u64 = 10_000;
/// The most values of a message under a dense suite: each costs a row of 1024 products. Beyond it a ring suite is smaller
/// and far faster.
pub const MOST_DENSE_VALUES: usize = 10_000;

impl<P: Suite> Agreement<P> {
    /// Chooses the smallest wire words that leave room for the planned sum, and hashes everything into the context.
    ///
    /// # Errors
    /// [`AgreementError`] says what does not fit.
    pub fn new(terms: &Terms<'_, P>) -> Result<Self, AgreementError> {
        Self::scaled_up_to(terms, 1)
    }

    /// As [`Agreement::new`], for sums that will be [multiplied](crate::Sum::scale) by up to `factor`.
    ///
    /// # Errors
    /// [`AgreementError`] says what does not fit.
    pub fn scaled_up_to(terms: &Terms<'_, P>, factor: u32) -> Result<Self, AgreementError> {
        let &Terms { params, fleet, model, round, attempt, class, value_bits, planned, length, keys } = terms;
        params.check_length(length)?;
        if !(1..=MOST_VALUE_BITS).contains(&value_bits) {
            return Err(AgreementError::ValueBits(value_bits));
        }
        let most = Weights::equal(planned).checked_scale(factor);
        let most = most.filter(|most| (1..=MOST_MESSAGES).contains(&most.sum));
        let most = most.ok_or(AgreementError::Planned(planned.saturating_mul(factor.into())))?;
        let words = params.plan(value_bits, most, length).ok_or_else(|| no_room(terms, factor))?;
        let (KeyModel::OneMessage(key) | KeyModel::FleetShared(key)) = keys;
        let context = Context::new(&ContextFields {
            suite: params.id(),
            fleet,
            model,
            round,
            attempt,
            wire_bits: words.shape.bits,
            value_bits,
            values_per_coefficient: words.values_per_coefficient,
            planned: most.sum,
            length: length as u64,
            class,
            key,
        });
        let attempt = Attempt { round: hash_fields("round", &[fleet, &round.to_le_bytes()]), number: attempt };
        let ledger = Ledger::new(words.budget, most.sum);
        let (params, a_seed) = (params.clone(), context.a_seed());
        Ok(Self { params, words, ledger, value_bits, length, keys, context, a_seed, attempt })
    }

    /// The suite.
    #[must_use]
    pub fn params(&self) -> &P {
        &self.params
    }

    /// How values become wire words.
    #[must_use]
    pub fn layout(&self) -> &P::Layout {
        &self.words.layout
    }

    /// What may be added.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Bits of a value.
    #[must_use]
    pub fn value_bits(&self) -> u32 {
        self.value_bits
    }

    /// Values in a message.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whose key messages are for.
    #[must_use]
    pub fn keys(&self) -> KeyModel {
        self.keys
    }

    /// The hash of all of it.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Which attempt at which round.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// The public seed of every `a_j`.
    #[must_use]
    pub fn a_seed(&self) -> &[u8; 32] {
        &self.a_seed
    }

    /// The packed words of a message.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.words.shape
    }

    /// The packed words of a canary.
    #[must_use]
    pub fn canary_shape(&self) -> Shape {
        Shape { bits: self.shape().bits, coefficients: CANARY_COEFFICIENTS }
    }

    /// Bytes of the sealed key in an upload.
    #[must_use]
    pub fn envelope_len(&self) -> usize {
        match self.keys {
            KeyModel::OneMessage(_) => ENVELOPE_LEN,
            KeyModel::FleetShared(_) => 0,
        }
    }

    /// Bytes of an upload that are not packed values.
    #[must_use]
    pub fn overhead_len(&self) -> usize {
        wire::HEADER_LEN + self.envelope_len() + self.canary_shape().packed_len()
    }

    /// Bytes of an upload.
    #[must_use]
    pub fn upload_len(&self) -> usize {
        self.overhead_len() + self.shape().packed_len()
    }
}

impl Agreement {
    /// How digits become wire words.
    #[must_use]
    pub fn encoding(&self) -> &Encoding {
        &self.layout().encoding
    }

    /// Digits of a message: those of its values, and zeros where they would be fewer than [`LEAST_WORDS`] words.
    #[must_use]
    pub fn digits(&self) -> usize {
        self.layout().padded_digits(self.length)
    }
}

/// What would fit instead.
fn no_room<P: Suite>(terms: &Terms<'_, P>, factor: u32) -> AgreementError {
    let &Terms { params, value_bits, planned, length, .. } = terms;
    let fits = |bits, messages| {
        let most = Weights::equal(messages).checked_scale(factor);
        most.is_some_and(|most| params.plan(bits, most, length).is_some())
    };
    // More messages never fit where fewer do not.
    let (mut most_messages, mut too_many) = (0, planned);
    while too_many - most_messages > 1 {
        let middle = most_messages.midpoint(too_many);
        *(if fits(value_bits, middle) { &mut most_messages } else { &mut too_many }) = middle;
    }
    let most_bits = (1..value_bits).rev().find(|&bits| fits(bits, planned)).unwrap_or(0);
    AgreementError::NoRoom { suite: params.name(), value_bits, planned, factor, most_messages, most_bits }
}
