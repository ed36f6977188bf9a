//! `tensorguard round-memory`, which `compare-peers` starts.

use super::options::print_json;
use clap::Args;
use kernels::cpu::Cpu;
use tensorguard::failure::Failure;
use tensorguard::memory;

/// One whole round in a process of its own: says what memory it took.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct RoundMemory {
    /// Values of an update.
    #[arg(long)]
    values: usize,
}

impl RoundMemory {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print_json(&memory::run_a_round(&Cpu::best(1), self.values)?)
    }
}
