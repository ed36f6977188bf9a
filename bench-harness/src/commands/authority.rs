//! `tensorguard authority`.

use clap::{Args, Subcommand};
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::charter::Charter;
use tensorguard::fleet::folders;

const EXAMPLES: &str = "\
Examples:
  tensorguard authority create --fleet arms --values 2500 --folder authority --holder holder
  tensorguard authority server --authority authority --folder server
  tensorguard authority robot --authority authority --folder robot-1

The authority's folder signs who is in the fleet: keep it offline, or with the key holder. Never on the server. Keys are
readable by their owner only. Certificates are good for a year; a party whose certificate has run out gets a new folder.";

/// Founds a fleet: the keys and certificates of its parties, each in a folder of its own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Authority {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// A new fleet, with its authority and its key holder.
    Create {
        /// The fleet's name.
        #[arg(long)]
        fleet: String,
        /// Values in an update.
        #[arg(long)]
        values: u64,
        /// Bits of a value on the grid.
        #[arg(long, default_value_t = 8)]
        bits: u32,
        /// The largest magnitude of a value; larger ones count as this.
        #[arg(long, default_value_t = 1.0)]
        clip: f32,
        /// The fewest robots in a mean.
        #[arg(long, default_value_t = 16)]
        least: u64,
        /// SHA-256 of what robots run before the first round: 64 hexadecimal digits.
        #[arg(long, default_value = "0000000000000000000000000000000000000000000000000000000000000000")]
        model: String,
        /// The authority's folder: a new one.
        #[arg(long)]
        folder: PathBuf,
        /// The key holder's folder: a new one.
        #[arg(long)]
        holder: PathBuf,
    },
    /// The server's folder.
    Server {
        /// The authority's folder.
        #[arg(long)]
        authority: PathBuf,
        /// The server's folder: a new one.
        #[arg(long)]
        folder: PathBuf,
    },
    /// A robot's folder; the robot may sign from now on.
    Robot {
        /// The authority's folder.
        #[arg(long)]
        authority: PathBuf,
        /// The robot's folder: a new one.
        #[arg(long)]
        folder: PathBuf,
    },
}

impl Authority {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.step {
            Step::Create { fleet, values, bits, clip, least, model, folder, holder } => {
                let (fleet, model) = (fleet.clone(), model.clone());
                let (values, bits, clip, least) = (*values, *bits, *clip, *least);
                let charter = Charter { fleet, values, bits, clip, least, model, holder: String::new() };
                let charter = folders::create(folder, holder, charter)?;
                eprintln!(
                    "made {} and {}; the key holder's key is {}",
                    folder.display(),
                    holder.display(),
                    charter.holder
                );
            }
            Step::Server { authority, folder } => {
                folders::add_server(authority, folder)?;
                eprintln!("made {}", folder.display());
            }
            Step::Robot { authority, folder } => {
                let id = folders::add_robot(authority, folder)?;
                eprintln!("made {}, for robot {id}", folder.display());
            }
        }
        Ok(())
    }
}
