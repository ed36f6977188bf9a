//! Named streams of random numbers: the same seed and name give the same numbers, whatever else was drawn before.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers.
#[derive(Debug)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream with this name under this seed.
    pub(crate) fn new(seed: u64, name: &str, path: &[u64]) -> Self {
        let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
        // The length keeps a name and a path from running into each other.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        path.iter().for_each(|step| hash.update(step.to_le_bytes()));
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// Uniform in `[0, 1)`: 24 bits, so every value is exact.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Normal with mean 0 and deviation 1, by Box and Muller's formula.
    pub(crate) fn normal(&mut self) -> f32 {
        // 1 - unit is never 0.
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - self.unit()));
        radius * libm::cosf(core::f32::consts::TAU * self.unit())
    }

    /// Any 64 bits.
    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The numbers below `count` in random order.
    pub(crate) fn shuffled(&mut self, count: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        for last in (1..count).rev() {
            // The bias of the remainder is below 2^-32 here: nothing secret or statistical hangs on it.
            order.swap(last, (self.word() % (last as u64 + 1)) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_name_and_path_alone() {
        let first = |seed, name, path: &[u64]| Stream::new(seed, name, path).word();
        assert_eq!(first(1, "a", &[2]), first(1, "a", &[2]));
        let all =
            [first(1, "a", &[2]), first(2, "a", &[2]), first(1, "b", &[2]), first(1, "a", &[3]), first(1, "a", &[])];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one), "{i}");
        }
    }

    #[test]
    fn normals_have_mean_zero_and_deviation_one() {
        let mut stream = Stream::new(1, "normals", &[]);
        let values: Vec<f64> = (0..20_000).map(|_| f64::from(stream.normal())).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let square = values.iter().map(|value| value * value).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
    }

    #[test]
    fn a_shuffle_keeps_every_number() {
        let mut order = Stream::new(1, "shuffle", &[]).shuffled(100);
        assert_ne!(order[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
