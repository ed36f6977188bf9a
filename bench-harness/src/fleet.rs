//! A fleet's parties as processes: what each has in its folder, and how each is run. The protocol itself is in `fleet/`.

pub mod arms;
pub mod charter;
pub mod decisions;
pub mod demo;
pub mod files;
pub mod folders;
pub mod holder;
mod outcasts;
mod publisher;
pub mod robot;
pub(crate) mod scene;
pub mod server;
mod witness;

use crate::failure::Failure;
use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// How long a party waits for the server to have something to say, or for a lost link to come back.
pub const REST: Duration = Duration::from_secs(2);

/// What a server says before its address.
pub(crate) const LISTENING: &str = "listening on ";

pub(crate) fn failed(what: impl Display) -> Failure {
    Failure::Internal(what.to_string())
}

/// One line for whoever watches, at once: another process may be reading it.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // A reader that went away is no reason to stop a fleet.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
