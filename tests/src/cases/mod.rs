//! The cases, a file per kernel. Each panics with what differed.
#![allow(missing_docs, reason = "a case's name says what it checks, and SUITE lists them")]

pub mod decrypt;
pub mod dense;
pub mod encrypt;
pub mod ntt;
pub mod pad;
pub mod seal;
pub mod sum;
pub mod together;

use crate::round::secret_sum;
use kernels::reference::Reference;
use kernels::{Backend, Encoding, EncryptJob};

/// What outputs hold before a job: a backend that skips a word leaves this.
const POISON: u32 = 0xDEAD_BEEF;

/// Compares without printing whole polynomials.
#[track_caller]
fn same<T: PartialEq + core::fmt::Debug>(got: &[T], expected: &[T], what: core::fmt::Arguments<'_>) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths differ");
    if let Some(at) = (0..got.len()).find(|&at| got[at] != expected[at]) {
        panic!("{what}: first difference at {at} of {}: {:?}, expected {:?}", got.len(), got[at], expected[at]);
    }
}

/// Message lengths at which something ends: in digits, for one encoding.
fn hostile_lengths(encoding: &Encoding) -> Vec<usize> {
    let (n, rho) = (encoding.ring().n(), encoding.digits_per_coefficient());
    let poly = n * rho;
    vec![0, 1, rho, rho + 1, 7 * rho, 8 * rho, 9 * rho, 31 * rho, 33 * rho - 1, poly - 1, poly, poly + 1, 2 * poly + 5]
}

/// Packed bytes by the definition.
fn reference_encrypt(job: &EncryptJob<'_>, digits: &[u32]) -> Vec<u8> {
    let mut out = vec![0xA5; job.encoding.packed_len(digits.len())];
    Reference.encrypt(job, digits, &mut out).expect("the definition never fails");
    out
}
