//! tfhe-ntt agrees with our transforms, on the suites' primes and sizes, on every CPU engine here:
//! `cargo test --release --manifest-path bench-harness/peers/Cargo.toml`.
//!
//! The two order their points differently, so what is compared is the product of two polynomials mod `X^n + 1`: their transforms, point by
//! point product and inverse against ours.

use tensorguard_kernels::cpu::Cpu;
use tensorguard_kernels::{Backend, Direction, Modulus, Plan};
use tfhe_ntt::prime32;

/// The suites, their spare prime, and the lengths that are measured.
const CASES: [(u32, usize); 11] = [
    (1_073_479_681, 4096),
    (1_071_513_601, 4096),
    (1_070_727_169, 4096),
    (1_073_479_681, 2048),
    (4_169_729, 1024),
    (1_073_479_681, 256),
    (1_073_479_681, 512),
    (1_073_479_681, 1024),
    (1_073_479_681, 8192),
    (1_073_479_681, 16_384),
    (1_073_479_681, 32_768),
];

/// Words below p, of no pattern.
fn words(seed: u64, n: usize, p: u32) -> Vec<u32> {
    let mut state = seed;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((state >> 32) * u64::from(p)) >> 32) as u32
    };
    (0..n).map(word).collect()
}

#[test]
fn products_are_the_same_on_both_sides() {
    for engine in Cpu::present(1) {
        for (p, n) in CASES {
            let (x, y) = (words(1, n, p), words(2, n, p));
            let theirs = prime32::Plan::try_new(n, p).unwrap_or_else(|| panic!("tfhe-ntt has no plan for {n}, {p}"));
            let (mut expected, mut other) = (x.clone(), y.clone());
            theirs.fwd(&mut expected);
            theirs.fwd(&mut other);
            theirs.mul_assign_normalize(&mut expected, &other);
            theirs.inv(&mut expected);

            let ours = Plan::new(Modulus::new(p).unwrap(), n).unwrap();
            let (mut product, mut other) = (x, y);
            engine.ntt(&ours, Direction::Forward, &mut product).unwrap();
            engine.ntt(&ours, Direction::Forward, &mut other).unwrap();
            for (product, other) in product.iter_mut().zip(other) {
                *product = (u64::from(*product) * u64::from(other) % u64::from(p)) as u32;
            }
            engine.ntt(&ours, Direction::Inverse, &mut product).unwrap();
            assert!(product == expected, "{}: n = {n}, p = {p}", engine.name());
        }
    }
}
