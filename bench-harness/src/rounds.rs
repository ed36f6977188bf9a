//! Our side of a whole round: one robot's update to wire bytes, uploads to a sum, the sum to the mean.

use crate::clock::cpu_ns;
use crate::failure::Failure;
use crate::stats::mix;
use folding::lwe::{
    ForgetfulLog, HolderKey, Keys, MessageKey, NotVerified, Pads, Policy, RobotId, Sum, UpdateId, VerifiedManifest,
    Verifier,
};
use folding::{Question, Round, RoundTerms, Update};
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Robots a round plans for.
pub const PLANNED: u64 = 100;
/// Uploads in one run of [`Step::Add`].
pub const GROUP: usize = 4;
/// Uploads that are added in turn: large ones together do not fit a cache.
const KEPT: usize = 8;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Floats to wire bytes, a fresh message key included.
    Encrypt,
    /// The part of it that needs the update, with pads made ahead.
    Online,
    /// Four uploads, as they arrived, into the sum.
    Add,
    /// The sum to the mean: keys, canaries, noise check and all.
    Decrypt,
}

impl Step {
    /// The name in tables, filters and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "round-encrypt",
            Self::Online => "round-online",
            Self::Add => "round-add",
            Self::Decrypt => "round-decrypt",
        }
    }

    /// What a peer calls it. It has no pads to make ahead: all of its encryption stands against our part that is online.
    #[must_use]
    pub fn theirs(self) -> &'static str {
        match self {
            Self::Encrypt | Self::Online => "encrypt",
            Self::Add => "add",
            Self::Decrypt => "decrypt",
        }
    }

    /// Updates in one run.
    #[must_use]
    pub fn updates(self) -> usize {
        if self == Self::Add { GROUP } else { 1 }
    }
}

/// What a round costs besides time, and how right it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The software.
    pub version: String,
    /// What a robot sends.
    pub upload_bytes: u64,
    /// What goes to whoever opens the sum.
    pub sum_bytes: u64,
    /// In the round that was checked.
    pub robots: u64,
    /// The mean's distance from the mean of the plain updates: the largest, with all values between -1 and 1.
    pub error_max: f64,
    /// The same, root mean square.
    pub error_rms: f64,
    /// Resident memory at its peak while that round ran, all parties in one process, above what it had before. Null where the
    /// system tells none.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// A round that was run once, and is run again piece by piece.
#[derive(Debug)]
pub struct Ours {
    pub(crate) round: Round,
    holder: HolderKey,
    pub(crate) rng: ChaCha20Rng,
    /// The first robot's.
    pub(crate) update: Vec<f32>,
    /// Those that are kept.
    pub(crate) uploads: Vec<Vec<u8>>,
    /// Of all robots' uploads.
    pub(crate) sum: Sum,
    manifests: Vec<VerifiedManifest>,
    /// That of the upload before: a robot makes one after the other.
    pub(crate) memory: Vec<u8>,
    /// Those of the pads before.
    pub(crate) emptied: Vec<Vec<u32>>,
    /// What came of it.
    pub facts: Facts,
}

/// Times are no secret of a fleet: nobody signs here.
struct Anybody;

impl Verifier for Anybody {
    fn verify(&self, _robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
        Ok(())
    }
}

/// The default suite, 8 bits, a hundred robots; the key holder's key is always the same, so that two processes agree.
///
/// # Errors
/// [`Failure::Usage`] for a length that no round has.
pub fn agree(length: usize) -> Result<(Round, HolderKey), Failure> {
    agree_for(length, PLANNED)
}

/// The same for so many robots.
fn agree_for(length: usize, planned: u64) -> Result<(Round, HolderKey), Failure> {
    let holder = HolderKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
    let round = Round::new(&RoundTerms::new(length, planned, 1.0, holder.public().model()));
    Ok((round.map_err(|error| Failure::Usage(error.to_string()))?, holder))
}

pub(crate) fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::Wrong(format!("our own round: {error}"))
}

