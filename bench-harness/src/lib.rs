//! What the `tensorguard` command does: describe this machine, measure the kernels on it, and compare them with peers.
//!
//! Times are CPU times of the process, taken in samples of a few milliseconds; two things are compared by taking turns
//! in one run. Every kernel's output is compared with [`kernels::reference`] before its time counts.
#![forbid(unsafe_code)]

pub mod aligned;
pub mod bandwidth;
pub mod clock;
pub mod compare;
pub mod doctor;
pub mod failure;
pub mod gpu;
pub mod machine;
pub mod peer;
pub mod progress;
pub mod results;
pub mod stats;
pub mod table;
pub mod task;
