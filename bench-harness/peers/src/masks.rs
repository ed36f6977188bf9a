//! Pairwise masking: each robot adds one keystream per neighbour, its pair subtracts the same, and in the sum nothing is
//! left. The cheapest secure sum there is, if nobody drops out and all have agreed on keys before.
//!
//! AES-256 in counter mode, sixteen-bit words (8-bit values of up to 257 robots), stochastic rounding, and a ring of ten
//! neighbours instead of all pairs: every choice is for speed.

use crate::cpu_ns;
use aes::Aes256;
use ctr::cipher::{KeyIvInit, StreamCipher};
use pulp::{Arch, NullaryFnOnce};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Pairs that a robot is in: five on each side, around a ring.
const NEIGHBOURS: usize = 10;
/// Uploads that are added in turn: together they do not fit a cache.
const KEPT: usize = 8;
/// Uploads in one run of `add`.
const GROUP: u64 = 4;
/// Values masked in one go: they stay in the first-level cache.
const STRETCH: usize = 4096;
/// The integer that stands for zero; also the levels per unit, as values are in [-1, 1].
const ZERO: f32 = 127.0;

/// What to do with an update's whole way.
#[derive(Deserialize)]
pub struct Request {
    /// `prepare` makes a round of `robots` and checks it; `encrypt`, `add` and `decrypt` are timed.
    step: String,
    length: usize,
    robots: usize,
    repetitions: u64,
}

/// What came of it.
#[derive(Serialize)]
pub struct Answer {
    cpu_ns: u64,
    version: &'static str,
    upload_bytes: u64,
    sum_bytes: u64,
    robots: usize,
    error_max: f64,
    error_rms: f64,
}

/// A round with its data.
pub struct Round {
    length: usize,
    robots: usize,
    update: Vec<f32>,
    uploads: Vec<Vec<u8>>,
    sum: Vec<u16>,
    error_max: f64,
    error_rms: f64,
    seed: u32,
}

impl Round {
    pub fn serve(round: &mut Option<Self>, request: &Request) -> Result<Answer, String> {
        let &Request { length, robots, repetitions, .. } = request;
        if request.step == "prepare" {
            if length == 0 || !(NEIGHBOURS + 1..=257).contains(&robots) {
                return Err(format!(
                    "{length} values of {robots} robots: must be 1 value and {NEIGHBOURS} robots or more"
                ));
            }
            *round = Some(Self::prepare(length, robots));
        }
        let Some(round) = round.as_mut().filter(|round| round.length == length) else {
            return Err("no round of this length was prepared".into());
        };
        let cpu_ns = match request.step.as_str() {
            "prepare" => 0,
            "encrypt" => round.time_encrypt(repetitions),
            "add" => round.time_add(repetitions),
            "decrypt" => round.time_decrypt(repetitions),
            step => return Err(format!("no step is called {step}")),
        };
        let bytes = 2 * length as u64;
        let &mut Self { robots, error_max, error_rms, .. } = round;
        let version = "aes 0.9.4, ctr 0.10.1";
        Ok(Answer { cpu_ns, version, upload_bytes: bytes, sum_bytes: bytes, robots, error_max, error_rms })
    }

    fn prepare(length: usize, robots: usize) -> Self {
        let mut plain = vec![0.0f64; length];
        let (mut sum, mut uploads) = (vec![0; length], Vec::new());
        for robot in 0..robots {
            let update = update(robot as u64, length);
            plain.iter_mut().zip(&update).for_each(|(sum, &x)| *sum += f64::from(x));
            let upload = encrypt(&update, robot, robots, robot as u32);
            add(&mut sum, &upload);
            if uploads.len() < KEPT {
                uploads.push(upload);
            }
        }
        let mean = decrypt(&sum, robots);
        let errors = mean.iter().zip(&plain).map(|(&mean, plain)| (f64::from(mean) - plain / robots as f64).abs());
        let (error_max, squares) = errors.fold((0.0f64, 0.0), |(max, sum), x| (max.max(x), sum + x * x));
        let error_rms = (squares / length as f64).sqrt();
        Self { length, robots, update: update(0, length), uploads, sum, error_max, error_rms, seed: 0 }
    }

    fn time_encrypt(&mut self, repetitions: u64) -> u64 {
        let begin = cpu_ns();
        for _ in 0..repetitions {
            self.seed += 1;
            black_box(encrypt(black_box(&self.update), 0, self.robots, self.seed));
        }
        cpu_ns() - begin
    }

    fn time_add(&mut self, repetitions: u64) -> u64 {
        let mut sum = self.sum.clone();
        let mut uploads = self.uploads.iter().cycle();
        let begin = cpu_ns();
        for upload in (0..repetitions * GROUP).filter_map(|_| uploads.next()) {
            add(black_box(&mut sum), upload);
        }
        cpu_ns() - begin
    }

    fn time_decrypt(&self, repetitions: u64) -> u64 {
        let begin = cpu_ns();
        for _ in 0..repetitions {
            black_box(decrypt(black_box(&self.sum), self.robots));
        }
        cpu_ns() - begin
    }
}

/// Value `index` of a robot: the same on every side that is compared.
fn update(robot: u64, length: usize) -> Vec<f32> {
    let value = |index: u64| {
        let mut z = (robot << 32 | index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // 24 bits: exact.
        ((z ^ (z >> 31)) >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..length as u64).map(value).collect()
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
        arch.dispatch(Levels { floats, first: (index * STRETCH) as u32, seed, out: words });
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

/// Floats in [-1, 1] to integers from 0 to 254, up or down at random.
struct Levels<'a> {
    floats: &'a [f32],
    first: u32,
    seed: u32,
    out: &'a mut [u16],
}

impl NullaryFnOnce for Levels<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (index, (out, &x)) in (self.first..).zip(self.out.iter_mut().zip(self.floats)) {
            let mix = |x: u32| {
                let x = (x ^ x >> 16).wrapping_mul(0x7FEB_352D);
                let x = (x ^ x >> 15).wrapping_mul(0x846C_A68B);
                x ^ x >> 16
            };
            let fraction = (mix(index ^ mix(self.seed)) >> 8) as f32 / 16_777_216.0;
            *out = (x.clamp(-1.0, 1.0) * ZERO + ZERO + fraction) as i32 as u16;
        }
    }
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

    #[test]
    fn masks_cancel_and_the_mean_is_right() {
        let round = Round::prepare(5000, 100);
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
