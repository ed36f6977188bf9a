//! Running the matrix: fleet by fleet, each kept as soon as it is done, so that a run that was stopped goes on where it was.

use super::explain::headline;
use super::grid::{Cell, Fleet, Preset};
use super::learning::{self, Budget};
use super::outcome::CellOutcome;
use super::{compose, link, page};
use crate::failure::Failure;
use crate::filter::Filter;
use crate::interrupt;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::record::journal::{Journal, Plan, RESULT};
use crate::record::{Environment, Label, Line, MatrixLine, Record};
use crate::whole_file::Target;
use kernels::Backend;
use kernels::cpu::Cpu;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
}

/// The cells of a request, fleet by fleet.
///
/// # Errors
/// [`Failure::Usage`] for a filter that is not understood, [`Failure::Nothing`] where it selects nothing.
pub fn cells(request: &Request) -> Result<Vec<(Fleet, Vec<Cell>)>, Failure> {
    let cells = request.preset.cells(&Filter::parse::<Cell>(&request.filter)?)?;
    let mut fleets: Vec<(Fleet, Vec<Cell>)> = Vec::new();
    for cell in cells {
        match fleets.last_mut() {
            Some((fleet, cells)) if *fleet == cell.fleet() => cells.push(cell),
            _ => fleets.push((cell.fleet(), vec![cell])),
        }
    }
    Ok(fleets)
}

/// Everything that decides what is measured: hashed into the result.
fn config(request: &Request) -> Result<BTreeMap<String, Value>, Failure> {
    let thresholds = learning::thresholds(&request.budget);
    Ok(BTreeMap::from([
        ("preset".to_owned(), json!(request.preset)),
        ("filter".to_owned(), json!(request.filter)),
        ("budget".to_owned(), serde_json::to_value(request.budget)?),
        ("thresholds".to_owned(), json!(format!("{thresholds:?}"))),
        ("min_effect".to_owned(), json!(thresholds.min_effect)),
        ("link_formula".to_owned(), json!(link::FORMULA)),
        ("server_mbit_per_s".to_owned(), json!(compose::SERVER.mbit_per_s)),
    ]))
}

/// Runs a request into a new folder below `parent`, or goes on in `resume`. Gives the folder and the record.
///
/// # Errors
/// [`Failure::Unmet`] before anything is measured where the labels that are required cannot be had;
/// [`Failure::Interrupted`] after Ctrl-C, saying how to go on; what a fleet's run gives.
pub fn run(cpu: &Cpu, request: &Request, parent: &Path, resume: Option<&Path>) -> Result<(PathBuf, Record), Failure> {
    require(request)?;
    let fleets = cells(request)?;
    let config = config(request)?;
    let (mut journal, done): (_, Vec<Fleet>) = match resume {
        None => (begin(cpu, request, parent, config)?, Vec::new()),
        Some(folder) => {
            let (journal, lines) = Journal::resume(folder, &config)?;
            let done = lines.iter().filter_map(|line| match line {
                Line::Matrix(MatrixLine { trace, .. }) => Some(trace.fleet),
                _ => None,
            });
            (journal, done.collect())
        }
    };
    let began = Instant::now();
    let left: Vec<_> = fleets.into_iter().filter(|(fleet, _)| !done.contains(fleet)).collect();
    let mut progress = Progress::new(left.len() * request.budget.campaigns as usize);
    let mut base = None;
    for (fleet, cells) in left {
        if interrupt::asked() {
            let folder = journal.folder().display();
            let why = format!("what was measured is kept; go on with the same options and --resume {folder}");
            return Err(Failure::Interrupted(why));
        }
        if request.time_budget.is_some_and(|budget| began.elapsed() >= budget) {
            for cell in cells {
                let reason = "the time budget was spent: give a longer --time-budget".to_owned();
                journal.write(&Line::NotRun { cell: cell.to_string(), properties: BTreeMap::new(), reason })?;
            }
            continue;
        }
        // Fleets of one kind come one after the other, and begin with the same policy.
        let kind = (fleet.task, fleet.size);
        let version_zero = match base.take() {
            Some((of, found)) if of == kind => found,
            _ => {
                progress.live(&format!("{fleet}: training version 0"));
                learning::version_zero(fleet, &request.budget)?
            }
        };
        let trace = learning::run(fleet, &version_zero, &request.budget, cpu, &mut progress)?;
        base = Some((kind, version_zero));
        journal.write(&Line::Matrix(MatrixLine { trace, cells }))?;
    }
    drop(progress);
    let (folder, record) = journal.finish(summary)?;
    if let Some(page) = page::page(&record) {
        Target::new(&folder.join(REPORT), &[])?.write(|file| std::io::Write::write_all(file, page.as_bytes()))?;
    }
    Ok((folder, record))
}

