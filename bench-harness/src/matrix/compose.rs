//! From what a fleet did to what an attempt takes over a link: measured times put in order, transfers by formula.

use super::grid::{Cell, Link};
use super::link::transfer_s;
use super::tpdi;
use super::trace::{AttemptTrace, FleetTrace, RoundTrace};
use crate::record::Label;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// How an attempt is put together. A record says by which, so that its figures can be computed again by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composition {
    /// After every round, the last one too, the mean goes back to the robots. Records that say nothing were made so.
    MeanAfterEveryRound,
    /// After the last round the key holder judges the mean, and the package goes out by roll-out instead.
    PackageAfterTheLast,
}

impl Composition {
    /// The entry of a configuration that names it.
    pub const KEY: &str = "composition";
    /// What new records are put together by.
    pub const NEWEST: Self = Self::PackageAfterTheLast;

    /// The name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanAfterEveryRound => "attempt-1",
            Self::PackageAfterTheLast => "attempt-2",
        }
    }

    /// What a record with this configuration was put together by.
    ///
    /// # Errors
    /// A name that this program does not know.
    pub fn of(config: &BTreeMap<String, Value>) -> Result<Self, String> {
        let Some(named) = config.get(Self::KEY) else { return Ok(Self::MeanAfterEveryRound) };
        let known = [Self::MeanAfterEveryRound, Self::PackageAfterTheLast];
        let found = known.into_iter().find(|composition| named == composition.name());
        found.ok_or_else(|| {
            format!("put together by {named}, and this program knows {}", known.map(Self::name).join(", "))
        })
    }
}

/// The server's own link, to robots and to the key holder.
pub const SERVER: Link = Link { mbit_per_s: 1000, rtt_ms: 1 };

/// Encrypted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// Through the scheme.
    Encrypted,
    /// The same values on the same grid, for the server to read.
    Plaintext,
}

impl Arm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Encrypted, Self::Plaintext];

    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Plaintext => "plaintext",
        }
    }
}

/// Where an attempt's time goes, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// A robot moves to collect what it trains on.
    Collect,
    /// It trains.
    Train,
    /// It looks at its update and clips it.
    Compress,
    /// It puts the update on the grid, encrypts and signs.
    Encrypt,
    /// Uploads travel.
    Upload,
    /// What is left to add when the last upload is there, and the sum's way to the key holder.
    Aggregate,
    /// The key holder checks signatures and opens the mean.
    Decrypt,
    /// Between the rounds of an attempt, the mean travels back to the robots.
    Broadcast,
    /// The candidate is judged on held-out robots.
    Gate,
    /// The first robots run it and are judged.
    Canary,
    /// The package travels: from the key holder to the server, then to robots, stage by stage.
    Rollout,
    /// A robot checks and applies it.
    Apply,
    /// Robots go back to what they had.
    Rollback,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 13] = [
        Self::Collect,
        Self::Train,
        Self::Compress,
        Self::Encrypt,
        Self::Upload,
        Self::Aggregate,
        Self::Decrypt,
        Self::Broadcast,
        Self::Gate,
        Self::Canary,
        Self::Rollout,
        Self::Apply,
        Self::Rollback,
    ];

    /// The name in files and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Train => "train",
            Self::Compress => "compress",
            Self::Encrypt => "encrypt",
            Self::Upload => "upload",
            Self::Aggregate => "aggregate",
            Self::Decrypt => "decrypt",
            Self::Broadcast => "broadcast",
            Self::Gate => "gate",
            Self::Canary => "canary",
            Self::Rollout => "rollout",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
        }
    }
}

/// Seconds by stage and by where they come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spent(pub BTreeMap<(Stage, Label), f64>);

impl Spent {
    fn add(&mut self, stage: Stage, label: Label, seconds: f64) {
        *self.0.entry((stage, label)).or_default() += seconds;
    }

    /// Adds another's.
    pub fn extend(&mut self, other: &Self) {
        other.0.iter().for_each(|(&(stage, label), &seconds)| self.add(stage, label, seconds));
    }

