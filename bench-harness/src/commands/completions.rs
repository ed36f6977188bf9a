//! `tensorguard completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use tensorguard::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  source <(tensorguard completions bash)
  tensorguard completions zsh > ~/.zfunc/_tensorguard
  tensorguard completions fish > ~/.config/fish/completions/tensorguard.fish";

/// Prints what lets a shell complete this command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "tensorguard", &mut text);
        super::options::print(&String::from_utf8_lossy(&text))
    }
}
