//! The kernels as things to run again and again: inputs, buffers, one step, and what a step must at least move.

use crate::aligned::Aligned;
use crate::failure::Failure;
use crate::floor::{self, Needs};
use crate::record::sha256;
use crate::stats::Random;
use kernels::cpu::Cpu;
use kernels::expand::{self, Domain};
use kernels::reference::Reference;
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Fault, Modulus, PadJob, Plan, Ring,
    SealJob, Secret, Shape,
};
use std::hint::black_box;

/// A kernel and the length of its polynomials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// Polynomial length; for `dense` the dimension, for `expand` the words of a stream.
    pub n: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the jobs' names: see kernels::Backend.
pub enum Kernel {
    Forward,
    Inverse,
    Expand,
    Pad,
    Seal,
    Encrypt,
    Sum,
    Decrypt,
    Dense,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Forward,
        Self::Inverse,
        Self::Expand,
        Self::Pad,
        Self::Seal,
        Self::Encrypt,
        Self::Sum,
        Self::Decrypt,
        Self::Dense,
    ];

    /// The name in tables, filters and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Inverse => "inverse",
            Self::Expand => "expand",
            Self::Pad => "pad",
            Self::Seal => "seal",
            Self::Encrypt => "encrypt",
            Self::Sum => "sum",
            Self::Decrypt => "decrypt",
            Self::Dense => "dense",
        }
    }

    /// What its time is counted by.
    #[must_use]
    pub fn item(self) -> &'static str {
        match self {
            Self::Forward | Self::Inverse => "transform",
            Self::Expand => "word",
            Self::Pad => "coefficient",
            Self::Seal | Self::Encrypt | Self::Decrypt => "digit",
            Self::Sum => "packed word",
            Self::Dense => "product",
        }
    }
}

/// How much data a task holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// For comparing with the reference, which is slow.
    Check,
    /// Fits the second-level cache: for instruction counts and smoke runs.
    Small,
    /// What is measured. Rows to be summed do not fit a cache.
    Full,
    /// So many polynomials to a message, and eight rows to a sum.
    Polys(usize),
    /// As much as an update of so many values brings, and to a sum so many rows: see [`Scale::of_update`].
    Update {
        /// Values of an update.
        values: usize,
        /// Robots.
        rows: usize,
    },
}

impl Scale {
    /// Polynomials of a message of so many values, three to a coefficient.
    #[must_use]
    pub fn of_update(values: usize, n: usize) -> usize {
        values.div_ceil(DIGITS as usize * n)
    }
}

/// The lengths at which transforms are measured.
pub const LENGTHS: [usize; 6] = [1024, 2048, 4096, 8192, 16384, 32768];

/// Every case of the table.
#[must_use]
pub fn cases() -> Vec<Case> {
    let case = |kernel, n| Case { kernel, n };
    let mut all: Vec<Case> = LENGTHS.iter().map(|&n| case(Kernel::Forward, n)).collect();
    all.extend(LENGTHS.iter().map(|&n| case(Kernel::Inverse, n)));
    all.push(case(Kernel::Expand, 4096));
    all.extend([Kernel::Pad, Kernel::Seal, Kernel::Encrypt, Kernel::Sum, Kernel::Decrypt].map(|k| case(k, 4096)));
    all.push(case(Kernel::Dense, 2048));
    all
}

const A_SEED: [u8; 32] = [0xA5; 32];
const MESSAGE_SEED: [u8; 32] = [0x5A; 32];
/// Primes P1 and P2, 50 bits and 3 digits: 8-bit values of up to 100 clients, SCHEME's default.
const BITS: u32 = 50;
const BASE: u64 = 25_501;
const DIGITS: u32 = 3;
/// Rows of an update's size that are kept, and taken in turn: large ones together do not fit a cache.
const KEPT_ROWS: usize = 8;

/// A case with its data.
#[derive(Debug)]
pub struct Task {
    /// What it is.
    pub case: Case,
    /// Items in one step.
    pub items: u64,
    /// Bytes that one step must at least move to or from memory if nothing stays in a cache.
    pub bytes: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Ntt {
        plan: Box<Plan>,
        direction: Direction,
        polys: Aligned,
    },
    Expand {
        out: Aligned,
    },
    Pad {
        ring: Ring,
        seed: Secret<[u8; 32]>,
        out: Vec<u32>,
    },
    Seal {
        encoding: Encoding,
        pad: Vec<u32>,
        digits: Vec<u32>,
        out: Vec<u8>,
    },
    Encrypt {
        encoding: Encoding,
        seed: Secret<[u8; 32]>,
        digits: Vec<u32>,
        out: Vec<u8>,
    },
    /// The rows are taken in turn, `count` of them.
    Sum {
        shape: Shape,
        rows: Vec<Vec<u8>>,
        count: usize,
        accumulator: Vec<u32>,
    },
    Decrypt {
        encoding: Encoding,
        secret_sum: Secret<Vec<i32>>,
        accumulator: Vec<u32>,
        digits: Vec<u32>,
    },
    Dense {
        dimension: usize,
        seed: Secret<[u8; 32]>,
        rows: Vec<u32>,
    },
}

