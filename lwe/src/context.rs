//! What a sum is about, hashed: every key and every `a` comes from it, so parties that differ in anything get noise.

use crate::hash::{hash_fields, subkey};
use core::fmt;

/// Version of the scheme and of its wire format.
pub const VERSION: u8 = 1;

/// Everything the parties agree on, to be hashed into a [`Context`].
#[derive(Clone, Copy, Debug)]
pub struct ContextFields<'a> {
    /// [`crate::Params::id`].
    pub suite: [u8; 16],
    /// Which fleet.
    pub fleet: &'a [u8],
    /// Hash of the base weights, the training configuration and the quantizer.
    pub model: [u8; 32],
    /// Number of the round.
    pub round: u64,
    /// Number of the attempt at this round, from 0.
    pub attempt: u32,
    /// Wire bits of a coefficient, `l`.
    pub wire_bits: u32,
    /// Bits of a value, `b`.
    pub value_bits: u32,
    /// Values in a coefficient, `rho`.
    pub values_per_coefficient: u32,
    /// The most weight there will be, `N1max`.
    pub planned: u64,
    /// Values in a message.
    pub length: u64,
    /// Which weight class or bucket; empty if there is one sum only.
    pub class: &'a [u8],
    /// Fingerprint of the key that messages are for.
    pub key: [u8; 32],
}

/// The hash of [`ContextFields`]. Public.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context([u8; 32]);

impl Context {
    /// Hashes the fields.
    ///
    /// # Panics
    /// If a name has 4 GiB or more.
    #[must_use]
    pub fn new(fields: &ContextFields<'_>) -> Self {
        let ContextFields { suite, fleet, model, round, attempt, wire_bits, .. } = fields;
        let ContextFields { value_bits, values_per_coefficient, planned, length, class, key, .. } = fields;
        Self(hash_fields(
            "ctx",
            &[
                &[VERSION],
                suite,
                fleet,
                model,
                &round.to_le_bytes(),
                &attempt.to_le_bytes(),
                &wire_bits.to_le_bytes(),
                &value_bits.to_le_bytes(),
                &values_per_coefficient.to_le_bytes(),
                &planned.to_le_bytes(),
                &length.to_le_bytes(),
                class,
                key,
            ],
        ))
    }

    /// The hash.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public seed of every `a_j` of the sum.
    #[must_use]
    pub fn a_seed(&self) -> [u8; 32] {
        subkey(&self.0, "a")
    }
}

/// What [`ContextFields::model`] is made of: the caller's hash of base weights, training configuration and tensor layout, and
/// everything that decides how its values become integers.
#[must_use]
pub fn model_hash(base: &[u8; 32], quantizer: &[u8]) -> [u8; 32] {
    hash_fields("model", &[base, quantizer])
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context(")?;
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}
