//! A fleet's campaigns, run for real: robots train, the round goes through the whole scheme, the gate judges, the roll-out spreads.

use super::grid::Fleet;
use super::pipeline::{Agreed, Enrolled, Profile};
use super::replay::{Lesson, Lessons};
use super::trace::{AttemptTrace, FleetTrace, RoundTrace};
use crate::clock::cpu_ns;
use crate::failure::Failure;
use crate::fleet::arms::SOAK;
use crate::interrupt;
use crate::judging::{self, Policy};
use crate::progress::Progress;
use crate::stats::mix;
use folding::lwe::RobotId;
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::rc::Rc;
use trust::gate::{self, Thresholds};
use trust::identity::Identity;
use trust::package::{ADAPTER, Origin, Package, RoundRecord};
use trust::rollout::{Event, Plan, Rollout, Stage, Version};
use workload::{Base, Cohort, Config, Effort, Fault, Learner, Size, Task};

/// What every run of the matrix holds itself to, fixed before it begins and hashed into the result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Independent replicates.
    pub campaigns: u32,
    /// Candidates of a campaign, until one is deployed.
    pub attempts: u32,
    /// Federated rounds of a candidate that learns by imitation.
    pub imitation_rounds: u32,
    /// Of one that learns by reinforcement.
    pub reinforcement_rounds: u32,
    /// Robots that train for themselves in a round, at most, instead of what [`Budget::trained`] says; the others send what these
    /// have learned.
    pub most_trained: Option<u32>,
    /// How values travel, unless a fleet says otherwise.
    pub profile: Profile,
    /// Robots of the gate within the distribution.
    pub judged: u32,
    /// Robots of the gate outside of it.
    pub outside: u32,
    /// Episodes of each; every attempt is judged on fresh ones.
    pub episodes: u32,
    /// Robots that measure how long applying takes.
    pub applied: u32,
    /// Episodes that a robot runs before it says whether it is healthy.
    pub soak_episodes: u32,
    /// A robot is unhealthy if its success falls by more than this while it soaks.
    pub soak_drop: f64,
    /// The seed of everything.
    pub seed: u64,
}

impl Budget {
    /// The default for so many campaigns.
    #[must_use]
    pub fn new(campaigns: u32) -> Self {
        Self {
            campaigns,
            attempts: 3,
            imitation_rounds: 2,
            reinforcement_rounds: 4,
            most_trained: None,
            profile: Profile::Bits8,
            judged: 16,
            outside: 8,
            episodes: 50,
            applied: 3,
            soak_episodes: SOAK.episodes,
            soak_drop: SOAK.most_drop,
            seed: 1,
        }
    }

    /// Robots that train for themselves in a round, at most: fewer where training takes minutes.
    #[must_use]
    pub fn trained(&self, size: Size) -> u32 {
        self.most_trained.unwrap_or(match size {
            Size::Kb10 | Size::Kb100 => 10,
            Size::Mb1 => 5,
            Size::Mb10 => 2,
        })
    }

    /// How values of this fleet travel.
    #[must_use]
    pub fn profile_of(&self, fleet: Fleet) -> Profile {
        fleet.profile.unwrap_or(self.profile)
    }

    /// Federated rounds of a candidate.
    #[must_use]
    pub fn rounds(&self, task: Task) -> u32 {
        match task {
            Task::Imitation => self.imitation_rounds,
            Task::Reinforcement => self.reinforcement_rounds,
        }
    }
}

/// The gate's thresholds for the matrix.
#[must_use]
pub fn thresholds(budget: &Budget) -> Thresholds {
    Thresholds { min_robots: budget.judged, min_outside_robots: budget.outside, ..Thresholds::default() }
}

fn failed(error: Fault) -> Failure {
    Failure::Internal(format!("training: {error}"))
}

/// Version 0 of the policy for this way of learning and size: the same for every fleet and campaign.
///
/// # Errors
/// [`Failure::Internal`] where training fails, [`Failure::Interrupted`] after Ctrl-C.
pub fn version_zero(fleet: Fleet, budget: &Budget) -> Result<Base, Failure> {
    let config = Config::of(fleet.task, fleet.size, budget.seed);
    match workload::pretrain_while(&config, &|| !interrupt::asked()) {
        Err(Fault::Stopped) => Err(Failure::Interrupted("training version 0 was stopped".to_owned())),
        trained => trained.map_err(failed),
    }
}

