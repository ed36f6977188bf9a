//! Digits into a pad, coefficients to `l` bits, bits to bytes: one pass over a polynomial that is still in the cache.

use super::simd::{Body, PackedEight, Simd};
use crate::{Encoding, Secret};

/// Coefficients between two packings. It divides every n, and any number of bits makes them whole bytes.
const BLOCK: usize = 256;
/// Digits between two reductions: with one product of residues, as many as 64 bits hold.
const GROUP: usize = 3;

/// Seals consecutive polynomials; `out` is their packed bytes. The pad is all zeros afterwards.
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
        if s.seal(self.encoding, self.pad, self.digits, self.out) {
            return;
        }
        let (n, limbs) = (self.encoding.ring().n(), self.encoding.ring().plans().len());
        let mut sealer = Sealer::new(s, self.encoding);
        let digits = self.digits.chunks(n * self.encoding.digits_per_coefficient());
        let bytes = self.out.chunks_mut(n / 8 * self.encoding.bits() as usize);
        for ((pad, digits), out) in self.pad.chunks_exact_mut(n * limbs).zip(digits).zip(bytes) {
            sealer.seal(pad, digits, out);
        }
    }
}

/// Seals one polynomial after the other.
struct Sealer<'a, S: Simd> {
    s: S,
    encoding: &'a Encoding,
    rounding: Rounding<S::V>,
    embeddings: Vec<Embedding<S::V>>,
    packing: PackedEight,
    /// The digits of a vector of coefficients that are not all there, the missing ones zero.
    staged: Secret<Vec<u32>>,
    /// A block's coefficients on their way to the wire, as pairs.
    words: Secret<Vec<u32>>,
}

impl<'a, S: Simd> Sealer<'a, S> {
    #[inline(always)]
    fn new(s: S, encoding: &'a Encoding) -> Self {
        let mut embeddings = Vec::new();
        for limb in 0..encoding.limbs().len() {
            embeddings.push(Embedding::new(s, encoding, limb));
        }
        Self {
            s,
            encoding,
            rounding: Rounding::new(s, encoding),
            embeddings,
            packing: PackedEight::new(encoding.bits()),
            staged: Secret::new(vec![0; S::LANES * encoding.digits_per_coefficient()]),
            words: Secret::new(vec![0; 2 * BLOCK]),
        }
    }

    #[inline(always)]
    fn seal(&mut self, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        // A known number of digits makes the shuffles that gather them constants.
        match self.encoding.digits_per_coefficient() {
            1 => self.seal_digits(1, pad, digits, out),
            2 => self.seal_digits(2, pad, digits, out),
            3 => self.seal_digits(3, pad, digits, out),
            4 => self.seal_digits(4, pad, digits, out),
            6 => self.seal_digits(6, pad, digits, out),
            rho => self.seal_digits(rho, pad, digits, out),
        }
    }

    #[inline(always)]
    fn seal_digits(&mut self, rho: usize, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        if self.embeddings.len() == 1 {
            self.seal_limbs::<1>(rho, pad, digits, out);
        } else {
            self.seal_limbs::<2>(rho, pad, digits, out);
        }
    }

    #[inline(always)]
    fn seal_limbs<const LIMBS: usize>(&mut self, rho: usize, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        let bytes = BLOCK / 8 * self.packing.bytes;
        for (block, (digits, out)) in digits.chunks(BLOCK * rho).zip(out.chunks_mut(bytes)).enumerate() {
            let words = self.words.expose_mut();
            for (index, digits) in digits.chunks(S::LANES * rho).enumerate() {
                let digits = if digits.len() == S::LANES * rho {
                    digits
                } else {
                    let staged = self.staged.expose_mut();
                    staged.fill(0);
                    staged[..digits.len()].copy_from_slice(digits);
                    staged
                };
                let at = block * BLOCK + index * S::LANES;
                let (near, far) =
                    coefficients::<S, LIMBS>(self.s, rho, &self.rounding, &self.embeddings, digits, pad, at);
                self.s.store(near, &mut words[2 * index * S::LANES..]);
                self.s.store(far, &mut words[(2 * index + 1) * S::LANES..]);
            }
            self.s.pack(&words[..2 * digits.len().div_ceil(rho)], &self.packing, out);
        }
        // Each vector's place in the pad was zeroed above: here only the coefficients that no digit reached.
        let first = digits.len().div_ceil(rho).next_multiple_of(S::LANES);
        for pad in pad.chunks_exact_mut(self.encoding.ring().n()) {
            pad[first..].fill(0);
        }
    }
}

