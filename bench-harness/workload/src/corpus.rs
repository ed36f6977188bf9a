//! Recorded training: every update of every round, what it led to, and what it cost, in one file with one hash.
//!
//! A corpus is made once by really training ([`record`]), and replayed byte for byte through every cell of a matrix
//! ([`Corpus`]). The file is a chain of records: each ends with the hash of itself and of all before it, so that the last
//! one is the content hash, and an edit, a removal, a swap or a cut anywhere is found.
//!
//! What is replayed, exactly: a campaign trained [`Plan::robots`] robots. A cell with more clients replays these robots'
//! updates in turn: client `k` sends the update of robot `k` modulo that number. The adapter goes on from the mean
//! over the robots that trained.

mod chain;
mod read;
mod write;

pub use read::Corpus;
pub use write::{Place, Recorder, record};

use crate::{Cohort, Config, Effort, Evaluation, Fault, Profile};
use serde::{Deserialize, Serialize};

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The workload; its campaign is the first of [`Plan::campaigns`].
    pub config: Config,
    /// How updates are compressed before they are added up.
    pub profile: Profile,
    /// Independent replicates, each from version 0.
    pub campaigns: u32,
    /// Rounds of each.
    pub rounds: u32,
    /// Robots that train in each round.
    pub robots: u32,
    /// What each evaluation has; the draw is the round's number.
    pub effort: Effort,
    /// Machine and program that made it, in the maker's words: the same bytes come from the same pair only.
    pub maker: String,
}

impl Plan {
    /// The workload of one campaign.
    #[must_use]
    pub fn campaign(&self, index: u32) -> Config {
        Config { campaign: self.config.campaign.saturating_add(index), ..self.config }
    }

    /// Bytes that the updates take.
    #[must_use]
    pub fn update_bytes(&self) -> u64 {
        let updates = u64::from(self.campaigns) * u64::from(self.rounds) * u64::from(self.robots);
        updates.saturating_mul(4 * self.config.values() as u64)
    }

    /// Whether it can be recorded.
    ///
    /// # Errors
    /// [`Fault::Config`] with what is wrong.
    pub fn check(&self) -> Result<(), Fault> {
        self.config.check()?;
        let all = [self.campaigns, self.rounds, self.robots, self.effort.robots, self.effort.episodes];
        if all.iter().any(|count| !(1..=100_000).contains(count)) {
            return Err(Fault::Config(
                "campaigns, rounds, robots and episodes are 1 to 100000 each: a corpus of nothing replays nothing"
                    .into(),
            ));
        }
        if !self.profile.is_sound() {
            return Err(Fault::Config("the clip of 8-bit values must be above zero, such as 0.1".into()));
        }
        Ok(())
    }
}

/// CPU time of one robot in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of demonstrations or trials.
    pub collect_cpu_ns: u64,
    /// Of training.
    pub train_cpu_ns: u64,
}

/// Old and new policy in the same episodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// Version 0.
    pub old: Evaluation,
    /// With the adapter after the round.
    pub new: Evaluation,
}

/// What a round led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which campaign.
    pub campaign: u32,
    /// Which round.
    pub round: u32,
    /// On robots that never train.
    pub held_out: Pair,
    /// On robots unlike any that trained.
    pub outside: Pair,
    /// From version 0, for each held-out robot, in nats.
    pub divergence: Vec<f64>,
    /// CPU time of these evaluations.
    pub evaluate_cpu_ns: u64,
    /// SHA-256 of the adapter after the round: whoever replays it can check its own.
    pub adapter: String,
}

/// The cohorts of an [`Outcome`].
const COHORTS: [Cohort; 2] = [Cohort::HeldOut, Cohort::OutOfDistribution];

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn adapter_hash(adapter: &[f32]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(crate::policy::little_endian(adapter)))
}
