//! What results say about kernels, stages and peers, whichever command and version wrote them.

use super::earlier;
use crate::failure::Failure;
use crate::floor::Ceilings;
use crate::micro::view;
use crate::record::fold::AGAIN;
use crate::record::journal::{RESULT, read_limited};
use crate::record::{Cell, Label, Measure, Property, Record};
use crate::stats::Interval;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A result that was read.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The folder's name.
    pub id: String,
    /// What measured it.
    pub command: String,
    /// When, UTC.
    pub begin_utc: String,
    /// The commit, and whether files differed.
    pub commit: String,
    /// The program.
    pub program: String,
    /// The command line.
    pub argv: String,
    /// Our engine.
    pub engine: String,
    /// The GPU, where one took part.
    pub gpu: Option<String>,
    /// Facts about the machine.
    pub machine: BTreeMap<String, String>,
    /// How far identical code differed.
    pub noise: Option<f64>,
    /// Outputs that were checked.
    pub checks: usize,
    /// Where its figures come from.
    pub labels: Vec<Label>,
}

/// A kernel or step, ours against another's.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The result it is in.
    pub source: usize,
    /// Whose.
    pub peer: String,
    /// What.
    pub kernel: String,
    /// Words or values.
    pub n: u64,
    /// Their time over ours.
    pub interval: Interval,
    /// Our median time of a run.
    pub ours_ns: f64,
    /// Theirs.
    pub theirs_ns: f64,
    /// Values in a run.
    pub values: u64,
    /// Pairs behind it.
    pub pairs: u64,
}

impl Compared {
    /// Whether it is a step of a whole round.
    #[must_use]
    pub fn is_round(&self) -> bool {
        self.kernel.starts_with("round-")
    }
}

/// What a whole round costs besides time.
#[derive(Clone, Debug)]
pub struct Party {
    /// The result it is in.
    pub source: usize,
    /// Whose.
    pub peer: String,
    /// Values of an update.
    pub length: u64,
    /// Who can read a single robot's update.
    pub reader: String,
    /// The software's version.
    pub version: String,
    /// In the round that was checked.
    pub robots: u64,
    /// What a robot sends.
    pub upload_bytes: f64,
    /// What goes to whoever opens the sum.
    pub sum_bytes: f64,
    /// The mean's distance from the right one, root mean square.
    pub error_rms: f64,
    /// The most memory, where it was measured.
    pub memory_bytes: Option<f64>,
}

/// Kernels and stages by themselves.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The result they are in.
    pub source: usize,
    /// The rows.
    pub rows: Vec<view::Row>,
    /// What one thread of each engine gives at best, where that was measured.
    pub ceilings: Vec<(String, Ceilings)>,
    /// The machine's largest cache.
    pub cache_bytes: Option<u64>,
}

/// Memory that a run asks for.
#[derive(Clone, Debug)]
pub struct Heap {
    /// The result it is in.
    pub source: usize,
    /// The case.
    pub cell: String,
    /// Requests.
    pub allocations: f64,
    /// Bytes in all of them.
    pub allocated_bytes: f64,
    /// The most at once.
    pub heap_bytes: f64,
}

/// What was to be measured and was not.
#[derive(Clone, Debug)]
pub struct Missing {
    /// The result it is missing in.
    pub source: usize,
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The results.
    pub sources: Vec<Source>,
    /// Ours against others.
    pub compared: Vec<Compared>,
    /// Whole rounds.
    pub parties: Vec<Party>,
    /// Ours by itself.
    pub measured: Vec<Measured>,
    /// Memory asked for.
    pub heap: Vec<Heap>,
    /// Not measured.
    pub missing: Vec<Missing>,
}

/// Reads results of `micro`, `allocations` and `compare-peers`.
///
/// # Errors
/// [`Failure::Usage`] where a folder holds none of these.
pub fn gather(folders: &[impl AsRef<Path>]) -> Result<Gathered, Failure> {
    let mut all = Gathered::default();
    for folder in folders {
        let path = folder.as_ref().join(RESULT);
        let refused = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let bytes = read_limited(&path)?;
        let file: Value = serde_json::from_slice(&bytes).map_err(|error| refused(format!("no JSON: {error}")))?;
        if file.get("version") == Some(&Value::from(1)) {
            earlier::take(&mut all, &file).map_err(refused)?;
        } else {
            let record: Record = serde_json::from_slice(&bytes)
                .map_err(|error| refused(format!("no record that this program reads: {error}")))?;
            all.take(&record).map_err(refused)?;
        }
    }
    Ok(all)
}

