//! Which robots there are: those that train, those held out, and those unlike any that trained.

use crate::Config;
use crate::arm::{Dynamics, Sector};
use crate::random::Stream;

/// Robots to evaluate on. None of them trains, but for [`Cohort::Fleet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cohort {
    /// Drawn as the training robots are, and asked for goals anywhere.
    HeldOut,
    /// With tools, drives and encoders beyond what any training robot has.
    OutOfDistribution,
    /// The robot of the data sheet, on which the base policy was made.
    Nominal,
    /// Those that train, on goals of their own: what a roll-out meets. Says nothing about robots that never trained.
    Fleet,
}

impl Cohort {
    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HeldOut => "held-out",
            Self::OutOfDistribution => "out-of-distribution",
            Self::Nominal => "nominal",
            Self::Fleet => "fleet",
        }
    }
}

/// A robot: its dynamics, and the goals it is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Robot {
    /// How it moves.
    pub dynamics: Dynamics,
    /// Where its goals lie.
    pub sector: Sector,
}

impl Robot {
    /// The robot of the data sheet, asked for goals anywhere.
    pub const NOMINAL: Self = Self { dynamics: Dynamics::NOMINAL, sector: Sector::WHOLE };

    /// Training robot `index`: its own dynamics, and goals in its own part of the floor only.
    #[must_use]
    pub fn training(config: &Config, index: u32) -> Self {
        let mut random = Stream::new(config.seed, "training robot", &[u64::from(config.campaign), u64::from(index)]);
        let dynamics = draw(&mut random, 1.0);
        let sector = Sector { middle_rad: random.between(-0.9, 0.9), half_width_rad: 0.6 };
        Self { dynamics, sector }
    }

    /// Robot `index` of those that never train.
    #[must_use]
    pub fn of(cohort: Cohort, config: &Config, index: u32) -> Self {
        let mut random = Stream::new(config.seed, cohort.name(), &[u64::from(config.campaign), u64::from(index)]);
        let dynamics = match cohort {
            Cohort::HeldOut => draw(&mut random, 1.0),
            Cohort::OutOfDistribution => draw(&mut random, 1.3),
            Cohort::Nominal => return Self::NOMINAL,
            Cohort::Fleet => return Self::training(config, index),
        };
        Self { dynamics, sector: Sector::WHOLE }
    }
}

/// Robots in the field differ from the data sheet in the same direction, each by its own amount: tools are longer,
/// drives are worn, joints are stiff, and encoders were mounted with a tilted gauge. At `far` = 1, as far as the fleet.
fn draw(random: &mut Stream, far: f32) -> Dynamics {
    let mut pair = |low: f32, high: f32| [random.between(low, high), random.between(low, high)];
    let (loss, damping, offset, tool) = (pair(0.2, 0.4), pair(1.0, 2.5), pair(-0.03, 0.03), pair(0.03, 0.07));
    Dynamics {
        tool_m: Dynamics::NOMINAL.tool_m + far * tool[0],
        drive_loss: loss.map(|loss| far * loss),
        damping_nms: damping.map(|damping| far * damping),
        encoder_offset_rad: [far * (offset[0] + 0.05), far * (offset[1] + 0.02)],
    }
}
