//! What a vector unit must offer: the vocabulary in which the kernels' bodies are written once.
//!
//! A value of a type that implements [`Simd`] is the proof that this processor has the instructions. Everything is
//! `#[inline(always)]`, so a body becomes one function compiled for the instructions its shell enables. A closure cannot be
//! marked so: one that calls a method of [`Simd`] may stay a function of its own, many times slower. Bodies use loops.

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
    /// Unsigned. Only for public values: an engine may compare and branch.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Low halves of the products.
    fn mul_low(self, a: Self::V, b: Self::V) -> Self::V;
    /// High halves of the unsigned products.
    fn mul_high(self, a: Self::V, b: Self::V) -> Self::V;
    /// The same, where the words of `b` come in equal pairs.
    fn mul_high_paired(self, a: Self::V, b: Self::V) -> Self::V;
    fn rotate_left<const BY: i32>(self, a: Self::V) -> Self::V;
    fn shift_left<const BY: u32>(self, a: Self::V) -> Self::V;
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

    fn add_wide(self, a: Self::V, b: Self::V) -> Self::V;
    /// Products of the low halves of the u64 words.
    fn mul_wide(self, a: Self::V, b: Self::V) -> Self::V;
    fn shift_right_wide(self, a: Self::V, by: u32) -> Self::V;
    fn shift_left_32_wide(self, a: Self::V) -> Self::V;
    fn splat_wide(self, word: u64) -> Self::V;
    /// Words to u64 words, in order, in two vectors.
    fn widen(self, a: Self::V) -> (Self::V, Self::V);

    /// Adds eight packed words of each row, from byte `at` on, to eight accumulators: `u32` each, or little-endian
    /// pairs if `WIDE`. Bits above the word's own are garbage.
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    );
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
}

impl PackedEight {
    pub(super) fn new(bits: u32) -> Self {
        Self {
            bytes: bits as usize,
            byte: core::array::from_fn(|i| (i as u32 * bits / 8) as u8),
            bit: core::array::from_fn(|i| u64::from(i as u32 * bits % 8)),
        }
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
