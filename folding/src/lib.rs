//! TensorGuard's front door: floats to wire bytes to a sum to the mean.
//!
//! A [`Round`] is what all parties agree on. A robot [`encrypt`](Round::encrypt)s its [`Update`]; the server
//! [`take`](Round::take)s uploads into a [`Sum`](lwe::Sum) without any key; the key holder [`open`](Round::open)s the [`Mean`], once,
//! for enough robots whose manifests it has verified. `examples/round.rs` is the whole of it.
#![forbid(unsafe_code)]

mod explain;
mod lanes;
mod round;

pub use explain::Explanation;
pub use half::{bf16, f16};
pub use lanes::{Floats, Grid, OutOfRange};
pub use lwe;
pub use round::{EncryptError, Mean, Question, Round, RoundError, RoundTerms, TakeError, Update, Weighting};
