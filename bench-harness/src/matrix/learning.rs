//! A fleet's campaigns, run for real: robots train, the round goes through the whole scheme, the gate judges, the roll-out spreads.

use super::grid::Fleet;
use super::pipeline::{Agreed, Enrolled, Profile};
use super::trace::{AttemptTrace, FleetTrace, RoundTrace};
use crate::clock::cpu_ns;
use crate::failure::Failure;
use crate::stats::mix;
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trust::gate::{self, Distribution, EvaluatedRobot, PairedEpisode, Thresholds};
use trust::identity::Identity;
use trust::package::{ADAPTER, Origin, Package, RoundRecord};
use trust::rollout::{Event, Plan, Rollout, Stage, Version};
use workload::{Base, Cohort, Config, Effort, Learner, Task};

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
    /// Robots that train for themselves in a round, at most; the others send what these have learned.
    pub trained: u32,
    /// How values travel.
    pub profile: Profile,
    /// Robots of the gate within the distribution, and episodes of each.
    pub judged: Effort,
    /// Robots of the gate outside of it.
    pub outside: u32,
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
            trained: 10,
            profile: Profile::Bits8,
            judged: Effort { robots: 16, episodes: 50, draw: 0 },
            outside: 8,
            applied: 3,
            soak_episodes: 20,
            soak_drop: 0.4,
            seed: 1,
        }
    }

    fn rounds(&self, task: Task) -> u32 {
        match task {
            Task::Imitation => self.imitation_rounds,
            Task::Reinforcement => self.reinforcement_rounds,
        }
    }
}

/// The gate's thresholds for the matrix.
#[must_use]
pub fn thresholds(budget: &Budget) -> Thresholds {
    Thresholds { min_robots: budget.judged.robots, min_outside_robots: budget.outside, ..Thresholds::default() }
}

fn failed(error: workload::Fault) -> Failure {
    Failure::Internal(format!("training: {error}"))
}

/// Version 0 of the policy for this way of learning and size: the same for every fleet and campaign.
///
/// # Errors
/// [`Failure::Internal`] where training fails.
pub fn version_zero(fleet: Fleet, budget: &Budget) -> Result<Base, Failure> {
    workload::pretrain(&Config::of(fleet.task, fleet.size, budget.seed)).map_err(failed)
}

