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

/// Blocks of memory handed out piece by piece, and kept for the next job. Jobs that follow one another like one another soon
/// ask for no block at all: asking stops the device, and stops copies that should overlap with kernels.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    pub(crate) allocation: Allocation,
    /// Address and size.
    pub(crate) blocks: Vec<(u64, usize)>,
    /// Bytes of the last block in use.
    pub(crate) used: usize,
    /// The size of the next first block: what a job before needed several blocks for.
    pub(crate) wanted: usize,
}

const ALIGNMENT: usize = 256;
const SMALLEST_BLOCK: usize = 1 << 16;
/// A further block is as large as all before it, so that there are few, but no more than this beyond need.
const LARGEST_STEP: usize = 1 << 24;

impl Arena {
    /// Block and offset of `bytes` fresh bytes in the last block, which `allocate` makes if there is no room.
    pub(crate) fn take(
        &mut self,
        bytes: usize,
        allocate: impl Fn(usize) -> Result<u64, Fault>,
    ) -> Result<(usize, usize), Fault> {
        if self.allocation == Allocation::Separate {
            self.blocks.push((allocate(bytes.max(1))?, bytes.max(1)));
            return Ok((self.blocks.len() - 1, 0));
        }
        let bytes = bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        let room = self.blocks.last().map_or(0, |(_, size)| size - self.used);
        if room < bytes {
            let all: usize = self.blocks.iter().map(|(_, size)| size).sum();
            let wish = if self.blocks.is_empty() { self.wanted } else { all.min(LARGEST_STEP) };
            let size = bytes.max(wish).max(SMALLEST_BLOCK);
            // More than the job needs is a wish: where there is no room for it, what is needed may still fit.
            let (at, size) = match allocate(size) {
                Err(Fault::OutOfMemory) if size > bytes => (allocate(bytes)?, bytes),
                made => (made?, size),
            };
            self.blocks.push((at, size));
            self.used = 0;
        }
        let offset = self.used;
        self.used += bytes;
        Ok((self.blocks.len() - 1, offset))
    }

    /// Starts anew, and gives back what the caller frees: nothing where one block was enough; otherwise all, and the next job
    /// begins with one that has room for as much.
    pub(crate) fn reset(&mut self) -> Vec<(u64, usize)> {
        self.used = 0;
        if self.allocation == Allocation::Pooled {
            if self.blocks.len() < 2 {
                return Vec::new();
            }
            self.wanted = self.blocks.iter().map(|(_, size)| size).sum();
        }
        std::mem::take(&mut self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::Cell;

    /// Addresses far apart.
    fn fresh(next: &Cell<u64>) -> Result<u64, Fault> {
        next.set(next.get() + (1 << 32));
        Ok(next.get())
    }

    const PIECES: [usize; 6] = [1, 300, 1 << 16, 0, 5 << 16, 7];

    #[test]
    fn pieces_never_overlap() {
        let (mut arena, next) = (Arena::default(), Cell::new(0));
        let mut taken = Vec::new();
        for bytes in PIECES {
            let (block, offset) = arena.take(bytes, |_| fresh(&next)).unwrap();
            let (at, size) = arena.blocks[block];
            assert!(offset + bytes <= size && offset.is_multiple_of(ALIGNMENT));
            taken.push((at + offset as u64, at + (offset + bytes) as u64));
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{taken:x?}");
    }

    #[test]
    fn from_the_third_job_like_the_first_on_nothing_is_allocated_or_given_back() {
        let (mut arena, next) = (Arena::default(), Cell::new(0));
        let given_back: Vec<usize> = (0..5)
            .map(|_| {
                for bytes in PIECES {
                    arena.take(bytes, |_| fresh(&next)).unwrap();
                }
                arena.reset().len()
            })
            .collect();
        assert!(given_back[0] > 1 && given_back[1..] == [0; 4], "{given_back:?}");
        assert_eq!(next.get() >> 32, given_back[0] as u64 + 1);
    }

    #[test]
    fn a_large_piece_does_not_ask_for_as_much_again() {
        let (mut arena, next) = (Arena::default(), Cell::new(0));
        for bytes in [1 << 30, 1 << 30, 1] {
            arena.take(bytes, |_| fresh(&next)).unwrap();
        }
        assert_eq!(arena.blocks.iter().map(|&(_, size)| size).collect::<Vec<_>>(), [1 << 30, 1 << 30, LARGEST_STEP]);
    }

    #[test]
    fn what_cannot_be_allocated_changes_nothing() {
        let mut arena = Arena::default();
        assert_eq!(arena.take(10, |_| Err(Fault::OutOfMemory)), Err(Fault::OutOfMemory));
        assert!(arena.blocks.is_empty() && arena.take(10, |_| Ok(1)).is_ok());
    }

    #[test]
    fn where_a_wish_does_not_fit_what_is_needed_does() {
        let least = |size| if size > 1024 { Err(Fault::OutOfMemory) } else { Ok(1) };
        let mut arena = Arena { wanted: 1 << 20, ..Arena::default() };
        assert_eq!(arena.take(900, least), Ok((0, 0)));
        assert_eq!(arena.blocks, [(1, 1024)]);
    }
}
