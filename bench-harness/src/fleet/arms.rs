//! Robot arms as a fleet's robots: each trains the policy it runs, and the key holder judges what they learned on arms that
//! never trained.

use super::failed;
use super::files::{FileLearner, rejected, whole};
use crate::failure::Failure;
use crate::judging::{Policy, evaluate};
use fleet_client::Learner;
use fleet_client::protocol::{Health, Id, Terms};
use folding::lwe::UpdateId;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use trust::gate::{Thresholds, Verdict, judge};
use workload::{Base, Config, Effort, pretrain};

const LESSON: &str = "lesson.json";
const BASE: &str = "base.safetensors";

/// Trains the base policy and writes the lesson into a new folder: what is learned, from which base. Gives the base's hash, and a
/// clip that holds what the first arm learns in its first round.
///
/// # Errors
/// [`Failure`].
pub fn prepare(folder: &Path, config: Config) -> Result<(Id, f32), Failure> {
    write_lesson(folder, config, &pretrain(&config).map_err(failed)?)
}

/// The same with a base policy that is there already.
///
/// # Errors
/// [`Failure`].
pub fn write_lesson(folder: &Path, config: Config, base: &Base) -> Result<(Id, f32), Failure> {
    let bytes = base.to_safetensors().map_err(failed)?;
    fs::create_dir_all(folder).map_err(failed)?;
    fs::write(folder.join(LESSON), serde_json::to_string_pretty(&config)? + "\n").map_err(failed)?;
    fs::write(folder.join(BASE), &bytes).map_err(failed)?;
    let learner = workload::Learner::new(config, base.clone()).map_err(failed)?;
    let update = learner.local_update(0, &learner.initial_adapter(), 0).map_err(failed)?;
    Ok((Id(Sha256::digest(&bytes).into()), update.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()))))
}

/// Reads a lesson, and compares its base with the charter's model.
///
/// # Errors
/// [`Failure::Usage`] says what is wrong with the folder.
pub fn lesson(folder: &Path, model: Id) -> Result<workload::Learner, Failure> {
    let wrong =
        |name: &str, what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", folder.join(name).display()));
    let text = fs::read_to_string(folder.join(LESSON)).map_err(|error| wrong(LESSON, &error))?;
    let config: Config = serde_json::from_str(&text).map_err(|error| wrong(LESSON, &error))?;
    let bytes = fs::read(folder.join(BASE)).map_err(|error| wrong(BASE, &error))?;
    if Id(Sha256::digest(&bytes).into()) != model {
        return Err(wrong(BASE, &"another base than the fleet's: get the one whose SHA-256 is the charter's model"));
    }
    let base = Base::from_safetensors(&bytes).map_err(|error| wrong(BASE, &error))?;
    workload::Learner::new(config, base).map_err(|error| wrong(BASE, &error))
}

/// How a robot tries a package before it says how it fares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Soak {
    /// Episodes under what it ran before, and the same ones under what is new.
    pub episodes: u32,
    /// It is unhealthy if its success falls by more than this.
    pub most_drop: f64,
}

/// The same for every robot and package, so nobody chooses it for a candidate; and the matrix's.
pub const SOAK: Soak = Soak { episodes: 20, most_drop: 0.4 };

/// How a robot's notes on a soak are called.
const SOAKED: &str = "soaked";

/// An arm that trains by itself, and tries what it gets before it says that it is healthy.
#[derive(Debug)]
pub struct ArmLearner {
    store: FileLearner,
    learner: workload::Learner,
    arm: u32,
}

impl ArmLearner {
    /// Arm number `arm`, with its packages in `store`.
    #[must_use]
    pub fn new(store: FileLearner, learner: workload::Learner, arm: u32) -> Self {
        Self { store, learner, arm }
    }

    fn adapter(&self, package: Id) -> Result<Vec<f32>, String> {
        Ok(self.store.adapter(package)?.unwrap_or_else(|| self.learner.initial_adapter()))
    }

    /// Tries a package that is kept beside what runs, once: a robot that was killed behind it, or gets the package again, finds its note.
    fn soak(&self, package: Id) -> Result<Health, String> {
        if self.store.adapter(package)?.is_none() {
            // What it started with.
            return Ok(Health::Healthy);
        }
        let note = self.store.note(package, SOAKED);
        if let Ok(text) = fs::read_to_string(&note) {
            return Ok(if text.starts_with(HEALTHY) { Health::Healthy } else { Health::Unhealthy });
        }
        // Fresh episodes for each package, and nobody's choice.
        let draw = u32::from_le_bytes([package.0[0], package.0[1], package.0[2], package.0[3]]);
        let success = |package| {
            let record = self.learner.soak(self.arm, SOAK.episodes, draw, &self.adapter(package)?);
            record.map(|record| record.success()).map_err(|error| error.to_string())
        };
        let (old, new) = (success(self.store.running())?, success(package)?);
        let (health, word) = match old - new <= SOAK.most_drop {
            true => (Health::Healthy, HEALTHY),
            false => (Health::Unhealthy, "unhealthy"),
        };
        let line = format!("{word}: success {old:.2} before, {new:.2} with it, in {} episodes", SOAK.episodes);
        super::say(format_args!("soak of package {}: {line}", package.short()));
        whole(&note, line.as_bytes())?;
        Ok(health)
    }

