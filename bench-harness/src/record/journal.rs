//! Writing a journal: lines are appended as they come, so that a run that ends early has lost nothing.

use super::fold::{self, fold};
use super::{Environment, Footer, Git, Header, Line, Record, VERSION, config_sha256, sha256};
use crate::built;
use crate::calendar::{date, time_utc, unix_s};
use crate::failure::Failure;
use crate::interrupt;
use crate::machine::{Ticks, load};
use crate::stats::SEED;
use crate::whole_file::{Target, sync_folder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// The journal's name in its folder.
pub const SAMPLES: &str = "samples.jsonl";
/// The record's.
pub const RESULT: &str = "result.json";
/// The page for people.
pub const SUMMARY: &str = "summary.md";
/// No journal or record that is read is larger.
pub const MOST_BYTES: u64 = 64 << 20;

/// What a run is about to measure.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The command.
    pub command: &'a str,
    /// The last part of the folder's name: small letters, digits and dashes.
    pub what: &'a str,
    /// What decides what is measured.
    pub config: BTreeMap<String, Value>,
    /// The hash of recorded traces, if any.
    pub corpus_sha256: Option<String>,
    /// Where.
    pub environment: Environment,
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    begin: Instant,
    ticks: Option<Ticks>,
    /// Whether Ctrl-C left something out in this sitting.
    is_cut_off: bool,
}

impl Journal {
    /// A new journal below `parent`, or the one in the folder `resume` to go on with, and the lines of it that count.
    ///
    /// # Errors
    /// Those of [`Journal::begin`]; [`Failure::Usage`] where what is to go on came to its end, or there is none;
    /// [`Failure::Incomparable`] where the configuration, the program or the machine differs.
    pub fn open(parent: &Path, resume: Option<&Path>, plan: Plan<'_>) -> Result<(Self, Vec<Line>), Failure> {
        match resume {
            Some(folder) => Self::resume(folder, &plan),
            None => Ok((Self::begin(parent, plan)?, Vec::new())),
        }
    }

    /// Makes a new folder below `parent` and writes the first lines.
    ///
    /// # Errors
    /// [`Failure::Usage`] where results of a checkout with local changes would go under its `results/`;
    /// [`Failure::Internal`] where files cannot be written.
    pub fn begin(parent: &Path, plan: Plan<'_>) -> Result<Self, Failure> {
        clean_enough(parent)?;
        let failed = |error: std::io::Error| failed(parent, &error);
        fs::create_dir_all(parent).map_err(failed)?;
        let now = unix_s();
        let label = plan.environment.machine.label();
        let folder = new_folder(parent, &format!("{}-{label}-{}", date(now), plan.what)).map_err(failed)?;
        let header = Header {
            version: VERSION,
            id: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            command: plan.command.to_owned(),
            begin_utc: time_utc(now),
            program: concat!("tensorguard ", env!("CARGO_PKG_VERSION")).to_owned(),
            binary_sha256: this_program_sha256(),
            built_from: built::from(),
            git: git(&nearest(parent)?.real).or_else(|| git(Path::new("."))),
            argv: std::env::args().skip(1).collect(),
            seed: SEED,
            config_sha256: config_sha256(&plan.config),
            config: plan.config,
            corpus_sha256: plan.corpus_sha256,
        };
        let file = OpenOptions::new().append(true).create_new(true).open(folder.join(SAMPLES)).map_err(failed)?;
        let mut journal = Self::new(folder, file);
        journal.write(&Line::Header(header))?;
        journal.write(&Line::Environment(plan.environment))?;
        Ok(journal)
    }

    fn new(folder: PathBuf, file: File) -> Self {
        Self { folder, file, begin: Instant::now(), ticks: Ticks::now(), is_cut_off: false }
    }