/// Runs the campaigns of a fleet, from this version 0. `say` hears what is going on.
///
/// # Errors
/// [`Failure::Wrong`] where a round's mean is wrong, [`Failure::Internal`] where training fails.
pub fn run(
    fleet: Fleet,
    base: &Base,
    budget: &Budget,
    backend: &dyn Backend,
    say: &mut dyn FnMut(&str),
) -> Result<FleetTrace, Failure> {
    let trained = fleet.clients.min(budget.trained);
    let mut campaigns = Vec::new();
    for number in 0..budget.campaigns {
        say(&format!("{fleet}, campaign {} of {}", number + 1, budget.campaigns));
        let mut campaign = Campaign::begin(fleet, base, trained, budget, number)?;
        let mut attempts = Vec::new();
        for attempt in 0..budget.attempts {
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
    trained: u32,
    budget: &'a Budget,
    learner: Learner,
    enrolled: Enrolled,
    publisher: Identity,
    rng: ChaCha20Rng,
    deployed: Vec<f32>,
    parent: [u8; 32],
    /// What all agree on before they have seen an update: see [`agreed_clip`].
    clip: f32,
    /// Rounds so far, in all attempts: no round's experience comes twice.
    rounds: u32,
}

impl<'a> Campaign<'a> {
    fn begin(fleet: Fleet, base: &Base, trained: u32, budget: &'a Budget, number: u32) -> Result<Self, Failure> {
        let config = Config { campaign: number, ..Config::of(fleet.task, fleet.size, budget.seed) };
        let seed = mix(budget.seed.wrapping_add(mix(u64::from(number) + 1)));
        let learner = Learner::new(config, base.clone()).map_err(failed)?;
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (publisher, deployed) = (Identity::generate(&mut rng), learner.initial_adapter());
        let enrolled = Enrolled::new(fleet.clients, seed)?;
        let clip = agreed_clip(&learner, &deployed)?;
        let parent = [0; 32];
        Ok(Self { fleet, trained, budget, learner, enrolled, publisher, rng, deployed, parent, clip, rounds: 0 })
    }

    fn attempt(&mut self, version: u32, backend: &dyn Backend) -> Result<AttemptTrace, Failure> {
        let mut candidate = self.deployed.clone();
        let (mut rounds, mut records) = (Vec::new(), Vec::new());
        for _ in 0..self.budget.rounds(self.fleet.task) {
            let (round, record) = self.round(&mut candidate, backend)?;
            rounds.push(round);
            records.push(record);
        }
        let package = self.package(version, records, &candidate)?;
        let begin = cpu_ns();
        let (verdict, success) = self.judge(&candidate, &package)?;
        let gate_ns = cpu_ns() - begin;
        let mut trace = AttemptTrace {
            rounds,
            gate_ns,
            canary_ns: 0,
            soak_s: 0.0,
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
        if trace.deployed {
            self.parent = Sha256::digest(&package).into();
            self.deployed = candidate;
        }
        Ok(trace)
    }

    /// A round: some robots train, all send, the mean is added.
    fn round(&mut self, candidate: &mut [f32], backend: &dyn Backend) -> Result<(RoundTrace, RoundRecord), Failure> {
        let (mut updates, mut train_ns, mut collect_s) = (Vec::new(), Vec::new(), 0.0f64);
        for robot in 0..self.trained {
            let experience = self.learner.collect(robot, candidate, self.rounds).map_err(failed)?;
            collect_s = collect_s.max(experience.seconds());
            let begin = cpu_ns();
            updates.push(self.learner.train(&experience, candidate).map_err(failed)?);
            train_ns.push(cpu_ns() - begin);
        }
        for robot in self.trained..self.fleet.clients {
            updates.push(updates[(robot % self.trained) as usize].clone());
        }
        let agreed = Agreed {
            round: u64::from(self.rounds),
            clip: self.clip,
            profile: self.budget.profile,
            min_clients: self.fleet.clients.min(super::grid::DEFAULT_MIN_CLIENTS),
        };
        let outcome = self.enrolled.round(agreed, &updates, backend)?;
        workload::apply(candidate, &outcome.mean);
        self.rounds += 1;
        let record =
            RoundRecord { context: outcome.context, robots: self.fleet.clients, weight: u64::from(self.fleet.clients) };
        let round = RoundTrace {
            train_ns,
            collect_s,
            times: outcome.times,
            upload_bytes: outcome.upload_bytes,
            sum_bytes: outcome.sum_bytes,
            plain_upload_bytes: outcome.plain_upload_bytes,
            mean_bytes: 4 * candidate.len() as u64,
            error_max: outcome.error_max,
        };
        Ok((round, record))
    }
}

/// The range of values: what the maker's own robot, which is in no fleet, learned in a first round, and a quarter more. It is
/// nobody's secret.
fn agreed_clip(learner: &Learner, adapter: &[f32]) -> Result<f32, Failure> {
    let update = learner.local_update(u32::MAX, adapter, 0).map_err(failed)?;
    let largest = update.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    Ok(if largest > 0.0 { 1.25 * largest } else { 1.0 })
}

impl Campaign<'_> {
    fn package(&mut self, version: u32, rounds: Vec<RoundRecord>, candidate: &[f32]) -> Result<Vec<u8>, Failure> {
        let config = self.learner.config();
        let origin = Origin {
            fleet: self.fleet.to_string().into_bytes(),
            version: u64::from(version) + 1,
            base: Sha256::digest(self.learner.base().to_safetensors().map_err(failed)?).into(),
            parent: Some(self.parent),
            corpus: Sha256::digest(format!("training robots of seed {}", config.seed)).into(),
            training: Sha256::digest(serde_json::to_vec(config)?).into(),
            rounds,
        };
        let adapter = workload::adapter_to_safetensors(config, candidate).map_err(failed)?;
        let written = Package::write(&origin, &[(ADAPTER, &adapter)], &self.publisher, &mut self.rng);
        written.map_err(|error| Failure::Internal(format!("packaging a candidate: {error}")))
    }

    /// Old and new policy on the same episodes of robots that never train. Gives the verdict, and success before and after.
    fn judge(&self, candidate: &[f32], package: &[u8]) -> Result<(gate::Verdict, [f64; 2]), Failure> {
        let mut robots = Vec::new();
        let mut success = [0.0; 2];
        let outside = Effort { robots: self.budget.outside, ..self.budget.judged };
        for (cohort, effort, origin) in [
            (Cohort::HeldOut, self.budget.judged, Distribution::Within),
            (Cohort::OutOfDistribution, outside, Distribution::Outside),
        ] {
            let paired = self.paired(cohort, effort, candidate)?;
            if cohort == Cohort::HeldOut {
                success = paired.success;
            }
            robots.extend(paired.robots.into_iter().map(|robot| EvaluatedRobot { origin, ..robot }));
        }
        let evaluation = gate::Evaluation { old: self.parent, new: Sha256::digest(package).into(), robots };
        let verdict = gate::judge(&evaluation, &thresholds(self.budget));
        Ok((verdict.map_err(|error| Failure::Internal(format!("the gate: {error}")))?, success))
    }
}

/// The same episodes under two policies.
struct Paired {
    robots: Vec<EvaluatedRobot>,
    success: [f64; 2],
}

impl Campaign<'_> {
    fn paired(&self, cohort: Cohort, effort: Effort, candidate: &[f32]) -> Result<Paired, Failure> {
        let old = self.learner.evaluate(cohort, effort, &self.deployed).map_err(failed)?;
        let new = self.learner.evaluate(cohort, effort, candidate).map_err(failed)?;
        let kl = self.learner.divergence(cohort, effort, &self.deployed, candidate).map_err(failed)?;
        let outcome =
            |episode: &workload::Episode| gate::Outcome { success: episode.success, violations: episode.violations };
        let robots = old.records.iter().zip(&new.records).zip(kl).map(|((old, new), kl_nats)| EvaluatedRobot {
            name: format!("{}-{}", cohort.name(), old.robot),
            group: cohort.name().to_owned(),
            origin: Distribution::Within,
            kl_nats,
            episodes: old
                .episodes
                .iter()
                .zip(&new.episodes)
                .map(|(old, new)| PairedEpisode { seed: old.seed, old: outcome(old), new: outcome(new) })
                .collect(),
        });
        Ok(Paired { robots: robots.collect(), success: [old.success(), new.success()] })
    }
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
        let old = self.learner.evaluate(Cohort::Fleet, soak, &self.deployed).map_err(failed)?;
        let new = self.learner.evaluate(Cohort::Fleet, soak, candidate).map_err(failed)?;
        let begin = cpu_ns();
        let names: Vec<_> = self.enrolled.robots().collect();
        let healthy = |robot| {
            let index = names.iter().position(|name| *name == robot).unwrap_or(0);
            new.records[index].success() >= old.records[index].success() - self.budget.soak_drop
        };
        let seed = Sha256::digest(package).into();
        let mut rollout = Rollout::start(Plan::default(), &names, &seed).map_err(|error| internal(&error))?;
        loop {
            let orders = rollout.orders();
            let offered = orders.iter().filter(|order| order.version == Version::New).count() as u32;
            if offered > 0 {
                trace.waves.push(offered);
                trace.soak_s += f64::from(self.budget.soak_episodes) * workload::EPISODE_S;
            }
            for order in orders {
                let event = match order.version {
                    Version::New if healthy(order.robot) => Event::Healthy(order.robot),
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
        let refused = |why: &dyn std::fmt::Display| Failure::Wrong(format!("a robot refuses the package: {why}"));
        let opened = Package::open(package, self.publisher.public()).map_err(|error| refused(&error))?;
        let adapter = opened.section(ADAPTER).ok_or_else(|| refused(&"it has no adapter"))?;
        let adapter = workload::adapter_from_safetensors(self.learner.config(), adapter).map_err(failed)?;
        if adapter != candidate {
            return Err(refused(&"its weights are not those that were judged"));
        }
        Ok(())
    }
}
