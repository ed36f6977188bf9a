//! The WGSL engine: the kernels as compute shaders, on any Vulkan, Metal or DX12 device.
//!
//! One job is one submission: inputs go up, kernels run, results come down, secrets are cleared. Every number a shader
//! needs comes from the job or is generated from the crates below; see `numbers` and `pipeline`.
//!
//! ```
//! use kernels::{Backend, Direction, Modulus, Plan, reference::Reference};
//! use tensorguard_shaders::{Choice, Options, Wgpu};
//! let plan = Plan::new(Modulus::P1, 256)?;
//! let (mut words, mut same) = (vec![7; 256], vec![7; 256]);
//! match Wgpu::open(Choice::Best, Options::default()) {
//!     Ok(gpu) => gpu.ntt(&plan, Direction::Forward, &mut words)?,
//!     Err(reason) => return Ok(println!("no engine: {reason}")),
//! }
//! Reference.ntt(&plan, Direction::Forward, &mut same)?;
//! assert_eq!(words, same);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod device;
mod jobs;
mod memory;
mod numbers;
mod pipeline;
mod tables;
mod trip;

pub use device::{Absent, Choice, Found, Kind, adapters};
pub use pipeline::Arithmetic;

use device::Device;
use kernels::{Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, SealJob, Shape};
use memory::{Memory, Use};
use pipeline::Pipelines;
use std::sync::atomic::{AtomicU64, Ordering};
use tables::Tables;
use wgpu::Features;

/// How an engine works. Nothing here changes a bit of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How products are had; `None` takes the device's 64-bit integers where it has them.
    pub arithmetic: Option<Arithmetic>,
    /// Larger work is cut into pieces of about this many bytes per buffer, but never below one polynomial or row.
    pub piece_bytes: usize,
    /// The most device memory all jobs together may hold; a job that needs more is out of memory.
    pub memory_bytes: u64,
    /// Whether the device times its kernels.
    pub timing: Timing,
}

/// Whether kernels are timed by the device itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// No time stamps.
    #[default]
    Off,
    /// Time stamps around each kernel, where the device has them: see [`Wgpu::kernel_ns`].
    Kernels,
}

impl Default for Options {
    fn default() -> Self {
        Self { arithmetic: None, piece_bytes: 1 << 26, memory_bytes: u64::MAX, timing: Timing::Off }
    }
}

/// The engine. Made once: it keeps compiled shaders, tables and buffers for later jobs.
#[derive(Debug)]
pub struct Wgpu {
    core: Core,
}

/// What a job needs besides its own data.
#[derive(Debug)]
struct Core {
    device: Device,
    memory: Memory,
    pipelines: Pipelines,
    tables: Tables,
    piece_words: usize,
    /// Present where kernels are timed.
    kernel_ticks: Option<AtomicU64>,
}

impl Core {
    /// Words of the largest piece. Buffers have sizes of powers of two, and an upload has several parts: half of what a
    /// binding holds.
    fn most_words() -> usize {
        wgpu::Limits::defaults().max_storage_buffer_binding_size as usize / 8
    }
}

impl Wgpu {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Absent`] says what is missing.
    pub fn open(choice: Choice<'_>, options: Options) -> Result<Self, Absent> {
        let device = Device::open(choice)?;
        let arithmetic = match (options.arithmetic, device.native_words) {
            (Some(Arithmetic::Native), false) => {
                return Err(Absent::Unfit(format!("{} has no 64-bit integers", device.adapter.name)));
            }
            (Some(chosen), _) => chosen,
            (None, true) => Arithmetic::Native,
            (None, false) => Arithmetic::Limbs,
        };
        let piece_words = (options.piece_bytes / 4).min(Core::most_words());
        let timed = options.timing == Timing::Kernels && device.device.features().contains(Features::TIMESTAMP_QUERY);
        let core = Core {
            kernel_ticks: timed.then(AtomicU64::default),
            device,
            memory: Memory::new(options.memory_bytes),
            pipelines: Pipelines::new(arithmetic),
            tables: Tables::default(),
            piece_words,
        };
        Ok(Self { core })
    }

    /// The adapter it runs on.
    #[must_use]
    pub fn adapter(&self) -> &Found {
        &self.core.device.adapter
    }

    /// Nanoseconds that the device spent in kernels so far, by its own clock; `None` where it is not asked or has none.
    #[must_use]
    pub fn kernel_ns(&self) -> Option<u64> {
        let ticks = self.core.kernel_ticks.as_ref()?.load(Ordering::Relaxed);
        Some((ticks as f64 * f64::from(self.core.device.queue.get_timestamp_period())) as u64)
    }

    /// Copies `bytes` from one buffer of the device to another, `times` times, and waits: the rate that kernels are
    /// held against.
    ///
    /// # Errors
    /// [`Fault`], as a job.
    pub fn copy(&self, bytes: u64, times: u32) -> Result<(), Fault> {
        let core = &self.core;
        core.device.healthy()?;
        let source = core.memory.take(&core.device, Use::Device, bytes)?;
        let target = core.memory.take(&core.device, Use::Device, bytes);
        let target = target.inspect_err(|_| core.memory.keep(Use::Device, source.clone()))?;
        let mut encoder = core.device.device.create_command_encoder(&Default::default());
        for _ in 0..times {
            encoder.copy_buffer_to_buffer(&source, 0, &target, 0, bytes.next_multiple_of(4));
        }
        trip::wait(core, encoder)?;
        core.memory.keep(Use::Device, source);
        core.memory.keep(Use::Device, target);
        Ok(())
    }

    /// Counts the words that are not zero in the buffers kept for later jobs: none after jobs on secrets. For audits;
    /// no job may run meanwhile.
    ///
    /// # Errors
    /// [`Fault`], as a job.
    pub fn leftovers(&self) -> Result<usize, Fault> {
        self.core.leftovers()
    }

    /// How many buffers, shaders, pipelines and tables the driver was asked for so far: work like earlier work asks for none.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.core.device.made()
    }

    /// Gives the device back to the driver. From now on every job is [`Fault::DeviceLost`].
    pub fn close(&self) {
        self.core.device.give_up("the engine was closed");
        self.core.device.device.destroy();
    }

    /// Why every job fails from now on, if that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.core.device.trouble()
    }

    /// How it has its products.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.core.pipelines.arithmetic()
    }
}

impl Backend for Wgpu {
    fn name(&self) -> &'static str {
        "wgpu"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        jobs::ntt::run(&self.core, plan, direction, polys)
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        jobs::pad::run(&self.core, job, out)
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        jobs::seal::run(&self.core, job, pad, digits, out)
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        jobs::seal::encrypt(&self.core, job, digits, out)
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        jobs::sum::run(&self.core, shape, rows, accumulator)
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        jobs::decrypt::run(&self.core, job, accumulator, digits)
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        jobs::dense::run(&self.core, job, rows)
    }
}
