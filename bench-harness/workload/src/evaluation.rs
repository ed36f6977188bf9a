//! What an evaluation found, episode by episode.

use crate::robots::Cohort;
use serde::{Deserialize, Serialize};

/// One episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Start and goal follow from it; the same for every policy.
    pub seed: u64,
    /// Whether the tip was near the goal and stayed there.
    pub success: bool,
    /// Steps in which a joint was too fast or the tip too near the base.
    pub violations: u32,
}

/// One robot's episodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number in the cohort.
    pub robot: u32,
    /// In the order of their seeds' stream: two evaluations pair up by position.
    pub episodes: Vec<Episode>,
}

/// How a policy did on a cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Which robots.
    pub cohort: Cohort,
    /// One for each robot.
    pub records: Vec<Record>,
}

impl Record {
    /// Share of the episodes that succeeded; 0 of none.
    #[must_use]
    pub fn success(&self) -> f64 {
        let successes = self.episodes.iter().filter(|episode| episode.success).count();
        successes as f64 / self.episodes.len().max(1) as f64
    }
}

impl Evaluation {
    /// Share of the episodes that succeeded.
    #[must_use]
    pub fn success(&self) -> f64 {
        self.share(|episode| f64::from(u8::from(episode.success)))
    }

    /// Violations for each episode.
    #[must_use]
    pub fn violations(&self) -> f64 {
        self.share(|episode| f64::from(episode.violations))
    }

    fn share(&self, of: impl Fn(&Episode) -> f64) -> f64 {
        let episodes = || self.records.iter().flat_map(|record| &record.episodes);
        episodes().map(of).sum::<f64>() / episodes().count().max(1) as f64
    }
}
