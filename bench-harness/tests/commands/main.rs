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
// The same as in the tests of the library, which a program of tests cannot see into.
#[path = "../../src/scratch.rs"]
mod scratch;
mod validate;
mod whole;

/// Ends a check that needs a device where there is none: a failure where one is required.
fn not_checked(why: &str) {
    let required = std::env::var("REQUIRE_BACKENDS").unwrap_or_default();
    assert!(!required.split(',').any(|name| name.trim() == "wgpu"), "REQUIRE_BACKENDS wants wgpu, but {why}");
    println!("not checked: {why}");
}
