//! Robot arms as a fleet's robots: each trains the policy it runs, and the key holder judges what they learned on arms that
//! never trained.

use super::failed;
use super::files::{FileLearner, adapter_values};
use crate::failure::Failure;
use crate::judging::{Policy, evaluate};
use fleet_client::Learner;
use fleet_client::protocol::{Health, Id, Terms};
use folding::lwe::UpdateId;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;
use trust::gate::{Thresholds, Verdict, judge};
use trust::package::{ADAPTER, Package};
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

/// An arm that trains by itself.
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

    fn adapter(&self) -> Result<Vec<f32>, String> {
        match self.store.package()? {
            None => Ok(self.learner.initial_adapter()),
            Some(bytes) => {
                let package = Package::open(&bytes, self.store.publisher()).map_err(|error| error.to_string())?;
                adapter_values(package.section(ADAPTER).ok_or("a package without an adapter")?)
            }
        }
    }
}

impl Learner for ArmLearner {
    fn running(&self) -> Id {
        self.store.running()
    }

    fn update(&mut self, terms: &Terms) -> Result<(UpdateId, Vec<f32>), String> {
        let round = u32::try_from(terms.round).map_err(|_| "more rounds than an arm counts")?;
        let update = self.learner.local_update(self.arm, &self.adapter()?, round).map_err(|error| error.to_string())?;
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
        self.store.apply(package, bytes)
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
