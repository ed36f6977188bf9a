use super::{hostile_lengths, same};
use crate::{Rand, encoding, rings};
use kernels::reference::Reference;
use kernels::{Backend, Encoding, Ring, SealJob};

fn check(backend: &dyn Backend, encoding: &Encoding, digits: &[u32]) {
    let job = SealJob { encoding };
    let n = encoding.ring().n();
    let mut pad = Rand::new(digits.len() as u64).words(encoding.pad_len(digits.len()));
    for (index, word) in pad.iter_mut().enumerate() {
        let p = encoding.ring().plans()[index / n % encoding.ring().plans().len()].modulus().value();
        *word = if index % 5 == 0 { p - 1 } else { *word % p };
    }
    let mut same_pad = pad.clone();
    let mut got = vec![0xA5; encoding.packed_len(digits.len())];
    let mut expected = got.clone();
    backend.seal(&job, &mut pad, digits, &mut got).unwrap();
    Reference.seal(&job, &mut same_pad, digits, &mut expected).unwrap();
    same(&got, &expected, format_args!("{} digits, l = {}, n = {n}", digits.len(), encoding.bits()));
    assert!(pad.iter().all(|&word| word == 0), "a used pad is zero");
}

pub fn suites(backend: &dyn Backend) {
    for encoding in rings() {
        for len in hostile_lengths(&encoding) {
            let digits: Vec<u32> = Rand::new(9).words(len).iter().map(|d| d % encoding.base() as u32).collect();
            check(backend, &encoding, &digits);
        }
    }
}

pub fn hostile_digits(backend: &dyn Backend) {
    let (primes, largest) = ([1_073_479_681, 1_071_513_601], (1 << 20) - 1);
    // About as large as some engine's shorter way for small bases takes, and beyond.
    let bases = [(largest, 2), (largest + 1, 2), (400_000, 3), (16_000, 4)];
    let bases = bases.map(|(base, digits)| encoding(256, &primes, 57, base, digits));
    for encoding in rings().into_iter().chain(bases) {
        let len = encoding.ring().n() * encoding.digits_per_coefficient();
        for digit in [0, 1, 1 << 31, u32::MAX] {
            check(backend, &encoding, &vec![digit; len]);
        }
        check(backend, &encoding, &Rand::new(4).words(len));
    }
}

pub fn uses_the_pad_up(backend: &dyn Backend) {
    check(backend, &rings()[0], &[1, 2, 3]);
}

pub fn every_wire_width(backend: &dyn Backend) {
    for bits in 3..=57 {
        let encoding = encoding(256, &[1_073_479_681, 1_071_513_601], bits, 2, 1);
        check(backend, &encoding, &Rand::new(bits.into()).words(256 + 77));
    }
}

pub fn every_number_of_digits(backend: &dyn Backend) {
    for (primes, bits) in [(&[1_073_479_681, 1_071_513_601][..], 57), (&[1_073_479_681], 29), (&[7681], 12)] {
        for digits in 1..=11 {
            let ring = Ring::new(256, primes).expect("a test's ring is valid");
            let Ok(encoding) = Encoding::new(ring, bits, 2, digits) else { continue };
            for len in [0, 1, 256 * digits as usize - 1, (512 + 37) * digits as usize + 1] {
                check(backend, &encoding, &Rand::new(digits.into()).words(len));
            }
            check(backend, &encoding, &vec![u32::MAX; 256 * digits as usize]);
        }
    }
}

/// Bases whose three factors are nearly as large as the prime, so that the largest digits' products come to more than
/// twice the prime times 2^32. A residue that is then left unreduced moves the wire's last bit once in several hundred
/// coefficients, and only where words are widest: hence so many.
pub fn products_beyond_two_primes(backend: &dyn Backend) {
    for base in [34_983, 246_281] {
        let encoding = encoding(256, &[1_073_479_681, 1_071_513_601], 57, base, 3);
        check(backend, &encoding, &vec![u32::MAX; 32 * 256 * 3]);
    }
}
