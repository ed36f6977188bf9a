//! `tensorguard verify`.

use super::options::print;
use clap::Args;
use std::path::{Path, PathBuf};
use tensorguard::failure::Failure;
use tensorguard::record::bundle;
use tensorguard::record::verify::{Verified, verify};

const EXAMPLES: &str = "\
Examples:
  tensorguard verify results/2026-11-21-amd-epyc-2c-peers-ntt-avx512
  tensorguard verify results/*/
  tensorguard verify board.tar                          a bundle that somebody sent

Every figure of result.json is computed again from samples.jsonl, and every other word is compared; summary.md by its digest,
and the folder's name with the record's. A difference ends with exit code 8. Whoever changes samples, figures and hash alike is not found out: that takes a signature.";

/// Computes every figure of recorded measurements again from their raw samples; fails if anything was edited.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// Folders with result.json and samples.jsonl; or files that `tensorguard bundle` made.
    #[arg(required = true, value_name = "FOLDER|FILE")]
    paths: Vec<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut failed: Option<Failure> = None;
        let mut fail = |failure: Failure| {
            failed = Some(match failed.take() {
                Some(first) => first.or(failure),
                None => failure,
            });
        };
        for path in &self.paths {
            match entries(path) {
                Err(failure) => fail(failure),
                Ok(entries) => {
                    for (shown, verified) in entries {
                        print(&format!("{shown}: {verified}"))?;
                        if !verified.differences.is_empty() {
                            fail(Failure::Wrong(format!("{shown}: the record is not what its samples give")));
                        }
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// What a folder or a bundle holds, verified.
fn entries(path: &Path) -> Result<Vec<(String, Verified)>, Failure> {
    let shown = path.display();
    if path.is_dir() {
        return Ok(vec![(shown.to_string(), verify(path)?)]);
    }
    let entries = bundle::verify(path)?;
    Ok(entries.into_iter().map(|(id, verified)| (format!("{shown}: {id}"), verified)).collect())
}
