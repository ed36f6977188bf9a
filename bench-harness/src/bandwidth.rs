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

    /// Reads it all once: 32 running sums, enough for the loads to overlap.
    pub fn read(&self) {
        let mut sums = [0u64; 32];
        let (chunks, _) = self.words.as_chunks::<32>();
        for chunk in chunks {
            for (sum, word) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(*word);
            }
        }
        black_box(sums);
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
