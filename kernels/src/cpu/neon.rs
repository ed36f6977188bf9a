//! The NEON shell: four words in a vector.
//!
//! On little-endian processors only: there the lanes of a vector lie in memory in their order.
//!
//! Who promises what to whom: the architecture promises every caller that the processor has the instructions, and the
//! slice checks promise each memory access that its bytes are there.
#![allow(unsafe_code)]

use super::simd::{Body, PackedEight, Simd};
use core::arch::aarch64::*;

/// Stands for what every aarch64 processor has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    pub(super) fn new() -> Self {
        Self(())
    }

    pub(super) fn run<B: Body>(self, body: B) -> B::Output {
        body.run(self)
    }
}

/// An intrinsic without memory access, on this architecture.
macro_rules! op {
    ($call:expr) => {{
        // SAFETY: the intrinsic needs NEON only, and every aarch64 processor has it.
        unsafe { $call }
    }};
}

impl Simd for Neon {
    const LANES: usize = 4;
    const PAIRS_OF_GROUPS: bool = false;
    type V = uint32x4_t;

    #[inline(always)]
    fn splat(self, word: u32) -> uint32x4_t {
        op!(vdupq_n_u32(word))
    }

    #[inline(always)]
    fn load(self, from: &[u32]) -> uint32x4_t {
        let from = &from[..4];
        // SAFETY: four words are there.
        unsafe { vld1q_u32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, value: uint32x4_t, to: &mut [u32]) {
        let to = &mut to[..4];
        // SAFETY: four words are there.
        unsafe { vst1q_u32(to.as_mut_ptr(), value) }
    }

    #[inline(always)]
    fn add(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vaddq_u32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vsubq_u32(a, b))
    }

    #[inline(always)]
    fn xor(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(veorq_u32(a, b))
    }

