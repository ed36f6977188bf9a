//! How fast this machine reads memory, measured with a loop that the compiler makes vectors of.

use crate::clock::Clock;
use crate::failure::Failure;
use crate::machine::Machine;
use std::hint::black_box;

/// A buffer that no cache holds, to be read again and again.
#[derive(Debug)]
pub struct Reader {
    words: Vec<u64>,
}

impl Reader {
    /// At least four times the largest cache, 128 MiB at least and 1 GiB at most.
    #[must_use]
    pub fn new() -> Self {
        let cache = Machine::look().cache_bytes.unwrap_or(0);
        Self::with_bytes((4 * cache).clamp(128 << 20, 1 << 30))
    }

    /// A small one for a try, whose rate says nothing.
    #[must_use]
    pub fn small() -> Self {
        Self::with_bytes(16 << 20)
    }

    /// A buffer of this many bytes, rounded down to words.
    #[must_use]
    pub fn with_bytes(bytes: u64) -> Self {
        // At most 1 GiB above; written, so that every page is really there.
        Self { words: (0..bytes / 8).collect() }
    }

    /// Bytes that one [`read`](Self::read) reads.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        8 * self.words.len() as u64
    }

    /// Reads it all once.
    pub fn read(&self) {
        read(&self.words);
    }

    /// Reads it all once on so many threads, each a part.
    pub fn read_on(&self, threads: usize) {
        let part = self.words.len().div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for words in self.words.chunks(part) {
                scope.spawn(|| read(words));
            }
        });
    }

    /// Bytes per nanosecond, one thread: the median of some passes.
    ///
    /// # Errors
    /// None; the type is what callers need.
    pub fn rate(&self) -> Result<f64, Failure> {
        self.read();
        let mut rates = Vec::new();
        for _ in 0..15 {
            let took = Clock::Cpu.sample::<Failure>(1, || {
                self.read();
                Ok(())
            })?;
            rates.push(self.bytes() as f64 / took.max(1) as f64);
        }
        Ok(crate::stats::median(&rates))
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

/// 32 running sums, enough for the loads to overlap.
fn read(words: &[u64]) {
    let mut sums = [0u64; 32];
    let (chunks, _) = words.as_chunks::<32>();
    for chunk in chunks {
        for (sum, word) in sums.iter_mut().zip(chunk) {
            *sum = sum.wrapping_add(*word);
        }
    }
    black_box(sums);
}

/// Two buffers that no cache holds, one to be copied to the other.
#[derive(Debug)]
pub struct Copier {
    from: Reader,
    to: Vec<u64>,
}

impl Copier {
    /// Copies what a reader reads.
    #[must_use]
    pub fn new(from: Reader) -> Self {
        let to = from.words.clone();
        Self { from, to }
    }

    /// Bytes that one [`copy`](Self::copy) reads and writes, together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        2 * self.from.bytes()
    }

    /// Copies it all once.
    pub fn copy(&mut self) {
        self.to.copy_from_slice(&self.from.words);
        black_box(&mut self.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_what_was_read() {
        let mut copier = Copier::new(Reader::with_bytes(1 << 16));
        copier.to.fill(0);
        copier.copy();
        assert_eq!(copier.to, copier.from.words);
        assert_eq!(copier.bytes(), 1 << 17);
        copier.from.read_on(3);
        Reader::with_bytes(0).read_on(2);
    }
}
