//! The noise budget: which sums still open exactly, and the smallest wire words that leave room for the planned one.
//!
//! Floats here are sums, products, quotients and square roots only: IEEE 754 rounds those the same way everywhere, so all
//! parties decide alike.

use crate::Params;
use crate::agreement::{CANARY_COEFFICIENTS, LEAST_WORDS};
use crate::split::Split;
use core::fmt;
use kernels::Encoding;

/// The public weights of a sum: how many robots, and what each counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Messages added.
    pub messages: u64,
    /// `N1`: the sum of their weights.
    pub sum: u64,
    /// `N2`: the sum of the squares of their weights.
    pub squares: u64,
}

impl Weights {
    /// This many messages of weight 1.
    #[must_use]
    pub fn equal(messages: u64) -> Self {
        Self { messages, sum: messages, squares: messages }
    }

    /// Both together, or `None` past 2^64.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            messages: self.messages.checked_add(other.messages)?,
            sum: self.sum.checked_add(other.sum)?,
            squares: self.squares.checked_add(other.squares)?,
        })
    }

    /// The weights once a sum is multiplied by an integer, or `None` past 2^64.
    #[must_use]
    pub fn checked_scale(self, factor: u32) -> Option<Self> {
        let factor = u64::from(factor);
        Some(Self {
            messages: self.messages,
            sum: self.sum.checked_mul(factor)?,
            squares: self.squares.checked_mul(factor.checked_mul(factor)?)?,
        })
    }
}

/// What one encoding's noise and steps are, in wire units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// `D = Delta * 2^l / q`: the distance of two plaintexts.
    pub step: f64,
    /// Variance of one message's noise: `16 * (2^l/q)^2 + 1/12`, the second term only where something is rounded.
    variance: f64,
    /// `1.25 * primes * 2^(l-64)`: how far the rounding's 64-bit fractions can lean, per message.
    lean: f64,
}

impl Budget {
    /// Of ring ciphertexts.
    #[must_use]
    pub fn of(encoding: &Encoding) -> Self {
        let (q, wire) = (encoding.ring().q() as f64, (1u64 << encoding.bits()) as f64);
        let ratio = wire / q;
        let primes = encoding.ring().plans().len() as f64;
        Self {
            step: encoding.delta() as f64 * ratio,
            variance: 16.0 * ratio * ratio + 1.0 / 12.0,
            lean: 1.25 * primes * wire / TWO_64,
        }
    }

    /// Of words that are not rounded: LWE mode.
    #[must_use]
    pub fn unrounded(step: f64) -> Self {
        Self { step, variance: 16.0, lean: 0.0 }
    }

    /// `V`: the variance of a sum's noise.
    #[must_use]
    pub fn variance(&self, weights: Weights) -> f64 {
        weights.squares as f64 * self.variance
    }

    /// `mu`: how far a sum's noise can lean to one side.
    #[must_use]
    pub fn lean(&self, weights: Weights) -> f64 {
        (weights.sum as f64 + 1.0) * self.lean
    }

    /// Half a step over what noise reaches with probability 2^-64 per coefficient; never negative for an admitted sum.
    #[must_use]
    pub fn head_room(&self, weights: Weights) -> f64 {
        self.step / 2.0 - (9.5 * self.variance(weights).sqrt() + 1.5 + self.lean(weights))
    }
}

const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// What a round planned for, against what a sum holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ledger {
    budget: Budget,
    planned: u64,
}

/// Why a sum would not open any more. The sum is unchanged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Overflow {
    /// More weight than the round planned.
    Planned {
        /// The sum of weights there would be.
        sum: u64,
        /// The most the round planned.
        planned: u64,
    },
    /// The noise would reach half a step too often.
    Noise {
        /// The weights there would be.
        weights: Weights,
    },
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned { sum, planned } => {
                write!(
                    f,
                    "the weights would sum to {sum}, the round planned {planned}: open what is there, or plan a larger round"
                )
            }
            Self::Noise { weights } => write!(
                f,
                "{} messages with squared weights of {} leave no head-room: open what is there, or plan a larger round",
                weights.messages, weights.squares
            ),
        }
    }
}

