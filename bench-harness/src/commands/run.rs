//! `tensorguard run`, `plan` and `explain`: the matrix and its headline.

use super::options::{Engine, OUT, print, time};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tensorguard::failure::Failure;
use tensorguard::interrupt;
use tensorguard::matrix::explain::explain;
use tensorguard::matrix::grid::Preset;
use tensorguard::matrix::learning::Budget;
use tensorguard::matrix::pipeline::Profile;
use tensorguard::matrix::run::{self, REPORT, Request};
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
  tensorguard run --link paced                                       end to end over 10, 100 and 1000 Mbit/s
  tensorguard run --require M                                        nothing derived: the cell that goes end to end alone

Keys of a filter: task, clients, size, net, rtt. Compare by == != >= <= > <, join by &&.";

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
    /// How robots reach the server in the cell that goes end to end: over the bare loopback, through a pacer, or through network
    /// namespaces that the kernel shapes (as root). Paced and netns run it once for each selected link.
    #[arg(long, value_enum, value_name = "LINK", default_value_t = Shaping::Loopback)]
    link: Shaping,
    /// How often the cell goes end to end, of which the middle counts; by default once, for publishing three times.
    #[arg(long, value_name = "RUNS", value_parser = clap::value_parser!(u32).range(1..=20))]
    end_to_end: Option<u32>,
    /// Labels that active time may have, such as M,D. Without D only the cell that goes end to end is run: M over the bare
    /// loopback, E over a shaped link.
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    require: Vec<Label>,
    /// Folder in which a new folder <date>-<machine>-matrix-<preset> is made.
    #[arg(long, value_name = "FOLDER", default_value = OUT)]
    out: PathBuf,
    /// Go on in this result's folder; with the options it was begun with.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
}

/// Which cells, how thoroughly.
#[derive(Debug, Args)]
struct Which {
    /// How much to run.
    #[arg(long, value_enum, default_value_t = Preset::Smoke)]
    preset: Preset,
    /// Only cells for which this holds.
    #[arg(long, default_value = "")]
    filter: String,
    /// How values travel.
    #[arg(long, value_enum, default_value_t = Profile::Bits8)]
    profile: Profile,
    /// Robots that train for themselves in a round; beyond, robots send what these learned, and training is labelled R. By default
    /// ten, five where an update has 1 MB, two where it has 10 MB.
    #[arg(long, value_name = "ROBOTS", value_parser = clap::value_parser!(u32).range(1..=100))]
    train: Option<u32>,
    /// The seed of base policies, robots and keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Which {
    fn request(&self) -> Request {
        let mut budget = Budget::new(self.preset.campaigns());
        (budget.profile, budget.seed) = (self.profile, self.seed);
        budget.most_trained = self.train;
        let (preset, filter, shaping) = (self.preset, self.filter.clone(), Shaping::Loopback);
        let whole_runs = preset.whole_runs();
        Request { preset, filter, time_budget: None, require: vec![], budget, shaping, whole_runs }
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
        let which =
            Which { preset: Preset::Smoke, filter: String::new(), profile: Profile::Bits8, train: None, seed: 1 };
        let (engine, link) = (Engine { isa: None }, Shaping::Loopback);
        Self {
            which,
            engine,
            time_budget: None,
            link,
            end_to_end: None,
            require: vec![],
            out: OUT.into(),
            resume: None,
        }
    }

    pub(crate) fn run(&self) -> Result<(), Failure> {
        interrupt::listen()?;
        let (time_budget, require, shaping) = (self.time_budget, self.require.clone(), self.link);
        let planned = self.which.request();
        let whole_runs = self.end_to_end.unwrap_or(planned.whole_runs);
        let request = Request { time_budget, require, shaping, whole_runs, ..planned };
        let (folder, record) = run::run(&self.engine.cpu(1)?, &request, &self.out, self.resume.as_deref())?;
        print(&run::summary(&record))?;
        print(&format!("\nThe report: {}\n", folder.join(REPORT).display()))?;
        run::verdict(&request, &record)
    }
}

const PLAN_EXAMPLES: &str = "\
Examples:
  tensorguard plan                                        the cells of a first look
  tensorguard plan --preset standard
  tensorguard plan --preset full --filter 'size>=1mb'";

/// Which cells a run would have, and where their figures would come from.
#[derive(Debug, Args)]
#[command(after_help = PLAN_EXAMPLES)]
pub(crate) struct Plan {
    #[command(flatten)]
    which: Which,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let request = self.which.request();
        let fleets = run::cells(&request)?;
        let (mut text, mut count) = (String::new(), 0);
        for (fleet, cells) in &fleets {
            let trained = fleet.clients.min(request.budget.trained(fleet.size));
            let train = if trained < fleet.clients { format!("{trained} train, R") } else { "all train, M".to_owned() };
            let links: Vec<String> = cells.iter().map(|cell| format!("{} Mbit/s", cell.link.mbit_per_s)).collect();
            text += &format!("{:28} {train:14} over {}\n", fleet.to_string(), links.join(", "));
            count += cells.len();
        }
        let Request { budget, .. } = &request;
        text += &format!(
            "\n{count} cells of {} fleets, {} campaigns each of up to {} attempts.\n\
             Computing is measured here (M), transfers are derived by formula (D), waits are policy (P).\n",
            fleets.len(),
            budget.campaigns,
            budget.attempts
        );
        print(&text)
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