impl Task {
    /// Makes the data of a case: always the same.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the length does not suit the kernel.
    pub fn new(case: Case, scale: Scale) -> Result<Self, Failure> {
        let n = case.n;
        let mut random = Random(n as u64);
        let polys = match scale {
            Scale::Check => 2,
            Scale::Small | Scale::Full => 8,
            Scale::Polys(polys) => polys,
            Scale::Update { values, .. } => Scale::of_update(values, n),
        };
        let words = |random: &mut Random, count: usize, below: usize| -> Vec<u32> {
            (0..count).map(|_| random.below(below) as u32).collect()
        };
        let digits = if let Scale::Update { values, .. } = scale { values } else { polys * n * DIGITS as usize - 5 };
        let (data, items, bytes) = match case.kernel {
            Kernel::Forward | Kernel::Inverse => {
                let plan = Plan::new(Modulus::P1, n).map_err(unsuited)?;
                let forward = case.kernel == Kernel::Forward;
                let direction = if forward { Direction::Forward } else { Direction::Inverse };
                let batch = match scale {
                    Scale::Polys(polys) => polys,
                    // One for each of two primes.
                    Scale::Update { .. } => 2 * polys,
                    _ => 1,
                };
                let polys = Aligned::new(&words(&mut random, batch * n, plan.modulus().value() as usize));
                (Data::Ntt { plan: Box::new(plan), direction, polys }, batch, 8 * batch * n)
            }
            Kernel::Expand => {
                let words = if let Scale::Update { .. } = scale { 2 * polys * n } else { n };
                (Data::Expand { out: Aligned::new(&vec![0; words]) }, words, 4 * words)
            }
            Kernel::Pad => {
                let ring = encoding(n)?.ring().clone();
                let out = vec![0; polys * ring.plans().len() * n];
                let bytes = 4 * out.len();
                (Data::Pad { ring, seed: Secret::new(MESSAGE_SEED), out }, polys * n, bytes)
            }
            Kernel::Seal => {
                let encoding = encoding(n)?;
                let pad = words(&mut random, encoding.pad_len(digits), 1 << 29);
                let out = vec![0; encoding.packed_len(digits)];
                let bytes = 8 * pad.len() + 4 * digits + out.len();
                (Data::Seal { encoding, pad, digits: words(&mut random, digits, 256), out }, digits, bytes)
            }
            Kernel::Encrypt => {
                let encoding = encoding(n)?;
                let (seed, out) = (Secret::new(MESSAGE_SEED), vec![0; encoding.packed_len(digits)]);
                let bytes = 4 * digits + out.len();
                (Data::Encrypt { encoding, seed, digits: words(&mut random, digits, 256), out }, digits, bytes)
            }
            Kernel::Sum => sum(&mut random, n, scale),
            Kernel::Decrypt => {
                let encoding = encoding(n)?;
                let accumulator = words(&mut random, encoding.shape(digits).accumulator_len(), 1 << 18);
                let secret_sum = Secret::new((0..n).map(|_| random.below(65) as i32 - 32).collect());
                let bytes = 4 * (accumulator.len() + digits);
                (Data::Decrypt { encoding, secret_sum, accumulator, digits: vec![0; digits] }, digits, bytes)
            }
            Kernel::Dense => {
                let count = if let Scale::Update { values, .. } = scale { values } else { 8 * polys };
                let rows = words(&mut random, count, 1 << 28);
                let items = rows.len() * n;
                let bytes = 8 * rows.len();
                (Data::Dense { dimension: n, seed: Secret::new(MESSAGE_SEED), rows }, items, bytes)
            }
        };
        Ok(Self { case, items: items as u64, bytes: bytes as u64, data })
    }

    /// Runs the kernel once on this processor.
    ///
    /// # Errors
    /// The engine's.
    pub fn step(&mut self, cpu: &Cpu) -> Result<(), Fault> {
        match &mut self.data {
            Data::Expand { out } => cpu.expand(&A_SEED, Domain::A, 7, 0, out),
            _ => self.run(cpu)?,
        }
        black_box(&mut self.data);
        Ok(())
    }

