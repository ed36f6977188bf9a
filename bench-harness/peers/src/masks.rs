//! Pairwise masking: each robot adds one keystream per neighbour, its pair subtracts the same, and in the sum nothing is
//! left. The cheapest secure sum there is, if nobody drops out and all have agreed on keys before.
//!
//! AES-256 in counter mode, sixteen-bit words (8-bit values of up to 257 robots), stochastic rounding, and a ring of ten
//! neighbours instead of all pairs: every choice is for speed.

use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use peer_worker::levels::{ZERO, levels};
use peer_worker::round::Scheme;
use pulp::{Arch, NullaryFnOnce};

/// Pairs that a robot is in: five on each side, around a ring.
const NEIGHBOURS: usize = 10;
/// Values masked in one go: they stay in the first-level cache.
const STRETCH: usize = 4096;

/// A ring of robots.
pub struct Masks {
    robots: usize,
    seed: u32,
}

impl Scheme for Masks {
    type Sum = Vec<u16>;

    fn new(robots: usize) -> Result<Self, String> {
        if !(NEIGHBOURS + 1..=257).contains(&robots) {
            return Err(format!("{robots} robots: must be {} to 257", NEIGHBOURS + 1));
        }
        Ok(Self { robots, seed: 0 })
    }

    fn version(&self) -> String {
        "aes 0.9.4, ctr 0.10.1".to_owned()
    }

    fn encrypt(&mut self, robot: usize, update: &[f32]) -> Vec<u8> {
        self.seed += 1;
        encrypt(update, robot, self.robots, self.seed)
    }

    fn add(&self, sum: &mut Option<Vec<u16>>, upload: &[u8]) {
        add(sum.get_or_insert_with(|| vec![0; upload.len() / 2]), upload);
    }

    fn decrypt(&self, sum: &Vec<u16>, _length: usize, robots: usize) -> Vec<f32> {
        decrypt(sum, robots)
    }

    fn sum_bytes(&self, sum: &Vec<u16>) -> u64 {
        2 * sum.len() as u64
    }
}

/// A robot's neighbours on a ring; the one with the smaller number adds.
fn keystreams(robot: usize, robots: usize) -> Vec<(ctr::Ctr128BE<Aes256>, bool)> {
    let pair = |step: usize, other: usize| {
        let (low, high) = (robot.min(other) as u64, robot.max(other) as u64);
        let mut key = [step as u8; 32];
        key[..8].copy_from_slice(&low.to_le_bytes());
        key[8..16].copy_from_slice(&high.to_le_bytes());
        (ctr::Ctr128BE::<Aes256>::new(&key.into(), &[0; 16].into()), robot < other)
    };
    (1..=NEIGHBOURS / 2)
        .flat_map(|step| [pair(step, (robot + step) % robots), pair(step, (robot + robots - step) % robots)])
        .collect()
}

fn encrypt(update: &[f32], robot: usize, robots: usize, seed: u32) -> Vec<u8> {
    let mut streams = keystreams(robot, robots);
    let arch = Arch::new();
    let mut out = vec![0; 2 * update.len()];
    let (mut words, mut mask) = ([0u16; STRETCH], [0u8; 2 * STRETCH]);
    for (index, (floats, out)) in update.chunks(STRETCH).zip(out.chunks_mut(2 * STRETCH)).enumerate() {
        let (words, mask) = (&mut words[..floats.len()], &mut mask[..out.len()]);
        levels(floats, (index * STRETCH) as u32, seed, words);
        for (stream, adds) in &mut streams {
            mask.fill(0);
            stream.apply_keystream(mask);
            arch.dispatch(Mask { mask, adds: *adds, words });
        }
        out.as_chunks_mut().0.iter_mut().zip(&*words).for_each(|(out, word)| *out = word.to_le_bytes());
    }
    out
}

fn add(sum: &mut [u16], upload: &[u8]) {
    Arch::new().dispatch(Mask { mask: upload, adds: true, words: sum });
}

fn decrypt(sum: &[u16], robots: usize) -> Vec<f32> {
    let mut out = vec![0.0; sum.len()];
    Arch::new().dispatch(Mean { sum, robots: robots as f32, out: &mut out });
    out
}

/// Adds little-endian words, or subtracts them.
struct Mask<'a> {
    mask: &'a [u8],
    adds: bool,
    words: &'a mut [u16],
}

impl NullaryFnOnce for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let pairs = self.words.iter_mut().zip(self.mask.as_chunks().0);
        if self.adds {
            pairs.for_each(|(word, mask)| *word = word.wrapping_add(u16::from_le_bytes(*mask)));
        } else {
            pairs.for_each(|(word, mask)| *word = word.wrapping_sub(u16::from_le_bytes(*mask)));
        }
    }
}

struct Mean<'a> {
    sum: &'a [u16],
    robots: f32,
    out: &'a mut [f32],
}

impl NullaryFnOnce for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (zero, factor) = (ZERO * self.robots, 1.0 / (ZERO * self.robots));
        for (out, &sum) in self.out.iter_mut().zip(self.sum) {
            *out = (f32::from(sum) - zero) * factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peer_worker::round::{Round, update};

    #[test]
    fn masks_cancel_and_the_mean_is_right() {
        let round = Round::<Masks>::prepare(5000, 100).expect("a round");
        assert!(round.error_max < 1.0 / 127.0, "{}", round.error_max);
        assert!((1e-4..1e-3).contains(&round.error_rms), "{}", round.error_rms);
    }

    #[test]
    fn one_upload_shows_nothing_of_its_update() {
        let (update, mut sum) = (update(3, 5000), vec![0; 5000]);
        add(&mut sum, &encrypt(&update, 3, 100, 1));
        let far = decrypt(&sum, 1).iter().zip(&update).filter(|&(a, b)| (a - b).abs() > 0.1).count();
        assert!(far > 4900, "{far}");
    }
}
