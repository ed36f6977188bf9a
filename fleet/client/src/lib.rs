//! A robot: trains, encrypts its update once, signs it, keeps it until the server has all of it, and applies what the fleet
//! rolls out.
//!
//! What to do next is [`protocol::Robot`]'s word; here it is done. Who learns and what a package is are the caller's: see
//! [`Learner`].
#![forbid(unsafe_code)]

mod kept;
mod pipeline;
mod run;

pub use kept::{Keep, KeepError};
pub use link;
pub use pipeline::{Prepared, Sealed, Stage, Timing, prepare, seal};
pub use protocol;
pub use run::{Learner, Member, News, Verdict, run};
pub use trust;
