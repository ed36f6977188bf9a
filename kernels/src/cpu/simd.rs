//! What a vector unit must offer: the vocabulary in which the kernels' bodies are written once.
//!
//! A value of a type that implements [`Simd`] is the proof that this processor has the instructions. Everything is
//! `#[inline(always)]`, so a body becomes one function compiled for the instructions its shell enables. A closure cannot be
//! marked so: one that calls a method of [`Simd`] may stay a function of its own, many times slower. Bodies use loops.

use crate::Encoding;

/// A vector of `LANES` u32 words, also seen as `LANES / 2` u64 words.
///
/// Methods that take slices read or write their first `LANES` words (or as stated) and panic on shorter ones.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// Words in a vector.
    const LANES: usize;
    /// Whether the expander takes two groups of blocks at a time: true where measured to pay.
    const PAIRS_OF_GROUPS: bool;
    /// The vector.
    type V: Copy;

    fn splat(self, word: u32) -> Self::V;
    fn load(self, from: &[u32]) -> Self::V;
    fn store(self, value: Self::V, to: &mut [u32]);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    /// Unsigned.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// Low halves of the products.
    fn mul_low(self, a: Self::V, b: Self::V) -> Self::V;
    /// High halves of the unsigned products.
    fn mul_high(self, a: Self::V, b: Self::V) -> Self::V;
    /// The same, where the words of `b` come in equal pairs.
    fn mul_high_paired(self, a: Self::V, b: Self::V) -> Self::V;
    fn rotate_left<const BY: i32>(self, a: Self::V) -> Self::V;
    fn shift_left<const BY: u32>(self, a: Self::V) -> Self::V;
    /// The same for every word, by 0 to 31.
    fn shift_right(self, a: Self::V, by: u32) -> Self::V;
    /// Ones in each word.
    fn ones(self, a: Self::V) -> Self::V;
    /// Whether any word of `a` is at least that of `b`. For public values: the answer is branched on.
    fn any_at_least(self, a: Self::V, b: Self::V) -> bool;

    /// Exchanges lane bit `T` with the register: of each pair of blocks of `T` words, the first blocks go to the first
    /// result, the second ones to the second. Its own inverse.
    fn exchange<const T: usize>(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// `a0 b0 a1 b1 ..`, in two vectors.
    fn zip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The inverse of [`Simd::zip`].
    fn unzip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// The first `LANES` bytes of little-endian words, each to a word.
    fn bytes(self, from: &[u32]) -> Self::V;
    /// Sixteen vectors, lane b of vector w being word w of block b, to blocks one after the other: `16 * LANES` words.
    fn store_blocks(self, state: &[Self::V; 16], to: &mut [u32]);
    /// ChaCha's ten double rounds on groups of blocks laid out so.
    #[inline(always)]
    fn double_rounds<const G: usize>(self, groups: &mut [[Self::V; 16]; G]) {
        super::expand::double_rounds(self, groups);
    }

    /// Words `first`, `first + stride`, .. of `stride * LANES` words, for `first < stride`.
    fn every(self, from: &[u32], stride: usize, first: usize) -> Self::V;
    /// The inverse for all places at once: `planes[0][0] planes[1][0] .. planes[0][1] ..`, `STRIDE * LANES` words.
    fn interleave<const STRIDE: usize>(self, planes: &[Self::V; STRIDE], to: &mut [u32]);

    fn add_wide(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub_wide(self, a: Self::V, b: Self::V) -> Self::V;
    /// Products of the low halves of the u64 words.
    fn mul_wide(self, a: Self::V, b: Self::V) -> Self::V;
    /// Low halves of the products, for `a` below 2^32.
    #[inline(always)]
    fn scale_wide(self, a: Self::V, b: Self::V) -> Self::V {
        let high = self.mul_wide(a, self.shift_right_wide(b, 32));
        self.add_wide(self.mul_wide(a, b), self.shift_left_32_wide(high))
    }
    /// Low halves of the products.
    #[inline(always)]
    fn mul_low_wide(self, a: Self::V, b: Self::V) -> Self::V {
        let near = self.mul_wide(a, self.shift_right_wide(b, 32));
        let far = self.mul_wide(self.shift_right_wide(a, 32), b);
        self.add_wide(self.mul_wide(a, b), self.shift_left_32_wide(self.add_wide(near, far)))
    }
    /// By 0 to 63.
    fn shift_right_wide(self, a: Self::V, by: u32) -> Self::V;
    /// By 0 to 63.
    fn shift_left_wide(self, a: Self::V, by: u32) -> Self::V;
    fn shift_left_32_wide(self, a: Self::V) -> Self::V;
    /// `base`, plus `addend` where `x > bound`: signed, for a difference that overflows nowhere.
    fn add_if_above(self, base: Self::V, x: Self::V, bound: Self::V, addend: Self::V) -> Self::V;
    /// The low halves of u64 words of even and of odd places, in order.
    #[inline(always)]
    fn join(self, even: Self::V, odd: Self::V) -> Self::V {
        self.exchange::<1>(even, odd).0
    }
    /// The high halves of u64 words of even and of odd places, in order.
    #[inline(always)]
    fn join_high(self, even: Self::V, odd: Self::V) -> Self::V {
        self.exchange::<1>(even, odd).1
    }
    fn splat_wide(self, word: u64) -> Self::V;
    /// [`Simd::zip`] of u64 words.
    fn zip_wide(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// [`Simd::unzip`] of u64 words.
    fn unzip_wide(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);

    /// Adds eight packed words of each row, from byte `at` on, to eight accumulators: `u32` each, or little-endian
    /// pairs if `WIDE`. Bits above the word's own are garbage.
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    );

    /// Seals polynomials in this engine's own way, with the same bits, if it has one for the encoding: whether it has.
    #[inline(always)]
    fn seal(self, _encoding: &Encoding, _pad: &mut [u32], _digits: &[u32], _out: &mut [u8]) -> bool {
        false
    }

    /// Packs words given as little-endian pairs, one after the other; `out` is exactly their bytes. Spare bits of its last
    /// byte become zero.
    #[inline(always)]
    fn pack(self, words: &[u32], bits: &PackedEight, out: &mut [u8]) {
        bits.pack(words, out);
    }
}

/// Where eight packed words lie in their bytes: word i starts at bit `i * bits`.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedEight {
    /// Bytes of the eight words, which is also the bits of one.
    pub(super) bytes: usize,
    /// The byte in which each word starts.
    pub(super) byte: [u8; 8],
    /// The bit of that byte. At most 7, so a word of up to 57 bits lies within the eight bytes from there.
    pub(super) bit: [u64; 8],
    /// For each packed byte, where its first bit lies once every word is shifted left by its `bit`: byte of 64.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for engines with a shuffle of 64 bytes"))]
    pub(super) first: [u8; 64],
    /// The same for the word that begins inside the byte, where there is one.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for engines with a shuffle of 64 bytes"))]
    pub(super) second: [u8; 64],
    /// The packed bytes in which a word begins after their first bit.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for engines with a shuffle of 64 bytes"))]
    pub(super) begins: u64,
}

