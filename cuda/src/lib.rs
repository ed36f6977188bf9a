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

mod arena;
mod arguments;
mod calls;
mod driver;
mod facts;
mod launch;
mod modules;
mod pieces;
mod resident;
mod run;
mod size;
mod tables;

use arena::Kind;
use arguments::{Errors, Source};
use core::fmt;
use driver::Device;
use kernels::{Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, SealJob, Shape};
use launch::Lane;
use modules::Modules;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use tables::Tables;
use zeroize::Zeroize;

pub use arena::Allocation;
pub use facts::{Facts, Memory};
pub use resident::{Buffer, Ceiling, Link, PublicPolys, Resident};

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
    /// How many [`Resident`]s there were.
    residents: AtomicU64,
    piece_bytes: usize,
    allocation: Allocation,
    device: Arc<Device>,
}

impl Cuda {
    /// Opens the first device.
    ///
    /// # Errors
    /// [`Absent`] says why there is none, and what would help.
    pub fn new() -> Result<Self, Absent> {
        let device = Device::open().map_err(Absent)?;
        let tables =
            Tables::new(&device).map_err(|fault| Absent(format!("the CUDA device gives no stream: {fault}")))?;
        Ok(Self {
            modules: Modules::default(),
            tables,
            idle: Mutex::default(),
            residents: AtomicU64::new(0),
            piece_bytes: PIECE_BYTES,
            allocation: Allocation::Pooled,
            device,
        })
    }

    /// What the driver says of the device.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.device.facts
    }

    /// Large jobs are split so that a piece has about `bytes` bytes of input. Smaller pieces let copies and computation
    /// overlap sooner, larger ones keep the device busier. The bits are the same.
    #[must_use]
    pub fn with_piece_bytes(self, bytes: usize) -> Self {
        Self { piece_bytes: bytes, ..self }
    }

    /// How jobs get device memory from now on.
    #[must_use]
    pub fn with_allocation(self, allocation: Allocation) -> Self {
        Self { allocation, idle: Mutex::default(), ..self }
    }
}

/// Two of these keep a PCIe link busy.
const PIECE_BYTES: usize = 4 << 20;

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        assert!(polys.len().is_multiple_of(plan.n()), "a batch is a whole number of polynomials");
        self.job(|lane| {
            let words = lane.upload(polys, Kind::Secret)?;
            self.run_ntt(lane, plan, direction, words, polys.len() / plan.n())?;
            let arrival = lane.fetch(words, size_of_val(polys), Kind::Secret)?;
            lane.finish()?;
            lane.read(arrival, polys);
            Ok(())
        })
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        let polys = job.polys(out);
        self.job(|lane| {
            let seed = lane.upload(job.message_seed.expose(), Kind::Secret)?;
            let ring = self.ring(lane, job.ring, job.a_seed, job.first_poly, polys, Source::Message, seed)?;
            let words = lane.take(size_of_val(out), Kind::Secret)?;
            self.run_pad(lane, job.ring, ring, Errors::Added, seed, words)?;
            let arrival = lane.fetch(words, size_of_val(out), Kind::Secret)?;
            lane.finish()?;
            lane.read(arrival, out);
            Ok(())
        })
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        job.check(pad, digits, out);
        self.job(|lane| {
            let residues = lane.input(pad, Kind::Secret)?;
            let message = lane.input(digits, Kind::Secret)?;
            let row = lane.take(out.len().next_multiple_of(4), Kind::Public)?;
            self.run_seal(lane, job.encoding, residues, message, digits.len(), row)?;
            let arrival = lane.fetch(row, out.len(), Kind::Public)?;
            lane.finish()?;
            lane.read(arrival, out);
            pad.zeroize();
            Ok(())
        })
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        job.check(digits, out);
        self.encrypt_pieces(job, digits, out)
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        shape.check(rows, accumulator);
        self.sum_pieces(shape, rows, accumulator)
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        job.check(accumulator, digits);
        self.decrypt_pieces(job, accumulator, digits)
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        job.check(rows);
        self.job(|lane| {
            let values = lane.upload(rows, Kind::Secret)?;
            self.run_dense(lane, job, values, rows.len())?;
            let arrival = lane.fetch(values, size_of_val(rows), Kind::Secret)?;
            lane.finish()?;
            lane.read(arrival, rows);
            Ok(())
        })
    }
}

/// Six 64-bit words: see `gather` in kernels/decrypt.cu.
const RECORD_BYTES: usize = 48;

/// One block's record. Its coefficients are counted by the caller.
fn noise(&[refused, max_abs, sum_low, sum_high, squares_low, squares_high]: &[u64; 6]) -> Noise {
    let wide = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
    Noise {
        coefficients: 0,
        refused,
        max_abs,
        sum: wide(sum_low, sum_high) as i128,
        sum_squares: wide(squares_low, squares_high),
    }
}
