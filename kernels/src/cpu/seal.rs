//! Digits into a pad, coefficients to `l` bits, bits to bytes: one pass over a polynomial that is still in the cache.

use super::pad::{Key, Pad};
use super::simd::{Body, Simd};
use crate::{Encoding, EncryptJob, Secret};

/// Seals consecutive polynomials; `out` is their packed bytes. The pad is left as residues for the caller to erase.
pub(super) struct Seal<'a> {
    pub(super) encoding: &'a Encoding,
    pub(super) pad: &'a mut [u32],
    pub(super) digits: &'a [u32],
    pub(super) out: &'a mut [u8],
}

impl Body for Seal<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let encoding = self.encoding;
        let (n, limbs) = (encoding.ring().n(), encoding.ring().plans().len());
        let mut staged = Secret::new(vec![0; n * (encoding.digits_per_coefficient() + 2)]);
        let digits = self.digits.chunks(n * encoding.digits_per_coefficient());
        let bytes = self.out.chunks_mut(n / 8 * encoding.bits() as usize);
        for ((pad, digits), out) in self.pad.chunks_exact_mut(n * limbs).zip(digits).zip(bytes) {
            seal(s, encoding, pad, digits, staged.expose_mut(), out);
        }
    }
}

/// Pads and seals consecutive polynomials without the pad ever leaving the cache.
pub(super) struct Encrypt<'a> {
    pub(super) job: EncryptJob<'a>,
    pub(super) key: &'a Key,
    pub(super) first_poly: u32,
    pub(super) digits: &'a [u32],
    pub(super) out: &'a mut [u8],
}

impl Body for Encrypt<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let EncryptJob { encoding, a_seed, message_seed: seed, .. } = self.job;
        let ring = encoding.ring();
        let n = ring.n();
        let mut pad = Secret::new(vec![0; n * ring.plans().len()]);
        let mut staged = Secret::new(vec![0; n * (encoding.digits_per_coefficient() + 2)]);
        let digits = self.digits.chunks(n * encoding.digits_per_coefficient());
        let bytes = self.out.chunks_mut(n / 8 * encoding.bits() as usize);
        for (first_poly, (digits, out)) in (self.first_poly..=u32::MAX).zip(digits.zip(bytes)) {
            Pad { ring, a_seed, seed, key: self.key, first_poly, out: pad.expose_mut() }.run(s);
            seal(s, encoding, pad.expose_mut(), digits, staged.expose_mut(), out);
        }
    }
}

/// One polynomial. `staged` holds n words for each digit of a coefficient, and n pairs.
#[inline(always)]
fn seal<S: Simd>(s: S, encoding: &Encoding, pad: &mut [u32], digits: &[u32], staged: &mut [u32], out: &mut [u8]) {
    let (n, rho) = (encoding.ring().n(), encoding.digits_per_coefficient());
    let (planes, words) = staged.split_at_mut(n * rho);
    // Digits of one place side by side; those a last coefficient lacks are zero. Coefficients beyond the last keep what an
    // earlier polynomial left, and are not packed.
    for (place, plane) in planes.chunks_exact_mut(n).enumerate() {
        for (to, digits) in plane.iter_mut().zip(digits.chunks(rho)) {
            *to = digits.get(place).copied().unwrap_or_default();
        }
    }
    for (limb, pad) in pad.chunks_exact_mut(n).enumerate() {
        add_digits(s, encoding, limb, planes, pad);
    }
    round(s, encoding, pad, words);
    pack(&words[..2 * encoding.coefficients(digits.len())], encoding.bits(), out);
}

#[inline(always)]
fn add_digits<S: Simd>(s: S, encoding: &Encoding, limb: usize, planes: &[u32], pad: &mut [u32]) {
    let p = s.splat(encoding.ring().plans()[limb].modulus().value());
    let two_p = s.add(p, p);
    for (factor, plane) in encoding.limbs()[limb].digit_factors.iter().zip(planes.chunks_exact(pad.len())) {
        let (value, quotient) = (s.splat(factor.factor), s.splat(factor.quotient));
        for (pad, digits) in pad.chunks_exact_mut(S::LANES).zip(plane.chunks_exact(S::LANES)) {
            let digit = s.load(digits);
            let product = s.sub(s.mul_low(digit, value), s.mul_low(s.mul_high(digit, quotient), p));
            // [0, p) + [0, 2p)
            let sum = s.add(s.load(pad), product);
            let lazy = s.min(sum, s.sub(sum, two_p));
            s.store(s.min(lazy, s.sub(lazy, p)), pad);
        }
    }
}

/// `round(2^l / q * x)` for each coefficient, given by residues in `[0, p)` limb by limb, to little-endian pairs.
#[inline(always)]
pub(super) fn round<S: Simd>(s: S, encoding: &Encoding, residues: &[u32], words: &mut [u32]) {
    let (n, l) = (encoding.ring().n(), encoding.bits());
    let half = s.splat_wide(1 << (63 - l));
    for (index, words) in words.chunks_exact_mut(2 * S::LANES).enumerate() {
        let (mut near, mut far) = (half, half);
        for (limb, (constants, plan)) in encoding.limbs().iter().zip(encoding.ring().plans()).enumerate() {
            let p = s.splat(plan.modulus().value());
            let x = s.load(&residues[limb * n + index * S::LANES..]);
            let (lift, quotient) = (s.splat(constants.lift.factor), s.splat(constants.lift.quotient));
            let lazy = s.sub(s.mul_low(x, lift), s.mul_low(s.mul_high(x, quotient), p));
            let (low, high) = s.widen(s.min(lazy, s.sub(lazy, p)));
            near = s.add_wide(near, fraction(s, low, constants.theta));
            far = s.add_wide(far, fraction(s, high, constants.theta));
        }
        s.store(s.shift_right_wide(near, 64 - l), words);
        s.store(s.shift_right_wide(far, 64 - l), &mut words[S::LANES..]);
    }
}

/// `y * theta / 2^32` mod 2^64, the product's lowest part cut off.
#[inline(always)]
fn fraction<S: Simd>(s: S, y: S::V, theta: [u32; 3]) -> S::V {
    let low = s.shift_right_wide(s.mul_wide(y, s.splat_wide(theta[0].into())), 32);
    let middle = s.mul_wide(y, s.splat_wide(theta[1].into()));
    let high = s.shift_left_32_wide(s.mul_wide(y, s.splat_wide(theta[2].into())));
    s.add_wide(s.add_wide(low, middle), high)
}

/// Words given as little-endian pairs, `bits` bits each, lowest bit first; the last byte's spare bits are zero.
#[inline(always)]
fn pack(words: &[u32], bits: u32, out: &mut [u8]) {
    let (mut held, mut filled) = (0u64, 0);
    let mut wholes = out.chunks_exact_mut(8);
    for pair in words.as_chunks::<2>().0 {
        let word = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        held |= word << filled;
        filled += bits;
        if filled >= 64 {
            if let Some(to) = wholes.next() {
                to.copy_from_slice(&held.to_le_bytes());
            }
            filled -= 64;
            // `bits - filled` is at least 1; a shift by 64 cannot happen as bits <= 57.
            held = word >> (bits - filled);
        }
    }
    // What is still held is the last one to eight bytes.
    let rest = match wholes.next() {
        Some(whole) => whole,
        None => wholes.into_remainder(),
    };
    rest.copy_from_slice(&held.to_le_bytes()[..rest.len()]);
}
