//! `tensorguard authority`.

use clap::{Args, Subcommand};
use fleet_client::link::REVOKED;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::fleet::charter::Charter;
use tensorguard::fleet::folders;

const EXAMPLES: &str = "\
Examples:
  tensorguard authority create --fleet arms --values 2500 --folder authority --holder holder
  tensorguard authority server --authority authority --folder server
  tensorguard authority robot --authority authority --folder robot-1
  tensorguard authority revoke --authority authority --robot 5ec3b1a0 --copy-to server --copy-to holder

The authority's folder signs who is in the fleet: keep it offline, or with the key holder. Never on the server. Keys are
readable by their owner only. Certificates are good for a year; a party whose certificate has run out gets a new folder.

A robot that was lost or stolen is revoked: the server ends its connections and takes no others, the key holder leaves its uploads out.
Both look for the list, revoked.pem, in their folders all the time, and count a newer one at once.";

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
    /// Shuts a robot out, for good.
    Revoke {
        /// The authority's folder.
        #[arg(long)]
        authority: PathBuf,
        /// The robot's name, or as much of its beginning as no other robot's has.
        #[arg(long)]
        robot: String,
        /// A folder of the server or the key holder, where the list is put; elsewhere, copy revoked.pem there.
        #[arg(long)]
        copy_to: Vec<PathBuf>,
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
            Step::Revoke { authority, robot, copy_to } => {
                let (id, robots) = folders::revoke(authority, robot, copy_to)?;
                eprintln!("robot {id} is shut out; {robots} robots are on {}", authority.join(REVOKED).display());
                if copy_to.is_empty() {
                    eprintln!(
                        "copy it into the folders of the server and of the key holder: until then it changes nothing"
                    );
                }
            }
        }
        Ok(())
    }
}
