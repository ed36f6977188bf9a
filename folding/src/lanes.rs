//! Floats to integers and back: clip, scale, round, offset. The loops are compiled for each instruction set.

use core::fmt;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use lwe::{Opened, Values};
use rand_core::Rng;

/// Something that holds a robot's update.
pub trait Floats {
    /// How many values.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes values `start .. start + out.len()`.
    fn read(&self, start: usize, out: &mut [f32]);
}

impl Floats for [f32] {
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        out.copy_from_slice(&self[start..start + out.len()]);
    }
}

impl Floats for [f16] {
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        self[start..start + out.len()].convert_to_f32_slice(out);
    }
}

impl Floats for [bf16] {
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        self[start..start + out.len()].convert_to_f32_slice(out);
    }
}

impl<F> Floats for Vec<F>
where
    [F]: Floats,
{
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        self.as_slice().read(start, out);
    }
}

/// In the array's logical order.
#[cfg(feature = "ndarray")]
impl<S: ndarray::Data<Elem = f32>, D: ndarray::Dimension> Floats for ndarray::ArrayBase<S, D> {
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        match self.as_slice() {
            Some(values) => values.read(start, out),
            None => out.iter_mut().zip(self.iter().skip(start)).for_each(|(out, value)| *out = *value),
        }
    }
}

/// What an update held that the round's range does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutOfRange {
    /// Finite or infinite values beyond the clip: encoded as the clip.
    pub clipped: u64,
    /// Values that are not a number: encoded as zero.
    pub not_a_number: u64,
}

impl OutOfRange {
    /// Whether everything was in range.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values beyond the clip and {} that are no number", self.clipped, self.not_a_number)
    }
}

/// A symmetric grid: `2^bits - 1` levels from -clip to clip, zero among them, each level an integer from 0 up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    clip: f32,
    /// The integer that stands for zero: `2^(bits-1) - 1`.
    zero: u32,
}

/// Floats looked at in one go: a few cache lines of the first-level cache.
const STRETCH: usize = 1024;

impl Grid {
    pub(crate) fn new(bits: u32, clip: f32) -> Self {
        Self { clip, zero: (1 << (bits - 1)) - 1 }
    }

    /// Levels per unit.
    fn scale(&self) -> f64 {
        f64::from(self.zero) / f64::from(self.clip)
    }

    /// The distance of two levels.
    #[must_use]
    pub fn step(&self) -> f64 {
        f64::from(self.clip) / f64::from(self.zero)
    }

    /// What of these values is out of range.
    #[must_use]
    pub fn survey(&self, values: &(impl Floats + ?Sized)) -> OutOfRange {
        let arch = pulp::Arch::new();
        let (mut found, mut buffer) = (OutOfRange::default(), [0.0; STRETCH]);
        for start in (0..values.len()).step_by(STRETCH) {
            let stretch = &mut buffer[..STRETCH.min(values.len() - start)];
            values.read(start, stretch);
            let (clipped, not_a_number) = arch.dispatch(Survey { stretch, clip: self.clip });
            found.clipped += u64::from(clipped);
            found.not_a_number += u64::from(not_a_number);
        }
        found
    }

    /// The mean of the values behind an opened sum, in the memory of its digits where there is one for each value.
    #[must_use]
    pub fn mean(&self, opened: Opened) -> Vec<f32> {
        let weight = opened.weights.sum as f64;
        let (offset, factor) = (f64::from(self.zero) * weight, self.step() / weight);
        match opened.split {
            None => {
                let mut words = opened.digits;
                pulp::Arch::new().dispatch(Mean { words: &mut words, offset, factor });
                // A collection of as large items stays in the same memory.
                words.into_iter().map(f32::from_bits).collect()
            }
            Some(_) => opened.values().iter().map(|&sum| ((sum as f64 - offset) * factor) as f32).collect(),
        }
    }
}

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

/// An update on its grid, as `lwe` reads it.
pub(crate) struct OnGrid<'a, F: ?Sized> {
    pub(crate) grid: Grid,
    pub(crate) dither: Dither,
    pub(crate) floats: &'a F,
}

impl<F: Floats + ?Sized> Values for OnGrid<'_, F> {
    fn fill(&mut self, start: usize, out: &mut [u32]) {
        let arch = pulp::Arch::new();
        let mut buffer = [0.0; STRETCH];
        let Self { grid, dither, floats } = self;
        let (scale, zero, clip) = (grid.scale(), f64::from(grid.zero), grid.clip);
        for (index, out) in out.chunks_mut(STRETCH).enumerate() {
            let start = start + index * STRETCH;
            let floats_here = &mut buffer[..out.len()];
            floats.read(start, floats_here);
            let floats = &*floats_here;
            match *dither {
                Dither::Nearest => arch.dispatch(Nearest { floats, out, scale, zero, clip }),
                // A message has at most 2^31 values.
                Dither::Stochastic(key) => {
                    arch.dispatch(Stochastic { floats, out, scale, zero, clip, key, first: start as u32 });
                }
            }
        }
        zeroize_floats(&mut buffer);
    }
}

/// The buffer held part of the update.
fn zeroize_floats(buffer: &mut [f32]) {
    buffer.fill(0.0);
    core::hint::black_box(buffer);
}

struct Survey<'a> {
    stretch: &'a [f32],
    clip: f32,
}

impl pulp::NullaryFnOnce for Survey<'_> {
    type Output = (u32, u32);

    #[inline(always)]
    fn call(self) -> (u32, u32) {
        let count =
            |(beyond, no_number), x: &f32| (beyond + u32::from(x.abs() > self.clip), no_number + u32::from(x.is_nan()));
        self.stretch.iter().fold((0, 0), count)
    }
}

/// In range, a number, and in levels from the lowest: what is left is to round.
#[inline(always)]
fn level(x: f32, clip: f32, scale: f64, zero: f64) -> f64 {
    let number = if x.is_nan() { 0.0 } else { x };
    let x = number.max(-clip).min(clip);
    f64::from(x) * scale + zero
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

/// Turns sums into the bits of their means, in place.
struct Mean<'a> {
    words: &'a mut [u32],
    offset: f64,
    factor: f64,
}

impl pulp::NullaryFnOnce for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for word in self.words {
            *word = (((f64::from(*word) - self.offset) * self.factor) as f32).to_bits();
        }
    }
}
