//! What a cell of the matrix shows: computed from what its fleet did, here and nowhere else, so that anybody can do it again.

use super::compose::{Arm, Composition, Spent, Stage, campaigns};
use super::grid::Cell;
use super::pipeline::Profile;
use super::tpdi::{Clock, Tpdi};
use super::trace::{FleetTrace, RoundTrace};
use crate::record::{Label, sha256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Seconds of a stage over all attempts of a cell, from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSeconds {
    /// The stage.
    pub stage: Stage,
    /// Where the figure comes from.
    pub label: Label,
    /// Per attempt, mean.
    pub seconds: f64,
}

/// One arm of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmOutcome {
    /// Encrypted or not.
    pub arm: Arm,
    /// The headline.
    pub tpdi: Tpdi,
    /// Where an attempt's time goes, in order.
    pub stages: Vec<StageSeconds>,
    /// Bytes that a robot sends in a round.
    pub upload_bytes: u64,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CellOutcome {
    /// Its name.
    pub cell: String,
    /// Robots.
    pub clients: u32,
    /// The least number of robots that the key holder opened a sum for.
    pub min_clients: u32,
    /// Robots that trained for themselves.
    pub trained: u32,
    /// How they learn.
    pub task: String,
    /// Bytes of an update as 32-bit floats.
    pub update_bytes: u64,
    /// The link's rate, 10^6 bits per second.
    pub mbit_per_s: u32,
    /// The link's round trip.
    pub rtt_ms: u32,
    /// How values travel, where the run has several ways; else it is in its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub profile: Option<Profile>,
    /// Mean success on held-out robots before the attempts, and after those that were deployed; none where none was.
    pub success_before: f64,
    /// After.
    pub success_after: Option<f64>,
    /// The farthest that an opened mean was from that of the plain updates.
    pub error_max: f64,
    /// SHA-256 over the hashes of all rounds' updates, in order: cells with the same one sent the same updates, byte for byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates_sha256: Option<String>,
    /// Encrypted, then plain.
    pub arms: Vec<ArmOutcome>,
}

impl CellOutcome {
    /// Of a cell whose fleet did this, put together so; none if it attempted nothing.
    #[must_use]
    pub fn of(cell: &Cell, trace: &FleetTrace, composition: Composition) -> Option<Self> {
        let attempts: Vec<_> = trace.campaigns.iter().flatten().collect();
        let rounds: Vec<_> = attempts.iter().flat_map(|attempt| &attempt.rounds).collect();
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let deployed = attempts.iter().filter(|attempt| attempt.deployed);
        let arms: Option<Vec<ArmOutcome>> =
            Arm::ALL.iter().map(|&arm| arm_outcome(cell, arm, trace, composition)).collect();
        Some(Self {
            cell: cell.to_string(),
            clients: cell.clients,
            min_clients: cell.min_clients(),
            trained: trace.trained,
            task: cell.task.name().to_owned(),
            update_bytes: super::grid::bytes(cell.size),
            mbit_per_s: cell.link.mbit_per_s,
            rtt_ms: cell.link.rtt_ms,
            profile: cell.profile,
            success_before: mean(attempts.iter().map(|attempt| attempt.success[0]).collect())?,
            success_after: mean(deployed.map(|attempt| attempt.success[1]).collect()),
            error_max: rounds.iter().map(|round| round.error_max).fold(0.0, f64::max),
            updates_sha256: corpus(&rounds),
            arms: arms?,
        })
    }

    /// How values travel: what the cell says, else what its run's configuration says.
    #[must_use]
    pub fn profile_in(&self, config: &BTreeMap<String, Value>) -> Option<Profile> {
        let of_run = || serde_json::from_value(config.get("budget")?.get("profile")?.clone()).ok();
        self.profile.or_else(of_run)
    }

    /// One arm.
    #[must_use]
    pub fn arm(&self, arm: Arm) -> Option<&ArmOutcome> {
        self.arms.iter().find(|found| found.arm == arm)
    }
}

/// What all rounds' updates are named by; none where a round's are not.
fn corpus(rounds: &[&RoundTrace]) -> Option<String> {
    let named: Option<Vec<&str>> = rounds.iter().map(|round| round.updates_sha256.as_deref()).collect();
    Some(sha256(named?.concat().as_bytes()))
}

impl ArmOutcome {
    /// The share of each label in an attempt's time by this clock. Per deployed improvement it is the same.
    #[must_use]
    pub fn labels(&self, clock: Clock) -> BTreeMap<Label, f64> {
        let counts = |stage: &&StageSeconds| clock == Clock::Wall || stage.label != Label::P;
        let total: f64 = self.stages.iter().filter(counts).map(|stage| stage.seconds).sum();
        let mut labels = BTreeMap::new();
        for stage in self.stages.iter().filter(counts).filter(|stage| stage.seconds > 0.0) {
            *labels.entry(stage.label).or_default() += stage.seconds / total;
        }
        labels
    }
}

fn arm_outcome(cell: &Cell, arm: Arm, trace: &FleetTrace, composition: Composition) -> Option<ArmOutcome> {
    let (campaigns, Spent(spent)) = campaigns(cell, arm, trace, composition);
    let attempts = campaigns.iter().map(Vec::len).sum::<usize>() as f64;
    let round = trace.campaigns.iter().flatten().flat_map(|attempt| &attempt.rounds).next()?;
    let upload_bytes = if arm == Arm::Encrypted { round.upload_bytes } else { round.plain_upload_bytes };
    let stage =
        |((stage, label), seconds): ((Stage, Label), f64)| StageSeconds { stage, label, seconds: seconds / attempts };
    Some(ArmOutcome { arm, tpdi: Tpdi::of(&campaigns)?, stages: spent.into_iter().map(stage).collect(), upload_bytes })
}
