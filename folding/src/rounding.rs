//! How values come to lie on their grid: clip, scale, round, offset. The loops are compiled for each instruction set.

use crate::lanes::{Grid, OutOfRange, STRETCH};
use rand_core::Rng;

/// How values between two levels are rounded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dither {
    /// To the nearest level, a tie to the even one.
    Nearest,
    /// Up with the probability of the fraction: right on average. The key only has to be fair, not secret.
    Stochastic([u32; 2]),
}

impl Dither {
    pub(crate) fn stochastic(rng: &mut dyn Rng) -> Self {
        Self::Stochastic([rng.next_u32(), rng.next_u32()])
    }
}

/// Puts at most [`STRETCH`] values on the grid, of an update of which `found` is out of range; `first` is the number of the
/// first one.
pub(crate) fn round(grid: Grid, dither: Dither, found: OutOfRange, first: u32, floats: &[f32], out: &mut [u32]) {
    let arch = pulp::Arch::new();
    let (scale, zero, clip) = (grid.scale(), f64::from(grid.zero), grid.clip);
    match (dither, Short::new(grid)) {
        (Dither::Nearest, _) => arch.dispatch(Nearest { floats, out, scale, zero, clip }),
        (Dither::Stochastic(key), Some(short)) if found.is_none() => {
            arch.dispatch(StochasticShort::<false> { floats, out, short, clip, key, first });
        }
        (Dither::Stochastic(key), Some(short)) => {
            arch.dispatch(StochasticShort::<true> { floats, out, short, clip, key, first });
        }
        (Dither::Stochastic(key), None) => arch.dispatch(Stochastic { floats, out, scale, zero, clip, key, first }),
    }
}

/// In range, a number, and in levels from the lowest: what is left is to round.
#[inline(always)]
fn level(x: f32, clip: f32, scale: f64, zero: f64) -> f64 {
    f64::from(within(x, clip)) * scale + zero
}

/// The nearest integer, a tie to the even one, of something from -0.5 to below 2^25: added to this, a float has no bits left
/// for a fraction, and its lowest bits are the integer.
#[inline(always)]
fn nearest(level: f64) -> u32 {
    const INTEGERS: f64 = 6_755_399_441_055_744.0;
    (level + INTEGERS).to_bits() as u32
}

struct Nearest<'a> {
    floats: &'a [f32],
    out: &'a mut [u32],
    scale: f64,
    zero: f64,
    clip: f32,
}

impl pulp::NullaryFnOnce for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (out, &x) in self.out.iter_mut().zip(self.floats) {
            *out = nearest(level(x, self.clip, self.scale, self.zero));
        }
    }
}

struct Stochastic<'a> {
    floats: &'a [f32],
    out: &'a mut [u32],
    scale: f64,
    zero: f64,
    clip: f32,
    key: [u32; 2],
    first: u32,
}

impl pulp::NullaryFnOnce for Stochastic<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (index, (out, &x)) in (self.first..).zip(self.out.iter_mut().zip(self.floats)) {
            let fraction = f64::from(fair(index, self.key)) / 4_294_967_296.0 - 0.5;
            *out = nearest(level(x, self.clip, self.scale, self.zero) + fraction);
        }
    }
}

/// Stochastic rounding of values of few bits, in fp32. A value is taken to the nearest 2^-15 of a level, less than 2^-15 of a
/// level off, and exactly at the ends and at zero; from there it is rounded up with exactly the probability of the fraction.
#[derive(Clone, Copy)]
struct Short {
    /// 2^15 per level.
    scale: f32,
    /// 2^23, where a float's lowest bit counts 1, and the level that stands for zero.
    offset: f32,
    /// Of a level.
    mask: u32,
}

/// Bits behind the point.
const FRACTION: u32 = 15;
/// Two values share a random word, a half each: this far apart, so that loops over halves of a stretch are simple.
const APART: usize = STRETCH / 2;
impl Short {
    /// `None` where the integers of fp32 are too few, or the scale is no ordinary float.
    fn new(grid: Grid) -> Option<Self> {
        let mask = 2 * grid.zero + 1;
        // 2^bits * 2^15 <= 2^23.
        if mask >= 1 << (23 - FRACTION) {
            return None;
        }
        // At most a part in 2^24 of it off, and the product as much: at an end, where it is below 2^22, a quarter each,
        // which the sum with the offset rounds away.
        let scale = (grid.scale() * f64::from(1u32 << FRACTION)) as f32;
        let offset = ((1 << 23) + (grid.zero << FRACTION)) as f32;
        scale.is_normal().then_some(Self { scale, offset, mask })
    }

    /// In `[0, mask]`, whatever x is. `random` is below 2^15.
    #[inline(always)]
    fn round(self, x: f32, random: u32) -> u32 {
        let fixed = (x * self.scale + self.offset).to_bits();
        (fixed.wrapping_add(random) >> FRACTION) & self.mask
    }
}

/// `CLIP`: whether there is anything out of range.
struct StochasticShort<'a, const CLIP: bool> {
    floats: &'a [f32],
    out: &'a mut [u32],
    short: Short,
    clip: f32,
    key: [u32; 2],
    first: u32,
}

