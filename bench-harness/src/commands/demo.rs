//! `tensorguard demo`.

use clap::Args;
use tensorguard::failure::Failure;
use tensorguard::fleet::demo::{Show, run};

const EXAMPLES: &str = "\
Examples:
  tensorguard demo
  tensorguard demo --robots 5 --values 250000 --rounds 1

Everything is real but the updates, which are synthetic: keys, certificates, TLS, encryption, sums, signatures. In the first
round the server is killed while robots upload, and goes on where it was.";

/// A whole fleet on this machine, each party a process, shown at work step by step; its means are checked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Robots.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=200))]
    robots: u16,
    /// Values in an update.
    #[arg(long, default_value_t = 25_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    values: u64,
    /// Rounds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        run(Show { robots: self.robots.into(), values: self.values, rounds: self.rounds })
    }
}
