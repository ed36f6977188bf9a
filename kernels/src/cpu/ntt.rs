//! The transforms. Two or three stages per pass over the data while blocks are long; then four vectors at a time through
//! all remaining stages in registers. Values between passes: forward `[0, 4p)`, inverse `[0, 2p)`.

use super::simd::{Body, Simd};
use super::tail::{PAIRS, forward_tails, inverse_tails, record};
use ntt::Plan;

/// Words as the caller gave them: any.
pub(super) const ANY: usize = 1;
/// Words in the range that a pass takes.
const LAZY: usize = 0;

/// A root of unity, or one per lane, with its quotient.
#[derive(Clone, Copy)]
pub(super) struct Root<S: Simd> {
    pub(super) factor: S::V,
    pub(super) quotient: S::V,
}

impl<S: Simd> Root<S> {
    #[inline(always)]
    pub(super) fn splat(s: S, root: ntt::Shoup) -> Self {
        Self { factor: s.splat(root.factor), quotient: s.splat(root.quotient) }
    }
}

/// The prime and the tables, in vectors' terms.
#[derive(Clone, Copy)]
pub(super) struct Field<'a, S: Simd> {
    pub(super) simd: S,
    p: S::V,
    pub(super) two_p: S::V,
    four_p: S::V,
    minus_p: S::V,
    pub(super) minus_two_p: S::V,
    /// Whether every word is below 8p, so that two subtractions tame it.
    large: bool,
    one: Root<S>,
    factors: &'a [u32],
    quotients: &'a [u32],
    /// The same roots for the tails, a record for each four vectors.
    blocks: &'a [u32],
}

impl<'a, S: Simd> Field<'a, S> {
    #[inline(always)]
    fn new(simd: S, plan: &'a Plan, (factors, quotients): (&'a [u32], &'a [u32]), blocks: &'a [u32]) -> Self {
        let p = plan.modulus().value();
        let one = Root { factor: simd.splat(1), quotient: simd.splat(plan.one().quotient) };
        let [minus_p, minus_two_p] = [simd.splat(p.wrapping_neg()), simd.splat((2 * p).wrapping_neg())];
        let [p, two_p, four_p] = [simd.splat(p), simd.splat(2 * p), simd.splat(4 * p)];
        let large = plan.modulus().bits() == 30;
        Self { simd, p, two_p, four_p, minus_p, minus_two_p, large, one, factors, quotients, blocks }
    }

    #[inline(always)]
    pub(super) fn forward(simd: S, plan: &'a Plan) -> Self {
        Self::new(simd, plan, plan.forward_table(), plan.forward_blocks(4 * S::LANES))
    }

    #[inline(always)]
    pub(super) fn inverse(simd: S, plan: &'a Plan) -> Self {
        Self::new(simd, plan, plan.inverse_table(), plan.inverse_blocks(4 * S::LANES))
    }

    #[inline(always)]
    fn root(&self, index: usize) -> Root<S> {
        Root { factor: self.simd.splat(self.factors[index]), quotient: self.simd.splat(self.quotients[index]) }
    }

