//! `tensorguard corpus`.

use super::options::{print, print_json};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use tensorguard::clock::cpu_ns;
use tensorguard::failure::Failure;
use tensorguard::machine::Machine;
use tensorguard::matrix::recorded::{failed, open};
use tensorguard::progress::Progress;
use tensorguard::record::journal::{self, Journal, clean_enough};
use tensorguard::record::learning::{self, LearningLine, Successes};
use tensorguard::record::{Check, Environment, Line};
use tensorguard::whole_file::Target;
use workload::corpus::{self, Corpus, Plan, hex};
use workload::{Config, Effort, Profile, Size, Task, pretrain};

const EXAMPLES: &str = "\
Examples:
  tensorguard corpus make --out il.corpus                                     imitation, 10 KB, two campaigns: seconds
  tensorguard corpus make --task reinforcement --rounds 10 --out rl.corpus
  tensorguard corpus make --size 10mb --robots 4 --rounds 2 --out big.corpus  few robots
  tensorguard corpus verify il.corpus --hash 1f0c...                          is it what a result names?
  tensorguard run --corpus il.corpus                                          the matrix with these updates
  tensorguard corpus stats il.corpus
  tensorguard corpus stats il.corpus --out results                            kept as a record, to be verified

The same command on the same machine trains the same updates. The hash also covers the CPU times that were measured, so
a corpus made again has another one.";

/// Records real training once: how robots learn, to be checked, replayed and kept. The matrix trains its own updates, and names
/// them by hash in its result, or replays a corpus (`tensorguard run --corpus`).
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CorpusCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Trains and records.
    Make(Make),
    /// Checks every hash and replays all training up to the adapters that were judged.
    Verify {
        /// The corpus.
        file: PathBuf,
        /// The content hash that it must have.
        #[arg(long, value_name = "HEX")]
        hash: Option<String>,
    },
    /// What it holds: sizes, success round by round, CPU times, and how large updates are.
    Stats {
        /// The corpus.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Keep how robots learned as a record, in a new folder <date>-<machine>-learning-<task> here; replays the corpus first.
        #[arg(long, value_name = "FOLDER", conflicts_with = "json")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Make {
    /// How robots learn.
    #[arg(long, value_enum, default_value_t = Learning::Imitation)]
    task: Learning,
    /// Size of an update: 10kb, 100kb, 1mb or 10mb.
    #[arg(long, default_value = "10kb", value_parser = size)]
    size: Size,
    /// Robots that train in each round.
    #[arg(long, default_value_t = 8)]
    robots: u32,
    /// Rounds of a campaign.
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    /// Independent replicates.
    #[arg(long, default_value_t = 2)]
    campaigns: u32,
    /// Seed of everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Add up 32-bit floats as they are, instead of 8-bit values.
    #[arg(long)]
    exact: bool,
    /// Where the grid of 8-bit values ends.
    #[arg(long, default_value_t = 0.1)]
    clip: f32,
    /// Robots to evaluate on, of either kind.
    #[arg(long, default_value_t = 16)]
    judged_robots: u32,
    /// Episodes of each.
    #[arg(long, default_value_t = 50)]
    episodes: u32,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Learning {
    Imitation,
    Reinforcement,
}

fn size(name: &str) -> Result<Size, String> {
    let found = Size::ALL.into_iter().find(|size| size.name() == name);
    found.ok_or_else(|| format!("sizes are {}", Size::ALL.map(Size::name).join(", ")))
}

impl CorpusCommand {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Make(make) => make.run(),
            Action::Verify { file, hash } => verify(file, hash.as_deref()),
            Action::Stats { file, out: Some(out), .. } => keep(file, out),
            Action::Stats { file, json, out: None } => {
                let stats = Stats::of(&mut open(file)?)?;
                if *json { print_json(&stats) } else { print(&stats.to_string()) }
            }
        }
    }
}

