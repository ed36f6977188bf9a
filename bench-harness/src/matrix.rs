//! The matrix: fleets of 2 to 100 robots, updates of 10 KB to 10 MB, three links, two ways of learning; and what a deployed
//! improvement takes in each cell.
//!
//! A fleet's campaigns are run once, for real: training, the whole encrypted round, gate, canary, roll-out ([`learning`]). What
//! they took is a [`trace`]. A cell puts a trace together with a link ([`compose`], [`link`]) and gives the headline
//! ([`tpdi`], [`outcome`]). What is not measured says so by its label.

pub mod against;
pub mod compose;
pub mod demand;
pub mod eta;
pub mod explain;
pub mod export;
pub mod grid;
pub mod learning;
pub mod link;
pub mod outcome;
pub mod page;
pub mod pipeline;
pub mod recorded;
pub mod replay;
pub mod rules;
pub mod run;
pub mod summary;
pub mod tpdi;
pub mod trace;
pub mod whole;
