//! `tensorguard kat`: deterministic answers for given seeds, so that others can compare their programs with ours.
//!
//! A requests file is tests/vectors/kat.json with the inputs alone; the answers file has every field of it, and
//! `digits_sha256`. **No tool to encrypt with**: it takes no message, only the fixed rule of the known answers, and writes
//! digests. Seeds in it are public by being in it.

mod json;
mod request;
mod solve;
mod unravel;

use crate::failure::Failure;
use crate::whole_file::Target;
use kernels::Backend;
pub use request::{MOST_BYTES, Request, Seed, Unfit, read};
use serde::Serializer;
pub use solve::{Answer, ClientAnswer, Solved, solve};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// Reads requests, asks the backend, and writes the answers: all of them, or no file. Returns notes for the reader.
///
/// # Errors
/// [`Failure`] says which file or field is wrong and what would be right.
pub fn run(input: &Path, output: &Path, backend: &dyn Backend) -> Result<Vec<String>, Failure> {
    let target = Target::new(output, &[input])?;
    let bytes = bounded(input)?;
    let named = |failure| match failure {
        Failure::Usage(why) => Failure::Usage(format!("{}: {why}", input.display())),
        other => other,
    };
    let requests = read(&bytes).map_err(named)?;
    let (mut answers, mut notes) = (Vec::new(), Vec::new());
    for request in &requests {
        let Solved { answer, note } = solve(request, backend)?;
        answers.push((&request.name, answer));
        notes.extend(note);
    }
    target.write(|file| {
        let mut out = BufWriter::new(file);
        let mut json = serde_json::Serializer::pretty(&mut out);
        json.collect_map(answers.iter().map(|(name, answer)| (name, answer)))?;
        out.write_all(b"\n")?;
        out.flush()
    })?;
    Ok(notes)
}

fn bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| Failure::Internal(format!("cannot read {}: {error}; see --in", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        let path = path.display();
        return Err(Failure::Usage(format!("{path} has more than {MOST_BYTES} bytes: ask in several files")));
    }
    Ok(bytes)
}
