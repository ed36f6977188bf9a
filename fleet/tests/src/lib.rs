//! Nothing: `tests/fleet` runs a fleet's server, robots and key holder together, and `tests/once` kills `interrupted`. They are in a
//! package of their own because none of the three depends on another.
#![forbid(unsafe_code)]
