//! A fleet's server, robots and key holder, over TLS on loopback.

mod crashes;
mod disks;
mod intruders;
mod liars;
mod links;
mod parties;
mod rounds;
