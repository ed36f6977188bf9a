//! Rows of unstructured LWE: each row of `A` is expanded, multiplied with the secret, and forgotten.

use super::expand::{BIAS, Words, small};
use super::simd::{Body, Simd};
use crate::expand::Domain;
use crate::{DenseJob, DenseKey, Secret};

/// The secret as wrapping words, a message's or a sum's.
pub(super) struct DenseSecret<'a> {
    pub(super) job: DenseJob<'a>,
}

impl Body for DenseSecret<'_> {
    type Output = Secret<Vec<u32>>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Secret<Vec<u32>> {
        let mut secret = Secret::new(vec![0; self.job.dimension]);
        match self.job.key {
            DenseKey::Mask(seed) => {
                let mut bytes = Secret::new(vec![0; self.job.dimension / 4]);
                small(s, seed.expose(), Domain::S, 0, bytes.expose_mut());
                let bias = s.splat(BIAS);
                let bytes = bytes.expose().chunks_exact(S::LANES / 4);
                for (out, bytes) in secret.expose_mut().chunks_exact_mut(S::LANES).zip(bytes) {
                    s.store(s.sub(s.bytes(bytes), bias), out);
                }
            }
            DenseKey::Unmask(sum) => {
                for (out, &coefficient) in secret.expose_mut().iter_mut().zip(sum.expose()) {
                    *out = coefficient as u32;
                }
            }
        }
        secret
    }
}

/// Masks or unmasks consecutive rows.
pub(super) struct Dense<'a> {
    pub(super) job: DenseJob<'a>,
    pub(super) secret: &'a Secret<Vec<u32>>,
    pub(super) first_row: u32,
    pub(super) rows: &'a mut [u32],
}

impl Body for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut a = vec![0; self.job.dimension];
        for (poly, row) in (self.first_row..=u32::MAX).zip(self.rows) {
            Words { seed: self.job.a_seed, domain: Domain::A, poly, limb: 0, counter: 0, out: &mut a }.run(s);
            let product = inner(s, &a, self.secret.expose());
            let value = match self.job.key {
                DenseKey::Mask(seed) => {
                    let mut error = Secret::new([0; 1]);
                    crate::expand::small(seed.expose(), Domain::E, poly, error.expose_mut());
                    row.wrapping_add(product).wrapping_add(error.expose()[0] as u32)
                }
                DenseKey::Unmask(_) => row.wrapping_sub(product),
            };
            *row = value & (u32::MAX >> (32 - self.job.bits));
        }
    }
}

/// The wrapping inner product.
#[inline(always)]
fn inner<S: Simd>(s: S, a: &[u32], b: &[u32]) -> u32 {
    let mut lanes = s.splat(0);
    for (a, b) in a.chunks_exact(S::LANES).zip(b.chunks_exact(S::LANES)) {
        lanes = s.add(lanes, s.mul_low(s.load(a), s.load(b)));
    }
    let mut words = Secret::new([0; 16]);
    s.store(lanes, words.expose_mut());
    words.expose().iter().fold(0, |sum, &word| sum.wrapping_add(word))
}
