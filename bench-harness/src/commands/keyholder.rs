//! `tensorguard keyholder`.

use super::options::Compute;
use clap::Args;
use folding::lwe::Policy;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::holder::{Post, work};

const EXAMPLES: &str = "\
Examples:
  tensorguard keyholder --folder holder --registry authority/registry --server 10.0.0.5:7600
  tensorguard keyholder --folder holder --registry registry --server 10.0.0.5:7600 --lower-min-robots-to 8
  tensorguard keyholder --folder holder --registry registry --server 10.0.0.5:7600 --witness /media/other/holder.witness

The registry is a folder of public identities: who may sign as which robot. It is this party's own, never the server's word.";

/// The key holder: checks signatures, opens the mean of a round once, signs a package of it, and rolls it out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Keyholder {
    /// The key holder's folder.
    #[arg(long)]
    folder: PathBuf,
    /// Who may sign: a folder.
    #[arg(long)]
    registry: PathBuf,
    /// The server: host and port.
    #[arg(long)]
    server: String,
    /// Opens means of fewer than 16 robots: whoever controls all but one of them reads that one.
    #[arg(long, value_name = "ROBOTS")]
    lower_min_robots_to: Option<u64>,
    /// The folder of what robot arms learn: each mean is tried on arms that never trained, and rolled out if the gate lets
    /// it pass. Without it there is no gate.
    #[arg(long)]
    lesson: Option<PathBuf>,
    /// A file on another disk than the folder's, where the head of the answer log is kept: a log restored from an older copy is
    /// refused. Without it nobody notices.
    #[arg(long, value_name = "FILE")]
    witness: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

impl Keyholder {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let policy = self.lower_min_robots_to.map_or_else(Policy::default, Policy::lowered_to);
        let Self { folder, registry, server, lesson, witness, .. } = self;
        let post = Post { folder, registry, server, policy, lesson: lesson.as_deref(), witness: witness.as_deref() };
        work(&post, self.compute.open()?.as_ref())
    }
}
