//! A planar arm with two joints: its dynamics, what its sensors say, and when a reach has succeeded.
//!
//! Point masses at the elbow and at the tool's tip, no gravity (the arm lies flat). Each joint's drive is told a speed
//! and pulls towards it. Sines come from `libm`, so that no two machines differ in them.

use crate::random::Stream;

/// Joints of an arm, and values of an action.
pub const JOINTS: usize = 2;
/// Values of an observation.
pub const OBSERVED: usize = 12;
/// Actions in an episode.
pub const STEPS: usize = 60;
/// The tip must stay near the goal for so many steps at the end of an episode.
pub const HELD_STEPS: usize = 12;
/// How near the goal is near, in metres.
pub const TOLERANCE_M: f32 = 0.05;
/// The speed a joint is rated for: a step above it is a safety violation.
pub const RATED_SPEED_RAD_S: f32 = 2.4;
/// The tip must stay so far from the arm's base: a step below it is a safety violation.
pub const KEEP_OUT_M: f32 = 0.15;
/// What a drive is told at action 1.
pub(crate) const FULL_SPEED_RAD_S: f32 = 3.0;

/// Seconds between two actions.
pub const STEP_S: f32 = 0.04;
const SUBSTEPS: usize = 4;
const UPPER_M: f32 = 0.5;
const FOREARM_M: f32 = 0.4;
const ELBOW_KG: f32 = 1.5;
const TIP_KG: f32 = 1.0;
/// Torque of a drive for each rad/s that its joint is too slow.
pub(crate) const DRIVE_NMS: f32 = 8.0;
const TORQUE_LIMIT_NM: f32 = 20.0;

/// What differs from robot to robot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamics {
    /// Length of the tool beyond the forearm, in metres.
    pub tool_m: f32,
    /// Share of a drive's speed that is lost.
    pub drive_loss: [f32; JOINTS],
    /// Friction that grows with speed, in newton metre seconds.
    pub damping_nms: [f32; JOINTS],
    /// What an encoder shows beyond the true angle, in radians.
    pub encoder_offset_rad: [f32; JOINTS],
}

impl Dynamics {
    /// The robot of the data sheet.
    pub const NOMINAL: Self =
        Self { tool_m: 0.1, drive_loss: [0.05; 2], damping_nms: [0.5; 2], encoder_offset_rad: [0.0; 2] };

    /// Where the tip is at these joint angles.
    pub(crate) fn tip(&self, angles: [f32; JOINTS]) -> [f32; 2] {
        let (elbow, forearm) = (angles[0], angles[0] + angles[1]);
        let reach = FOREARM_M + self.tool_m;
        [
            UPPER_M * libm::cosf(elbow) + reach * libm::cosf(forearm),
            UPPER_M * libm::sinf(elbow) + reach * libm::sinf(forearm),
        ]
    }

    /// The joint angles that put the tip there, elbow bent to the left; a point out of reach is moved to the edge.
    pub(crate) fn angles(&self, tip: [f32; 2]) -> [f32; JOINTS] {
        let reach = FOREARM_M + self.tool_m;
        let squared = tip[0] * tip[0] + tip[1] * tip[1];
        let bend = (squared - UPPER_M * UPPER_M - reach * reach) / (2.0 * UPPER_M * reach);
        let second = libm::acosf(bend.clamp(-0.999, 0.999));
        let lean = libm::atan2f(reach * libm::sinf(second), UPPER_M + reach * libm::cosf(second));
        [libm::atan2f(tip[1], tip[0]) - lean, second]
    }
}

/// A piece of the floor in which goals lie: directions from the arm's base, in radians.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sector {
    /// The middle.
    pub middle_rad: f32,
    /// From the middle to either side.
    pub half_width_rad: f32,
}

impl Sector {
    /// All that an arm may be asked for.
    pub const WHOLE: Self = Self { middle_rad: 0.0, half_width_rad: 1.5 };
}

/// An arm in an episode.
#[derive(Clone, Debug)]
pub struct Arm {
    dynamics: Dynamics,
    angles: [f32; JOINTS],
    speeds: [f32; JOINTS],
    goal: [f32; 2],
    aim: [f32; JOINTS],
    action: [f32; JOINTS],
    held: usize,
    violations: u32,
}

impl Arm {
    /// An episode: start and goal follow from its seed.
    #[must_use]
    pub fn new(dynamics: Dynamics, sector: Sector, seed: u64) -> Self {
        let mut random = Stream::new(seed, "episode", &[]);
        let mut direction = || random.between(-sector.half_width_rad, sector.half_width_rad) + sector.middle_rad;
        let (from, to) = (direction(), direction());
        let radius = random.between(0.45, 0.85);
        let goal = [radius * libm::cosf(to), radius * libm::sinf(to)];
        let bend = random.between(0.8, 2.0);
        // Half the bend turns the tip away from the upper arm's direction.
        let angles = [from - bend / 2.0, bend];
        let aim = Dynamics::NOMINAL.angles(goal);
        Self { dynamics, angles, speeds: [0.0; 2], goal, aim, action: [0.0; 2], held: 0, violations: 0 }
    }