/// A fleet may take minutes: who asks to stop is not kept waiting for its end.
fn unless_asked_to_stop() -> Result<(), Failure> {
    if interrupt::asked() {
        return Err(Failure::Interrupted("a fleet's campaigns were stopped".to_owned()));
    }
    Ok(())
}

/// Runs the campaigns of a fleet, from this version 0; each is a step of the progress. `lessons` are those of fleets of this kind.
///
/// # Errors
/// [`Failure::Wrong`] where a round's mean is wrong, [`Failure::Internal`] where training fails, [`Failure::Interrupted`] after
/// Ctrl-C.
pub fn run(
    fleet: Fleet,
    base: &Base,
    lessons: &mut Lessons,
    budget: &Budget,
    backend: &dyn Backend,
    progress: &mut Progress,
) -> Result<FleetTrace, Failure> {
    let trained = fleet.clients.min(budget.trained(fleet.size));
    let mut campaigns = Vec::new();
    for number in 0..budget.campaigns {
        progress.step(&format!("{fleet}, campaign {} of {}", number + 1, budget.campaigns));
        let mut campaign = Campaign::begin(fleet, base, lessons, budget, number)?;
        let mut attempts = Vec::new();
        for attempt in 0..budget.attempts {
            unless_asked_to_stop()?;
            attempts.push(campaign.attempt(attempt, backend)?);
            if attempts.last().is_some_and(|attempt| attempt.deployed) {
                break;
            }
        }
        campaigns.push(attempts);
    }
    Ok(FleetTrace { fleet, trained, campaigns })
}

/// A replicate in progress.
struct Campaign<'a> {
    fleet: Fleet,
    number: u32,
    trained: u32,
    lessons: &'a mut Lessons,
    budget: &'a Budget,
    learner: Learner,
    enrolled: Enrolled,
    publisher: Identity,
    rng: ChaCha20Rng,
    /// Version 0, which a campaign's first deployed candidate ends: its adapter, and its base's SHA-256.
    zero: Vec<f32>,
    base: [u8; 32],
    /// What all agree on before they have seen an update: see [`agreed_clip`].
    clip: f32,
    /// Rounds so far, in all attempts: no round's experience comes twice.
    rounds: u32,
}

impl<'a> Campaign<'a> {
    fn begin(
        fleet: Fleet,
        base: &Base,
        lessons: &'a mut Lessons,
        budget: &'a Budget,
        number: u32,
    ) -> Result<Self, Failure> {
        let trained = fleet.clients.min(budget.trained(fleet.size));
        let config = Config { campaign: number, ..Config::of(fleet.task, fleet.size, budget.seed) };
        let seed = mix(budget.seed.wrapping_add(mix(u64::from(number) + 1)));
        let learner = Learner::new(config, base.clone()).map_err(failed)?;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (publisher, zero) = (Identity::generate(&mut rng), learner.initial_adapter());
        let enrolled = Enrolled::new(fleet.clients, seed)?;
        let clip = lessons.clip(number, || agreed_clip(&learner, &zero))?;
        let base = Sha256::digest(learner.base().to_safetensors().map_err(failed)?).into();
        Ok(Self {
            fleet,
            number,
            trained,
            lessons,
            budget,
            learner,
            enrolled,
            publisher,
            rng,
            zero,
            base,
            clip,
            rounds: 0,
        })
    }

    fn attempt(&mut self, version: u32, backend: &dyn Backend) -> Result<AttemptTrace, Failure> {
        let mut candidate = self.zero.clone();
        let (mut rounds, mut records, mut learned_from) = (Vec::new(), Vec::new(), Sha256::new());
        for _ in 0..self.budget.rounds(self.fleet.task) {
            let (round, record) = self.round(&mut candidate, &mut learned_from, backend)?;
            rounds.push(round);
            records.push(record);
        }
        let package = self.package(version, records, learned_from.finalize().into(), &candidate)?;
        unless_asked_to_stop()?;
        let begin = cpu_ns();
        let (verdict, success) = self.judge(version, &candidate, &package)?;
        let gate_ns = cpu_ns() - begin;
        let mut trace = AttemptTrace {
            rounds,
            gate_ns,
            canary_ns: 0,
            soak_s: 0.0,
            soaking_ns: None,
            waves: vec![],
            package_bytes: package.len() as u64,
            apply_ns: vec![],
            success,
            said: verdict.to_string().lines().map(str::to_owned).collect(),
            deployed: false,
            rolled_back: false,
        };
        if verdict.passed() {
            self.spread(&candidate, &package, &mut trace)?;
        }
        Ok(trace)
    }