impl core::error::Error for Overflow {}

impl Ledger {
    /// For sums of up to `planned` weight.
    #[must_use]
    pub fn new(budget: Budget, planned: u64) -> Self {
        Self { budget, planned }
    }

    /// The budget behind it.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// `N1max`.
    #[must_use]
    pub fn planned(&self) -> u64 {
        self.planned
    }

    /// Whether a sum with these weights opens exactly.
    ///
    /// # Errors
    /// [`Overflow`] says what would run out.
    pub fn admit(&self, weights: Weights) -> Result<(), Overflow> {
        if weights.sum > self.planned {
            return Err(Overflow::Planned { sum: weights.sum, planned: self.planned });
        }
        let head_room = self.budget.head_room(weights);
        if head_room < 0.0 || head_room.is_nan() {
            return Err(Overflow::Noise { weights });
        }
        Ok(())
    }
}

/// How the values of a message become coefficients and those words on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Digits to wire words.
    pub encoding: Encoding,
    /// How a value is two digits, where one does not hold its sum.
    pub split: Option<Split>,
}

impl Layout {
    /// Digits of this many values.
    #[must_use]
    pub fn digits(&self, values: usize) -> usize {
        values * self.digits_per_value()
    }

    /// One, or two where a sum of values needs more than 32 bits.
    #[must_use]
    pub fn digits_per_value(&self) -> usize {
        if self.split.is_some() { 2 } else { 1 }
    }

    /// Values in a coefficient, `rho`.
    #[must_use]
    pub fn values_per_coefficient(&self) -> usize {
        self.encoding.digits_per_coefficient() / self.digits_per_value()
    }

    /// As [`Layout::digits`], with those of the zeros behind a short message.
    pub(crate) fn padded_digits(&self, values: usize) -> usize {
        self.digits(values).max(LEAST_WORDS * self.encoding.digits_per_coefficient())
    }

    /// Bytes of a message's words and its canary's.
    #[must_use]
    pub fn wire_len(&self, values: usize) -> usize {
        self.encoding.packed_len(self.padded_digits(values)) + self.encoding.bits() as usize * CANARY_COEFFICIENTS / 8
    }
}

/// The smallest words for messages of `length` values of `bits` bits, of which up to `planned` are added: the layout with
/// the fewest bytes, and of those with equally many the one with the fewest coefficients. `None` if nothing fits.
#[must_use]
pub fn smallest(params: &Params, bits: u32, planned: u64, length: usize) -> Option<Layout> {
    smallest_for(params, bits, Weights::equal(planned), length)
}

/// The best without `chosen`: the smallest words with another number of values in them. `None` if no other number fits.
#[must_use]
pub fn next_smallest(params: &Params, bits: u32, planned: u64, length: usize, chosen: &Layout) -> Option<Layout> {
    let others = fitting(params, bits, Weights::equal(planned)).unwrap_or_default().into_iter();
    let others = others.filter(|layout| layout.values_per_coefficient() != chosen.values_per_coefficient());
    best_of(others, length)
}

/// As [`smallest`], for sums with these weights.
pub(crate) fn smallest_for(params: &Params, bits: u32, most: Weights, length: usize) -> Option<Layout> {
    best_of(fitting(params, bits, most)?.into_iter(), length)
}

/// Of equals the later one: more values in a word.
fn best_of(layouts: impl Iterator<Item = Layout>, length: usize) -> Option<Layout> {
    layouts.reduce(|best, layout| if layout.wire_len(length) <= best.wire_len(length) { layout } else { best })
}

