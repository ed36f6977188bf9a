//! What a fleet's parties say to each other, and what each does next: no clock, no socket, no file.
//!
//! Three machines, each a fold over what it is told. [`Rounds`] is the aggregator's: it [`decide`](Rounds::decide)s what a request
//! changes, as [`Event`]s that its shell makes durable before it [`apply`](Rounds::apply)s them and answers. [`Robot`] and
//! [`Holder`] each say their next step. Time is a parameter; so a simulation runs all of them, with lost messages and crashes,
//! in any order it likes.
//!
//! Everything from outside is bounded before it is looked at: a message by [`MOST_MESSAGE_LEN`], an upload by the terms of its
//! round, chunk by chunk, against the hashes that its robot signed.
#![forbid(unsafe_code)]

mod coding;
mod event;
mod holder;
mod intake;
mod journal;
mod message;
mod robot;
mod rounds;
mod terms;

pub use coding::{Id, NotUnderstood, decode, encode};
pub use event::{Attempted, Event};
pub use folding;
pub use holder::{Holder, HolderInput, HolderStep};
pub use intake::{Intake, NotTheChunk};
pub use journal::{Chain, Front, front, record};
pub use message::{
    Answer, Audience, Health, MOST_MESSAGE_LEN, MOST_PACKAGE_LEN, Offer, PAGE, Peer, Question, Refused, Reply, Request,
    Signed, Work,
};
pub use robot::{Kept, Pins, Robot, RobotInput, RobotStep};
pub use rounds::{Plan, Rounds, Summing};
pub use terms::{MOST_UPLOAD_LEN, Terms, TermsError};

/// Milliseconds since some moment that one party chose for itself. Never compared with another party's.
pub type Millis = u64;
