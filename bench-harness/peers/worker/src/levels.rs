//! Floats to small integers, and several of them to one word: the way in and out that packed peers share.

use pulp::{Arch, NullaryFnOnce};

/// The integer that stands for zero; also the levels per unit, as values are in [-1, 1].
pub const ZERO: f32 = 127.0;
/// Digits of a packed word are below this: sums of up to 100 robots' levels.
pub const BASE: u64 = 254 * 100 + 1;
/// Digits in a packed word: 43.9 bits.
pub const DIGITS: usize = 3;

/// Floats in [-1, 1] to integers from 0 to 254, up or down at random. `first` is the index of the first value.
pub fn levels(floats: &[f32], first: u32, seed: u32, out: &mut [u16]) {
    Arch::new().dispatch(Levels { floats, first, seed, out });
}

/// An update as words of [`DIGITS`] digits, in a whole number of polynomials.
#[must_use]
pub fn pack(update: &[f32], seed: u32, degree: usize) -> Vec<u64> {
    let mut digits = vec![0; update.len().next_multiple_of(DIGITS * degree)];
    levels(update, 0, seed, &mut digits[..update.len()]);
    let word = |digits: &[u16; DIGITS]| digits.iter().rev().fold(0, |word, &digit| word * BASE + u64::from(digit));
    digits.as_chunks().0.iter().map(word).collect()
}

/// The mean from words of digit sums. Words beyond the end are left.
#[must_use]
pub fn unpack(words: impl Iterator<Item = u64>, length: usize, robots: usize) -> Vec<f32> {
    let (zero, factor) = (ZERO * robots as f32, 1.0 / (ZERO * robots as f32));
    let mut out = Vec::with_capacity(length + DIGITS);
    for mut word in words.take(length.div_ceil(DIGITS)) {
        for _ in 0..DIGITS {
            out.push(((word % BASE) as f32 - zero) * factor);
            word /= BASE;
        }
    }
    out.truncate(length);
    out
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_sums_come_back_from_words() {
        let update: Vec<f32> = (0..1000).map(|index| index as f32 / 500.0 - 1.0).collect();
        let mut words = vec![0u64; 512];
        for seed in 0..100 {
            words.iter_mut().zip(pack(&update, seed, 512)).for_each(|(sum, word)| *sum += word);
        }
        let mean = unpack(words.into_iter(), 1000, 100);
        let worst = mean.iter().zip(&update).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(mean.len() == 1000 && worst > 0.0 && worst < 1.0 / 127.0, "{worst}");
    }
}
