//! The tails of the transforms: all stages of four vectors, in registers.

use super::ntt::{ANY, Field, Root};
use super::simd::Simd;

/// Pairs of vectors that go through the tail together: with fewer, chains of products wait for themselves.
pub(super) const PAIRS: usize = 4;

/// The roots of four vectors' last stages.
#[derive(Clone, Copy)]
struct Record<'a, S: Simd> {
    simd: S,
    words: &'a [u32],
}

impl<'a, S: Simd> Record<'a, S> {
    /// The record for pair `pair` of several.
    #[inline(always)]
    fn of(simd: S, records: &'a [u32], pair: usize) -> Self {
        Self { simd, words: &records[record::<S>() * (pair / 2)..][..record::<S>()] }
    }

    /// Root `index` of the one or two of a stage.
    #[inline(always)]
    fn root(&self, k: usize, index: usize) -> Root<S> {
        let (s, at) = (self.simd, 2 * (k - 1) + index);
        Root { factor: s.splat(self.words[at]), quotient: s.splat(self.words[at + k]) }
    }

    /// The roots for pair `index` of the two, each for `T` neighbouring lanes.
    #[inline(always)]
    fn roots<const T: usize>(&self, index: usize) -> Root<S> {
        let at = 16 + 4 * S::LANES * (S::LANES / 2 / T).ilog2() as usize + S::LANES * index;
        let s = self.simd;
        Root { factor: s.load(&self.words[at..]), quotient: s.load(&self.words[at + 2 * S::LANES..]) }
    }
}

/// Words of roots for four vectors.
pub(super) const fn record<S: Simd>() -> usize {
    16 + 4 * S::LANES * S::LANES.ilog2() as usize
}

#[inline(always)]
pub(super) fn forward_tails<S: Simd>(field: &Field<'_, S>, part: &mut [u32], records: &[u32]) {
    let records = records.chunks_exact(PAIRS / 2 * record::<S>());
    for (data, records) in part.chunks_exact_mut(2 * PAIRS * S::LANES).zip(records) {
        forward_tail(field, data, records);
    }
}

/// The stages from `2 * LANES` words apart down to neighbours, and the final reduction, in registers. All vectors go
/// through a stage before any goes on: a stage's long chain of products hides behind the others'.
#[inline(always)]
fn forward_tail<S: Simd>(field: &Field<'_, S>, data: &mut [u32], records: &[u32]) {
    let s = field.simd;
    let mut x = [s.splat(0); PAIRS];
    let mut y = [s.splat(0); PAIRS];
    for (quad, words) in data.chunks_exact(4 * S::LANES).enumerate() {
        let (i, j) = (2 * quad, 2 * quad + 1);
        let root = Record::of(s, records, i).root(1, 0);
        let (bound, words) = (field.two_p, words.split_at(2 * S::LANES));
        (x[i], x[j]) = field.decimate_signed(s.load(words.0), s.load(words.1), root, bound);
        (y[i], y[j]) = field.decimate(s.load(&words.0[S::LANES..]), s.load(&words.1[S::LANES..]), root, bound);
    }
    for i in 0..PAIRS {
        let bound = if i % 2 == 0 { field.two_p } else { field.minus_two_p };
        (x[i], y[i]) = field.decimate(x[i], y[i], Record::of(s, records, i).root(2, i % 2), bound);
    }
    if S::LANES >= 16 {
        forward_step::<S, 8>(field, &mut x, &mut y, records);
    }
    if S::LANES >= 8 {
        forward_step::<S, 4>(field, &mut x, &mut y, records);
    }
    forward_step::<S, 2>(field, &mut x, &mut y, records);
    for i in 0..PAIRS {
        let (a, b) = s.exchange::<1>(x[i], y[i]);
        (x[i], y[i]) = field.decimate_last(a, b, Record::of(s, records, i).roots::<1>(i % 2));
    }
    for (i, words) in data.chunks_exact_mut(2 * S::LANES).enumerate() {
        let (x, y) = s.zip(x[i], y[i]);
        s.store(x, words);
        s.store(y, &mut words[S::LANES..]);
    }
}

/// The stage of neighbours `T` words apart: after the exchange lane l belongs to block `l / T`.
#[inline(always)]
fn forward_step<S: Simd, const T: usize>(
    field: &Field<'_, S>,
    x: &mut [S::V; PAIRS],
    y: &mut [S::V; PAIRS],
    records: &[u32],
) {
    for i in 0..PAIRS {
        let root = Record::of(field.simd, records, i).roots::<T>(i % 2);
        let (a, b) = field.simd.exchange::<T>(x[i], y[i]);
        (x[i], y[i]) = field.decimate_by::<T>(a, b, root, field.two_p);
    }
}

#[inline(always)]
pub(super) fn inverse_tails<S: Simd, const WORDS: usize>(field: &Field<'_, S>, part: &mut [u32], records: &[u32]) {
    let records = records.chunks_exact(PAIRS / 2 * record::<S>());
    for (data, records) in part.chunks_exact_mut(2 * PAIRS * S::LANES).zip(records) {
        inverse_tail::<S, WORDS>(field, data, records);
    }
}

#[inline(always)]
fn inverse_tail<S: Simd, const WORDS: usize>(field: &Field<'_, S>, data: &mut [u32], records: &[u32]) {
    let s = field.simd;
    let mut x = [s.splat(0); PAIRS];
    let mut y = [s.splat(0); PAIRS];
    for (i, words) in data.chunks_exact(2 * S::LANES).enumerate() {
        (x[i], y[i]) = s.unzip(field.load::<WORDS>(words), field.load::<WORDS>(&words[S::LANES..]));
        if WORDS == ANY {
            (x[i], y[i]) = (field.below(x[i], field.two_p), field.below(y[i], field.two_p));
        }
    }
    inverse_step::<S, 1>(field, &mut x, &mut y, records);
    inverse_step::<S, 2>(field, &mut x, &mut y, records);
    if S::LANES >= 8 {
        inverse_step::<S, 4>(field, &mut x, &mut y, records);
    }
    if S::LANES >= 16 {
        inverse_step::<S, 8>(field, &mut x, &mut y, records);
    }
    for i in 0..PAIRS {
        (x[i], y[i]) = field.combine(x[i], y[i], Record::of(s, records, i).root(2, i % 2));
    }
    for (quad, words) in data.chunks_exact_mut(4 * S::LANES).enumerate() {
        let (i, j) = (2 * quad, 2 * quad + 1);
        let root = Record::of(s, records, i).root(1, 0);
        let (a, c) = field.combine(x[i], x[j], root);
        let (b, d) = field.combine(y[i], y[j], root);
        s.store(a, words);
        s.store(b, &mut words[S::LANES..]);
        s.store(c, &mut words[2 * S::LANES..]);
        s.store(d, &mut words[3 * S::LANES..]);
    }
}

#[inline(always)]
fn inverse_step<S: Simd, const T: usize>(
    field: &Field<'_, S>,
    x: &mut [S::V; PAIRS],
    y: &mut [S::V; PAIRS],
    records: &[u32],
) {
    for i in 0..PAIRS {
        let root = Record::of(field.simd, records, i).roots::<T>(i % 2);
        let (a, b) = field.combine_by::<T>(x[i], y[i], root);
        (x[i], y[i]) = field.simd.exchange::<T>(a, b);
    }
}