    fn try_out(&mut self, package: Id, bytes: Option<&[u8]>) -> Result<Health, String> {
        self.store.keep(package, bytes)?;
        let health = self.soak(package)?;
        // One that does not fare well runs it until it is told what to run instead: the fleet goes back as one.
        self.store.run(package)?;
        Ok(health)
    }
}

/// How the note on a good soak begins.
const HEALTHY: &str = "healthy";

impl Learner for ArmLearner {
    fn running(&self) -> Id {
        self.store.running()
    }

    fn update(&mut self, terms: &Terms) -> Result<(UpdateId, Vec<f32>), String> {
        let round = u32::try_from(terms.round).map_err(|_| "more rounds than an arm counts")?;
        let update = self.learner.local_update(self.arm, &self.adapter(self.running())?, round);
        let update = update.map_err(|error| error.to_string())?;
        let mut hash = Sha256::new_with_prefix(b"TensorGuard arm's update|");
        hash.update(self.arm.to_le_bytes());
        hash.update(terms.round.to_le_bytes());
        update.iter().for_each(|value| hash.update(value.to_le_bytes()));
        Ok((UpdateId(hash.finalize().into()), update))
    }

    fn has(&self, package: Id) -> bool {
        self.store.has(package)
    }

    fn apply(&mut self, package: Id, bytes: Option<&[u8]>) -> Health {
        self.try_out(package, bytes).unwrap_or_else(|why| rejected(package, &why))
    }
}

/// Judges a candidate against what robots run, on the same episodes of arms that train neither.
///
/// # Errors
/// What keeps it from a verdict; nobody may take that for a pass.
pub(super) fn verdict(learner: &workload::Learner, policies: [Policy<'_>; 2], draw: u32) -> Result<Verdict, String> {
    let thresholds = Thresholds::default();
    let held_out = Effort { robots: thresholds.min_robots, episodes: thresholds.min_episodes, draw };
    let evaluation = evaluate(learner, policies, held_out, thresholds.min_outside_robots);
    judge(&evaluation.map_err(|error| error.to_string())?, &thresholds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::files::adapter_bytes;
    use super::*;
    use crate::scratch::Scratch;
    use rand::SeedableRng;
    use rand::rngs::ChaCha20Rng;
    use trust::identity::Identity;
    use trust::package::{ADAPTER, Origin, Package};
    use workload::{Size, Task};

    /// A fleet's lesson, and what an arm has of its own.
    struct World {
        scratch: Scratch,
        model: Id,
        publisher: Identity,
        rng: ChaCha20Rng,
    }

    impl World {
        fn new(name: &str, config: Config) -> Self {
            let scratch = Scratch::new(name);
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let (model, _) = prepare(&scratch.join("lesson"), config).unwrap();
            Self { model, publisher: Identity::generate(&mut rng), rng, scratch }
        }

        fn learner(&self) -> workload::Learner {
            lesson(&self.scratch.join("lesson"), self.model).unwrap()
        }

        /// As a new process finds it.
        fn arm(&self, number: u32) -> ArmLearner {
            let (policies, publisher) = (self.scratch.join("policies"), self.publisher.public().clone());
            let store = FileLearner::new(Path::new(""), &policies, publisher, "arms", self.model).unwrap();
            ArmLearner::new(store, self.learner(), number)
        }

        fn package(&mut self, adapter: &[f32]) -> (Id, Vec<u8>) {
            let (fleet, base, none) = (b"arms".to_vec(), self.model.0, [0; 32]);
            let origin = Origin { fleet, version: 1, base, parent: None, corpus: none, training: none, rounds: vec![] };
            let adapter = adapter_bytes(adapter).unwrap();
            let bytes = Package::write(&origin, &[(ADAPTER, &adapter)], &self.publisher, &mut self.rng).unwrap();
            (Id(Sha256::digest(&bytes).into()), bytes)
        }

        fn adapter_file(&self) -> Option<Vec<f32>> {
            let bytes = fs::read(self.scratch.join("policies").join("adapter.safetensors")).ok()?;
            Some(super::super::files::adapter_values(&bytes).unwrap())
        }
    }

    #[test]
    fn a_package_that_does_harm_is_unhealthy_once_and_for_all_and_the_one_before_comes_back_whole() {
        let mut world = World::new("arms-soak", Config::of(Task::Imitation, Size::Kb10, 7));
        let (learner, zero) = (world.learner(), world.learner().initial_adapter());
        let success = |arm: &u32| learner.soak(*arm, 50, 1, &zero).unwrap().success();
        let able = (0..20).find(|arm| success(arm) >= 0.7).expect("an arm that can do what it is asked for");
        let harm: Vec<f32> = zero.iter().map(|value| value + 0.5).collect();
        let [(good, good_bytes), (bad, bad_bytes)] = [&zero, &harm].map(|adapter| world.package(adapter));
        let mut arm = world.arm(able);
        assert_eq!(arm.apply(good, Some(&good_bytes)), Health::Healthy);
        assert_eq!(arm.apply(bad, Some(&bad_bytes)), Health::Unhealthy);
        // Killed before it said so, and asked again: what it runs now is no measure.
        let mut arm = world.arm(able);
        assert_eq!((arm.running(), arm.apply(bad, None)), (bad, Health::Unhealthy));
        assert_eq!(world.adapter_file(), Some(harm));
        assert_eq!((arm.apply(good, None), world.adapter_file()), (Health::Healthy, Some(zero)));
        assert_eq!((arm.apply(world.model, None), world.adapter_file()), (Health::Healthy, None));
        assert_eq!(world.arm(able).running(), world.model);
    }
}
