//! How an accepted package spreads: a few robots first, then more, then all; and back at once where it does harm.
//!
//! A state machine without clock or network. Its owner gives it [`Event`]s and carries out its [`orders`](Rollout::orders); the same
//! fleet, plan, seed and events always lead to the same state, so after a restart the owner replays the events it wrote down.
//!
//! ```text
//! canary -> progressive (each step of the plan) -> full -> deployed
//!     \            \                                 \         \
//!      +------------+---------------------------------+---------+--> rolling back -> rolled back
//! ```
//!
//! * A stage is over when its owner says so ([`Event::SoakOver`]). The next begins only if at least `healthy_percent` of all robots
//!   offered the new version so far have applied it and are healthy; otherwise everything goes back.
//! * More unhealthy robots than the rest allows: back at once, in any stage, also after deployment.
//! * A robot that reports itself unhealthy goes back by itself.
//!
//! ```
//! use lwe::RobotId;
//! use tensorguard_trust::rollout::*;
//! let fleet: Vec<_> = (0..20).map(|number| RobotId([number; 32])).collect();
//! let mut rollout = Rollout::start(Plan::default(), &fleet, &[7; 32])?;
//! while rollout.stage() != Stage::Deployed {
//!     for order in rollout.orders() {
//!         rollout.take(Event::Healthy(order.robot))?; // installed, and its health check passed
//!     }
//!     rollout.take(Event::SoakOver)?;
//! }
//! assert_eq!(rollout.tally().healthy, 20);
//! # Ok::<(), RolloutError>(())
//! ```

use crate::digest::digest_fields;
use core::fmt;
use lwe::RobotId;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// How far each stage goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Share of the fleet in the canary: 5 to 20.
    pub canary_percent: u8,
    /// Shares of the fleet at the steps between canary and all: ascending, above the canary's, below 100.
    pub steps_percent: Vec<u8>,
    /// Share of the offered robots that must be healthy for the next stage, and for `deployed`: 50 to 100.
    pub healthy_percent: u8,
}

impl Default for Plan {
    /// A tenth, half, all; 95 of 100 healthy.
    fn default() -> Self {
        Self { canary_percent: 10, steps_percent: vec![50], healthy_percent: 95 }
    }
}

/// Where a roll-out stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// On the first few robots.
    #[n(0)]
    Canary,
    /// On a step's share of the fleet; steps count from 0.
    #[n(1)]
    Progressive(#[n(0)] usize),
    /// On its way to all.
    #[n(2)]
    Full,
    /// Applied and healthy on enough of the fleet.
    #[n(3)]
    Deployed,
    /// Robots are on their way back to the old version.
    #[n(4)]
    RollingBack(#[n(0)] Reason),
    /// Every robot is on the old version.
    #[n(5)]
    RolledBack(#[n(0)] Reason),
}

/// Why everything goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    /// Too many robots are unhealthy.
    #[n(0)]
    Unhealthy,
    /// A stage was over, and too few robots were healthy.
    #[n(1)]
    TooFew,
    /// Somebody stopped it.
    #[n(2)]
    Halted,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A robot has applied the new version, and its health check passed.
    Healthy(RobotId),
    /// A robot could not apply it, or its health check failed.
    Unhealthy(RobotId),
    /// A robot is on the old version again.
    Restored(RobotId),
    /// The stage had its time.
    SoakOver,
    /// An operator, or an alarm of the fleet's own, wants everything back.
    Halt,
}

/// What a robot should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one from before.
    Old,
    /// The one being rolled out.
    New,
}

/// What a robot is to do. Repeating one does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which robot.
    pub robot: RobotId,
    /// What it should install.
    pub version: Version,
}

/// How many robots are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Never offered the new version.
    pub untouched: usize,
    /// Offered it, and not heard of since.
    pub offered: usize,
    /// On it, and healthy.
    pub healthy: usize,
    /// Ordered back, and not heard of since.
    pub returning: usize,
    /// Back on the old version.
    pub restored: usize,
}

