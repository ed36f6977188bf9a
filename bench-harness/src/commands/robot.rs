//! `tensorguard robot`.

use super::options::Compute;
use clap::Args;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::arms::{self, ArmLearner};
use tensorguard::fleet::charter::Charter;
use tensorguard::fleet::files::FileLearner;
use tensorguard::fleet::{folders, robot};

const EXAMPLES: &str = "\
Examples:
  tensorguard robot --folder robot-1 --server 10.0.0.5:7600 --update update.safetensors
  tensorguard robot --folder robot-1 --server 10.0.0.5:7600 --update update.f32

Training is another program's work: it writes the update (F32 tensors, or plain little-endian fp32) before each round, whole,
by renaming it into place. What the fleet rolls out is found in the folder `policies`, as adapter.safetensors. An update goes
into one round only: until the file has changed, this robot sits the next round out.";

/// A robot: encrypts its update, uploads it, and applies what the fleet rolls out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Robot {
    /// The robot's folder.
    #[arg(long)]
    folder: PathBuf,
    /// The server: host and port.
    #[arg(long)]
    server: String,
    /// Its update: a .safetensors file, or plain fp32.
    #[arg(long, required_unless_present = "lesson", conflicts_with = "lesson")]
    update: Option<PathBuf>,
    /// The folder of what robot arms learn: this robot is one, and trains by itself.
    #[arg(long, requires = "arm")]
    lesson: Option<PathBuf>,
    /// Which arm it is.
    #[arg(long)]
    arm: Option<u32>,
    #[command(flatten)]
    compute: Compute,
}

impl Robot {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let charter = Charter::read(&self.folder)?;
        let publisher = folders::publisher(&self.folder)?;
        let base = charter.terms(charter.least, charter.least).model;
        let policies = self.folder.join("policies");
        let update = self.update.clone().unwrap_or_default();
        let mut files = FileLearner::new(&update, &policies, publisher, &charter.fleet, base)?;
        let backend = self.compute.open()?;
        match (&self.lesson, self.arm) {
            (Some(lesson), Some(arm)) => {
                let mut arm = ArmLearner::new(files, arms::lesson(lesson, base)?, arm);
                robot::work(&self.folder, &self.server, &mut arm, backend.as_ref())
            }
            _ => robot::work(&self.folder, &self.server, &mut files, backend.as_ref()),
        }
    }
}
