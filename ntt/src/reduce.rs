//! Lazy arithmetic after Harvey and Shoup. Every function states the range it takes and the range it gives.

use crate::Modulus;

/// A constant factor with its precomputed quotient: one high product, two low ones, no division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shoup {
    /// The factor, in `[0, p)`.
    pub factor: u32,
    /// `floor(factor * 2^32 / p)`.
    pub quotient: u32,
}

impl Shoup {
    /// Precomputes the quotient; `factor` is first reduced mod p. Variable time: public factors only.
    #[must_use]
    pub const fn new(modulus: Modulus, factor: u32) -> Self {
        let factor = factor % modulus.value();
        Self { factor, quotient: (((factor as u64) << 32) / modulus.value() as u64) as u32 }
    }

    /// `x * factor` mod p, lazily: any `x` in `[0, 2^32)`, result in `[0, 2p)`. Constant time.
    #[inline(always)]
    #[must_use]
    pub const fn mul_lazy(self, p: u32, x: u32) -> u32 {
        let estimate = ((x as u64 * self.quotient as u64) >> 32) as u32;
        x.wrapping_mul(self.factor).wrapping_sub(estimate.wrapping_mul(p))
    }

    /// `x * factor mod p`: any `x` in `[0, 2^32)`, result in `[0, p)`. Constant time.
    #[inline(always)]
    #[must_use]
    pub const fn mul(self, p: u32, x: u32) -> u32 {
        reduce_once(self.mul_lazy(p, x), p)
    }
}

/// Subtracts `bound` if `x >= bound`: `[0, 2 * bound)` to `[0, bound)`, for `bound <= 2^31`. Constant time.
#[inline(always)]
#[must_use]
pub const fn reduce_once(x: u32, bound: u32) -> u32 {
    // Where x < bound the difference wraps to at least 2^31; the arithmetic shift spreads its borrow into a mask.
    let difference = x.wrapping_sub(bound);
    let borrow = (((x as u64).wrapping_sub(bound as u64)) >> 63) as u32;
    difference.wrapping_add(bound & borrow.wrapping_neg())
}

/// Any word mod p, canonical: `[0, 2^32)` to `[0, p)`. Constant time.
#[inline(always)]
#[must_use]
pub const fn reduce_any(x: u32, one: Shoup, p: u32) -> u32 {
    one.mul(p, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [u32; 8] = [0, 1, 2, 1 << 30, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX];

    #[test]
    fn shoup_products_stay_in_range_and_are_right_at_hostile_words() {
        for modulus in [Modulus::P1, Modulus::P2, Modulus::P3, Modulus::P22] {
            let p = modulus.value();
            for factor in [0, 1, 2, p / 2, p - 1] {
                let shoup = Shoup::new(modulus, factor);
                for x in WORDS.into_iter().chain([p - 1, p, 2 * p - 1, 4 * p - 1]) {
                    let lazy = shoup.mul_lazy(p, x);
                    assert!(lazy < 2 * p, "{x} * {factor} mod {p} left [0, 2p)");
                    assert_eq!(shoup.mul(p, x), modulus.mul(x, factor));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: if cfg!(miri) { 16 } else { 4096 }, ..ProptestConfig::default() })]

        #[test]
        fn reductions_agree_with_the_remainder(x: u32, factor: u32) {
            let p = Modulus::P2.value();
            prop_assert_eq!(Shoup::new(Modulus::P2, factor).mul(p, x), Modulus::P2.mul(x, factor));
            prop_assert_eq!(reduce_any(x, Shoup::new(Modulus::P2, 1), p), x % p);
            prop_assert_eq!(reduce_once(x % (2 * p), p), x % p);
        }
    }
}
