//! Packed rows into an accumulator: bound by memory, so four rows per sweep over a piece of it that stays in the cache.

use super::simd::{Body, PackedEight, Simd};
use crate::Shape;

/// Words per piece: 32 KiB of accumulator.
const PIECE: usize = 4096;

/// Adds the rows' bytes from `first_byte` on; the accumulator begins at the word that starts there.
pub(super) struct Sum<'a> {
    pub(super) shape: Shape,
    pub(super) rows: &'a [&'a [u8]],
    pub(super) first_byte: usize,
    pub(super) accumulator: &'a mut [u32],
}

impl Body for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.shape.bits > 32 { self.add::<S, true>(s) } else { self.add::<S, false>(s) }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn add<S: Simd, const WIDE: bool>(self, s: S) {
        let width = if WIDE { 2 } else { 1 };
        let bits = PackedEight::new(self.shape.bits);
        let piece_bytes = PIECE / 8 * bits.bytes;
        for (index, piece) in self.accumulator.chunks_mut(width * PIECE).enumerate() {
            let first = self.first_byte + index * piece_bytes;
            let (fours, rest) = self.rows.as_chunks::<4>();
            for rows in fours {
                sweep::<S, WIDE, 4>(s, rows, first, &bits, piece);
            }
            for row in rest {
                sweep::<S, WIDE, 1>(s, &[row], first, &bits, piece);
            }
            mask::<WIDE>(self.shape.mask(), piece);
        }
    }
}

#[inline(always)]
fn sweep<S: Simd, const WIDE: bool, const ROWS: usize>(
    s: S,
    rows: &[&[u8]; ROWS],
    first: usize,
    bits: &PackedEight,
    piece: &mut [u32],
) {
    let width = if WIDE { 16 } else { 8 };
    let mut at = first;
    let mut eights = piece.chunks_exact_mut(width);
    for eight in &mut eights {
        s.add_packed::<WIDE, ROWS>(rows, at, bits, eight);
        at += bits.bytes;
    }
    bits.add::<WIDE>(rows, at, eights.into_remainder());
}

/// Clears what is above a value's own bits.
#[inline(always)]
fn mask<const WIDE: bool>(mask: u64, piece: &mut [u32]) {
    if WIDE {
        for pair in piece.as_chunks_mut::<2>().0 {
            pair[1] &= (mask >> 32) as u32;
        }
    } else {
        for word in piece {
            *word &= mask as u32;
        }
    }
}
