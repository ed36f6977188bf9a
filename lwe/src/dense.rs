//! Vectors of plain ("dense") LWE under one shared matrix: N2HE's idea, added without a key.
//!
//! # The idea
//! Row i of a public matrix A, expanded from the round's seed, is common to all robots. A robot with the small secret s
//! encrypts value `m_i` as one word
//!
//! ```text
//! b_i = <A_i, s> + e_i + m_i * floor(q/T)  mod q        q = 2^22, T = (2^bits - 1) * (sum of all weights) + 1
//! ```
//!
//! Words of different robots add up, and a whole sum can be multiplied by an integer ([`Sum::scale`]); the sum opens under
//! the sum of the secrets, times that integer. Nothing is rounded, so the noise is the errors' alone.
//!
//! # When to use it
//! Its security is that of LWE without a ring: nobody can use structure that is not there. That is the one reason to take it.
//! A value costs 22 bits and a row of 1024 products, against about two bytes and a few dozen products in a ring, and the
//! words leave room for few robots: [`AgreementError::NoRoom`] says how many. So a message has at most [`MOST_DENSE_VALUES`]
//! values, and for all else there are the ring suites of [`Params`](crate::Params).
//!
//! # Why not N2HE's own parameters
//! They do not reach 128 bits. The lattice estimator gives its n = 512, q = 2^13 with binary secrets and ternary errors 96
//! bits classical and 63 quantum, and Arora and Ge's attack takes 2^49; q = 2^40 has 43; n = 1024, q = 2^32 with
//! deviation 3.2 has 109. What is kept is the idea. The numbers here are those of FL-1024-22: n = 1024, q = 2^22, deviation 4.
//!
//! # Rows
//! Rows from 0 on carry data, at least 64, with zeros behind a short message. The last 64 of the 2^32 carry the canary, never data.

use crate::agreement::{Agreement, AgreementError, CANARY_COEFFICIENTS, LEAST_WORDS, MOST_DENSE_VALUES, Terms};
use crate::ledger::{Budget, Ledger, Weights};
use crate::message::Values;
use crate::params::DenseParams;
use crate::split::Split;
use crate::suite::{Kind, Place, Words};
use crate::wire;
use kernels::{Backend, DenseJob, DenseKey, Fault, Noise, Secret, Shape};

#[cfg(doc)]
use crate::Sum;

/// What all parties of one sum of vectors of plain LWE agree on.
pub type DenseAgreement = Agreement<DenseParams>;
/// What a [`DenseAgreement`] is made from.
pub type DenseTerms<'a> = Terms<'a, DenseParams>;

/// Number of the canary's first row.
const CANARY_ROW: u32 = u32::MAX - (CANARY_COEFFICIENTS as u32 - 1);

/// Where values lie in a row's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseLayout {
    bits: u32,
    limit: u64,
    step: u32,
    /// `ceil(2^64 / step)`.
    reciprocal: u64,
}

impl DenseLayout {
    /// `None` where steps are too narrow for any noise.
    fn new(bits: u32, limit: u64) -> Option<Self> {
        // At most 2^32 / 2.
        let step = u32::try_from((1u64 << bits) / limit.max(2)).ok()?;
        if step < 2 {
            return None;
        }
        // 2^64 / step rounded up, without 2^64.
        let reciprocal = (u64::MAX / u64::from(step)) + 1;
        Some(Self { bits, limit, step, reciprocal })
    }

    /// `T`: every sum is below it.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// `floor(q/T)`: the distance of two sums.
    #[must_use]
    pub fn step(&self) -> u32 {
        self.step
    }

    fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.bits)
    }

    /// A phase to its value and the statistics of its noise. Constant time: the quotient is a product. It is exact, because
    /// `reciprocal * step - 2^64 <= step`, and that times a word is below 2^64.
    fn open(&self, phase: u32) -> (u32, Noise) {
        let shifted = phase.wrapping_add(self.step / 2) & self.mask();
        let value = ((u128::from(shifted) * u128::from(self.reciprocal)) >> 64) as u32;
        let distance = phase.wrapping_sub(value.wrapping_mul(self.step)) & self.mask();
        // Its top bit is its sign.
        let signed = ((distance << (32 - self.bits)) as i32) >> (32 - self.bits);
        // All ones where the value is in range.
        let kept = ((u64::from(value).wrapping_sub(self.limit)) as i64 >> 63) as u32;
        let magnitude = u64::from(signed.unsigned_abs() & kept);
        let noise = Noise {
            coefficients: 1,
            refused: u64::from(!kept & 1),
            max_abs: magnitude,
            sum: i128::from(signed & kept as i32),
            sum_squares: u128::from(magnitude * magnitude),
        };
        (value & kept, noise)
    }
}

impl Kind for DenseParams {
    type Layout = DenseLayout;

