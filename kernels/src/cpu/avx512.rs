//! The AVX-512 shell: sixteen words in a vector. Needs F, BW, DQ, VL, VBMI, IFMA and VPOPCNTDQ (Ice Lake, Zen 4 and later).
//!
//! Who promises what to whom: `new` promises every caller of `run` that the processor has the instructions, and the
//! slice checks promise each memory access that its bytes are there.
#![allow(unsafe_code)]

mod rounds;

use super::simd::{Body, PackedEight, Simd};
use crate::Encoding;
use core::arch::x86_64::*;

/// Proof that this processor has the instructions: only [`Avx512::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512ifma")
            && is_x86_feature_detected!("avx512vpopcntdq");
        present.then_some(Self(()))
    }

    pub(super) fn run<B: Body>(self, body: B) -> B::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512ifma,avx512vpopcntdq,bmi2")]
        fn shell<B: Body>(simd: Avx512, body: B) -> B::Output {
            // Left alone, the compiler aligns the stack to sixteen bytes only, and vectors kept there lie across two lines of
            // the cache, depending on where the stack begins. A local that it must not remove makes it align the frame;
            // `mut`, or it becomes a constant elsewhere.
            core::hint::black_box(&mut Line([0; 64]));
            body.run(simd)
        }
        // SAFETY: `self` proves that the processor has every enabled feature (all processors with these have BMI2).
        unsafe { shell(self, body) }
    }
}

/// A vector's place in memory.
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "only where it lies matters")] [u8; 64]);

/// An intrinsic without memory access, called under the proof that `self` is.
macro_rules! op {
    ($call:expr) => {{
        // SAFETY: the intrinsic needs CPU features only, and a value of type `Avx512` proves them.
        unsafe { $call }
    }};
}

// Below the macro, which it uses.
mod fused;

#[inline(always)]
fn indices(f: impl Fn(usize) -> usize) -> __m512i {
    let words: [u32; 16] = core::array::from_fn(|i| f(i) as u32);
    // SAFETY: 64 bytes of plain integers either way.
    unsafe { core::mem::transmute(words) }
}

#[inline(always)]
fn wide_indices(f: impl Fn(usize) -> usize) -> __m512i {
    indices(|i| if i % 2 == 0 { f(i / 2) } else { 0 })
}

/// The odd words, each also in the even place below.
#[inline(always)]
fn odd_words(_: Avx512, x: __m512i) -> __m512i {
    op!(_mm512_castps_si512(_mm512_movehdup_ps(_mm512_castsi512_ps(x))))
}

/// High halves of products: the odd ones' are in place, the even ones' move down by one. Written with intrinsics, the
/// compiler makes two shuffles of this one instruction. Not `pure`, which keeps products in the order written: left to
/// itself the compiler ends long blocks with one chain of products that nothing runs beside.
#[inline]
#[target_feature(enable = "avx512f")]
fn merge_high(even: __m512i, mut odd: __m512i) -> __m512i {
    // SAFETY: one instruction on registers, of the feature this function enables.
    unsafe {
        core::arch::asm!(
            "vmovshdup {odd}{{{places}}}, {even}",
            odd = inout(zmm_reg) odd,
            even = in(zmm_reg) even,
            places = in(kreg) 0x5555u16,
            options(nomem, nostack, preserves_flags),
        );
    }
    odd
}

