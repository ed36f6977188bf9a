//! `tensorguard bundle`.

use super::options::print;
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::record::bundle;

const EXAMPLES: &str = "\
Examples:
  tensorguard bundle tensorguard-results/2026-11-21-amd-epyc-2c-validate --out board.tar
  tensorguard bundle results/*-validate --out board.tar
  tensorguard verify board.tar                          what the receiver does

The file is a plain tar: a manifest with SHA-256s, then each entry's result, raw samples and summary, with the environment and
all digests in them. Each entry is verified before it is packed.";

/// Packs entries of results into the one file to send, which `tensorguard verify` checks byte by byte.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bundle {
    /// Folders with result.json, samples.jsonl and summary.md.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Bundle {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let what = bundle::write(&self.folders, &self.out)?;
        print(&format!("{}: {what}\n", self.out.display()))
    }
}
