use super::{POISON, hostile_lengths as lengths, reference_encrypt, same, secret_sum};
use crate::{Rand, encoding, rings};
use kernels::reference::Reference;
use kernels::{Backend, DecryptJob, Encoding, EncryptJob, Noise, Secret};

/// Both backends' digits agree, and their statistics; returns them.
fn check(backend: &dyn Backend, job: &DecryptJob<'_>, accumulator: &[u32], digits: usize) -> (Vec<u32>, Noise) {
    let (mut got, mut expected) = (vec![POISON; digits], vec![!POISON; digits]);
    let noise = backend.decrypt(job, accumulator, &mut got).unwrap();
    let expected_noise = Reference.decrypt(job, accumulator, &mut expected).unwrap();
    let encoding = job.encoding;
    let what = format_args!("{digits} digits, n = {}, l = {}", encoding.ring().n(), encoding.bits());
    same(&got, &expected, what);
    assert_eq!(noise, expected_noise, "{what}");
    (got, noise)
}

/// Encrypts, sums and opens, with messages whose digit sums stay below the base.
fn round_trip(backend: &dyn Backend, encoding: &Encoding, first_poly: u32, len: usize, robots: usize) {
    let mut rand = Rand::new(len as u64 + robots as u64);
    let a_seed = rand.seed();
    let seeds: Vec<Secret<[u8; 32]>> = (0..robots).map(|_| rand.secret()).collect();
    let mut total = vec![0; len];
    let mut rows = Vec::new();
    for message_seed in &seeds {
        let limit = (encoding.base() - 1) / robots as u64 + 1;
        let digits: Vec<u32> = (0..len).map(|_| (rand.next() % limit) as u32).collect();
        total.iter_mut().zip(&digits).for_each(|(total, digit)| *total += digit);
        rows.push(reference_encrypt(&EncryptJob { encoding, a_seed: &a_seed, message_seed, first_poly }, &digits));
    }
    let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
    let mut accumulator = vec![0; encoding.shape(len).accumulator_len()];
    backend.sum(&encoding.shape(len), &rows, &mut accumulator).unwrap();
    let secret_sum = secret_sum(encoding.ring().n(), &seeds);
    let job = DecryptJob { encoding, a_seed: &a_seed, secret_sum: &secret_sum, first_poly };
    let (digits, noise) = check(backend, &job, &accumulator, len);
    same(&digits, &total, format_args!("the digits' sums of {robots} robots"));
    assert_eq!((noise.refused, noise.coefficients), (0, encoding.coefficients(len) as u64));
}

pub fn honest_sums(backend: &dyn Backend) {
    for encoding in &rings()[..4] {
        for robots in [1, 2, 7] {
            round_trip(backend, encoding, 5, 2 * encoding.ring().n() + 3, robots);
        }
        round_trip(backend, encoding, u32::MAX, 64, 2);
    }
}

pub fn hostile_accumulators(backend: &dyn Backend) {
    let mut rand = Rand::new(77);
    let wide = encoding(256, &[1_073_479_681, 1_071_513_601], 57, 3, 30);
    for encoding in rings().iter().chain([&wide]) {
        let len = (encoding.ring().n() + 9) * encoding.digits_per_coefficient();
        let (a_seed, secret_sum) = (rand.seed(), secret_sum(encoding.ring().n(), &[rand.secret()]));
        let job = DecryptJob { encoding, a_seed: &a_seed, secret_sum: &secret_sum, first_poly: 0 };
        let words = encoding.shape(len).accumulator_len();
        check(backend, &job, &rand.words(words), len);
        check(backend, &job, &vec![u32::MAX; words], len);
    }
}

pub fn hostile_lengths(backend: &dyn Backend) {
    for encoding in &rings()[..4] {
        for len in lengths(encoding) {
            round_trip(backend, encoding, 0, len, 1);
        }
    }
}

pub fn large_secret_sums(backend: &dyn Backend) {
    for encoding in rings() {
        let (n, len) = (encoding.ring().n(), encoding.ring().n() * encoding.digits_per_coefficient());
        for extreme in [0, 32 * 10_000, -32 * 10_000, (1 << 30) - 1, 1 - (1 << 30)] {
            let mut secret_sum = Secret::new(vec![extreme; n]);
            secret_sum.expose_mut()[1] = -extreme;
            let job = DecryptJob { encoding: &encoding, a_seed: &[8; 32], secret_sum: &secret_sum, first_poly: 1 };
            let accumulator = Rand::new(6).words(encoding.shape(len).accumulator_len());
            check(backend, &job, &accumulator, len);
        }
    }
}
