//! The command and its records from outside. One program for all: each would link everything once more.

mod bundle;
mod decision;
mod devices;
mod fleet;
mod gate;
mod interrupt;
mod kat;
mod load;
mod memory;
mod micro;
mod record;
mod scratch;
mod validate;
mod whole;
