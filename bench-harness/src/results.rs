//! What `compare-peers` and `gpu` keep: their measurements as lines of a journal.

use crate::compare::{self, Comparison};
use crate::end_to_end::Party;
use crate::failure::Failure;
use crate::gpu::Report;
use crate::memory::Server;
use crate::record::fold::AGAIN;
use crate::record::journal::{Journal, Plan};
use crate::record::{Environment, Label, Line, Measure, Property, Sample};
use crate::rounds::Facts;
use crate::scaling::Scaling;
use serde_json::{Number, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Writes a comparison into a new folder below `parent` and returns the folder.
///
/// # Errors
/// [`Failure::Internal`] where files cannot be written.
pub fn write(parent: &Path, comparison: &Comparison) -> Result<PathBuf, Failure> {
    let filter: String = comparison.filter.chars().filter(char::is_ascii_alphanumeric).collect();
    let filter = if filter.is_empty() { "all".to_owned() } else { filter };
    let environment =
        Environment { machine: comparison.machine.clone(), engine: comparison.engine.to_owned(), gpu: None };
    let plan = Plan {
        command: "compare-peers",
        what: &format!("peers-{filter}-{}", comparison.engine.trim_start_matches("cpu-")),
        config: BTreeMap::from([
            ("filter".to_owned(), json!(comparison.filter)),
            ("engine".to_owned(), json!(comparison.engine)),
            ("pairs".to_owned(), json!(comparison.effort.pairs())),
        ]),
        corpus_sha256: None,
        environment,
    };
    let mut journal = Journal::begin(parent, plan)?;
    for row in &comparison.rows {
        pairs(&mut journal, row)?;
    }
    let rounds = &comparison.rounds;
    for Party { peer, length, reader, facts } in &rounds.parties {
        party(&mut journal, peer, *length, reader, facts)?;
    }
    for (index, absent) in rounds.absent.iter().enumerate() {
        let properties = BTreeMap::from([("peer".to_owned(), absent.peer.into())]);
        let (cell, reason) = (format!("{} absent {index}", absent.peer), absent.why.clone());
        journal.write(&Line::NotRun { cell, properties, reason })?;
    }
    if let Some(server) = &rounds.server {
        memory(&mut journal, server)?;
    }
    if let Some(scaling) = &rounds.scaling {
        threads(&mut journal, scaling)?;
    }
    journal.finish(|_| comparison.to_string()).map(|(folder, _)| folder)
}

/// A cell with one stage that was measured here. Returns its name.
pub(crate) fn cell(
    journal: &mut Journal,
    cell: String,
    stage: &str,
    properties: &[(&str, Property)],
    (item, items): (&str, u64),
) -> Result<String, Failure> {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    journal.write(&Line::Cell { cell: cell.clone(), properties })?;
    let (stage, item) = (stage.to_owned(), item.to_owned());
    journal.write(&Line::Stage { cell: cell.clone(), stage, label: Label::M, item, items, formula: None })?;
    Ok(cell)
}

fn pairs(journal: &mut Journal, row: &compare::Row) -> Result<(), Failure> {
    let compare::Row { peer, kernel, n, engine, repetitions, .. } = *row;
    let properties: &[(&str, Property)] = &[
        ("peer", peer.into()),
        ("kernel", kernel.into()),
        ("n", n.into()),
        ("engine", engine.into()),
        ("peer_isa", row.peer_isa.as_str().into()),
    ];
    let name = cell(journal, format!("{peer} {kernel} {n}"), kernel, properties, ("value", row.values))?;
    let theirs = if peer == compare::ITSELF { AGAIN } else { "theirs" };
    for (turn, &(ours_ns, theirs_ns)) in row.samples.iter().enumerate() {
        let mut both = [("ours", ours_ns), (theirs, theirs_ns)];
        // In the order in which they were taken, but for the first, which names the arm that is below the line.
        if turn % 2 == 1 {
            both.reverse();
        }
        for (arm, cpu_ns) in both {
            let values = [(Measure::CpuNs, cpu_ns.into())];
            journal.write(&sample(&name, kernel, arm, turn, repetitions, values))?;
        }
    }
    Ok(())
}

pub(crate) fn sample<const N: usize>(
    cell: &str,
    stage: &str,
    arm: &str,
    turn: usize,
    repetitions: u64,
    values: [(Measure, Number); N],
) -> Line {
    Line::Sample(Sample {
        cell: cell.to_owned(),
        stage: stage.to_owned(),
        arm: arm.to_owned(),
        turn: u32::try_from(turn).unwrap_or(u32::MAX),
        repetitions,
        values: values.into(),
    })
}

fn party(journal: &mut Journal, peer: &str, length: usize, reader: &str, facts: &Facts) -> Result<(), Failure> {
    let Facts { version, upload_bytes, sum_bytes, robots, error_max, error_rms, memory_bytes } = facts;
    let properties: &[(&str, Property)] = &[
        ("peer", peer.into()),
        ("length", length.into()),
        ("reader", reader.into()),
        ("version", version.as_str().into()),
        ("robots", (*robots as usize).into()),
    ];
    let name = cell(journal, format!("{peer} sizes {length}"), "sizes", properties, ("value", length as u64))?;
    let float = |value: f64| Number::from_f64(value).unwrap_or_else(|| 0.into());
    journal.write(&sample(&name, "sizes", "upload", 0, 1, [(Measure::WireBytes, (*upload_bytes).into())]))?;
    journal.write(&sample(&name, "sizes", "sum", 0, 1, [(Measure::WireBytes, (*sum_bytes).into())]))?;
    let errors = [(Measure::ErrorMax, float(*error_max)), (Measure::ErrorRms, float(*error_rms))];
    journal.write(&sample(&name, "sizes", "mean", 0, 1, errors))?;
    match memory_bytes {
        Some(bytes) => {
            journal.write(&sample(&name, "sizes", "round", 0, 1, [(Measure::ResidentBytes, (*bytes).into())]))
        }
        None => Ok(()),
    }
}

fn memory(journal: &mut Journal, server: &Server) -> Result<(), Failure> {
    let Server { length, uploads, upload_bytes, before_bytes, peak_bytes } = *server;
    let properties: &[(&str, Property)] =
        &[("length", length.into()), ("upload_bytes", (upload_bytes as usize).into())];
    let name = cell(journal, format!("server memory {length}"), "memory", properties, ("upload", uploads))?;
    journal.write(&sample(&name, "memory", "before", 0, 1, [(Measure::ResidentBytes, before_bytes.into())]))?;
    journal.write(&sample(&name, "memory", "peak", 0, 1, [(Measure::ResidentBytes, peak_bytes.into())]))
}

fn threads(journal: &mut Journal, scaling: &Scaling) -> Result<(), Failure> {
    let Scaling { kernel, n, threads, ref samples_ns, .. } = *scaling;
    let properties: &[(&str, Property)] = &[("kernel", kernel.into()), ("n", n.into()), ("threads", threads.into())];
    let name = cell(journal, format!("threads {kernel} {n}"), kernel, properties, ("value", n as u64))?;
    for (turn, &(all_ns, one_ns)) in samples_ns.iter().enumerate() {
        for (arm, wall_ns) in [("all threads", all_ns), ("one thread", one_ns)] {
            journal.write(&sample(&name, kernel, arm, turn, 1, [(Measure::WallNs, wall_ns.into())]))?;
        }
    }
    Ok(())
}

/// Writes what was measured on a GPU into a new folder below `parent` and returns the folder.
///
/// # Errors
/// [`Failure::Internal`] where files cannot be written.
pub fn write_gpu(parent: &Path, report: &Report) -> Result<PathBuf, Failure> {
    let environment = Environment {
        machine: report.machine.clone(),
        engine: "cuda".to_owned(),
        gpu: Some(report.device.to_string()),
    };
    let plan = Plan {
        command: "gpu",
        what: &format!("{}-gpu", report.device.label()),
        config: BTreeMap::from([("commit".to_owned(), json!(report.commit))]),
        corpus_sha256: None,
        environment,
    };
    let mut journal = Journal::begin(parent, plan)?;
    gpu_rows(&mut journal, "", report)?;
    journal.finish(|_| report.to_string()).map(|(folder, _)| folder)
}

/// The rows of a report on a GPU, each a cell.
pub(crate) fn gpu_rows(journal: &mut Journal, prefix: &str, report: &Report) -> Result<(), Failure> {
    for row in &report.rows {
        let mut properties = vec![("unit", Property::from(row.unit))];
        if let Some((floor, which)) = row.floor {
            properties.push(("floor", Property::Number(floor)));
            properties.push(("floor_of", which.into()));
        }
        let name = cell(journal, format!("{prefix}{}", row.name), "time", &properties, ("run", 1))?;
        for (turn, &time_ns) in row.samples_ns.iter().enumerate() {
            journal.write(&sample(&name, "time", "ours", turn, 1, [(row.clock, time_ns.into())]))?;
        }
    }
    Ok(())
}