    /// Any word times a root, the same for `T` neighbouring lanes: `[0, 2p)`.
    #[inline(always)]
    pub(super) fn mul<const T: usize>(&self, x: S::V, root: Root<S>) -> S::V {
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

    /// `[0, 2b)` to `[0, b)`: where x < b the difference wraps and is the larger one. With `-b` for the bound,
    /// `[-b, b)` to `[0, b)`: where x is negative it is the larger one.
    #[inline(always)]
    pub(super) fn below(&self, x: S::V, bound: S::V) -> S::V {
        self.simd.min(x, self.simd.sub(x, bound))
    }

    /// `[0, 2p)` to `[0, p)`.
    #[inline(always)]
    pub(super) fn canonical(&self, x: S::V) -> S::V {
        self.below(x, self.p)
    }

    /// `x + wy, x - wy`: any y, x in `[0, 4p)` if the bound is 2p, in `(-2p, 2p)` if it is -2p; results in `[0, 4p)`.
    #[inline(always)]
    pub(super) fn decimate(&self, x: S::V, y: S::V, root: Root<S>, bound: S::V) -> (S::V, S::V) {
        self.decimate_by::<{ usize::MAX }>(x, y, root, bound)
    }

    /// [`Field::decimate`] with a root for each `T` neighbouring lanes.
    #[inline(always)]
    pub(super) fn decimate_by<const T: usize>(&self, x: S::V, y: S::V, root: Root<S>, bound: S::V) -> (S::V, S::V) {
        let s = self.simd;
        let (u, v) = (self.below(x, bound), self.mul::<T>(y, root));
        (s.add(u, v), s.sub(s.add(u, self.two_p), v))
    }

    /// [`Field::decimate`], the difference in `(-2p, 2p)`: an operation less where the next stage only adds to it.
    #[inline(always)]
    pub(super) fn decimate_signed(&self, x: S::V, y: S::V, root: Root<S>, bound: S::V) -> (S::V, S::V) {
        let s = self.simd;
        let (u, v) = (self.below(x, bound), self.mul::<{ usize::MAX }>(y, root));
        (s.add(u, v), s.sub(u, v))
    }

    /// [`Field::decimate`] with a root for each lane, x in `[0, 4p)`, results in `[0, p)`.
    #[inline(always)]
    pub(super) fn decimate_last(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        let s = self.simd;
        let (u, v) = (self.canonical(self.below(x, self.two_p)), self.canonical(self.mul::<1>(y, root)));
        (self.canonical(s.add(u, v)), self.below(s.sub(u, v), self.minus_p))
    }

    /// `x + y, w(x - y)`: both in `[0, 2p)`; results in `[0, 2p)`.
    #[inline(always)]
    pub(super) fn combine(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        self.combine_by::<{ usize::MAX }>(x, y, root)
    }

    /// [`Field::combine`] with a root for each `T` neighbouring lanes.
    #[inline(always)]
    pub(super) fn combine_by<const T: usize>(&self, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        let s = self.simd;
        let difference = s.sub(s.add(x, self.two_p), y);
        (self.below(s.add(x, y), self.two_p), self.mul::<T>(difference, root))
    }

    /// Loads words to `[0, 4p)`. Words of a smaller prime have been through [`Field::tame`].
    #[inline(always)]
    pub(super) fn load<const WORDS: usize>(&self, from: &[u32]) -> S::V {
        let words = self.simd.load(from);
        if WORDS == ANY { self.below(words, self.four_p) } else { words }
    }

    /// Words to `[0, 2p)` where a word may be 8p or more; larger primes need only a subtraction or two on the way in.
    #[inline(always)]
    fn tame(&self, words: &mut [u32]) {
        if !self.large {
            for chunk in words.chunks_exact_mut(S::LANES) {
                self.simd.store(self.mul::<2>(self.simd.load(chunk), self.one), chunk);
            }
        }
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
            field.tame(poly);
            inverse_from::<S, ANY>(&field, self.plan, poly);
        }
    }
}

/// How many of the remaining stages the next pass takes. From two stages on this never leaves a single one.
fn depth(stages: u32) -> u32 {
    if stages.is_multiple_of(3) { 3 } else { 2 }
}

/// Stages above the tails': at least two, as four vectors are at most 64 of at least 256 words.
#[inline(always)]
fn upper_stages<S: Simd>(n: usize) -> u32 {
    (n / (4 * S::LANES)).ilog2()
}

/// Any words to `[0, p)`. Each block of the first pass is finished before the next: it stays in the first-level cache.
#[inline(always)]
pub(super) fn forward<S: Simd>(field: &Field<'_, S>, poly: &mut [u32]) {
    let n = poly.len();
    field.tame(&mut poly[..n / 2]);
    let stages = upper_stages::<S>(n);
    let taken = depth(stages);
    forward_pass::<S, ANY>(field, poly, 1, taken);
    // Small polynomials have no passes left, and blocks shorter than what a tail takes.
    let part = (n >> taken).max(2 * PAIRS * S::LANES);
    let parts = poly.chunks_exact_mut(part).zip(field.blocks.chunks_exact(part / (4 * S::LANES) * record::<S>()));
    for (index, (part, records)) in parts.enumerate() {
        let (mut block, mut first, mut stages) = (n >> taken, (1 << taken) + index, stages - taken);
        while stages > 0 {
            let taken = depth(stages);
            for (index, chunk) in part.chunks_exact_mut(block).enumerate() {
                forward_pass::<S, LAZY>(field, chunk, first + index, taken);
            }
            (block, first, stages) = (block >> taken, first << taken, stages - taken);
        }
        forward_tails(field, part, records);
    }
}

