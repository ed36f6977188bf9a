//! The engines for CPUs: bodies written once over a small trait of vector operations, a thin shell per instruction set, and rayon's threads.
//!
//! Work is split by polynomials or words, never in a way that could change a bit: every word's value depends on its own
//! position alone.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod ceiling;
mod decrypt;
mod dense;
mod expand;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon;
mod ntt;
mod pad;
mod portable;
mod seal;
mod simd;
mod sum;
mod tail;

use crate::crew::{each, is_in_queue};
use crate::expand::Domain;
use crate::{
    Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, Ring, SealJob, Secret, Shape,
};
use simd::Body;
use std::sync::{Mutex, PoisonError};

/// An instruction set this crate has an engine for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, for any processor.
    Portable,
    /// x86-64 with AVX2 and BMI2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL, VBMI, IFMA and VPOPCNTDQ.
    Avx512,
    /// Little-endian aarch64, all of which has NEON.
    Neon,
}

impl Isa {
    /// All of them, the best of each architecture last.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name of the engine, as [`Backend::name`] gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "cpu-portable",
            Self::Avx2 => "cpu-avx2",
            Self::Avx512 => "cpu-avx512",
            Self::Neon => "cpu-neon",
        }
    }

    /// Why this machine has no such engine; `None` where it has.
    #[must_use]
    pub fn absent_reason(self) -> Option<&'static str> {
        if self.engine().is_some() {
            return None;
        }
        Some(match self {
            Self::Portable => "always present",
            Self::Avx2 if cfg!(target_arch = "x86_64") => "this processor has no AVX2 and BMI2",
            Self::Avx512 if cfg!(target_arch = "x86_64") => {
                "this processor has not all of AVX-512 F, BW, DQ, VL, VBMI, IFMA and VPOPCNTDQ"
            }
            Self::Avx2 | Self::Avx512 => "not an x86-64 processor",
            Self::Neon => "not a little-endian aarch64 processor",
        })
    }

    fn engine(self) -> Option<Engine> {
        match self {
            Self::Portable => Some(Engine::Portable(portable::Portable)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::new().map(Engine::Avx2),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::new().map(Engine::Avx512),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => Some(Engine::Neon(neon::Neon::new())),
            #[allow(unreachable_patterns, reason = "which instruction sets remain depends on the target")]
            _ => None,
        }
    }
}

/// Words for each thread that shares a job, at least: what a sleeping thread must find to do, or waking it costs more than it does.
/// With half as many, two threads were at times slower than one.
const LEAST_WORDS: usize = 1 << 17;

/// Words of a pad that stay in a core's cache until they are sealed: 128 KiB.
const CACHED_WORDS: usize = 1 << 15;

/// An instruction set with the proof that it is there.
#[derive(Clone, Copy, Debug)]
enum Engine {
    Portable(portable::Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    Neon(neon::Neon),
}

/// A CPU engine with a fixed number of threads.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    engine: Engine,
    threads: usize,
    /// Words for each thread.
    least_words: usize,
}

impl Cpu {
    /// The widest instruction set of this machine, on `threads` threads (at least one).
    #[must_use]
    pub fn best(threads: usize) -> Self {
        let isa = Isa::ALL.into_iter().rev().find(|isa| isa.engine().is_some());
        let engine = isa.and_then(Isa::engine).unwrap_or(Engine::Portable(portable::Portable));
        Self::on(isa.unwrap_or(Isa::Portable), engine, threads)
    }

    /// A chosen instruction set; `None` where this machine does not have it (see [`Isa::absent_reason`]).
    #[must_use]
    pub fn with(isa: Isa, threads: usize) -> Option<Self> {
        isa.engine().map(|engine| Self::on(isa, engine, threads))
    }

    /// An engine for each instruction set present, the best last.
    #[must_use]
    pub fn present(threads: usize) -> Vec<Self> {
        Isa::ALL.into_iter().filter_map(|isa| Self::with(isa, threads)).collect()
    }

    fn on(isa: Isa, engine: Engine, threads: usize) -> Self {
        let threads = threads.max(1);
        Self { isa, engine, threads, least_words: LEAST_WORDS }
    }

    /// Shares jobs of `words` words or more (at least one) for each thread, instead of what pays. For tests of the sharing.
    #[must_use]
    pub fn with_least_words(mut self, words: usize) -> Self {
        self.least_words = words.max(1);
        self
    }

    /// The instruction set.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many threads share a job.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Raw words of one stream of the expander, from its beginning.
    pub fn expand(&self, seed: &[u8; 32], domain: Domain, poly: u32, limb: u32, out: &mut [u32]) {
        let share = self.share(out.len().div_ceil(256), 256);
        let size = share.units * 256;
        let pieces = out.chunks_mut(size).enumerate().map(|(index, out)| ((index * size / 16) as u32, out));
        each(share.threads, pieces, |(counter, out)| {
            self.run(expand::Words { seed, domain, poly, limb, counter, out })
        });
    }