    /// Of one stage, all labels.
    #[must_use]
    pub fn of(&self, stage: Stage) -> f64 {
        self.0.iter().filter(|((found, _), _)| *found == stage).map(|(_, seconds)| seconds).sum()
    }

    /// Computing and transfers.
    #[must_use]
    pub fn active_s(&self) -> f64 {
        self.0.iter().filter(|((_, label), _)| *label != Label::P).map(|(_, seconds)| seconds).sum()
    }

    /// With what policy waits for.
    #[must_use]
    pub fn wall_s(&self) -> f64 {
        self.0.values().sum()
    }

    /// Seconds by label.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<Label, f64> {
        let mut labels = BTreeMap::new();
        self.0.iter().for_each(|(&(_, label), &seconds)| *labels.entry(label).or_default() += seconds);
        labels
    }
}

const S: f64 = 1e-9;

fn largest(times: &[u64]) -> f64 {
    times.iter().copied().max().unwrap_or(0) as f64 * S
}

fn total(times: &[u64]) -> f64 {
    times.iter().sum::<u64>() as f64 * S
}

/// Seconds until all robots' transfers of `bytes` are through: each over its own link, all through the server's.
#[must_use]
pub fn together_s(link: Link, robots: u32, bytes: u64) -> f64 {
    transfer_s(link, bytes).max(transfer_s(SERVER, bytes * u64::from(robots)))
}

/// What follows a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Robots go on from its mean.
    AnotherRound,
    /// Its mean is judged.
    Gate,
}

/// What a round takes. The round waits for every robot, so the slowest counts; robots work side by side.
fn round(cell: &Cell, trained: u32, arm: Arm, trace: &RoundTrace, then: Then, spent: &mut Spent) {
    let times = &trace.times;
    spent.add(Stage::Collect, Label::P, trace.collect_s);
    // Some robots' updates were learned by others: then the fleet's training is a replay.
    let label = if trained < cell.clients { Label::R } else { Label::M };
    spent.add(Stage::Train, label, largest(&trace.train_ns));
    spent.add(Stage::Compress, Label::M, largest(&times.clip_ns));
    let (encode, upload, adds, sum, open) = match arm {
        Arm::Encrypted => (&times.encrypt_ns, trace.upload_bytes, &times.add_ns, trace.sum_bytes, times.open_ns),
        Arm::Plaintext => {
            (&times.plain_encode_ns, trace.plain_upload_bytes, &times.plain_add_ns, 0, times.plain_open_ns)
        }
    };
    spent.add(Stage::Encrypt, Label::M, largest(encode) + largest(&times.sign_ns));
    let arriving = together_s(cell.link, cell.clients, upload);
    spent.add(Stage::Upload, Label::D, arriving);
    // Uploads are added while others travel; at least the last one is left.
    spent.add(Stage::Aggregate, Label::D, largest(adds).max(total(adds) - arriving));
    if sum > 0 {
        spent.add(Stage::Aggregate, Label::D, transfer_s(SERVER, sum));
    }
    spent.add(Stage::Decrypt, Label::M, (times.check_ns + open) as f64 * S);
    if then == Then::AnotherRound {
        if sum > 0 {
            spent.add(Stage::Aggregate, Label::D, transfer_s(SERVER, trace.mean_bytes));
        }
        spent.add(Stage::Broadcast, Label::D, together_s(cell.link, cell.clients, trace.mean_bytes));
    }
}

