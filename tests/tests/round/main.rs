//! A round from end to end: what comes out, and what each rule keeps from happening.

mod advice;
mod attacks;
mod attempts;
mod bytes;
mod fleet;
mod laws;
mod means;
mod pages;
mod rules;
mod variants;
