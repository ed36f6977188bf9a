//! One file per command: its options, its help with examples, and `run`, which calls the library. A new command is a file
//! here, a line in this list, and in `main.rs` a variant of `Command` with its line in `run`.

pub(crate) mod ab;
pub(crate) mod authority;
pub(crate) mod baseline;
pub(crate) mod bundle;
pub(crate) mod calibrate;
pub(crate) mod compare;
pub(crate) mod compare_peers;
pub(crate) mod completions;
pub(crate) mod corpus;
pub(crate) mod decisions;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod gate;
pub(crate) mod gpu;
pub(crate) mod kat;
pub(crate) mod keyholder;
pub(crate) mod link_probe;
pub(crate) mod micro;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod results;
pub(crate) mod robot;
pub(crate) mod round_memory;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod sum_uploads;
pub(crate) mod table;
pub(crate) mod validate;
pub(crate) mod verify;