    fn name(&self) -> &'static str {
        self.name()
    }

    fn id(&self) -> [u8; 16] {
        self.id()
    }

    fn dimension(&self) -> usize {
        self.dimension()
    }

    fn check_length(&self, length: usize) -> Result<(), AgreementError> {
        match length {
            0 => Err(AgreementError::Length(0)),
            1..=MOST_DENSE_VALUES => Ok(()),
            more => Err(AgreementError::DenseLength(more)),
        }
    }

    fn plan(&self, value_bits: u32, most: Weights, length: usize) -> Option<Words<DenseLayout>> {
        let limit = (1u64.checked_shl(value_bits)? - 1).checked_mul(most.sum)?.checked_add(1)?;
        let layout = DenseLayout::new(self.bits(), limit)?;
        let budget = Budget::unrounded(layout.step.into());
        Ledger::new(budget, most.sum).admit(most).ok()?;
        let shape = Shape { bits: self.bits(), coefficients: length.max(LEAST_WORDS) };
        Some(Words { layout, shape, budget, values_per_coefficient: 1 })
    }

    fn digits(_: &DenseLayout, length: usize) -> usize {
        length
    }

    fn split(_: &DenseLayout) -> Option<Split> {
        None
    }

    fn encrypt_body(
        agreement: &Agreement<Self>,
        seed: &Secret<[u8; 32]>,
        values: &(impl Values + ?Sized),
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault> {
        let (layout, mut rows) = (agreement.layout(), Secret::new(vec![0; agreement.shape().coefficients]));
        values.fill(0, &mut rows.expose_mut()[..agreement.length()]);
        rows.expose_mut().iter_mut().for_each(|row| *row = row.wrapping_mul(layout.step) & layout.mask());
        backend.dense(&agreement.job(Place::Body, DenseKey::Mask(seed)), rows.expose_mut())?;
        wire::pack(&agreement.shape(), rows.expose(), out);
        Ok(())
    }

    fn encrypt_canary(
        agreement: &Agreement<Self>,
        seed: &Secret<[u8; 32]>,
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault> {
        let mut rows = vec![0; CANARY_COEFFICIENTS];
        backend.dense(&agreement.job(Place::Canary, DenseKey::Mask(seed)), &mut rows)?;
        wire::pack(&agreement.canary_shape(), &rows, out);
        Ok(())
    }

    fn open(
        agreement: &Agreement<Self>,
        place: Place,
        secret_sum: &Secret<Vec<i32>>,
        accumulator: &[u32],
        backend: &dyn Backend,
    ) -> Result<(Vec<u32>, Noise), Fault> {
        let mut rows = Secret::new(accumulator.to_vec());
        backend.dense(&agreement.job(place, DenseKey::Unmask(secret_sum)), rows.expose_mut())?;
        let (mut values, mut noise) = (vec![0; accumulator.len()], Noise::default());
        for (value, &phase) in values.iter_mut().zip(rows.expose()) {
            let one;
            (*value, one) = agreement.layout().open(phase);
            noise = noise + one;
        }
        Ok((values, noise))
    }
}

impl DenseAgreement {
    fn job<'a>(&'a self, place: Place, key: DenseKey<'a>) -> DenseJob<'a> {
        let first_row = match place {
            Place::Body => 0,
            Place::Canary => CANARY_ROW,
        };
        let (dimension, bits) = (self.params().dimension(), self.params().bits());
        DenseJob { a_seed: self.a_seed(), dimension, bits, first_row, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_is_division_with_remainder() {
        for (bits, limit) in [(22, 2551), (22, 8926), (22, 2), (32, 3), (32, 1_000_003), (9, 255)] {
            let layout = DenseLayout::new(bits, limit).unwrap();
            let (modulus, step) = (1u64 << bits, u64::from(layout.step()));
            assert_eq!(step, modulus / limit);
            let near = |value: u64| {
                (value * step + modulus - step..=value * step + modulus + step).step_by((step / 97).max(1) as usize)
            };
            let phases = [0, 1, limit / 2, limit - 1].into_iter().flat_map(near);
            let edges = [0, 1, step / 2, step - 1, modulus - step / 2 - 1, modulus - step / 2, modulus - 1];
            for phase in phases.chain(edges).map(|phase| phase % modulus) {
                let value = (phase + step / 2) % modulus / step;
                let distance = (phase + modulus - value * step) % modulus;
                let distance =
                    if distance >= modulus / 2 { distance as i128 - modulus as i128 } else { distance.into() };
                let (found, noise) = layout.open(phase as u32);
                let (expected, one) = match value < limit {
                    true => (value, (0, distance)),
                    false => (0, (1, 0)),
                };
                assert_eq!((u64::from(found), (noise.refused, noise.sum)), (expected, one), "{phase} of 2^{bits}");
                assert_eq!(noise.coefficients, 1);
                assert_eq!(i128::from(noise.max_abs), one.1.abs());
                assert_eq!(noise.sum_squares, one.1.unsigned_abs().pow(2));
            }
        }
        assert_eq!(DenseLayout::new(22, 1 << 22), None);
    }
}
