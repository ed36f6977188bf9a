//! `tensorguard kat`.

use super::options::Compute;
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::kat;

const EXAMPLES: &str = "\
Examples:
  tensorguard kat --in requests.json --out answers.json
  tensorguard kat --in requests.json --out answers.json --backend reference

A requests file is tests/vectors/kat.json with the inputs alone: under any key a suite's n, primes, l, B, rho, a_seed, poly,
and clients with a seed each. Answers that are already in it are computed anew.

This is no encryption tool. It takes no messages: it encrypts one fixed rule, under seeds that everybody who has the file
knows, and writes digests. To encrypt, use the library.";

/// Known answers for given seeds, to compare other programs with this one. Takes no messages: no encryption tool.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Kat {
    /// The requests: JSON, at most 16 MiB.
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Where the answers go: a new file, or one to replace. Written whole or not at all.
    #[arg(long = "out", value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    compute: Compute,
}

impl Kat {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let backend = self.compute.open()?;
        for note in kat::run(&self.input, &self.output, backend.as_ref())? {
            eprintln!("note: {note}");
        }
        eprintln!("wrote {}, computed by {}", self.output.display(), backend.name());
        Ok(())
    }
}