    /// Goes on with an interrupted run. What was not run is tried again: Ctrl-C came before it, or what it lacked may be here by now.
    fn resume(folder: &Path, plan: &Plan<'_>) -> Result<(Self, Vec<Line>), Failure> {
        clean_enough(folder)?;
        let path = folder.join(SAMPLES);
        let bytes = read_limited(&path)?;
        let parsed = fold::Journal::parse(&bytes).map_err(|why| refused(&path, &why))?;
        let record = fold(&parsed).map_err(|why| refused(&path, &why))?;
        if record.footer.is_some() {
            return Err(refused(&path, "it came to its end, so there is nothing to resume"));
        }
        same(&record, plan).map_err(|why| Failure::Incomparable(format!("{}: {why}", path.display())))?;
        let failed = |error: std::io::Error| failed(&path, &error);
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        // A line that was cut off by a crash.
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(failed)?;
        let mut journal = Self::new(folder.to_owned(), file);
        let mut lines: Vec<Line> = fold::counted(&parsed.lines).into_iter().cloned().collect();
        for cell in record.cells.iter().filter(|cell| cell.not_run.is_some()) {
            journal.anew(&cell.id, &mut lines)?;
        }
        Ok((journal, lines))
    }

    /// Begins a cell anew: what there is of it stays where it is and counts no more. It is taken out of `lines`.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn anew(&mut self, cell: &str, lines: &mut Vec<Line>) -> Result<(), Failure> {
        self.write(&Line::Anew { cell: cell.to_owned() })?;
        lines.retain(|line| line.cell() != Some(cell));
        Ok(())
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn write(&mut self, line: &Line) -> Result<(), Failure> {
        self.write_all(std::slice::from_ref(line))
    }

    /// Appends lines in one piece: whoever ends the process meanwhile leaves all of them or none.
    ///
    /// # Errors
    /// [`Failure::Internal`] where they cannot be written.
    pub fn write_all(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let mut text = String::new();
        for line in lines {
            text += &(serde_json::to_string(line)? + "\n");
            self.is_cut_off |= matches!(line, Line::NotRun { reason, .. } if reason.starts_with(interrupt::MISSING));
        }
        self.file.write_all(text.as_bytes()).map_err(|error| failed(&self.folder, &error))
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it says so far.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the lines do not fit together.
    pub fn record(&self) -> Result<Record, Failure> {
        let bytes = read_limited(&self.folder.join(SAMPLES))?;
        fold::Journal::parse(&bytes).and_then(|journal| fold(&journal)).map_err(Failure::Internal)
    }

    /// Writes the last line, the record, and the page for people. Where Ctrl-C left something out there is no last line: the record says
    /// what there is, and the run can go on.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the lines do not fit together, or files cannot be written.
    pub fn finish(mut self, summary: impl FnOnce(&Record) -> String) -> Result<(PathBuf, Record), Failure> {
        if !self.is_cut_off {
            let steal = self.ticks.and_then(|begin| Ticks::now().map(|now| now.steal_since(begin)));
            let wall_ns = self.begin.elapsed().as_nanos() as u64;
            self.write(&Line::Footer(Footer { end_utc: time_utc(unix_s()), wall_ns, load: load(), steal }))?;
        }
        self.file.sync_all().map_err(|error| failed(&self.folder, &error))?;
        let mut record = self.record()?;
        let page = page(&record, &summary(&record));
        record.summary_sha256 = Some(sha256(page.as_bytes()));
        let text = text(&record)?;
        let whole = |name, text: String| {
            Target::new(&self.folder.join(name), &[])?.write(|file| file.write_all(text.as_bytes()))
        };
        whole(RESULT, text)?;
        whole(SUMMARY, page)?;
        sync_folder(&self.folder).map_err(|error| failed(&self.folder, &error))?;
        Ok((self.folder, record))
    }
}

/// A record as its file has it. There is one way to write it, so that no edit hides in what a reader of JSON would pass over.
///
/// # Errors
/// [`Failure::Internal`] where a number has no JSON form.
pub fn text(record: &Record) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(record)? + "\n")
}

fn page(record: &Record, table: &str) -> String {
    let Header { id, begin_utc, argv, .. } = &record.header;
    let load = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
    let commit = record.header.commit_in_words();
    let source = if record.header.built_from.is_some() { "Built from" } else { "In a checkout of" };
    let (before, after) = (record.environment.machine.load, record.footer.as_ref().and_then(|footer| footer.load));
    let measured = format!("Measured {begin_utc} with `tensorguard {}`.", argv.join(" "));
    let loads = format!("Load {} before, {} after.", load(before), load(after));
    format!("# {id}\n\n{measured}\n{source} commit {commit}.\n{loads}\n\n```text\n{}\n```\n", table.trim_end())
}

