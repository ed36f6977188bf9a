//! `tensorguard baseline`.

use super::options::print;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use tensorguard::baselines::Baselines;
use tensorguard::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  tensorguard baseline list
  tensorguard baseline promote results/2026-11-21-amd-epyc-2c-peers-ntt-avx512

A baseline is kept for each machine, engine, command, configuration and corpus, in results/baselines.json. Nothing but this
command changes it.";

/// The measurements that new ones are held against: list them, or promote one by hand.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Baseline {
    #[command(subcommand)]
    what: What,
    /// The folder of recorded measurements.
    #[arg(long, value_name = "FOLDER", default_value = "results", global = true)]
    results: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists them.
    List,
    /// Makes an entry of the results folder the baseline of its machine and configuration.
    Promote {
        /// The entry's folder.
        folder: PathBuf,
    },
}

impl Baseline {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut baselines = Baselines::load(&self.results)?;
        match &self.what {
            What::List => {
                let lines: String = baselines.iter().map(|(key, id)| format!("{id}  for {key}\n")).collect();
                print(if lines.is_empty() { "none was promoted yet\n" } else { &lines })
            }
            What::Promote { folder } => {
                let (key, replaced) = baselines.promote(&self.results, folder)?;
                let replaced = replaced.map_or(String::new(), |id| format!(", instead of {id}"));
                print(&format!("{} is the baseline for {key}{replaced}\n", folder.display()))
            }
        }
    }
}
