//! `tensorguard compare`.

use super::options::{print, print_json};
use clap::Args;
use std::path::PathBuf;
use tensorguard::baselines::read;
use tensorguard::decision::{Terms, sequential};
use tensorguard::failure::Failure;
use tensorguard::matrix::against;
use tensorguard::record::verify::verify;

const EXAMPLES: &str = "\
Examples:
  tensorguard compare results/<old> results/<new>
  tensorguard compare results/<old> results/<new> --delta 0.05 --json

Both must come from the same machine and kernel, engine, command, configuration and corpus, or the exit code is 6. The machine
may have changed between the two, so only ours against a peer of the same run can fail. What by itself looks slower is
INCONCLUSIVE: `tensorguard ab` lets two builds take turns, and sees more. Two runs of the matrix
are compared by the totals of their cells; one that improves nothing any more fails.

Exit codes: 0 pass, 3 slower beside a peer, more bytes or no improvement, 5 inconclusive, 6 not comparable, 8 a record was changed.";

/// Two recorded measurements: what became slower, with intervals.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Compare {
    /// The folder of the earlier one.
    old: PathBuf,
    /// The folder of the later one.
    new: PathBuf,
    /// The slowdown that matters: 0.02 is 2 %.
    #[arg(long, default_value_t = Terms::default().delta)]
    delta: f64,
    /// Print the decision as JSON.
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let terms = Terms { delta: self.delta, ..Terms::default() };
        terms.check()?;
        for folder in [&self.old, &self.new] {
            if !verify(folder)?.differences.is_empty() {
                let why = format!("{}: the record is not what its samples give", folder.display());
                return Err(Failure::Wrong(why));
            }
        }
        let (old, new) = (read(&self.old)?, read(&self.new)?);
        if !(old.matrix.is_empty() && new.matrix.is_empty()) {
            let changes = against::compare(&old, &new, self.delta)?;
            if self.json {
                print_json(&changes)?
            } else {
                print(&changes.to_string())?
            }
            return changes.verdict();
        }
        let decision = sequential::compare(&old, &new, &terms)?;
        if self.json {
            print_json(&decision)?
        } else {
            print(&decision.to_string())?
        }
        decision.verdict()
    }
}