impl Make {
    fn run(&self) -> Result<(), Failure> {
        let target = Target::new(&self.out, &[])?;
        let task = match self.task {
            Learning::Imitation => Task::Imitation,
            Learning::Reinforcement => Task::Reinforcement,
        };
        let plan = Plan {
            config: Config::of(task, self.size, self.seed),
            profile: if self.exact { Profile::F32 } else { Profile::Int8 { clip: self.clip } },
            campaigns: self.campaigns,
            rounds: self.rounds,
            robots: self.robots,
            effort: Effort { robots: self.judged_robots, episodes: self.episodes, draw: 0 },
            maker: format!("tensorguard {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH),
        };
        plan.check().map_err(failed)?;
        let steps = u64::from(self.campaigns) * u64::from(self.rounds) * (u64::from(self.robots) + 1) + 1;
        let mut progress = Progress::new(steps as usize);
        progress.step("version 0");
        let base = pretrain(&plan.config).map_err(failed)?;
        let (mut hash, mut stopped) = ([0; 32], None);
        let written = target.write(|file| {
            let mut step = |place: corpus::Place, what: &str| {
                progress.step(&format!("campaign {}, round {}: {what}", place.campaign + 1, place.round + 1));
            };
            match corpus::record(&plan, &base, BufWriter::new(file), &mut cpu_ns, &mut step) {
                Ok((_, found)) => hash = found,
                Err(fault) => {
                    let text = fault.to_string();
                    stopped = Some(fault);
                    return Err(std::io::Error::other(text));
                }
            }
            Ok(())
        });
        stopped.map_or(written, |fault| Err(failed(fault)))?;
        drop(progress);
        print(&format!("{}: {} of updates, hash {}\n", self.out.display(), megabytes(plan.update_bytes()), hex(&hash)))
    }
}

fn verify(file: &Path, wanted: Option<&str>) -> Result<(), Failure> {
    let mut corpus = open(file)?;
    let hash = corpus.hash();
    if let Some(wanted) = wanted.filter(|wanted| !wanted.eq_ignore_ascii_case(&hash)) {
        return Err(Failure::Incomparable(format!("{} has the hash {hash}, not {wanted}", file.display())));
    }
    for campaign in 0..corpus.plan().campaigns {
        corpus.replay(campaign).map_err(failed)?;
    }
    print(&format!("{}: whole, replayed, hash {hash}\n", file.display()))
}

/// A record of what the corpus found, robot by robot.
fn keep(file: &Path, parent: &Path) -> Result<(), Failure> {
    clean_enough(parent)?;
    let mut corpus = open(file)?;
    for campaign in 0..corpus.plan().campaigns {
        corpus.replay(campaign).map_err(failed)?;
    }
    let (hash, plan) = (corpus.hash(), corpus.plan().clone());
    let what = format!("learning-{}", plan.config.task.name());
    let environment = Environment { machine: Machine::look(), engine: "candle".to_owned(), gpu: None };
    let config = BTreeMap::from([("corpus".to_owned(), serde_json::to_value(&plan)?)]);
    let begin =
        journal::Plan { command: "corpus", what: &what, config, corpus_sha256: Some(hash.clone()), environment };
    let mut journal = Journal::begin(parent, begin)?;
    let claim = "the updates lead to every adapter that was judged".to_owned();
    journal.write(&Line::Check(Check { cell: what, claim, digest: Some(hash), holds: true }))?;
    for outcome in corpus.outcomes() {
        let (campaign, round) = (outcome.campaign + 1, outcome.round + 1);
        let (held_out, outside) = (successes(&outcome.held_out), successes(&outcome.outside));
        let (episodes, adapter) = (plan.effort.episodes, outcome.adapter.clone());
        journal.write(&Line::Learning(LearningLine { campaign, round, episodes, held_out, outside, adapter }))?;
    }
    let (folder, record) = journal.finish(|record| learning::table(&record.learning))?;
    print(&format!("{}\n{}: a record\n", learning::table(&record.learning), folder.display()))
}

fn successes(pair: &corpus::Pair) -> Successes {
    let count = |record: &workload::Record| record.episodes.iter().filter(|episode| episode.success).count() as u32;
    let of = |evaluation: &workload::Evaluation| evaluation.records.iter().map(count).collect();
    Successes { old: of(&pair.old), new: of(&pair.new) }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

#[derive(Debug, Serialize)]
struct Stats {
    hash: String,
    plan: Plan,
    update_bytes: u64,
    episodes_per_cpu_s: f64,
    rounds: Vec<Round>,
}

/// One round, averaged over campaigns.
#[derive(Debug, Serialize)]
struct Round {
    round: u32,
    held_out_old: f64,
    held_out_new: f64,
    outside_old: f64,
    outside_new: f64,
    kl_nats: f64,
    update_rms: f64,
    update_largest: f64,
    collect_cpu_ms_per_robot: f64,
    train_cpu_ms_per_robot: f64,
    evaluate_cpu_ms: f64,
}

impl Stats {
    fn of(corpus: &mut Corpus<BufReader<File>>) -> Result<Self, Failure> {
        let plan = corpus.plan().clone();
        let rounds = (0..plan.rounds).map(|round| Round::of(corpus, round)).collect::<Result<_, _>>()?;
        // Old and new on two cohorts, and the old one once more where their actions are compared.
        let episodes = 5 * u64::from(plan.effort.robots) * u64::from(plan.effort.episodes);
        let (judged, outcomes) =
            corpus.outcomes().iter().fold((0, 0), |(ns, count), o| (ns + o.evaluate_cpu_ns, count + 1));
        let episodes_per_cpu_s = (episodes * outcomes) as f64 / (judged.max(1) as f64 / 1e9);
        Ok(Self { hash: corpus.hash(), update_bytes: plan.update_bytes(), episodes_per_cpu_s, plan, rounds })
    }
}

impl Round {
    fn of(corpus: &mut Corpus<BufReader<File>>, round: u32) -> Result<Self, Failure> {
        let plan = corpus.plan().clone();
        let (mut squares, mut largest, mut collect_ns, mut train_ns) = (0.0, 0.0f64, 0, 0);
        for (campaign, robot) in (0..plan.campaigns).flat_map(|c| (0..plan.robots).map(move |r| (c, r))) {
            for value in corpus.update(campaign, round, robot).map_err(failed)? {
                squares += f64::from(value).powi(2);
                largest = largest.max(f64::from(value.abs()));
            }
            let cost = corpus.cost(campaign, round, robot).map_err(failed)?;
            (collect_ns, train_ns) = (collect_ns + cost.collect_cpu_ns, train_ns + cost.train_cpu_ns);
        }
        let updates = f64::from(plan.campaigns) * f64::from(plan.robots);
        let outcomes: Vec<_> = corpus.outcomes().iter().filter(|outcome| outcome.round == round).collect();
        let average = |of: &dyn Fn(&corpus::Outcome) -> f64| {
            outcomes.iter().map(|outcome| of(outcome)).sum::<f64>() / outcomes.len() as f64
        };
        Ok(Self {
            round: round + 1,
            held_out_old: average(&|outcome| outcome.held_out.old.success()),
            held_out_new: average(&|outcome| outcome.held_out.new.success()),
            outside_old: average(&|outcome| outcome.outside.old.success()),
            outside_new: average(&|outcome| outcome.outside.new.success()),
            kl_nats: average(&|outcome| outcome.divergence.iter().sum::<f64>() / outcome.divergence.len() as f64),
            update_rms: (squares / updates / plan.config.values() as f64).sqrt(),
            update_largest: largest,
            collect_cpu_ms_per_robot: collect_ns as f64 / 1e6 / updates,
            train_cpu_ms_per_robot: train_ns as f64 / 1e6 / updates,
            evaluate_cpu_ms: average(&|outcome| outcome.evaluate_cpu_ns as f64 / 1e6),
        })
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Plan { config, campaigns, rounds, robots, effort, maker, .. } = &self.plan;
        let mut text = String::new();
        writeln!(
            text,
            "{} of {} values, {campaigns} campaigns x {rounds} rounds x {robots} robots, made by {maker}",
            config.task.name(),
            config.values()
        )?;
        writeln!(text, "{} of updates of {robots} robots", megabytes(self.update_bytes))?;
        writeln!(
            text,
            "judged on {} robots x {} episodes of either kind, old and new in the same episodes",
            effort.robots, effort.episodes
        )?;
        writeln!(
            text,
            "round  held out old -> new  outside old -> new  KL nats  update rms  largest  collect ms  train ms  judge ms"
        )?;
        for r in &self.rounds {
            let (held, outside) = ([r.held_out_old, r.held_out_new], [r.outside_old, r.outside_new]);
            write!(
                text,
                "{:>5}  {:>10.3} -> {:<7.3}  {:>9.3} -> {:<7.3}",
                r.round, held[0], held[1], outside[0], outside[1]
            )?;
            write!(text, " {:>7.2}  {:>10.5}  {:>7.4}", r.kl_nats, r.update_rms, r.update_largest)?;
            writeln!(
                text,
                "  {:>10.1}  {:>8.1}  {:>8.1}",
                r.collect_cpu_ms_per_robot, r.train_cpu_ms_per_robot, r.evaluate_cpu_ms
            )?;
        }
        writeln!(
            text,
            "judging took a second of CPU time for {:.0} episodes of {} steps, the policies' work included",
            self.episodes_per_cpu_s,
            workload::arm::STEPS
        )?;
        writeln!(text, "hash {}", self.hash)?;
        f.write_str(&text)
    }
}
