//! tests/vectors/known_answers.json and kat.json as vectors.

use super::{Source, Vector, bytes, unfit};
use crate::failure::Failure;
use crate::kat;
use crate::record::sha256;
use kernels::expand::{self, Domain};
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Modulus, Noise, PadJob, Plan, Ring,
    Secret, Shape,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

const ANSWERS: &str = include_str!("../../../../tests/vectors/known_answers.json");
const ROUNDS: &str = include_str!("../../../../tests/vectors/kat.json");

#[derive(Deserialize)]
struct File {
    ntt: Vec<NttCase>,
    pad: Vec<PadCase>,
    encrypt: Vec<EncryptCase>,
    sum: Vec<SumCase>,
    decrypt: Vec<DecryptCase>,
    dense: Vec<DenseCase>,
}

#[derive(Deserialize)]
struct NttCase {
    p: u32,
    n: usize,
    forward_sha256: String,
    inverse_sha256: String,
}

#[derive(Deserialize)]
struct PadCase {
    n: usize,
    primes: Vec<u32>,
    a_seed: Seed,
    message_seed: Seed,
    first_poly: u32,
    polys: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct EncodingCase {
    n: usize,
    primes: Vec<u32>,
    l: u32,
    #[serde(rename = "B")]
    base: u64,
    rho: u32,
}

#[derive(Deserialize)]
struct EncryptCase {
    encoding: EncodingCase,
    a_seed: Seed,
    #[serde(flatten)]
    message: Message,
    first_poly: u32,
    digits_len: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct Message {
    message_seed: Seed,
    digits: Rule,
}

#[derive(Deserialize)]
struct Rule {
    mul: u64,
    add: u64,
    #[serde(rename = "mod")]
    modulus: u64,
}

#[derive(Deserialize)]
struct SumCase {
    l: u32,
    coefficients: usize,
    row_labels: Vec<String>,
    accumulator_label: String,
    sha256: String,
}

#[derive(Deserialize)]
struct DecryptCase {
    encoding: EncodingCase,
    a_seed: Seed,
    secret_seeds: Vec<Seed>,
    first_poly: u32,
    digits_len: usize,
    accumulator: Accumulator,
    kind: String,
    digits_sha256: String,
    noise: NoiseCase,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Accumulator {
    Encryptions(Vec<Message>),
    Label(String),
    Words(Vec<u32>),
}

#[derive(Deserialize)]
struct NoiseCase {
    coefficients: u64,
    refused: u64,
    max_abs: String,
    sum: String,
    sum_squares: String,
}

#[derive(Deserialize)]
struct DenseCase {
    bits: u32,
    dimension: usize,
    a_seed: Seed,
    message_seed: Seed,
    first_row: u32,
    rows: usize,
    errors: Vec<i32>,
    pad: Vec<u32>,
}

/// 32 bytes, in hexadecimal. Public by being in the file.
struct Seed([u8; 32]);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..64).step_by(2).map(byte).collect();
        let seed = bytes.and_then(|bytes| bytes.try_into().ok());
        seed.map(Self).ok_or_else(|| serde::de::Error::custom("not 32 bytes in hexadecimal"))
    }
}

impl Seed {
    fn secret(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0)
    }
}

impl Rule {
    fn digits(&self, len: usize) -> Vec<u32> {
        // Below the modulus, which is a word.
        (0..len as u64).map(|at| ((at * self.mul + self.add) % self.modulus) as u32).collect()
    }
}

impl EncodingCase {
    fn encoding(&self) -> Result<Encoding, Failure> {
        let ring = Ring::new(self.n, &self.primes).map_err(unfit)?;
        Encoding::new(ring, self.l, self.base, self.rho).map_err(unfit)
    }
}

pub(super) fn vectors() -> Result<Vec<Vector>, Failure> {
    let File { ntt, pad, encrypt, sum, decrypt, dense } = serde_json::from_str(ANSWERS)?;
    let mut all = Vec::new();
    for case in ntt {
        all.extend(transforms(&case)?);
    }
    // A ring has two primes; what three would give is the definition's own test.
    for case in pad.into_iter().filter(|case| case.primes.len() < 3) {
        all.push(pads(case)?);
    }
    for case in encrypt {
        all.push(encryption(case)?);
    }
    all.extend(sum.into_iter().map(addition));
    for case in decrypt {
        all.push(decryption(case)?);
    }
    all.extend(dense.into_iter().map(rows));
    all.extend(rounds()?);
    Ok(all)
}

