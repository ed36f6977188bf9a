//! What is learned, how large the adapter is, and the seed of it all.

use crate::Fault;
use crate::policy::SQUARE;
use serde::{Deserialize, Serialize};

/// How robots learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// From an expert's demonstrations (behaviour cloning).
    Imitation,
    /// From their own trials (PPO).
    Reinforcement,
}

impl Task {
    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Imitation => "imitation",
            Self::Reinforcement => "reinforcement",
        }
    }
}

/// How large an update is, as 32-bit floats, in decimal units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// 2,500 values.
    Kb10,
    /// 25,000 values.
    Kb100,
    /// 250,000 values.
    Mb1,
    /// 2,500,000 values.
    Mb10,
}

impl Size {
    /// From small to large.
    pub const ALL: [Self; 4] = [Self::Kb10, Self::Kb100, Self::Mb1, Self::Mb10];

    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kb10 => "10kb",
            Self::Kb100 => "100kb",
            Self::Mb1 => "1mb",
            Self::Mb10 => "10mb",
        }
    }

    /// Width and rank whose adapter has exactly this size.
    fn shape(self) -> (usize, usize) {
        match self {
            Self::Kb10 => (125, 5),
            Self::Kb100 => (250, 25),
            Self::Mb1 => (625, 100),
            Self::Mb10 => (1250, 500),
        }
    }
}

/// A workload. Everything else follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// How robots learn.
    pub task: Task,
    /// Values of a hidden layer.
    pub width: usize,
    /// Rank of the adapters.
    pub rank: usize,
    /// Of the base: the same version 0 for every campaign.
    pub seed: u64,
    /// Which replicate: its own robots, episodes and training.
    pub campaign: u32,
}

impl Config {
    /// A workload whose updates have this size, in campaign 0.
    #[must_use]
    pub fn of(task: Task, size: Size, seed: u64) -> Self {
        let (width, rank) = size.shape();
        Self { task, width, rank, seed, campaign: 0 }
    }

    /// Values of an adapter, hence of an update.
    #[must_use]
    pub fn values(&self) -> usize {
        SQUARE * 2 * self.width * self.rank
    }

    /// The same step moves a policy about as far at every rank.
    pub(crate) fn adapter_scale(&self) -> f64 {
        2.0 / (self.rank as f64).sqrt()
    }

    pub(crate) fn check(&self) -> Result<(), Fault> {
        let Self { width, rank, .. } = *self;
        if (8..=8192).contains(&width) && (1..=width).contains(&rank) {
            return Ok(());
        }
        Err(Fault::Config(format!("width {width} and rank {rank}: a width is 8 to 8192, a rank 1 to the width")))
    }

    pub(crate) fn expect(&self, found: usize) -> Result<(), Fault> {
        let expected = self.values();
        if found == expected { Ok(()) } else { Err(Fault::Length { expected, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_in_decimal_bytes() {
        let bytes = Size::ALL.map(|size| 4 * Config::of(Task::Imitation, size, 0).values());
        assert_eq!(bytes, [10_000, 100_000, 1_000_000, 10_000_000]);
    }
}