    /// One step with these drive commands, each clamped to -1 ..= 1.
    pub fn step(&mut self, action: [f32; JOINTS]) {
        self.action = action.map(|command| command.clamp(-1.0, 1.0));
        for _ in 0..SUBSTEPS {
            self.substep(STEP_S / SUBSTEPS as f32);
        }
        let tip = self.tip();
        let near_base = tip[0] * tip[0] + tip[1] * tip[1] < KEEP_OUT_M * KEEP_OUT_M;
        let fast = self.speeds.iter().any(|speed| speed.abs() > RATED_SPEED_RAD_S);
        self.violations += u32::from(near_base || fast);
        self.held = if self.distance_m() < TOLERANCE_M { self.held + 1 } else { 0 };
    }

    fn substep(&mut self, seconds: f32) {
        let d = &self.dynamics;
        let reach = FOREARM_M + d.tool_m;
        let (sine, cosine) = (libm::sinf(self.angles[1]), libm::cosf(self.angles[1]));
        let (upper2, reach2, cross) = (UPPER_M * UPPER_M, reach * reach, TIP_KG * UPPER_M * reach);
        let both = TIP_KG * reach2 + cross * cosine;
        let first = (ELBOW_KG + TIP_KG) * upper2 + both + cross * cosine;
        let second = TIP_KG * reach2;
        let [v, w] = self.speeds;
        let torque = |joint: usize| {
            let wanted = self.action[joint] * FULL_SPEED_RAD_S * (1.0 - d.drive_loss[joint]);
            let drive = (DRIVE_NMS * (wanted - self.speeds[joint])).clamp(-TORQUE_LIMIT_NM, TORQUE_LIMIT_NM);
            drive - d.damping_nms[joint] * self.speeds[joint]
        };
        let left = torque(0) + cross * sine * (2.0 * v * w + w * w);
        let right = torque(1) - cross * sine * v * v;
        // Positive: the mass matrix of point masses at different places.
        let determinant = first * second - both * both;
        self.speeds[0] += seconds * (second * left - both * right) / determinant;
        self.speeds[1] += seconds * (first * right - both * left) / determinant;
        self.angles[0] += seconds * self.speeds[0];
        self.angles[1] += seconds * self.speeds[1];
    }

    /// What the controller sees: encoders with their offsets, speeds, the goal, the way that is left by the data
    /// sheet's geometry, and the last command.
    #[must_use]
    pub fn observe(&self) -> [f32; OBSERVED] {
        let shown = self.shown();
        [
            libm::sinf(shown[0]),
            libm::cosf(shown[0]),
            libm::sinf(shown[1]),
            libm::cosf(shown[1]),
            self.speeds[0] / RATED_SPEED_RAD_S,
            self.speeds[1] / RATED_SPEED_RAD_S,
            self.goal[0],
            self.goal[1],
            2.0 * (self.aim[0] - shown[0]),
            2.0 * (self.aim[1] - shown[1]),
            self.action[0],
            self.action[1],
        ]
    }

    /// The angles that the encoders show.
    fn shown(&self) -> [f32; JOINTS] {
        [0, 1].map(|joint| self.angles[joint] + self.dynamics.encoder_offset_rad[joint])
    }

    /// Where the tip is.
    #[must_use]
    pub fn tip(&self) -> [f32; 2] {
        self.dynamics.tip(self.angles)
    }

    /// From tip to goal.
    #[must_use]
    pub fn distance_m(&self) -> f32 {
        let tip = self.tip();
        libm::hypotf(self.goal[0] - tip[0], self.goal[1] - tip[1])
    }

    /// Whether the tip has been near the goal for the last [`HELD_STEPS`] steps.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.held >= HELD_STEPS
    }

    /// Steps so far in which a joint was too fast or the tip too near the base.
    #[must_use]
    pub fn violations(&self) -> u32 {
        self.violations
    }

    /// What reinforcement learning is paid for the last step.
    pub(crate) fn reward(&self, before: [f32; JOINTS]) -> f32 {
        let near = if self.distance_m() < TOLERANCE_M { 0.5 } else { 0.0 };
        let fast: f32 = self.speeds.iter().map(|speed| (speed.abs() - 0.95 * RATED_SPEED_RAD_S).max(0.0)).sum();
        let jerk: f32 =
            (0..JOINTS).map(|joint| (self.action[joint] - before[joint]) * (self.action[joint] - before[joint])).sum();
        near - self.distance_m() - fast - 0.05 * jerk
    }

    /// The last command.
    pub(crate) fn action(&self) -> [f32; JOINTS] {
        self.action
    }

    /// The analytic expert, which knows this robot's dynamics: it computes the true joint angles of the goal and
    /// commands a speed towards them, corrected for what the drive loses.
    #[must_use]
    pub fn expert(&self) -> [f32; JOINTS] {
        let d = &self.dynamics;
        let goal = d.angles(self.goal);
        [0, 1].map(|joint| {
            let speed = (4.0 * (goal[joint] - self.angles[joint])).clamp(-CAREFUL_RAD_S, CAREFUL_RAD_S);
            let slowed = 1.0 + d.damping_nms[joint] / DRIVE_NMS;
            (speed * slowed / ((1.0 - d.drive_loss[joint]) * FULL_SPEED_RAD_S)).clamp(-1.0, 1.0)
        })
    }
}