impl Tally {
    /// Robots that may be running the new version.
    #[must_use]
    pub fn exposed(&self) -> usize {
        self.offered + self.healthy + self.returning
    }
}

/// Why a roll-out cannot start, or an event was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutError {
    /// A share out of its range.
    Plan,
    /// A fleet of fewer than two robots has no canary.
    Fleet(usize),
    /// A robot that is in the fleet twice.
    RobotTwice,
    /// A robot that is not in the fleet.
    UnknownRobot,
}

impl fmt::Display for RolloutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => f.write_str(
                "the plan's shares must be: canary 5 to 20 percent, steps ascending between it and 100, healthy 50 to 100",
            ),
            Self::Fleet(robots) => write!(f, "a fleet of {robots}: a canary needs another robot beside it, so two at least"),
            Self::RobotTwice => f.write_str("a robot is in the fleet twice: name each once"),
            Self::UnknownRobot => f.write_str("an event of a robot that is not in this roll-out's fleet"),
        }
    }
}

impl core::error::Error for RolloutError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Untouched,
    Offered,
    Healthy,
    Returning,
    Restored,
}

/// One package on its way through a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    plan: Plan,
    /// In the order in which they are offered the new version.
    robots: Vec<(RobotId, State)>,
    places: BTreeMap<RobotId, usize>,
    /// How many were offered it: a prefix of `robots`.
    reached: usize,
    stage: Stage,
}

