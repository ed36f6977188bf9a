//! What a fleet believes, and why: who signed, what a policy package holds, whether a candidate is better, how it spreads,
//! and the record of every decision.
//!
//! | Question | Module |
//! |---|---|
//! | who signed these bytes | [`identity`] |
//!
//! No clock, no file, no ambient randomness: whatever a function needs is a parameter.
#![forbid(unsafe_code)]

mod digest;
pub mod identity;
