//! The scalar transforms: the plainest fast form, which the vector engines must equal bit for bit.

use crate::{Plan, Shoup, reduce_any, reduce_once};

/// Forward transform in place, natural to bit-reversed order. Any words (taken mod p); results in `[0, p)`.
///
/// Between stages values lie in `[0, 4p)`: a butterfly takes `x` there, brings it below 2p, and adds or subtracts a
/// lazy product in `[0, 2p)`.
///
/// # Panics
/// If `x.len() != plan.n()`.
pub fn forward(plan: &Plan, x: &mut [u32]) {
    assert_eq!(x.len(), plan.n(), "a transform works on exactly n words");
    let p = plan.modulus().value();
    let (factors, quotients) = plan.forward_table();
    for word in x.iter_mut() {
        *word = plan.one().mul_lazy(p, *word);
    }
    let (mut blocks, mut half) = (1, plan.n() / 2);
    while half > 0 {
        for (block, chunk) in x.chunks_exact_mut(2 * half).enumerate() {
            let root = Shoup { factor: factors[blocks + block], quotient: quotients[blocks + block] };
            let (low, high) = chunk.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                let u = reduce_once(*a, 2 * p);
                let v = root.mul_lazy(p, *b);
                (*a, *b) = (u + v, u + 2 * p - v);
            }
        }
        (blocks, half) = (blocks * 2, half / 2);
    }
    for word in x {
        *word = reduce_once(reduce_once(*word, 2 * p), p);
    }
}

/// Inverse transform in place, bit-reversed to natural order, `n^-1` included. Any words; results in `[0, p)`.
///
/// Between stages values lie in `[0, 2p)`.
///
/// # Panics
/// If `x.len() != plan.n()`.
pub fn inverse(plan: &Plan, x: &mut [u32]) {
    assert_eq!(x.len(), plan.n(), "a transform works on exactly n words");
    let p = plan.modulus().value();
    let (factors, quotients) = plan.inverse_table();
    for word in x.iter_mut() {
        *word = plan.one().mul_lazy(p, *word);
    }
    let (mut blocks, mut half) = (plan.n() / 2, 1);
    while blocks > 0 {
        for (block, chunk) in x.chunks_exact_mut(2 * half).enumerate() {
            let root = Shoup { factor: factors[blocks + block], quotient: quotients[blocks + block] };
            let (low, high) = chunk.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                let (u, v) = (*a, *b);
                *a = reduce_once(u + v, 2 * p);
                *b = root.mul_lazy(p, u + 2 * p - v);
            }
        }
        (blocks, half) = (blocks / 2, half * 2);
    }
    for word in x {
        *word = plan.n_inverse().mul(p, *word);
    }
}

/// `x_i = x_i * y_i mod p`, canonical. Any words. Constant time.
///
/// # Panics
/// If a length differs from `plan.n()`.
pub fn multiply(plan: &Plan, x: &mut [u32], y: &[u32]) {
    assert!(x.len() == plan.n() && y.len() == plan.n(), "pointwise products work on exactly n words");
    for (x, &y) in x.iter_mut().zip(y) {
        *x = product(plan, *x, y);
    }
}

/// `sum_i = sum_i + x_i * y_i mod p`, canonical. Any words. Constant time.
///
/// # Panics
/// If a length differs from `plan.n()`.
pub fn multiply_add(plan: &Plan, sum: &mut [u32], x: &[u32], y: &[u32]) {
    let n = plan.n();
    assert!(sum.len() == n && x.len() == n && y.len() == n, "pointwise products work on exactly n words");
    let p = plan.modulus().value();
    for ((sum, &x), &y) in sum.iter_mut().zip(x).zip(y) {
        *sum = reduce_once(reduce_any(*sum, plan.one(), p) + product(plan, x, y), p);
    }
}

/// `x * y mod p` without a division (whose time depends on its operands): Barrett's quotient, at most two too small.
fn product(plan: &Plan, x: u32, y: u32) -> u32 {
    let p = plan.modulus().value();
    let (x, y) = (reduce_any(x, plan.one(), p), reduce_any(y, plan.one(), p));
    let bits = plan.modulus().bits();
    // The only division, and of public numbers.
    let reciprocal = (1u64 << (2 * bits)) / u64::from(p);
    let product = u64::from(x) * u64::from(y);
    let estimate = ((product >> (bits - 1)) * reciprocal) >> (bits + 1);
    let remainder = (product - estimate * u64::from(p)) as u32;
    reduce_once(reduce_once(remainder, 2 * p), p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Modulus, naive};
    use proptest::prelude::*;

    fn words(n: usize, seed: u32) -> Vec<u32> {
        (0..n as u32).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9).rotate_left(i % 31)).collect()
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes under an interpreter")]
    fn forward_and_inverse_are_the_definition() {
        let sizes: &[usize] = &[256, 512, 1024];
        for modulus in [Modulus::P1, Modulus::P2, Modulus::P3, Modulus::P22] {
            for &n in sizes {
                let plan = Plan::new(modulus, n).unwrap();
                let x = words(n, 7);
                let mut fast = x.clone();
                forward(&plan, &mut fast);
                assert_eq!(fast, naive::forward(&plan, &x));
                let mut back = fast.clone();
                inverse(&plan, &mut back);
                assert_eq!(back, x.iter().map(|w| w % modulus.value()).collect::<Vec<_>>());
                assert_eq!(back, naive::inverse(&plan, &fast));
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes under an interpreter")]
    fn every_size_inverts() {
        let mut n = Plan::MIN_N;
        while n <= Plan::MAX_N {
            let plan = Plan::new(Modulus::P3, n).unwrap();
            for fill in [0, 1, plan.modulus().value() - 1, 1 << 31, u32::MAX] {
                let mut x = vec![fill; n];
                forward(&plan, &mut x);
                inverse(&plan, &mut x);
                assert!(x.iter().all(|&w| w == fill % plan.modulus().value()), "n = {n}, fill = {fill}");
            }
            n *= 2;
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes under an interpreter")]
    fn products_are_negacyclic_convolutions() {
        let plan = Plan::new(Modulus::P2, 256).unwrap();
        let (x, y) = (words(256, 1), words(256, 2));
        let expected = naive::convolve(&plan, &x, &y);
        let (mut fx, mut fy) = (x, y);
        forward(&plan, &mut fx);
        forward(&plan, &mut fy);
        let mut sum = vec![5; 256];
        multiply_add(&plan, &mut sum, &fx, &fy);
        multiply(&plan, &mut fx, &fy);
        for (sum, product) in sum.iter().zip(&fx) {
            assert_eq!(*sum, (product + 5) % plan.modulus().value());
        }
        inverse(&plan, &mut fx);
        assert_eq!(fx, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: if cfg!(miri) { 8 } else { 1024 }, ..ProptestConfig::default() })]

        #[test]
        fn pointwise_products_agree_with_the_remainder(x: u32, y: u32) {
            for modulus in [Modulus::P1, Modulus::P22] {
                let plan = Plan::new(modulus, 256).unwrap();
                let expected = u64::from(x) * u64::from(y) % u64::from(modulus.value());
                prop_assert_eq!(u64::from(product(&plan, x, y)), expected);
            }
        }
    }
}
