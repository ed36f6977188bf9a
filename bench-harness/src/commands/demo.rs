//! `tensorguard demo`.

use clap::Args;
use tensorguard::failure::Failure;
use tensorguard::fleet::demo::{Show, Updates, run};
use workload::{Config, Size, Task};

const EXAMPLES: &str = "\
Examples:
  tensorguard demo
  tensorguard demo --robots 5 --rounds 3
  tensorguard demo --synthetic 250000 --rounds 1

Robot arms train, encrypt and upload; the key holder opens the mean, tries it on arms that never trained, and rolls out what
the gate lets pass. All of it is real: training, keys, certificates, TLS, sums, signatures. In the first round the server is
killed while robots upload, and goes on where it was. With --synthetic nobody trains and no gate judges.";

/// A whole fleet on this machine, each party a process, shown at work step by step; its means are checked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {
    /// Robots.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=200))]
    robots: u16,
    /// Updates of so many made-up values instead of learned ones.
    #[arg(long, value_name = "VALUES", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    synthetic: Option<u64>,
    /// Rounds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let arms = Updates::Arms(Config::of(Task::Imitation, Size::Kb10, 7));
        let updates = self.synthetic.map_or(arms, Updates::Synthetic);
        run(Show { robots: self.robots.into(), updates, rounds: self.rounds })
    }
}
