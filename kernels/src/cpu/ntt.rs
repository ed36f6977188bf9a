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

/// The prime and the tables, in vectors' terms.
#[derive(Clone, Copy)]
pub(super) struct Field<'a, S: Simd> {
    simd: S,
    p: S::V,
    two_p: S::V,
    one: Root<S>,
    factors: &'a [u32],
    quotients: &'a [u32],
}

impl<'a, S: Simd> Field<'a, S> {
    #[inline(always)]
    fn new(simd: S, plan: &'a Plan, (factors, quotients): (&'a [u32], &'a [u32])) -> Self {
        let p = plan.modulus().value();
        let one = Root { factor: simd.splat(1), quotient: simd.splat(plan.one().quotient) };
        Self { simd, p: simd.splat(p), two_p: simd.splat(2 * p), one, factors, quotients }
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

    /// Any word times a root: `[0, 2p)`.
    #[inline(always)]
    fn mul(&self, x: S::V, root: Root<S>) -> S::V {
        self.mul_by(x, root.factor, root.quotient)
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
        let s = self.simd;
        let (u, v) = (self.below(x, self.two_p), self.mul(y, root));
        (s.add(u, v), s.sub(s.add(u, self.two_p), v))
    }

    /// `x + y, w(x - y)`: both in `[0, 2p)`; results in `[0, 2p)`.
    #[inline(always)]
    fn combine(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        let s = self.simd;
        let difference = s.sub(s.add(x, self.two_p), y);
        (self.below(s.add(x, y), self.two_p), self.mul(difference, root))
    }

    /// Any word to `[0, 2p)`.
    #[inline(always)]
    fn tame(&self, x: S::V) -> S::V {
        self.mul(x, self.one)
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
        for (index, quad) in part.chunks_exact_mut(4 * S::LANES).enumerate() {
            forward_tail(field, quad, first + index);
        }
    }
}

/// One pass: two stages, or one where only one is left above `floor`. `first` is the table index of the first block's
/// root at this level; returns that of the level reached.
#[inline(always)]
fn forward_pass<S: Simd>(field: &Field<'_, S>, data: &mut [u32], block: &mut usize, first: usize, floor: usize) -> usize {
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

/// The stages from `2 * LANES` words apart down to neighbours, and the final reduction, in registers.
#[inline(always)]
fn forward_tail<S: Simd>(field: &Field<'_, S>, quad: &mut [u32], index: usize) {
    let s = field.simd;
    let [x0, x1, x2, x3] = core::array::from_fn(|i| s.load(&quad[i * S::LANES..]));
    let root = field.root(index);
    let (x0, x2) = field.decimate(x0, x2, root);
    let (x1, x3) = field.decimate(x1, x3, root);
    let (low, high) = quad.split_at_mut(2 * S::LANES);
    forward_pair(field, x0, x1, 2 * index, low);
    forward_pair(field, x2, x3, 2 * index + 1, high);
}

#[inline(always)]
fn forward_pair<S: Simd>(field: &Field<'_, S>, x: S::V, y: S::V, index: usize, to: &mut [u32]) {
    let s = field.simd;
    let (x, y) = field.decimate(x, y, field.root(index));
    let (x, y) = if S::LANES >= 16 { forward_step::<S, 8>(field, x, y, index) } else { (x, y) };
    let (x, y) = if S::LANES >= 8 { forward_step::<S, 4>(field, x, y, index) } else { (x, y) };
    let (x, y) = forward_step::<S, 2>(field, x, y, index);
    let (x, y) = forward_step::<S, 1>(field, x, y, index);
    let reduce = |x| field.canonical(field.below(x, field.two_p));
    let (x, y) = s.zip(reduce(x), reduce(y));
    s.store(x, to);
    s.store(y, &mut to[S::LANES..]);
}

/// The stage of neighbours `T` words apart: after the exchange lane l belongs to block `l / T`.
#[inline(always)]
fn forward_step<S: Simd, const T: usize>(field: &Field<'_, S>, x: S::V, y: S::V, index: usize) -> (S::V, S::V) {
    let (x, y) = field.simd.exchange::<T>(x, y);
    field.decimate(x, y, field.roots::<T>(index * (S::LANES / T)))
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
        for (index, quad) in data.chunks_exact_mut(4 * S::LANES).enumerate() {
            inverse_tail(field, quad, root * quads + index);
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
    let splat = |shoup: ntt::Shoup| Root::<S> { factor: s.splat(shoup.factor), quotient: s.splat(shoup.quotient) };
    let (scale, turned) = (splat(scale), splat(turned));
    let (low, high) = poly.split_at_mut(poly.len() / 2);
    for (a, b) in low.chunks_exact_mut(S::LANES).zip(high.chunks_exact_mut(S::LANES)) {
        let (x, y) = (s.load(a), s.load(b));
        let difference = s.sub(s.add(x, field.two_p), y);
        s.store(field.canonical(field.mul(s.add(x, y), scale)), a);
        s.store(field.canonical(field.mul(difference, turned)), b);
    }
}

#[inline(always)]
fn inverse_tail<S: Simd>(field: &Field<'_, S>, quad: &mut [u32], index: usize) {
    let s = field.simd;
    let [x0, x1, x2, x3] = core::array::from_fn(|i| s.load(&quad[i * S::LANES..]));
    let (x0, x1) = inverse_pair(field, x0, x1, 2 * index);
    let (x2, x3) = inverse_pair(field, x2, x3, 2 * index + 1);
    let root = field.root(index);
    let (x0, x2) = field.combine(x0, x2, root);
    let (x1, x3) = field.combine(x1, x3, root);
    for (i, x) in [x0, x1, x2, x3].into_iter().enumerate() {
        s.store(x, &mut quad[i * S::LANES..]);
    }
}

#[inline(always)]
fn inverse_pair<S: Simd>(field: &Field<'_, S>, x: S::V, y: S::V, index: usize) -> (S::V, S::V) {
    let (x, y) = field.simd.unzip(x, y);
    let (x, y) = inverse_step::<S, 1>(field, x, y, index);
    let (x, y) = inverse_step::<S, 2>(field, x, y, index);
    let (x, y) = if S::LANES >= 8 { inverse_step::<S, 4>(field, x, y, index) } else { (x, y) };
    let (x, y) = if S::LANES >= 16 { inverse_step::<S, 8>(field, x, y, index) } else { (x, y) };
    field.combine(x, y, field.root(index))
}

#[inline(always)]
fn inverse_step<S: Simd, const T: usize>(field: &Field<'_, S>, x: S::V, y: S::V, index: usize) -> (S::V, S::V) {
    let (x, y) = field.combine(x, y, field.roots::<T>(index * (S::LANES / T)));
    field.simd.exchange::<T>(x, y)
}
