//! `tensorguard link-probe`, which `run --link netns` starts in a robot's namespace.

use super::options::print_json;
use clap::Args;
use std::net::SocketAddr;
use tensorguard::failure::Failure;
use tensorguard::matrix::grid::Link;
use tensorguard::shaping::probe::measure;

/// Measures the link from here to a far end.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct LinkProbe {
    /// The far end.
    #[arg(long)]
    far: SocketAddr,
    /// The rate it should have.
    #[arg(long, requires = "rtt_ms")]
    mbit_per_s: Option<u32>,
    /// The round trip it should have.
    #[arg(long, requires = "mbit_per_s")]
    rtt_ms: Option<u32>,
}

impl LinkProbe {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let link = self.mbit_per_s.zip(self.rtt_ms).map(|(mbit_per_s, rtt_ms)| Link { mbit_per_s, rtt_ms });
        print_json(&measure(self.far, link)?)
    }
}
