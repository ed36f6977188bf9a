//! The fields of known_answers.json and kat.json. One that is not here fails the parsing; one that no test reads is
//! dead code, and warned of.

use kernels::{Encoding, Secret};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Structs that must have all fields of an object, and no other.
macro_rules! objects {
    ($($(#[$on:meta])* $object:ident { $($(#[$at:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        $(#[$on])*
        pub(crate) struct $object {
            $($(#[$at])* pub(crate) $field: $type,)*
        }
    )*};
}

objects! {
    Answers {
        ntt: Vec<NttCase>, expand: ExpandCases, pad: Vec<PadCase>, encrypt: Vec<EncryptCase>, sum: Vec<SumCase>,
        decrypt: Vec<DecryptCase>, dense: Vec<DenseCase>,
    }

    NttCase {
        p: u32, n: usize, psi: u32, input_sha256: String, input_first4: Vec<u32>, forward_sha256: String,
        forward_first4: Vec<u32>, inverse_sha256: String, inverse_first4: Vec<u32>,
    }

    ExpandCases {
        blocks: Vec<BlockCase>, uniform: Vec<UniformCase>, small: Vec<SmallCase>,
    }

    BlockCase {
        seed: Seed, domain: u32, poly: u32, limb: u32, counter: u32, words: [u32; 16],
    }

    UniformCase {
        seed: Seed, p: u32, n: usize, poly: u32, limb: u32, rejected: usize, exhausted: usize,
        first_rejected: Option<usize>, first_rejected_value: Option<u32>, sha256: String, first4: Vec<u32>,
    }

    SmallCase {
        seed: Seed, stream: Stream, poly: u32, n: usize, sha256: String, first8: Vec<i32>,
    }

    PadCase {
        n: usize, primes: Vec<u32>, a_seed: Seed, message_seed: Seed, first_poly: u32, polys: usize, sha256: String,
        first4: Vec<u32>,
    }

    EncodingCase {
        n: usize, primes: Vec<u32>, l: u32, #[serde(rename = "B")] base: u64, rho: u32,
        #[serde(rename = "Delta")] delta: String,
    }

    EncryptCase {
        encoding: EncodingCase, a_seed: Seed, message_seed: Seed, first_poly: u32, digits: Rule, digits_len: usize,
        coefficients: usize, bytes: usize, sha256: String, first32: String,
    }

    #[derive(Clone, Copy)]
    Rule {
        mul: u64, add: u64, #[serde(rename = "mod")] modulus: u64,
    }

    SumCase {
        l: u32, coefficients: usize, row_bytes: usize, row_labels: Vec<String>, accumulator_label: String,
        sha256: String, first4: Vec<u32>,
    }

    DecryptCase {
        encoding: EncodingCase, a_seed: Seed, secret_seeds: Vec<Seed>, first_poly: u32, digits_len: usize,
        accumulator: Accumulator, kind: String, accumulator_sha256: String, accumulator_first4: Vec<u32>,
        digits_sha256: String, digits_first8: Vec<u32>, noise: NoiseAnswer,
    }

    Message {
        message_seed: Seed, digits: Rule,
    }

    NoiseAnswer {
        coefficients: u64, refused: u64, max_abs: String, sum: String, sum_squares: String,
    }

    DenseCase {
        bits: u32, dimension: usize, a_seed: Seed, message_seed: Seed, secret_seeds: Vec<Seed>, first_row: u32,
        rows: usize, errors: Vec<i32>, pad: Vec<u32>, sum_inner: Vec<u32>,
    }

    /// One suite of kat.json.
    KatSuite {
        n: usize, primes: Vec<u32>, psi: Vec<u32>, l: u32, #[serde(rename = "B")] base: u64, rho: u32,
        #[serde(rename = "Delta")] delta: String, a_seed: Seed, poly: u32, ahat_sha256: Vec<String>,
        ahat0_first4: Vec<u32>, clients: Vec<KatClient>, sum_sha256: String, noise_max: u64, noise_std: f64,
    }

    KatClient {
        seed: Seed, s_sha256: String, e_sha256: String, ct_sha256: String, ct_first4: Vec<u64>,
    }
}

#[derive(Deserialize)]
pub(crate) enum Stream {
    S,
    E,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Accumulator {
    Encryptions(Vec<Message>),
    Label(String),
    Words(Vec<u32>),
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

impl EncodingCase {
    pub(crate) fn encoding(&self) -> Encoding {
        let encoding = tensorguard_tests::encoding(self.n, &self.primes, self.l, self.base, self.rho);
        assert_eq!(encoding.delta().to_string(), self.delta, "Delta of n = {}, l = {}", self.n, self.l);
        encoding
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
