//! The AVX2 shell: eight words in a vector.
//!
//! Who promises what to whom: `new` promises every caller of `run` that the processor has the instructions, and the
//! slice checks promise each memory access that its bytes are there.
#![allow(unsafe_code)]

use super::simd::{Body, PackedEight, Simd};
use core::arch::x86_64::*;

/// Proof that this processor has the instructions: only [`Avx2::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2")).then_some(Self(()))
    }

    pub(super) fn run<B: Body>(self, body: B) -> B::Output {
        #[target_feature(enable = "avx2,bmi2")]
        fn shell<B: Body>(simd: Avx2, body: B) -> B::Output {
            // Left alone, the compiler aligns the stack to sixteen bytes only, and vectors kept there lie across two lines of
            // the cache, depending on where the stack begins. A local that it must not remove makes it align the frame;
            // `mut`, or it becomes a constant elsewhere.
            core::hint::black_box(&mut Line([0; 32]));
            body.run(simd)
        }
        // SAFETY: `self` proves that the processor has every enabled feature.
        unsafe { shell(self, body) }
    }
}

/// A vector's place in memory.
#[repr(align(32))]
struct Line(#[allow(dead_code, reason = "only where it lies matters")] [u8; 32]);

/// An intrinsic without memory access, called under the proof that `self` is.
macro_rules! op {
    ($call:expr) => {{
        // SAFETY: the intrinsic needs CPU features only, and a value of type `Avx2` proves them.
        unsafe { $call }
    }};
}

#[inline(always)]
fn indices(f: impl Fn(usize) -> usize) -> __m256i {
    let words: [u32; 8] = core::array::from_fn(|i| f(i) as u32);
    // SAFETY: 32 bytes of plain integers either way.
    unsafe { core::mem::transmute(words) }
}

/// All ones where `f` says so.
#[inline(always)]
fn places(f: impl Fn(usize) -> bool) -> __m256i {
    indices(|i| if f(i) { u32::MAX as usize } else { 0 })
}

/// The odd words, each also in the even place below.
#[inline(always)]
fn odd_words(_: Avx2, x: __m256i) -> __m256i {
    op!(_mm256_castps_si256(_mm256_movehdup_ps(_mm256_castsi256_ps(x))))
}

/// High halves of products: the odd ones' are in place, the even ones' move down by one. In the order written: left to
/// itself the compiler ends long blocks with one chain of products that nothing runs beside.
#[inline]
#[target_feature(enable = "avx2")]
fn merge_high(simd: Avx2, even: __m256i, odd: __m256i) -> __m256i {
    let mut high = _mm256_blend_epi32::<0b1010_1010>(odd_words(simd, even), odd);
    // SAFETY: no instruction at all.
    unsafe { core::arch::asm!("/* {} */", inout(ymm_reg) high, options(nomem, nostack, preserves_flags)) };
    high
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    const PAIRS_OF_GROUPS: bool = true;
    type V = __m256i;

    #[inline(always)]
    fn splat(self, word: u32) -> __m256i {
        op!(_mm256_set1_epi32(word as i32))
    }

    #[inline(always)]
    fn load(self, from: &[u32]) -> __m256i {
        let from = &from[..8];
        // SAFETY: eight words are there, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store(self, value: __m256i, to: &mut [u32]) {
        let to = &mut to[..8];
        // SAFETY: eight words are there, and the store needs no alignment.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_add_epi32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_sub_epi32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_xor_si256(a, b))
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_and_si256(a, b))
    }

    #[inline(always)]
    fn min(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_min_epu32(a, b))
    }

    #[inline(always)]
    fn mul_low(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_mullo_epi32(a, b))
    }

    #[inline(always)]
    fn mul_high(self, a: __m256i, b: __m256i) -> __m256i {
        op!({
            let (even, odd) = (_mm256_mul_epu32(a, b), _mm256_mul_epu32(odd_words(self, a), odd_words(self, b)));
            merge_high(self, even, odd)
        })
    }

    #[inline(always)]
    fn mul_high_paired(self, a: __m256i, b: __m256i) -> __m256i {
        op!({
            let (even, odd) = (_mm256_mul_epu32(a, b), _mm256_mul_epu32(odd_words(self, a), b));
            merge_high(self, even, odd)
        })
    }

    #[inline(always)]
    fn rotate_left<const BY: i32>(self, a: __m256i) -> __m256i {
        op!({
            if BY == 16 || BY == 8 {
                // Whole bytes: byte i comes from byte i - BY/8 of its word.
                let from: [u8; 32] =
                    core::array::from_fn(|i| (i % 16 / 4 * 4 + (i % 4 + 4 - BY as usize / 8) % 4) as u8);
                _mm256_shuffle_epi8(a, core::mem::transmute::<[u8; 32], __m256i>(from))
            } else {
                let (left, right) = (_mm_cvtsi32_si128(BY), _mm_cvtsi32_si128(32 - BY));
                _mm256_or_si256(_mm256_sll_epi32(a, left), _mm256_srl_epi32(a, right))
            }
        })
    }

    #[inline(always)]
    fn shift_left<const BY: u32>(self, a: __m256i) -> __m256i {
        op!(_mm256_sll_epi32(a, _mm_cvtsi32_si128(BY as i32)))
    }

    #[inline(always)]
    fn shift_right(self, a: __m256i, by: u32) -> __m256i {
        op!(_mm256_srl_epi32(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn ones(self, a: __m256i) -> __m256i {
        op!({
            // Ones of each nibble by a register look-up, which takes the same time for all; bytes, then words summed.
            let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
            let nibble = _mm256_set1_epi8(15);
            let (low, high) = (_mm256_and_si256(a, nibble), _mm256_and_si256(_mm256_srli_epi32::<4>(a), nibble));
            let bytes = _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
            _mm256_madd_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), _mm256_set1_epi16(1))
        })
    }

    #[inline(always)]
    fn any_at_least(self, a: __m256i, b: __m256i) -> bool {
        op!(_mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a))) != 0
    }

    #[inline(always)]
    fn exchange<const T: usize>(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        op!(match T {
            4 => (_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)),
            2 => (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)),
            _ => (
                _mm256_blend_epi32::<0b1010_1010>(a, _mm256_slli_epi64::<32>(b)),
                _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(a), b),
            ),
        })
    }

    #[inline(always)]
    fn zip(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        op!({
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            (_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
        })
    }

    #[inline(always)]
    fn unzip(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        op!({
            // The halves first, so that picking within 128 bits leaves the words in order.
            let (low, high) = (_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
            let (low, high) = (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
            (
                _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(low, high)),
                _mm256_castps_si256(_mm256_shuffle_ps::<0xDD>(low, high)),
            )
        })
    }

    #[inline(always)]
    fn bytes(self, from: &[u32]) -> __m256i {
        let from = &from[..2];
        // SAFETY: eight bytes are there.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store_blocks(self, state: &[__m256i; 16], to: &mut [u32]) {
        let to = &mut to[..128];
        for (half, words) in state.as_chunks::<8>().0.iter().enumerate() {
            op!({
                let mut quarters = [self.splat(0); 8];
                for (side, words) in words.as_chunks::<4>().0.iter().enumerate() {
                    let a = _mm256_unpacklo_epi32(words[0], words[1]);
                    let b = _mm256_unpackhi_epi32(words[0], words[1]);
                    let c = _mm256_unpacklo_epi32(words[2], words[3]);
                    let d = _mm256_unpackhi_epi32(words[2], words[3]);
                    quarters[side] = _mm256_unpacklo_epi64(a, c);
                    quarters[2 + side] = _mm256_unpackhi_epi64(a, c);
                    quarters[4 + side] = _mm256_unpacklo_epi64(b, d);
                    quarters[6 + side] = _mm256_unpackhi_epi64(b, d);
                }
                for (block, pair) in quarters.as_chunks::<2>().0.iter().enumerate() {
                    let near = _mm256_permute2x128_si256::<0x20>(pair[0], pair[1]);
                    let far = _mm256_permute2x128_si256::<0x31>(pair[0], pair[1]);
                    self.store(near, &mut to[16 * block + 8 * half..]);
                    self.store(far, &mut to[16 * (block + 4) + 8 * half..]);
                }
            });
        }
    }

    #[inline(always)]
    fn every(self, from: &[u32], stride: usize, first: usize) -> __m256i {
        let mut words = self.splat(0);
        for (row, from) in from[..8 * stride].chunks_exact(8).enumerate() {
            let (at, here) = (indices(|i| (first + i * stride) % 8), places(|i| (first + i * stride) / 8 == row));
            words = op!(_mm256_blendv_epi8(words, _mm256_permutevar8x32_epi32(self.load(from), at), here));
        }
        words
    }

    #[inline(always)]
    fn interleave<const STRIDE: usize>(self, planes: &[__m256i; STRIDE], to: &mut [u32]) {
        for (row, to) in to[..8 * STRIDE].chunks_exact_mut(8).enumerate() {
            let at = indices(|i| (8 * row + i) / STRIDE);
            let mut words = self.splat(0);
            for (place, &plane) in planes.iter().enumerate() {
                let here = places(|i| (8 * row + i) % STRIDE == place);
                words = op!(_mm256_blendv_epi8(words, _mm256_permutevar8x32_epi32(plane, at), here));
            }
            self.store(words, to);
        }
    }

    #[inline(always)]
    fn sub_wide(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_sub_epi64(a, b))
    }

    #[inline(always)]
    fn shift_left_wide(self, a: __m256i, by: u32) -> __m256i {
        op!(_mm256_sll_epi64(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn add_if_above(self, base: __m256i, x: __m256i, bound: __m256i, addend: __m256i) -> __m256i {
        op!(_mm256_add_epi64(base, _mm256_and_si256(_mm256_cmpgt_epi64(x, bound), addend)))
    }

    #[inline(always)]
    fn zip_wide(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        op!({
            let (low, high) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            (_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high))
        })
    }

    #[inline(always)]
    fn unzip_wide(self, a: __m256i, b: __m256i) -> (__m256i, __m256i) {
        op!({
            let (low, high) = (_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
            (_mm256_unpacklo_epi64(low, high), _mm256_unpackhi_epi64(low, high))
        })
    }

    #[inline(always)]
    fn add_wide(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_add_epi64(a, b))
    }

    #[inline(always)]
    fn mul_wide(self, a: __m256i, b: __m256i) -> __m256i {
        op!(_mm256_mul_epu32(a, b))
    }

    #[inline(always)]
    fn shift_right_wide(self, a: __m256i, by: u32) -> __m256i {
        op!(_mm256_srl_epi64(a, _mm_cvtsi32_si128(by as i32)))
    }

    #[inline(always)]
    fn shift_left_32_wide(self, a: __m256i) -> __m256i {
        op!(_mm256_slli_epi64::<32>(a))
    }

    #[inline(always)]
    fn splat_wide(self, word: u64) -> __m256i {
        op!(_mm256_set1_epi64x(word as i64))
    }

    #[inline(always)]
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    ) {
        if rows.iter().any(|row| row.len() < at + bits.bytes + 16) {
            return bits.add::<WIDE>(rows, at, accumulator);
        }
        let accumulator = &mut accumulator[..if WIDE { 16 } else { 8 }];
        let mut sums = [self.splat(0); 2];
        for (half, sum) in sums.iter_mut().enumerate() {
            let start: [usize; 2] = core::array::from_fn(|i| usize::from(bits.byte[4 * half + 2 * i]));
            // Each 128-bit lane holds two words: the first from byte 0 on, the second a few bytes further.
            let byte_of: [u8; 32] = core::array::from_fn(|i| {
                let (lane, word) = (i / 16, i % 16 / 8);
                bits.byte[4 * half + 2 * lane + word] - bits.byte[4 * half + 2 * lane] + (i % 8) as u8
            });
            // SAFETY: sixteen bytes from each start are in the row, as checked above: a start is below `bits.bytes`.
            unsafe {
                let byte_of = core::mem::transmute::<[u8; 32], __m256i>(byte_of);
                let bit_of = _mm256_loadu_si256(bits.bit[4 * half..4 * half + 4].as_ptr().cast());
                for row in rows {
                    let near = _mm_loadu_si128(row[at + start[0]..].as_ptr().cast());
                    let far = _mm_loadu_si128(row[at + start[1]..].as_ptr().cast());
                    let packed = _mm256_set_m128i(far, near);
                    let words = _mm256_srlv_epi64(_mm256_shuffle_epi8(packed, byte_of), bit_of);
                    *sum = _mm256_add_epi64(*sum, words);
                }
            }
        }
        if WIDE {
            for (sum, to) in sums.into_iter().zip(accumulator.chunks_exact_mut(8)) {
                self.store(self.add_wide(self.load(to), sum), to);
            }
        } else {
            let (low, _) = self.unzip(sums[0], sums[1]);
            self.store(self.add(self.load(accumulator), low), accumulator);
        }
    }
}
