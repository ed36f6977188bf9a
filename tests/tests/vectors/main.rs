//! The known answers on every backend: see tests/vectors/README.md. No answer here comes from a backend.

mod files;
mod rounds;
mod unravel;

use files::*;
use kernels::cpu::Cpu;
use kernels::expand::{self, Domain};
use kernels::reference::Reference;
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Modulus, Noise, PadJob, Plan, Ring,
    RingError, Secret, Shape,
};
use sha2::{Digest, Sha256};
use tensorguard_tests::encoding;
use unravel::{a_of, s_and_e_of};

// ---- the backends and the digests --------------------------------------------------------------------------------

fn on_every_backend<C>(cases: &[C], run: impl Fn(&dyn Backend, &str, &C)) {
    assert!(!cases.is_empty(), "an array without cases checks nothing");
    let mut backends: Vec<(String, Box<dyn Backend>)> = vec![("reference".into(), Box::new(Reference))];
    backends.extend(Cpu::present(1).into_iter().map(|cpu| (cpu.name().into(), Box::new(cpu) as Box<dyn Backend>)));
    backends.push(("cpu-best-2-threads".into(), Box::new(Cpu::best(2))));
    for (name, backend) in backends {
        for (index, case) in cases.iter().enumerate() {
            run(backend.as_ref(), &format!("{name}, case {index}"), case);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn sha_u32(words: &[u32]) -> String {
    sha(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
}

fn sha_u64(words: &[u64]) -> String {
    sha(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
}

fn sha_i8(values: &[i32]) -> String {
    sha(&values.iter().flat_map(|&value| i8::try_from(value).expect("small").to_le_bytes()).collect::<Vec<_>>())
}

#[track_caller]
fn are(words: &[u32], sha: &str, first: &[u32], what: &str) {
    assert_eq!(&words[..first.len()], first, "{what}: the first words");
    assert_eq!(sha_u32(words), sha, "{what}: the digest");
}

/// `label` is text: see the README.
fn rule_bytes(label: &str, len: usize) -> Vec<u8> {
    let block = |b: u32| Sha256::digest([label.as_bytes(), &b.to_le_bytes()].concat());
    (0..=(len / 32) as u32).flat_map(block).take(len).collect()
}

fn rule_words(label: &str, len: usize) -> Vec<u32> {
    rule_bytes(label, 4 * len).as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

fn small(seed: &[u8; 32], domain: Domain, poly: u32, n: usize) -> Vec<i32> {
    let mut out = vec![0; n];
    expand::small(seed, domain, poly, &mut out);
    out
}

fn secret_sum<'a>(seeds: impl IntoIterator<Item = &'a Seed>, n: usize) -> Secret<Vec<i32>> {
    let mut sum = Secret::new(vec![0; n]);
    for seed in seeds {
        sum.expose_mut().iter_mut().zip(small(&seed.0, Domain::S, 0, n)).for_each(|(sum, s)| *sum += s);
    }
    sum
}

fn seal_up(
    backend: &dyn Backend,
    encoding: &Encoding,
    a_seed: &Seed,
    first_poly: u32,
    message: &Message,
    len: usize,
) -> Vec<u8> {
    let mut out = vec![0xA5; encoding.packed_len(len)];
    let message_seed = &message.message_seed.secret();
    let job = EncryptJob { encoding, a_seed: &a_seed.0, message_seed, first_poly };
    backend.encrypt(&job, &message.digits.digits(len), &mut out).unwrap();
    out
}

fn add_up(backend: &dyn Backend, shape: &Shape, rows: &[impl AsRef<[u8]>]) -> Vec<u32> {
    let rows: Vec<&[u8]> = rows.iter().map(AsRef::as_ref).collect();
    let mut accumulator = vec![0; shape.accumulator_len()];
    backend.sum(shape, &rows, &mut accumulator).unwrap();
    accumulator
}

/// Each value of an accumulator as one word.
fn joined(shape: &Shape, accumulator: &[u32]) -> Vec<u64> {
    let join = |value: &[u32]| value.iter().rev().fold(0, |high, &low| high << 32 | u64::from(low));
    accumulator.chunks_exact(shape.words_per_value()).map(join).collect()
}

// ---- the arrays --------------------------------------------------------------------------------------------------

#[test]
fn ntt() {
    on_every_backend(&answers().ntt, |backend, name, case| {
        let what = format!("{name}: ntt mod {}, n = {}", case.p, case.n);
        let plan = Plan::new(Modulus::new(case.p).unwrap(), case.n).unwrap();
        assert_eq!(plan.psi(), case.psi, "{what}: psi");
        let word = |i: u32| Sha256::digest([&b"ntt"[..], &i.to_le_bytes()].concat());
        let words = (0..case.n as u32).map(|i| u32::from_le_bytes(word(i)[..4].try_into().unwrap()));
        let mut forward: Vec<u32> = words.collect();
        let mut inverse = forward.clone();
        are(&forward, &case.input_sha256, &case.input_first4, &format!("{what}, the input"));
        backend.ntt(&plan, Direction::Forward, &mut forward).unwrap();
        are(&forward, &case.forward_sha256, &case.forward_first4, &format!("{what}, forward"));
        backend.ntt(&plan, Direction::Inverse, &mut inverse).unwrap();
        are(&inverse, &case.inverse_sha256, &case.inverse_first4, &format!("{what}, inverse"));
    });
}

/// Counters far into a stream, and the RFC's own domain, can be asked of the definition alone.
#[test]
fn expand_blocks() {
    let mut engines = Cpu::present(1);
    engines.push(Cpu::best(2));
    let mut reached = 0;
    for (index, case) in answers().expand.blocks.iter().enumerate() {
        let mut initial = expand::initial_state(&case.seed.0, Domain::A, case.poly, case.limb);
        initial[13] = case.domain;
        assert_eq!(expand::block(&initial, case.counter), case.words, "reference, case {index}");
        let domain = [Domain::A, Domain::Overflow, Domain::S, Domain::E].into_iter().find(|&d| d as u32 == case.domain);
        let Some(domain) = domain.filter(|_| case.counter < 1000) else { continue };
        reached += 1;
        for engine in &engines {
            let mut words = vec![0; 16 * (case.counter as usize + 1)];
            engine.expand(&case.seed.0, domain, case.poly, case.limb, &mut words);
            let (name, threads) = (engine.name(), engine.threads());
            assert_eq!(words[words.len() - 16..], case.words, "{name} on {threads} threads, case {index}");
        }
    }
    assert_eq!(reached, 5);
}

#[test]
fn expand_uniform() {
    on_every_backend(&answers().expand.uniform, |backend, name, case| {
        let what = format!("{name}: a_{} mod {}, n = {}", case.poly, case.p, case.n);
        let modulus = Modulus::new(case.p).unwrap();
        let mut row = vec![0; case.n];
        expand::uniform(&case.seed.0, modulus, case.poly, case.limb, &mut row);
        are(&row, &case.sha256, &case.first4, &what);
        let mask = (1 << modulus.bits()) - 1;
        let is_rejected = |word: u32| word & mask >= case.p;
        let words: Vec<u32> = expand::words(&case.seed.0, Domain::A, case.poly, case.limb).take(case.n).collect();
        let rejected: Vec<usize> = (0..case.n).filter(|&i| is_rejected(words[i])).collect();
        assert_eq!((rejected.len(), rejected.first().copied()), (case.rejected, case.first_rejected), "{what}");
        assert_eq!(rejected.first().map(|&i| row[i]), case.first_rejected_value, "{what}: the first rejected");
        let overflow = expand::initial_state(&case.seed.0, Domain::Overflow, case.poly, case.limb);
        let is_exhausted = |&&i: &&usize| expand::block(&overflow, i as u32).into_iter().all(is_rejected);
        assert_eq!(rejected.iter().filter(is_exhausted).count(), case.exhausted, "{what}: exhausted blocks");
        // A ring has two limbs: a third one can be asked of the definition alone.
        let primes = match case.limb {
            0 => vec![case.p],
            1 => vec![if case.p == Modulus::P1.value() { Modulus::P2.value() } else { Modulus::P1.value() }, case.p],
            _ => return,
        };
        let ring = Ring::new(case.n, &primes).unwrap();
        let row = a_of(backend, &ring, case.limb, &case.seed.0, case.poly);
        are(&row, &case.sha256, &case.first4, &format!("{what}, from its pad"));
    });
}

#[test]
fn expand_small() {
    on_every_backend(&answers().expand.small, |backend, name, case| {
        let domain = match case.stream {
            Stream::S => Domain::S,
            Stream::E => Domain::E,
        };
        let what = format!("{name}: {domain:?}_{}, n = {}", case.poly, case.n);
        let ring = Ring::new(case.n, &[Modulus::P1.value()]).unwrap();
        let (s, e) = s_and_e_of(backend, &ring, &case.seed.0, case.poly);
        let from_pad = if domain == Domain::S { s } else { e };
        for values in [small(&case.seed.0, domain, case.poly, case.n), from_pad] {
            assert_eq!(values[..8], case.first8, "{what}");
            assert_eq!(sha_i8(&values), case.sha256, "{what}");
        }
    });
}

#[test]
fn pad() {
    let (three, cases): (Vec<_>, Vec<_>) = answers().pad.into_iter().partition(|case| case.primes.len() == 3);
    assert_eq!(three.len(), 1);
    assert_eq!(Ring::new(three[0].n, &three[0].primes), Err(RingError::Limbs(3)));
    on_every_backend(&cases, |backend, name, case| {
        let ring = Ring::new(case.n, &case.primes).unwrap();
        let mut out = vec![0xDEAD_BEEF; case.polys * ring.plans().len() * case.n];
        let message_seed = &case.message_seed.secret();
        let job = PadJob { ring: &ring, a_seed: &case.a_seed.0, message_seed, first_poly: case.first_poly };
        backend.pad(&job, &mut out).unwrap();
        are(&out, &case.sha256, &case.first4, &format!("{name}: pad, n = {}", case.n));
    });
}

#[test]
fn encrypt() {
    on_every_backend(&answers().encrypt, |backend, name, case| {
        let encoding = &case.encoding.encoding();
        let what = format!("{name}: encrypt, n = {}, l = {}", encoding.ring().n(), encoding.bits());
        assert_eq!(encoding.coefficients(case.digits_len), case.coefficients, "{what}");
        assert_eq!(encoding.packed_len(case.digits_len), case.bytes, "{what}");
        let message = Message { message_seed: Seed(case.message_seed.0), digits: case.digits };
        let out = seal_up(backend, encoding, &case.a_seed, case.first_poly, &message, case.digits_len);
        assert_eq!(hex(&out[..out.len().min(32)]), case.first32, "{what}: the first bytes");
        assert_eq!(sha(&out), case.sha256, "{what}: the digest");
    });
}

#[test]
fn sum() {
    on_every_backend(&answers().sum, |backend, name, case| {
        let what = format!("{name}: sum, l = {}", case.l);
        let shape = Shape { bits: case.l, coefficients: case.coefficients };
        assert_eq!(shape.packed_len(), case.row_bytes, "{what}");
        let rows: Vec<Vec<u8>> = case.row_labels.iter().map(|label| rule_bytes(label, case.row_bytes)).collect();
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let mut accumulator = rule_words(&case.accumulator_label, shape.accumulator_len());
        backend.sum(&shape, &rows, &mut accumulator).unwrap();
        are(&accumulator, &case.sha256, &case.first4, &what);
    });
}

#[test]
fn decrypt() {
    let cases = answers().decrypt;
    for bits in [33..=57, 1..=32] {
        for primes in [1, 2] {
            let is_refusing = |case: &&DecryptCase| case.noise.refused > 0 && case.encoding.primes.len() == primes;
            let count = cases.iter().filter(is_refusing).filter(|case| bits.contains(&case.encoding.l)).count();
            // One prime is below 2^30, and l below its logarithm.
            let expected = if primes == 1 && *bits.start() > 32 { 0..=0 } else { 3..=99 };
            assert!(expected.contains(&count), "{count} refusing cases of {primes} primes, l in {bits:?}");
        }
    }
    on_every_backend(&cases, |backend, name, case| {
        let encoding = &case.encoding.encoding();
        let what = format!("{name}: decrypt {}, n = {}, l = {}", case.kind, encoding.ring().n(), encoding.bits());
        let len = case.digits_len;
        let accumulator = match &case.accumulator {
            Accumulator::Label(label) => rule_words(label, encoding.shape(len).accumulator_len()),
            Accumulator::Words(words) => words.clone(),
            Accumulator::Encryptions(messages) => {
                let seal = |message| seal_up(backend, encoding, &case.a_seed, case.first_poly, message, len);
                let rows: Vec<Vec<u8>> = messages.iter().map(seal).collect();
                add_up(backend, &encoding.shape(len), &rows)
            }
        };
        let (sha, first4) = (&case.accumulator_sha256, &case.accumulator_first4);
        are(&accumulator, sha, first4, &format!("{what}, the accumulator"));
        let secret_sum = &secret_sum(&case.secret_seeds, encoding.ring().n());
        let job = DecryptJob { encoding, a_seed: &case.a_seed.0, secret_sum, first_poly: case.first_poly };
        let mut digits = vec![0xDEAD_BEEF; len];
        let noise = backend.decrypt(&job, &accumulator, &mut digits).unwrap();
        are(&digits, &case.digits_sha256, &case.digits_first8, &format!("{what}, the digits"));
        let expected = Noise {
            coefficients: case.noise.coefficients,
            refused: case.noise.refused,
            max_abs: case.noise.max_abs.parse().unwrap(),
            sum: case.noise.sum.parse().unwrap(),
            sum_squares: case.noise.sum_squares.parse().unwrap(),
        };
        assert_eq!(noise, expected, "{what}");
    });
}

#[test]
fn dense() {
    on_every_backend(&answers().dense, |backend, name, case| {
        let what = format!("{name}: dense rows from {}", case.first_row);
        let modulus = 1i64 << case.bits;
        let run = |key: DenseKey<'_>, rows: &mut [u32]| {
            let DenseCase { dimension, bits, first_row, .. } = *case;
            backend.dense(&DenseJob { a_seed: &case.a_seed.0, dimension, bits, first_row, key }, rows).unwrap();
        };
        let mut rows = vec![0; case.rows];
        run(DenseKey::Mask(&case.message_seed.secret()), &mut rows);
        assert_eq!(rows, case.pad, "{what}: the pad");
        run(DenseKey::Unmask(&secret_sum([&case.message_seed], case.dimension)), &mut rows);
        let errors = case.errors.iter().map(|&e| i64::from(e).rem_euclid(modulus) as u32);
        assert_eq!(rows, errors.collect::<Vec<_>>(), "{what}: the errors");
        let mut rows = vec![0; case.rows];
        run(DenseKey::Unmask(&secret_sum(&case.secret_seeds, case.dimension)), &mut rows);
        let minus = case.sum_inner.iter().map(|&inner| (-i64::from(inner)).rem_euclid(modulus) as u32);
        assert_eq!(rows, minus.collect::<Vec<_>>(), "{what}: the sum of the secrets");
    });
}

// ---- kat.json ----------------------------------------------------------------------------------------------------

#[test]
fn kat_samples() {
    on_every_backend(&kat().into_iter().collect::<Vec<_>>(), |backend, name, (suite, case)| {
        let what = format!("{name}: {suite}");
        let ring = &Ring::new(case.n, &case.primes).unwrap();
        for (limb, (plan, sha)) in (0..).zip(ring.plans().iter().zip(&case.ahat_sha256)) {
            assert_eq!(plan.psi(), case.psi[limb as usize], "{what}: psi of limb {limb}");
            let row = a_of(backend, ring, limb, &case.a_seed.0, case.poly);
            let first = if limb == 0 { &case.ahat0_first4[..] } else { &[] };
            are(&row, sha, first, &format!("{what}, a of limb {limb}"));
        }
        assert_eq!((case.psi.len(), case.ahat_sha256.len()), (case.primes.len(), case.primes.len()), "{what}");
        for (index, client) in case.clients.iter().enumerate() {
            let (s, e) = s_and_e_of(backend, ring, &client.seed.0, case.poly);
            assert_eq!(sha_i8(&s), client.s_sha256, "{what}: s of client {index}");
            assert_eq!(sha_i8(&e), client.e_sha256, "{what}: e of client {index}");
        }
    });
}

#[test]
fn kat_round() {
    on_every_backend(&kat().into_iter().collect::<Vec<_>>(), |backend, name, (suite, case)| {
        let what = format!("{name}: {suite}");
        let encoding = &encoding(case.n, &case.primes, case.l, case.base, case.rho);
        assert_eq!(encoding.delta().to_string(), case.delta, "{what}: Delta");
        let len = case.n * encoding.digits_per_coefficient();
        let (shape, modulus) = (encoding.shape(len), (case.base - 1) / 100 + 1);
        let (mut rows, mut expected) = (Vec::new(), vec![0; len]);
        for (index, client) in (0..).zip(&case.clients) {
            let digits = Rule { mul: 7, add: index, modulus };
            expected.iter_mut().zip(digits.digits(len)).for_each(|(sum, digit)| *sum += digit);
            let message = Message { message_seed: Seed(client.seed.0), digits };
            let row = seal_up(backend, encoding, &case.a_seed, case.poly, &message, len);
            let words = joined(&shape, &add_up(&Reference, &shape, &[&row]));
            assert_eq!(words[..4], client.ct_first4, "{what}: the ciphertext of client {index}");
            assert_eq!(sha_u64(&words), client.ct_sha256, "{what}: the ciphertext of client {index}");
            rows.push(row);
        }
        let accumulator = add_up(backend, &shape, &rows);
        assert_eq!(sha_u64(&joined(&shape, &accumulator)), case.sum_sha256, "{what}: the sum");
        let secret_sum = &secret_sum(case.clients.iter().map(|client| &client.seed), case.n);
        let job = DecryptJob { encoding, a_seed: &case.a_seed.0, secret_sum, first_poly: case.poly };
        let mut digits = vec![0xDEAD_BEEF; len];
        let noise = backend.decrypt(&job, &accumulator, &mut digits).unwrap();
        assert!(digits == expected, "{what}: the digits are not the digits' sums");
        let (coefficients, refused, max_abs) = (case.n as u64, 0, case.noise_max);
        assert_eq!(noise, Noise { coefficients, refused, max_abs, ..noise }, "{what}");
        let mean = noise.sum as f64 / case.n as f64;
        let std = (noise.sum_squares as f64 / case.n as f64 - mean * mean).sqrt();
        assert!((std / case.noise_std - 1.0).abs() < 1e-12, "{what}: the noise's deviation is {std}");
    });
}