/// What an attempt takes in this cell.
#[must_use]
pub fn attempt(cell: &Cell, trained: u32, arm: Arm, trace: &AttemptTrace, composition: Composition) -> Spent {
    let mut spent = Spent::default();
    for (number, each) in trace.rounds.iter().enumerate() {
        let is_last = number + 1 == trace.rounds.len() && composition == Composition::PackageAfterTheLast;
        round(cell, trained, arm, each, if is_last { Then::Gate } else { Then::AnotherRound }, &mut spent);
    }
    spent.add(Stage::Gate, Label::M, trace.gate_ns as f64 * S);
    if trace.waves.is_empty() {
        return spent;
    }
    spent.add(Stage::Canary, Label::M, trace.canary_ns as f64 * S);
    spent.add(Stage::Canary, Label::P, trace.soak_s);
    // Where the server can read the mean, it makes the package itself.
    if composition == Composition::PackageAfterTheLast && arm == Arm::Encrypted {
        spent.add(Stage::Rollout, Label::D, transfer_s(SERVER, trace.package_bytes));
    }
    for &robots in &trace.waves {
        spent.add(Stage::Rollout, Label::D, together_s(cell.link, robots, trace.package_bytes));
        spent.add(Stage::Apply, Label::M, largest(&trace.apply_ns));
    }
    if trace.rolled_back {
        // A robot keeps what it had: it is told, and applies it.
        let told = together_s(cell.link, trace.waves.iter().sum(), 0);
        spent.add(Stage::Rollback, Label::D, told);
        spent.add(Stage::Rollback, Label::M, largest(&trace.apply_ns));
    }
    spent
}

/// The campaigns of a cell, as attempts with their times, and where all of their time went.
#[must_use]
pub fn campaigns(cell: &Cell, arm: Arm, trace: &FleetTrace, composition: Composition) -> (Vec<tpdi::Campaign>, Spent) {
    let mut everything = Spent::default();
    let mut one = |attempted: &AttemptTrace| {
        let spent = attempt(cell, trace.trained, arm, attempted, composition);
        everything.extend(&spent);
        tpdi::Attempt {
            active_s: spent.active_s(),
            wall_s: spent.wall_s(),
            rounds: attempted.rounds.len() as u32,
            deployed: attempted.deployed,
            rolled_back: attempted.rolled_back,
        }
    };
    let campaigns = trace.campaigns.iter().map(|campaign| campaign.iter().map(&mut one).collect()).collect();
    (campaigns, everything)
}

#[cfg(test)]
mod tests {
    use super::super::grid::LINKS;
    use super::super::pipeline::Times;
    use super::*;
    use workload::{Size, Task};

    fn trace() -> AttemptTrace {
        let ms = |times: &[u64]| times.iter().map(|ms| ms * 1_000_000).collect::<Vec<u64>>();
        let times = Times {
            clip_ns: ms(&[1, 2]),
            encrypt_ns: ms(&[10, 20]),
            sign_ns: ms(&[1, 1]),
            add_ns: ms(&[3, 4]),
            check_ns: 5_000_000,
            open_ns: 6_000_000,
            plain_encode_ns: ms(&[1, 1]),
            plain_add_ns: ms(&[1, 1]),
            plain_open_ns: 1_000_000,
        };
        let round = RoundTrace {
            collect_ns: vec![],
            train_ns: ms(&[100, 200]),
            collect_s: 30.0,
            times,
            upload_bytes: 6000,
            sum_bytes: 9000,
            plain_upload_bytes: 3000,
            mean_bytes: 10_000,
            updates_sha256: None,
            error_max: 0.0,
        };
        AttemptTrace {
            rounds: vec![round],
            gate_ns: 40_000_000,
            canary_ns: 7_000_000,
            soak_s: 60.0,
            soaking_ns: None,
            waves: vec![1, 1],
            package_bytes: 11_000,
            apply_ns: ms(&[2]),
            success: [0.4, 0.8],
            said: vec![],
            deployed: true,
            rolled_back: false,
        }
    }

    const NEWEST: Composition = Composition::NEWEST;
    const CELL: Cell = Cell { task: Task::Imitation, clients: 2, size: Size::Kb10, link: LINKS[1], profile: None };

