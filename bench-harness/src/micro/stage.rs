//! The stages of a round, each alone. A round is prepared once, by the best engine and checked; then its stages run on any.

use crate::clock::Spent;
use crate::failure::Failure;
use crate::record::sha256;
use crate::rounds::{GROUP, Ours, wrong};
use folding::Update;
use folding::lwe::{ForgetfulLog, Pads, Sum, UpdateId, Upload};
use kernels::Backend;
use kernels::cpu::Cpu;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use std::hint::black_box;

/// What a party does with a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Robot: floats to levels of the grid.
    Quantize,
    /// Robot: floats to an upload, a fresh message key included.
    Encrypt,
    /// Robot: what can be done before the update exists: key, pads, canary.
    Pad,
    /// Robot: what is left then: floats to an upload.
    Seal,
    /// Server: all robots' uploads into a sum, four at a time.
    Add,
    /// Server: the sum of one aggregator into that of another.
    Merge,
    /// Server: a sum to bytes.
    Serialize,
    /// Key holder: bytes to a sum.
    Parse,
    /// Server: looks at an upload where it lies.
    Read,
    /// Key holder: a sum to the mean: keys, canaries, noise check and all.
    Decrypt,
}

impl Stage {
    /// In the order of a round.
    pub const ALL: [Self; 10] = [
        Self::Quantize,
        Self::Encrypt,
        Self::Pad,
        Self::Seal,
        Self::Read,
        Self::Add,
        Self::Merge,
        Self::Serialize,
        Self::Parse,
        Self::Decrypt,
    ];

    /// The name in filters and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quantize => "quantize",
            Self::Encrypt => "encrypt",
            Self::Pad => "pad",
            Self::Seal => "seal",
            Self::Read => "read",
            Self::Add => "add",
            Self::Merge => "merge",
            Self::Serialize => "serialize",
            Self::Parse => "parse",
            Self::Decrypt => "decrypt",
        }
    }

    /// Whether an engine has a part in it. What has none runs on the processor as it is, on one thread.
    #[must_use]
    pub fn needs_engine(self) -> bool {
        !matches!(self, Self::Quantize | Self::Read | Self::Merge | Self::Serialize)
    }

    /// Whether it depends on how many robots there are: words of the wire grow with them, and the key holder works for each.
    #[must_use]
    pub fn depends_on_clients(self) -> bool {
        self != Self::Quantize
    }
}

/// Pads that wait at a time: their memory is larger than the update's.
const PADS: u64 = 16;
/// Bytes of them at most, unless one alone is larger; the same for sums that wait.
const WAITING_BYTES: usize = 32 << 20;
/// The seed of the one upload that every engine must make alike.
const UPLOAD_SEED: u64 = 7;

/// A round that was run and checked, and what its stages must give.
#[derive(Debug)]
pub struct Prepared {
    ours: Ours,
    clients: usize,
    levels: Vec<u32>,
    upload: Vec<u8>,
    /// Of as many uploads as there are clients, taken in turn from those that are kept.
    sum: Sum,
    halves: (Sum, Sum),
    empty: Sum,
    stored: Vec<u8>,
    mean: Vec<f32>,
}

