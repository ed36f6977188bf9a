//! The fields of known_answers.json and kat.json. One that is not here fails the parsing; one that no test reads is
//! dead code, and warned of.

use kernels::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answers {
    pub(crate) ntt: Vec<NttCase>,
    pub(crate) expand: ExpandCases,
    pub(crate) pad: Vec<PadCase>,
    pub(crate) encrypt: Vec<EncryptCase>,
    pub(crate) sum: Vec<SumCase>,
    pub(crate) decrypt: Vec<DecryptCase>,
    pub(crate) dense: Vec<DenseCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NttCase {
    pub(crate) p: u32,
    pub(crate) n: usize,
    pub(crate) psi: u32,
    pub(crate) input_sha256: String,
    pub(crate) input_first4: Vec<u32>,
    pub(crate) forward_sha256: String,
    pub(crate) forward_first4: Vec<u32>,
    pub(crate) inverse_sha256: String,
    pub(crate) inverse_first4: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpandCases {
    pub(crate) blocks: Vec<BlockCase>,
    pub(crate) uniform: Vec<UniformCase>,
    pub(crate) small: Vec<SmallCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockCase {
    pub(crate) seed: Seed,
    pub(crate) domain: u32,
    pub(crate) poly: u32,
    pub(crate) limb: u32,
    pub(crate) counter: u32,
    pub(crate) words: [u32; 16],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UniformCase {
    pub(crate) seed: Seed,
    pub(crate) p: u32,
    pub(crate) n: usize,
    pub(crate) poly: u32,
    pub(crate) limb: u32,
    pub(crate) rejected: usize,
    pub(crate) exhausted: usize,
    pub(crate) first_rejected: Option<usize>,
    pub(crate) first_rejected_value: Option<u32>,
    pub(crate) sha256: String,
    pub(crate) first4: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmallCase {
    pub(crate) seed: Seed,
    pub(crate) stream: Stream,
    pub(crate) poly: u32,
    pub(crate) n: usize,
    pub(crate) sha256: String,
    pub(crate) first8: Vec<i32>,
}

#[derive(Deserialize)]
pub(crate) enum Stream {
    S,
    E,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PadCase {
    pub(crate) n: usize,
    pub(crate) primes: Vec<u32>,
    pub(crate) a_seed: Seed,
    pub(crate) message_seed: Seed,
    pub(crate) first_poly: u32,
    pub(crate) polys: usize,
    pub(crate) sha256: String,
    pub(crate) first4: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EncryptCase {
    pub(crate) n: usize,
    pub(crate) primes: Vec<u32>,
    pub(crate) l: u32,
    #[serde(rename = "B")]
    pub(crate) base: u64,
    pub(crate) rho: u32,
    #[serde(rename = "Delta")]
    pub(crate) delta: String,
    pub(crate) a_seed: Seed,
    pub(crate) message_seed: Seed,
    pub(crate) first_poly: u32,
    pub(crate) digits: Rule,
    pub(crate) digits_len: usize,
    pub(crate) coefficients: usize,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
    pub(crate) first32: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) mul: u64,
    pub(crate) add: u64,
    #[serde(rename = "mod")]
    pub(crate) modulus: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SumCase {
    pub(crate) l: u32,
    pub(crate) coefficients: usize,
    pub(crate) row_bytes: usize,
    pub(crate) row_labels: Vec<String>,
    pub(crate) accumulator_label: String,
    pub(crate) sha256: String,
    pub(crate) first4: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecryptCase {
    pub(crate) n: usize,
    pub(crate) primes: Vec<u32>,
    pub(crate) l: u32,
    #[serde(rename = "B")]
    pub(crate) base: u64,
    pub(crate) rho: u32,
    #[serde(rename = "Delta")]
    pub(crate) delta: String,
    pub(crate) a_seed: Seed,
    pub(crate) secret_seeds: Vec<Seed>,
    pub(crate) first_poly: u32,
    pub(crate) digits_len: usize,
    pub(crate) accumulator: Accumulator,
    pub(crate) kind: String,
    pub(crate) accumulator_sha256: String,
    pub(crate) accumulator_first4: Vec<u32>,
    pub(crate) digits_sha256: String,
    pub(crate) digits_first8: Vec<u32>,
    pub(crate) noise: NoiseAnswer,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Accumulator {
    Encryptions(Vec<Message>),
    Label(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Message {
    pub(crate) message_seed: Seed,
    pub(crate) digits: Rule,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoiseAnswer {
    pub(crate) coefficients: u64,
    pub(crate) refused: u64,
    pub(crate) max_abs: String,
    pub(crate) sum: String,
    pub(crate) sum_squares: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DenseCase {
    pub(crate) bits: u32,
    pub(crate) dimension: usize,
    pub(crate) a_seed: Seed,
    pub(crate) message_seed: Seed,
    pub(crate) secret_seeds: Vec<Seed>,
    pub(crate) first_row: u32,
    pub(crate) rows: usize,
    pub(crate) errors: Vec<i32>,
    pub(crate) pad: Vec<u32>,
    pub(crate) sum_inner: Vec<u32>,
}

/// One suite of kat.json.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KatSuite {
    pub(crate) n: usize,
    pub(crate) primes: Vec<u32>,
    pub(crate) psi: Vec<u32>,
    pub(crate) l: u32,
    #[serde(rename = "B")]
    pub(crate) base: u64,
    pub(crate) rho: u32,
    #[serde(rename = "Delta")]
    pub(crate) delta: String,
    pub(crate) a_seed: Seed,
    pub(crate) poly: u32,
    pub(crate) ahat_sha256: Vec<String>,
    pub(crate) ahat0_first4: Vec<u32>,
    pub(crate) clients: Vec<KatClient>,
    pub(crate) sum_sha256: String,
    pub(crate) noise_max: u64,
    pub(crate) noise_std: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KatClient {
    pub(crate) seed: Seed,
    pub(crate) s_sha256: String,
    pub(crate) e_sha256: String,
    pub(crate) ct_sha256: String,
    pub(crate) ct_first4: Vec<u64>,
}

/// 32 bytes, in hex.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Seed(pub(crate) [u8; 32]);

impl TryFrom<String> for Seed {
    type Error = String;

    fn try_from(hex: String) -> Result<Self, String> {
        let byte = |at| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
        let seed = bytes.and_then(|bytes| bytes.try_into().ok());
        seed.map(Self).ok_or_else(|| format!("{hex:?} is not 32 bytes in hex"))
    }
}

impl Seed {
    pub(crate) fn secret(&self) -> Secret<[u8; 32]> {
        Secret::new(self.0)
    }
}

impl Rule {
    pub(crate) fn digits(&self, len: usize) -> Vec<u32> {
        (0..len as u64).map(|i| ((i * self.mul + self.add) % self.modulus) as u32).collect()
    }
}

pub(crate) fn answers() -> Answers {
    serde_json::from_str(include_str!("../../vectors/known_answers.json")).expect("known_answers.json has these fields")
}

pub(crate) fn kat() -> BTreeMap<String, KatSuite> {
    serde_json::from_str(include_str!("../../vectors/kat.json")).expect("kat.json has these fields")
}