fn begin(cpu: &Cpu, request: &Request, parent: &Path, config: BTreeMap<String, Value>) -> Result<Journal, Failure> {
    let environment = Environment { machine: Machine::look(), engine: cpu.name().to_owned(), gpu: None };
    let what = format!("matrix-{}", request.preset.name());
    Journal::begin(parent, Plan { command: "run", what: &what, config, corpus_sha256: None, environment })
}

/// What a composed cell always contains: transfers by formula. Whoever demands otherwise is told before hours are spent.
fn require(request: &Request) -> Result<(), Failure> {
    if request.require.is_empty() || request.require.contains(&Label::D) {
        return Ok(());
    }
    Err(Failure::Unmet(
        "cells are composed: their transfers are derived (D) by a formula; allow D, or look at the cells that went end to end".to_owned(),
    ))
}

/// The table for a terminal.
#[must_use]
pub fn summary(record: &Record) -> String {
    let mut text = format!(
        "{:34} {:>26}  {:>26}  {:>8}  {:>11}  {:>10}\n",
        "cell", "active, per improvement", "with policy waits", "deployed", "success", "encryption"
    );
    for cell in &record.matrix {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", row(cell));
    }
    text + "\nactive: computing (measured here, one robot after the other) and transfers (derived, formula tcp-1); 95 % intervals over campaigns.\n"
}

fn row(cell: &CellOutcome) -> String {
    let [Some(encrypted), plain] = compose::Arm::ALL.map(|arm| cell.arm(arm)) else { return String::new() };
    let tpdi = &encrypted.tpdi;
    let with = super::explain::active(encrypted);
    let share =
        plain.map_or(String::new(), |plain| format!("{:.1} %", 100.0 * (1.0 - super::explain::active(plain) / with)));
    let after = cell.success_after.map_or("-".to_owned(), |after| format!("{:.0}", 100.0 * after));
    format!(
        "{:34} {:>26}  {:>26}  {:>8}  {:>11}  {share:>10}",
        cell.cell,
        headline(tpdi.active),
        headline(tpdi.wall),
        format!("{}/{}", tpdi.deployed, tpdi.attempts),
        format!("{:.0} -> {after} %", 100.0 * cell.success_before),
    )
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
    if record.matrix.is_empty() {
        return Err(Failure::Usage(format!("{} has no matrix; `tensorguard run` makes one", file.display())));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::verify::verify;

    /// One fleet, one campaign, one link.
    fn request() -> Request {
        let filter = "clients==10 && net==10mbit".to_owned();
        let budget = Budget { attempts: 1, imitation_rounds: 1, ..Budget::new(1) };
        Request { preset: Preset::Smoke, filter, time_budget: None, require: vec![], budget }
    }

    #[test]
    fn a_cell_runs_for_real_is_verified_and_an_edit_is_noticed() {
        let parent = std::env::temp_dir().join(format!("tensorguard-matrix-{}", std::process::id()));
        let (folder, record) = run(&Cpu::best(1), &request(), &parent, None).expect("a run");
        let cell = &record.matrix[0];
        assert_eq!((record.matrix.len(), cell.arms.len(), cell.min_clients), (1, 2, 10));
        assert!(cell.error_max > 0.0 && cell.success_before > 0.0);
        let [encrypted, plain] = compose::Arm::ALL.map(|arm| cell.arm(arm).expect("both arms").upload_bytes);
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
        std::fs::remove_dir_all(&parent).expect("it was made");
    }

    #[test]
    fn a_demand_that_cannot_be_met_fails_before_anything_is_run() {
        let demand = Request { require: vec![Label::M, Label::E], ..request() };
        let nowhere = Path::new("/nonexistent/nowhere");
        let failure = run(&Cpu::best(1), &demand, nowhere, None).expect_err("nothing composed is all measured");
        assert_eq!(failure.code(), 7, "{failure}");
    }
}
