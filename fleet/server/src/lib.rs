//! The fleet's aggregator: takes uploads, adds them, relays packages. It holds no key and can read nothing.
//!
//! A request is decided by [`protocol::Rounds`], what it changes is made durable in the journal, and only then applied and
//! answered: a server that is killed at any moment goes on where it was. Uploads go to files named by the root their robots
//! signed, each chunk compared with its signed leaf before it is written. The sum is computed from those files, and again
//! after a restart.
//!
//! Memory does not grow with the number of robots but by one chunk and one connection each: see `docs/FLEET.md`.
#![forbid(unsafe_code)]

mod adding;
mod body;
mod desk;
mod disk;
mod http;
mod journal;

pub use desk::{Desk, StartError};
pub use disk::{Disk, Folder, Writer};
pub use http::{Limits, serve};
pub use link;
pub use protocol;