    #[test]
    fn an_attempt_is_the_sum_of_its_parts_by_hand() {
        let spent = attempt(&CELL, 2, Arm::Encrypted, &trace(), NEWEST);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(spent.of(Stage::Train), 0.2);
        close(spent.of(Stage::Encrypt), 0.021);
        close(spent.of(Stage::Upload), transfer_s(LINKS[1], 6000));
        close(spent.of(Stage::Aggregate), 0.004 + transfer_s(SERVER, 9000));
        close(spent.of(Stage::Decrypt), 0.011);
        close(spent.of(Stage::Rollout), transfer_s(SERVER, 11_000) + 2.0 * transfer_s(LINKS[1], 11_000));
        close(spent.of(Stage::Broadcast), 0.0);
        close(spent.wall_s() - spent.active_s(), 90.0);
        close(spent.labels().values().sum(), spent.wall_s());
    }

    #[test]
    fn plaintext_leaves_out_what_only_encryption_needs() {
        let [encrypted, plain] = Arm::ALL.map(|arm| attempt(&CELL, 2, arm, &trace(), NEWEST));
        for stage in [Stage::Encrypt, Stage::Upload, Stage::Aggregate, Stage::Decrypt, Stage::Rollout] {
            assert!(plain.of(stage) < encrypted.of(stage), "{stage:?}");
        }
        for stage in [Stage::Train, Stage::Gate, Stage::Canary, Stage::Apply, Stage::Broadcast] {
            assert_eq!(plain.of(stage), encrypted.of(stage), "{stage:?}");
        }
    }

    #[test]
    fn a_server_that_falls_behind_the_uploads_adds_on_its_own_time() {
        let mut slow = trace();
        slow.rounds[0].times.add_ns = vec![1_000_000_000; 2];
        let spent = attempt(&CELL, 2, Arm::Encrypted, &slow, NEWEST);
        let left = 2.0 - transfer_s(LINKS[1], 6000);
        assert!(spent.of(Stage::Aggregate) > left);
    }

    #[test]
    fn what_the_gate_refuses_is_not_rolled_out_and_what_others_learned_is_a_replay() {
        let refused = AttemptTrace { waves: vec![], deployed: false, ..trace() };
        let spent = attempt(&CELL, 1, Arm::Encrypted, &refused, NEWEST);
        assert_eq!(spent.of(Stage::Rollout) + spent.of(Stage::Canary) + spent.of(Stage::Apply), 0.0);
        assert!(spent.0.contains_key(&(Stage::Train, Label::R)));
        let back = AttemptTrace { rolled_back: true, ..trace() };
        assert!(attempt(&CELL, 2, Arm::Encrypted, &back, NEWEST).of(Stage::Rollback) > 0.0);
    }

    #[test]
    fn means_travel_back_between_rounds_only_and_old_records_keep_what_they_charged() {
        let mut two = trace();
        two.rounds.push(two.rounds[0].clone());
        let of = |trace: &AttemptTrace, composition| attempt(&CELL, 2, Arm::Encrypted, trace, composition);
        let (back, to_server) = (transfer_s(LINKS[1], 10_000), transfer_s(SERVER, 10_000));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(of(&two, NEWEST).of(Stage::Broadcast), back);
        close(of(&trace(), NEWEST).of(Stage::Broadcast), 0.0);
        let old = of(&two, Composition::MeanAfterEveryRound);
        close(old.of(Stage::Broadcast), 2.0 * back);
        close(old.of(Stage::Aggregate) - of(&two, NEWEST).of(Stage::Aggregate), to_server);
        close(old.of(Stage::Rollout), 2.0 * transfer_s(LINKS[1], 11_000));
        assert!(old.0.keys().all(|(stage, label)| *stage != Stage::Broadcast || *label == Label::D));
    }

    #[test]
    fn a_record_says_what_it_was_put_together_by() {
        let config = |name: &str| BTreeMap::from([(Composition::KEY.to_owned(), Value::from(name))]);
        assert_eq!(Composition::of(&BTreeMap::new()), Ok(Composition::MeanAfterEveryRound));
        assert_eq!(Composition::of(&config(NEWEST.name())), Ok(NEWEST));
        assert!(Composition::of(&config("attempt-99")).is_err());
    }
}
