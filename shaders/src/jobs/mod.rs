//! The jobs, a file each: how work is cut into pieces, and which kernels a piece runs.

pub(crate) mod decrypt;
pub(crate) mod dense;
pub(crate) mod ntt;
pub(crate) mod pad;
pub(crate) mod seal;
pub(crate) mod sum;

use crate::Core;

impl Core {
    /// How many units of `words` words make a piece: at least one.
    fn units(&self, words: usize) -> usize {
        (self.piece_words / words.max(1)).max(1)
    }
}

/// A polynomial's number `index` places after `first`. The job was checked, so there is one.
fn numbered(first: u32, index: usize) -> usize {
    first as usize + index
}