impl Prepared {
    /// Runs a round of so many robots with updates of so many values, and compares the mean with that of the plain updates.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails, or the mean is off by more than a step of the grid.
    pub fn new(length: usize, clients: u32) -> Result<Self, Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let cpu = Cpu::best(threads);
        let ours = Ours::planned_for(&cpu, length, clients.into(), clients.into())?;
        // A NaN is wrong too.
        if !ours.facts.error_max.le(&ours.round.grid().step()) {
            return Err(wrong(format!("the mean is off by {}", ours.facts.error_max)));
        }
        let clients = clients as usize;
        let empty = ours.round.sum();
        let (mut sum, mut halves) = (empty.clone(), (empty.clone(), empty.clone()));
        add(&ours, &mut sum, 0..clients, &cpu)?;
        add(&ours, &mut halves.0, 0..clients / 2, &cpu)?;
        add(&ours, &mut halves.1, clients / 2..clients, &cpu)?;
        let (stored, mean) = (ours.sum.to_bytes(), ours.open(&cpu)?);
        let levels = vec![0; length];
        let mut prepared = Self { ours, clients, levels, upload: vec![], sum, halves, empty, stored, mean };
        prepared.upload = prepared.encrypted(&cpu)?.into_bytes();
        Ok(prepared)
    }

    /// Bytes of what the stage sends, if it sends anything.
    #[must_use]
    pub fn wire_bytes(&self, stage: Stage) -> Option<u64> {
        match stage {
            Stage::Encrypt | Stage::Seal => Some(self.upload.len() as u64),
            Stage::Serialize => Some(self.stored.len() as u64),
            _ => None,
        }
    }

    /// Values that one run of the stage handles.
    #[must_use]
    pub fn items(&self, stage: Stage) -> u64 {
        let updates = if stage == Stage::Add { self.clients } else { 1 };
        (self.ours.length() * updates) as u64
    }

    /// Runs a stage so often. What a run needs beforehand is made outside of its time.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn run(&mut self, stage: Stage, backend: &dyn Backend, repetitions: u64) -> Result<Spent, Failure> {
        let mut spent = Spent::default();
        let mut runs = 0..repetitions;
        match stage {
            Stage::Quantize => {
                let (ours, levels) = (&mut self.ours, &mut self.levels);
                spent.on(|| runs.try_for_each(|_| quantize(ours, levels)))?;
            }
            Stage::Encrypt => {
                let ours = &mut self.ours;
                spent.on(|| runs.try_for_each(|_| ours.encrypt(backend)))?;
            }
            Stage::Pad | Stage::Seal => self.run_pads(stage, backend, repetitions, &mut spent)?,
            Stage::Add => self.run_add(backend, repetitions, &mut spent)?,
            Stage::Merge => {
                // Into a sum of all there may be: nothing counts nothing, and takes the same time.
                let (sum, empty) = (&mut self.sum, &self.empty);
                spent.on(|| runs.try_for_each(|_| sum.merge(empty))).map_err(wrong)?;
            }
            Stage::Serialize => {
                let sum = &self.ours.sum;
                spent.on(|| runs.for_each(|_| drop(black_box(sum.to_bytes()))));
            }
            Stage::Parse => {
                let (agreed, stored) = (self.ours.round.agreement(), &self.stored);
                let parse = |_| agreed.read_sum(stored, backend).map(|sum| drop(black_box(sum)));
                spent.on(|| runs.try_for_each(parse)).map_err(wrong)?;
            }
            Stage::Read => {
                let (round, upload) = (&self.ours.round, &self.upload);
                let read = |_| {
                    round.read(black_box(upload)).map(|upload| {
                        black_box(upload);
                    })
                };
                spent.on(|| runs.try_for_each(read)).map_err(wrong)?;
            }
            Stage::Decrypt => {
                let ours = &self.ours;
                let open = |_| ours.open(backend).map(|mean| drop(black_box(mean)));
                spent.on(|| runs.try_for_each(open))?;
            }
        }
        Ok(spent)
    }

    /// Pads, then uploads from them, some at a time; the time of one half counts.
    fn run_pads(&mut self, stage: Stage, backend: &dyn Backend, runs: u64, spent: &mut Spent) -> Result<(), Failure> {
        let agreed = self.ours.round.agreement();
        let bytes = 4 * agreed.encoding().pad_len(agreed.digits());
        let at_once = PADS.min((WAITING_BYTES / bytes.max(1)) as u64).max(1);
        let ours = &mut self.ours;
        for first in (0..runs).step_by(at_once as usize) {
            let count = (runs - first).min(at_once);
            let mut elsewhere = Spent::default();
            let (pad, seal) = match stage {
                Stage::Pad => (&mut *spent, &mut elsewhere),
                _ => (&mut elsewhere, &mut *spent),
            };
            let pads = pad.on(|| (0..count).map(|_| make_pads(ours, backend)).collect::<Result<Vec<_>, _>>())?;
            seal.on(|| pads.into_iter().try_for_each(|pads| use_up(ours, pads, backend)))?;
        }
        Ok(())
    }

    /// All uploads into sums whose memory was touched before.
    fn run_add(&mut self, backend: &dyn Backend, runs: u64, spent: &mut Spent) -> Result<(), Failure> {
        let bytes = 4 * self.ours.round.agreement().shape().accumulator_len();
        let at_once = (WAITING_BYTES / bytes.max(1)).clamp(1, 256) as u64;
        for first in (0..runs).step_by(at_once as usize) {
            let mut sums: Vec<Sum> = (first..runs.min(first + at_once)).map(|_| self.ours.round.sum()).collect();
            sums.iter_mut().try_for_each(|sum| sum.merge(&self.empty)).map_err(wrong)?;
            let (ours, clients) = (&self.ours, self.clients);
            spent.on(|| sums.iter_mut().try_for_each(|sum| add(ours, sum, 0..clients, backend)))?;
            black_box(sums);
        }
        Ok(())
    }

    /// Holds what the stage gives on this engine against what the round was checked with. Gives a claim and a digest.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where they differ.
    pub fn check(&mut self, stage: Stage, backend: &dyn Backend) -> Result<(&'static str, String), Failure> {
        let same = "equals that of the round whose mean was compared with the mean of the plain updates";
        let digest = match stage {
            Stage::Quantize => return self.check_levels(),
            Stage::Encrypt => equal(stage, self.encrypted(backend)?.bytes(), &self.upload)?,
            Stage::Pad => {
                // Made here, used up by the engine that the round was checked with.
                let cpu = Cpu::best(1);
                equal(stage, self.sealed(backend, &cpu)?.bytes(), &self.upload)?
            }
            Stage::Seal => {
                let cpu = Cpu::best(1);
                equal(stage, self.sealed(&cpu, backend)?.bytes(), &self.upload)?
            }
            Stage::Add => {
                let mut sum = self.ours.round.sum();
                add(&self.ours, &mut sum, 0..self.clients, backend)?;
                equal(stage, &sum.to_bytes(), &self.sum.to_bytes())?
            }
            Stage::Merge => {
                let mut sum = self.halves.0.clone();
                sum.merge(&self.halves.1).map_err(wrong)?;
                equal(stage, &sum.to_bytes(), &self.sum.to_bytes())?
            }
            Stage::Serialize => {
                let cpu = Cpu::best(1);
                let back = self.ours.round.agreement().read_sum(&self.ours.sum.to_bytes(), &cpu).map_err(wrong)?;
                equal(stage, &back.to_bytes(), &self.stored)?
            }
            Stage::Parse => {
                let sum = self.ours.round.agreement().read_sum(&self.stored, backend).map_err(wrong)?;
                if sum != self.ours.sum {
                    return Err(differs(stage));
                }
                equal(stage, &sum.to_bytes(), &self.stored)?
            }
            Stage::Read => {
                let body = self.ours.round.read(&self.upload).map_err(wrong)?.body();
                equal(stage, body, &self.upload[self.upload.len() - body.len()..])?
            }
            Stage::Decrypt => {
                let bytes = |mean: &[f32]| mean.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
                equal(stage, &bytes(&self.ours.open(backend)?), &bytes(&self.mean))?
            }
        };
        Ok((same, digest))
    }

    /// Against the definition: the nearest level in f64, and at random one of the two around a value.
    fn check_levels(&mut self) -> Result<(&'static str, String), Failure> {
        let Self { ours, levels, .. } = self;
        let (step, clip) = (ours.round.grid().step(), f64::from(ours.round.clip()));
        let exact = |x: f32| (f64::from(x) + clip) / step;
        levels.fill(u32::MAX);
        ours.round.levels(Update::new(UpdateId([0; 32]), &ours.update), levels).map_err(wrong)?;
        let near = |(&level, &x): (&u32, &f32)| (f64::from(level) - exact(x)).abs() <= 0.5 + 1e-6;
        let nearest = levels.iter().zip(&ours.update).all(near);
        levels.fill(u32::MAX);
        quantize(ours, levels)?;
        let around = |(&level, &x): (&u32, &f32)| (f64::from(level) - exact(x)).abs() < 1.0 + 1e-6;
        // Sums of many values: off by a twentieth of a step on average would be off by far more than chance allows.
        let lean: f64 = levels.iter().zip(&ours.update).map(|(&level, &x)| f64::from(level) - exact(x)).sum();
        let fair = lean.abs() / (levels.len() as f64) < 0.05;
        if !(nearest && fair && levels.iter().zip(&ours.update).all(around)) {
            return Err(differs(Stage::Quantize));
        }
        let bytes: Vec<u8> = levels.iter().flat_map(|level| level.to_le_bytes()).collect();
        Ok(("each level is the nearest, or at random one of the two around its value", sha256(&bytes)))
    }

    /// The upload that every engine must make alike.
    fn encrypted(&self, backend: &dyn Backend) -> Result<Upload, Failure> {
        let mut rng = ChaCha20Rng::seed_from_u64(UPLOAD_SEED);
        let key = self.ours.key_from(&mut rng)?;
        let update = Update::new(UpdateId([0; 32]), &self.ours.update).stochastic(&mut rng);
        let encrypted = self.ours.round.encrypt(key, update, &mut ForgetfulLog::default(), backend);
        encrypted.map(|(upload, _)| upload).map_err(wrong)
    }

    /// The same in two halves.
    fn sealed(&self, pads: &dyn Backend, rest: &dyn Backend) -> Result<Upload, Failure> {
        let mut rng = ChaCha20Rng::seed_from_u64(UPLOAD_SEED);
        let pads = self.ours.round.prepare(self.ours.key_from(&mut rng)?, pads).map_err(wrong)?;
        let update = Update::new(UpdateId([0; 32]), &self.ours.update).stochastic(&mut rng);
        let sealed = self.ours.round.seal(pads, update, &mut ForgetfulLog::default(), rest);
        sealed.map(|(upload, _)| upload).map_err(wrong)
    }
}