    /// A round: some robots train, all send, the mean is added.
    fn round(
        &mut self,
        candidate: &mut [f32],
        learned_from: &mut Sha256,
        backend: &dyn Backend,
    ) -> Result<(RoundTrace, RoundRecord), Failure> {
        let (place, train) =
            ((self.number, self.rounds), || train(&self.learner, self.trained, candidate, self.rounds));
        // Smaller fleets learn something else: fewer robots make their mean.
        let lesson = match self.trained == self.budget.trained(self.fleet.size) {
            true => self.lessons.of(place, train)?,
            false => Rc::new(train()?),
        };
        let updates = lesson.sent_by(self.fleet.clients);
        let agreed = Agreed {
            round: u64::from(self.rounds),
            clip: self.clip,
            profile: self.budget.profile_of(self.fleet),
            min_clients: self.fleet.clients.min(super::grid::DEFAULT_MIN_CLIENTS),
        };
        // A replayed round asks here: it does not train.
        unless_asked_to_stop()?;
        let outcome = self.enrolled.round(agreed, &updates, backend)?;
        learned_from.update(outcome.manifests);
        workload::apply(candidate, &outcome.mean);
        self.rounds += 1;
        let record =
            RoundRecord { context: outcome.context, robots: self.fleet.clients, weight: u64::from(self.fleet.clients) };
        let round = RoundTrace {
            collect_ns: lesson.collect_ns.clone(),
            train_ns: lesson.train_ns.clone(),
            collect_s: lesson.collect_s,
            times: outcome.times,
            upload_bytes: outcome.upload_bytes,
            sum_bytes: outcome.sum_bytes,
            plain_upload_bytes: outcome.plain_upload_bytes,
            mean_bytes: 4 * candidate.len() as u64,
            updates_sha256: Some(lesson.sha256()),
            error_max: outcome.error_max,
        };
        Ok((round, record))
    }
}

/// What the robots that train learn in a round.
fn train(learner: &Learner, robots: u32, adapter: &[f32], round: u32) -> Result<Lesson, Failure> {
    let mut lesson = Lesson { updates: vec![], collect_ns: vec![], train_ns: vec![], collect_s: 0.0 };
    for robot in 0..robots {
        unless_asked_to_stop()?;
        let begin = cpu_ns();
        let experience = learner.collect(robot, adapter, round).map_err(failed)?;
        lesson.collect_ns.push(cpu_ns() - begin);
        lesson.collect_s = lesson.collect_s.max(experience.seconds());
        let begin = cpu_ns();
        lesson.updates.push(learner.train(&experience, adapter).map_err(failed)?);
        lesson.train_ns.push(cpu_ns() - begin);
    }
    Ok(lesson)
}

/// The range of values: what the maker's own robot, which is in no fleet, learned in a first round, and a quarter more. It is
/// nobody's secret.
fn agreed_clip(learner: &Learner, adapter: &[f32]) -> Result<f32, Failure> {
    let update = learner.local_update(u32::MAX, adapter, 0).map_err(failed)?;
    let largest = update.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    Ok(if largest > 0.0 { 1.25 * largest } else { 1.0 })
}

impl Campaign<'_> {
    fn package(
        &mut self,
        version: u32,
        rounds: Vec<RoundRecord>,
        corpus: [u8; 32],
        candidate: &[f32],
    ) -> Result<Vec<u8>, Failure> {
        let config = self.learner.config();
        let origin = Origin {
            fleet: self.fleet.to_string().into_bytes(),
            version: u64::from(version) + 1,
            base: self.base,
            parent: None,
            // What it was learned from is what the robots signed: nobody else sees an update.
            corpus,
            training: Sha256::digest(serde_json::to_vec(config)?).into(),
            rounds,
        };
        let adapter = workload::adapter_to_safetensors(config, candidate).map_err(failed)?;
        let written = Package::write(&origin, &[(ADAPTER, &adapter)], &self.publisher, &mut self.rng);
        written.map_err(|error| Failure::Internal(format!("packaging a candidate: {error}")))
    }

    /// Old and new policy on the same fresh episodes of robots that never train. Gives the verdict, and success before and after.
    fn judge(&self, attempt: u32, candidate: &[f32], package: &[u8]) -> Result<(gate::Verdict, [f64; 2]), Failure> {
        let old = Policy { fingerprint: self.base, adapter: &self.zero };
        let new = Policy { fingerprint: *self.open(package)?.fingerprint(), adapter: candidate };
        let held_out = Effort { robots: self.budget.judged, episodes: self.budget.episodes, draw: attempt };
        let evaluation = judging::evaluate(&self.learner, [old, new], held_out, self.budget.outside).map_err(failed)?;
        let verdict = gate::judge(&evaluation, &thresholds(self.budget));
        let verdict = verdict.map_err(|error| Failure::Internal(format!("the gate: {error}")))?;
        Ok((verdict, judging::success(&evaluation)))
    }

    fn open<'a>(&self, package: &'a [u8]) -> Result<Package<'a>, Failure> {
        Package::open(package, self.publisher.public()).map_err(|error| refused(&error))
    }
}

