//! The definition, in O(n^2): slow, obvious, and what everything else is tested against.

use crate::Plan;

fn bit_reversed(i: usize, n: usize) -> usize {
    i.reverse_bits() >> (usize::BITS - n.trailing_zeros())
}

/// Position `i` is the polynomial's value at `psi^(2*bitrev(i)+1)`. Any words; results in `[0, p)`.
#[must_use]
pub fn forward(plan: &Plan, x: &[u32]) -> Vec<u32> {
    let (modulus, n) = (plan.modulus(), plan.n());
    (0..n)
        .map(|i| {
            let point = modulus.pow(plan.psi(), 2 * bit_reversed(i, n) as u32 + 1);
            // Horner, highest coefficient first.
            x.iter().rev().fold(0, |value, &coefficient| {
                ((u64::from(modulus.mul(value, point)) + u64::from(coefficient)) % u64::from(modulus.value())) as u32
            })
        })
        .collect()
}

/// The polynomial whose values at the odd powers of psi are given. Any words; results in `[0, p)`.
#[must_use]
pub fn inverse(plan: &Plan, values: &[u32]) -> Vec<u32> {
    let (modulus, n) = (plan.modulus(), plan.n());
    let psi_inverse = modulus.inverse(plan.psi());
    (0..n)
        .map(|k| {
            let sum = values.iter().enumerate().fold(0u64, |sum, (i, &value)| {
                let exponent = (2 * bit_reversed(i, n) + 1) * k % (2 * n);
                sum + u64::from(modulus.mul(value, modulus.pow(psi_inverse, exponent as u32)))
            });
            modulus.mul((sum % u64::from(modulus.value())) as u32, modulus.inverse(n as u32))
        })
        .collect()
}

/// `x * y mod (X^n + 1, p)`, coefficient by coefficient. Any words; results in `[0, p)`.
#[must_use]
pub fn convolve(plan: &Plan, x: &[u32], y: &[u32]) -> Vec<u32> {
    let (modulus, n) = (plan.modulus(), plan.n());
    let p = modulus.value();
    let mut result = vec![0; n];
    for (i, &x) in x.iter().enumerate() {
        for (j, &y) in y.iter().enumerate() {
            let product = modulus.mul(x, y);
            let signed = if i + j < n { product } else { (p - product) % p };
            result[(i + j) % n] = (result[(i + j) % n] + signed) % p;
        }
    }
    result
}
