use super::{POISON, same};
use crate::{Rand, rings};
use kernels::reference::Reference;
use kernels::{Backend, PadJob, Ring};

fn check(backend: &dyn Backend, ring: &Ring, first_poly: u32, polys: usize) {
    let mut rand = Rand::new(u64::from(first_poly) + polys as u64);
    let (a_seed, seed) = (rand.seed(), rand.secret());
    let job = PadJob { ring, a_seed: &a_seed, message_seed: &seed, first_poly };
    let mut got = vec![POISON; polys * ring.n() * ring.plans().len()];
    let mut expected = got.clone();
    backend.pad(&job, &mut got).unwrap();
    Reference.pad(&job, &mut expected).unwrap();
    same(&got, &expected, format_args!("pad of {polys} polynomials from {first_poly}, n = {}", ring.n()));
}

pub fn suites(backend: &dyn Backend) {
    for encoding in rings() {
        for polys in [1, 2, 5] {
            check(backend, encoding.ring(), 3, polys);
        }
    }
    // A long row has many overflow redraws, and blocks past the second-level split.
    check(backend, &Ring::new(4096, &[4_169_729]).unwrap(), 0, 2);
    check(backend, &Ring::new(32768, &[1_073_479_681, 1_070_727_169]).unwrap(), 0, 1);
    // A small prime, where an error often carries a residue past it.
    check(backend, &Ring::new(256, &[7681]).unwrap(), 0, 200);
    // Half of the words below 2^17 are not below 65537: the overflow rule's every branch.
    check(backend, &Ring::new(32768, &[65537]).unwrap(), 2, 1);
}

pub fn last_poly(backend: &dyn Backend) {
    for encoding in rings() {
        check(backend, encoding.ring(), u32::MAX, 1);
        check(backend, encoding.ring(), u32::MAX - 1, 2);
        check(backend, encoding.ring(), (1 << 31) - 1, 2);
    }
}

pub fn ranges_split_anywhere(backend: &dyn Backend) {
    // Splitting a range must not change a word: pads of 0..5 are pads of 0..2 and 2..5.
    let encoding = &rings()[2];
    let ring = encoding.ring();
    let (a_seed, seed) = ([1; 32], Rand::new(1).secret());
    let job = PadJob { ring, a_seed: &a_seed, message_seed: &seed, first_poly: 0 };
    let mut whole = vec![POISON; 5 * ring.n()];
    let mut parts = whole.clone();
    backend.pad(&job, &mut whole).unwrap();
    let (first, second) = parts.split_at_mut(2 * ring.n());
    backend.pad(&job, first).unwrap();
    backend.pad(&PadJob { first_poly: 2, ..job }, second).unwrap();
    same(&parts, &whole, format_args!("a range in two parts"));
}

pub fn no_polys(backend: &dyn Backend) {
    check(backend, rings()[0].ring(), 0, 0);
    check(backend, rings()[0].ring(), u32::MAX, 0);
}