fn equal(stage: Stage, found: &[u8], expected: &[u8]) -> Result<String, Failure> {
    if found == expected && !found.is_empty() { Ok(sha256(found)) } else { Err(differs(stage)) }
}

fn differs(stage: Stage) -> Failure {
    Failure::Wrong(format!(
        "{} gives something else than the definition, so its time means nothing. Run `cargo test -p tensorguard-tests` and report \
         what it prints",
        stage.name()
    ))
}

fn quantize(ours: &mut Ours, levels: &mut [u32]) -> Result<(), Failure> {
    let Ours { round, update, rng, .. } = ours;
    let update = Update::new(UpdateId([0; 32]), &*update).stochastic(rng);
    round.levels(update, levels).map_err(wrong)?;
    black_box(levels);
    Ok(())
}

fn make_pads(ours: &mut Ours, backend: &dyn Backend) -> Result<Pads, Failure> {
    let key = ours.key()?;
    let memory = ours.emptied.pop().unwrap_or_default();
    ours.round.prepare_in(key, memory, backend).map_err(wrong)
}

fn use_up(ours: &mut Ours, pads: Pads, backend: &dyn Backend) -> Result<(), Failure> {
    let memory = core::mem::take(&mut ours.memory);
    let update = Update::new(UpdateId([0; 32]), &ours.update).stochastic(&mut ours.rng).in_memory_of(memory);
    let sealed = ours.round.seal(pads, update, &mut ForgetfulLog::default(), backend).map_err(wrong)?;
    let emptied;
    (ours.memory, emptied) = black_box(sealed.0).into_memory();
    ours.emptied.push(emptied);
    Ok(())
}

