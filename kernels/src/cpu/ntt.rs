//! The transforms. Two stages per pass over the data while blocks are long; then four vectors at a time through all
//! remaining stages in registers. Values between stages: forward `[0, 4p)`, inverse `[0, 2p)`.

use super::simd::{Body, Simd};
use ntt::Plan;

/// Blocks up to this many words are finished before the next one is begun, so they stay in the first-level cache.
const BLOCK: usize = 4096;

/// A root of unity, or one per lane, with its quotient.
#[derive(Clone, Copy)]
struct Root<S: Simd> {
    factor: S::V,
    quotient: S::V,
}

impl<S: Simd> Root<S> {
    #[inline(always)]
    fn splat(s: S, root: ntt::Shoup) -> Self {
        Self { factor: s.splat(root.factor), quotient: s.splat(root.quotient) }
    }
}

/// The prime and the tables, in vectors' terms.
#[derive(Clone, Copy)]
pub(super) struct Field<'a, S: Simd> {
    simd: S,
    p: S::V,
    two_p: S::V,
    four_p: S::V,
    /// Whether every word is below 8p, so that two subtractions tame it.
    large: bool,
    one: Root<S>,
    factors: &'a [u32],
    quotients: &'a [u32],
}

impl<'a, S: Simd> Field<'a, S> {
    #[inline(always)]
    fn new(simd: S, plan: &'a Plan, (factors, quotients): (&'a [u32], &'a [u32])) -> Self {
        let p = plan.modulus().value();
        let one = Root { factor: simd.splat(1), quotient: simd.splat(plan.one().quotient) };
        let [p, two_p, four_p] = [simd.splat(p), simd.splat(2 * p), simd.splat(4 * p)];
        Self { simd, p, two_p, four_p, large: plan.modulus().bits() == 30, one, factors, quotients }
    }

    #[inline(always)]
    pub(super) fn forward(simd: S, plan: &'a Plan) -> Self {
        Self::new(simd, plan, plan.forward_table())
    }

    #[inline(always)]
    pub(super) fn inverse(simd: S, plan: &'a Plan) -> Self {
        Self::new(simd, plan, plan.inverse_table())
    }

    #[inline(always)]
    fn root(&self, index: usize) -> Root<S> {
        Root { factor: self.simd.splat(self.factors[index]), quotient: self.simd.splat(self.quotients[index]) }
    }

    /// Roots from `index` on, each for `T` neighbouring lanes.
    #[inline(always)]
    fn roots<const T: usize>(&self, index: usize) -> Root<S> {
        Root {
            factor: self.simd.spread::<T>(&self.factors[index..]),
            quotient: self.simd.spread::<T>(&self.quotients[index..]),
        }
    }

    /// Any word times a root, the same for `T` neighbouring lanes: `[0, 2p)`.
    #[inline(always)]
    fn mul<const T: usize>(&self, x: S::V, root: Root<S>) -> S::V {
        let s = self.simd;
        let estimate = if T > 1 { s.mul_high_paired(x, root.quotient) } else { s.mul_high(x, root.quotient) };
        s.sub(s.mul_low(x, root.factor), s.mul_low(estimate, self.p))
    }

    /// Any word times a factor below p with its quotient: `[0, 2p)`.
    #[inline(always)]
    pub(super) fn mul_by(&self, x: S::V, factor: S::V, quotient: S::V) -> S::V {
        let s = self.simd;
        let estimate = s.mul_high(x, quotient);
        s.sub(s.mul_low(x, factor), s.mul_low(estimate, self.p))
    }

    /// `[0, 2b)` to `[0, b)`: where x < b the difference wraps and is the larger one.
    #[inline(always)]
    fn below(&self, x: S::V, bound: S::V) -> S::V {
        self.simd.min(x, self.simd.sub(x, bound))
    }

    /// `[0, 2p)` to `[0, p)`.
    #[inline(always)]
    pub(super) fn canonical(&self, x: S::V) -> S::V {
        self.below(x, self.p)
    }

    /// `x + wy, x - wy`: x in `[0, 4p)`, any y; results in `[0, 4p)`.
    #[inline(always)]
    fn decimate(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        self.decimate_by::<{ usize::MAX }>(x, y, root)
    }

    /// [`Field::decimate`] with a root for each `T` neighbouring lanes.
    #[inline(always)]
    fn decimate_by<const T: usize>(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        let s = self.simd;
        let (u, v) = (self.below(x, self.two_p), self.mul::<T>(y, root));
        (s.add(u, v), s.sub(s.add(u, self.two_p), v))
    }