    #[inline(always)]
    fn and(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vandq_u32(a, b))
    }

    #[inline(always)]
    fn min(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vminq_u32(a, b))
    }

    #[inline(always)]
    fn mul_low(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vmulq_u32(a, b))
    }

    #[inline(always)]
    fn mul_high(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!({
            let (low, high) = (vmull_u32(vget_low_u32(a), vget_low_u32(b)), vmull_high_u32(a, b));
            vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high))
        })
    }

    #[inline(always)]
    fn mul_high_paired(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        self.mul_high(a, b)
    }

    #[inline(always)]
    fn rotate_left<const BY: i32>(self, a: uint32x4_t) -> uint32x4_t {
        op!(match BY {
            16 => vreinterpretq_u32_u16(vrev32q_u16(vreinterpretq_u16_u32(a))),
            8 => {
                // Byte i comes from byte i - 1 of its word.
                let from = vcombine_u8(vcreate_u8(0x0605_0407_0201_0003), vcreate_u8(0x0E0D_0C0F_0A09_080B));
                vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(a), from))
            }
            12 => vsriq_n_u32::<20>(vshlq_n_u32::<12>(a), a),
            7 => vsriq_n_u32::<25>(vshlq_n_u32::<7>(a), a),
            // A negative count shifts right.
            _ => vorrq_u32(vshlq_u32(a, vdupq_n_s32(BY)), vshlq_u32(a, vdupq_n_s32(BY - 32))),
        })
    }

    #[inline(always)]
    fn shift_left<const BY: u32>(self, a: uint32x4_t) -> uint32x4_t {
        op!(vshlq_u32(a, vdupq_n_s32(BY as i32)))
    }

    #[inline(always)]
    fn shift_right(self, a: uint32x4_t, by: u32) -> uint32x4_t {
        // A negative count shifts right.
        op!(vshlq_u32(a, vdupq_n_s32(-(by as i32))))
    }

    #[inline(always)]
    fn ones(self, a: uint32x4_t) -> uint32x4_t {
        op!(vpaddlq_u16(vpaddlq_u8(vcntq_u8(vreinterpretq_u8_u32(a)))))
    }

    #[inline(always)]
    fn any_at_least(self, a: uint32x4_t, b: uint32x4_t) -> bool {
        op!(vmaxvq_u32(vcgeq_u32(a, b))) != 0
    }

    #[inline(always)]
    fn exchange<const T: usize>(self, a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        op!(match T {
            2 => {
                let (a, b) = (vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b));
                (vreinterpretq_u32_u64(vtrn1q_u64(a, b)), vreinterpretq_u32_u64(vtrn2q_u64(a, b)))
            }
            _ => (vtrn1q_u32(a, b), vtrn2q_u32(a, b)),
        })
    }

    #[inline(always)]
    fn zip(self, a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        op!((vzip1q_u32(a, b), vzip2q_u32(a, b)))
    }

    #[inline(always)]
    fn unzip(self, a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        op!((vuzp1q_u32(a, b), vuzp2q_u32(a, b)))
    }

    #[inline(always)]
    fn bytes(self, from: &[u32]) -> uint32x4_t {
        let four = u64::from(from[0]);
        op!(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))))
    }

    #[inline(always)]
    fn store_blocks(self, state: &[uint32x4_t; 16], to: &mut [u32]) {
        let to = &mut to[..64];
        // Four words of four blocks at a time.
        for (group, words) in state.as_chunks::<4>().0.iter().enumerate() {
            let (a, b) = self.exchange::<1>(words[0], words[1]);
            let (c, d) = self.exchange::<1>(words[2], words[3]);
            let ((a, c), (b, d)) = (self.exchange::<2>(a, c), self.exchange::<2>(b, d));
            for (block, words) in [a, b, c, d].into_iter().enumerate() {
                self.store(words, &mut to[16 * block + 4 * group..]);
            }
        }
    }

    #[inline(always)]
    fn every(self, from: &[u32], stride: usize, first: usize) -> uint32x4_t {
        let pair = |i: usize| u64::from(from[first + i * stride]) | u64::from(from[first + (i + 1) * stride]) << 32;
        let (low, high) = (pair(0), pair(2));
        op!(vcombine_u32(vcreate_u32(low), vcreate_u32(high)))
    }

    #[inline(always)]
    fn interleave<const STRIDE: usize>(self, planes: &[uint32x4_t; STRIDE], to: &mut [u32]) {
        for (place, &plane) in planes.iter().enumerate() {
            let to = &mut to[..4 * STRIDE];
            op!({
                to[place] = vgetq_lane_u32::<0>(plane);
                to[place + STRIDE] = vgetq_lane_u32::<1>(plane);
                to[place + 2 * STRIDE] = vgetq_lane_u32::<2>(plane);
                to[place + 3 * STRIDE] = vgetq_lane_u32::<3>(plane);
            });
        }
    }

    #[inline(always)]
    fn sub_wide(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vreinterpretq_u32_u64(vsubq_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b))))
    }

    #[inline(always)]
    fn shift_left_wide(self, a: uint32x4_t, by: u32) -> uint32x4_t {
        op!(vreinterpretq_u32_u64(vshlq_u64(vreinterpretq_u64_u32(a), vdupq_n_s64(i64::from(by)))))
    }

    #[inline(always)]
    fn add_if_above(self, base: uint32x4_t, x: uint32x4_t, bound: uint32x4_t, addend: uint32x4_t) -> uint32x4_t {
        let above = op!(vcgtq_s64(vreinterpretq_s64_u32(x), vreinterpretq_s64_u32(bound)));
        self.add_wide(base, self.and(op!(vreinterpretq_u32_u64(above)), addend))
    }

    #[inline(always)]
    fn zip_wide(self, a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        self.exchange::<2>(a, b)
    }

    #[inline(always)]
    fn unzip_wide(self, a: uint32x4_t, b: uint32x4_t) -> (uint32x4_t, uint32x4_t) {
        self.exchange::<2>(a, b)
    }

    #[inline(always)]
    fn add_wide(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!(vreinterpretq_u32_u64(vaddq_u64(vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b))))
    }

    #[inline(always)]
    fn mul_wide(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        op!({
            let (a, b) = (vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b));
            vreinterpretq_u32_u64(vmull_u32(vmovn_u64(a), vmovn_u64(b)))
        })
    }

    #[inline(always)]
    fn shift_right_wide(self, a: uint32x4_t, by: u32) -> uint32x4_t {
        // A negative count shifts right.
        op!(vreinterpretq_u32_u64(vshlq_u64(vreinterpretq_u64_u32(a), vdupq_n_s64(-i64::from(by)))))
    }

    #[inline(always)]
    fn shift_left_32_wide(self, a: uint32x4_t) -> uint32x4_t {
        op!(vreinterpretq_u32_u64(vshlq_n_u64::<32>(vreinterpretq_u64_u32(a))))
    }

    #[inline(always)]
    fn splat_wide(self, word: u64) -> uint32x4_t {
        op!(vreinterpretq_u32_u64(vdupq_n_u64(word)))
    }

    #[inline(always)]
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    ) {
        if rows.iter().any(|row| row.len() < at + usize::from(bits.byte[6]) + 16) {
            return bits.add::<WIDE>(rows, at, accumulator);
        }
        let accumulator = &mut accumulator[..if WIDE { 16 } else { 8 }];
        let mut sums = [self.splat(0); 4];
        let places = bits.byte.as_chunks::<2>().0.iter().zip(bits.bit.as_chunks::<2>().0);
        for (sum, (byte, bit)) in sums.iter_mut().zip(places) {
            // A vector holds two words: the first from byte 0 on, the second a few bytes further.
            let apart = byte[1] - byte[0];
            let byte_of = op!({
                let eight = vcreate_u8(0x0706_0504_0302_0100);
                vcombine_u8(eight, vadd_u8(eight, vdup_n_u8(apart)))
            });
            // SAFETY: two words are there. A negative count shifts right.
            let shift = unsafe { vnegq_s64(vreinterpretq_s64_u64(vld1q_u64(bit.as_ptr()))) };
            for row in rows {
                let packed = &row[at + usize::from(byte[0])..][..16];
                // SAFETY: sixteen bytes are there.
                let packed = unsafe { vld1q_u8(packed.as_ptr()) };
                let words = op!(vshlq_u64(vreinterpretq_u64_u8(vqtbl1q_u8(packed, byte_of)), shift));
                *sum = self.add_wide(*sum, op!(vreinterpretq_u32_u64(words)));
            }
        }
        if WIDE {
            for (sum, to) in sums.into_iter().zip(accumulator.chunks_exact_mut(4)) {
                self.store(self.add_wide(self.load(to), sum), to);
            }
        } else {
            for (sums, to) in sums.as_chunks::<2>().0.iter().zip(accumulator.chunks_exact_mut(4)) {
                let (low, _) = self.unzip(sums[0], sums[1]);
                self.store(self.add(self.load(to), low), to);
            }
        }
    }
}
