//! Ctrl-C asks a measurement to stop after the sample it is at, so that what there is can be kept.

use crate::failure::Failure;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the reason begins for which something was not measured after Ctrl-C. A journal with such a reason is one to go on with.
pub const MISSING: &str = "Ctrl-C came before it";

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C only asks; asked a second time, the process ends at once.
///
/// # Errors
/// [`Failure::Internal`] where the system refuses.
pub fn listen() -> Result<(), Failure> {
    let heard = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    heard.map_err(|error| Failure::Internal(format!("cannot listen to Ctrl-C: {error}")))
}

/// Puts a program into a group of its own: Ctrl-C is for its owner, who saves what there is and then ends it.
pub fn apart(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(not(unix))]
    let _ = command;
}

/// Whether it was asked.
#[must_use]
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// What to end with where samples are kept in a folder: how to go on.
#[must_use]
pub fn resumable(folder: &Path) -> Failure {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (shown, command) = (folder.display(), command(&args, folder));
    Failure::Interrupted(format!("samples are in {shown}; to go on: {command}"))
}

/// Says how to go on, where a failure is an interruption.
#[must_use]
pub fn going_on(failure: Failure, folder: &Path) -> Failure {
    if matches!(failure, Failure::Interrupted(_)) { resumable(folder) } else { failure }
}

/// The command that goes on, as a shell reads it.
fn command(args: &[String], folder: &Path) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word {
            word if word == "--resume" => drop(words.next()),
            word if word.starts_with("--resume=") => {}
            word => kept.push(quoted(word)),
        }
    }
    // Without a command it was the first look.
    if kept.is_empty() {
        kept.push("run".to_owned());
    }
    format!("tensorguard {} --resume {}", kept.join(" "), quoted(&folder.to_string_lossy()))
}

/// A word with everything in quotes that some shell might read otherwise.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    // An equals sign in front means something to zsh.
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('=') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_can_be_pasted() {
        let args = ["ab", "--filter", "", "--terms", "a b;c", "--resume", "old", "it's", "~x", "stage==add && n>1"];
        let args = args.map(str::to_owned);
        let said = command(&args, Path::new("a folder/x"));
        let expected =
            "tensorguard ab --filter '' --terms 'a b;c' 'it'\\''s' '~x' 'stage==add && n>1' --resume 'a folder/x'";
        assert_eq!(said, expected);
    }
}
