//! Computes every figure of a record again from its samples, and says where the file differs.

use super::fold::{Journal, fold};
use super::journal::{self, RESULT, SAMPLES, SUMMARY, read_limited};
use super::{Record, VERSION, config_sha256, sha256, version1};
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

/// An entry's name and its files.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The folder's name, which is the record's id.
    pub id: &'a str,
    /// [`RESULT`].
    pub result: &'a [u8],
    /// [`SAMPLES`].
    pub samples: &'a [u8],
    /// [`SUMMARY`], where it is there.
    pub summary: Option<&'a [u8]>,
}

/// Verifies one folder with `result.json`, `samples.jsonl` and `summary.md`.
///
/// # Errors
/// [`Failure::Usage`] where there are no such files, or they are none.
pub fn verify(folder: &Path) -> Result<Verified, Failure> {
    let path = folder.join(RESULT);
    let (result, samples) = (read_limited(&path)?, read_limited(&folder.join(SAMPLES))?);
    let summary = folder.join(SUMMARY);
    let summary = if summary.exists() { Some(read_limited(&summary)?) } else { None };
    let real = std::fs::canonicalize(folder).unwrap_or(folder.to_owned());
    let id = real.file_name().unwrap_or_default().to_string_lossy();
    let files = Files { id: &id, result: &result, samples: &samples, summary: summary.as_deref() };
    verify_files(&path.display().to_string(), files)
}

/// The same for what was read already; `shown` is what to call it.
///
/// # Errors
/// [`Failure::Usage`] where it is no record.
pub fn verify_files(shown: &str, files: Files<'_>) -> Result<Verified, Failure> {
    let refused = |why: &str| Failure::Usage(format!("{shown}: {why}"));
    let file: Value = serde_json::from_slice(files.result).map_err(|error| refused(&format!("no JSON: {error}")))?;
    let version = file.get("version").or_else(|| file.get("header")?.get("version")).and_then(Value::as_u64);
    match version {
        Some(1) => version1::verify(&file, files.samples).map_err(|why| refused(&why)),
        Some(version) if version == u64::from(VERSION) => Ok(agree(&file, files)),
        Some(version) => {
            Err(refused(&format!("version {version}, and this program knows 1 and {VERSION}; use a newer one")))
        }
        None => Err(refused("it has no version, so it is no record of this program")),
    }
}

fn agree(file: &Value, files: Files<'_>) -> Verified {
    let mut verified = Verified::default();
    match Journal::parse(files.samples).and_then(|journal| fold(&journal)) {
        Err(why) => verified.differences.push(why),
        Ok(mut record) => {
            if config_sha256(&record.header.config) != record.header.config_sha256 {
                verified.differences.push("header.config is not what config_sha256 was computed from".to_owned());
            }
            let is_old = file.get("summary_sha256").is_none();
            let id = &record.header.id;
            if files.id != id && !(is_old && is_numbered(files.id, id)) {
                verified.differences.push(format!("the folder is called {}, and its record {id}", files.id));
            }
            // A crash leaves an unfinished line, but not behind the last one.
            if record.footer.is_some() && files.samples.last() != Some(&b'\n') {
                verified.differences.push(format!("{SAMPLES} goes on behind its last line"));
            }
            page(file, files.summary, &mut record, &mut verified);
            match serde_json::to_value(&record) {
                Ok(expected) => compare("", file, &expected, &mut verified),
                Err(error) => verified.differences.push(error.to_string()),
            }
            if verified.differences.is_empty() && !is_written_so(&record, files.result) {
                verified.differences.push(format!("{RESULT} is written otherwise than this program writes it"));
            }
        }
    }
    verified
}

/// Whether a folder is called as its record and a number. Some of before the page's digest are: they were made in two checkouts on
/// one day and brought together.
fn is_numbered(folder: &str, id: &str) -> bool {
    let number = folder.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The page is no figure that could be computed again, because what it shows besides is not all in the journal: so its digest is
/// compared.
fn page(file: &Value, summary: Option<&[u8]>, record: &mut Record, verified: &mut Verified) {
    match (file.get("summary_sha256").is_some(), summary) {
        (true, Some(summary)) => record.summary_sha256 = Some(sha256(summary)),
        (true, None) => verified.differences.push(format!("{SUMMARY} is not there")),
        (false, _) => verified.unchecked.push(format!("{SUMMARY}: the record is older than its digest")),
    }
}

/// Whether the file is the record's text, but for the last digits of numbers: nothing is there twice or left out, which a reader
/// of JSON would not tell.
fn is_written_so(record: &Record, file: &[u8]) -> bool {
    let (Ok(expected), Ok(file)) = (journal::text(record), std::str::from_utf8(file)) else { return false };
    // One value stands in a line; numbers were compared already.
    let number = |line: &str| {
        let end = line.trim_end_matches(',').len();
        let begin = line[..end].rfind(' ').map_or(0, |space| space + 1);
        line[begin..end].parse::<f64>().is_ok().then_some((begin, end))
    };
    let same = |(a, b): (&str, &str)| match (number(a), number(b)) {
        (Some((begin_a, end_a)), Some((begin_b, end_b))) => a[..begin_a] == b[..begin_b] && a[end_a..] == b[end_b..],
        _ => a == b,
    };
    let (lines, wanted) = (file.split('\n'), expected.split('\n'));
    lines.clone().count() == wanted.clone().count() && lines.zip(wanted).all(same)
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