/// Whether a record is what a plan would go on with; if not, why.
fn same(record: &Record, plan: &Plan<'_>) -> Result<(), &'static str> {
    let (there, here) = (&record.environment, &plan.environment);
    if record.header.config_sha256 != config_sha256(&plan.config) {
        return Err("it was begun with another configuration; give the same options, or begin anew");
    }
    if record.header.binary_sha256 != this_program_sha256() {
        return Err("it was begun by another build of this program; begin anew");
    }
    if (there.machine.label(), &there.engine, &there.gpu) != (here.machine.label(), &here.engine, &here.gpu) {
        return Err("it was begun on another machine, engine or GPU; go on there, or begin anew");
    }
    Ok(())
}

/// Reads a file of limited size.
///
/// # Errors
/// [`Failure::Usage`] where it cannot be read, or is larger.
pub fn read_limited(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let shown = path.display();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| Failure::Usage(format!("cannot read {shown}: {error}")))?;
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Failure::Usage(format!(
            "{shown} is larger than {} MiB: no journal or record is",
            MOST_BYTES >> 20
        )));
    }
    Ok(bytes)
}

fn refused(path: &Path, why: &str) -> Failure {
    Failure::Usage(format!("{}: {why}", path.display()))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Internal(format!("cannot write results in {}: {error}; see --out", path.display()))
}

/// What goes under a checkout's `results/` must come from a commit, and the program be built from the same. Call it before anything is
/// measured. The checkout is that of the folder, wherever the command was called.
///
/// # Errors
/// [`Failure::Usage`] where it would not.
pub fn clean_enough(parent: &Path) -> Result<(), Failure> {
    let there = nearest(parent)?;
    let rest = std::path::absolute(parent).map_err(|error| failed(parent, &error))?;
    let rest = rest.strip_prefix(&there.named).unwrap_or(Path::new(""));
    let Some(top) = there.real.ancestors().find(|folder| folder.join(".git").exists()) else { return Ok(()) };
    if !there.real.join(rest).starts_with(top.join("results")) {
        return Ok(());
    }
    let (top, elsewhere) = (top.display(), "or write elsewhere with --out");
    match git(&there.real) {
        Some(git) if !git.is_dirty => built::agree(built::from().as_ref(), &git).map_err(|why| {
            Failure::Usage(format!(
                "{why}, so nobody could repeat what goes under results/; build it again in {top} (cargo build --release), {elsewhere}"
            ))
        }),
        Some(_) => Err(Failure::Usage(format!(
            "tracked files of {top} differ from the commit, so nobody could repeat what goes under results/; commit first, {elsewhere}"
        ))),
        None => Err(Failure::Usage(format!(
            "{top} has no commit that what goes under results/ could come from; commit first, {elsewhere}"
        ))),
    }
}

/// The nearest folder of a path that is there: what is not will be made in it.
struct Nearest {
    named: PathBuf,
    /// Without links.
    real: PathBuf,
}

fn nearest(path: &Path) -> Result<Nearest, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| failed(path, &error))?;
    let named = absolute.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let real = fs::canonicalize(&named).unwrap_or(named.clone());
    Ok(Nearest { named, real })
}

fn git_says(folder: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok();
    let output = output.filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(folder: &Path) -> Option<Git> {
    let commit = git_says(folder, &["rev-parse", "HEAD"])?;
    let changes = git_says(folder, &["status", "--porcelain", "--untracked-files=no"]);
    Some(Git { commit, is_dirty: changes.is_none_or(|list| !list.is_empty()) })
}

fn this_program_sha256() -> Option<String> {
    Some(sha256(&fs::read(std::env::current_exe().ok()?).ok()?))
}

fn new_folder(parent: &Path, name: &str) -> std::io::Result<PathBuf> {
    let mut folder = parent.join(name);
    for count in 2..1000 {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                folder = parent.join(format!("{name}-{count}"));
            }
            done => return done.map(|()| folder),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_folder_is_never_used_twice() {
        let parent = Scratch::new("results");
        fs::create_dir_all(&parent).expect("a temporary folder");
        let names: Vec<_> = (0..3).filter_map(|_| new_folder(&parent, "a").ok()).collect();
        assert_eq!(names, [parent.join("a"), parent.join("a-2"), parent.join("a-3")]);
    }
}
