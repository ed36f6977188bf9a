//! One suite's answers, all of them the backend's own.

use super::request::{Request, Seed};
use super::unravel::{a_of, s_and_e_of};
use crate::failure::Failure;
use kernels::{Backend, DecryptJob, Encoding, EncryptJob, Noise, Secret, Shape};
use lwe::{Budget, Weights};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A suite with every answer, in the order of kat.json.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the fields of tests/vectors/kat.json")]
pub struct Answer {
    pub n: usize,
    pub primes: Vec<u32>,
    pub psi: Vec<u32>,
    pub l: u32,
    #[serde(rename = "B")]
    pub base: u64,
    pub rho: u32,
    #[serde(rename = "Delta")]
    pub delta: String,
    pub a_seed: Seed,
    pub poly: u32,
    pub ahat_sha256: Vec<String>,
    pub ahat0_first4: Vec<u32>,
    pub clients: Vec<ClientAnswer>,
    pub sum_sha256: String,
    pub noise_max: u64,
    pub noise_std: f64,
    pub digits_sha256: String,
}

/// A client with every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields of tests/vectors/kat.json")]
pub struct ClientAnswer {
    pub seed: Seed,
    pub s_sha256: String,
    pub e_sha256: String,
    pub ct_sha256: String,
    pub ct_first4: Vec<u64>,
}

/// The answers, and what a reader should know about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// The answers.
    pub answer: Answer,
    /// Set where the sum of so many clients does not open exactly.
    pub note: Option<String>,
}

/// Asks a backend.
///
/// # Errors
/// [`Failure::Internal`] if the backend does not do it, [`Failure::Wrong`] if what it computes cannot be.
pub fn solve(request: &Request, backend: &dyn Backend) -> Result<Solved, Failure> {
    let encoding = request.encoding().map_err(|unfit| Failure::Usage(format!("{unfit:?}")))?;
    let (ring, poly) = (encoding.ring(), request.poly);
    let mut a_rows = Vec::new();
    for limb in 0..ring.plans().len() {
        a_rows.push(a_of(backend, ring, limb, &request.a_seed.bytes, poly)?);
    }
    let mut round = Round::new(&encoding);
    for (index, seed) in (0..).zip(&request.clients) {
        round.add(backend, request, index, seed)?;
    }
    let Round { accumulator, secret_sum, sums, clients, .. } = round;
    let mut digits = vec![0; sums.len()];
    let job =
        DecryptJob { encoding: &encoding, a_seed: &request.a_seed.bytes, secret_sum: &secret_sum, first_poly: poly };
    let noise = backend.decrypt(&job, &accumulator, &mut digits)?;
    let note = inexact(request, &encoding, &sums, &digits)?;
    let answer = Answer {
        n: request.n,
        primes: request.primes.clone(),
        psi: ring.plans().iter().map(|plan| plan.psi()).collect(),
        l: request.wire_bits,
        base: request.base,
        rho: request.digits,
        delta: encoding.delta().to_string(),
        a_seed: request.a_seed.clone(),
        poly,
        ahat_sha256: a_rows.iter().map(|row| sha_u32(row)).collect(),
        ahat0_first4: a_rows[0][..4].to_vec(),
        clients,
        sum_sha256: sha_u64(&joined(&shape(&encoding), &accumulator)),
        noise_max: noise.max_abs,
        noise_std: deviation(&noise),
        digits_sha256: sha_u32(&digits),
    };
    Ok(Solved { answer, note })
}

/// A sum so far.
struct Round<'a> {
    encoding: &'a Encoding,
    accumulator: Vec<u32>,
    secret_sum: Secret<Vec<i32>>,
    /// What the digits' sums should be.
    sums: Vec<u64>,
    clients: Vec<ClientAnswer>,
}

impl<'a> Round<'a> {
    fn new(encoding: &'a Encoding) -> Self {
        Self {
            encoding,
            accumulator: vec![0; shape(encoding).accumulator_len()],
            secret_sum: Secret::new(vec![0; encoding.ring().n()]),
            sums: vec![0; encoding.ring().n() * encoding.digits_per_coefficient()],
            clients: Vec::new(),
        }
    }