    /// Adds what [`crate::expand::small`] defines to `sum`, coefficient by coefficient. Constant time.
    ///
    /// # Panics
    /// If the coefficients are no whole number of fours.
    pub fn small_add(&self, seed: &[u8; 32], domain: Domain, poly: u32, sum: &mut [i32]) {
        assert!(sum.len().is_multiple_of(4), "small coefficients are drawn in fours");
        self.run(expand::SmallAdd { seed, domain, poly, sum });
    }

    /// No job: products of words by `1/n` of the plan, to time on one thread. Words begin as 1, 2, 3, .. and are given as they end, in
    /// `[0, p)`. A round makes three products of each: one high half, two low halves.
    #[must_use]
    pub fn multiply(&self, plan: &Plan, rounds: u32) -> Vec<u32> {
        self.run(ceiling::Multiply { plan, rounds })
    }

    /// No job: twelve operations of each word in a round, to time on one thread: add, exclusive or, rotate left, by 16, 12, 8 and 7
    /// places in turn. Words begin as 1, 2, 3, .. and are given as they end.
    #[must_use]
    pub fn mix(&self, [addend, mask]: [u32; 2], rounds: u32) -> Vec<u32> {
        self.run(ceiling::Mix { addend, mask, rounds })
    }

    fn run<B: Body>(&self, body: B) -> B::Output {
        match self.engine {
            Engine::Portable(engine) => engine.run(body),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx2(engine) => engine.run(body),
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512(engine) => engine.run(body),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Engine::Neon(engine) => engine.run(body),
        }
    }

    /// How to share `count` units of `words` words each: a few pieces per thread, so that an idle one finds more work, and no
    /// more threads than have enough to do.
    fn share(&self, count: usize, words: usize) -> Share {
        let worth = count.saturating_mul(words) / self.least_words;
        let threads = if is_in_queue() { 1 } else { self.threads.min(worth).max(1) };
        let pieces = if threads == 1 { 1 } else { 4 * threads };
        Share { units: count.div_ceil(pieces).max(1), threads }
    }

    /// Pads and seals a few polynomials at a time, while the pad is in the cache. Two bodies, not one: a third would be a copy
    /// of both in every shell.
    fn encrypt_piece(&self, job: &EncryptJob<'_>, key: &pad::Key, first_poly: u32, digits: &[u32], out: &mut [u8]) {
        let EncryptJob { encoding, a_seed, message_seed: seed, .. } = *job;
        let (ring, n) = (encoding.ring(), encoding.ring().n());
        let words = ring_words(ring);
        let polys = (CACHED_WORDS / words).clamp(1, encoding.polys(digits.len()).max(1));
        let mut pad = Secret::new(vec![0; polys * words]);
        let digits = digits.chunks(polys * n * encoding.digits_per_coefficient());
        let bytes = out.chunks_mut(polys * n / 8 * encoding.bits() as usize);
        for (index, (digits, out)) in digits.zip(bytes).enumerate() {
            let pad = &mut pad.expose_mut()[..encoding.pad_len(digits.len())];
            let first_poly = offset(first_poly, index, polys);
            self.run(pad::Pad { ring, a_seed, seed, key, first_poly, out: pad });
            self.run(seal::Seal { encoding, pad, digits, out });
        }
    }

    fn message_key(&self, ring: &Ring, seed: &Secret<[u8; 32]>) -> pad::Key {
        self.run(pad::MessageKey { ring, seed })
    }
}

/// How a job is shared.
#[derive(Clone, Copy)]
struct Share {
    /// In a piece.
    units: usize,
    threads: usize,
}

/// A residue that is expanded and transformed counts as so many words.
const POLY_EFFORT: usize = 4;

fn ring_words(ring: &Ring) -> usize {
    ring.n() * ring.plans().len()
}

