//! What is asked for: suites, read from untrusted JSON and checked in full before anything is computed.

use super::json::{At, Json, short};
use crate::failure::Failure;
use kernels::{Encoding, EncodingError, PlanError, Ring, RingError};
use serde::{Serialize, Serializer};

/// The most bytes of a requests file: some two hundred thousand clients.
pub const MOST_BYTES: u64 = 16 << 20;

/// One suite to answer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its key in the file.
    pub name: String,
    /// Dimension of the ring.
    pub n: usize,
    /// The primes of q.
    pub primes: Vec<u32>,
    /// Wire bits of a coefficient, `l`.
    pub wire_bits: u32,
    /// Base of a digit, `B`.
    pub base: u64,
    /// Digits of a coefficient, `rho`.
    pub digits: u32,
    /// The seed of every `a_j`.
    pub a_seed: Seed,
    /// Number of the polynomial, `j`.
    pub poly: u32,
    /// The clients' message seeds.
    pub clients: Vec<Seed>,
}

/// 32 bytes and how they were written. A test's seed, meant to be seen: never that of a real message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The bytes.
    pub bytes: [u8; 32],
    text: String,
}

impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

const INPUTS: &[&str] = &["n", "primes", "l", "B", "rho", "a_seed", "poly", "clients"];
/// What an answered file has besides. Never read: all of it is computed anew.
const ANSWERS: &[&str] =
    &["psi", "Delta", "ahat_sha256", "ahat0_first4", "sum_sha256", "noise_max", "noise_std", "digits_sha256"];
const CLIENT_ANSWERS: &[&str] = &["s_sha256", "e_sha256", "ct_sha256", "ct_first4"];

const BITS: &str = "the wire bits of a coefficient, 1 to 57 and below log2 of the primes' product";
const BASE: &str = "the base of a digit, 2 to 4294967296";
const DIGITS: &str = "the digits of a coefficient, 1 or more, with B^rho well below the primes' product";
const PRIMES: &str = "one or two different primes below 2^30 that are 1 mod 2n";
const DIMENSION: &str = "the ring's dimension, a power of two from 256 to 32768";
const POLY: &str = "the polynomial's number, 0 to 4294967295";
const SEED: &str = "32 bytes as 64 hexadecimal digits";

/// Reads a requests file.
///
/// # Errors
/// [`Failure::Usage`] names the field, what was found in it, and what would be right.
pub fn read(bytes: &[u8]) -> Result<Vec<Request>, Failure> {
    let json: Json = serde_json::from_slice(bytes)
        .map_err(|error| Failure::Usage(format!("not JSON: {error}; must be an object of suites, as in kat.json")))?;
    let whole = At::new("the file".to_owned(), &json);
    let suites = whole.object("an object of suites, as in kat.json")?;
    suites.iter().map(|(name, json)| suite(name, &At::new(short(name), json))).collect()
}

fn suite(name: &str, at: &At<'_>) -> Result<Request, Failure> {
    refuse_others(at, INPUTS, ANSWERS, "a suite")?;
    let primes = at.field("primes", PRIMES)?.list(PRIMES)?;
    if !(1..=2).contains(&primes.len()) {
        return Err(at.field("primes", PRIMES)?.refuse(PRIMES));
    }
    let clients = at.field("clients", "a list of objects with a seed")?.list("a list of objects with a seed")?;
    let client = |client: &At<'_>| {
        refuse_others(client, &["seed"], CLIENT_ANSWERS, "a client")?;
        seed(&client.field("seed", SEED)?)
    };
    let request = Request {
        name: name.to_owned(),
        n: at.field("n", DIMENSION)?.word(DIMENSION)? as usize,
        primes: primes.iter().map(|prime| prime.word(PRIMES)).collect::<Result<_, _>>()?,
        wire_bits: at.field("l", BITS)?.word(BITS)?,
        base: at.field("B", BASE)?.integer(1 << 32, BASE)?,
        digits: at.field("rho", DIGITS)?.word(DIGITS)?,
        a_seed: seed(&at.field("a_seed", SEED)?)?,
        poly: at.field("poly", POLY)?.word(POLY)?,
        clients: clients.iter().map(client).collect::<Result<_, _>>()?,
    };
    // Dropped again: the tables of many suites would fill the memory.
    match request.encoding() {
        Ok(_) => Ok(request),
        Err(Unfit { field, right, why }) => {
            let field = at.field(field, right)?;
            Err(field.complain(format_args!("{why}; must be {right}")))
        }
    }
}

/// A message would make this an encryption tool, and a misspelt input would be ignored: both are refused.
fn refuse_others(at: &At<'_>, inputs: &[&str], answers: &[&str], what: &str) -> Result<(), Failure> {
    let known = |key: &str| inputs.contains(&key) || answers.contains(&key);
    let entries = at.object(&format!("{what}: an object with {}", inputs.join(", ")))?;
    let Some((key, _)) = entries.iter().find(|(key, _)| !known(key)) else { return Ok(()) };
    Err(at.complain(format_args!(
        "{what} has no field {}; its inputs are {}. `kat` encrypts one fixed message and takes no other: to encrypt, use the library",
        short(key),
        inputs.join(", ")
    )))
}

