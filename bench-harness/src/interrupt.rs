//! Ctrl-C asks a measurement to stop after the sample it is at, so that what there is can be kept.

use crate::failure::Failure;
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
