//! Every kernel and every stage of a round, one by one: `tensorguard micro` and `cargo bench` run the same cases.
//!
//! [`case`] is the one list. [`stage`] and [`work`] have what a case runs on, and hold its output against another engine's or the
//! definition before its time counts. [`run`] takes the times and keeps them, [`allocations`] counts memory; [`view`] prints them.

pub mod allocations;
pub mod case;
pub mod run;
pub mod stage;
pub mod view;
pub mod work;
