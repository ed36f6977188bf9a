//! `tensorguard calibrate`.

use super::options::{print, print_json};
use clap::Args;
use kernels::cpu::Cpu;
use tensorguard::failure::Failure;
use tensorguard::{calibration, device};

const EXAMPLES: &str = "\
Examples:
  tensorguard calibrate
  tensorguard calibrate --adapter llvmpipe
  tensorguard micro --filter 'backend==ladder && size==1mb'    the engines together, each for what it is fastest at
  tensorguard server --folder server --robots 20 --backend ladder

Kept in calibration.json in the folder TENSORGUARD_CACHE, else XDG_CACHE_HOME/tensorguard, else ~/.cache/tensorguard. After a change of
program, processor, driver or device it is stale and not believed: run this again. docs/DEVICES.md.";

/// Measures from which sizes on a GPU is faster than the processor, and remembers it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Calibrate {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // Said before minutes of measuring.
        let path = calibration::path()
            .ok_or_else(|| Failure::Usage("no folder to remember it in: set TENSORGUARD_CACHE".to_owned()))?;
        let measured = calibration::measure(&Cpu::best(device::cores()), &calibration::devices()?)?;
        calibration::remember(&path, &measured)?;
        if self.json { print_json(&measured) } else { print(&format!("{measured}wrote {}\n", path.display())) }
    }
}
