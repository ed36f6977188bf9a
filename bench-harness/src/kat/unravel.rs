//! A backend's own a, s and e. No job returns them, but a pad is `a * s + e`: a known secret shows `a`, and two pads of one
//! message under two known `a` show `s`, then `e`.

use crate::failure::Failure;
use kernels::expand::{self, Domain};
use kernels::{Backend, PadJob, Plan, Ring, Secret};

/// Some of them have a zero where they should be divided by, so several are tried. The odds of one are below n / p.
const PROBES: core::ops::Range<u8> = 0..100;
/// The largest magnitude of CBD(32).
const LARGEST: u32 = 32;

/// The pad of one polynomial, one limb of it.
fn pad(
    backend: &dyn Backend,
    ring: &Ring,
    limb: usize,
    a_seed: &[u8; 32],
    seed: &[u8; 32],
    poly: u32,
) -> Result<Vec<u32>, Failure> {
    let mut pad = vec![0; ring.n() * ring.plans().len()];
    let job = PadJob { ring, a_seed, message_seed: &Secret::new(*seed), first_poly: poly };
    backend.pad(&job, &mut pad)?;
    Ok(pad[limb * ring.n()..][..ring.n()].to_vec())
}

fn residues(plan: &Plan, small: &[i32]) -> Vec<u32> {
    // p < 2^30.
    small.iter().map(|&x| x.rem_euclid(plan.modulus().value() as i32) as u32).collect()
}

fn minus(plan: &Plan, left: &[u32], right: &[u32]) -> Vec<u32> {
    let p = plan.modulus().value();
    left.iter().zip(right).map(|(left, right)| (left + p - right) % p).collect()
}

fn signed(plan: &Plan, residues: &[u32]) -> Option<Vec<i8>> {
    let p = plan.modulus().value();
    let small = |&x: &u32| {
        if x <= LARGEST { Some(x as i8) } else { (p - x <= LARGEST).then(|| -((p - x) as i8)) }
    };
    residues.iter().map(small).collect()
}

fn known_small(seed: &[u8; 32], domain: Domain, poly: u32, n: usize) -> Vec<i32> {
    let mut out = vec![0; n];
    expand::small(seed, domain, poly, &mut out);
    out
}

/// `dividend / divisor` mod p, both in NTT order; `None` where the divisor has a zero.
fn quotient(plan: &Plan, dividend: &[u32], divisor: &[u32]) -> Option<Vec<u32>> {
    let modulus = plan.modulus();
    let divide = |(&x, &y): (&u32, &u32)| (y != 0).then(|| modulus.mul(x, modulus.inverse(y)));
    dividend.iter().zip(divisor).map(divide).collect()
}

fn no_probe() -> Failure {
    Failure::Internal("no probe can be divided by: the primes are too small for this n, take larger ones".to_owned())
}

/// The row `a_poly` that a backend multiplies with, in NTT order.
pub(super) fn a_of(
    backend: &dyn Backend,
    ring: &Ring,
    limb: usize,
    a_seed: &[u8; 32],
    poly: u32,
) -> Result<Vec<u32>, Failure> {
    let (plan, n) = (&ring.plans()[limb], ring.n());
    for probe in PROBES.map(|byte| [byte; 32]) {
        let mut s = residues(plan, &known_small(&probe, Domain::S, 0, n));
        ntt::forward(plan, &mut s);
        if s.contains(&0) {
            continue;
        }
        let e = residues(plan, &known_small(&probe, Domain::E, poly, n));
        let mut product = minus(plan, &pad(backend, ring, limb, a_seed, &probe, poly)?, &e);
        ntt::forward(plan, &mut product);
        return quotient(plan, &product, &s).ok_or_else(no_probe);
    }
    Err(no_probe())
}

/// The `s` and `e_poly` that a backend makes of a message seed.
pub(super) fn s_and_e_of(
    backend: &dyn Backend,
    ring: &Ring,
    seed: &[u8; 32],
    poly: u32,
) -> Result<(Vec<i8>, Vec<i8>), Failure> {
    let (plan, n) = (&ring.plans()[0], ring.n());
    let a_of_probe = |probe: &[u8; 32]| {
        let mut a = vec![0; n];
        expand::uniform(probe, plan.modulus(), poly, 0, &mut a);
        a
    };
    for probe in PROBES {
        let probes = [[probe; 32], [!probe; 32]];
        let [a, other] = [a_of_probe(&probes[0]), a_of_probe(&probes[1])];
        let difference = minus(plan, &a, &other);
        if difference.contains(&0) {
            continue;
        }
        let known = pad(backend, ring, 0, &probes[0], seed, poly)?;
        let mut product = minus(plan, &known, &pad(backend, ring, 0, &probes[1], seed, poly)?);
        ntt::forward(plan, &mut product);
        let mut s = quotient(plan, &product, &difference).ok_or_else(no_probe)?;
        let mut product = s.clone();
        ntt::multiply(plan, &mut product, &a);
        ntt::inverse(plan, &mut product);
        ntt::inverse(plan, &mut s);
        let e = minus(plan, &known, &product);
        let both = signed(plan, &s).zip(signed(plan, &e));
        return both
            .ok_or_else(|| Failure::Wrong("a pad is not a known a times a small secret plus a small error".into()));
    }
    Err(no_probe())
}