    /// `x + y, w(x - y)`: both in `[0, 2p)`; results in `[0, 2p)`.
    #[inline(always)]
    fn combine(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        self.combine_by::<{ usize::MAX }>(x, y, root)
    }

    /// [`Field::combine`] with a root for each `T` neighbouring lanes.
    #[inline(always)]
    fn combine_by<const T: usize>(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        let s = self.simd;
        let difference = s.sub(s.add(x, self.two_p), y);
        (self.below(s.add(x, y), self.two_p), self.mul::<T>(difference, root))
    }

    /// Any word to `[0, 2p)`.
    #[inline(always)]
    fn tame(&self, x: S::V) -> S::V {
        if self.large { self.below(self.below(x, self.four_p), self.two_p) } else { self.mul::<2>(x, self.one) }
    }
}

/// Transforms polynomials in place, any words in, `[0, p)` out.
pub(super) struct Forward<'a> {
    pub(super) plan: &'a Plan,
    pub(super) polys: &'a mut [u32],
}

impl Body for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let field = Field::forward(simd, self.plan);
        for poly in self.polys.chunks_exact_mut(self.plan.n()) {
            forward(&field, poly);
        }
    }
}

/// Transforms polynomials in place, any words in, `[0, p)` out, `n^-1` included.
pub(super) struct Inverse<'a> {
    pub(super) plan: &'a Plan,
    pub(super) polys: &'a mut [u32],
}

impl Body for Inverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let field = Field::inverse(simd, self.plan);
        for poly in self.polys.chunks_exact_mut(self.plan.n()) {
            for chunk in poly.chunks_exact_mut(S::LANES) {
                simd.store(field.tame(simd.load(chunk)), chunk);
            }
            inverse(&field, self.plan, poly);
        }
    }
}

#[inline(always)]
pub(super) fn forward<S: Simd>(field: &Field<'_, S>, poly: &mut [u32]) {
    // The first stage takes any words.
    let mut block = poly.len();
    let (low, high) = poly.split_at_mut(block / 2);
    let root = field.root(1);
    for (x, y) in low.chunks_exact_mut(S::LANES).zip(high.chunks_exact_mut(S::LANES)) {
        let s = field.simd;
        let (u, v) = field.decimate(field.tame(s.load(x)), s.load(y), root);
        s.store(u, x);
        s.store(v, y);
    }
    block /= 2;
    let mut first = 2;
    while block > BLOCK {
        first = forward_pass(field, poly, &mut block, first, BLOCK);
    }
    for (index, part) in poly.chunks_exact_mut(block).enumerate() {
        let (mut block, mut first) = (block, first + index);
        while block > 4 * S::LANES {
            first = forward_pass(field, part, &mut block, first, 4 * S::LANES);
        }
        if S::REGISTERS >= 32 {
            for (index, quads) in part.chunks_exact_mut(8 * S::LANES).enumerate() {
                forward_tail::<S, 4>(field, quads, first + 2 * index);
            }
        } else {
            for (index, quad) in part.chunks_exact_mut(4 * S::LANES).enumerate() {
                forward_tail::<S, 2>(field, quad, first + index);
            }
        }
    }
}

/// One pass: two stages, or one where only one is left above `floor`. `first` is the table index of the first block's
/// root at this level; returns that of the level reached.
#[inline(always)]
fn forward_pass<S: Simd>(
    field: &Field<'_, S>,
    data: &mut [u32],
    block: &mut usize,
    first: usize,
    floor: usize,
) -> usize {
    if *block >= 4 * floor {
        for (index, chunk) in data.chunks_exact_mut(*block).enumerate() {
            forward_two(field, chunk, first + index);
        }
        *block /= 4;
        4 * first
    } else {
        for (index, chunk) in data.chunks_exact_mut(*block).enumerate() {
            forward_one(field, chunk, first + index);
        }
        *block /= 2;
        2 * first
    }
}

#[inline(always)]
fn forward_one<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let root = field.root(index);
    let (low, high) = block.split_at_mut(block.len() / 2);
    for (x, y) in low.chunks_exact_mut(S::LANES).zip(high.chunks_exact_mut(S::LANES)) {
        let (u, v) = field.decimate(s.load(x), s.load(y), root);
        s.store(u, x);
        s.store(v, y);
    }
}

#[inline(always)]
fn forward_two<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    for [a, b, c, d] in quarters::<S>(block) {
        let (x0, x2) = field.decimate(s.load(a), s.load(c), outer);
        let (x1, x3) = field.decimate(s.load(b), s.load(d), outer);
        let (x0, x1) = field.decimate(x0, x1, left);
        let (x2, x3) = field.decimate(x2, x3, right);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
    }
}