/// A vector of coefficients from their digits and the pad at `at`, which becomes zero: words of `l` bits as pairs.
#[inline(always)]
fn coefficients<S: Simd, const LIMBS: usize>(
    s: S,
    rho: usize,
    rounding: &Rounding<S::V>,
    embeddings: &[Embedding<S::V>],
    digits: &[u32],
    pad: &mut [u32],
    at: usize,
) -> (S::V, S::V) {
    let (n, zero) = (pad.len() / LIMBS, s.splat(0));
    let (mut even, mut odd, mut total) = ([zero; LIMBS], [zero; LIMBS], [zero; LIMBS]);
    for limb in 0..LIMBS {
        let (pad, lift) = (&mut pad[limb * n + at..], embeddings[limb].lift);
        let r = s.load(pad);
        s.store(zero, pad);
        (even[limb], odd[limb]) = (s.mul_wide(r, lift), s.mul_wide(s.shift_right_wide(r, 32), lift));
    }
    for first in (0..rho).step_by(GROUP) {
        for place in first..rho.min(first + GROUP) {
            let digit = s.every(digits, rho, place);
            let digit_odd = s.shift_right_wide(digit, 32);
            for limb in 0..LIMBS {
                let factor = embeddings[limb].factors[place];
                even[limb] = s.add_wide(even[limb], s.mul_wide(digit, factor));
                odd[limb] = s.add_wide(odd[limb], s.mul_wide(digit_odd, factor));
            }
        }
        for limb in 0..LIMBS {
            let part = embeddings[limb].reduce(s, even[limb], odd[limb]);
            total[limb] = if first == 0 { part } else { reduce_once(s, s.add(total[limb], part), embeddings[limb].p) };
            (even[limb], odd[limb]) = (zero, zero);
        }
    }
    let mut sums = (rounding.half, rounding.half);
    for (theta, total) in rounding.thetas.into_iter().zip(total) {
        sums = theta.add(s, total, sums);
    }
    let unused = rounding.unused;
    s.zip_wide(s.shift_right_wide(sums.0, unused), s.shift_right_wide(sums.1, unused))
}

/// `[0, 2 * bound)` to `[0, bound)`.
#[inline(always)]
fn reduce_once<S: Simd>(s: S, x: S::V, bound: S::V) -> S::V {
    s.min(x, s.sub(x, bound))
}

/// One limb's way from digits and pad to `y = v * (q/p)^-1 mod p`: factors times 2^32, which the reduction takes away.
struct Embedding<V> {
    p: V,
    /// `p^-1 mod 2^32`.
    inverse: V,
    lift: V,
    factors: Vec<V>,
}

impl<V: Copy> Embedding<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(s: S, encoding: &Encoding, limb: usize) -> Self {
        let (modulus, constants) = (encoding.ring().plans()[limb].modulus(), &encoding.limbs()[limb]);
        let p = modulus.value();
        // Newton: p is its own inverse mod 8, and each step doubles the bits.
        let mut inverse = p;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2u32.wrapping_sub(p.wrapping_mul(inverse)));
        }
        let two_32 = ((1u64 << 32) % u64::from(p)) as u32;
        let lift = modulus.mul(constants.lift.factor, two_32);
        let mut factors = Vec::new();
        for factor in &constants.digit_factors {
            factors.push(s.splat(modulus.mul(factor.factor, lift)));
        }
        Self { p: s.splat(p), inverse: s.splat(inverse), lift: s.splat(lift), factors }
    }

    /// `sum / 2^32 mod p` in `[0, p)`, for sums of a product of residues and [`GROUP`] products of a word and a residue.
    #[inline(always)]
    fn reduce<S: Simd<V = V>>(&self, s: S, even: V, odd: V) -> V {
        // (p-1)^2 + 3(2^32-1)(p-1) < 2^64, and its high word is below 3p + p/4, so below 2p after one subtraction.
        let high = s.join_high(even, odd);
        let high = reduce_once(s, high, s.add(self.p, self.p));
        // The multiple of p with the same low word; then only the high words differ.
        let even = s.mul_wide(s.mul_wide(even, self.inverse), self.p);
        let odd = s.mul_wide(s.mul_wide(odd, self.inverse), self.p);
        // In (-p, 2p): where negative, adding p gives the smaller word.
        let difference = s.sub(high, s.join_high(even, odd));
        reduce_once(s, s.min(difference, s.add(difference, self.p)), self.p)
    }
}

