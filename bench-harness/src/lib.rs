//! What the `tensorguard` command does: describe this machine, measure the kernels on it, compare them with peers, and give
//! known answers. And what must outlive a process, in files: [`logs`].
//!
//! Times are CPU times of the process, taken in samples of a few milliseconds; two things are compared by taking turns
//! in one run. Every kernel's output is compared with [`kernels::reference`] before its time counts.
#![forbid(unsafe_code)]

pub mod ab;
pub mod aligned;
pub mod backends;
pub mod bandwidth;
pub mod baselines;
pub mod built;
pub mod calendar;
pub mod calibration;
pub mod ceiling;
pub mod clock;
pub mod compare;
pub mod decision;
pub mod device;
pub mod disciplines;
pub mod doctor;
pub mod end_to_end;
pub mod failure;
pub mod filter;
pub mod fleet;
pub mod floor;
pub mod found;
pub mod gpu;
pub mod interrupt;
pub mod judging;
pub mod kat;
pub mod logs;
pub mod machine;
pub mod matrix;
pub mod memory;
pub mod micro;
pub mod paired;
pub mod peer;
pub mod power;
pub mod progress;
pub mod python;
pub mod quiet;
pub mod record;
pub mod report;
pub mod results;
pub mod round_peer;
pub mod rounds;
pub mod scaling;
#[cfg(test)]
mod scratch;
pub mod sensors;
pub mod shaping;
pub mod stats;
pub mod sysfs;
pub mod table;
pub mod task;
pub mod validate;
pub mod whole_file;
