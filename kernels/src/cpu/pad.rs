//! `a_j * s + e_j`, one polynomial after the other: the product's transforms never leave the first-level cache.

use super::expand::{BIAS, small, uniform};
use super::ntt::{Field, forward, inverse};
use super::simd::{Body, Simd};
use crate::expand::Domain;
use crate::{Ring, Secret};
use ntt::Plan;

/// A transformed secret: for each limb n factors, then their n quotients. Made once per job.
pub(super) type Key = Secret<Vec<u32>>;

/// Makes a message's key from its seed.
pub(super) struct MessageKey<'a> {
    pub(super) ring: &'a Ring,
    pub(super) seed: &'a Secret<[u8; 32]>,
}

impl Body for MessageKey<'_> {
    type Output = Key;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Key {
        let n = self.ring.n();
        let mut bytes = Secret::new(vec![0; n / 4]);
        small(s, self.seed.expose(), Domain::S, 0, bytes.expose_mut());
        let mut key = Secret::new(vec![0; 2 * n * self.ring.plans().len()]);
        for (plan, key) in self.ring.plans().iter().zip(key.expose_mut().chunks_exact_mut(2 * n)) {
            let lift = s.splat(plan.modulus().value() - BIAS);
            for (out, bytes) in key.chunks_exact_mut(S::LANES).zip(bytes.expose().chunks_exact(S::LANES / 4)) {
                s.store(s.add(s.bytes(bytes), lift), out);
            }
            transform(s, plan, key);
        }
        key
    }
}

/// Makes the key of a sum of secrets.
pub(super) struct SumKey<'a> {
    pub(super) ring: &'a Ring,
    pub(super) sum: &'a Secret<Vec<i32>>,
}

impl Body for SumKey<'_> {
    type Output = Key;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Key {
        let n = self.ring.n();
        let mut key = Secret::new(vec![0; 2 * n * self.ring.plans().len()]);
        for (plan, key) in self.ring.plans().iter().zip(key.expose_mut().chunks_exact_mut(2 * n)) {
            for (out, &coefficient) in key.iter_mut().zip(self.sum.expose()) {
                *out = crate::reference::residue(coefficient, plan.modulus().value());
            }
            transform(s, plan, key);
        }
        key
    }
}

/// The first half's words to their transform, and its quotients into the second half.
#[inline(always)]
fn transform<S: Simd>(s: S, plan: &Plan, key: &mut [u32]) {
    let (factors, quotients) = key.split_at_mut(plan.n());
    forward(&Field::forward(s, plan), factors);
    let p = u64::from(plan.modulus().value());
    let reciprocal = u128::from(u64::MAX / p);
    for (quotient, &factor) in quotients.iter_mut().zip(&*factors) {
        // floor(factor * 2^32 / p) without a division: the estimate is at most one too small.
        let numerator = u64::from(factor) << 32;
        let estimate = ((u128::from(numerator) * reciprocal) >> 64) as u64;
        let short = p.wrapping_sub(1).wrapping_sub(numerator.wrapping_sub(estimate.wrapping_mul(p))) >> 63;
        *quotient = (estimate + short) as u32;
    }
}

/// Pads of consecutive polynomials, `[polynomial][limb][coefficient]`.
pub(super) struct Pad<'a> {
    pub(super) ring: &'a Ring,
    pub(super) a_seed: &'a [u8; 32],
    pub(super) seed: &'a Secret<[u8; 32]>,
    pub(super) key: &'a Key,
    pub(super) first_poly: u32,
    pub(super) out: &'a mut [u32],
}

impl Body for Pad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.ring.n();
        let mut errors = Secret::new(vec![0; n / 4]);
        let polys = self.out.chunks_exact_mut(n * self.ring.plans().len());
        for (poly, out) in (self.first_poly..=u32::MAX).zip(polys) {
            small(s, self.seed.expose(), Domain::E, poly, errors.expose_mut());
            product(s, self.ring, self.a_seed, self.key, poly, out);
            for (plan, out) in self.ring.plans().iter().zip(out.chunks_exact_mut(n)) {
                add_errors(s, plan, errors.expose(), out);
            }
        }
    }
}

/// `a_poly * s`, all limbs, coefficient order, `[0, p)`.
#[inline(always)]
pub(super) fn product<S: Simd>(s: S, ring: &Ring, a_seed: &[u8; 32], key: &Key, poly: u32, out: &mut [u32]) {
    let n = ring.n();
    let limbs = ring.plans().iter().zip(key.expose().chunks_exact(2 * n));
    for (limb, ((plan, key), out)) in (0..).zip(limbs.zip(out.chunks_exact_mut(n))) {
        uniform(s, a_seed, plan.modulus(), poly, limb, out);
        let field = Field::inverse(s, plan);
        let (factors, quotients) = key.split_at(n);
        let key = factors.chunks_exact(S::LANES).zip(quotients.chunks_exact(S::LANES));
        for (out, (factor, quotient)) in out.chunks_exact_mut(S::LANES).zip(key) {
            s.store(field.mul_by(s.load(out), s.load(factor), s.load(quotient)), out);
        }
        inverse(&field, plan, out);
    }
}

#[inline(always)]
fn add_errors<S: Simd>(s: S, plan: &Plan, errors: &[u32], out: &mut [u32]) {
    let field = Field::inverse(s, plan);
    let lift = s.splat(plan.modulus().value() - BIAS);
    for (out, bytes) in out.chunks_exact_mut(S::LANES).zip(errors.chunks_exact(S::LANES / 4)) {
        // [0, p) + [p - 32, p + 32], so below 2p + 32 and twice reduced below p.
        let sum = s.add(s.load(out), s.add(s.bytes(bytes), lift));
        s.store(field.canonical(field.canonical(sum)), out);
    }
}
