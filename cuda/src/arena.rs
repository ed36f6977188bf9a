//! Memory that is asked for once and handed out piece by piece: which bytes of which block, not the memory itself.

use kernels::Fault;

/// What must happen to memory after its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Public,
    /// It is overwritten with zeros.
    Secret,
}

/// How jobs get device memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// From large blocks that are kept from job to job.
    #[default]
    Pooled,
    /// Each piece is an allocation of its own, given back after the job. Slow, but a memory checker then sees a kernel
    /// that runs past a piece's end.
    Separate,
}

/// Blocks of memory handed out piece by piece, and kept for the next job.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) allocation: Allocation,
    /// Address and size.
    pub(crate) blocks: Vec<(u64, usize)>,
    /// Bytes of the last block in use.
    pub(crate) used: usize,
}

const ALIGNMENT: usize = 256;
const SMALLEST_BLOCK: usize = 1 << 16;

impl Arena {
    /// Block and offset of `bytes` fresh bytes in the last block, which `allocate` makes if there is no room.
    pub(crate) fn take(
        &mut self,
        bytes: usize,
        allocate: impl FnOnce(usize) -> Result<u64, Fault>,
    ) -> Result<(usize, usize), Fault> {
        if self.allocation == Allocation::Separate {
            self.blocks.push((allocate(bytes.max(1))?, bytes.max(1)));
            return Ok((self.blocks.len() - 1, 0));
        }
        let bytes = bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let room = self.blocks.last().map_or(0, |(_, size)| size - self.used);
        if room < bytes {
            let all: usize = self.blocks.iter().map(|(_, size)| size).sum();
            let size = bytes.max(all).max(SMALLEST_BLOCK);
            self.blocks.push((allocate(size)?, size));
            self.used = 0;
        }
        let offset = self.used;
        self.used += bytes;
        Ok((self.blocks.len() - 1, offset))
    }

    /// Starts anew with the largest block; gives back the others, or all where each piece has its own.
    pub(crate) fn reset(&mut self) -> Vec<(u64, usize)> {
        self.used = 0;
        let last = if self.allocation == Allocation::Pooled { self.blocks.pop() } else { None };
        let others = std::mem::take(&mut self.blocks);
        self.blocks.extend(last);
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_never_overlap_and_the_largest_block_is_kept() {
        let (mut arena, mut next) = (Arena::default(), 0u64);
        let mut taken = Vec::new();
        for bytes in [1, 300, 1 << 16, 0, 5 << 16, 7] {
            let (block, offset) = arena
                .take(bytes, |size| {
                    next += 1 << 32;
                    assert!(size >= bytes);
                    Ok(next)
                })
                .unwrap();
            let (at, size) = arena.blocks[block];
            assert!(offset + bytes <= size && offset.is_multiple_of(ALIGNMENT));
            taken.push((at + offset as u64, at + (offset + bytes) as u64));
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{taken:x?}");
        let largest = arena.blocks.iter().map(|&(_, size)| size).max();
        arena.reset();
        assert_eq!(arena.blocks.iter().map(|&(_, size)| size).max(), largest);
        assert_eq!(arena.blocks.len(), 1);
    }

    #[test]
    fn what_cannot_be_allocated_changes_nothing() {
        let mut arena = Arena::default();
        assert_eq!(arena.take(10, |_| Err(Fault::OutOfMemory)), Err(Fault::OutOfMemory));
        assert!(arena.blocks.is_empty() && arena.take(10, |_| Ok(1)).is_ok());
    }
}
