//! Sealing with fused products of 52 bits: a coefficient in each u64, so nothing is split into even and odd places.
//!
//! A residue is kept times 2^20, so that the 52 bits of a product are 32 bits of the residue. For a factor w and
//! `w' = floor(w * 2^52 / p)`, `x * w - floor(x * w' / 2^52) * p` lies in `[0, p + x * p / 2^52)`; several such terms share one
//! subtraction, and one reduction at the end.
//!
//! As in `avx512.rs`, a value of type [`Avx512`] promises the instructions, and slice checks promise the memory.

#![allow(unsafe_code)]

use super::{Avx512, wide_indices};
use crate::Encoding;
use crate::cpu::simd::PackedEight;
use core::arch::x86_64::*;
use zeroize::Zeroize;

/// Coefficients in a vector.
const LANES: usize = 8;
/// Bits that a fused product takes of its factors, and gives of itself.
const WIDTH: u32 = 52;
/// What residues are multiplied by: 2^20.
const SCALE: u32 = WIDTH - 32;
/// The most digits of a coefficient.
const MOST_DIGITS: usize = 4;

/// Polynomials that are sealed with one encoding.
pub(super) struct Fused<'a> {
    simd: Avx512,
    encoding: &'a Encoding,
}

impl<'a> Fused<'a> {
    /// `None` for an encoding whose numbers do not fit.
    #[inline(always)]
    pub(super) fn new(simd: Avx512, encoding: &'a Encoding) -> Option<Self> {
        let digits = encoding.digits_per_coefficient() as u64;
        // Two digits, any words, make one factor below `pair`.
        let pair = if digits == 1 { 1 << 32 } else { (encoding.base() + 1) << 32 };
        // Sums of terms stay below 4p: each is short by less than one p, and by its factor's share of another.
        let pairs = digits.div_ceil(2);
        let fits =
            digits <= MOST_DIGITS as u64 && pair <= 1 << WIDTH && (1 << 30) + pairs * pair < (3 - pairs) << WIDTH;
        // The upper part of theta, times a residue, is a factor too; and no byte may begin two words.
        let primes = encoding.ring().plans().iter().all(|plan| plan.modulus().value() > 1 << 25);
        (fits && primes && encoding.bits() >= 8).then_some(Self { simd, encoding })
    }

    /// Seals polynomials one after the other.
    #[inline(always)]
    pub(super) fn seal(&self, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        match (self.encoding.ring().plans().len(), self.encoding.digits_per_coefficient()) {
            (1, 1) => self.seal_all::<1, 1>(pad, digits, out),
            (1, 2) => self.seal_all::<1, 2>(pad, digits, out),
            (1, 3) => self.seal_all::<1, 3>(pad, digits, out),
            (1, _) => self.seal_all::<1, 4>(pad, digits, out),
            (_, 1) => self.seal_all::<2, 1>(pad, digits, out),
            (_, 2) => self.seal_all::<2, 2>(pad, digits, out),
            (_, 3) => self.seal_all::<2, 3>(pad, digits, out),
            (_, _) => self.seal_all::<2, 4>(pad, digits, out),
        }
    }

    #[inline(always)]
    fn seal_all<const LIMBS: usize, const DIGITS: usize>(&self, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        let n = self.encoding.ring().n();
        let way = Way::<LIMBS>::new(self.simd, self.encoding);
        let digits = digits.chunks(n * DIGITS);
        let bytes = out.chunks_mut(n / 8 * way.packing.bytes);
        for ((pad, digits), out) in pad.chunks_exact_mut(n * LIMBS).zip(digits).zip(bytes) {
            way.seal::<DIGITS>(self.simd, pad, digits, out);
        }
    }
}

/// Constants on a coefficient's way, by value: they stay in registers.
#[derive(Clone, Copy)]
struct Way<const LIMBS: usize> {
    limbs: [Limb; LIMBS],
    base: __m512i,
    half: __m512i,
    /// `64 - l`.
    unused: __m512i,
    packing: Packing,
}

