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
    let failed = |error| Failure::Usage(format!("cannot read {}: {error}; see --in", path.display()));
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        let path = path.display();
        return Err(Failure::Usage(format!("{path} has more than {MOST_BYTES} bytes: ask in several files")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;
    use kernels::cpu::Cpu;
    use kernels::reference::Reference;

    /// Any of these, good and bad ones.
    fn odd_request(random: &mut Random) -> String {
        let mut pick = |choices: &[u64]| choices[random.below(choices.len())];
        let n = pick(&[256, 256, 256, 512, 0, 255, 65536]);
        let primes = [7681, 7681, 12289, 4_169_729, 1_070_727_169, 1_073_479_681, 0, 4_294_967_295];
        let primes: Vec<u64> = (0..pick(&[1, 1, 2, 2, 2, 3])).map(|_| pick(&primes)).collect();
        let l = pick(&[1, 2, 8, 12, 21, 22, 31, 32, 33, 50, 55, 57, 0, 64]);
        let base = pick(&[2, 3, 100, 101, 1501, 25501, u64::from(u32::MAX), 1 << 32, 0, (1 << 32) + 1]);
        let (rho, poly) = (pick(&[1, 1, 2, 3, 7, 50, 0]), pick(&[0, 5, u64::from(u32::MAX)]));
        let seeds: Vec<String> = (0..pick(&[0, 1, 2, 3])).map(|i| format!(r#"{{"seed": "{i:064x}"}}"#)).collect();
        format!(
            r#"{{"odd": {{"n": {n}, "primes": {primes:?}, "l": {l}, "B": {base}, "rho": {rho}, "a_seed": "{poly:064x}", "poly": {poly}, "clients": [{}]}}}}"#,
            seeds.join(", ")
        )
    }

    #[test]
    fn odd_requests_are_refused_or_answered_alike_by_the_definition() {
        let (mut random, engine, mut answered) = (Random(3), Cpu::best(1), 0);
        for _ in 0..4000 {
            let text = odd_request(&mut random);
            match read(text.as_bytes()) {
                Ok(requests) => {
                    answered += 1;
                    assert_eq!(solve(&requests[0], &engine), solve(&requests[0], &Reference), "{text}");
                    assert!(solve(&requests[0], &engine).is_ok(), "{text}");
                }
                Err(failure) => assert!(failure.to_string().contains("must be"), "{failure}"),
            }
        }
        assert!(answered > 50, "{answered}");
    }

    #[test]
    fn no_damaged_file_makes_the_reader_panic() {
        let whole = include_bytes!("../../tests/vectors/kat.json");
        let mut random = Random(4);
        for _ in 0..300 {
            let mut bytes = whole.to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, *b"9")),
                }
            }
            if let Err(failure) = read(&bytes) {
                assert_eq!(failure.code(), 2, "{failure}");
            }
        }
    }
}