impl Ours {
    /// Runs a round of `robots` and compares its mean with that of the plain updates.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn prepare(backend: &dyn Backend, length: usize, robots: u64) -> Result<Self, Failure> {
        Self::planned_for(backend, length, robots, PLANNED)
    }

    /// The same for a round planned for so many: fewer robots need narrower words.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn planned_for(backend: &dyn Backend, length: usize, robots: u64, planned: u64) -> Result<Self, Failure> {
        let (round, holder) = agree_for(length, planned)?;
        let (mut rng, mut log) = (ChaCha20Rng::seed_from_u64(2), ForgetfulLog::default());
        let (mut plain, mut sum) = (vec![0.0; length], round.sum());
        let (mut uploads, mut manifests) = (Vec::new(), Vec::new());
        for number in 0..robots {
            let floats = update(number, length);
            plain.iter_mut().zip(&floats).for_each(|(sum, &x)| *sum += f64::from(x));
            let (robot, id) = (named(number), UpdateId(named(number).0));
            let key = MessageKey::new(round.agreement(), robot, &holder.public(), &mut rng).map_err(wrong)?;
            let update = Update::new(id, &floats).stochastic(&mut rng);
            let (upload, _) = round.encrypt(key, update, &mut log, backend).map_err(wrong)?;
            round.take(&mut sum, upload.bytes(), backend).map_err(wrong)?;
            manifests.push(VerifiedManifest::check(upload.manifest(), b"", &Anybody).map_err(wrong)?);
            if uploads.len() < KEPT {
                uploads.push(upload.into_bytes());
            }
        }
        let facts = Facts {
            version: concat!("tensorguard ", env!("CARGO_PKG_VERSION")).to_owned(),
            upload_bytes: round.agreement().upload_len() as u64,
            sum_bytes: round.agreement().sum_len() as u64,
            robots,
            error_max: 0.0,
            error_rms: 0.0,
            memory_bytes: None,
        };
        let mut ours = Self {
            round,
            holder,
            rng,
            update: update(0, length),
            uploads,
            sum,
            manifests,
            memory: vec![],
            emptied: vec![],
            facts,
        };
        let mean = ours.open(backend)?;
        let errors = mean.iter().zip(&plain).map(|(&mean, plain)| (f64::from(mean) - plain / robots as f64).abs());
        let (max, squares) = errors.fold((0.0f64, 0.0), |(max, sum), x| (max.max(x), sum + x * x));
        (ours.facts.error_max, ours.facts.error_rms) = (max, (squares / length as f64).sqrt());
        Ok(ours)
    }

    /// CPU time of that many runs.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn sample(&mut self, backend: &dyn Backend, step: Step, repetitions: u64) -> Result<u64, Failure> {
        match step {
            Step::Encrypt => self.time_encrypt(backend, repetitions),
            Step::Online => self.time_online(backend, repetitions),
            Step::Add => self.time_add(backend, repetitions),
            Step::Decrypt => {
                let begin = cpu_ns();
                for _ in 0..repetitions {
                    black_box(self.open(backend)?);
                }
                Ok(cpu_ns() - begin)
            }
        }
    }

    /// Encrypts the first robot's update once.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where it fails.
    pub fn encrypt(&mut self, backend: &dyn Backend) -> Result<(), Failure> {
        let mut log = ForgetfulLog::default();
        let key = self.key()?;
        let memory = core::mem::take(&mut self.memory);
        let update = Update::new(UpdateId([0; 32]), &self.update).stochastic(&mut self.rng).in_memory_of(memory);
        self.memory = black_box(self.round.encrypt(key, update, &mut log, backend).map_err(wrong)?).0.into_bytes();
        Ok(())
    }

    fn time_encrypt(&mut self, backend: &dyn Backend, repetitions: u64) -> Result<u64, Failure> {
        let begin = cpu_ns();
        for _ in 0..repetitions {
            self.encrypt(backend)?;
        }
        Ok(cpu_ns() - begin)
    }

    fn time_online(&mut self, backend: &dyn Backend, repetitions: u64) -> Result<u64, Failure> {
        let mut total = 0;
        // A few at a time: pads are twice as large as the update.
        for first in (0..repetitions).step_by(16) {
            let count = (repetitions - first).min(16);
            let pads: Result<Vec<Pads>, Failure> = (0..count)
                .map(|_| {
                    let key = self.key()?;
                    let memory = self.emptied.pop().unwrap_or_default();
                    self.round.prepare_in(key, memory, backend).map_err(wrong)
                })
                .collect();
            let mut log = ForgetfulLog::default();
            let pads = pads?;
            let begin = cpu_ns();
            for pads in pads {
                let memory = core::mem::take(&mut self.memory);
                let update =
                    Update::new(UpdateId([0; 32]), &self.update).stochastic(&mut self.rng).in_memory_of(memory);
                let (upload, _) = self.round.seal(pads, update, &mut log, backend).map_err(wrong)?;
                let emptied;
                (self.memory, emptied) = black_box(upload).into_memory();
                self.emptied.push(emptied);
            }
            total += cpu_ns() - begin;
        }
        Ok(total)
    }

    fn time_add(&self, backend: &dyn Backend, repetitions: u64) -> Result<u64, Failure> {
        let mut total = 0;
        let (mut left, mut sum) = (0, self.round.sum());
        for run in 0..repetitions as usize {
            if left == 0 {
                // As many groups as the ledger admits, into memory that was touched before.
                (left, sum) = (PLANNED as usize / GROUP, self.round.sum());
                self.add(&mut sum, 0, backend)?;
                left -= 1;
            }
            if left == 0 {
                return Err(wrong("a round of one group has no room for a second"));
            }
            let begin = cpu_ns();
            self.add(&mut sum, run, backend)?;
            total += cpu_ns() - begin;
            left -= 1;
        }
        Ok(total)
    }

    fn add(&self, sum: &mut Sum, run: usize, backend: &dyn Backend) -> Result<(), Failure> {
        let group = self.uploads.iter().cycle().skip(run * GROUP % self.uploads.len()).take(GROUP);
        let group: Result<Vec<_>, _> = group.map(|upload| self.round.read(upload)).collect();
        sum.add(&group.map_err(wrong)?, backend).map_err(wrong)
    }

    pub(crate) fn open(&self, backend: &dyn Backend) -> Result<Vec<f32>, Failure> {
        // A small fleet hides little; what its sums cost is measured all the same.
        let policy = Policy::lowered_to(Policy::MIN_CLIENTS.min(self.facts.robots));
        let question = Question::new(Keys::Holder(&self.holder)).under(policy);
        let mut log = ForgetfulLog::default();
        Ok(self.round.open(&question, &self.sum, &self.manifests, &mut log, backend).map_err(wrong)?.values)
    }

    pub(crate) fn key(&mut self) -> Result<MessageKey, Failure> {
        fresh_key(&self.round, &self.holder, &mut self.rng)
    }

    /// The first robot's key, from this randomness.
    pub(crate) fn key_from(&self, rng: &mut ChaCha20Rng) -> Result<MessageKey, Failure> {
        fresh_key(&self.round, &self.holder, rng)
    }

    /// Values of an update.
    #[must_use]
    pub fn length(&self) -> usize {
        self.update.len()
    }

    /// An upload, as it arrives.
    #[must_use]
    pub fn upload(&self, index: usize) -> &[u8] {
        &self.uploads[index % self.uploads.len()]
    }
}

