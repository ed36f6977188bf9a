//! `tensorguard server`.

use super::options::Compute;
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::server::{Operation, run};

const EXAMPLES: &str = "\
Examples:
  tensorguard server --folder server --robots 20 --listen 0.0.0.0:7600
  tensorguard server --folder server --robots 100 --quorum 80 --open-s 600 --rounds 50

`tensorguard authority` makes the folder. Killed at any moment and started again with the same options, it goes on where it
was: what it needs is in the folder `state`.";

/// The fleet's aggregator: takes encrypted updates, adds them, relays packages. It holds no key and can read no update.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Server {
    /// The server's folder.
    #[arg(long)]
    folder: PathBuf,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:7600")]
    listen: String,
    /// The most robots in a round.
    #[arg(long)]
    robots: u64,
    /// With so many uploads a round closes at once; all robots if not given.
    #[arg(long)]
    quorum: Option<u64>,
    /// Seconds that uploads are taken.
    #[arg(long, default_value_t = 600)]
    open_s: u64,
    /// Attempts at a round before it is given up.
    #[arg(long, default_value_t = 3)]
    attempts: u32,
    /// Rounds.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// The most robots that may enrol.
    #[arg(long, default_value_t = 10_000)]
    most_robots: usize,
    #[command(flatten)]
    compute: Compute,
}

impl Server {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let operation = Operation {
            planned: self.robots,
            quorum: self.quorum.unwrap_or(self.robots),
            open_ms: self.open_s.saturating_mul(1000),
            attempts: self.attempts,
            rounds: self.rounds,
            most_robots: self.most_robots.min(10_000),
        };
        run(&self.folder, &self.listen, operation, self.compute.open()?)
    }
}