/// Vectors at the same place of a block's four quarters.
#[inline(always)]
fn quarters<S: Simd>(block: &mut [u32]) -> impl Iterator<Item = [&mut [u32]; 4]> {
    let quarter = block.len() / 4;
    let (low, high) = block.split_at_mut(2 * quarter);
    let ((a, b), (c, d)) = (low.split_at_mut(quarter), high.split_at_mut(quarter));
    let low = a.chunks_exact_mut(S::LANES).zip(b.chunks_exact_mut(S::LANES));
    let high = c.chunks_exact_mut(S::LANES).zip(d.chunks_exact_mut(S::LANES));
    low.zip(high).map(|((a, b), (c, d))| [a, b, c, d])
}

/// The stages from `2 * LANES` words apart down to neighbours, and the final reduction, in registers. All vectors go
/// through a stage before any goes on: a stage's long chain of products hides behind the others'.
#[inline(always)]
fn forward_tail<S: Simd, const PAIRS: usize>(field: &Field<'_, S>, data: &mut [u32], index: usize) {
    let s = field.simd;
    let mut x = [s.splat(0); PAIRS];
    let mut y = [s.splat(0); PAIRS];
    for (quad, words) in data.chunks_exact(4 * S::LANES).enumerate() {
        let (i, j) = (2 * quad, 2 * quad + 1);
        let root = field.root(index + quad);
        (x[i], x[j]) = field.decimate(s.load(words), s.load(&words[2 * S::LANES..]), root);
        (y[i], y[j]) = field.decimate(s.load(&words[S::LANES..]), s.load(&words[3 * S::LANES..]), root);
    }
    let first = 2 * index;
    for i in 0..PAIRS {
        (x[i], y[i]) = field.decimate(x[i], y[i], field.root(first + i));
    }
    if S::LANES >= 16 {
        forward_step::<S, PAIRS, 8>(field, &mut x, &mut y, first);
    }
    if S::LANES >= 8 {
        forward_step::<S, PAIRS, 4>(field, &mut x, &mut y, first);
    }
    forward_step::<S, PAIRS, 2>(field, &mut x, &mut y, first);
    forward_step::<S, PAIRS, 1>(field, &mut x, &mut y, first);
    for (i, words) in data.chunks_exact_mut(2 * S::LANES).enumerate() {
        let (x, y) = (field.below(x[i], field.two_p), field.below(y[i], field.two_p));
        let (x, y) = s.zip(field.canonical(x), field.canonical(y));
        s.store(x, words);
        s.store(y, &mut words[S::LANES..]);
    }
}

/// The stage of neighbours `T` words apart: after the exchange lane l belongs to block `l / T`.
#[inline(always)]
fn forward_step<S: Simd, const PAIRS: usize, const T: usize>(
    field: &Field<'_, S>,
    x: &mut [S::V; PAIRS],
    y: &mut [S::V; PAIRS],
    first: usize,
) {
    for i in 0..PAIRS {
        let root = field.roots::<T>((first + i) * (S::LANES / T));
        let (a, b) = field.simd.exchange::<T>(x[i], y[i]);
        (x[i], y[i]) = field.decimate_by::<T>(a, b, root);
    }
}

/// In place, words in `[0, 2p)` to `[0, p)`.
#[inline(always)]
pub(super) fn inverse<S: Simd>(field: &Field<'_, S>, plan: &Plan, poly: &mut [u32]) {
    let part = poly.len().min(BLOCK);
    let parts = poly.len() / part;
    let top = poly.len() / 2;
    for (index, data) in poly.chunks_exact_mut(part).enumerate() {
        let quads = part / (4 * S::LANES);
        let root = parts + index;
        if S::REGISTERS >= 32 {
            for (index, eight) in data.chunks_exact_mut(8 * S::LANES).enumerate() {
                inverse_tail::<S, 4>(field, eight, root * quads + 2 * index);
            }
        } else {
            for (index, quad) in data.chunks_exact_mut(4 * S::LANES).enumerate() {
                inverse_tail::<S, 2>(field, quad, root * quads + index);
            }
        }
        let mut block = 4 * S::LANES;
        while block < part.min(top) {
            inverse_pass(field, data, &mut block, root, part.min(top));
        }
    }
    let mut block = part;
    while block < top {
        inverse_pass(field, poly, &mut block, 1, top);
    }
    inverse_last(field, plan, poly);
}