fn seed(at: &At<'_>) -> Result<Seed, Failure> {
    let wrong = |found: &str| at.complain(format_args!("found {found}; must be {SEED}"));
    let text = at.text().ok_or_else(|| wrong(&at.kind()))?;
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    let strangers = text.chars().count() - digits.len();
    if strangers > 0 {
        return Err(wrong(&format!("a text with {strangers} characters that are no hexadecimal digits")));
    }
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    match (digits.len(), bytes.try_into()) {
        (64, Ok(bytes)) => Ok(Seed { bytes, text: text.to_owned() }),
        (found, _) => Err(wrong(&format!("{found} hexadecimal digits"))),
    }
}

/// An input that does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    field: &'static str,
    right: &'static str,
    why: String,
}

impl Request {
    /// How its digits become wire words.
    ///
    /// # Errors
    /// [`Unfit`] names the input that does not fit.
    pub fn encoding(&self) -> Result<Encoding, Unfit> {
        let ring = Ring::new(self.n, &self.primes).map_err(|error| match error {
            RingError::Plan(PlanError::Size(_)) => Unfit { field: "n", right: DIMENSION, why: error.to_string() },
            _ => Unfit { field: "primes", right: PRIMES, why: error.to_string() },
        })?;
        Encoding::new(ring, self.wire_bits, self.base, self.digits).map_err(|error| {
            let (field, right) = match error {
                EncodingError::Bits(_) => ("l", BITS),
                EncodingError::Base(_) => ("B", BASE),
                EncodingError::Capacity { .. } => ("rho", DIGITS),
            };
            Unfit { field, right, why: error.to_string() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"x": {"n": 1024, "primes": [4169729], "l": 17, "B": 1501, "rho": 1, "a_seed": "SEED", "poly": 5, "clients": [{"seed": "SEED"}, {"seed": "SEED"}]}}"#;

    fn good() -> String {
        GOOD.replace("SEED", &"1b".repeat(32))
    }

    #[track_caller]
    fn refused(from: &str, to: &str, parts: &[&str]) {
        let text = good().replacen(from, to, 1);
        assert_ne!(text, good(), "{from} is in the request");
        let message = read(text.as_bytes()).expect_err(to).to_string();
        parts.iter().for_each(|part| assert!(message.contains(part), "{to}: {message} lacks {part}"));
    }

    #[test]
    fn a_request_with_the_inputs_alone_is_read() {
        let requests = read(good().as_bytes()).unwrap();
        assert_eq!((requests[0].n, requests[0].clients.len(), requests[0].clients[1].bytes), (1024, 2, [0x1B; 32]));
        assert_eq!(read(b"{}"), Ok(vec![]));
    }

    #[test]
    fn answers_already_there_are_not_read() {
        let answered = good().replace(r#""n":"#, r#""psi": "nonsense", "noise_std": null, "n":"#);
        assert_eq!(read(answered.as_bytes()), read(good().as_bytes()));
    }

    #[test]
    fn each_refusal_names_the_field_what_was_found_and_what_would_be_right() {
        refused("1024", "1000", &[r#""x".n: "#, "1000", "power of two"]);
        refused("1024", "-4", &[r#""x".n: found the number -4"#, "256 to 32768"]);
        refused("1024", "1e300", &[r#""x".n: found the number 1e+300"#]);
        refused("[4169729]", "[4169729, 4169729]", &[r#""x".primes: "#, "twice"]);
        refused("[4169729]", "[]", &[r#""x".primes: found a list of 0"#, "one or two"]);
        refused("[4169729]", "[12]", &[r#""x".primes: "#, "12"]);
        refused("[4169729]", "[true]", &[r#""x".primes[0]: found true"#]);
        refused("17", "22", &[r#""x".l: 22 wire bits"#]);
        refused("17", "4294967296", &[r#""x".l: found the number 4294967296"#]);
        refused("1501", "1", &[r#""x".B: digit base 1"#]);
        refused(r#""rho": 1"#, r#""rho": 4294967295"#, &[r#""x".rho: 4294967295 digits"#]);
        refused(r#""rho": 1"#, r#""rho": 0"#, &[r#""x".rho: 0 digits"#]);
        refused(r#""poly": 5, "#, "", &[r#""x".poly is missing"#]);
        refused(r#""poly": 5"#, r#""poly": "5""#, &[r#""x".poly: found the text "5""#]);
        refused("1b", "1", &[r#""x".a_seed: found 63 hexadecimal digits"#]);
        refused(r#"{"seed": "1b"#, r#"{"seed": "1bb"#, &[r#""x".clients[0].seed: found 65 hex"#]);
        refused(r#"}]"#, r#"}, 7]"#, &[r#""x".clients[2]: found the number 7"#]);
        refused(r#"{"x": {"#, r#"{"y": 3, "x": {"#, &[r#""y": found the number 3"#]);
        refused(r#"{"x": {"#, r#"{"x": {"l": 3, "#, &["twice"]);
        assert!(read(b"[]").is_err() && read(b"").is_err() && read(b"{\"x\":").is_err() && read(b"\xFF").is_err());
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_message_or_another_strange_field_is_refused() {
        let no_tool = "takes no other: to encrypt, use the library";
        refused(r#""poly""#, r#""message": [1, 2], "poly""#, &[r#""x": a suite has no field "message""#, no_tool]);
        refused(r#"{"seed""#, r#"{"digits": [3], "seed""#, &[r#"clients[0]: a client has no field "digits""#, no_tool]);
    }

    #[test]
    fn a_seed_is_never_in_a_refusal() {
        for (from, to) in [("1b1b", "zz1b"), ("1b1b", "1b"), ("1b1b", "é")] {
            let message = read(good().replacen(from, to, 1).as_bytes()).expect_err(to).to_string();
            assert!(!message.contains("1b1b"), "{message}");
        }
    }
}