fn refused(why: &dyn std::fmt::Display) -> Failure {
    Failure::Wrong(format!("a robot refuses the package: {why}"))
}

impl Campaign<'_> {
    /// The roll-out: robots in turn fetch and apply the package and soak; each says whether it is healthy.
    fn spread(&mut self, candidate: &[f32], package: &[u8], trace: &mut AttemptTrace) -> Result<(), Failure> {
        let internal = |error: &dyn std::fmt::Display| Failure::Internal(format!("the roll-out: {error}"));
        for _ in 0..self.budget.applied.min(self.fleet.clients) {
            let begin = cpu_ns();
            self.apply(package, candidate)?;
            trace.apply_ns.push(cpu_ns() - begin);
        }
        let soak = Effort { robots: self.fleet.clients, episodes: self.budget.soak_episodes, draw: self.rounds };
        let begin = cpu_ns();
        let old = self.learner.evaluate(Cohort::Fleet, soak, &self.zero).map_err(failed)?;
        let new = self.learner.evaluate(Cohort::Fleet, soak, candidate).map_err(failed)?;
        trace.soaking_ns = Some((cpu_ns() - begin) / u64::from(self.fleet.clients));
        let begin = cpu_ns();
        let names: Vec<_> = self.enrolled.robots().collect();
        let drops = old.records.iter().zip(&new.records).map(|(old, new)| old.success() - new.success());
        let sound: BTreeMap<RobotId, bool> =
            names.iter().copied().zip(drops.map(|drop| drop <= self.budget.soak_drop)).collect();
        let seed = *self.open(package)?.fingerprint();
        let mut rollout = Rollout::start(Plan::default(), &names, &seed).map_err(|error| internal(&error))?;
        loop {
            let orders = rollout.orders();
            let offered = orders.iter().filter(|order| order.version == Version::New).count() as u32;
            if offered > 0 {
                trace.waves.push(offered);
                trace.soak_s += f64::from(self.budget.soak_episodes) * workload::EPISODE_S;
            }
            for order in orders {
                let healthy = *sound.get(&order.robot).ok_or_else(|| internal(&"an order for a robot of no fleet"))?;
                let event = match order.version {
                    Version::New if healthy => Event::Healthy(order.robot),
                    Version::New => Event::Unhealthy(order.robot),
                    Version::Old => Event::Restored(order.robot),
                };
                rollout.take(event).map_err(|error| internal(&error))?;
            }
            match rollout.stage() {
                Stage::RolledBack(reason) => {
                    trace.said.push(format!("rolled back: {reason:?}"));
                    trace.rolled_back = true;
                    break;
                }
                Stage::RollingBack(_) => {}
                Stage::Deployed => {
                    trace.said.push("deployed".to_owned());
                    trace.deployed = true;
                    break;
                }
                Stage::Canary | Stage::Progressive(_) | Stage::Full => {
                    rollout.take(Event::SoakOver).map_err(|error| internal(&error))?;
                }
            }
        }
        trace.canary_ns = cpu_ns() - begin;
        Ok(())
    }

    /// What a robot does with a package: who signed it, what is in it, whether these are the weights that were judged.
    fn apply(&self, package: &[u8], candidate: &[f32]) -> Result<(), Failure> {
        let opened = self.open(package)?;
        let adapter = opened.section(ADAPTER).ok_or_else(|| refused(&"it has no adapter"))?;
        let adapter = workload::adapter_from_safetensors(self.learner.config(), adapter).map_err(failed)?;
        if adapter != candidate {
            return Err(refused(&"its weights are not those that were judged"));
        }
        Ok(())
    }
}