impl<const LIMBS: usize> Way<LIMBS> {
    #[inline(always)]
    fn new(simd: Avx512, encoding: &Encoding) -> Self {
        let mut limbs = [Limb::new(simd, encoding, 0); LIMBS];
        for (index, limb) in limbs.iter_mut().enumerate().skip(1) {
            *limb = Limb::new(simd, encoding, index);
        }
        let l = encoding.bits();
        Self {
            limbs,
            base: splat(simd, encoding.base()),
            half: splat(simd, 1 << (63 - l)),
            unused: splat(simd, u64::from(64 - l)),
            packing: Packing::new(simd, l),
        }
    }

    #[inline(always)]
    fn seal<const DIGITS: usize>(self, simd: Avx512, pad: &mut [u32], digits: &[u32], out: &mut [u8]) {
        let n = pad.len() / LIMBS;
        let (wholes, rest) = digits.split_at(digits.len() - digits.len() % (LANES * DIGITS));
        for (index, digits) in wholes.chunks_exact(LANES * DIGITS).enumerate() {
            let words = self.coefficients::<DIGITS>(simd, digits, pad, index * LANES);
            self.packing.store(simd, words, &mut out[index * self.packing.bytes..]);
        }
        let mut first = wholes.len() / DIGITS;
        if !rest.is_empty() {
            let mut staged = [0; LANES * MOST_DIGITS];
            staged[..rest.len()].copy_from_slice(rest);
            let words = self.coefficients::<DIGITS>(simd, &staged[..LANES * DIGITS], pad, first);
            staged.zeroize();
            let here = (1u16 << rest.len().div_ceil(DIGITS)) - 1;
            let words = op!(_mm512_maskz_mov_epi64(here as __mmask8, words));
            self.packing.store(simd, words, &mut out[first / LANES * self.packing.bytes..]);
            first += LANES;
        }
        // Each vector's place in the pad was zeroed above: here only the coefficients that no digit reached.
        for pad in pad.chunks_exact_mut(n) {
            pad[first..].fill(0);
        }
    }

    /// A vector of coefficients from their digits and the pad at `at`, which becomes zero: words of `l` bits.
    #[inline(always)]
    fn coefficients<const DIGITS: usize>(&self, simd: Avx512, digits: &[u32], pad: &mut [u32], at: usize) -> __m512i {
        let n = pad.len() / LIMBS;
        let factors = pairs::<DIGITS>(simd, digits, self.base);
        let (mut low, mut high) = (self.half, op!(_mm512_setzero_si512()));
        for (index, limb) in self.limbs.iter().enumerate() {
            let pad = &mut pad[index * n + at..][..LANES];
            let (mut sum, mut quotient) = limb.lift.start(simd, load_eight(simd, pad));
            pad.fill(0);
            for (term, factor) in limb.digits.iter().zip(factors).take(DIGITS.div_ceil(2)) {
                (sum, quotient) = term.add(simd, factor, sum, quotient);
            }
            let y = limb.reduce(simd, sum, quotient);
            low = op!(_mm512_madd52hi_epu64(low, y, limb.theta_low));
            high = op!(_mm512_madd52hi_epu64(high, y, limb.theta_high));
        }
        op!(_mm512_srlv_epi64(_mm512_add_epi64(low, _mm512_slli_epi64::<SCALE>(high)), self.unused))
    }
}

/// How eight words become bytes.
#[derive(Clone, Copy)]
struct Packing {
    bytes: usize,
    bit: __m512i,
    first: __m512i,
    second: __m512i,
    begins: u64,
}