impl Rollout {
    /// Begins with the canary. Who is in it follows from `seed` and the robots' names alone, not from their order; take a new seed,
    /// such as the package's fingerprint, for each roll-out, so that it is not always the same robots.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub fn start(plan: Plan, fleet: &[RobotId], seed: &[u8; 32]) -> Result<Self, RolloutError> {
        check(&plan)?;
        if fleet.len() < 2 {
            return Err(RolloutError::Fleet(fleet.len()));
        }
        let mut robots: Vec<_> = fleet.iter().map(|robot| (*robot, State::Untouched)).collect();
        robots.sort_by_cached_key(|(robot, _)| digest_fields("canary", &[seed, &robot.0]));
        let places: BTreeMap<_, _> = robots.iter().enumerate().map(|(place, (robot, _))| (*robot, place)).collect();
        if places.len() < robots.len() {
            return Err(RolloutError::RobotTwice);
        }
        let mut rollout = Self { plan, robots, places, reached: 0, stage: Stage::Canary };
        rollout.enter(Stage::Canary);
        Ok(rollout)
    }

    /// Goes on after a restart where the log says that it was: in the last of the `stages` that it entered, with every robot of these
    /// stages offered the new version, or ordered back. How they fare is told by events again.
    ///
    /// # Errors
    /// [`RolloutError`].
    pub fn resume(plan: Plan, fleet: &[RobotId], seed: &[u8; 32], stages: &[Stage]) -> Result<Self, RolloutError> {
        let mut rollout = Self::start(plan, fleet, seed)?;
        for stage in stages {
            match stage {
                Stage::RollingBack(reason) => rollout.roll_back(*reason),
                Stage::Canary | Stage::Progressive(_) | Stage::Full => rollout.enter(*stage),
                Stage::Deployed | Stage::RolledBack(_) => {}
            }
        }
        Ok(rollout)
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// How many robots are where.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (_, state) in &self.robots {
            *match state {
                State::Untouched => &mut tally.untouched,
                State::Offered => &mut tally.offered,
                State::Healthy => &mut tally.healthy,
                State::Returning => &mut tally.returning,
                State::Restored => &mut tally.restored,
            } += 1;
        }
        tally
    }

    /// What is to be done, until robots say that they have: to be sent again after a while, and after a restart.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        let order = |(robot, state): &(RobotId, State)| match state {
            State::Offered => Some(Order { robot: *robot, version: Version::New }),
            State::Returning => Some(Order { robot: *robot, version: Version::Old }),
            State::Untouched | State::Healthy | State::Restored => None,
        };
        self.robots.iter().filter_map(order).collect()
    }

    /// How many robots may run the new version in a stage. Never above the stage's share, except that one robot is the least.
    #[must_use]
    pub fn limit(&self, stage: Stage) -> usize {
        let share = |percent: u8| (self.robots.len() * usize::from(percent) / 100).max(1);
        match stage {
            Stage::Canary => share(self.plan.canary_percent),
            Stage::Progressive(step) => self.plan.steps_percent.get(step).map_or(0, |percent| share(*percent)),
            Stage::Full | Stage::Deployed => self.robots.len(),
            Stage::RollingBack(_) => self.reached,
            Stage::RolledBack(_) => 0,
        }
    }

    /// Takes note of what happened. What comes too late, or twice, changes nothing.
    ///
    /// # Errors
    /// [`RolloutError::UnknownRobot`]; nothing has changed then.
    pub fn take(&mut self, event: Event) -> Result<Stage, RolloutError> {
        match event {
            Event::Healthy(robot) => self.change(robot, State::Offered, State::Healthy)?,
            Event::Unhealthy(robot) => {
                self.change(robot, State::Offered, State::Returning)?;
                self.change(robot, State::Healthy, State::Returning)?;
            }
            Event::Restored(robot) => self.change(robot, State::Returning, State::Restored)?,
            Event::SoakOver => self.advance(),
            Event::Halt => self.roll_back(Reason::Halted),
        }
        self.settle();
        Ok(self.stage)
    }

    fn change(&mut self, robot: RobotId, from: State, to: State) -> Result<(), RolloutError> {
        let place = *self.places.get(&robot).ok_or(RolloutError::UnknownRobot)?;
        let state = &mut self.robots[place].1;
        if *state == from {
            *state = to;
        }
        Ok(())
    }

    /// The stage had its time: on, or back.
    fn advance(&mut self) {
        let next = match self.stage {
            Stage::Canary => 0,
            Stage::Progressive(step) => step + 1,
            Stage::Full => usize::MAX,
            Stage::Deployed | Stage::RollingBack(_) | Stage::RolledBack(_) => return,
        };
        let healthy = self.tally().healthy;
        if healthy * 100 < self.reached * usize::from(self.plan.healthy_percent) {
            return self.roll_back(Reason::TooFew);
        }
        match next {
            usize::MAX => self.stage = Stage::Deployed,
            step if step < self.plan.steps_percent.len() => self.enter(Stage::Progressive(step)),
            _ => self.enter(Stage::Full),
        }
    }

    /// Offers the new version to the robots of a stage that do not have it yet.
    fn enter(&mut self, stage: Stage) {
        let limit = self.limit(stage).max(self.reached);
        self.robots[self.reached..limit].iter_mut().for_each(|(_, state)| *state = State::Offered);
        (self.reached, self.stage) = (limit, stage);
    }

    fn roll_back(&mut self, reason: Reason) {
        if matches!(self.stage, Stage::RollingBack(_) | Stage::RolledBack(_)) {
            return;
        }
        for (_, state) in &mut self.robots {
            if matches!(state, State::Offered | State::Healthy) {
                *state = State::Returning;
            }
        }
        self.stage = Stage::RollingBack(reason);
    }

    /// What follows from the robots' states.
    fn settle(&mut self) {
        let tally = self.tally();
        let unhealthy = tally.returning + tally.restored;
        if unhealthy * 100 > self.reached * usize::from(100 - self.plan.healthy_percent) {
            self.roll_back(Reason::Unhealthy);
        }
        if let (Stage::RollingBack(reason), 0) = (self.stage, self.tally().exposed()) {
            self.stage = Stage::RolledBack(reason);
        }
    }
}

fn check(plan: &Plan) -> Result<(), RolloutError> {
    let shares: Vec<u8> =
        [plan.canary_percent].into_iter().chain(plan.steps_percent.iter().copied()).chain([100]).collect();
    let sound = (5..=20).contains(&plan.canary_percent)
        && shares.is_sorted_by(|left, right| left < right)
        && (50..=100).contains(&plan.healthy_percent);
    if sound { Ok(()) } else { Err(RolloutError::Plan) }
}
