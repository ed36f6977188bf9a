//! Running the matrix: fleet by fleet, each kept as soon as it is done, so that a run that was stopped goes on where it was.

use super::grid::{self, Cell, Fleet, Link, Preset};
use super::learning::{self, Budget};
use super::pipeline::Profile;
use super::recorded::Recorded;
use super::replay::Lessons;
use super::summary::summary;
use super::whole::run::Order;
use super::whole::tries;
use super::{demand, page, rules, whole};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::interrupt;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::record::journal::{Journal, Plan, RESULT};
use crate::record::{Environment, Label, Line, MatrixLine, Record};
use crate::shaping::Shaping;
use crate::whole_file::Target;
use kernels::Backend;
use kernels::cpu::Cpu;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use workload::{Base, Task};

/// The report's name in a result's folder.
pub const REPORT: &str = "report.html";

/// What to run.
#[derive(Clone, Debug)]
pub struct Request {
    /// How much.
    pub preset: Preset,
    /// Which of it.
    pub filter: String,
    /// After this, what is left is named as not run.
    pub time_budget: Option<Duration>,
    /// Labels that the active time may have; empty for any.
    pub require: Vec<Label>,
    /// Its campaigns, attempts, rounds.
    pub budget: Budget,
    /// How values travel: each fleet goes once in each way, the first of which is the budget's.
    pub profiles: Vec<Profile>,
    /// Training that was recorded, in place of training.
    pub recorded: Option<Recorded>,
    /// How robots of cells that go end to end reach their server.
    pub shaping: Shaping,
    /// How often each of them is run; 0 for no such cells.
    pub whole_runs: u32,
}

impl Request {
    /// Whether cells are put together from parts: their transfers are derived.
    #[must_use]
    pub fn composes(&self) -> bool {
        self.require.is_empty() || self.require.contains(&Label::D)
    }

    /// How often a cell that goes end to end is tried at most, where others take the processor.
    #[must_use]
    pub fn tries(&self) -> u64 {
        if self.preset.refuses() && self.composes() && self.whole_runs > 0 { tries::MOST } else { 1 }
    }
}

/// The cells of a request, fleet by fleet.
///
/// # Errors
/// [`Failure::Usage`] for a filter that is not understood, [`Failure::Nothing`] where it selects nothing.
pub fn cells(request: &Request) -> Result<Vec<(Fleet, Vec<Cell>)>, Failure> {
    let cells = request.preset.cells(&Filter::parse::<Cell>(&request.filter)?, &request.profiles)?;
    let mut fleets: Vec<(Fleet, Vec<Cell>)> = Vec::new();
    for cell in cells {
        match fleets.last_mut() {
            Some((fleet, cells)) if *fleet == cell.fleet() => cells.push(cell),
            _ => fleets.push((cell.fleet(), vec![cell])),
        }
    }
    Ok(fleets)
}

