//! `tensorguard calibrate`.

use super::options::{Gpu, print, print_json};
use clap::Args;
use kernels::cpu::Cpu;
use tensorguard::failure::Failure;
use tensorguard::{calibration, device};

const EXAMPLES: &str = "\
Examples:
  tensorguard calibrate
  tensorguard calibrate --adapter llvmpipe";

/// Measures from which sizes on the GPU is faster than the processor, and remembers it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Calibrate {
    #[command(flatten)]
    gpu: Gpu,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let absent = |reason: shaders::Absent| match &reason {
            shaders::Absent::NoneNamed(_) => Failure::Usage(reason.to_string()),
            _ => Failure::Internal(reason.to_string()),
        };
        let choice = device::choice(self.gpu.adapter.as_deref());
        let (engine, device) = device::open(choice, shaders::Options::default()).map_err(absent)?;
        let stamped = shaders::Options { timing: shaders::Timing::Kernels, ..shaders::Options::default() };
        let (timed, _) = device::open(choice, stamped).map_err(absent)?;
        let path = calibration::path()
            .ok_or_else(|| Failure::Usage("no folder to remember it in: set TENSORGUARD_CACHE".to_owned()))?;
        let measured = calibration::measure(&Cpu::best(device::cores()), &device, &engine, &timed)?;
        calibration::remember(&path, &measured)?;
        if self.json {
            print_json(&measured)
        } else {
            print(&format!("{device}\n{measured}wrote {}\n", path.display()))
        }
    }
}