/// One pass over one block, `index` being its root's place in the table.
#[inline(always)]
fn forward_pass<S: Simd, const WORDS: usize>(field: &Field<'_, S>, block: &mut [u32], index: usize, stages: u32) {
    if stages == 3 {
        forward_three::<S, WORDS>(field, block, index);
    } else {
        forward_two::<S, WORDS>(field, block, index);
    }
}

#[inline(always)]
fn forward_two<S: Simd, const WORDS: usize>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let (near, far) = (field.two_p, field.minus_two_p);
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    for [a, b, c, d] in quarters::<S>(block) {
        let (x0, x2) = field.decimate_signed(field.load::<WORDS>(a), s.load(c), outer, near);
        let (x1, x3) = field.decimate(field.load::<WORDS>(b), s.load(d), outer, near);
        let (x0, x1) = field.decimate(x0, x1, left, near);
        let (x2, x3) = field.decimate(x2, x3, right, far);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
    }
}

#[inline(always)]
fn forward_three<S: Simd, const WORDS: usize>(field: &Field<'_, S>, block: &mut [u32], index: usize) {
    let s = field.simd;
    let (near, far) = (field.two_p, field.minus_two_p);
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    let (first, second) = (field.root(4 * index), field.root(4 * index + 1));
    let (third, fourth) = (field.root(4 * index + 2), field.root(4 * index + 3));
    let (low, high) = block.split_at_mut(block.len() / 2);
    for ([a, b, c, d], [e, f, g, h]) in quarters::<S>(low).zip(quarters::<S>(high)) {
        let (x0, x4) = field.decimate_signed(field.load::<WORDS>(a), s.load(e), outer, near);
        let (x1, x5) = field.decimate_signed(field.load::<WORDS>(b), s.load(f), outer, near);
        let (x2, x6) = field.decimate(field.load::<WORDS>(c), s.load(g), outer, near);
        let (x3, x7) = field.decimate(field.load::<WORDS>(d), s.load(h), outer, near);
        let (x0, x2) = field.decimate_signed(x0, x2, left, near);
        let (x1, x3) = field.decimate(x1, x3, left, near);
        let (x4, x6) = field.decimate_signed(x4, x6, right, far);
        let (x5, x7) = field.decimate(x5, x7, right, far);
        let (x0, x1) = field.decimate(x0, x1, first, near);
        let (x2, x3) = field.decimate(x2, x3, second, far);
        let (x4, x5) = field.decimate(x4, x5, third, near);
        let (x6, x7) = field.decimate(x6, x7, fourth, far);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
        s.store(x4, e);
        s.store(x5, f);
        s.store(x6, g);
        s.store(x7, h);
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

/// In place, words in `[0, 2p)` to `[0, p)`.
#[inline(always)]
pub(super) fn inverse<S: Simd>(field: &Field<'_, S>, plan: &Plan, poly: &mut [u32]) {
    inverse_from::<S, LAZY>(field, plan, poly);
}

#[inline(always)]
fn inverse_from<S: Simd, const WORDS: usize>(field: &Field<'_, S>, plan: &Plan, poly: &mut [u32]) {
    let n = poly.len();
    let stages = upper_stages::<S>(n);
    let last = depth(stages);
    let part = (n >> last).max(2 * PAIRS * S::LANES);
    let parts = poly.chunks_exact_mut(part).zip(field.blocks.chunks_exact(part / (4 * S::LANES) * record::<S>()));
    for (index, (part, records)) in parts.enumerate() {
        let mut stages = stages - last;
        let mut first = ((1 << last) + index) << stages;
        inverse_tails::<S, WORDS>(field, part, records);
        let mut block = 4 * S::LANES;
        while stages > 0 {
            let taken = depth(stages);
            (block, first, stages) = (block << taken, first >> taken, stages - taken);
            for (index, chunk) in part.chunks_exact_mut(block).enumerate() {
                if taken == 3 {
                    inverse_three(field, chunk, first + index, &Joined);
                } else {
                    inverse_two(field, chunk, first + index, &Joined);
                }
            }
        }
    }
    let finished = Finished::new(field, plan);
    if last == 3 {
        inverse_three(field, poly, 1, &finished);
    } else {
        inverse_two(field, poly, 1, &finished);
    }
}

/// How a pass's outermost stage ends.
trait Ending<S: Simd> {
    fn combine(&self, field: &Field<'_, S>, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V);
}

/// In `[0, 2p)`, for the next pass.
struct Joined;

impl<S: Simd> Ending<S> for Joined {
    #[inline(always)]
    fn combine(&self, field: &Field<'_, S>, x: S::V, y: S::V, root: Root<S>) -> (S::V, S::V) {
        field.combine(x, y, root)
    }
}

/// The last stage, in `[0, p)`, with `n^-1` folded into both of its factors.
struct Finished<S: Simd> {
    scale: Root<S>,
    turned: Root<S>,
}

impl<S: Simd> Finished<S> {
    #[inline(always)]
    fn new(field: &Field<'_, S>, plan: &Plan) -> Self {
        let scale = plan.n_inverse();
        let turned = ntt::Shoup::new(plan.modulus(), plan.modulus().mul(scale.factor, field.factors[1]));
        Self { scale: Root::splat(field.simd, scale), turned: Root::splat(field.simd, turned) }
    }
}

impl<S: Simd> Ending<S> for Finished<S> {
    #[inline(always)]
    fn combine(&self, field: &Field<'_, S>, x: S::V, y: S::V, _: Root<S>) -> (S::V, S::V) {
        let s = field.simd;
        let difference = s.sub(s.add(x, field.two_p), y);
        let (x, y) = (field.mul::<2>(s.add(x, y), self.scale), field.mul::<2>(difference, self.turned));
        (field.canonical(x), field.canonical(y))
    }
}

#[inline(always)]
fn inverse_two<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize, ending: &impl Ending<S>) {
    let s = field.simd;
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    for [a, b, c, d] in quarters::<S>(block) {
        let (x0, x1) = field.combine(s.load(a), s.load(b), left);
        let (x2, x3) = field.combine(s.load(c), s.load(d), right);
        let (x0, x2) = ending.combine(field, x0, x2, outer);
        let (x1, x3) = ending.combine(field, x1, x3, outer);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
    }
}

#[inline(always)]
fn inverse_three<S: Simd>(field: &Field<'_, S>, block: &mut [u32], index: usize, ending: &impl Ending<S>) {
    let s = field.simd;
    let (outer, left, right) = (field.root(index), field.root(2 * index), field.root(2 * index + 1));
    let (first, second) = (field.root(4 * index), field.root(4 * index + 1));
    let (third, fourth) = (field.root(4 * index + 2), field.root(4 * index + 3));
    let (low, high) = block.split_at_mut(block.len() / 2);
    for ([a, b, c, d], [e, f, g, h]) in quarters::<S>(low).zip(quarters::<S>(high)) {
        let (x0, x1) = field.combine(s.load(a), s.load(b), first);
        let (x2, x3) = field.combine(s.load(c), s.load(d), second);
        let (x4, x5) = field.combine(s.load(e), s.load(f), third);
        let (x6, x7) = field.combine(s.load(g), s.load(h), fourth);
        let (x0, x2) = field.combine(x0, x2, left);
        let (x1, x3) = field.combine(x1, x3, left);
        let (x4, x6) = field.combine(x4, x6, right);
        let (x5, x7) = field.combine(x5, x7, right);
        let (x0, x4) = ending.combine(field, x0, x4, outer);
        let (x1, x5) = ending.combine(field, x1, x5, outer);
        let (x2, x6) = ending.combine(field, x2, x6, outer);
        let (x3, x7) = ending.combine(field, x3, x7, outer);
        s.store(x0, a);
        s.store(x1, b);
        s.store(x2, c);
        s.store(x3, d);
        s.store(x4, e);
        s.store(x5, f);
        s.store(x6, g);
        s.store(x7, h);
    }
}