/// Runs a request into a new folder below `parent`, or goes on in `resume`. Gives the folder and the record.
///
/// # Errors
/// [`Failure::Unmet`] before anything is measured where the labels that are required cannot be had;
/// [`Failure::Interrupted`] after Ctrl-C, saying how to go on; what a fleet's run gives.
pub fn run(cpu: &Cpu, request: &Request, parent: &Path, resume: Option<&Path>) -> Result<(PathBuf, Record), Failure> {
    let fleets = cells(request)?;
    let whole = whole_of(request, &fleets);
    demand::before(request, &fleets, whole.as_ref())?;
    let config = rules::config(request)?;
    let (mut journal, done) = open(cpu, request, parent, resume, config)?;
    if whole.is_none() && request.whole_runs > 0 {
        journal.write(&absent("end-to-end".to_owned(), NO_WHOLE.to_owned()))?;
    }
    let began = Instant::now();
    let left = left(request, fleets, whole, &done, &journal.record()?);
    let mut progress = Progress::new(left.iter().map(|left| left.steps(request)).sum());
    let mut base = None;
    for left in left {
        let Left { fleet, .. } = left;
        if interrupt::asked() {
            return Err(interrupt::resumable(journal.folder()));
        }
        if request.time_budget.is_some_and(|budget| began.elapsed() >= budget) {
            for cell in left.names(request) {
                journal.write(&absent(cell, "the time budget was spent: give a longer --time-budget".to_owned()))?;
            }
            continue;
        }
        // Fleets of one kind come one after the other, and begin with the same policy. How values travel decides what is learned from
        // the second round on.
        let kind = (fleet.task, fleet.size);
        let (version_zero, mut lessons) = match (base.take(), &request.recorded) {
            (Some((of, profile, found)), _) if (of, profile) == (kind, fleet.profile) => found,
            (_, Some(recorded)) => (recorded.base.clone(), recorded.lessons.clone()),
            (Some((of, _, (version_zero, _))), None) if of == kind => (version_zero, Lessons::default()),
            _ => {
                progress.live(&format!("{fleet}: training version 0"));
                let trained = learning::version_zero(fleet, &request.budget);
                (trained.map_err(|failure| interrupt::going_on(failure, journal.folder()))?, Lessons::default())
            }
        };
        if !left.cells.is_empty() {
            let trace = learning::run(fleet, &version_zero, &mut lessons, &request.budget, cpu, &mut progress);
            let trace = trace.map_err(|failure| interrupt::going_on(failure, journal.folder()))?;
            journal.write(&Line::Matrix(MatrixLine { trace, cells: left.cells }))?;
        }
        let done = end_to_end((fleet, &version_zero), &left.links, request, &mut journal, &mut progress);
        done.map_err(|failure| interrupt::going_on(failure, journal.folder()))?;
        base = Some((kind, fleet.profile, (version_zero, lessons)));
    }
    drop(progress);
    let (folder, record) = journal.finish(summary)?;
    if let Some(page) = page::page(&record) {
        Target::new(&folder.join(REPORT), &[])?.write(|file| std::io::Write::write_all(file, page.as_bytes()))?;
    }
    Ok((folder, record))
}

fn open(
    cpu: &Cpu,
    request: &Request,
    parent: &Path,
    resume: Option<&Path>,
    config: BTreeMap<String, Value>,
) -> Result<(Journal, Vec<Line>), Failure> {
    let environment = Environment { machine: Machine::look(), engine: cpu.name().to_owned(), gpu: None };
    let what = format!("matrix-{}", request.preset.name());
    let corpus_sha256 = request.recorded.as_ref().map(|recorded| recorded.hash.clone());
    Journal::open(parent, resume, Plan { command: "run", what: &what, config, corpus_sha256, environment })
}

/// Why no cell goes end to end.
pub const NO_WHOLE: &str = "none that is selected has at most 20 robots and 100 KB, or over a shaped link 1 MB: every robot is a \
    process here; widen --filter";

/// The fleet that goes end to end, and over which links: by imitation if any is, nearest to ten robots, the smallest updates.
#[must_use]
pub fn whole_of(request: &Request, fleets: &[(Fleet, Vec<Cell>)]) -> Option<(Fleet, Vec<Option<Link>>)> {
    // A pacer is honest at high rates from 1 MB up: whoever selects such updates alone can have them.
    let most = if request.shaping == Shaping::Loopback { 100_000 } else { 1_000_000 };
    let fits = |fleet: &Fleet| request.whole_runs > 0 && fleet.clients <= 20 && grid::bytes(fleet.size) <= most;
    let key = |fleet: &Fleet| (fleet.task != Task::Imitation, fleet.clients.abs_diff(10), grid::bytes(fleet.size));
    let (fleet, cells) = fleets.iter().filter(|(fleet, _)| fits(fleet)).min_by_key(|(fleet, _)| key(fleet))?;
    let links = match request.shaping {
        Shaping::Loopback => vec![None],
        Shaping::Paced | Shaping::Netns => cells.iter().map(|cell| Some(cell.link)).collect(),
    };
    Some((*fleet, links))
}

