//! The numbers all parties agree on: the ring, and how digits become coefficients and coefficients become wire bits.

use core::fmt;
use ntt::{Modulus, Plan, PlanError, Shoup};
use std::sync::Arc;

/// `Z_q[X] / (X^n + 1)` with q the product of one or two primes, and a transform for each ("limb"). Clones share their tables: every
/// candidate for an encoding takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    plans: Arc<[Plan]>,
    q: u64,
}

/// Why there is no such ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// A prime or the length is no good.
    Plan(PlanError),
    /// Not one or two primes.
    Limbs(usize),
    /// The same prime twice.
    Repeated(u32),
}

impl From<PlanError> for RingError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan(error) => error.fmt(f),
            Self::Limbs(count) => write!(f, "a ring of {count} primes: must be one or two"),
            Self::Repeated(p) => write!(f, "the prime {p} is there twice: give limbs different primes"),
        }
    }
}

impl core::error::Error for RingError {}

impl Ring {
    /// The ring of dimension `n` modulo the product of `primes`.
    ///
    /// # Errors
    /// [`RingError`] says what does not fit.
    pub fn new(n: usize, primes: &[u32]) -> Result<Self, RingError> {
        match *primes {
            [_] => {}
            [first, second] if first == second => return Err(RingError::Repeated(first)),
            [_, _] => {}
            _ => return Err(RingError::Limbs(primes.len())),
        }
        let plan = |&p| Plan::new(Modulus::new(p).map_err(PlanError::Modulus)?, n);
        let plans = primes.iter().map(plan).collect::<Result<Arc<[_]>, _>>()?;
        Ok(Self { plans, q: primes.iter().map(|&p| u64::from(p)).product() })
    }

    /// The dimension.
    #[must_use]
    pub fn n(&self) -> usize {
        self.plans[0].n()
    }

    /// One transform per prime.
    #[must_use]
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// The product of the primes, below 2^60.
    #[must_use]
    pub fn q(&self) -> u64 {
        self.q
    }
}

/// How `digits_per_coefficient` digits in base B become one coefficient mod q, and that one word of `bits` bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    ring: Ring,
    bits: u32,
    base: u64,
    digits: u32,
    limit: u64,
    delta: u64,
    limbs: Vec<LimbEncoding>,
}

/// Constants of one limb, so that no engine divides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimbEncoding {
    /// `Delta * B^d mod p` for each digit d.
    pub digit_factors: Vec<Shoup>,
    /// `(q/p)^-1 mod p`.
    pub lift: Shoup,
    /// `floor(2^96 / p)` as little-endian words.
    pub theta: [u32; 3],
}

/// Why such an encoding is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingError {
    /// `l` is not in `1..=57`, or not below `log2 q`.
    Bits(u32),
    /// The base is below 2, or no digit fits a `u32`.
    Base(u64),
    /// `B^rho` is too large: one step of the plaintext would be less than two on the wire.
    Capacity {
        /// The base.
        base: u64,
        /// Digits per coefficient.
        digits: u32,
    },
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits(bits) => write!(f, "{bits} wire bits per coefficient: must be 1 to 57 and below log2 q"),
            Self::Base(base) => write!(f, "digit base {base}: must be 2 to 2^32"),
            Self::Capacity { base, digits } => write!(
                f,
                "{digits} digits in base {base} do not fit a coefficient; use fewer digits, a smaller base or more bits"
            ),
        }
    }
}

impl core::error::Error for EncodingError {}

