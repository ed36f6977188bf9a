//! The key holder: checks who signed, opens the mean of a round, at most once, and hands it to whoever judges and rolls out.
//!
//! What to do next is [`protocol::Holder`]'s word; here it is done. A mean is kept in a file before the server is told that it
//! is open, and removed when its round is over; a crash in between costs the attempt, never a second answer. What becomes of a
//! mean is the caller's: see [`Deployer`].
#![forbid(unsafe_code)]

mod means;
mod open;
mod run;

pub use link;
pub use means::{Means, MeansError, Opened};
pub use open::Custody;
pub use protocol;
pub use run::{Deployer, Deploying, Move, News, Verdict, run};
