use super::{hostile_lengths as lengths, reference_encrypt, same};
use crate::{Rand, rings};
use kernels::{Backend, Encoding, EncryptJob, Secret};

fn check(backend: &dyn Backend, encoding: &Encoding, first_poly: u32, len: usize) {
    let mut rand = Rand::new(len as u64);
    let (a_seed, seed) = (rand.seed(), rand.secret());
    let job = EncryptJob { encoding, a_seed: &a_seed, message_seed: &seed, first_poly };
    let digits = rand.words(len);
    let mut got = vec![0x5A; encoding.packed_len(len)];
    backend.encrypt(&job, &digits, &mut got).unwrap();
    let expected = reference_encrypt(&job, &digits);
    same(&got, &expected, format_args!("{len} digits from {first_poly}, n = {}", encoding.ring().n()));
}

pub fn is_pad_then_seal(backend: &dyn Backend) {
    for encoding in rings() {
        let (a_seed, seed, digits) = ([2; 32], Rand::new(3).secret(), Rand::new(4).words(3000));
        let job = EncryptJob { encoding: &encoding, a_seed: &a_seed, message_seed: &seed, first_poly: 11 };
        let mut pad = Secret::new(vec![0; encoding.pad_len(digits.len())]);
        let mut parts = vec![0; encoding.packed_len(digits.len())];
        let mut whole = parts.clone();
        backend.pad(&job.pad_job(), pad.expose_mut()).unwrap();
        backend.seal(&job.seal_job(), pad.expose_mut(), &digits, &mut parts).unwrap();
        backend.encrypt(&job, &digits, &mut whole).unwrap();
        same(&whole, &parts, format_args!("encrypt against pad and seal, n = {}", encoding.ring().n()));
    }
}

pub fn hostile_lengths(backend: &dyn Backend) {
    for encoding in rings() {
        for len in lengths(&encoding) {
            check(backend, &encoding, 0, len);
        }
    }
}

pub fn last_poly(backend: &dyn Backend) {
    for encoding in rings() {
        check(backend, &encoding, u32::MAX, 64 * encoding.digits_per_coefficient());
        check(backend, &encoding, u32::MAX - 1, encoding.ring().n() * encoding.digits_per_coefficient() + 1);
    }
}
