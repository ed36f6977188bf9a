//! Pages for people: one HTML file, no network, no script, light and dark; and the same figures for programs.
//!
//! Everything that comes out of a result is escaped: a result may come from anybody. [`page`], [`chart`] and [`marks`] are what
//! pages are made of; [`gather`] reads results of kernels, stages and peers, and [`kernels`] is their page (`roofline` its chart of limits), [`export`] their
//! Markdown and CSV. The matrix has a page of its own in [`crate::matrix::page`].

pub mod chart;
mod earlier;
pub mod export;
pub mod gather;
pub mod kernels;
pub mod marks;
pub mod page;
mod roofline;