impl Gathered {
    fn take(&mut self, record: &Record) -> Result<(), String> {
        let source = self.sources.len();
        let command = record.header.command.as_str();
        if !["micro", "allocations", "compare-peers"].contains(&command) {
            let why = "a page of several results is made of those of micro, allocations and compare-peers";
            return Err(format!("a result of `{command}`, and {why}"));
        }
        self.sources.push(source_of(record));
        for cell in &record.cells {
            if let Some(why) = &cell.not_run {
                self.missing.push(Missing { source, what: cell.id.clone(), why: why.clone() });
                continue;
            }
            match command {
                "compare-peers" => {
                    self.compared.extend(compared(source, cell));
                    self.parties.extend(party(source, cell));
                }
                "allocations" => self.heap.extend(heap(source, cell)),
                _ => {}
            }
        }
        if command == "micro" {
            let rows = view::rows(record);
            let backends: BTreeSet<&String> = rows.iter().map(|row| &row.backend).collect();
            let ceilings = |name: &String| Some((name.clone(), view::ceilings(record, name)?));
            let ceilings = backends.into_iter().filter_map(ceilings).collect();
            let cache_bytes = record.environment.machine.cache_bytes;
            self.measured.push(Measured { source, rows, ceilings, cache_bytes });
        }
        Ok(())
    }
}

fn source_of(record: &Record) -> Source {
    let header = &record.header;
    let machine = serde_json::to_value(&record.environment.machine).unwrap_or_default();
    let mut labels: Vec<Label> = record.cells.iter().flat_map(|cell| &cell.stages).map(|stage| stage.label).collect();
    labels.sort();
    labels.dedup();
    Source {
        id: header.id.clone(),
        command: header.command.clone(),
        begin_utc: header.begin_utc.clone(),
        commit: header.commit_in_words(),
        program: header.program.clone(),
        argv: header.argv.join(" "),
        engine: record.environment.engine.clone(),
        gpu: record.environment.gpu.clone(),
        machine: facts(&machine),
        noise: record.noise,
        checks: record.checks.len(),
        labels,
    }
}

/// What is known of a machine, in words.
pub(super) fn facts(machine: &Value) -> BTreeMap<String, String> {
    let known = machine.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    known.map(|(name, value)| (name.clone(), shown(value))).collect()
}

fn text(cell: &Cell, name: &str) -> Option<String> {
    match cell.properties.get(name)? {
        Property::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(cell: &Cell, name: &str) -> Option<u64> {
    match cell.properties.get(name)? {
        Property::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn compared(source: usize, cell: &Cell) -> Option<Compared> {
    let (peer, kernel) = (text(cell, "peer")?, text(cell, "kernel")?);
    let stage = cell.stages.first()?;
    let figure = |arm: &str| stage.figures.iter().find(|f| f.arm == arm && f.measure == Measure::CpuNs);
    let ratio = stage.ratios.iter().find(|ratio| ratio.over == "ours" && ratio.measure == Measure::CpuNs)?;
    let theirs = if ratio.arm == AGAIN { AGAIN } else { "theirs" };
    Some(Compared {
        source,
        peer,
        kernel,
        n: number(cell, "n")?,
        interval: Interval { ratio: ratio.median, low: ratio.low, high: ratio.high },
        ours_ns: figure("ours")?.median,
        theirs_ns: figure(theirs)?.median,
        values: stage.items,
        pairs: ratio.pairs,
    })
}

fn party(source: usize, cell: &Cell) -> Option<Party> {
    let stage = cell.stages.first().filter(|stage| stage.name == "sizes")?;
    let figure = |arm: &str, measure: Measure| {
        stage.figures.iter().find(|f| f.arm == arm && f.measure == measure).map(|figure| figure.median)
    };
    Some(Party {
        source,
        peer: text(cell, "peer")?,
        length: number(cell, "length")?,
        reader: text(cell, "reader")?,
        version: text(cell, "version")?,
        robots: number(cell, "robots")?,
        upload_bytes: figure("upload", Measure::WireBytes)?,
        sum_bytes: figure("sum", Measure::WireBytes)?,
        error_rms: figure("mean", Measure::ErrorRms)?,
        memory_bytes: figure("round", Measure::ResidentBytes),
    })
}

fn heap(source: usize, cell: &Cell) -> Option<Heap> {
    let stage = cell.stages.first()?;
    let figure =
        |measure: Measure| stage.figures.iter().find(|figure| figure.measure == measure).map(|found| found.median);
    Some(Heap {
        source,
        cell: cell.id.clone(),
        allocations: figure(Measure::Allocations)?,
        allocated_bytes: figure(Measure::AllocatedBytes)?,
        heap_bytes: figure(Measure::HeapBytes)?,
    })
}