fn known(
    kernel: &'static str,
    what: String,
    expected: String,
    run: impl Fn(&dyn Backend) -> Result<Vec<u8>, Failure> + 'static,
) -> Vector {
    Vector { kernel, source: Source::KnownAnswers, what, expected, run: Box::new(run) }
}

fn transforms(case: &NttCase) -> Result<Vec<Vector>, Failure> {
    let modulus = Modulus::new(case.p).map_err(unfit)?;
    let word = |at: u32| Sha256::digest([&b"ntt"[..], &at.to_le_bytes()].concat());
    let words = (0..case.n as u32).map(|at| word(at).first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)));
    let words: Vec<u32> = words.collect();
    let both = [(Direction::Forward, &case.forward_sha256), (Direction::Inverse, &case.inverse_sha256)];
    let vector = |(direction, expected): (Direction, &String)| {
        let (plan, words) = (Plan::new(modulus, case.n).map_err(unfit)?, words.clone());
        let what = format!("{direction:?} mod {}, n = {}", case.p, case.n);
        Ok(known("ntt", what, expected.clone(), move |backend| {
            let mut polys = words.clone();
            backend.ntt(&plan, direction, &mut polys)?;
            Ok(bytes(&polys))
        }))
    };
    both.into_iter().map(vector).collect()
}

fn pads(case: PadCase) -> Result<Vector, Failure> {
    let ring = Ring::new(case.n, &case.primes).map_err(unfit)?;
    let what = format!("{} polynomials from {}, n = {}", case.polys, case.first_poly, case.n);
    Ok(known("pad", what, case.sha256, move |backend| {
        let mut out = vec![0; case.polys * ring.plans().len() * ring.n()];
        let (message_seed, first_poly) = (&case.message_seed.secret(), case.first_poly);
        backend.pad(&PadJob { ring: &ring, a_seed: &case.a_seed.0, message_seed, first_poly }, &mut out)?;
        Ok(bytes(&out))
    }))
}

fn seal_up(
    backend: &dyn Backend,
    encoding: &Encoding,
    a_seed: &Seed,
    first_poly: u32,
    message: &Message,
    len: usize,
) -> Result<Vec<u8>, Failure> {
    let mut out = vec![0; encoding.packed_len(len)];
    let message_seed = &message.message_seed.secret();
    let job = EncryptJob { encoding, a_seed: &a_seed.0, message_seed, first_poly };
    backend.encrypt(&job, &message.digits.digits(len), &mut out)?;
    Ok(out)
}

fn encryption(case: EncryptCase) -> Result<Vector, Failure> {
    let encoding = case.encoding.encoding()?;
    let what = format!("{} digits, n = {}, l = {}", case.digits_len, case.encoding.n, case.encoding.l);
    Ok(known("encrypt", what, case.sha256, move |backend| {
        seal_up(backend, &encoding, &case.a_seed, case.first_poly, &case.message, case.digits_len)
    }))
}

/// `label` is text: see tests/vectors/README.md.
fn label_bytes(label: &str, len: usize) -> Vec<u8> {
    let block = |index: u32| Sha256::digest([label.as_bytes(), &index.to_le_bytes()].concat());
    (0..=(len / 32) as u32).flat_map(block).take(len).collect()
}

