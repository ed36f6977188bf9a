//! What a fleet believes, and why: who signed, what a policy package holds, whether a candidate is better, how it spreads,
//! and the record of every decision.
//!
//! | Question | Module |
//! |---|---|
//! | who signed these bytes | [`identity`] |
//! | what a robot installs, and where it comes from | [`package`] |
//! | whether a candidate may be deployed | [`gate`] |
//! | how it spreads, and goes back where it does harm | [`rollout`] |
//! | what was decided, and why | [`decisions`] |
//!
//! No clock, no file, no ambient randomness: whatever a function needs is a parameter.
#![forbid(unsafe_code)]

mod canonical;
pub mod decisions;
mod digest;
pub mod gate;
pub mod identity;
pub mod package;
pub mod rollout;