impl Encoding {
    /// Words of `bits` bits, each carrying `digits` digits in `base`.
    ///
    /// # Errors
    /// [`EncodingError`] if such words cannot be told apart after the rounding.
    pub fn new(ring: Ring, bits: u32, base: u64, digits: u32) -> Result<Self, EncodingError> {
        let q = ring.q();
        if !(1..=57).contains(&bits) || 1 << bits >= q {
            return Err(EncodingError::Bits(bits));
        }
        if !(2..=1 << 32).contains(&base) {
            return Err(EncodingError::Base(base));
        }
        let capacity = EncodingError::Capacity { base, digits };
        if digits == 0 {
            return Err(capacity);
        }
        let limit = base.checked_pow(digits).ok_or(capacity)?;
        let delta = q / limit;
        // The step on the wire, Delta * 2^l / q, must be at least 2.
        if (u128::from(delta) << bits) < 2 * u128::from(q) {
            return Err(capacity);
        }
        let limbs = ring.plans().iter().map(|plan| LimbEncoding::new(plan.modulus(), q, delta, base, digits)).collect();
        Ok(Self { ring, bits, base, digits, limit, delta, limbs })
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Wire bits per coefficient, `l`.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The digits' base, `B`.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Digits per coefficient, `rho`.
    #[must_use]
    pub fn digits_per_coefficient(&self) -> usize {
        self.digits as usize
    }

    /// `T = B^rho`: decrypted coefficients are below it.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// `Delta = floor(q / T)`.
    #[must_use]
    pub fn delta(&self) -> u64 {
        self.delta
    }

    /// Per-limb constants, in the order of the ring's plans.
    #[must_use]
    pub fn limbs(&self) -> &[LimbEncoding] {
        &self.limbs
    }

    /// Coefficients that carry this many digits: the last one may be partly filled.
    #[must_use]
    pub fn coefficients(&self, digits: usize) -> usize {
        digits.div_ceil(self.digits_per_coefficient())
    }

    /// Polynomials that carry this many digits: the last one may be partly filled.
    #[must_use]
    pub fn polys(&self, digits: usize) -> usize {
        self.coefficients(digits).div_ceil(self.ring.n())
    }

    /// Words of a pad for this many digits.
    #[must_use]
    pub fn pad_len(&self, digits: usize) -> usize {
        self.polys(digits) * self.ring.plans().len() * self.ring.n()
    }

    /// The sum's view of the packed words that carry this many digits.
    #[must_use]
    pub fn shape(&self, digits: usize) -> crate::Shape {
        crate::Shape { bits: self.bits, coefficients: self.coefficients(digits) }
    }

    /// Bytes on the wire for this many digits.
    #[must_use]
    pub fn packed_len(&self, digits: usize) -> usize {
        self.shape(digits).packed_len()
    }
}

impl LimbEncoding {
    fn new(modulus: Modulus, q: u64, delta: u64, base: u64, digits: u32) -> Self {
        let p = u64::from(modulus.value());
        let residue = |x: u64| (x % p) as u32;
        let mut factor = residue(delta);
        let digit_factors = (0..digits)
            .map(|_| {
                let shoup = Shoup::new(modulus, factor);
                factor = modulus.mul(factor, residue(base));
                shoup
            })
            .collect();
        let theta = (1u128 << 96) / u128::from(p);
        Self {
            digit_factors,
            lift: Shoup::new(modulus, modulus.inverse(residue(q / p))),
            theta: [theta as u32, (theta >> 32) as u32, (theta >> 64) as u32],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_and_encodings_that_cannot_work_are_refused_with_the_reason() {
        assert_eq!(Ring::new(1024, &[]), Err(RingError::Limbs(0)));
        assert_eq!(Ring::new(1024, &[7681; 3]), Err(RingError::Limbs(3)));
        assert_eq!(Ring::new(1024, &[4_169_729; 2]), Err(RingError::Repeated(4_169_729)));
        let ring = Ring::new(1024, &[4_169_729]).unwrap();
        assert_eq!(Encoding::new(ring.clone(), 22, 16, 1), Err(EncodingError::Bits(22)));
        assert_eq!(Encoding::new(ring.clone(), 0, 16, 1), Err(EncodingError::Bits(0)));
        assert_eq!(Encoding::new(ring.clone(), 17, 1, 1), Err(EncodingError::Base(1)));
        let capacity = |base, digits| Err(EncodingError::Capacity { base, digits });
        assert_eq!(Encoding::new(ring.clone(), 17, 16, 0), capacity(16, 0));
        assert_eq!(Encoding::new(ring.clone(), 17, 16, 5), capacity(16, 5));
        assert_eq!(Encoding::new(ring.clone(), 17, 1 << 32, 9), capacity(1 << 32, 9));
        assert_eq!(Encoding::new(ring, 17, 1501, 1).map(|e| e.delta()), Ok(2777));
    }

    #[test]
    fn a_wire_step_below_two_is_refused() {
        let rings: [(&[u32], _, _); 5] = [
            (&[1_073_479_681, 1_071_513_601], 57, 2),
            (&[1_073_479_681, 1_071_513_601], 33, 2),
            (&[1_073_479_681, 1_071_513_601], 32, 1),
            (&[1_073_479_681], 29, 1),
            (&[4_169_729], 20, 3),
        ];
        for (primes, bits, digits) in rings {
            let ring = Ring::new(256, primes).unwrap();
            let delta = |base: u64| base.checked_pow(digits).map_or(0, |limit| u128::from(ring.q() / limit));
            let is_fine = |base| delta(base) << bits >= 2 * u128::from(ring.q());
            // The largest base that leaves a step of two, by bisection.
            let (mut largest, mut above) = (2u64, 1 << 32);
            while above - largest > 1 {
                let middle = largest.midpoint(above);
                *if is_fine(middle) { &mut largest } else { &mut above } = middle;
            }
            let refused = Err(EncodingError::Capacity { base: above, digits });
            assert_eq!(Encoding::new(ring.clone(), bits, largest, digits).map(|e| e.base()), Ok(largest));
            assert_eq!(Encoding::new(ring, bits, above, digits), refused, "{primes:?}, l = {bits}");
        }
    }
}
