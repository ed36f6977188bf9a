//! `tensorguard gpu`.

use super::options::{print, print_json};
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::{gpu, results};

const EXAMPLES: &str = "\
Examples:
  tensorguard gpu
  tensorguard gpu --out results";

/// The CUDA device: what it can do at best, every kernel against that, and whole jobs with transfers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gpu {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Small sizes, a few repetitions: a check that it works, not a measurement.
    #[arg(long)]
    smoke: bool,
    /// Folder in which a new folder <date>-<device>-gpu is made for samples, result and summary.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

impl Gpu {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let opened = gpu::Opened::new(if self.smoke { gpu::Effort::Smoke } else { gpu::Effort::Full })?;
        // Begun before anything is measured: what cannot be kept is told at once.
        let mut journal = self.out.as_ref().map(|folder| results::begin_gpu(folder, &opened)).transpose()?;
        let report = opened.measure(&mut |row| match &mut journal {
            Some(journal) => results::gpu_row(journal, "", row),
            None => Ok(()),
        })?;
        if self.json {
            print_json(&report)?;
        } else {
            print(&report.to_string())?;
        }
        if let Some(journal) = journal {
            let (made, _) = journal.finish(|_| report.to_string())?;
            eprintln!("wrote {}", made.display());
        }
        Ok(())
    }
}
