//! `tensorguard gpu`.

use super::options::{print, print_json};
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::gpu;
use tensorguard::results::GpuRun;

const EXAMPLES: &str = "\
Examples:
  tensorguard gpu
  tensorguard gpu --out results";

/// The CUDA device: what it can do at best, every kernel against that, and whole jobs with and without transfers.
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
    /// What was run before, to be kept with the figures: lines of a name, `ok`, `failed` or `not run`, and words, with tabs between.
    #[arg(long, value_name = "FILE", requires = "out")]
    checks: Option<PathBuf>,
}

impl Gpu {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let opened = gpu::Opened::new(if self.smoke { gpu::Effort::Smoke } else { gpu::Effort::Full })?;
        let checks = match &self.checks {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?,
            None => String::new(),
        };
        // Begun before anything is measured: what cannot be kept is told at once.
        let mut run = self.out.as_ref().map(|folder| GpuRun::begin(folder, &opened, &checks)).transpose()?;
        let report = opened.measure(&mut |row| match &mut run {
            Some(run) => run.row(row),
            None => Ok(()),
        })?;
        if self.json {
            print_json(&report)?;
        } else {
            print(&report.to_string())?;
        }
        if let Some(run) = run {
            eprintln!("wrote {}", run.finish(&report)?.display());
        }
        Ok(())
    }
}
