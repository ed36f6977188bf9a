//! A sum and its key to digits: the product as in a pad, then each coefficient's phase opened without a division.

use super::pad::{Key, product};
use super::seal::round;
use super::simd::{Body, Simd};
use crate::{DecryptJob, Encoding, Noise, Secret};

/// Opens consecutive polynomials.
pub(super) struct Decrypt<'a> {
    pub(super) job: DecryptJob<'a>,
    pub(super) key: &'a Key,
    pub(super) first_poly: u32,
    pub(super) accumulator: &'a [u32],
    pub(super) digits: &'a mut [u32],
}

impl Body for Decrypt<'_> {
    type Output = Noise;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Noise {
        let encoding = self.job.encoding;
        let ring = encoding.ring();
        let (n, rho) = (ring.n(), encoding.digits_per_coefficient());
        let width = encoding.shape(0).words_per_value();
        let opener = Opener::new(encoding);
        let mut residues = Secret::new(vec![0; n * ring.plans().len()]);
        let mut mask_words = Secret::new(vec![0; 2 * n]);
        let mut noise = Noise::default();
        let polys = self.digits.chunks_mut(n * rho).zip(self.accumulator.chunks(n * width));
        for (poly, (digits, accumulator)) in (self.first_poly..=u32::MAX).zip(polys) {
            product(s, ring, self.job.a_seed, self.key, poly, residues.expose_mut());
            round(s, encoding, residues.expose(), mask_words.expose_mut());
            let masks = mask_words.expose().as_chunks::<2>().0;
            for ((digits, value), mask) in digits.chunks_mut(rho).zip(accumulator.chunks_exact(width)).zip(masks) {
                let value = u64::from(value[0]) | u64::from(value.get(1).copied().unwrap_or_default()) << 32;
                let mask = u64::from(mask[0]) | u64::from(mask[1]) << 32;
                opener.open(value.wrapping_sub(mask), digits, &mut noise);
            }
        }
        noise
    }
}

/// A divisor with its reciprocal, so that the time of a division does not depend on what is divided.
#[derive(Clone, Copy)]
struct Divisor {
    by: u64,
    reciprocal: u64,
}

impl Divisor {
    fn new(by: u64) -> Self {
        // floor((2^64 - 1) / by): the estimated quotient of any x < 2^63 is at most one too small.
        Self { by, reciprocal: u64::MAX / by }
    }

    #[inline(always)]
    fn divide(self, x: u64) -> (u64, u64) {
        let estimate = high(x, self.reciprocal);
        let rest = x - estimate * self.by;
        let more = at_least(rest, self.by);
        (estimate + more, rest - (self.by & more.wrapping_neg()))
    }
}

#[inline(always)]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// 1 if `a >= b`, else 0, for both below 2^63.
#[inline(always)]
fn at_least(a: u64, b: u64) -> u64 {
    (a.wrapping_sub(b) >> 63) ^ 1
}

struct Opener {
    bits: u32,
    mask: u64,
    half_step: u64,
    q: u64,
    delta: Divisor,
    base: Divisor,
    limit: u64,
    /// `floor(2^(63 + log2 q) / q)`, and log2 q rounded up.
    q_reciprocal: u64,
    q_bits: u32,
}

impl Opener {
    fn new(encoding: &Encoding) -> Self {
        let (bits, q, delta) = (encoding.bits(), encoding.ring().q(), encoding.delta());
        let q_bits = 64 - q.leading_zeros();
        Self {
            bits,
            mask: encoding.shape(0).mask(),
            half_step: ((u128::from(delta) << bits) / (2 * u128::from(q))) as u64,
            q,
            delta: Divisor::new(delta),
            base: Divisor::new(encoding.base()),
            limit: encoding.limit(),
            q_reciprocal: ((1u128 << (63 + q_bits)) / u128::from(q)) as u64,
            q_bits,
        }
    }

    /// Any word, of which the low `l` bits count. Constant time, but for the number of digits.
    #[inline(always)]
    fn open(&self, word: u64, digits: &mut [u32], noise: &mut Noise) {
        let phase = word & self.mask;
        let x = phase.wrapping_add(self.half_step) & self.mask;
        let (value, _) = self.delta.divide(((u128::from(x) * u128::from(self.q)) >> self.bits) as u64);
        let valid = at_least(value, self.limit) ^ 1;
        let keep = valid.wrapping_neg();
        // Signed mod 2^l: shift the word's top bit to the register's, and back.
        let unused = 64 - self.bits;
        let distance = phase.wrapping_sub(self.expected(value));
        let signed = ((distance << unused) as i64 >> unused) & keep as i64;
        let mut rest = value & keep;
        for digit in digits {
            let (quotient, remainder) = self.base.divide(rest);
            (*digit, rest) = (remainder as u32, quotient);
        }
        let magnitude = signed.unsigned_abs();
        noise.coefficients += 1;
        noise.refused += valid ^ 1;
        noise.max_abs = noise.max_abs.max(magnitude);
        noise.sum += i128::from(signed);
        noise.sum_squares += u128::from(magnitude) * u128::from(magnitude);
    }

    /// `round(Delta * value * 2^l / q)`: an estimate at most one too small, then its remainder against q and q/2.
    #[inline(always)]
    fn expected(&self, value: u64) -> u64 {
        let embedded = self.delta.by.wrapping_mul(value);
        let shift = 63 + self.q_bits - self.bits;
        let estimate = ((u128::from(embedded) * u128::from(self.q_reciprocal)) >> shift) as u64;
        let rest = (embedded << self.bits).wrapping_sub(estimate.wrapping_mul(self.q));
        let more = at_least(rest, self.q);
        let rest = rest - (self.q & more.wrapping_neg());
        estimate + more + at_least(2 * rest, self.q)
    }
}
