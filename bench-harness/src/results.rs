//! What `compare-peers` and `gpu` keep: their measurements as lines of a journal.

mod earlier;
mod gpu;

use crate::compare::{Comparison, Effort, ITSELF, Row};
use crate::end_to_end::{Absent, Party};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::memory::Server;
use crate::record::fold::AGAIN;
use crate::record::journal::{Journal, Plan};
use crate::record::{Environment, Label, Line, Measure, Property, Sample};
use crate::rounds::Facts;
use crate::scaling::Scaling;
pub use earlier::Earlier;
pub use gpu::{GpuRun, gpu_row};
use serde_json::{Number, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The arms of a row.
const OURS: &str = "ours";
const THEIRS: &str = "theirs";
/// The stages of what a round costs besides time, and of what a server needs.
const SIZES: &str = "sizes";
const MEMORY: &str = "memory";
/// The arms of what more threads bring, and who else used the machine.
const ALL_THREADS: &str = "all threads";
const ONE_THREAD: &str = "one thread";
const OTHERS: &str = "others_cores";

/// What a comparison keeps as it goes, and what earlier sittings kept: nothing where nobody asked.
#[derive(Debug, Default)]
pub struct Kept {
    journal: Option<Journal>,
    earlier: Earlier,
    /// Peers of this sitting that are absent.
    absent: usize,
}

impl Kept {
    /// Begins a new folder below `out`, or goes on in `resume`, before anything is measured: what cannot be kept is told at once.
    ///
    /// # Errors
    /// Those of [`Journal::open`].
    pub fn open(
        out: Option<&Path>,
        resume: Option<&Path>,
        engine: &str,
        filter: &str,
        effort: Effort,
    ) -> Result<Self, Failure> {
        let Some(parent) = out.or(resume) else { return Ok(Self::default()) };
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
        let (journal, lines) = Journal::open(parent, resume, plan)?;
        Ok(Self { journal: Some(journal), earlier: Earlier(lines), absent: 0 })
    }

    /// What earlier sittings kept.
    #[must_use]
    pub fn earlier(&self) -> &Earlier {
        &self.earlier
    }

    /// Lines of one cell are written in one piece, so that it is in the journal whole or not at all.
    fn keep(&mut self, lines: &[Line]) -> Result<(), Failure> {
        self.journal.as_mut().map_or(Ok(()), |journal| journal.write_all(lines))
    }

    /// Writes a row.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn row(&mut self, row: &Row) -> Result<(), Failure> {
        let sitting = self.earlier.rows(row.peer, row.kernel, row.n).len() + 1;
        self.keep(&row_lines(row, sitting))
    }

    /// Writes what a round costs besides time.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn party(&mut self, party: &Party) -> Result<(), Failure> {
        self.keep(&party_lines(party))
    }

    /// Writes that a peer is absent.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn absent(&mut self, Absent { peer, why }: &Absent) -> Result<(), Failure> {
        let properties = BTreeMap::from([("peer".to_owned(), (*peer).into())]);
        let line = Line::NotRun { cell: format!("{peer} absent {}", self.absent), properties, reason: why.clone() };
        self.absent += 1;
        self.keep(&[line])
    }

    /// Writes what a server needs.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn server(&mut self, server: &Server) -> Result<(), Failure> {
        self.keep(&server_lines(server))
    }

    /// Writes what more threads bring.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn scaling(&mut self, scaling: &Scaling) -> Result<(), Failure> {
        self.keep(&scaling_lines(scaling))
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

/// The lines of a cell with one stage that was measured here.
fn cell_lines(cell: &str, stage: &str, properties: &[(&str, Property)], (item, items): (&str, u64)) -> Vec<Line> {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let (cell, stage, item) = (cell.to_owned(), stage.to_owned(), item.to_owned());
    let begin = Line::Cell { cell: cell.clone(), properties };
    vec![begin, Line::Stage { cell, stage, label: Label::M, item, items, formula: None }]
}

