//! An upload as it arrives: bytes in any portions, chunks out, each compared with the leaf its robot signed.

use crate::coding::Id;
use core::fmt;
use folding::lwe::{CHUNK_LEN, merkle_leaf};

/// Where an upload stands. Memory: one chunk.
#[derive(Clone, Debug)]
pub struct Intake {
    leaves: Vec<Id>,
    len: u64,
    verified: usize,
    buffer: Vec<u8>,
}

/// A chunk that is not what was announced, or bytes behind the last one. Chunks before it are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTheChunk(pub u64);

impl fmt::Display for NotTheChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} is not the one that was announced: send it again from there", self.0)
    }
}

impl core::error::Error for NotTheChunk {}

impl Intake {
    /// Of an upload of `len` bytes with these leaves, nothing there yet.
    #[must_use]
    pub fn new(leaves: Vec<Id>, len: u64) -> Self {
        Self { leaves, len, verified: 0, buffer: Vec::new() }
    }

    /// Chunks that are there.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified as u64
    }

    /// Bytes that are there.
    #[must_use]
    pub fn verified_len(&self) -> u64 {
        (self.verified as u64 * CHUNK_LEN as u64).min(self.len)
    }

    /// Bytes of the whole.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is to come at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all of it is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.verified == self.leaves.len()
    }

    /// Forgets the beginning of a chunk: after a cut, the robot sends that chunk again.
    pub fn cut(&mut self) {
        self.buffer.clear();
    }

    /// Takes the next bytes and hands each whole chunk to `keep` once it is known to be right. A chunk that cannot be kept is
    /// not counted.
    ///
    /// # Errors
    /// [`NotTheChunk`], or what `keep` said.
    pub fn push<E: From<NotTheChunk>>(
        &mut self,
        mut bytes: &[u8],
        keep: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let Some(leaf) = self.leaves.get(self.verified) else { return Err(NotTheChunk(self.verified()).into()) };
            let whole = (self.len - self.verified_len()).min(CHUNK_LEN as u64) as usize;
            let (now, rest) = bytes.split_at(bytes.len().min(whole - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = rest;
            if self.buffer.len() == whole {
                let kept = if merkle_leaf(&self.buffer) == leaf.0 {
                    keep(&self.buffer)
                } else {
                    Err(NotTheChunk(self.verified()).into())
                };
                self.buffer.clear();
                kept?;
                self.verified += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(len: usize) -> (Vec<u8>, Vec<Id>) {
        let bytes: Vec<u8> = (0..len).map(|index| ((index * 31) >> 3) as u8).collect();
        let leaves = bytes.chunks(CHUNK_LEN).map(|chunk| Id(merkle_leaf(chunk))).collect();
        (bytes, leaves)
    }

    #[test]
    fn any_portions_give_the_same_bytes() {
        for len in [1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN + 17] {
            for portion in [1000, CHUNK_LEN, CHUNK_LEN + 3, 5 * CHUNK_LEN] {
                let (bytes, leaves) = upload(len);
                let (mut intake, mut kept) = (Intake::new(leaves, len as u64), Vec::new());
                let mut keep = |chunk: &[u8]| {
                    kept.extend_from_slice(chunk);
                    Ok::<(), NotTheChunk>(())
                };
                bytes.chunks(portion).for_each(|portion| intake.push(portion, &mut keep).unwrap());
                assert!(intake.is_whole() && kept == bytes, "{len} in portions of {portion}");
                assert_eq!(intake.push(b"x", &mut |_| Ok(())), Err(NotTheChunk(intake.verified())));
            }
        }
    }

    #[test]
    fn a_changed_bit_or_a_failed_write_stops_at_its_chunk_and_the_rest_can_come_again() {
        let (bytes, leaves) = upload(2 * CHUNK_LEN + 9);
        for at in [0, CHUNK_LEN, 2 * CHUNK_LEN + 8] {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            let (mut intake, mut kept) = (Intake::new(leaves.clone(), bytes.len() as u64), 0);
            let failed = intake.push(&wrong, &mut |chunk| {
                kept += chunk.len();
                Ok(())
            });
            assert_eq!(failed, Err(NotTheChunk((at / CHUNK_LEN) as u64)));
            assert_eq!(intake.verified_len(), kept as u64);
            intake.push(&bytes[kept..], &mut |_| Ok::<(), NotTheChunk>(())).unwrap();
            assert!(intake.is_whole());
        }
        let mut intake = Intake::new(leaves, bytes.len() as u64);
        assert!(intake.push(&bytes, &mut |_| Err(NotTheChunk(99))).is_err());
        assert_eq!(intake.verified(), 0);
    }
}
