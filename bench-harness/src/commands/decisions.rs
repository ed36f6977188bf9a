//! `tensorguard decisions`.

use super::options::print;
use clap::Args;
use folding::lwe::Head;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::decisions::{page, parse_head, read};

const EXAMPLES: &str = "\
Examples:
  tensorguard decisions holder
  tensorguard decisions holder --anchor 12:1f0c...    is it the log of which I kept this head?

Works while the key holder does. An edited, removed or moved record is found, and so is a log cut off at its end. A whole folder
put back from an older copy is found by a head that was kept elsewhere: the last line says the head.";

/// What a key holder decided: thresholds, verdicts, canaries, promotions, roll-backs. Checks the log, and tells it in words.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Decisions {
    /// The key holder's folder.
    folder: PathBuf,
    /// A head that was printed earlier: the log must still lead through it.
    #[arg(long, value_name = "HEAD", value_parser = parse_head)]
    anchor: Option<Head>,
}

impl Decisions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        print(&page(&read(&self.folder, self.anchor)?))
    }
}
