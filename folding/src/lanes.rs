//! Floats to integers and back: what is out of range, the grid, the mean. The loops are compiled for each instruction set.

use crate::rounding::{Dither, round};
use core::fmt;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use kernels::crew::shares;
use lwe::{Opened, Values};

/// Something that holds a robot's update: slices and vectors of f32, f16 or bf16; with the feature `ndarray` arrays and views of them.
pub trait Floats: Sync {
    /// How many values.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes values `start .. start + out.len()`.
    fn read(&self, start: usize, out: &mut [f32]);

    /// All of them, where they lie in memory as they are: then none is copied.
    fn contiguous(&self) -> Option<&[f32]> {
        None
    }
}

impl Floats for [f32] {
    fn len(&self) -> usize {
        self.len()
    }

    fn contiguous(&self) -> Option<&[f32]> {
        Some(self)
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

impl<F: Sync> Floats for Vec<F>
where
    [F]: Floats,
{
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        self[..].read(start, out);
    }

    fn contiguous(&self) -> Option<&[f32]> {
        self[..].contiguous()
    }
}

/// In the array's logical order, whatever its order in memory: of f32, f16 or bf16.
#[cfg(feature = "ndarray")]
impl<A, S, D> Floats for ndarray::ArrayBase<S, D>
where
    A: Copy + Into<f32> + Sync,
    [A]: Floats,
    S: ndarray::Data<Elem = A> + Sync,
    D: ndarray::Dimension,
{
    fn len(&self) -> usize {
        self.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        if let Some(values) = self.as_slice() {
            return values.read(start, out);
        }
        // Only an array of one axis or more is not contiguous, and none that is empty.
        let width = self.shape().last().copied().unwrap_or(1);
        let mut done = 0;
        while done < out.len() {
            let (row, column) = ((start + done) / width, (start + done) % width);
            let count = (width - column).min(out.len() - done);
            let row = row_of(self, row);
            let stretch = row.slice_axis(ndarray::Axis(0), (column..column + count).into());
            out[done..done + count].iter_mut().zip(stretch).for_each(|(out, &value)| *out = value.into());
            done += count;
        }
    }

    fn contiguous(&self) -> Option<&[f32]> {
        self.as_slice()?.contiguous()
    }
}

/// Row `row` along the last axis, in logical order: found by its number, because walking there takes as long as reading all
/// before it.
#[cfg(feature = "ndarray")]
fn row_of<A, S: ndarray::Data<Elem = A>, D: ndarray::Dimension>(
    array: &ndarray::ArrayBase<S, D>,
    mut row: usize,
) -> ndarray::ArrayView1<'_, A> {
    let mut rest = array.view().into_dyn();
    while rest.ndim() > 1 {
        let below: usize = rest.shape()[1..rest.ndim() - 1].iter().product();
        rest.index_axis_inplace(ndarray::Axis(0), row / below);
        row %= below;
    }
    rest.into_dimensionality().expect("one axis is left")
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
    pub(crate) clip: f32,
    /// The integer that stands for zero: `2^(bits-1) - 1`.
    pub(crate) zero: u32,
}

/// Floats looked at in one go: a few cache lines of the first-level cache.
pub(crate) const STRETCH: usize = 1024;
/// Floats that a thread looks at, at least: fewer take no longer than waking it.
const SHARE: usize = 1 << 18;

impl Grid {
    pub(crate) fn new(bits: u32, clip: f32) -> Self {
        Self { clip, zero: (1 << (bits - 1)) - 1 }
    }

    /// Levels per unit.
    pub(crate) fn scale(&self) -> f64 {
        f64::from(self.zero) / f64::from(self.clip)
    }

    /// The distance of two levels.
    #[must_use]
    pub fn step(&self) -> f64 {
        f64::from(self.clip) / f64::from(self.zero)
    }

    /// What of these values is out of range: found by at most so many threads.
    #[must_use]
    pub fn survey(&self, values: &(impl Floats + ?Sized), threads: usize) -> OutOfRange {
        let starts: Vec<usize> = (0..values.len()).step_by(SHARE).collect();
        let parts = shares(threads, &starts, |starts| {
            let (first, last) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
            self.survey_some(values, first, (last + SHARE).min(values.len()) - first)
        });
        parts.into_iter().fold(OutOfRange::default(), |sum, part| OutOfRange {
            clipped: sum.clipped + part.clipped,
            not_a_number: sum.not_a_number + part.not_a_number,
        })
    }

    fn survey_some(&self, values: &(impl Floats + ?Sized), start: usize, count: usize) -> OutOfRange {
        let (arch, mut found) = (pulp::Arch::new(), OutOfRange::default());
        stretches(values, start, count, |_, stretch| {
            // Among positive floats, infinity and what is no number included, the larger one has the larger bits.
            if arch.dispatch(Largest { stretch }) > self.clip.to_bits() {
                let (clipped, not_a_number) = arch.dispatch(Survey { stretch, clip: self.clip });
                found.clipped += u64::from(clipped);
                found.not_a_number += u64::from(not_a_number);
            }
        });
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

/// An update on its grid, as `lwe` reads it.
pub(crate) struct OnGrid<'a, F: ?Sized> {
    pub(crate) grid: Grid,
    pub(crate) dither: Dither,
    pub(crate) found: OutOfRange,
    pub(crate) floats: &'a F,
}

impl<F: Floats + ?Sized> Values for OnGrid<'_, F> {
    fn fill(&self, start: usize, out: &mut [u32]) {
        let Self { grid, dither, found, floats } = *self;
        let mut rest = out;
        stretches(floats, start, rest.len(), |first, floats| {
            let (out, behind) = core::mem::take(&mut rest).split_at_mut(floats.len());
            rest = behind;
            // A message has at most 2^31 values.
            round(grid, dither, found, first as u32, floats, out);
        });
    }
}

/// Hands out values `start .. start + count`, some at a time, with the first one's number.
fn stretches(values: &(impl Floats + ?Sized), start: usize, count: usize, mut each: impl FnMut(usize, &[f32])) {
    if let Some(floats) = values.contiguous() {
        for (index, stretch) in floats[start..start + count].chunks(STRETCH).enumerate() {
            each(start + index * STRETCH, stretch);
        }
        return;
    }
    let mut buffer = [0.0; STRETCH];
    for first in (start..start + count).step_by(STRETCH) {
        let stretch = &mut buffer[..STRETCH.min(start + count - first)];
        values.read(first, stretch);
        each(first, stretch);
    }
    // It held part of the update.
    buffer.fill(0.0);
    core::hint::black_box(&mut buffer);
}

struct Largest<'a> {
    stretch: &'a [f32],
}

impl pulp::NullaryFnOnce for Largest<'_> {
    type Output = u32;

    /// The bits of the largest magnitude.
    #[inline(always)]
    fn call(self) -> u32 {
        self.stretch.iter().fold(0, |largest, x| largest.max(x.abs().to_bits()))
    }
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