fn fresh_key(round: &Round, holder: &HolderKey, rng: &mut ChaCha20Rng) -> Result<MessageKey, Failure> {
    MessageKey::new(round.agreement(), named(0), &holder.public(), rng).map_err(wrong)
}

fn named(robot: u64) -> RobotId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&robot.to_le_bytes());
    RobotId(id)
}

/// A robot's update: uniform in [-1, 1), 24 bits each, the same on every side that is compared.
#[must_use]
pub fn update(robot: u64, length: usize) -> Vec<f32> {
    let value = |index: u64| (mix((robot << 32 | index).wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 40) as f32;
    (0..length as u64).map(|index| value(index) / 8_388_608.0 - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::cpu::Cpu;

    #[test]
    fn a_round_is_right_and_every_step_can_be_repeated() {
        let cpu = Cpu::best(1);
        let mut ours = Ours::prepare(&cpu, 2500, 20).expect("a round");
        assert_eq!((ours.facts.upload_bytes, ours.facts.robots), (6749, 20));
        assert!(ours.facts.error_max < 1.0 / 127.0 && ours.facts.error_rms > 1e-5, "{:?}", ours.facts);
        for step in [Step::Encrypt, Step::Online, Step::Add, Step::Decrypt] {
            assert!(ours.sample(&cpu, step, 30).expect("a sample") > 0, "{step:?}");
        }
    }

    #[test]
    fn updates_are_spread_over_the_range() {
        let values = update(5, 10_000);
        let mean = values.iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.03 && values.iter().all(|x| (-1.0..1.0).contains(x)), "{mean}");
        assert_ne!(values, update(6, 10_000));
    }
}
