//! `tensorguard run` and `explain`: the matrix and its headline.

use super::options::{Engine, OUT, print, time};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tensorguard::failure::Failure;
use tensorguard::interrupt;
use tensorguard::matrix::demand;
use tensorguard::matrix::explain::explain;
use tensorguard::matrix::grid::Preset;
use tensorguard::matrix::learning::Budget;
use tensorguard::matrix::pipeline::Profile;
use tensorguard::matrix::recorded;
use tensorguard::matrix::run::{self, REPORT, Request};
use tensorguard::matrix::summary::summary;
use tensorguard::record::Label;
use tensorguard::shaping::Shaping;

const RUN_EXAMPLES: &str = "\
Examples:
  tensorguard run                                                    a first look, under a minute
  tensorguard run --preset quick                                     both ways of learning, under five minutes
  tensorguard run --preset standard --out results                    what a published figure needs
  tensorguard run --filter 'clients>=20 && net==10mbit'              some cells of it
  tensorguard run --preset standard --time-budget 10m                what fits, the rest named as not run
  tensorguard run --preset standard --resume tensorguard-results/... go on after Ctrl-C
  tensorguard run --profile 8bit,4bit                                do four bits pay? side by side in one result
  tensorguard run --corpus il.corpus                                 training that `corpus make` recorded, replayed
  tensorguard run --link paced                                       end to end over 10, 100 and 1000 Mbit/s
  tensorguard run --require M                                        nothing derived: the cell that goes end to end alone

Keys of a filter: task, clients, size, net, rtt, profile. Compare by == != >= <= > <, join by &&.";

/// Time per deployed improvement over the matrix: robots x update sizes x links x ways of learning, encrypted and plain.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(crate) struct Run {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    engine: Engine,
    /// Stop beginning new fleets after this long: 90s, 20m, 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time_budget: Option<Duration>,
    #[command(flatten)]
    how: How,
    /// Folder in which a new folder <date>-<machine>-matrix-<preset> is made.
    #[arg(long, value_name = "FOLDER", default_value = OUT)]
    out: PathBuf,
    /// Go on in this result's folder; with the options it was begun with.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
}

// As in options.rs: clap would print a documentation comment as the command's own.
// How the cell that goes end to end is run, and what any cell may hold.
#[derive(Debug, Args)]
pub(super) struct How {
    /// How robots reach the server in the cell that goes end to end: over the bare loopback, through a pacer, or through network
    /// namespaces that the kernel shapes (as root). Paced and netns run it once for each selected link.
    #[arg(long, value_enum, value_name = "LINK", default_value_t = Shaping::Loopback)]
    link: Shaping,
    /// How often the cell goes end to end, of which the middle counts; by default once, for publishing nine times.
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(u32).range(1..=20))]
    end_to_end: Option<u32>,
    /// Labels that active time may have, such as M,D; a cell with any other is refused with exit code 7. M measured, R replayed
    /// where not every robot trains, D derived; without D only the cell that goes end to end is run: M over the bare loopback, E
    /// over a shaped link.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    require: Vec<Label>,
}

// Which cells, how thoroughly.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// How much to run.
    #[arg(long, value_enum, default_value_t = Preset::Smoke)]
    preset: Preset,
    /// Only cells for which this holds.
    #[arg(long, default_value = "")]
    filter: String,
    /// How values travel: 8bit, 4bit or dense; several, as in 8bit,4bit, stand side by side in one result.
    #[arg(long, value_enum, value_name = "PROFILES", value_delimiter = ',', default_value = Profile::Bits8.name())]
    profile: Vec<Profile>,
    /// Robots that train for themselves in a round; beyond, robots send what these learned, and training is labelled R. By default
    /// ten, five where an update has 1 MB, two where it has 10 MB.
    #[arg(long, value_name = "ROBOTS", value_parser = clap::value_parser!(u32).range(1..=100))]
    train: Option<u32>,
    /// The seed of base policies, robots and keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replay this corpus instead of training: fleets of its way of learning and size, by its seed, one attempt in each campaign; training
    /// is labelled R. `tensorguard corpus make` makes one. The cell that goes end to end trains all the same.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["train", "seed"])]
    corpus: Option<PathBuf>,
}

