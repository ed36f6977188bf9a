//! The learning workload: robots that really learn, so that the harness moves real updates and measures real
//! improvement.
//!
//! Planar robot arms ([`arm`]), each with a tool, drives, joints and encoders of its own, follow one policy. The base
//! of the policy was trained on the robot of the data sheet alone and is imperfect on the fleet ([`pretrain`]). In a
//! round, each robot trains the policy's low-rank adapter on what it sees ([`Learner::local_update`]), the mean of the
//! updates is added ([`apply`]), and the result is judged on robots that never train ([`Learner::evaluate`]).
//!
//! ```no_run
//! use tensorguard_workload::{Cohort, Config, Effort, Learner, Size, Task, apply, mean, pretrain};
//!
//! let config = Config::of(Task::Imitation, Size::Kb10, 7);
//! let learner = Learner::new(config, pretrain(&config)?)?;
//! let mut adapter = learner.initial_adapter();
//! for round in 0..3 {
//!     let updates: Result<Vec<_>, _> = (0..8).map(|robot| learner.local_update(robot, &adapter, round)).collect();
//!     apply(&mut adapter, &mean(&updates?));
//! }
//! let judged = learner.evaluate(Cohort::HeldOut, Effort { robots: 10, episodes: 20, draw: 0 }, &adapter)?;
//! println!("{:.0} % of the episodes succeed", 100.0 * judged.success());
//! # Ok::<(), tensorguard_workload::Fault>(())
//! ```
//!
//! **Invariant.** The same configuration gives the same bytes, on one machine with one binary: every random number
//! comes from a named stream of the seed, and nothing depends on threads, clocks or the order of a map.
//! **Invariant.** No clock, no path, no terminal: whoever calls measures, and opens what a corpus is written to.
#![forbid(unsafe_code)]

pub mod arm;
mod config;
pub mod corpus;
mod evaluation;
mod fault;
mod imitation;
mod learner;
mod policy;
mod profile;
mod random;
mod reinforcement;
mod robots;
mod rollout;

pub use config::{Config, Size, Task};
pub use evaluation::{Episode, Evaluation, Record};
pub use fault::Fault;
pub use learner::{Effort, Experience, Learner};
pub use policy::{Base, adapter_from_safetensors, adapter_to_safetensors};
pub use profile::Profile;
pub use robots::{Cohort, Robot};

/// How long an episode takes on a robot.
pub const EPISODE_S: f64 = arm::STEPS as f64 * arm::STEP_S as f64;

/// How long a robot moves to collect what it trains on in a round.
#[must_use]
pub fn collecting_s(task: Task) -> f64 {
    let episodes = match task {
        Task::Imitation => imitation::EPISODES,
        Task::Reinforcement => reinforcement::EPISODES,
    };
    episodes as f64 * EPISODE_S
}

/// Trains version 0: a base policy that has only seen the robot of the data sheet.
///
/// # Errors
/// [`Fault::Config`] for sizes out of range.
pub fn pretrain(config: &Config) -> Result<Base, Fault> {
    pretrain_while(config, &|| true)
}

/// The same, as long as `goes_on`: a wide policy takes minutes, and whoever waits for it may not want it any more.
///
/// # Errors
/// [`Fault::Config`] for sizes out of range, [`Fault::Stopped`] once `goes_on` says no.
pub fn pretrain_while(config: &Config, goes_on: &dyn Fn() -> bool) -> Result<Base, Fault> {
    config.check()?;
    let mut base = Base::new(config)?;
    imitation::pretrain(config, &mut base, goes_on)?;
    if !goes_on() {
        return Err(Fault::Stopped);
    }
    reinforcement::pretrain(config, &mut base)?;
    Ok(base)
}

/// Adds the mean of a round's updates to the adapter.
///
/// # Panics
/// Where the lengths differ.
pub fn apply(adapter: &mut [f32], mean: &[f32]) {
    assert_eq!(adapter.len(), mean.len(), "a mean has as many values as the adapter");
    adapter.iter_mut().zip(mean).for_each(|(value, mean)| *value += mean);
}

/// The mean of updates in the clear: what an encrypted round gives up to its rounding.
///
/// # Panics
/// Where there are none, or their lengths differ.
#[must_use]
pub fn mean(updates: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0.0f64; updates[0].len()];
    for update in updates {
        assert_eq!(update.len(), sum.len(), "updates of one round have one length");
        sum.iter_mut().zip(update).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    // To f32 once, at the end.
    sum.iter().map(|sum| (sum / updates.len() as f64) as f32).collect()
}