impl<const CLIP: bool> pulp::NullaryFnOnce for StochasticShort<'_, CLIP> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { floats, out, short, clip, key, first } = self;
        let mut words = [0; APART];
        for (index, word) in (first..).zip(&mut words) {
            *word = fair(index, key);
        }
        let near = floats.len().min(APART);
        let ((near, far), (near_out, far_out)) = (floats.split_at(near), out.split_at_mut(near));
        for ((out, &x), word) in near_out.iter_mut().zip(near).zip(&words) {
            let x = if CLIP { within(x, clip) } else { x };
            *out = short.round(x, word & ((1 << FRACTION) - 1));
        }
        for ((out, &x), word) in far_out.iter_mut().zip(far).zip(&words) {
            let x = if CLIP { within(x, clip) } else { x };
            *out = short.round(x, word >> (32 - FRACTION));
        }
    }
}

/// In range, and a number.
#[inline(always)]
fn within(x: f32, clip: f32) -> f32 {
    let number = if x.is_nan() { 0.0 } else { x };
    number.max(-clip).min(clip)
}

/// A word for this index that looks uniform: two rounds of a 32-bit mixer.
#[inline(always)]
fn fair(index: u32, key: [u32; 2]) -> u32 {
    mix(mix(index ^ key[0]).wrapping_add(key[1]))
}

#[inline(always)]
fn mix(x: u32) -> u32 {
    let x = (x ^ x >> 16).wrapping_mul(0x7FEB_352D);
    let x = (x ^ x >> 15).wrapping_mul(0x846C_A68B);
    x ^ x >> 16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::OnGrid;
    use lwe::Values as _;

    /// Over all random words: how far up a value is rounded on average, in levels.
    fn average(short: Short, x: f32) -> f64 {
        let sum: u32 = (0..1 << FRACTION).map(|random| short.round(x, random)).sum();
        f64::from(sum) / f64::from(1 << FRACTION)
    }

    #[test]
    fn short_rounding_is_right_on_average_and_exact_at_the_ends() {
        for bits in 4..=8 {
            for index in 0..40u32 {
                let clip = 0.001 * 1.37f32.powi(index as i32);
                let (grid, part) = (Grid::new(bits, clip), fair(index, [1, bits]));
                let short = Short::new(grid).expect("few bits");
                let ends = [-clip, 0.0, clip].map(|x| average(short, x));
                assert_eq!(ends, [0.0, f64::from(grid.zero), f64::from(2 * grid.zero)], "{bits} bits, {clip}");
                let x = clip * (part as f32 / 2_147_483_648.0 - 1.0).clamp(-1.0, 1.0);
                let exact = f64::from(x) * grid.scale() + f64::from(grid.zero);
                assert!((average(short, x) - exact).abs() < 1.0 / 32768.0, "{bits} bits, {x} of {clip}");
            }
        }
        let too_fine =
            [(9, 1.0), (24, 1.0), (8, 1e-37)].map(|(bits, clip)| Short::new(Grid::new(bits, clip)).is_none());
        assert_eq!(too_fine, [true; 3]);
    }

    #[test]
    fn short_rounding_clips_and_never_leaves_the_range() {
        let grid = Grid::new(8, 0.5);
        let short = Short::new(grid).expect("few bits");
        for x in [f32::NAN, f32::INFINITY, -f32::INFINITY, 1e30, -1e30, 0.6] {
            assert!(short.round(x, 12345) <= short.mask);
        }
        let floats: Vec<f32> = (0..1500).map(|i| [f32::NAN, 7.0, -f32::INFINITY, 0.5, 0.1][i % 5]).collect();
        let (found, mut out) = (grid.survey(&floats, 1), vec![999; 1500]);
        assert_eq!(found, OutOfRange { clipped: 600, not_a_number: 300 });
        OnGrid { grid, dither: Dither::Stochastic([3, 4]), found, floats: &floats }.fill(0, &mut out);
        // 0.1 is level 127 + 25.4.
        let sums: [u32; 5] = core::array::from_fn(|place| out.iter().skip(place).step_by(5).sum());
        assert_eq!(sums[..4], [127 * 300, 254 * 300, 0, 254 * 300]);
        assert!((f64::from(sums[4]) / 300.0 - 152.4).abs() < 0.12, "{sums:?}");
        assert!(out.iter().skip(4).step_by(5).all(|level| [152, 153].contains(level)));
    }

    #[test]
    fn neighbouring_stretches_do_not_share_random_words() {
        let (grid, floats) = (Grid::new(8, 0.5), vec![0.1; 5000]);
        let on_grid =
            || OnGrid { grid, dither: Dither::Stochastic([5, 6]), found: OutOfRange::default(), floats: &floats };
        let (mut out, mut parts) = (vec![0; 5000], vec![0; 5000]);
        on_grid().fill(0, &mut out);
        // In parts of whole stretches nothing changes.
        on_grid().fill(0, &mut parts[..2 * STRETCH]);
        on_grid().fill(2 * STRETCH, &mut parts[2 * STRETCH..]);
        assert_eq!(out, parts);
        for apart in [1, APART, STRETCH, STRETCH + APART, 2 * STRETCH] {
            let same = (apart..5000).filter(|&i| out[i] == out[i - apart]).count();
            // Of independent ones, 0.4^2 + 0.6^2 are equal.
            assert!((same as f64 / (5000 - apart) as f64 - 0.52).abs() < 0.05, "{apart} apart: {same}");
        }
    }
}
