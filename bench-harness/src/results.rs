//! What `compare-peers` and `gpu` keep: their measurements as lines of a journal.

use crate::compare::{self, Comparison, Effort};
use crate::end_to_end::{Party, Rounds};
use crate::failure::Failure;
use crate::gpu::{self, Opened};
use crate::machine::Machine;
use crate::memory::Server;
use crate::record::fold::AGAIN;
use crate::record::journal::{Journal, Plan};
use crate::record::{Environment, Label, Line, Measure, Property, Sample};
use crate::rounds::Facts;
use crate::scaling::Scaling;
use serde_json::{Number, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a comparison keeps as it goes: nothing where nobody asked.
#[derive(Debug, Default)]
pub struct Kept {
    journal: Option<Journal>,
    /// How much of what there is was written.
    rows: usize,
    round_rows: usize,
    parties: usize,
    absent: usize,
    server: bool,
    scaling: bool,
}

impl Kept {
    /// Begins a new folder below `parent`, before anything is measured: what cannot be kept is told at once.
    ///
    /// # Errors
    /// Those of [`Journal::begin`].
    pub fn begin(parent: &Path, engine: &str, filter: &str, effort: Effort) -> Result<Self, Failure> {
        let letters: String = filter.chars().filter(char::is_ascii_alphanumeric).collect();
        let letters = if letters.is_empty() { "all".to_owned() } else { letters };
        let environment = Environment { machine: Machine::look(), engine: engine.to_owned(), gpu: None };
        let plan = Plan {
            command: "compare-peers",
            what: &format!("peers-{letters}-{}", engine.trim_start_matches("cpu-")),
            config: BTreeMap::from([
                ("filter".to_owned(), json!(filter)),
                ("engine".to_owned(), json!(engine)),
                ("pairs".to_owned(), json!(effort.pairs())),
            ]),
            corpus_sha256: None,
            environment,
        };
        Ok(Self { journal: Some(Journal::begin(parent, plan)?), ..Self::default() })
    }

    /// Writes the kernels' rows that are new.
    ///
    /// # Errors
    /// [`Failure::Internal`] where they cannot be written.
    pub fn rows(&mut self, rows: &[compare::Row]) -> Result<(), Failure> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        for row in &rows[self.rows..] {
            pairs(journal, row)?;
        }
        self.rows = rows.len();
        Ok(())
    }

    /// Writes what is new of whole rounds, and of absent peers.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn rounds(&mut self, rounds: &Rounds) -> Result<(), Failure> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        for row in &rounds.rows[self.round_rows..] {
            pairs(journal, row)?;
        }
        for Party { peer, length, reader, facts } in &rounds.parties[self.parties..] {
            party(journal, peer, *length, reader, facts)?;
        }
        for (index, absent) in rounds.absent.iter().enumerate().skip(self.absent) {
            let properties = BTreeMap::from([("peer".to_owned(), absent.peer.into())]);
            let (cell, reason) = (format!("{} absent {index}", absent.peer), absent.why.clone());
            journal.write(&Line::NotRun { cell, properties, reason })?;
        }
        if let Some(server) = rounds.server.as_ref().filter(|_| !self.server) {
            memory(journal, server)?;
        }
        if let Some(scaling) = rounds.scaling.as_ref().filter(|_| !self.scaling) {
            threads(journal, scaling)?;
        }
        (self.round_rows, self.parties) = (rounds.rows.len(), rounds.parties.len());
        (self.absent, self.server, self.scaling) =
            (rounds.absent.len(), rounds.server.is_some(), rounds.scaling.is_some());
        Ok(())
    }

    /// Writes the record. Gives its folder, if there is one.
    ///
    /// # Errors
    /// Those of [`Journal::finish`].
    pub fn finish(self, comparison: &Comparison) -> Result<Option<PathBuf>, Failure> {
        let Some(journal) = self.journal else { return Ok(None) };
        journal.finish(|_| comparison.to_string()).map(|(folder, _)| Some(folder))
    }
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

/// Begins a new folder below `parent` for what will be measured on a GPU.
///
/// # Errors
/// Those of [`Journal::begin`].
pub fn begin_gpu(parent: &Path, opened: &Opened) -> Result<Journal, Failure> {
    let Opened { machine, device, .. } = opened;
    let environment =
        Environment { machine: machine.clone(), engine: "cuda".to_owned(), gpu: Some(device.to_string()) };
    let plan = Plan {
        command: "gpu",
        what: &format!("{}-gpu", device.label()),
        config: BTreeMap::from([("commit".to_owned(), json!(gpu::COMMIT))]),
        corpus_sha256: None,
        environment,
    };
    Journal::begin(parent, plan)
}

/// A row of a GPU, as a cell.
///
/// # Errors
/// [`Failure::Internal`] where it cannot be written.
pub fn gpu_row(journal: &mut Journal, prefix: &str, row: &gpu::Row) -> Result<(), Failure> {
    let mut properties = vec![("unit", Property::from(row.unit))];
    if let Some((floor, which)) = row.floor {
        properties.push(("floor", Property::Number(floor)));
        properties.push(("floor_of", which.into()));
    }
    let name = cell(journal, format!("{prefix}{}", row.name), "time", &properties, ("run", 1))?;
    for (turn, &time_ns) in row.samples_ns.iter().enumerate() {
        journal.write(&sample(&name, "time", "ours", turn, 1, [(row.clock, time_ns.into())]))?;
    }
    Ok(())
}