    fn add(&mut self, backend: &dyn Backend, request: &Request, index: u64, seed: &Seed) -> Result<(), Failure> {
        let (encoding, shape) = (self.encoding, shape(self.encoding));
        let (s, e) = s_and_e_of(backend, encoding.ring(), &seed.bytes, request.poly)?;
        // At most some 200,000 clients of magnitude 32.
        self.secret_sum.expose_mut().iter_mut().zip(&s).for_each(|(sum, &s)| *sum += i32::from(s));
        let digits: Vec<u32> = (0..self.sums.len() as u64).map(|at| digit(request.base, index, at)).collect();
        self.sums.iter_mut().zip(&digits).for_each(|(sum, &digit)| *sum += u64::from(digit));
        let message_seed = &Secret::new(seed.bytes);
        let job = EncryptJob { encoding, a_seed: &request.a_seed.bytes, message_seed, first_poly: request.poly };
        let mut row = vec![0; shape.packed_len()];
        backend.encrypt(&job, &digits, &mut row)?;
        backend.sum(&shape, &[&row], &mut self.accumulator)?;
        let mut words = vec![0; shape.accumulator_len()];
        backend.sum(&shape, &[&row], &mut words)?;
        let words = joined(&shape, &words);
        self.clients.push(ClientAnswer {
            seed: seed.clone(),
            s_sha256: sha_i8(&s),
            e_sha256: sha_i8(&e),
            ct_sha256: sha_u64(&words),
            ct_first4: words[..4].to_vec(),
        });
        Ok(())
    }
}

/// The one message of client `index`: digit `at`, counted over coefficients and their digits.
fn digit(base: u64, index: u64, at: u64) -> u32 {
    // Below 2^32 / 100.
    ((at * 7 + index) % ((base - 1) / 100 + 1)) as u32
}

fn shape(encoding: &Encoding) -> Shape {
    encoding.shape(encoding.ring().n() * encoding.digits_per_coefficient())
}

/// Each value of an accumulator as one word.
fn joined(shape: &Shape, accumulator: &[u32]) -> Vec<u64> {
    let join = |value: &[u32]| value.iter().rev().fold(0, |high, &low| high << 32 | u64::from(low));
    accumulator.chunks_exact(shape.words_per_value()).map(join).collect()
}

/// A sum within the noise budget must open to the digits' sums; one beyond it is answered as it opens, with a note.
fn inexact(request: &Request, encoding: &Encoding, sums: &[u64], digits: &[u32]) -> Result<Option<String>, Failure> {
    if sums.iter().zip(digits).all(|(&sum, &digit)| sum == u64::from(digit)) {
        return Ok(None);
    }
    let clients = request.clients.len() as u64;
    let fits = sums.iter().all(|&sum| sum < request.base);
    if fits && Budget::of(encoding).head_room(Weights::equal(clients)) >= 0.0 {
        return Err(Failure::Wrong(format!("{:?}: the digits are not the sums of the clients' digits", request.name)));
    }
    let why = if fits { "the noise is too large" } else { "their sums do not fit the digits" };
    Ok(Some(format!(
        "{:?}: {clients} clients are too many to open exactly, because {why}; answered as it opens",
        request.name
    )))
}

fn deviation(noise: &Noise) -> f64 {
    let opened = u128::from(noise.coefficients - noise.refused);
    if opened == 0 {
        return 0.0;
    }
    // Exact, unless hostile clients wrap around q at a huge step; then a float is near enough.
    let spread = opened.checked_mul(noise.sum_squares).zip(noise.sum.unsigned_abs().checked_pow(2));
    let spread = spread.and_then(|(squares, square)| squares.checked_sub(square)).map(|spread| spread as f64);
    let spread = spread.unwrap_or_else(|| opened as f64 * noise.sum_squares as f64 - (noise.sum as f64).powi(2));
    (spread / (opened * opened) as f64).sqrt()
}

fn sha(bytes: impl IntoIterator<Item = u8>) -> String {
    let digest = Sha256::digest(bytes.into_iter().collect::<Vec<_>>());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha_u32(words: &[u32]) -> String {
    sha(words.iter().flat_map(|word| word.to_le_bytes()))
}

fn sha_u64(words: &[u64]) -> String {
    sha(words.iter().flat_map(|word| word.to_le_bytes()))
}

fn sha_i8(values: &[i8]) -> String {
    sha(values.iter().flat_map(|value| value.to_le_bytes()))
}
