//! What memory a run of a case asks for. The allocator that counts is the caller's: it is no part of the command.

use super::case::Case;
use super::run::{properties, stage_name};
use super::view::bytes;
use super::work::{Data, Engine, Facts};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::record::journal::{Journal, Plan, clean_enough};
use crate::record::{Check, Environment, Label, Line, Measure, Sample};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What one run asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests to the allocator.
    pub allocations: u64,
    /// Bytes in all of them together.
    pub allocated_bytes: u64,
    /// The most bytes that were held at once.
    pub heap_bytes: u64,
}

/// A case that was counted.
#[derive(Debug)]
pub struct Row {
    case: Case,
    facts: Facts,
    check: Check,
    counted: Counted,
}

/// Runs work and counts what it asks for.
pub type Counter<'a> = &'a mut dyn FnMut(&mut dyn FnMut() -> Result<(), Failure>) -> Result<Counted, Failure>;

/// Counts each case after a first run, which takes memory that later ones find.
///
/// # Errors
/// [`Failure::Wrong`] where an output is wrong.
pub fn count(cases: Vec<Case>, cpu: Cpu, counter: Counter<'_>) -> Result<Vec<Row>, Failure> {
    let (engine, mut data) = (Engine::Cpu(cpu), Data::default());
    let mut progress = Progress::new(cases.len());
    let mut rows = Vec::new();
    for case in cases {
        progress.step(&case.cell());
        let facts = data.prepare(case.job)?;
        let (claim, digest) = data.check(case.job, &engine)?;
        let check = Check { cell: case.cell(), claim: claim.to_owned(), digest: Some(digest), holds: true };
        data.run(case.job, &engine, 1)?;
        let counted = counter(&mut || data.run(case.job, &engine, 1).map(drop))?;
        rows.push(Row { case, facts, check, counted });
    }
    Ok(rows)
}

/// The rows as a table.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let mut text = format!("{:44} {:>12} {:>14} {:>14}\n", "case", "allocations", "bytes", "most at once");
    for Row { case, counted, .. } in rows {
        let Counted { allocations, allocated_bytes, heap_bytes } = *counted;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:44} {allocations:>12} {:>14} {:>14}",
            case.cell(),
            bytes(allocated_bytes),
            bytes(heap_bytes)
        );
    }
    text + "\nOne run each, buffers of the run before reused where a robot would; what a run finds ready is not counted.\n"
}

/// Keeps the rows in a new folder below `out`, and gives it.
///
/// # Errors
/// [`Failure::Internal`] where files cannot be written.
pub fn write(out: &Path, rows: &[Row]) -> Result<PathBuf, Failure> {
    clean_enough(out)?;
    let engine = Cpu::best(1).name().to_owned();
    let environment = Environment { machine: Machine::look(), engine, gpu: None };
    let cells: Vec<String> = rows.iter().map(|row| row.case.cell()).collect();
    let plan = Plan {
        command: "allocations",
        what: "allocations",
        config: BTreeMap::from([("cells".to_owned(), json!(cells))]),
        corpus_sha256: None,
        environment,
    };
    let mut journal = Journal::begin(out, plan)?;
    for Row { case, facts, check, counted } in rows {
        let (cell, stage) = (case.cell(), stage_name(case).to_owned());
        journal.write(&Line::Cell { cell: cell.clone(), properties: properties(case, Some(facts)) })?;
        journal.write(&Line::Check(check.clone()))?;
        let (item, items) = (case.job.item().to_owned(), facts.items);
        journal.write(&Line::Stage {
            cell: cell.clone(),
            stage: stage.clone(),
            label: Label::M,
            item,
            items,
            formula: None,
        })?;
        let values = BTreeMap::from([
            (Measure::Allocations, counted.allocations.into()),
            (Measure::AllocatedBytes, counted.allocated_bytes.into()),
            (Measure::HeapBytes, counted.heap_bytes.into()),
        ]);
        journal.write(&Line::Sample(Sample { cell, stage, arm: case.arm(), turn: 0, repetitions: 1, values }))?;
    }
    journal.finish(|_| summary(rows)).map(|(folder, _)| folder)
}