/// Polynomial numbers never run over: the jobs' checks saw to that.
fn offset(first_poly: u32, pieces: usize, share: usize) -> u32 {
    first_poly.wrapping_add((pieces * share) as u32)
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        self.isa.name()
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        assert!(polys.len().is_multiple_of(plan.n()), "a batch is a whole number of polynomials");
        let share = self.share(polys.len() / plan.n(), plan.n());
        let pieces = polys.chunks_mut(share.units * plan.n());
        each(share.threads, pieces, |polys| match direction {
            Direction::Forward => self.run(ntt::Forward { plan, polys }),
            Direction::Inverse => self.run(ntt::Inverse { plan, polys }),
        });
        Ok(())
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        let share = self.share(job.polys(out), POLY_EFFORT * ring_words(job.ring));
        let PadJob { ring, a_seed, message_seed: seed, .. } = *job;
        let key = &self.message_key(ring, seed);
        let pieces = out.chunks_mut(share.units * ring.n() * ring.plans().len()).enumerate();
        each(share.threads, pieces, |(index, out)| {
            let first_poly = offset(job.first_poly, index, share.units);
            self.run(pad::Pad { ring, a_seed, seed, key, first_poly, out });
        });
        Ok(())
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        job.check(pad, digits, out);
        let encoding = job.encoding;
        let n = encoding.ring().n();
        let share = self.share(encoding.polys(digits.len()), ring_words(encoding.ring()));
        let pads = pad.chunks_mut(share.units * n * encoding.ring().plans().len());
        let rest = digits.chunks(share.units * n * encoding.digits_per_coefficient());
        let bytes = out.chunks_mut(share.units * n / 8 * encoding.bits() as usize);
        let pieces = pads.zip(rest).zip(bytes);
        each(share.threads, pieces, |((pad, digits), out)| {
            self.run(seal::Seal { encoding, pad, digits, out });
            // The zeros are there; this keeps a compiler from seeing that nobody reads them.
            core::hint::black_box(pad);
        });
        Ok(())
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        job.check(digits, out);
        let encoding = job.encoding;
        let n = encoding.ring().n();
        let share = self.share(encoding.polys(digits.len()), POLY_EFFORT * ring_words(encoding.ring()));
        let key = &self.message_key(encoding.ring(), job.message_seed);
        let digits = digits.chunks(share.units * n * encoding.digits_per_coefficient());
        let bytes = out.chunks_mut(share.units * n / 8 * encoding.bits() as usize);
        let pieces = digits.zip(bytes).enumerate();
        each(share.threads, pieces, |(index, (digits, out))| {
            let first_poly = offset(job.first_poly, index, share.units);
            self.encrypt_piece(job, key, first_poly, digits, out);
        });
        Ok(())
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        shape.check(rows, accumulator);
        // Adding is an eighth of the work of expanding.
        let share = self.share(shape.coefficients.div_ceil(8), rows.len());
        let pieces = accumulator.chunks_mut(8 * share.units * shape.words_per_value()).enumerate();
        each(share.threads, pieces, |(index, accumulator)| {
            let first_byte = index * share.units * shape.bits as usize;
            self.run(sum::Sum { shape: *shape, rows, first_byte, accumulator });
        });
        Ok(())
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        job.check(accumulator, digits);
        let (ring, width) = (job.encoding.ring(), job.encoding.shape(0).words_per_value());
        let share = self.share(job.encoding.polys(digits.len()), POLY_EFFORT * ring_words(ring));
        let key = &self.run(pad::SumKey { ring, sum: job.secret_sum });
        let digits = digits.chunks_mut(share.units * ring.n() * job.encoding.digits_per_coefficient());
        let pieces = digits.zip(accumulator.chunks(share.units * ring.n() * width)).enumerate();
        let noise = Mutex::new(Noise::default());
        each(share.threads, pieces, |(index, (digits, accumulator))| {
            let first_poly = offset(job.first_poly, index, share.units);
            let part = self.run(decrypt::Decrypt { job: *job, key, first_poly, accumulator, digits });
            let mut noise = noise.lock().unwrap_or_else(PoisonError::into_inner);
            *noise = *noise + part;
        });
        Ok(noise.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        job.check(rows);
        let secret = &self.run(dense::DenseSecret { job: *job });
        let share = self.share(rows.len(), job.dimension);
        let pieces = rows.chunks_mut(share.units).enumerate();
        each(share.threads, pieces, |(index, rows)| {
            let first_row = offset(job.first_row, index, share.units);
            self.run(dense::Dense { job: *job, secret, first_row, rows });
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Reference;

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter has none of the vector instructions")]
    fn added_small_coefficients_equal_the_definition() {
        // To an interpreter the last one is hours.
        let lengths: &[usize] = if cfg!(miri) { &[0, 4, 60, 64, 68] } else { &[0, 4, 60, 64, 68, 4096] };
        for cpu in Cpu::present(1) {
            for &length in lengths {
                let (mut sum, mut drawn) = (vec![99; length], vec![0; length]);
                cpu.small_add(&[5; 32], Domain::S, 3, &mut sum);
                crate::expand::small(&[5; 32], Domain::S, 3, &mut drawn);
                let same: Vec<i32> = drawn.iter().map(|small| 99 + small).collect();
                assert_eq!(sum, same, "{}", cpu.name());
            }
        }
    }

    /// Small enough for an interpreter, which then has run the shared bodies; the suite in `tests` does the rest.
    #[test]
    fn the_bodies_equal_the_definition_on_plain_arrays() {
        let cpu = Cpu::with(Isa::Portable, 1).unwrap();
        let plan = Plan::new(crate::Modulus::P1, 256).unwrap();
        let mut words: Vec<u32> = (0..256u32).map(|i| i.wrapping_mul(0x9E37_79B9)).collect();
        let mut same = words.clone();
        for direction in [Direction::Forward, Direction::Inverse] {
            cpu.ntt(&plan, direction, &mut words).unwrap();
            Reference.ntt(&plan, direction, &mut same).unwrap();
            assert_eq!(words, same);
        }
        let shape = Shape { bits: 50, coefficients: 19 };
        let row: Vec<u8> = (0..shape.packed_len()).map(|i| (i * 37) as u8).collect();
        let (mut sum, mut same) = (vec![7; 38], vec![7; 38]);
        cpu.sum(&shape, &[row.as_slice(); 5], &mut sum).unwrap();
        Reference.sum(&shape, &[row.as_slice(); 5], &mut same).unwrap();
        assert_eq!(sum, same);
    }
}
