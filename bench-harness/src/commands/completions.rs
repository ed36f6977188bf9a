//! `tensorguard completions`.

use clap::{Args, Command, CommandFactory};
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
        clap_complete::generate(self.shell, &mut shown(crate::Cli::command()), "tensorguard", &mut text);
        super::options::print(&String::from_utf8_lossy(&text))
    }
}

/// The command without what it only starts itself: clap would offer that too.
fn shown(whole: Command) -> Command {
    let commands: Vec<Command> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let args = whole.get_arguments().cloned();
    Command::new("tensorguard").args(args).subcommands(commands)
}
