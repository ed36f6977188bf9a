//! What a fleet did, measured once: the same for every link, encrypted or not.

use super::grid::Fleet;
use super::pipeline::Times;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundTrace {
    /// CPU time of simulating what each distinct robot collects. Robot time stands for it in a cell; a cell that goes end to end
    /// on this machine spends it.
    #[serde(default)]
    pub collect_ns: Vec<u64>,
    /// CPU time of each distinct robot's training.
    pub train_ns: Vec<u64>,
    /// How long a robot moves to collect what it trains on: robot time, not computing.
    pub collect_s: f64,
    /// The pipeline's CPU times.
    pub times: Times,
    /// What a robot sends.
    pub upload_bytes: u64,
    /// What goes to the key holder.
    pub sum_bytes: u64,
    /// What a robot sends in the plain arm.
    pub plain_upload_bytes: u64,
    /// What comes back to each robot.
    pub mean_bytes: u64,
    /// SHA-256 over the updates of the robots that trained, which all others send again; null in records before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updates_sha256: Option<String>,
    /// How far the opened mean is from that of the plain updates.
    pub error_max: f64,
}

/// A candidate and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptTrace {
    /// Its rounds.
    pub rounds: Vec<RoundTrace>,
    /// CPU time of the gate: evaluations and rules.
    pub gate_ns: u64,
    /// CPU time of judging the canary robots.
    pub canary_ns: u64,
    /// How long the canary robots run before they are judged, and the next stages before they are: robot time.
    pub soak_s: f64,
    /// CPU time of simulating what a robot does while it soaks, before and with the package. It counts where a fleet goes end to end; in
    /// the composed cells soaking is robot time. Null in records before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soaking_ns: Option<u64>,
    /// Transfers of the package one after the other: robots of each stage that was reached.
    pub waves: Vec<u32>,
    /// The package that robots fetch.
    pub package_bytes: u64,
    /// CPU time of a robot's applying it: fingerprint, signature, weights. One for each robot measured.
    pub apply_ns: Vec<u64>,
    /// Success on held-out robots, before and after.
    pub success: [f64; 2],
    /// What the gate said, rule by rule, and the roll-out after it.
    pub said: Vec<String>,
    /// Whether the fleet runs it.
    pub deployed: bool,
    /// Whether it was taken back.
    pub rolled_back: bool,
}

/// Campaigns of one fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetTrace {
    /// Which.
    pub fleet: Fleet,
    /// Robots that trained for themselves. Where there are fewer than clients, the others sent what these had learned.
    pub trained: u32,
    /// Attempts, campaign by campaign.
    pub campaigns: Vec<Vec<AttemptTrace>>,
}
