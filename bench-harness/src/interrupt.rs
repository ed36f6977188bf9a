//! Ctrl-C asks a measurement to stop after the sample it is at, so that what there is can be kept.

use crate::failure::Failure;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Whether it was asked.
#[must_use]
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// What to end with where samples are kept in a folder: how to go on.
#[must_use]
pub fn resumable(folder: &Path) -> Failure {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut kept: Vec<String> = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word {
            word if word == "--resume" => drop(words.next()),
            word if word.starts_with("--resume=") => {}
            // As a shell reads it.
            word if word.contains([' ', '&', '<', '>', '|', '*', '\'', '"', '$']) => {
                kept.push(format!("'{}'", word.replace('\'', "'\\''")));
            }
            word => kept.push(word.clone()),
        }
    }
    // Without a command it was the first look.
    if kept.is_empty() {
        kept.push("run".to_owned());
    }
    let (folder, kept) = (folder.display(), kept.join(" "));
    Failure::Interrupted(format!("samples are in {folder}; to go on: tensorguard {kept} --resume {folder}"))
}
