//! How fast a core's arithmetic is at best, engine by engine: vectors in registers that do not wait for each other.

use crate::clock::Clock;
use crate::failure::Failure;
use crate::floor::{Ceilings, Limit};
use crate::stats::median;
use kernels::cpu::Cpu;
use kernels::{Backend, Modulus, Plan};
use std::hint::black_box;

/// Rounds of a run: some tens of microseconds.
const ROUNDS: u32 = 2000;
/// What is mixed in: any numbers.
const MIXED: [u32; 2] = [0x9E37_79B9, 0x7F4A_7C15];
/// Length of a sample.
const SAMPLE_NS: u64 = 5_000_000;
/// Samples behind a rate.
const SAMPLES: usize = 15;

/// Arithmetic without a job, to be timed.
#[derive(Debug)]
pub struct Ceiling<'a> {
    cpu: &'a Cpu,
    kind: Kind,
    /// Products, or operations, in a run.
    pub count: u64,
}

#[derive(Debug)]
enum Kind {
    Products(Box<Plan>),
    Operations,
}

impl<'a> Ceiling<'a> {
    /// Products of words by factors mod p.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where they come out wrong.
    pub fn products(cpu: &'a Cpu) -> Result<Self, Failure> {
        let plan = Plan::new(Modulus::P1, 4096).map_err(|error| Failure::Internal(error.to_string()))?;
        Self::checked(cpu, Kind::Products(Box::new(plan)))
    }

    /// Additions, exclusive ors and rotations of words, a third each, as ChaCha20 has them.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where they come out wrong.
    pub fn operations(cpu: &'a Cpu) -> Result<Self, Failure> {
        Self::checked(cpu, Kind::Operations)
    }

    /// The limit that it is, named as in results.
    #[must_use]
    pub fn limit(&self) -> Limit {
        if let Kind::Products(_) = self.kind { Limit::Products } else { Limit::Operations }
    }

    fn checked(cpu: &'a Cpu, kind: Kind) -> Result<Self, Failure> {
        let mut ceiling = Self { cpu, kind, count: 0 };
        let words = ceiling.words();
        let each = if let Kind::Products(_) = ceiling.kind { 3 } else { 12 };
        ceiling.count = each * u64::from(ROUNDS) * words.len() as u64;
        if ceiling.defined(words.len()) == words {
            return Ok(ceiling);
        }
        let (engine, what) = (cpu.name(), ceiling.limit().name());
        Err(Failure::Wrong(format!("{engine} computes {what} wrong: run `cargo test -p tensorguard-kernels ceiling`")))
    }

    /// One run.
    pub fn run(&self) {
        black_box(self.words());
    }

    fn words(&self) -> Vec<u32> {
        match &self.kind {
            Kind::Products(plan) => self.cpu.multiply(black_box(plan), black_box(ROUNDS)),
            Kind::Operations => self.cpu.mix(black_box(MIXED), black_box(ROUNDS)),
        }
    }

    /// What a run gives, another way: by powers of the factor, and word by word.
    fn defined(&self, words: usize) -> Vec<u32> {
        let first = 1..=words as u32;
        let [addend, mask] = MIXED;
        match &self.kind {
            Kind::Products(plan) => {
                let p = plan.modulus();
                let factor = p.pow(plan.n_inverse().factor, ROUNDS);
                first.map(|word| p.mul(word, factor)).collect()
            }
            Kind::Operations => {
                let step = |word: u32, by| (word.wrapping_add(addend) ^ mask).rotate_left(by);
                let round = |word, _| [16, 12, 8, 7].into_iter().fold(word, step);
                first.map(|word| (0..ROUNDS).fold(word, round)).collect()
            }
        }
    }

    /// So many a nanosecond of CPU time: the median of some samples.
    fn rate(&self) -> Result<f64, Failure> {
        let run = || {
            self.run();
            Ok::<(), Failure>(())
        };
        let runs = Clock::Cpu.calibrate(SAMPLE_NS, run)?;
        let mut rates = Vec::new();
        for _ in 0..SAMPLES {
            rates.push((runs * self.count) as f64 / Clock::Cpu.sample(runs, run)?.max(1) as f64);
        }
        Ok(median(&rates))
    }
}

/// What an engine's arithmetic gives at best on one thread, beside a rate of memory in bytes per nanosecond.
///
/// # Errors
/// Those of [`Ceiling::products`].
pub fn measure(cpu: &Cpu, bytes: f64) -> Result<Ceilings, Failure> {
    let (products, operations) = (Ceiling::products(cpu)?.rate()?, Ceiling::operations(cpu)?.rate()?);
    Ok(Ceilings { bytes, products, operations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_timed_on_what_it_was_checked_on() {
        for cpu in Cpu::present(1) {
            let (products, operations) = (Ceiling::products(&cpu).unwrap(), Ceiling::operations(&cpu).unwrap());
            assert_eq!(products.limit(), Limit::Products);
            // The same words in both, thrice and twelve times a round.
            assert_eq!(4 * products.count, operations.count);
            assert_eq!(operations.defined(3), operations.words()[..3]);
            assert_ne!(operations.defined(3), [1, 2, 3]);
        }
    }
}
