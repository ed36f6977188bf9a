//! The engine for NVIDIA GPUs: the kernels of `kernels/`, compiled ahead of time, run through the CUDA driver.
//!
//! Nothing of CUDA is needed to build this crate, and no GPU to run a program that has it: [`Cuda::new`] says why there
//! is none.
//!
//! ```
//! match tensorguard_cuda::Cuda::new() {
//!     Ok(cuda) => println!("{:?}", cuda.facts()),
//!     Err(absent) => println!("no GPU: {absent}"),
//! }
//! ```
#![deny(unsafe_code)]

mod arguments;
mod launch;
mod modules;
mod size;
mod tables;

use arguments::{Field, NttArgs};
use core::fmt;
use kernels::{
    Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, SealJob, Shape,
};
use launch::{Device, Kind, Lane, Launch};
use modules::{Modules, Stem};
use ntt::Shoup;
use size::Size;
use std::sync::{Arc, Mutex, PoisonError};
use tables::Tables;

pub use launch::{Facts, Memory};

/// Why there is no such engine on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent(String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Absent {}

/// The first CUDA device. Several threads may use it at once: each job has a stream and memory of its own.
#[derive(Debug)]
pub struct Cuda {
    modules: Modules,
    tables: Tables,
    /// Lanes that no job uses now.
    idle: Mutex<Vec<Lane>>,
    device: Arc<Device>,
}

impl Cuda {
    /// Opens the first device.
    ///
    /// # Errors
    /// [`Absent`] says why there is none, and what would help.
    pub fn new() -> Result<Self, Absent> {
        let device = Device::open().map_err(Absent)?;
        let tables = Tables::new(&device).map_err(|fault| Absent(format!("the CUDA device gives no stream: {fault}")))?;
        Ok(Self { modules: Modules::default(), tables, idle: Mutex::default(), device })
    }

    /// What the driver says of the device.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.device.facts
    }

    /// Runs one job on a lane. A lane that saw a fault is not used again.
    fn job<T>(&self, work: impl FnOnce(&mut Lane) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut lane = idle.map_or_else(|| Lane::new(&self.device), Ok)?;
        let value = work(&mut lane)?;
        lane.reset();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        Ok(value)
    }
}

/// How many polynomials, as the kernels count them.
fn count(polys: usize) -> Result<u32, Fault> {
    u32::try_from(polys).map_err(|_| Fault::Declined)
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        assert!(polys.len().is_multiple_of(plan.n()), "a batch is a whole number of polynomials");
        let (size, number) = (Size::of(plan.n()), polys.len() / plan.n());
        let module = self.modules.get(&self.device, Stem::Ntt)?;
        let (modulus, root) = (plan.modulus(), plan.inverse_table().0[1]);
        self.job(|lane| {
            let words = lane.upload(polys, Kind::Secret)?;
            let args = NttArgs {
                words: words.at,
                roots: self.tables.roots(plan, direction)?,
                polys: count(number)?,
                field: Field::of(plan),
                n_inverse: plan.n_inverse().into(),
                last_root: Shoup::new(modulus, modulus.mul(root, plan.n_inverse().factor)).into(),
            };
            let way = match direction {
                Direction::Forward => "forward",
                Direction::Inverse => "inverse",
            };
            lane.launch(
                &Launch {
                    module,
                    kernel: &format!("ntt_{way}_{}", size.log),
                    blocks: size.blocks(number),
                    threads: size.threads,
                    shared_bytes: 4 * size.words,
                },
                &args,
            )?;
            let arrival = lane.fetch(words, size_of_val(polys), Kind::Secret)?;
            lane.finish()?;
            lane.read(arrival, polys);
            Ok(())
        })
    }

    fn pad(&self, _: &PadJob<'_>, _: &mut [u32]) -> Result<(), Fault> {
        Err(Fault::Declined)
    }

    fn seal(&self, _: &SealJob<'_>, _: &mut [u32], _: &[u32], _: &mut [u8]) -> Result<(), Fault> {
        Err(Fault::Declined)
    }

    fn encrypt(&self, _: &EncryptJob<'_>, _: &[u32], _: &mut [u8]) -> Result<(), Fault> {
        Err(Fault::Declined)
    }

    fn sum(&self, _: &Shape, _: &[&[u8]], _: &mut [u32]) -> Result<(), Fault> {
        Err(Fault::Declined)
    }

    fn decrypt(&self, _: &DecryptJob<'_>, _: &[u32], _: &mut [u32]) -> Result<Noise, Fault> {
        Err(Fault::Declined)
    }

    fn dense(&self, _: &DenseJob<'_>, _: &mut [u32]) -> Result<(), Fault> {
        Err(Fault::Declined)
    }
}