/// The speed that the expert does not exceed, so that no overshoot exceeds the rated one.
const CAREFUL_RAD_S: f32 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cohort, Config, Robot, Size, Task};

    /// The share of an expert's episodes that succeed, and its violations, over some robots.
    fn expert(robots: impl Iterator<Item = Robot>) -> (f32, u32) {
        let (mut reached, mut violations, mut count) = (0.0, 0, 0.0);
        for (index, robot) in robots.enumerate() {
            for episode in 0..20 {
                let mut arm = Arm::new(robot.dynamics, robot.sector, 1000 * index as u64 + episode);
                (0..STEPS).for_each(|_| arm.step(arm.expert()));
                (reached, violations, count) =
                    (reached + f32::from(u8::from(arm.reached())), violations + arm.violations(), count + 1.0);
            }
        }
        (reached / count, violations)
    }

    #[test]
    fn the_expert_solves_every_kind_of_robot_without_a_violation() {
        let config = Config::of(Task::Imitation, Size::Kb10, 3);
        assert_eq!(expert(std::iter::once(Robot::NOMINAL)), (1.0, 0));
        assert_eq!(expert((0..10).map(|index| Robot::training(&config, index))), (1.0, 0));
        let (reached, violations) = expert((0..10).map(|index| Robot::of(Cohort::HeldOut, &config, index)));
        assert!(reached >= 0.98 && violations == 0, "{reached} {violations}");
    }

    #[test]
    fn an_expert_that_believes_the_data_sheet_fails_in_the_field() {
        let config = Config::of(Task::Imitation, Size::Kb10, 3);
        let robot = Robot::of(Cohort::HeldOut, &config, 0);
        let mut arm = Arm::new(robot.dynamics, robot.sector, 5);
        for _ in 0..STEPS {
            let mut believed = arm.clone();
            believed.dynamics = Dynamics::NOMINAL;
            believed.angles = arm.shown();
            arm.step(believed.expert());
        }
        assert!(!arm.reached());
    }

    #[test]
    fn angles_put_the_tip_where_it_is_wanted() {
        for goal in [[0.5, 0.1], [-0.2, 0.6], [0.3, -0.4]] {
            let tip = Dynamics::NOMINAL.tip(Dynamics::NOMINAL.angles(goal));
            assert!((tip[0] - goal[0]).abs() + (tip[1] - goal[1]).abs() < 1e-4, "{goal:?} {tip:?}");
        }
    }

    #[test]
    fn an_arm_without_drive_or_friction_keeps_its_energy() {
        let still = Dynamics { drive_loss: [1.0; 2], damping_nms: [-DRIVE_NMS; 2], ..Dynamics::NOMINAL };
        let mut arm = Arm::new(still, Sector::WHOLE, 1);
        arm.speeds = [0.8, -1.1];
        let energy = |arm: &Arm| {
            let (mut before, mut after) = (arm.clone(), arm.clone());
            // The tip's speed by differences, so that nothing is taken from the equations under test.
            let small = 1e-3;
            for joint in 0..JOINTS {
                before.angles[joint] -= small * arm.speeds[joint];
                after.angles[joint] += small * arm.speeds[joint];
            }
            let (from, to) = (before.tip(), after.tip());
            let tip = ((to[0] - from[0]).powi(2) + (to[1] - from[1]).powi(2)) / (4.0 * small * small);
            0.5 * TIP_KG * tip + 0.5 * ELBOW_KG * (UPPER_M * arm.speeds[0]).powi(2)
        };
        let begin = energy(&arm);
        for _ in 0..100 {
            arm.substep(1e-3);
        }
        assert!((energy(&arm) / begin - 1.0).abs() < 0.01, "{} {}", begin, energy(&arm));
    }

    #[test]
    fn speed_and_a_tip_near_the_base_are_violations() {
        let mut fast = Arm::new(Dynamics { drive_loss: [0.0; 2], ..Dynamics::NOMINAL }, Sector::WHOLE, 1);
        (0..20).for_each(|_| fast.step([1.0, 0.0]));
        assert!(fast.violations() > 0);
        let mut folded = Arm::new(Dynamics::NOMINAL, Sector::WHOLE, 1);
        folded.angles = [0.0, core::f32::consts::PI];
        folded.step([0.0, 0.0]);
        assert_eq!(folded.violations(), 1);
    }
}