impl Packing {
    #[inline(always)]
    fn new(_: Avx512, l: u32) -> Self {
        let bits = PackedEight::new(l);
        // SAFETY: the loads read arrays of 64 bytes.
        let [bit, first, second] = unsafe {
            [
                _mm512_loadu_si512(bits.bit.as_ptr().cast()),
                _mm512_loadu_si512(bits.first.as_ptr().cast()),
                _mm512_loadu_si512(bits.second.as_ptr().cast()),
            ]
        };
        Self { bytes: bits.bytes, bit, first, second, begins: bits.begins }
    }

    /// Eight words to the first bytes of `out`, or as many of their bytes as there is room for. A whole store where 64 bytes
    /// are there: the next eight words overwrite what is not its own.
    #[inline(always)]
    fn store(&self, _: Avx512, words: __m512i, out: &mut [u8]) {
        // SAFETY: the store writes 64 bytes that are there, or as many as there are.
        unsafe {
            let shifted = _mm512_sllv_epi64(words, self.bit);
            let first = _mm512_permutexvar_epi8(self.first, shifted);
            let second = _mm512_maskz_permutexvar_epi8(self.begins, self.second, shifted);
            let packed = _mm512_or_si512(first, second);
            if out.len() >= 64 {
                _mm512_storeu_si512(out.as_mut_ptr().cast(), packed);
            } else {
                let bytes = out.len().min(self.bytes);
                _mm512_mask_storeu_epi8(out.as_mut_ptr().cast(), (1 << bytes) - 1, packed);
            }
        }
    }
}

#[inline(always)]
fn load_eight(_: Avx512, from: &[u32]) -> __m512i {
    let from = &from[..LANES];
    // SAFETY: eight words are there.
    unsafe { _mm512_cvtepu32_epi64(_mm256_loadu_si256(from.as_ptr().cast())) }
}

/// Eight words, and eight more.
#[inline(always)]
fn load_sixteen(_: Avx512, near: &[u32; LANES], far: &[u32; LANES]) -> __m512i {
    // SAFETY: eight words each are there.
    unsafe {
        let (near, far) = (_mm256_loadu_si256(near.as_ptr().cast()), _mm256_loadu_si256(far.as_ptr().cast()));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(near), far)
    }
}

#[inline(always)]
fn splat(_: Avx512, word: u64) -> __m512i {
    op!(_mm512_set1_epi64(word as i64))
}