fn label_words(label: &str, len: usize) -> Vec<u32> {
    label_bytes(label, 4 * len).as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

fn addition(case: SumCase) -> Vector {
    let shape = Shape { bits: case.l, coefficients: case.coefficients };
    let what = format!("{} rows of {} coefficients, l = {}", case.row_labels.len(), case.coefficients, case.l);
    known("sum", what, case.sha256, move |backend| {
        let rows: Vec<Vec<u8>> = case.row_labels.iter().map(|label| label_bytes(label, shape.packed_len())).collect();
        let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
        let mut accumulator = label_words(&case.accumulator_label, shape.accumulator_len());
        backend.sum(&shape, &rows, &mut accumulator)?;
        Ok(bytes(&accumulator))
    })
}

fn secret_sum(seeds: &[Seed], n: usize) -> Secret<Vec<i32>> {
    let mut sum = Secret::new(vec![0; n]);
    let mut one = vec![0; n];
    for seed in seeds {
        expand::small(&seed.0, Domain::S, 0, &mut one);
        sum.expose_mut().iter_mut().zip(&one).for_each(|(sum, s)| *sum += s);
    }
    sum
}

fn decryption(case: DecryptCase) -> Result<Vector, Failure> {
    let encoding = case.encoding.encoding()?;
    let number = |text: &String| text.parse::<i128>().map_err(unfit);
    let NoiseCase { coefficients, refused, max_abs, sum, sum_squares } = &case.noise;
    let noise = Noise {
        coefficients: *coefficients,
        refused: *refused,
        max_abs: max_abs.parse().map_err(unfit)?,
        sum: number(sum)?,
        sum_squares: sum_squares.parse().map_err(unfit)?,
    };
    let what = format!("{} to {} digits, n = {}, l = {}", case.kind, case.digits_len, case.encoding.n, case.encoding.l);
    Ok(known("decrypt", what, case.digits_sha256.clone(), move |backend| {
        let len = case.digits_len;
        let shape = encoding.shape(len);
        let accumulator = match &case.accumulator {
            Accumulator::Label(label) => label_words(label, shape.accumulator_len()),
            Accumulator::Words(words) => words.clone(),
            Accumulator::Encryptions(messages) => {
                let mut accumulator = vec![0; shape.accumulator_len()];
                for message in messages {
                    let row = seal_up(backend, &encoding, &case.a_seed, case.first_poly, message, len)?;
                    backend.sum(&shape, &[&row], &mut accumulator)?;
                }
                accumulator
            }
        };
        let secret_sum = &secret_sum(&case.secret_seeds, encoding.ring().n());
        let (a_seed, first_poly) = (&case.a_seed.0, case.first_poly);
        let mut digits = vec![0; len];
        let job = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly };
        let found = backend.decrypt(&job, &accumulator, &mut digits)?;
        if found != noise {
            return Err(Failure::Wrong(format!("the noise is {found:?}, not {noise:?}")));
        }
        Ok(bytes(&digits))
    }))
}

/// A pad, and the errors that are left when its own secret is taken away.
fn rows(case: DenseCase) -> Vector {
    let modulus = 1i64 << case.bits;
    let errors: Vec<u32> = case.errors.iter().map(|&error| i64::from(error).rem_euclid(modulus) as u32).collect();
    let expected = sha256(&[bytes(&case.pad), bytes(&errors)].concat());
    let what = format!("{} rows from {}, {} bits", case.rows, case.first_row, case.bits);
    known("dense", what, expected, move |backend| {
        let DenseCase { dimension, bits, first_row, .. } = case;
        let (mut rows, message_seed) = (vec![0; case.rows], case.message_seed.secret());
        let job = |key| DenseJob { a_seed: &case.a_seed.0, dimension, bits, first_row, key };
        backend.dense(&job(DenseKey::Mask(&message_seed)), &mut rows)?;
        let mut answer = bytes(&rows);
        let mut secret = vec![0; dimension];
        expand::small(&case.message_seed.0, Domain::S, 0, &mut secret);
        let secret = Secret::new(secret);
        backend.dense(&job(DenseKey::Unmask(&secret)), &mut rows)?;
        answer.extend(bytes(&rows));
        Ok(answer)
    })
}

/// Whole rounds: everything that kat.json says of a suite but its floating-point deviation, whose last digit is the script's.
fn rounds() -> Result<Vec<Vector>, Failure> {
    let suites: Value = serde_json::from_str(ROUNDS)?;
    let vector = |request: kat::Request| {
        let mut suite = suites.get(&request.name).cloned().ok_or_else(|| unfit("a suite without a name"))?;
        let fields: Vec<String> = suite.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let deviation = suite["noise_std"].take().as_f64().unwrap_or(f64::NAN);
        Ok(known("round", request.name.clone(), sha256(suite.to_string().as_bytes()), move |backend| {
            let mut answer = serde_json::to_value(kat::solve(&request, backend)?.answer)?;
            if let Some(object) = answer.as_object_mut() {
                object.retain(|name, _| fields.contains(name));
            }
            let found = answer["noise_std"].take().as_f64().unwrap_or(f64::NAN);
            let close = (found / deviation - 1.0).abs() < 1e-12;
            if close {
                Ok(answer.to_string().into_bytes())
            } else {
                Err(Failure::Wrong(format!("the noise deviates by {found}")))
            }
        }))
    };
    kat::read(ROUNDS.as_bytes())?.into_iter().map(vector).collect()
}