/// Uploads into a sum, those that are kept in turn, some at a time.
fn add(ours: &Ours, sum: &mut Sum, which: std::ops::Range<usize>, backend: &dyn Backend) -> Result<(), Failure> {
    for first in which.clone().step_by(GROUP) {
        let group = first..which.end.min(first + GROUP);
        let group: Result<Vec<_>, _> =
            group.map(|index| ours.round.read(&ours.uploads[index % ours.uploads.len()])).collect();
        sum.add(&group.map_err(wrong)?, backend).map_err(wrong)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_right_on_every_engine_and_can_be_repeated() {
        for clients in [2, 20] {
            let mut prepared = Prepared::new(2500, clients).expect("a round");
            for cpu in Cpu::present(1) {
                for stage in Stage::ALL {
                    let (claim, digest) = prepared.check(stage, &cpu).expect("the right output");
                    assert!(!claim.is_empty() && digest.len() == 64);
                    let spent = prepared.run(stage, &cpu, 3).expect("a sample");
                    assert!(spent.wall_ns > 0, "{stage:?}");
                }
            }
        }
    }

    #[test]
    fn a_wrong_output_is_noticed() {
        let cpu = Cpu::best(1);
        for stage in [Stage::Encrypt, Stage::Pad, Stage::Seal, Stage::Add, Stage::Parse, Stage::Decrypt] {
            let mut prepared = Prepared::new(300, 16).expect("a round");
            prepared.upload[100] ^= 1;
            prepared.mean[7] += 1.0;
            *prepared.stored.last_mut().expect("bytes") ^= 1;
            prepared.sum = prepared.empty.clone();
            assert_eq!(prepared.check(stage, &cpu).map_err(|failure| failure.code()), Err(8), "{stage:?}");
        }
    }

    #[test]
    fn fewer_robots_send_fewer_bytes() {
        let bytes = |clients| Prepared::new(2500, clients).expect("a round").wire_bytes(Stage::Encrypt);
        assert!(bytes(2) < bytes(100));
    }
}
