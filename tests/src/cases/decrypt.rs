use super::{POISON, hostile_lengths as lengths, reference_encrypt, same, secret_sum};
use crate::{Rand, encoding, rings};
use kernels::reference::Reference;
use kernels::{Backend, DecryptJob, Encoding, EncryptJob, Noise, Ring, Secret};

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

/// Phases as they are: under a secret of zeros they are the accumulator's values.
fn open(backend: &dyn Backend, encoding: &Encoding, phases: &[u64]) {
    let (width, n) = (encoding.shape(0).words_per_value(), encoding.ring().n());
    let accumulator: Vec<u32> =
        phases.iter().flat_map(|phase| [*phase as u32, (phase >> 32) as u32].into_iter().take(width)).collect();
    let secret_sum = Secret::new(vec![0; n]);
    let job = DecryptJob { encoding, a_seed: &[3; 32], secret_sum: &secret_sum, first_poly: 0 };
    check(backend, &job, &accumulator, phases.len() * encoding.digits_per_coefficient());
}

/// Multiples of the step on the wire that lie next to a word (`parts = 1`) or next to the middle of two (`parts = 2`): the
/// denominators of the continued fraction of `parts * Delta * 2^l / q`, which come ever closer, from both sides in turn.
fn near_words(encoding: &Encoding, parts: u128) -> Vec<u64> {
    let q = u128::from(encoding.ring().q());
    let (mut a, mut b) = (((parts * u128::from(encoding.delta())) << encoding.bits()) % q, q);
    let (mut last, mut denominator) = (1u128, 0u128);
    let mut found = Vec::new();
    while a != 0 && denominator <= u128::from(encoding.limit()) {
        let whole = b / a;
        (a, b) = (b % a, a);
        (last, denominator) = (denominator, whole * denominator + last);
        found.extend([denominator as u64, (denominator + last) as u64]);
    }
    found
}

/// Every place where something ends: a word or two around each step of hostile values.
fn hostile_phases(encoding: &Encoding, rand: &mut Rand) -> Vec<u64> {
    let (l, q, delta) = (encoding.bits(), u128::from(encoding.ring().q()), u128::from(encoding.delta()));
    let (base, limit) = (encoding.base(), encoding.limit());
    let mut values = vec![0, 1, 2, limit - 2, limit - 1, limit, limit + 1];
    let powers = (1..encoding.digits_per_coefficient() as u32).map(|digits| base.pow(digits));
    values.extend(powers.flat_map(|power| [power - 1, power, limit - power, limit - power - 1]));
    values.extend([near_words(encoding, 1), near_words(encoding, 2)].concat());
    values.extend((0..60).map(|_| rand.next() % limit));
    let half_step = ((delta << l) / (2 * q)) as u64;
    let mask = encoding.shape(0).mask();
    let mut phases = Vec::new();
    for value in values {
        let first = ((delta * u128::from(value)) << l).div_ceil(q) as u64;
        for around in [half_step, 0] {
            phases.extend((0..5).map(|i| (first + i).wrapping_sub(around + 2) & mask));
        }
    }
    phases.extend((0..40).flat_map(|i| [i, mask - i, half_step.wrapping_sub(i) & mask, (half_step + i) & mask]));
    phases.extend((0..100).map(|_| rand.next() & mask));
    phases
}

pub fn phases_at_every_edge(backend: &dyn Backend) {
    let [p1, p2, p22] = [1_073_479_681, 1_071_513_601, 4_169_729];
    let mut encodings = rings();
    for primes in [&[p1, p2][..], &[p1], &[p22, 7681]] {
        let ring = Ring::new(256, primes).expect("a test's ring is valid");
        for (l, digits) in [9, 17, 28, 32, 33, 50, 57].into_iter().flat_map(|l| (1..8u32).map(move |d| (l, d))) {
            // The most that fits with steps of 4, of about a hundred and of half a million; then the widest steps.
            for spare in [2, 7, 19, l] {
                let base = 1u64 << ((l - spare.min(l)) / digits).min(32);
                for base in [base.max(2), base * 3 / 4] {
                    encodings.extend(Encoding::new(ring.clone(), l, base, digits));
                }
            }
        }
    }
    let mut rand = Rand::new(12);
    for encoding in &encodings {
        // Some of them twice, in other lanes of an engine, and no whole number of polynomials. One job: a device spends its time on
        // beginning them.
        let mut phases = hostile_phases(encoding, &mut rand);
        phases.resize(phases.len().next_multiple_of(256), 0);
        phases.extend_from_within(5..256 + 82);
        open(backend, encoding, &phases);
    }
}

/// Two digits of these bases come to 2^30 and more, where an estimate of the higher two of three may be two too small: at
/// large multiples of the base.
pub fn digits_of_large_bases(backend: &dyn Backend) {
    let mut rand = Rand::new(30);
    let ring = Ring::new(256, &[1_073_479_681, 1_071_513_601]).expect("a test's ring is valid");
    for base in [1 << 15, (1 << 15) + 1, 41_287, 44_007, 46_340, 46_341, 65_535] {
        let encoding = Encoding::new(ring.clone(), 57, base, 3).expect("a test's encoding is valid");
        let q = u128::from(ring.q());
        let mut phases = Vec::new();
        for _ in 0..128 {
            let high = base * base - 1 - rand.next() % (1 << (rand.next() % 30));
            // The middle of the words that open to the value.
            let middle = |value: u64| ((u128::from(encoding.delta()) * u128::from(value)) << 57).div_ceil(q) as u64;
            phases.extend([middle(high * base), middle(high * base + base - 1)]);
        }
        open(backend, &encoding, &phases);
    }
}

pub fn every_phase_of_short_words(backend: &dyn Backend) {
    let ring = Ring::new(256, &[1_073_479_681]).expect("a test's ring is valid");
    for l in 3..=11 {
        let phases: Vec<u64> = (0..1 << l).collect();
        for (base, digits) in (2..1 << (l - 1)).map(|base| (base, 1)).chain([(2, 2), (2, 4), (2, 6), (3, 3), (5, 4)]) {
            let Ok(encoding) = Encoding::new(ring.clone(), l, base, digits) else { continue };
            if l < 9 || base % 37 < 2 || base < 8 {
                open(backend, &encoding, &phases);
            }
        }
    }
}
