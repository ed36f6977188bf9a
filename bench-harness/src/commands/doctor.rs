//! `tensorguard doctor`.

use super::options::{print, print_json};
use clap::Args;
use tensorguard::doctor;
use tensorguard::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  tensorguard doctor
  tensorguard doctor --adapter llvmpipe     which adapter that would be, and why the others are left
  tensorguard doctor --json";

/// What this machine offers: processor, engines and tools, and why what is absent is absent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let findings = doctor::examine();
        if self.json { print_json(&findings) } else { print(&findings.to_string()) }
    }
}