/// Low halves of u64 words, the odd places' moved up by one. Written with intrinsics, this too becomes two shuffles.
#[inline]
#[target_feature(enable = "avx512f")]
fn merge_low(mut even: __m512i, odd: __m512i) -> __m512i {
    // SAFETY: one instruction on registers, of the feature this function enables.
    unsafe {
        core::arch::asm!(
            "vmovsldup {even}{{{places}}}, {odd}",
            even = inout(zmm_reg) even,
            odd = in(zmm_reg) odd,
            places = in(kreg) 0xAAAAu16,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    even
}

/// Products of the low halves. Of the intrinsic, the compiler makes a product of 64 bits where it has seen one factor's
/// high half cleared, and clears the other's: an instruction more, and one that takes three times as long on some.
#[inline]
#[target_feature(enable = "avx512f")]
fn mul_words(a: __m512i, b: __m512i) -> __m512i {
    let product;
    // SAFETY: one instruction on registers, of the feature this function enables.
    unsafe {
        core::arch::asm!(
            "vpmuludq {product}, {a}, {b}",
            product = lateout(zmm_reg) product,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const PAIRS_OF_GROUPS: bool = true;
    type V = __m512i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        op!(_mm512_set1_epi32(word as i32))
    }

    #[inline(always)]
    fn load(self, from: &[u32]) -> __m512i {
        let from = &from[..16];
        // SAFETY: sixteen words are there, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, value: __m512i, to: &mut [u32]) {
        let to = &mut to[..16];
        // SAFETY: sixteen words are there, and the store needs no alignment.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_xor_si512(a, b))
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_and_si512(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_min_epu32(a, b))
    }

    #[inline(always)]
    fn mul_low(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn mul_high(self, a: __m512i, b: __m512i) -> __m512i {
        op!({
            let even = _mm512_mul_epu32(a, b);
            merge_high(even, _mm512_mul_epu32(odd_words(self, a), odd_words(self, b)))
        })
    }

    #[inline(always)]
    fn mul_high_paired(self, a: __m512i, b: __m512i) -> __m512i {
        op!(merge_high(_mm512_mul_epu32(a, b), _mm512_mul_epu32(odd_words(self, a), b)))
    }

    #[inline(always)]
    fn rotate_left<const BY: i32>(self, a: __m512i) -> __m512i {
        op!(_mm512_rol_epi32::<BY>(a))
    }

    #[inline(always)]
    fn shift_left<const BY: u32>(self, a: __m512i) -> __m512i {
        op!(_mm512_slli_epi32::<BY>(a))
    }

    #[inline(always)]
    fn shift_right(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn ones(self, a: __m512i) -> __m512i {
        op!(_mm512_popcnt_epi32(a))
    }

    #[inline(always)]
    fn any_at_least(self, a: __m512i, b: __m512i) -> bool {
        op!(_mm512_cmpge_epu32_mask(a, b)) != 0
    }

    #[inline(always)]
    fn exchange<const T: usize>(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        op!(match T {
            8 => (_mm512_shuffle_i64x2::<0x44>(a, b), _mm512_shuffle_i64x2::<0xEE>(a, b)),
            4 => (
                _mm512_mask_shuffle_i64x2::<0xA0>(a, 0b1100_1100, b, b),
                _mm512_mask_shuffle_i64x2::<0xF5>(b, 0b0011_0011, a, a),
            ),
            2 => (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)),
            _ => {
                let (a, b) = (_mm512_castsi512_ps(a), _mm512_castsi512_ps(b));
                let (low, high) = (_mm512_mask_moveldup_ps(a, 0xAAAA, b), _mm512_mask_movehdup_ps(b, 0x5555, a));
                (_mm512_castps_si512(low), _mm512_castps_si512(high))
            }
        })
    }

    #[inline(always)]
    fn zip(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        let (low, high) = (indices(|i| i / 2 + 16 * (i % 2)), indices(|i| 8 + i / 2 + 16 * (i % 2)));
        op!((_mm512_permutex2var_epi32(a, low, b), _mm512_permutex2var_epi32(a, high, b)))
    }

    #[inline(always)]
    fn unzip(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        let (even, odd) = (indices(|i| 2 * i), indices(|i| 2 * i + 1));
        op!((_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b)))
    }

    #[inline(always)]
    fn bytes(self, from: &[u32]) -> __m512i {
        let from = &from[..4];
        // SAFETY: sixteen bytes are there.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_blocks(self, state: &[__m512i; 16], to: &mut [u32]) {
        let to = &mut to[..256];
        // Four words of four blocks at a time, then quarters to their blocks.
        let mut rows = [self.splat(0); 16];
        for (group, words) in state.as_chunks::<4>().0.iter().enumerate() {
            op!({
                let (a, b) = (_mm512_unpacklo_epi32(words[0], words[1]), _mm512_unpackhi_epi32(words[0], words[1]));
                let (c, d) = (_mm512_unpacklo_epi32(words[2], words[3]), _mm512_unpackhi_epi32(words[2], words[3]));
                rows[group] = _mm512_unpacklo_epi64(a, c);
                rows[4 + group] = _mm512_unpackhi_epi64(a, c);
                rows[8 + group] = _mm512_unpacklo_epi64(b, d);
                rows[12 + group] = _mm512_unpackhi_epi64(b, d);
            });
        }
        for (block, quarters) in rows.as_chunks::<4>().0.iter().enumerate() {
            op!({
                let (a, b) = (
                    _mm512_shuffle_i64x2::<0x44>(quarters[0], quarters[1]),
                    _mm512_shuffle_i64x2::<0xEE>(quarters[0], quarters[1]),
                );
                let (c, d) = (
                    _mm512_shuffle_i64x2::<0x44>(quarters[2], quarters[3]),
                    _mm512_shuffle_i64x2::<0xEE>(quarters[2], quarters[3]),
                );
                let blocks = [
                    _mm512_shuffle_i64x2::<0x88>(a, c),
                    _mm512_shuffle_i64x2::<0xDD>(a, c),
                    _mm512_shuffle_i64x2::<0x88>(b, d),
                    _mm512_shuffle_i64x2::<0xDD>(b, d),
                ];
                for (row, words) in blocks.into_iter().enumerate() {
                    self.store(words, &mut to[16 * (4 * row + block)..]);
                }
            });
        }
    }

    #[inline(always)]
    fn every(self, from: &[u32], stride: usize, first: usize) -> __m512i {
        let mut words = self.splat(0);
        // Two vectors at a time: the wanted words that lie in them.
        for (pair, from) in from[..16 * stride].chunks(32).enumerate() {
            let at = indices(|i| (first + i * stride).wrapping_sub(32 * pair));
            let near = self.load(from);
            let far = if from.len() == 32 { self.load(&from[16..]) } else { near };
            op!({
                let here = _mm512_cmplt_epu32_mask(at, _mm512_set1_epi32(32));
                words = _mm512_mask_blend_epi32(here, words, _mm512_permutex2var_epi32(near, at, far));
            });
        }
        words
    }

    #[inline(always)]
    fn interleave<const STRIDE: usize>(self, planes: &[__m512i; STRIDE], to: &mut [u32]) {
        for (row, to) in to[..16 * STRIDE].chunks_exact_mut(16).enumerate() {
            let mut words = self.splat(0);
            for (pair, planes) in planes.chunks(2).enumerate() {
                let far = usize::from(planes.len() == 2);
                let place = |i: usize| ((16 * row + i) % STRIDE).wrapping_sub(2 * pair);
                let at = indices(|i| (16 * row + i) / STRIDE + 16 * (place(i) & 1));
                let here = (0..16).fold(0, |mask, i| mask | u16::from(place(i) <= far) << i);
                let found = op!(_mm512_permutex2var_epi32(planes[0], at, planes[far]));
                words = op!(_mm512_mask_blend_epi32(here, words, found));
            }
            self.store(words, to);
        }
    }

    #[inline(always)]
    fn double_rounds<const G: usize>(self, groups: &mut [[__m512i; 16]; G]) {
        match groups.as_mut_slice().try_into() {
            Ok(pair) => op!(rounds::ten_double_rounds(pair)),
            Err(_) => super::expand::double_rounds(self, groups),
        }
    }

    #[inline(always)]
    fn sub_wide(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_sub_epi64(a, b))
    }

    #[inline(always)]
    fn scale_wide(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mullo_epi64(a, b))
    }

    #[inline(always)]
    fn mul_low_wide(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_mullo_epi64(a, b))
    }

    #[inline(always)]
    fn shift_left_wide(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_sll_epi64(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn add_if_above(self, base: __m512i, x: __m512i, bound: __m512i, addend: __m512i) -> __m512i {
        op!(_mm512_mask_add_epi64(base, _mm512_cmpgt_epi64_mask(x, bound), base, addend))
    }

    #[inline(always)]
    fn join(self, even: __m512i, odd: __m512i) -> __m512i {
        op!(merge_low(even, odd))
    }

    #[inline(always)]
    fn join_high(self, even: __m512i, odd: __m512i) -> __m512i {
        op!(merge_high(even, odd))
    }

    #[inline(always)]
    fn zip_wide(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        let (low, high) = (wide_indices(|i| i / 2 + 8 * (i % 2)), wide_indices(|i| 4 + i / 2 + 8 * (i % 2)));
        op!((_mm512_permutex2var_epi64(a, low, b), _mm512_permutex2var_epi64(a, high, b)))
    }

    #[inline(always)]
    fn unzip_wide(self, a: __m512i, b: __m512i) -> (__m512i, __m512i) {
        let (even, odd) = (wide_indices(|i| 2 * i), wide_indices(|i| 2 * i + 1));
        op!((_mm512_permutex2var_epi64(a, even, b), _mm512_permutex2var_epi64(a, odd, b)))
    }

    #[inline(always)]
    fn pack(self, words: &[u32], bits: &PackedEight, out: &mut [u8]) {
        let (eights, rest) = words.as_chunks::<16>();
        if bits.bytes < 8 {
            return bits.pack(words, out);
        }
        let (out, last) = out.split_at_mut(eights.len() * bits.bytes);
        let wanted = u64::MAX >> (64 - bits.bytes);
        for (index, eight) in eights.iter().enumerate() {
            let out = &mut out[index * bits.bytes..];
            // SAFETY: a whole store where 64 bytes are there, of which the next one overwrites what is not its own, else a
            // masked one of `bits.bytes` bytes, which are. The other loads read arrays of 64 bytes.
            unsafe {
                let shifted = _mm512_sllv_epi64(self.load(eight), _mm512_loadu_si512(bits.bit.as_ptr().cast()));
                let first = _mm512_permutexvar_epi8(_mm512_loadu_si512(bits.first.as_ptr().cast()), shifted);
                let second = _mm512_loadu_si512(bits.second.as_ptr().cast());
                let second = _mm512_maskz_permutexvar_epi8(bits.begins, second, shifted);
                let packed = _mm512_or_si512(first, second);
                if out.len() >= 64 {
                    _mm512_storeu_si512(out.as_mut_ptr().cast(), packed);
                } else {
                    _mm512_mask_storeu_epi8(out[..bits.bytes].as_mut_ptr().cast(), wanted, packed);
                }
            }
        }
        bits.pack(rest, last);
    }

    #[inline(always)]
    fn seal(self, encoding: &Encoding, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> bool {
        let Some(fused) = fused::Fused::new(self, encoding) else { return false };
        fused.seal(pad, digits, out);
        true
    }

    #[inline(always)]
    fn add_wide(self, a: __m512i, b: __m512i) -> __m512i {
        op!(_mm512_add_epi64(a, b))
    }

    #[inline(always)]
    fn mul_wide(self, a: __m512i, b: __m512i) -> __m512i {
        op!(mul_words(a, b))
    }

    #[inline(always)]
    fn shift_right_wide(self, a: __m512i, by: u32) -> __m512i {
        op!(_mm512_srl_epi64(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn shift_left_32_wide(self, a: __m512i) -> __m512i {
        op!(_mm512_slli_epi64::<32>(a))
    }

    #[inline(always)]
    fn splat_wide(self, word: u64) -> __m512i {
        op!(_mm512_set1_epi64(word as i64))
    }

    #[inline(always)]
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    ) {
        let wanted = u64::MAX >> (64 - bits.bytes);
        let byte_of: [u8; 64] = core::array::from_fn(|i| bits.byte[i / 8] + (i % 8) as u8);
        let accumulator = &mut accumulator[..if WIDE { 16 } else { 8 }];
        // SAFETY: the masked load reads `bits.bytes` bytes, which the slice has; the accumulator's length is checked.
        unsafe {
            let byte_of = _mm512_loadu_si512(byte_of.as_ptr().cast());
            let bit_of = _mm512_loadu_si512(bits.bit.as_ptr().cast());
            let mut sum = _mm512_setzero_si512();
            for row in rows {
                let row = &row[at..at + bits.bytes];
                let packed = _mm512_maskz_loadu_epi8(wanted, row.as_ptr().cast());
                sum = _mm512_add_epi64(sum, _mm512_srlv_epi64(_mm512_permutexvar_epi8(byte_of, packed), bit_of));
            }
            if WIDE {
                let to = accumulator.as_mut_ptr().cast();
                _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to.cast_const().cast()), sum));
            } else {
                let to: *mut __m256i = accumulator.as_mut_ptr().cast();
                _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), _mm512_cvtepi64_epi32(sum)));
            }
        }
    }
}
