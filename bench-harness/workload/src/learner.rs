//! What a robot does in a round, and what an evaluation does between rounds.

use crate::arm::Arm;
use crate::evaluation::{Episode, Evaluation, Record};
use crate::policy::{Actor, Base, initial_adapter};
use crate::random::Stream;
use crate::robots::{Cohort, Robot};
use crate::rollout::follow;
use crate::{Config, Fault, Task, imitation, reinforcement};

/// What a robot collected for one round of training.
#[derive(Debug)]
pub struct Experience {
    robot: u32,
    round: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Shown(imitation::Demonstrations),
    Tried(reinforcement::Trials),
}

impl Experience {
    /// How long a robot moves for it.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        crate::collecting_s(match self.kind {
            Kind::Shown(_) => Task::Imitation,
            Kind::Tried(_) => Task::Reinforcement,
        })
    }
}

/// How many robots and episodes an evaluation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Effort {
    /// Robots of the cohort.
    pub robots: u32,
    /// Episodes of each.
    pub episodes: u32,
    /// Which episodes: two evaluations with one draw have the same seeds, another draw has fresh ones.
    pub draw: u32,
}

/// Trains and evaluates adapters of one base. It keeps nothing from call to call: what comes out depends on what goes in
/// alone.
#[derive(Debug)]
pub struct Learner {
    config: Config,
    base: Base,
}

impl Learner {
    /// A learner over this base.
    ///
    /// # Errors
    /// [`Fault::Config`] where the base has another width.
    pub fn new(config: Config, base: Base) -> Result<Self, Fault> {
        config.check()?;
        if base.width() != config.width {
            let found = base.width();
            return Err(Fault::Config(format!("the base has width {found}, the configuration {}", config.width)));
        }
        Ok(Self { config, base })
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The base it was made with.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The adapter of version 0, which changes nothing.
    #[must_use]
    pub fn initial_adapter(&self) -> Vec<f32> {
        initial_adapter(&self.config)
    }

    /// What training robot `robot` sees in this round: an expert's demonstrations, or its own trials with the policy.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape.
    pub fn collect(&self, robot: u32, adapter: &[f32], round: u32) -> Result<Experience, Fault> {
        let mut random = self.stream("collect", robot, round);
        let arm = Robot::training(&self.config, robot);
        let kind = match self.config.task {
            Task::Imitation => Kind::Shown(imitation::demonstrate(arm, imitation::EPISODES, &mut random)?),
            Task::Reinforcement => {
                let actor = Actor::new(&self.config, &self.base, adapter)?;
                Kind::Tried(reinforcement::explore(arm, &actor, reinforcement::EPISODES, &mut random)?)
            }
        };
        Ok(Experience { robot, round, kind })
    }

    /// Trains on it; gives the update, which is the new adapter less the old.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape; [`Fault::Diverged`] where training led to no finite values.
    pub fn train(&self, experience: &Experience, adapter: &[f32]) -> Result<Vec<f32>, Fault> {
        let mut random = self.stream("train", experience.robot, experience.round);
        let update = match &experience.kind {
            Kind::Shown(shown) => imitation::train(&self.config, &self.base, adapter, shown, &mut random)?,
            Kind::Tried(tried) => reinforcement::train(&self.config, &self.base, adapter, tried, &mut random)?,
        };
        if update.iter().all(|value| value.is_finite()) { Ok(update) } else { Err(Fault::Diverged) }
    }

    /// [`Learner::collect`], then [`Learner::train`].
    ///
    /// # Errors
    /// Theirs.
    pub fn local_update(&self, robot: u32, adapter: &[f32], round: u32) -> Result<Vec<f32>, Fault> {
        self.train(&self.collect(robot, adapter, round)?, adapter)
    }

    /// How the policy with this adapter does. Episodes of one draw have the same seeds for every adapter, so that two
    /// evaluations can be compared pair by pair.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape.
    pub fn evaluate(&self, cohort: Cohort, effort: Effort, adapter: &[f32]) -> Result<Evaluation, Fault> {
        let actor = Actor::new(&self.config, &self.base, adapter)?;
        let records = (0..effort.robots).map(|robot| self.record(cohort, robot, effort, &actor));
        let records = records.collect::<Result<_, _>>()?;
        Ok(Evaluation { cohort, records })
    }

    /// The same for training robot `robot` alone, in so many episodes: what it sees when it tries a policy itself.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape.
    pub fn soak(&self, robot: u32, episodes: u32, draw: u32, adapter: &[f32]) -> Result<Record, Fault> {
        let actor = Actor::new(&self.config, &self.base, adapter)?;
        self.record(Cohort::Fleet, robot, Effort { robots: 1, episodes, draw }, &actor)
    }

    fn record(&self, cohort: Cohort, robot: u32, effort: Effort, actor: &Actor) -> Result<Record, Fault> {
        let (seeds, arms) = self.episodes(cohort, robot, effort);
        let arms = follow(arms, actor)?.arms;
        let episodes = seeds.iter().zip(&arms);
        let episodes =
            episodes.map(|(seed, arm)| Episode { seed: *seed, success: arm.reached(), violations: arm.violations() });
        Ok(Record { robot, episodes: episodes.collect() })
    }

    /// How far the actions of a new policy are from those of an old one, for each robot: the mean over what the old
    /// one sees of the Kullback-Leibler divergence between their action distributions, in nats.
    ///
    /// # Errors
    /// [`Fault::Length`] for an adapter of another shape.
    pub fn divergence(&self, cohort: Cohort, effort: Effort, old: &[f32], new: &[f32]) -> Result<Vec<f64>, Fault> {
        let (old, new) = (Actor::new(&self.config, &self.base, old)?, Actor::new(&self.config, &self.base, new)?);
        let one = |robot| {
            let seen = follow(self.episodes(cohort, robot, effort).1, &old)?;
            let chosen = new.act(&seen.observations)?;
            let squares = seen.actions.iter().zip(&chosen).map(|(old, new)| f64::from(old - new).powi(2));
            // Both are normal with the same deviation, so the divergence is the squared distance over twice the variance.
            let variance = f64::from(reinforcement::DEVIATION).powi(2);
            Ok(squares.sum::<f64>() / (2.0 * variance) / (chosen.len() / crate::arm::JOINTS).max(1) as f64)
        };
        (0..effort.robots).map(one).collect()
    }

    /// Seeds and arms of a robot's evaluation.
    fn episodes(&self, cohort: Cohort, robot: u32, effort: Effort) -> (Vec<u64>, Vec<Arm>) {
        let Robot { dynamics, sector } = Robot::of(cohort, &self.config, robot);
        let path = [cohort as u64, u64::from(self.config.campaign), u64::from(robot), u64::from(effort.draw)];
        let mut random = Stream::new(self.config.seed, "evaluation", &path);
        let seeds: Vec<u64> = (0..effort.episodes).map(|_| random.word()).collect();
        let arms = seeds.iter().map(|seed| Arm::new(dynamics, sector, *seed)).collect();
        (seeds, arms)
    }

    fn stream(&self, name: &str, robot: u32, round: u32) -> Stream {
        let (task, campaign) = (self.config.task as u64, u64::from(self.config.campaign));
        Stream::new(self.config.seed, name, &[task, campaign, u64::from(robot), u64::from(round)])
    }
}