/// Begins such a cell. Returns its name.
pub(crate) fn cell(
    journal: &mut Journal,
    cell: String,
    stage: &str,
    properties: &[(&str, Property)],
    items: (&str, u64),
) -> Result<String, Failure> {
    journal.write_all(&cell_lines(&cell, stage, properties, items))?;
    Ok(cell)
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

/// The cell of a row. Identical code is measured in each sitting, for it says how quiet that one was.
fn row_cell(peer: &str, kernel: &str, n: usize, sitting: usize) -> String {
    let sitting = if sitting > 1 { format!(", sitting {sitting}") } else { String::new() };
    format!("{peer} {kernel} {n}{sitting}")
}

fn row_lines(row: &Row, sitting: usize) -> Vec<Line> {
    let Row { peer, kernel, n, engine, repetitions, .. } = *row;
    let properties: &[(&str, Property)] = &[
        ("peer", peer.into()),
        ("kernel", kernel.into()),
        ("n", n.into()),
        ("engine", engine.into()),
        ("peer_isa", row.peer_isa.as_str().into()),
    ];
    let name = row_cell(peer, kernel, n, sitting);
    let mut lines = cell_lines(&name, kernel, properties, ("value", row.values));
    let theirs = if peer == ITSELF { AGAIN } else { THEIRS };
    for (turn, &(ours_ns, theirs_ns)) in row.samples.iter().enumerate() {
        let mut both = [(OURS, ours_ns), (theirs, theirs_ns)];
        // In the order in which they were taken, but for the first, which names the arm that is below the line.
        if turn % 2 == 1 {
            both.reverse();
        }
        let line = |(arm, cpu_ns): (&str, u64)| {
            sample(&name, kernel, arm, turn, repetitions, [(Measure::CpuNs, cpu_ns.into())])
        };
        lines.extend(both.map(line));
    }
    lines
}

fn party_cell(peer: &str, length: usize) -> String {
    format!("{peer} {SIZES} {length}")
}

fn party_lines(Party { peer, length, reader, facts }: &Party) -> Vec<Line> {
    let Facts { version, upload_bytes, sum_bytes, robots, error_max, error_rms, memory_bytes } = facts;
    let properties: &[(&str, Property)] = &[
        ("peer", (*peer).into()),
        ("length", (*length).into()),
        ("reader", (*reader).into()),
        ("version", version.as_str().into()),
        ("robots", (*robots as usize).into()),
    ];
    let name = party_cell(peer, *length);
    let mut lines = cell_lines(&name, SIZES, properties, ("value", *length as u64));
    let float = |value: f64| Number::from_f64(value).unwrap_or_else(|| 0.into());
    lines.push(sample(&name, SIZES, "upload", 0, 1, [(Measure::WireBytes, (*upload_bytes).into())]));
    lines.push(sample(&name, SIZES, "sum", 0, 1, [(Measure::WireBytes, (*sum_bytes).into())]));
    let errors = [(Measure::ErrorMax, float(*error_max)), (Measure::ErrorRms, float(*error_rms))];
    lines.push(sample(&name, SIZES, "mean", 0, 1, errors));
    let memory = |bytes: u64| sample(&name, SIZES, "round", 0, 1, [(Measure::ResidentBytes, bytes.into())]);
    lines.extend(memory_bytes.map(memory));
    lines
}

fn server_cell(length: usize) -> String {
    format!("server memory {length}")
}

fn server_lines(server: &Server) -> Vec<Line> {
    let Server { length, uploads, upload_bytes, before_bytes, peak_bytes } = *server;
    let properties: &[(&str, Property)] =
        &[("length", length.into()), ("upload_bytes", (upload_bytes as usize).into())];
    let name = server_cell(length);
    let mut lines = cell_lines(&name, MEMORY, properties, ("upload", uploads));
    lines.push(sample(&name, MEMORY, "before", 0, 1, [(Measure::ResidentBytes, before_bytes.into())]));
    lines.push(sample(&name, MEMORY, "peak", 0, 1, [(Measure::ResidentBytes, peak_bytes.into())]));
    lines
}

fn scaling_cell(kernel: &str, n: usize) -> String {
    format!("threads {kernel} {n}")
}

fn scaling_lines(scaling: &Scaling) -> Vec<Line> {
    let Scaling { kernel, n, threads, ref samples_ns, others_cores, .. } = *scaling;
    let mut properties = vec![("kernel", kernel.into()), ("n", n.into()), ("threads", threads.into())];
    properties.extend(others_cores.map(|cores| (OTHERS, Property::Number(cores))));
    let name = scaling_cell(kernel, n);
    let mut lines = cell_lines(&name, kernel, &properties, ("value", n as u64));
    for (turn, &(all_ns, one_ns)) in samples_ns.iter().enumerate() {
        for (arm, wall_ns) in [(ALL_THREADS, all_ns), (ONE_THREAD, one_ns)] {
            lines.push(sample(&name, kernel, arm, turn, 1, [(Measure::WallNs, wall_ns.into())]));
        }
    }
    lines
}