    /// Runs the job once on any engine. A task that is no job is declined.
    ///
    /// # Errors
    /// The engine's.
    pub fn step_on(&mut self, backend: &dyn Backend) -> Result<(), Fault> {
        self.run(backend)?;
        black_box(&mut self.data);
        Ok(())
    }

    /// The job's size as a ladder counts it: words or digits, and bytes / 4 for packed rows.
    #[must_use]
    pub fn words(&self) -> usize {
        match &self.data {
            Data::Ntt { polys: words, .. } | Data::Expand { out: words } => words.len(),
            Data::Pad { out, .. } => out.len(),
            Data::Seal { digits, .. } | Data::Encrypt { digits, .. } | Data::Decrypt { digits, .. } => digits.len(),
            Data::Sum { shape, count, .. } => count * shape.packed_len() / 4,
            Data::Dense { dimension, rows, .. } => rows.len() * dimension,
        }
    }

    /// What a step cannot do without.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let n = self.case.n as u64;
        let polys = |ring: &Ring, words: usize| (words / ring.n() / ring.plans().len()) as u64;
        let shape = |encoding: &Encoding, digits: &[u32]| {
            let (limbs, rho) = (encoding.ring().plans().len(), encoding.digits_per_coefficient());
            let (polys, coefficients) = (encoding.polys(digits.len()), encoding.coefficients(digits.len()));
            [limbs, rho, polys, coefficients].map(|count| count as u64)
        };
        // What its buffers hold, and what is computed on that.
        let (held_bytes, needs) = match &self.data {
            Data::Ntt { polys, .. } => (4 * polys.len(), floor::transform(n).times(polys.len() as u64 / n)),
            Data::Expand { out } => (4 * out.len(), floor::stream(out.len() as u64)),
            Data::Pad { ring, out, .. } => {
                (4 * out.len(), floor::pad(n, ring.plans().len() as u64, polys(ring, out.len())))
            }
            Data::Seal { encoding, pad, digits, out } => {
                let [limbs, rho, _, coefficients] = shape(encoding, digits);
                (4 * (pad.len() + digits.len()) + out.len(), floor::seal(coefficients, limbs, rho))
            }
            Data::Encrypt { encoding, digits, out, .. } => {
                let [limbs, rho, polys, coefficients] = shape(encoding, digits);
                let both = floor::pad(n, limbs, polys).and(floor::seal(coefficients, limbs, rho));
                (4 * digits.len() + out.len(), both)
            }
            Data::Sum { shape, rows, count, accumulator } => {
                let needs = floor::sum(shape.coefficients as u64, *count as u64, shape.bits);
                (rows.len() * shape.packed_len() + 4 * accumulator.len(), needs)
            }
            Data::Decrypt { encoding, accumulator, digits, .. } => {
                let [limbs, rho, polys, coefficients] = shape(encoding, digits);
                (4 * (accumulator.len() + digits.len()), floor::decrypt(n, limbs, rho, polys, coefficients))
            }
            Data::Dense { rows, .. } => (4 * rows.len(), floor::dense(n, rows.len() as u64)),
        };
        Needs { bytes: self.bytes, held_bytes: held_bytes as u64, ..needs }
    }

    /// SHA-256 of what the last step gave.
    #[must_use]
    pub fn digest(&self) -> String {
        let (words, bytes) = self.output();
        sha256(&words.iter().flat_map(|word| word.to_le_bytes()).chain(bytes.iter().copied()).collect::<Vec<u8>>())
    }

    /// The same by definition.
    ///
    /// # Errors
    /// None that the definition has.
    pub fn define(&mut self) -> Result<(), Fault> {
        match &mut self.data {
            Data::Expand { out } => {
                out.iter_mut().zip(expand::words(&A_SEED, Domain::A, 7, 0)).for_each(|(out, word)| *out = word);
                Ok(())
            }
            _ => self.run(&Reference),
        }
    }

    fn run(&mut self, backend: &dyn Backend) -> Result<(), Fault> {
        let a_seed = &A_SEED;
        match &mut self.data {
            Data::Ntt { plan, direction, polys } => backend.ntt(plan, *direction, polys),
            // Not a job: `step` and `define` do it.
            Data::Expand { .. } => Err(Fault::Declined),
            Data::Pad { ring, seed, out } => {
                backend.pad(&PadJob { ring, a_seed, message_seed: seed, first_poly: 3 }, out)
            }
            Data::Seal { encoding, pad, digits, out } => backend.seal(&SealJob { encoding }, pad, digits, out),
            Data::Encrypt { encoding, seed, digits, out } => {
                backend.encrypt(&EncryptJob { encoding, a_seed, message_seed: seed, first_poly: 3 }, digits, out)
            }
            Data::Sum { shape, rows, count, accumulator } => {
                let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).cycle().take(*count).collect();
                backend.sum(shape, &rows, accumulator)
            }
            Data::Decrypt { encoding, secret_sum, accumulator, digits } => {
                let job = DecryptJob { encoding, a_seed, secret_sum, first_poly: 3 };
                backend.decrypt(&job, accumulator, digits).map(|noise| {
                    black_box(noise);
                })
            }
            Data::Dense { dimension, seed, rows } => {
                let key = DenseKey::Mask(seed);
                backend.dense(&DenseJob { a_seed, dimension: *dimension, bits: 28, first_row: 3, key }, rows)
            }
        }
    }

    /// What a step left behind: words, and bytes.
    #[must_use]
    pub fn output(&self) -> (&[u32], &[u8]) {
        match &self.data {
            Data::Ntt { polys: words, .. } | Data::Expand { out: words } => (words, &[]),
            Data::Pad { out: words, .. }
            | Data::Sum { accumulator: words, .. }
            | Data::Decrypt { digits: words, .. }
            | Data::Dense { rows: words, .. } => (words, &[]),
            Data::Seal { pad, out, .. } => (pad, out),
            Data::Encrypt { out, .. } => (&[], out),
        }
    }
}

