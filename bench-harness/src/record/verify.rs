//! Computes every figure of a record again from its samples, and says where the file differs.

use super::fold::{Journal, fold};
use super::journal::{RESULT, SAMPLES, read_limited};
use super::{VERSION, config_sha256, version1};
use crate::failure::Failure;
use serde_json::Value;
use std::fmt;
use std::path::Path;

/// Two computations of the same logarithm may differ in the last digits from one system to the next.
const TOLERANCE: f64 = 1e-9;
/// Differences that are listed.
const LISTED: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Figures and facts that were computed again and agree.
    pub agreed: usize,
    /// Where the file says something else than its samples.
    pub differences: Vec<String>,
    /// What could not be checked, and why.
    pub unchecked: Vec<String>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.differences.is_empty() { "agrees with its samples" } else { "WAS CHANGED" };
        writeln!(f, "{state}: {} values computed again", self.agreed)?;
        for difference in self.differences.iter().take(LISTED) {
            writeln!(f, "  {difference}")?;
        }
        if self.differences.len() > LISTED {
            writeln!(f, "  and {} more", self.differences.len() - LISTED)?;
        }
        for what in &self.unchecked {
            writeln!(f, "  not checked: {what}")?;
        }
        Ok(())
    }
}

/// Verifies one folder with `result.json` and `samples.jsonl`.
///
/// # Errors
/// [`Failure::Usage`] where there are no such files, or they are none.
pub fn verify(folder: &Path) -> Result<Verified, Failure> {
    let (result, samples) = (folder.join(RESULT), folder.join(SAMPLES));
    let bytes = read_limited(&result)?;
    verify_bytes(&result.display().to_string(), &bytes, &read_limited(&samples)?)
}

/// The same for what was read already; `shown` is what to call it.
///
/// # Errors
/// [`Failure::Usage`] where it is no record.
pub fn verify_bytes(shown: &str, result: &[u8], samples: &[u8]) -> Result<Verified, Failure> {
    let refused = |why: &str| Failure::Usage(format!("{shown}: {why}"));
    let file: Value = serde_json::from_slice(result).map_err(|error| refused(&format!("no JSON: {error}")))?;
    let version = file.get("version").or_else(|| file.get("header")?.get("version")).and_then(Value::as_u64);
    match version {
        Some(1) => version1::verify(&file, samples).map_err(|why| refused(&why)),
        Some(version) if version == u64::from(VERSION) => Ok(agree(&file, samples)),
        Some(version) => {
            Err(refused(&format!("version {version}, and this program knows 1 and {VERSION}; use a newer one")))
        }
        None => Err(refused("it has no version, so it is no record of this program")),
    }
}

fn agree(file: &Value, samples: &[u8]) -> Verified {
    let mut verified = Verified::default();
    let folded = Journal::parse(samples).and_then(|journal| fold(&journal));
    match folded.map(|record| (config_sha256(&record.header.config), record)) {
        Err(why) => verified.differences.push(why),
        Ok((config, record)) => {
            if config != record.header.config_sha256 {
                verified.differences.push("header.config is not what config_sha256 was computed from".to_owned());
            }
            match serde_json::to_value(&record) {
                Ok(expected) => compare("", file, &expected, &mut verified),
                Err(error) => verified.differences.push(error.to_string()),
            }
        }
    }
    verified
}

/// Walks both; `path` says where.
pub(super) fn compare(path: &str, file: &Value, expected: &Value, verified: &mut Verified) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (file, expected) {
        (Value::Object(file), Value::Object(expected)) => {
            for (name, expected) in expected {
                compare(&below(name), file.get(name).unwrap_or(&Value::Null), expected, verified);
            }
            for name in file.keys().filter(|name| !expected.contains_key(*name)) {
                verified.differences.push(format!("{} is no part of a record", below(name)));
            }
        }
        (Value::Array(file), Value::Array(expected)) if file.len() == expected.len() => {
            for (index, (file, expected)) in file.iter().zip(expected).enumerate() {
                compare(&format!("{path}[{index}]"), file, expected, verified);
            }
        }
        (Value::Number(a), Value::Number(b)) if close(a, b) => verified.agreed += 1,
        _ if file == expected => verified.agreed += 1,
        _ => {
            verified.differences.push(format!("{path}: the file says {}, its samples {}", short(file), short(expected)))
        }
    }
}

fn close(a: &serde_json::Number, b: &serde_json::Number) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else { return false };
    // Whole numbers are counts, and exact.
    (a.fract() != 0.0 || b.fract() != 0.0) && (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