/// One pass: blocks of `block` words joined by fours, or by twos where only one stage is left below `ceiling`.
#[inline(always)]
fn inverse_pass<S: Simd>(field: &Field<'_, S>, data: &mut [u32], block: &mut usize, root: usize, ceiling: usize) {
    if 4 * *block <= ceiling {
        *block *= 4;
        let first = root * (data.len() / *block);
        for (index, chunk) in data.chunks_exact_mut(*block).enumerate() {
            inverse_two(field, chunk, first + index);
        }
    } else {
        *block *= 2;
        let first = root * (data.len() / *block);
        for (index, chunk) in data.chunks_exact_mut(*block).enumerate() {
            inverse_one(field, chunk, first + index);
        }
    }
}

#[inline(always)]
fn inverse_one<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let root = field.root(index);
    let (low, high) = block.split_at_mut(block.len() / 2);
    for (x, y) in low.chunks_exact_mut(S::LANES).zip(high.chunks_exact_mut(S::LANES)) {
        let (u, v) = field.combine(s.load(x), s.load(y), root);
        s.store(u, x);
        s.store(v, y);
    }
}

#[inline(always)]
fn inverse_two<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    for [a, b, c, d] in quarters::<S>(block) {
        let (x0, x1) = field.combine(s.load(a), s.load(b), left);
        let (x2, x3) = field.combine(s.load(c), s.load(d), right);
        let (x0, x2) = field.combine(x0, x2, outer);
        let (x1, x3) = field.combine(x1, x3, outer);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
    }
}

/// The last stage, with `n^-1` folded into both of its factors.
#[inline(always)]
fn inverse_last<S: Simd>(field: &Field<'_, S>, plan: &Plan, poly: &mut [u32]) {
    let s = field.simd;
    let scale = plan.n_inverse();
    let turned = ntt::Shoup::new(plan.modulus(), plan.modulus().mul(scale.factor, field.factors[1]));
    let (scale, turned) = (Root::<S>::splat(s, scale), Root::<S>::splat(s, turned));
    let (low, high) = poly.split_at_mut(poly.len() / 2);
    for (a, b) in low.chunks_exact_mut(S::LANES).zip(high.chunks_exact_mut(S::LANES)) {
        let (x, y) = (s.load(a), s.load(b));
        let difference = s.sub(s.add(x, field.two_p), y);
        s.store(field.canonical(field.mul::<2>(s.add(x, y), scale)), a);
        s.store(field.canonical(field.mul::<2>(difference, turned)), b);
    }
}

#[inline(always)]
fn inverse_tail<S: Simd, const PAIRS: usize>(field: &Field<'_, S>, data: &mut [u32], index: usize) {
    let s = field.simd;
    let first = 2 * index;
    let mut x = [s.splat(0); PAIRS];
    let mut y = [s.splat(0); PAIRS];
    for (i, words) in data.chunks_exact(2 * S::LANES).enumerate() {
        (x[i], y[i]) = s.unzip(s.load(words), s.load(&words[S::LANES..]));
    }
    inverse_step::<S, PAIRS, 1>(field, &mut x, &mut y, first);
    inverse_step::<S, PAIRS, 2>(field, &mut x, &mut y, first);
    if S::LANES >= 8 {
        inverse_step::<S, PAIRS, 4>(field, &mut x, &mut y, first);
    }
    if S::LANES >= 16 {
        inverse_step::<S, PAIRS, 8>(field, &mut x, &mut y, first);
    }
    for i in 0..PAIRS {
        (x[i], y[i]) = field.combine(x[i], y[i], field.root(first + i));
    }
    for (quad, words) in data.chunks_exact_mut(4 * S::LANES).enumerate() {
        let (i, j) = (2 * quad, 2 * quad + 1);
        let root = field.root(index + quad);
        let (a, c) = field.combine(x[i], x[j], root);
        let (b, d) = field.combine(y[i], y[j], root);
        s.store(a, words);
        s.store(b, &mut words[S::LANES..]);
        s.store(c, &mut words[2 * S::LANES..]);
        s.store(d, &mut words[3 * S::LANES..]);
    }
}

#[inline(always)]
fn inverse_step<S: Simd, const PAIRS: usize, const T: usize>(
    field: &Field<'_, S>,
    x: &mut [S::V; PAIRS],
    y: &mut [S::V; PAIRS],
    first: usize,
) {
    for i in 0..PAIRS {
        let root = field.roots::<T>((first + i) * (S::LANES / T));
        let (a, b) = field.combine_by::<T>(x[i], y[i], root);
        (x[i], y[i]) = field.simd.exchange::<T>(a, b);
    }
}
