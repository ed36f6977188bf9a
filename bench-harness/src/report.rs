//! Pages for people: one HTML file, no network, no script, light and dark.
//!
//! Everything that comes out of a result is escaped: a result may come from anybody.

pub mod chart;
pub mod page;
