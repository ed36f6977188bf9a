//! `tensorguard compare-peers`.

use super::options::{Engine, print};
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::{compare, end_to_end, interrupt};

const EXAMPLES: &str = "\
Examples:
  tensorguard compare-peers                               everything there is to compare with
  tensorguard compare-peers --filter ntt --json           one JSON row per line
  tensorguard compare-peers --filter ntt --isa cpu-avx2   both sides with AVX2 only
  tensorguard compare-peers --out results                 keep samples, result and summary in a new folder there
  tensorguard compare-peers --out results --resume results/<id>   go on after Ctrl-C
  tensorguard compare-peers --filter ntt --smoke          a few pairs of one size: does it work at all?
  tensorguard compare-peers --filter plonky3              one peer; it is built first, which takes a minute
  tensorguard compare-peers --install-peers               fetch the peers that are Python packages; nothing is measured
  tensorguard compare-peers --install-peers --filter seal the same for one of them
  tensorguard compare-peers --filter round                whole rounds: times, sizes, errors, memory
  tensorguard compare-peers --filter 'round-add'          one step of them, against everybody

A ratio is their time over ours: above 1, ours is faster. The interval holds it in 95 of 100 resamplings. A peer that cannot be
built or is not installed is a row that says so, and no failure.";

/// Ours against others' in one run, taking turns. Builds the others first: needs cargo and the source checkout.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ComparePeers {
    /// Only rows whose peer or kernel contains this, in any case; `ntt` means all transforms, `round` all rounds.
    #[arg(long, default_value = "")]
    filter: String,
    #[command(flatten)]
    engine: Engine,
    /// Print one JSON object per line: ratios, then sizes and errors of rounds, then peers that are absent, with the reason.
    #[arg(long)]
    json: bool,
    /// Three pairs, n = 1024 only: a check that it works, not a measurement.
    #[arg(long)]
    smoke: bool,
    /// Folder in which a new folder <date>-<machine>-<what> is made for samples, result and summary.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Go on with an interrupted run: its folder.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
    /// Only fetch the selected peers that are Python packages (TenSEAL with SEAL, OpenFHE, Flower), from PyPI into
    /// bench-harness/peers/target.
    #[arg(long)]
    install_peers: bool,
}

impl ComparePeers {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.install_peers {
            return end_to_end::install(&self.filter);
        }
        let effort = if self.smoke { compare::Effort::Smoke } else { compare::Effort::Full };
        interrupt::listen()?;
        let (out, resume) = (self.out.as_deref(), self.resume.as_deref());
        let (comparison, kept) = compare::compare(&self.engine.cpu(1)?, &self.filter, effort, out, resume)?;
        if self.json {
            print(&comparison.json_lines()?)?;
        } else {
            print(&comparison.to_string())?;
        }
        let made = kept.finish(&comparison)?;
        if let Some(made) = &made {
            eprintln!("wrote {}", made.display());
        }
        if comparison.is_cut_off() {
            let lost = || Failure::Interrupted("the rest is missing; with --out it could be gone on with".to_owned());
            return Err(made.map_or_else(lost, |made| interrupt::resumable(&made)));
        }
        comparison.verdict()
    }
}