impl PackedEight {
    pub(super) fn new(bits: u32) -> Self {
        let l = bits as usize;
        let byte: [u8; 8] = core::array::from_fn(|i| (i * l / 8) as u8);
        let (mut first, mut second, mut begins) = ([0; 64], [0; 64], 0);
        for at in 0..l {
            let (word, next) = (8 * at / l, 8 * at / l + 1);
            first[at] = (8 * word + at - usize::from(byte[word])) as u8;
            // True for one word at most if a word has eight bits or more.
            if next < 8 && next * l < 8 * at + 8 {
                second[at] = 8 * next as u8;
                begins |= 1 << at;
            }
        }
        Self { bytes: l, byte, bit: core::array::from_fn(|i| (i * l % 8) as u64), first, second, begins }
    }

    /// [`Simd::pack`] without vectors.
    #[inline(always)]
    pub(super) fn pack(&self, words: &[u32], out: &mut [u8]) {
        let bits = self.bytes;
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

    /// Word `index`, bits above it garbage. Reads past the row's end give zeros.
    #[inline(always)]
    pub(super) fn word(&self, row: &[u8], at: usize, index: usize) -> u64 {
        let start = at + usize::from(self.byte[index]);
        let word = match row.get(start..start + 8) {
            Some(bytes) => u64::from_le_bytes(bytes.try_into().unwrap_or_default()),
            None => {
                let rest = row.get(start..).unwrap_or_default();
                rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
            }
        };
        word >> self.bit[index]
    }

    /// [`Simd::add_packed`] without vectors, for the end of a row and for engines without a byte shuffle.
    #[inline(always)]
    pub(super) fn add<const WIDE: bool>(&self, rows: &[&[u8]], at: usize, accumulator: &mut [u32]) {
        let width = if WIDE { 2 } else { 1 };
        for (index, value) in accumulator.chunks_exact_mut(width).take(8).enumerate() {
            let start = if WIDE { u64::from(value[0]) | u64::from(value[1]) << 32 } else { value[0].into() };
            let sum = rows.iter().fold(start, |sum, row| sum.wrapping_add(self.word(row, at, index)));
            value[0] = sum as u32;
            if WIDE {
                value[1] = (sum >> 32) as u32;
            }
        }
    }
}

/// A kernel's body over one piece of work.
pub(super) trait Body {
    type Output;

    /// Runs it. `#[inline(always)]` in every body, so that it is compiled inside the shell.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