/// What is left of a fleet.
struct Left {
    fleet: Fleet,
    /// Cells to put together; none where they were, or where none are.
    cells: Vec<Cell>,
    /// Links to go end to end over.
    links: Vec<Option<Link>>,
}

impl Left {
    fn steps(&self, request: &Request) -> usize {
        let campaigns = if self.cells.is_empty() { 0 } else { request.budget.campaigns as usize };
        campaigns + self.links.len() * request.whole_runs as usize
    }

    /// The cells, by name.
    fn names(&self, request: &Request) -> Vec<String> {
        let whole = self.links.iter().map(|&link| whole::cell_name(self.fleet, request.shaping, link));
        self.cells.iter().map(ToString::to_string).chain(whole).collect()
    }
}

fn left(
    request: &Request,
    fleets: Vec<(Fleet, Vec<Cell>)>,
    whole: Option<(Fleet, Vec<Option<Link>>)>,
    done: &[Line],
    record: &Record,
) -> Vec<Left> {
    let is_composed =
        |fleet| done.iter().any(|line| matches!(line, Line::Matrix(MatrixLine { trace, .. }) if trace.fleet == fleet));
    let one = |(fleet, cells): (Fleet, Vec<Cell>)| {
        let links = whole.iter().filter(|(whole, _)| *whole == fleet).flat_map(|(_, links)| links.clone()).collect();
        let links = not_done(links, (fleet, request.shaping), record);
        let cells = if request.composes() && !is_composed(fleet) { cells } else { Vec::new() };
        Left { fleet, cells, links }
    };
    fleets.into_iter().map(one).filter(|left| !(left.cells.is_empty() && left.links.is_empty())).collect()
}

/// Links over which a fleet has not gone end to end yet, or is to be tried once more.
fn not_done(links: Vec<Option<Link>>, (fleet, shaping): (Fleet, Shaping), record: &Record) -> Vec<Option<Link>> {
    let done = |link: &Option<Link>| {
        let name = whole::cell_name(fleet, shaping, *link);
        let tried = record.end_to_end.iter().any(|whole| whole.cell == name);
        tried && !is_tried_again(record, &name)
    };
    links.into_iter().filter(|link| !done(link)).collect()
}

/// Whether a cell that went end to end is tried once more, by what the record has of it.
fn is_tried_again(record: &Record, cell: &str) -> bool {
    let most = tries::most(&record.header.config);
    record.end_to_end.iter().any(|whole| whole.cell == cell && tries::is_tried_again(&whole.tries, most))
}

fn absent(cell: String, reason: String) -> Line {
    Line::NotRun { cell, properties: BTreeMap::new(), reason }
}

/// Runs the cells of a fleet that go end to end. One that this machine cannot have is absent, with its reason.
fn end_to_end(
    (fleet, base): (Fleet, &Base),
    links: &[Option<Link>],
    request: &Request,
    journal: &mut Journal,
    progress: &mut Progress,
) -> Result<(), Failure> {
    for &link in links {
        let order = Order { fleet, base, budget: &request.budget, shaping: request.shaping, link };
        let cell = whole::cell_name(fleet, request.shaping, link);
        // The first try is among the steps that were known.
        let mut planned = request.whole_runs as usize;
        until_told(&cell, journal, || {
            progress.more(request.whole_runs as usize - std::mem::take(&mut planned));
            match whole::run::run(order, request.whole_runs, progress) {
                Ok(line) => Ok(Line::EndToEnd(line)),
                Err(Failure::Unfit(reason)) => Ok(absent(cell.clone(), reason)),
                Err(failure) => Err(failure),
            }
        })?;
    }
    Ok(())
}

