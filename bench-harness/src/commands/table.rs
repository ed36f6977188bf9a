//! `tensorguard table`.

use super::options::{Engine, print, print_json};
use clap::Args;
use tensorguard::failure::Failure;
use tensorguard::table;

const EXAMPLES: &str = "\
Examples:
  tensorguard table                             each kernel's throughput beside its limit
  tensorguard table --isa cpu-avx2              for one instruction set
  tensorguard table --threads 2 --json";

/// Each kernel's throughput on this machine beside its limit, on one screen, in about twenty seconds.
///
/// Outputs are compared with the reference before a time counts.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Table {
    #[command(flatten)]
    engine: Engine,
    /// Threads; CPU time is measured for one, elapsed time for more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Table {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let table = table::measure(&self.engine.cpu(self.threads.into())?)?;
        if self.json { print_json(&table) } else { print(&table.to_string()) }
    }
}