/// Compares an engine with the definition on a small task of this case.
///
/// # Errors
/// [`Failure::Wrong`] where they differ.
pub fn check(cpu: &Cpu, case: Case) -> Result<(), Failure> {
    compare(case, cpu.name(), |task| task.step(cpu))
}

/// The same for any engine; a task that is no job is declined.
///
/// # Errors
/// [`Failure::Wrong`] where they differ.
pub fn check_on(backend: &dyn Backend, case: Case) -> Result<(), Failure> {
    compare(case, backend.name(), |task| task.step_on(backend))
}

fn compare(case: Case, engine: &str, step: impl FnOnce(&mut Task) -> Result<(), Fault>) -> Result<(), Failure> {
    let (mut ours, mut defined) = (Task::new(case, Scale::Check)?, Task::new(case, Scale::Check)?);
    step(&mut ours)?;
    defined.define()?;
    if ours.output() == defined.output() {
        return Ok(());
    }
    let (kernel, n) = (case.kernel.name(), case.n);
    Err(Failure::Wrong(format!(
        "{engine} computes {kernel} at n = {n} otherwise than the reference, so its time means nothing. Run \
         `cargo test -p tensorguard-tests` and report what it prints"
    )))
}

fn encoding(n: usize) -> Result<Encoding, Failure> {
    let ring = Ring::new(n, &[Modulus::P1.value(), Modulus::P2.value()]).map_err(unsuited)?;
    Encoding::new(ring, BITS, BASE, DIGITS).map_err(unsuited)
}

fn sum(random: &mut Random, n: usize, scale: Scale) -> (Data, usize, usize) {
    // 2.5 million parameters are 204 polynomials; 24 such rows are 125 MB.
    let (polys, count) = match scale {
        Scale::Check => (1, 5),
        Scale::Small => (1, 8),
        Scale::Full => (204, 24),
        Scale::Polys(polys) => (polys, 8),
        Scale::Update { values, rows } => (Scale::of_update(values, n), rows),
    };
    let shape = Shape { bits: BITS, coefficients: polys * n };
    let bytes = shape.packed_len();
    let mut row = || (0..bytes.div_ceil(8)).flat_map(|_| random.word().to_le_bytes()).take(bytes).collect();
    let kept = if let Scale::Update { .. } = scale { count.min(KEPT_ROWS) } else { count };
    let rows: Vec<Vec<u8>> = (0..kept).map(|_| row()).collect();
    let accumulator = vec![0; shape.accumulator_len()];
    // The accumulator is read and written once.
    let moved = count * bytes + 8 * accumulator.len();
    (Data::Sum { shape, rows, count, accumulator }, count * shape.coefficients, moved)
}

fn unsuited(error: impl std::error::Error) -> Failure {
    Failure::Usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_agrees_with_the_reference() {
        let cpu = Cpu::best(1);
        for case in cases() {
            check(&cpu, case).unwrap();
        }
    }

    #[test]
    fn a_wrong_kernel_is_noticed() {
        let case = Case { kernel: Kernel::Forward, n: 1024 };
        let (mut one, mut other) = (Task::new(case, Scale::Check).unwrap(), Task::new(case, Scale::Check).unwrap());
        one.define().unwrap();
        assert_ne!(one.output(), other.output());
        other.define().unwrap();
        assert_eq!(one.output(), other.output());
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let odd = Task::new(Case { kernel: Kernel::Forward, n: 1000 }, Scale::Check);
        assert!(matches!(odd, Err(Failure::Usage(_))));
    }
}
