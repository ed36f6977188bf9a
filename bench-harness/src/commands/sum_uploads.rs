//! `tensorguard sum-uploads`, which `compare-peers` starts.

use super::options::print_json;
use clap::Args;
use kernels::cpu::Cpu;
use tensorguard::failure::Failure;
use tensorguard::memory;

/// The server of `compare-peers --filter round`: adds uploads from standard input and says what memory that took.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct SumUploads {
    /// Values of an update.
    #[arg(long)]
    values: usize,
}

impl SumUploads {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print_json(&memory::serve(&Cpu::best(1), self.values, &mut std::io::stdin().lock())?)
    }
}