/// The digits of one place, of sixteen words and sixteen more. Of the intrinsic, the compiler makes two instructions, a
/// permutation and a mask.
#[inline(always)]
fn place<const DIGITS: usize>(near: __m512i, far: __m512i, place: usize) -> __m512i {
    op!(even_words(near, wide_indices(|i| i * DIGITS + place), far))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn even_words(mut near: __m512i, at: __m512i, far: __m512i) -> __m512i {
    // SAFETY: one instruction on registers, of the feature this function enables.
    unsafe {
        core::arch::asm!(
            "vpermt2d {near}{{{places}}}{{z}}, {at}, {far}",
            near = inout(zmm_reg) near,
            at = in(zmm_reg) at,
            far = in(zmm_reg) far,
            places = in(kreg) 0x5555u16,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    near
}

/// Factors of two digits each, `low + base * high`, the last one of one digit where their number is odd.
#[inline(always)]
fn pairs<const DIGITS: usize>(simd: Avx512, digits: &[u32], base: __m512i) -> [__m512i; 2] {
    let (eights, last) = (digits.as_chunks::<LANES>().0, DIGITS - 1);
    let near = load_sixteen(simd, &eights[0], &eights[last.min(1)]);
    let far = if DIGITS > 2 { load_sixteen(simd, &eights[last.min(2)], &eights[last.min(3)]) } else { near };
    let mut pairs = [place::<DIGITS>(near, far, 0), op!(_mm512_setzero_si512())];
    if DIGITS > 1 {
        pairs[0] = op!(_mm512_madd52lo_epu64(pairs[0], place::<DIGITS>(near, far, 1), base));
    }
    if DIGITS > 2 {
        pairs[1] = place::<DIGITS>(near, far, 2);
    }
    if DIGITS > 3 {
        pairs[1] = op!(_mm512_madd52lo_epu64(pairs[1], place::<DIGITS>(near, far, 3), base));
    }
    pairs
}

/// A factor mod p, times 2^20, and its quotient.
#[derive(Clone, Copy)]
struct Term {
    factor: __m512i,
    quotient: __m512i,
}

impl Term {
    #[inline(always)]
    fn new(simd: Avx512, factor: u32, p: u32) -> Self {
        let (factor, p) = (u64::from(factor), u64::from(p));
        // floor(factor * 2^52 / p), 26 bits at a time: factor and remainder are below 2^30.
        let (upper, rest) = ((factor << 26) / p, (factor << 26) % p);
        let quotient = (upper << 26) + (rest << 26) / p;
        Self { factor: splat(simd, factor << SCALE), quotient: splat(simd, quotient) }
    }

    #[inline(always)]
    fn start(&self, simd: Avx512, x: __m512i) -> (__m512i, __m512i) {
        let zero = op!(_mm512_setzero_si512());
        self.add(simd, x, zero, zero)
    }

    #[inline(always)]
    fn add(&self, _: Avx512, x: __m512i, sum: __m512i, quotient: __m512i) -> (__m512i, __m512i) {
        op!((_mm512_madd52lo_epu64(sum, x, self.factor), _mm512_madd52hi_epu64(quotient, x, self.quotient)))
    }
}

/// One limb's way from digits and pad to `y = v * (q/p)^-1 mod p`, and from there to the wire.
#[derive(Clone, Copy)]
struct Limb {
    lift: Term,
    digits: [Term; 2],
    /// p times 2^20, and twice that.
    p: __m512i,
    twice_p: __m512i,
    /// The same from 2^52 down.
    minus_p: __m512i,
    /// The low 52 bits of theta.
    theta_low: __m512i,
    /// The bits above them, times 2^32: the product with a residue times 2^20 has them 52 bits up.
    theta_high: __m512i,
}

impl Limb {
    #[inline(always)]
    fn new(simd: Avx512, encoding: &Encoding, limb: usize) -> Self {
        let (modulus, constants) = (encoding.ring().plans()[limb].modulus(), &encoding.limbs()[limb]);
        let (p, lift) = (modulus.value(), constants.lift.factor);
        let mut digits = [Term::new(simd, 0, p); 2];
        for (digit, factor) in digits.iter_mut().zip(constants.digit_factors.iter().step_by(2)) {
            *digit = Term::new(simd, modulus.mul(factor.factor, lift), p);
        }
        let [t0, t1, t2] = constants.theta.map(u128::from);
        let (theta, scaled) = (t0 | t1 << 32 | t2 << 64, u64::from(p) << SCALE);
        Self {
            lift: Term::new(simd, lift, p),
            digits,
            p: splat(simd, scaled),
            twice_p: splat(simd, 2 * scaled),
            minus_p: splat(simd, (1 << WIDTH) - scaled),
            theta_low: splat(simd, theta as u64 & ((1 << WIDTH) - 1)),
            theta_high: splat(simd, ((theta >> WIDTH) as u64) << 32),
        }
    }

    /// Terms' sum and quotient to their residue in `[0, p)`, times 2^20: from below 4p.
    #[inline(always)]
    fn reduce(&self, _: Avx512, sum: __m512i, quotient: __m512i) -> __m512i {
        op!({
            let lazy = _mm512_madd52lo_epu64(sum, quotient, self.minus_p);
            let lazy = _mm512_and_si512(lazy, _mm512_set1_epi64((1 << WIDTH) - 1));
            let lazy = _mm512_min_epu64(lazy, _mm512_sub_epi64(lazy, self.twice_p));
            _mm512_min_epu64(lazy, _mm512_sub_epi64(lazy, self.p))
        })
    }
}