impl Which {
    pub(super) fn request(&self, how: &How) -> Result<Request, Failure> {
        let mut budget = Budget::new(self.preset.campaigns());
        // In whatever order and however often they are named: it is the same run.
        let profiles: Vec<Profile> =
            Profile::ALL.into_iter().filter(|profile| self.profile.contains(profile)).collect();
        (budget.profile, budget.seed) = (profiles[0], self.seed);
        budget.most_trained = self.train;
        let How { link: shaping, require, end_to_end } = how;
        let request = Request {
            preset: self.preset,
            filter: self.filter.clone(),
            time_budget: None,
            require: require.clone(),
            budget,
            profiles,
            recorded: None,
            shaping: *shaping,
            whole_runs: end_to_end.unwrap_or(self.preset.whole_runs()),
        };
        match &self.corpus {
            Some(file) => recorded::replaying(file, request),
            None => Ok(request),
        }
    }
}

fn label(text: &str) -> Result<Label, String> {
    match text {
        "M" => Ok(Label::M),
        "E" => Ok(Label::E),
        "R" => Ok(Label::R),
        "D" => Ok(Label::D),
        "P" => Ok(Label::P),
        _ => Err(format!("'{text}' is no label; there are M measured, E emulated, R replayed, D derived, P policy")),
    }
}

impl Run {
    /// What `tensorguard` without a command does.
    pub(crate) fn smoke() -> Self {
        let which = Which {
            preset: Preset::Smoke,
            filter: String::new(),
            profile: vec![Profile::Bits8],
            train: None,
            seed: 1,
            corpus: None,
        };
        let how = How { link: Shaping::Loopback, end_to_end: None, require: vec![] };
        Self { which, engine: Engine { isa: None }, time_budget: None, how, out: OUT.into(), resume: None }
    }

    pub(crate) fn run(&self) -> Result<(), Failure> {
        interrupt::listen()?;
        let request = Request { time_budget: self.time_budget, ..self.which.request(&self.how)? };
        let (folder, record) = run::run(&self.engine.cpu(1)?, &request, &self.out, self.resume.as_deref())?;
        print(&summary(&record))?;
        // Where nothing was run there is no page.
        let report = folder.join(REPORT);
        let shown = if report.exists() { report } else { folder };
        print(&format!("\nThe report: {}\n", shown.display()))?;
        demand::verdict(&request, &record)
    }
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  tensorguard explain imitation-20x10kb-100mbit                         of the newest result
  tensorguard explain imitation-20x10kb-100mbit --in results/2026-01-31-...";

/// Where a cell's time went, in words, and what halving each stage would buy.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct Explain {
    /// The cell, as the table names it.
    cell: String,
    /// A result's folder; without it, the newest below tensorguard-results.
    #[arg(long = "in", value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Explain {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let folder = self.folder.clone().map_or_else(|| newest(Path::new(OUT)), Ok)?;
        let record = run::read(&folder)?;
        let cell = record.matrix.iter().find(|cell| cell.cell == self.cell).ok_or_else(|| {
            let names: Vec<&str> = record.matrix.iter().map(|cell| cell.cell.as_str()).collect();
            Failure::Usage(format!("no cell {} in {}; there are {}", self.cell, folder.display(), names.join(", ")))
        })?;
        print(&explain(cell))
    }
}

/// The folder that was changed last.
fn newest(parent: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let dated = entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())));
    let newest = dated.filter(|(_, path)| path.is_dir()).max_by_key(|(time, _)| *time);
    let missing = || {
        Failure::Usage(format!(
            "no results below {}; `tensorguard run` makes some, --in names a folder",
            parent.display()
        ))
    };
    newest.map(|(_, path)| path).ok_or_else(missing)
}
