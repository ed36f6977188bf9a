//! `tensorguard verify`.

use super::options::print;
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::record::verify::verify;

const EXAMPLES: &str = "\
Examples:
  tensorguard verify results/2026-11-21-amd-epyc-2c-peers-ntt-avx512
  tensorguard verify results/*/

Every figure of result.json is computed again from samples.jsonl, and every other word is compared. A difference ends with
exit code 8. Whoever changes samples, figures and hash alike is not found out: that takes a signature.";

/// Computes every figure of recorded measurements again from their raw samples; fails if anything was edited.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// Folders with result.json and samples.jsonl.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut failed: Option<Failure> = None;
        for folder in &self.folders {
            let shown = folder.display();
            let failure = match verify(folder) {
                Ok(verified) => {
                    print(&format!("{shown}: {verified}"))?;
                    let why = format!("{shown}: the record is not what its samples give");
                    if verified.differences.is_empty() { continue } else { Failure::Wrong(why) }
                }
                Err(failure) => failure,
            };
            failed = Some(match failed {
                Some(first) => first.or(failure),
                None => failure,
            });
        }
        failed.map_or(Ok(()), Err)
    }
}
