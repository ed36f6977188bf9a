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
        let report = gpu::measure(if self.smoke { gpu::Effort::Smoke } else { gpu::Effort::Full })?;
        if self.json {
            print_json(&report)?;
        } else {
            print(&report.to_string())?;
        }
        if let Some(folder) = &self.out {
            let made = results::write_gpu(folder, &report)?;
            eprintln!("wrote {}", made.display());
        }
        Ok(())
    }
}
