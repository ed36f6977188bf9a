//! Buffers that begin at a cache line: where the allocator happens to put one moves a transform's time by some per cent.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// Words that begin at a cache line.
#[derive(Debug)]
pub struct Aligned {
    /// Never grown, so it stays where it is.
    words: Vec<u32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// A copy of these words.
    #[must_use]
    pub fn new(content: &[u32]) -> Self {
        let words = vec![0; content.len() + LINE / 4];
        let start = (LINE - words.as_ptr() as usize % LINE) % LINE / 4;
        let mut aligned = Self { words, start, len: content.len() };
        aligned.copy_from_slice(content);
        aligned
    }
}

impl Deref for Aligned {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.words[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u32] {
        &mut self.words[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_cache_lines() {
        for len in [0, 1, 1024, 40_000] {
            let buffer = Aligned::new(&vec![7; len]);
            assert_eq!(buffer.as_ptr() as usize % LINE, 0);
            assert_eq!(&buffer[..], vec![7; len]);
        }
    }
}
