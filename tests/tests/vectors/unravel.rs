//! A backend's own a, s and e: no job returns them, but a pad `a * s + e` shows each one once the others are known.

use crate::small;
use kernels::expand::{self, Domain};
use kernels::{Backend, PadJob, Plan, Ring, Secret};

/// A row that a pad is known from but for one unknown: `pad = a * s + e` in one limb.
struct Unraveled {
    plan: Plan,
    pad: Vec<u32>,
}

impl Unraveled {
    fn new(backend: &dyn Backend, ring: &Ring, limb: u32, a_seed: &[u8; 32], seed: &[u8; 32], poly: u32) -> Self {
        let mut pad = vec![0; ring.n() * ring.plans().len()];
        let job = PadJob { ring, a_seed, message_seed: &Secret::new(*seed), first_poly: poly };
        backend.pad(&job, &mut pad).expect("CPU backends do not fail");
        let pad = pad.chunks_exact(ring.n()).nth(limb as usize).expect("the ring has this limb").to_vec();
        Self { plan: ring.plans()[limb as usize].clone(), pad }
    }

    fn residues(&self, small: &[i32]) -> Vec<u32> {
        small.iter().map(|&x| x.rem_euclid(self.plan.modulus().value() as i32) as u32).collect()
    }

    fn minus(&self, known: &[u32]) -> Vec<u32> {
        let p = self.plan.modulus().value();
        self.pad.iter().zip(known).map(|(pad, known)| (pad + p - known) % p).collect()
    }

    /// `(pad - e) / known`, in NTT order; `None` where `known` has a zero.
    fn quotient(&self, e: &[i32], known: &[u32]) -> Option<Vec<u32>> {
        let mut product = self.minus(&self.residues(e));
        ntt::forward(&self.plan, &mut product);
        let modulus = self.plan.modulus();
        let divide = |(&x, &y): (&u32, &u32)| (y != 0).then(|| modulus.mul(x, modulus.inverse(y)));
        product.iter().zip(known).map(divide).collect()
    }

    fn signed(&self, residues: &[u32]) -> Vec<i32> {
        let p = self.plan.modulus().value();
        residues.iter().map(|&x| if x > p / 2 { x as i32 - p as i32 } else { x as i32 }).collect()
    }
}

/// The row `a_poly` that a backend multiplies with, from its pad under some known message seed.
pub(crate) fn a_of(backend: &dyn Backend, ring: &Ring, limb: u32, a_seed: &[u8; 32], poly: u32) -> Vec<u32> {
    let attempt = |byte: u8| {
        let seed = [byte; 32];
        let pad = Unraveled::new(backend, ring, limb, a_seed, &seed, poly);
        let mut s = pad.residues(&small(&seed, Domain::S, 0, ring.n()));
        ntt::forward(&pad.plan, &mut s);
        pad.quotient(&small(&seed, Domain::E, poly, ring.n()), &s)
    };
    (0..50).find_map(attempt).expect("some secret has an inverse")
}

/// The `s` and `e_poly` that a backend makes of a message seed, each from its pad with the other known.
pub(crate) fn s_and_e_of(backend: &dyn Backend, ring: &Ring, seed: &[u8; 32], poly: u32) -> (Vec<i32>, Vec<i32>) {
    let attempt = |byte: u8| {
        let a_seed = [byte; 32];
        let pad = Unraveled::new(backend, ring, 0, &a_seed, seed, poly);
        let mut a = vec![0; ring.n()];
        expand::uniform(&a_seed, pad.plan.modulus(), poly, 0, &mut a);
        let mut s = pad.quotient(&small(seed, Domain::E, poly, ring.n()), &a)?;
        ntt::inverse(&pad.plan, &mut s);
        let mut product = pad.residues(&small(seed, Domain::S, 0, ring.n()));
        ntt::forward(&pad.plan, &mut product);
        ntt::multiply(&pad.plan, &mut product, &a);
        ntt::inverse(&pad.plan, &mut product);
        Some((pad.signed(&s), pad.signed(&pad.minus(&product))))
    };
    (0..50).find_map(attempt).expect("some a has an inverse")
}
