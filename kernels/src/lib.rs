//! The contract every compute engine fulfils, its definition, and the engines for CPUs.
//!
//! One *job* is one device round trip: integers in, integers out, the same bits from every engine. [`mod@reference`] says
//! what each job means; [`cpu::Cpu`] runs them on this processor's vector units; [`Ladder`] tries several engines in turn.
//!
//! ```
//! use tensorguard_kernels::{Backend, Encoding, EncryptJob, Ring, Secret, cpu::Cpu, reference::Reference};
//! let encoding = Encoding::new(Ring::new(1024, &[4_169_729])?, 17, 1501, 1)?;
//! let job = EncryptJob { encoding: &encoding, a_seed: &[7; 32], message_seed: &Secret::new([9; 32]), first_poly: 0 };
//! let digits = [3, 1, 4, 1, 5];
//! let mut bytes = vec![0; encoding.packed_len(digits.len())];
//! let mut same = bytes.clone();
//! Cpu::best(1).encrypt(&job, &digits, &mut bytes)?;
//! Reference.encrypt(&job, &digits, &mut same)?;
//! assert_eq!(bytes, same);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

pub mod cpu;
pub mod crew;
mod encoding;
pub mod expand;
mod job;
mod ladder;
pub mod reference;
mod secret;

pub use encoding::{Encoding, EncodingError, Ring, RingError};
pub use job::{DecryptJob, DenseJob, DenseKey, EncryptJob, Noise, PadJob, SealJob, Shape};
pub use ladder::{JobKind, Ladder, Rung, Served, Told};
pub use ntt::{Modulus, ModulusError, Plan, PlanError};
pub use secret::Secret;

use core::fmt::{self, Debug};

/// Which way a transform goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Natural order to bit-reversed order.
    Forward,
    /// Bit-reversed order to natural order, `n^-1` included.
    Inverse,
}

/// Integers in, integers out; the same bits from every backend. On `Err`, outputs are unchanged.
///
/// What each job computes is defined by [`mod@reference`]. Words are `u32`; values of more than 32 bits are little-endian
/// pairs. A wrong length is misuse by the caller and panics, on every backend alike.
pub trait Backend: Debug + Send + Sync {
    /// A short stable name: `cpu-avx512`, `wgpu`, `cuda`.
    fn name(&self) -> &'static str;

    /// How many threads of this processor a caller may keep busy with work of its own around this backend's jobs.
    fn threads(&self) -> usize {
        1
    }

    /// Transforms each polynomial of `plan.n()` words in place. Any words, taken mod p; results in `[0, p)`.
    ///
    /// # Errors
    /// [`Fault`], with `polys` unchanged.
    /// # Panics
    /// If `polys.len()` is not a multiple of `plan.n()`.
    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault>;

    /// Residues of `a_j * s + e_j` for consecutive polynomials `j` from `job.first_poly`, laid out
    /// `[polynomial][limb][coefficient]`, in `[0, p)`. Does not depend on the message.
    ///
    /// # Errors
    /// [`Fault`], with `out` unchanged.
    /// # Panics
    /// If `out` is no whole number of polynomials, or they run past number 2^32 - 1.
    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault>;

    /// Adds the embedded digits to a pad mod q, rounds each coefficient to `l` bits and packs them. Uses the pad up:
    /// on success every word of it is zero.
    ///
    /// # Errors
    /// [`Fault`], with `pad` and `out` unchanged.
    /// # Panics
    /// If `pad` or `out` does not have the length that `digits` calls for.
    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault>;

    /// [`pad`](Backend::pad), then [`seal`](Backend::seal), in one round trip.
    ///
    /// # Errors
    /// [`Fault`], with `out` unchanged.
    /// # Panics
    /// As its parts.
    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        let mut pad = Secret::new(vec![0; job.encoding.pad_len(digits.len())]);
        self.pad(&job.pad_job(), pad.expose_mut())?;
        self.seal(&job.seal_job(), pad.expose_mut(), digits, out)
    }

    /// Adds packed rows to an accumulator of unpacked words, mod 2^l. Public data.
    ///
    /// # Errors
    /// [`Fault`], with `accumulator` unchanged.
    /// # Panics
    /// If a row or the accumulator does not have the length that `shape` calls for.
    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault>;

    /// Opens an accumulated sum with the sum of the secrets: digit sums, and statistics of the noise.
    ///
    /// # Errors
    /// [`Fault`], with `digits` unchanged.
    /// # Panics
    /// If `accumulator` does not have the length that `digits` calls for.
    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault>;

    /// Masks or unmasks rows of plain (unstructured) LWE in place, mod 2^bits: see [`DenseKey`].
    ///
    /// # Errors
    /// [`Fault`], with `rows` unchanged.
    /// # Panics
    /// If the rows run past number 2^32 - 1, or a summed key does not have the job's dimension.
    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault>;
}

/// Why a backend did not do a job it was asked to do properly. Only what the caller cannot foresee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This backend does not take jobs of this kind or size.
    Declined,
    /// The device went away, or no longer answers.
    DeviceLost,
    /// The device has not enough memory for the job.
    OutOfMemory,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "the backend does not take this job; give the ladder another rung",
            Self::DeviceLost => "the device was lost; create the backend anew or use another",
            Self::OutOfMemory => "the device has not enough memory; split the job or use another backend",
        })
    }
}

impl core::error::Error for Fault {}