/// For each number of values in a word, the shortest words that fit. `None` if a sum of values is beyond all words.
fn fitting(params: &Params, bits: u32, most: Weights) -> Option<Vec<Layout>> {
    let limit = (1u64.checked_shl(bits)? - 1).checked_mul(most.sum)?.checked_add(1)?;
    let split = Split::for_limit(limit);
    let base = split.map_or(limit, |split| split.base().into());
    let (ring, mut layouts) = (params.ring(), Vec::new());
    for rho in 1u32.. {
        // Both digits of a value share a coefficient.
        let digits = if split.is_some() { 2 * rho } else { rho };
        if base < 2 || base.checked_pow(digits).is_none_or(|limit| limit >= ring.q()) {
            break;
        }
        for wire in 1..=params.max_wire_bits() {
            let Ok(encoding) = Encoding::new(ring.clone(), wire, base, digits) else { continue };
            if Ledger::new(Budget::of(&encoding), most.sum).admit(most).is_err() {
                continue;
            }
            layouts.push(Layout { encoding, split });
            break;
        }
    }
    Some(layouts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (suite, bits, robots, rho, l): the published table of sizes.
    const SIZES: &[(Params, u32, u64, usize, u32)] = &[
        (Params::FL_4096_60, 4, 10, 6, 48),
        (Params::FL_4096_60, 4, 100, 4, 49),
        (Params::FL_4096_60, 4, 1000, 3, 50),
        (Params::FL_4096_60, 4, 10_000, 2, 44),
        (Params::FL_4096_60, 8, 10, 4, 50),
        (Params::FL_4096_60, 8, 100, 3, 50),
        (Params::FL_4096_60, 8, 1000, 2, 44),
        (Params::FL_4096_60, 8, 10_000, 2, 52),
        (Params::FL_4096_60, 12, 10, 3, 51),
        (Params::FL_4096_60, 12, 100, 2, 44),
        (Params::FL_4096_60, 12, 1000, 2, 52),
        (Params::FL_4096_60, 12, 10_000, 1, 35),
        (Params::FL_4096_60, 16, 10, 2, 43),
        (Params::FL_4096_60, 16, 100, 2, 52),
        (Params::FL_4096_60, 16, 1000, 1, 34),
        (Params::FL_4096_60, 16, 10_000, 1, 39),
        (Params::FL_4096_60, 24, 10, 1, 32),
        (Params::FL_4096_60, 24, 100, 1, 37),
        (Params::FL_4096_60, 24, 1000, 1, 42),
        (Params::FL_4096_60, 24, 10_000, 1, 47),
        (Params::FL_2048_30, 8, 10, 1, 16),
        (Params::FL_2048_30, 8, 100, 1, 21),
        (Params::FL_2048_30, 8, 1000, 1, 26),
        (Params::FL_1024_22, 4, 10, 1, 12),
        (Params::FL_1024_22, 4, 100, 1, 17),
        (Params::FL_1024_22, 8, 10, 1, 16),
    ];

    #[test]
    fn sizes_are_the_published_ones() {
        for (params, bits, robots, rho, wire) in SIZES {
            let found = smallest(params, *bits, *robots, 2_500_000)
                .map(|layout| (layout.values_per_coefficient(), layout.encoding.bits()));
            assert_eq!(found, Some((*rho, *wire)), "{}, {bits} bits, {robots} robots", params.name());
        }
        assert_eq!(smallest(&Params::FL_2048_30, 8, 10_000, 1000), None);
        assert_eq!(smallest(&Params::FL_1024_22, 8, 100, 1000), None);
    }

    #[test]
    fn a_ledger_refuses_weight_beyond_the_plan_and_noise_beyond_the_step() {
        let encoding = smallest(&Params::FL_2048_30, 8, 100, 1000).unwrap().encoding;
        let ledger = Ledger::new(Budget::of(&encoding), 100);
        assert_eq!(ledger.admit(Weights::equal(100)), Ok(()));
        assert_eq!(ledger.admit(Weights::equal(101)), Err(Overflow::Planned { sum: 101, planned: 100 }));
        let heavy = Weights { messages: 1, sum: 100, squares: 10_000 };
        assert_eq!(ledger.admit(heavy), Err(Overflow::Noise { weights: heavy }));
    }
}