/// `round(2^l / q * x)`, x given by `y_i = x * (q/p_i)^-1 mod p_i`, as the top `l` bits of a u64.
pub(super) struct Rounding<V> {
    /// `64 - l`.
    pub(super) unused: u32,
    half: V,
    thetas: [Theta<V>; 2],
    lifts: [Lift<V>; 2],
    limbs: usize,
}

/// `floor(2^96 / p)`: 32 bits, and 64 above.
#[derive(Clone, Copy)]
struct Theta<V> {
    low: V,
    high: V,
}

/// `(q/p)^-1` with its quotient.
#[derive(Clone, Copy)]
struct Lift<V> {
    p: V,
    factor: V,
    quotient: V,
}

impl<V: Copy> Rounding<V> {
    #[inline(always)]
    pub(super) fn new<S: Simd<V = V>>(s: S, encoding: &Encoding) -> Self {
        let (limbs, plans) = (encoding.limbs(), encoding.ring().plans());
        let zero = s.splat(0);
        let mut thetas = [Theta { low: zero, high: zero }; 2];
        let mut lifts = [Lift { p: zero, factor: zero, quotient: zero }; 2];
        for (index, (limb, plan)) in limbs.iter().zip(plans).enumerate() {
            let [t0, t1, t2] = limb.theta.map(u64::from);
            thetas[index] = Theta { low: s.splat_wide(t0), high: s.splat_wide(t1 | t2 << 32) };
            let (p, factor, quotient) = (plan.modulus().value(), limb.lift.factor, limb.lift.quotient);
            lifts[index] = Lift { p: s.splat(p), factor: s.splat(factor), quotient: s.splat(quotient) };
        }
        let l = encoding.bits();
        Self { unused: 64 - l, half: s.splat_wide(1 << (63 - l)), thetas, lifts, limbs: limbs.len() }
    }

    /// A vector of coefficients from `at` on, given by residues in `[0, p)` limb by limb: those of even places, those of
    /// odd places. Bits below the top `l` are garbage.
    #[inline(always)]
    pub(super) fn round<S: Simd<V = V>>(&self, s: S, residues: &[u32], at: usize) -> (V, V) {
        let mut sums = (self.half, self.half);
        let n = residues.len() / self.limbs;
        for limb in 0..self.limbs {
            let (x, lift) = (s.load(&residues[limb * n + at..]), self.lifts[limb]);
            let estimate = s.mul_high_paired(x, lift.quotient);
            let lazy = s.sub(s.mul_low(x, lift.factor), s.mul_low(estimate, lift.p));
            sums = self.thetas[limb].add(s, reduce_once(s, lazy, lift.p), sums);
        }
        sums
    }
}

impl<V: Copy> Theta<V> {
    /// Adds `y * theta / 2^32` mod 2^64, the product's lowest part cut off, for words y of even and odd places.
    #[inline(always)]
    fn add<S: Simd<V = V>>(self, s: S, y: V, sums: (V, V)) -> (V, V) {
        let even = s.and(y, s.splat_wide(u32::MAX.into()));
        let odd = s.shift_right_wide(y, 32);
        let (near, far) = (s.scale_wide(even, self.high), s.scale_wide(odd, self.high));
        let near = s.add_wide(near, s.shift_right_wide(s.mul_wide(even, self.low), 32));
        let far = s.add_wide(far, s.shift_right_wide(s.mul_wide(odd, self.low), 32));
        (s.add_wide(sums.0, near), s.add_wide(sums.1, far))
    }
}