/// Tries a cell, and tries it again at once as long as its record says so. Every try is kept.
fn until_told(
    cell: &str,
    journal: &mut Journal,
    mut one: impl FnMut() -> Result<Line, Failure>,
) -> Result<(), Failure> {
    loop {
        let line = one()?;
        journal.write(&line)?;
        if !matches!(line, Line::EndToEnd(_)) || !is_tried_again(&journal.record()?, cell) {
            return Ok(());
        }
    }
}

/// Reads a result's folder or file.
///
/// # Errors
/// [`Failure::Usage`] where there is none, or it has no matrix.
pub fn read(path: &Path) -> Result<Record, Failure> {
    let file = if path.is_dir() { path.join(RESULT) } else { path.to_owned() };
    let bytes = crate::record::journal::read_limited(&file)?;
    let record: Record = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Usage(format!("{} is no result of this version: {error}", file.display())))?;
    if record.matrix.is_empty() && record.end_to_end.is_empty() {
        return Err(Failure::Usage(format!("{} has no matrix; `tensorguard run` makes one", file.display())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::whole::WholeLine;
    use crate::record::journal::SAMPLES;
    use crate::record::verify::verify;
    use crate::scratch::Scratch;

    /// One fleet, one campaign, one link.
    fn request() -> Request {
        let filter = "clients==10 && net==10mbit".to_owned();
        let budget = Budget { attempts: 1, imitation_rounds: 1, ..Budget::new(1) };
        Request {
            preset: Preset::Smoke,
            filter,
            time_budget: None,
            require: vec![],
            budget,
            profiles: vec![Profile::Bits8],
            recorded: None,
            shaping: Shaping::Loopback,
            // They are of processes of this command, which a test is not: tests/whole.rs has them.
            whole_runs: 0,
        }
    }

    #[test]
    fn a_cell_runs_for_real_is_verified_and_an_edit_is_noticed() {
        let parent = Scratch::new("matrix");
        let (folder, record) = run(&Cpu::best(1), &request(), &parent, None).expect("a run");
        let cell = &record.matrix[0];
        assert_eq!((record.matrix.len(), cell.arms.len(), cell.min_clients), (1, 2, 10));
        assert!(cell.error_max > 0.0 && cell.success_before > 0.0);
        assert!(cell.updates_sha256.as_ref().is_some_and(|hash| hash.len() == 64), "{:?}", cell.updates_sha256);
        let [encrypted, plain] =
            super::super::compose::Arm::ALL.map(|arm| cell.arm(arm).expect("both arms").upload_bytes);
        assert!(encrypted > plain);
        assert!(verify(&folder).expect("a result").differences.is_empty());
        assert!(
            std::fs::read_to_string(folder.join(REPORT))
                .is_ok_and(|page| page.contains("Time per deployed improvement"))
        );
        let refused = run(&Cpu::best(1), &request(), &parent, Some(&folder));
        assert_eq!(refused.map_err(|failure| failure.code()).err(), Some(2), "it came to its end");
        let edited = std::fs::read_to_string(folder.join(RESULT)).expect("the result");
        let edited = edited.replace("\"upload_bytes\": ", "\"upload_bytes\": 1");
        std::fs::write(folder.join(RESULT), edited).expect("written");
        assert_eq!(verify(&folder).expect("a result").differences.len(), 2);
    }

    #[test]
    fn fleets_of_several_profiles_learn_from_their_own_means_and_stand_in_one_record() {
        let parent = Scratch::new("profiles");
        let request = request();
        // Two robots train for all ten, and few are judged: how well they learn is another test's.
        let few = Budget { most_trained: Some(2), judged: 3, outside: 1, ..request.budget };
        let budget = Budget { imitation_rounds: 2, ..few };
        let request = Request { profiles: vec![Profile::Bits8, Profile::Bits4], budget, ..request };
        let (folder, record) = run(&Cpu::best(1), &request, &parent, None).expect("a run");
        let [eight, four] = &record.matrix[..] else { panic!("{:?}", record.matrix) };
        assert_eq!([&eight.cell, &four.cell], ["imitation-10x10kb-8bit-10mbit", "imitation-10x10kb-4bit-10mbit"]);
        assert_eq!([eight.profile, four.profile], [Some(Profile::Bits8), Some(Profile::Bits4)]);
        for arm in super::super::compose::Arm::ALL {
            let [eight, four] = [eight, four].map(|cell| cell.arm(arm).expect("both arms").upload_bytes);
            assert!(four < eight, "{arm:?}: {four} {eight}");
        }
        assert!(four.error_max > eight.error_max, "the grid is coarser");
        // In a second round they begin with another mean.
        assert!(eight.updates_sha256.is_some() && eight.updates_sha256 != four.updates_sha256);
        assert!(verify(&folder).expect("a result").differences.is_empty());
    }

    #[test]
    fn a_demand_that_cannot_be_met_fails_before_anything_is_run() {
        let nowhere = Path::new("/nonexistent/nowhere");
        let refused =
            |request: Request| run(&Cpu::best(1), &request, nowhere, None).map_err(|failure| failure.code()).err();
        let none_whole = Request { require: vec![Label::M, Label::E], ..request() };
        let emulated = Request { require: vec![Label::M], shaping: Shaping::Paced, whole_runs: 1, ..request() };
        let too_many =
            Request { filter: "clients==100".to_owned(), require: vec![Label::M], whole_runs: 1, ..request() };
        assert_eq!([none_whole, emulated, too_many].map(refused), [Some(7); 3]);
    }

    #[test]
    fn what_a_time_budget_leaves_out_is_named_and_nothing_stands_for_it() {
        let parent = Scratch::new("budget");
        let spent = Request { time_budget: Some(Duration::ZERO), ..request() };
        let (folder, record) = run(&Cpu::best(1), &spent, &parent, None).expect("a run");
        let [cell] = &record.cells[..] else { panic!("{:?}", record.cells) };
        assert_eq!((cell.id.as_str(), record.matrix.len()), ("imitation-10x10kb-10mbit", 0));
        assert!(cell.not_run.as_ref().is_some_and(|why| why.contains("--time-budget")), "{cell:?}");
        assert!(!folder.join(REPORT).exists());
        assert!(verify(&folder).expect("a result").differences.is_empty());
        let published = Request { preset: Preset::Standard, ..spent };
        assert_eq!(demand::verdict(&published, &record).map_err(|failure| failure.code()), Err(7));
    }

    /// A fleet's parts and one try of it, end to end, from a committed run.
    fn recorded() -> (Line, WholeLine) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-matrix-standard");
        let bytes = crate::record::journal::read_limited(&folder.join(SAMPLES)).expect("its samples");
        let lines = crate::record::fold::Journal::parse(&bytes).expect("a journal").lines;
        let whole =
            lines.iter().find_map(|line| if let Line::EndToEnd(line) = line { Some(line.clone()) } else { None });
        let whole = whole.expect("it went end to end");
        let is_fleets = |line: &Line| matches!(line, Line::Matrix(line) if line.trace.fleet == whole.fleet);
        (lines.into_iter().find(is_fleets).expect("its parts"), whole)
    }

    /// The same try, where everything took so many times as long, beside so much work of others.
    fn slower(whole: &WholeLine, times: u64, others_share: f64) -> WholeLine {
        let mut whole = whole.clone();
        for run in &mut whole.runs {
            run.others_share = Some(others_share);
            run.attempts.iter_mut().flat_map(|attempt| &mut attempt.parts_ns).for_each(|ns| *ns *= times);
        }
        whole
    }

    /// A journal of a run for publishing with these tries, made until none is wanted; gives how many were, and its record.
    fn tried(name: &str, tries: &[WholeLine]) -> (usize, Record) {
        let parent = Scratch::new(name);
        let published = Request { preset: Preset::Standard, whole_runs: 9, ..request() };
        let config = rules::config(&published).expect("a configuration");
        let (mut journal, _) = open(&Cpu::best(1), &published, &parent, None, config).expect("a journal");
        journal.write(&recorded().0).expect("written");
        let (mut left, links) = (tries.iter(), || vec![None]);
        let cell = whole::cell_name(tries[0].fleet, Shaping::Loopback, None);
        // Stopped after each try, so that going on decides the same.
        for line in left.by_ref() {
            let stop = || Err(Failure::Interrupted("stopped".to_owned()));
            let mut first = Some(line.clone());
            let told =
                until_told(&cell, &mut journal, || first.take().map_or_else(stop, |line| Ok(Line::EndToEnd(line))));
            let record = journal.record().expect("a record");
            let open = !not_done(links(), (line.fleet, Shaping::Loopback), &record).is_empty();
            assert_eq!(told.is_err(), open, "{:?}", record.end_to_end[0].tries);
            if !open {
                break;
            }
        }
        let (folder, record) = journal.finish(summary).expect("a record");
        assert!(verify(&folder).expect("a result").differences.is_empty());
        let page = page::page(&record).expect("a page");
        assert!(page.contains("disturbed") || tries.len() - left.len() == 1, "every try is on the page");
        (tries.len() - left.len(), record)
    }

    #[test]
    fn what_others_spoiled_is_tried_again_and_the_first_quiet_try_is_what_the_record_says() {
        let (_, calm) = recorded();
        let (spoiled, slow) = (slower(&calm, 2, 0.5), slower(&calm, 2, 0.01));
        let code = |record: &Record| {
            let published = Request { preset: Preset::Standard, whole_runs: 9, ..request() };
            demand::verdict(&published, record).map_err(|failure| failure.code()).err()
        };
        let (made, record) = tried("tries-calm", &[spoiled.clone(), calm.clone(), calm.clone()]);
        let [whole] = &record.end_to_end[..] else { panic!("{:?}", record.end_to_end) };
        assert_eq!((made, whole.agrees, code(&record)), (2, Some(true), None));
        assert_eq!(whole.tries.iter().map(|one| one.counts).collect::<Vec<_>>(), [false, true]);
        let (made, record) = tried("tries-slow", &[slow.clone(), calm.clone()]);
        assert_eq!((made, code(&record)), (1, Some(7)), "nobody else is why");
        let (made, record) = tried("tries-then-slow", &[spoiled.clone(), slow, calm.clone()]);
        assert_eq!((made, code(&record)), (2, Some(7)), "quiet, and it does not agree");
        let agrees = slower(&calm, 1, 0.5);
        let (made, record) = tried("tries-busy", &[spoiled.clone(), agrees, spoiled, calm]);
        assert_eq!((made, code(&record), record.end_to_end[0].tries.len()), (3, Some(7), 3), "never quiet");
    }

    #[test]
    fn larger_updates_go_end_to_end_over_shaped_links_where_they_alone_are_selected() {
        let whole = |filter: &str, shaping| {
            let filter = filter.to_owned();
            let request = Request { preset: Preset::Full, filter, shaping, whole_runs: 1, ..request() };
            whole_of(&request, &cells(&request).expect("cells")).map(|(fleet, links)| (fleet.to_string(), links.len()))
        };
        let found = |name: &str, links| Some((name.to_owned(), links));
        assert_eq!(whole("", Shaping::Paced), found("imitation-10x10kb", 3));
        assert_eq!(whole("size>=1mb", Shaping::Paced), found("imitation-10x1mb", 3));
        assert_eq!(whole("size>=1mb", Shaping::Loopback), None);
        assert_eq!(whole("size>=10mb", Shaping::Netns), None);
    }
}
