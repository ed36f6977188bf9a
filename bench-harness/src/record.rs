//! What a measurement leaves behind, and how it is read again.
//!
//! A run appends [`Line`]s to a journal, `samples.jsonl`: who measured what on which machine, then raw samples. Everything
//! else is computed: [`fold`] turns the lines into a [`Record`], which is `result.json`. So [`verify`] can compute it again
//! and compare. A figure that is in a record came out of samples, or out of a named [`Formula`] over such figures.
//!
//! To record something new: [`journal::Journal::begin`], then for each cell a [`Line::Cell`], for each of its stages a
//! [`Line::Stage`] and the [`Line::Sample`]s; [`journal::Journal::finish`] makes the rest.

pub mod bundle;
pub mod fold;
pub mod formula;
pub mod index;
pub mod journal;
pub mod learning;
pub mod verify;
mod version1;

use crate::decision::Decision;
use crate::machine::Machine;
use crate::matrix;
use crate::matrix::outcome::CellOutcome;
use crate::matrix::trace::FleetTrace;
use crate::matrix::whole::{WholeLine, WholeOutcome};
use formula::Formula;
use learning::{LearnedRound, LearningLine};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// Raised when a reader of `result.json` must change.
pub const VERSION: u32 = 2;

/// Where a figure comes from. A comparison never mixes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Label {
    /// Measured here: real code on real bytes.
    M,
    /// Emulated: real connections over a shaped link.
    E,
    /// Replayed from a recorded trace.
    R,
    /// Derived by a formula from figures of other labels.
    D,
    /// A wait that a policy asks for.
    P,
}

/// What was counted in a sample. The unit is the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// CPU time of the process, in nanoseconds.
    CpuNs,
    /// Elapsed time, in nanoseconds.
    WallNs,
    /// Time by a device's own clock, in nanoseconds.
    DeviceNs,
    /// Bytes on the wire.
    WireBytes,
    /// The most memory that was resident.
    ResidentBytes,
    /// Bytes asked of the allocator.
    AllocatedBytes,
    /// Requests to the allocator.
    Allocations,
    /// The most bytes that were held from the allocator at once, above what was held before.
    HeapBytes,
    /// Instructions, counted by valgrind.
    Instructions,
    /// Energy, in joules.
    Joules,
    /// Power, in watts.
    Watts,
    /// Temperature, in degrees Celsius.
    Celsius,
    /// Clock frequency, in megahertz.
    Megahertz,
    /// The largest distance from the right answer.
    ErrorMax,
    /// The same, root mean square.
    ErrorRms,
}

impl Measure {
    /// Whether a sample of several repetitions holds their sum, so that it is divided by their number.
    #[must_use]
    pub fn adds_up(self) -> bool {
        match self {
            Self::CpuNs | Self::WallNs | Self::DeviceNs => true,
            Self::AllocatedBytes | Self::Allocations | Self::Instructions | Self::Joules => true,
            Self::WireBytes | Self::ResidentBytes | Self::HeapBytes | Self::Watts | Self::Celsius | Self::Megahertz => {
                false
            }
            Self::ErrorMax | Self::ErrorRms => false,
        }
    }

    /// Whether two arms of a stage are compared by it.
    #[must_use]
    pub fn is_time(self) -> bool {
        matches!(self, Self::CpuNs | Self::WallNs | Self::DeviceNs)
    }

    /// The name in files.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// Who measured what, with which program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`VERSION`] of the program that wrote it.
    pub version: u32,
    /// The folder's name: `<date>-<machine>-<what>`.
    pub id: String,
    /// The command: `compare-peers`, `ab`.
    pub command: String,
    /// When it began, UTC.
    pub begin_utc: String,
    /// The program and its version.
    pub program: String,
    /// SHA-256 of the program's file.
    pub binary_sha256: Option<String>,
    /// What the program was built from; absent where it was built outside of a checkout, and in records of before programs knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_from: Option<Git>,
    /// The checkout that its folder is in, else the one it ran in; null outside of one.
    pub git: Option<Git>,
    /// The command line, without the program.
    pub argv: Vec<String>,
    /// The seed of intervals and of everything drawn.
    pub seed: u64,
    /// What decides what is measured. Two records with the same hash measured the same.
    pub config: BTreeMap<String, Value>,
    /// SHA-256 of `config` as compact JSON with sorted keys.
    pub config_sha256: String,
    /// SHA-256 of the recorded traces behind it, if any.
    pub corpus_sha256: Option<String>,
}

impl Header {
    /// The commit that it was measured with, in words: that of the program, or where that is not known, of the checkout.
    #[must_use]
    pub fn commit_in_words(&self) -> String {
        let git = self.built_from.as_ref().or(self.git.as_ref());
        git.map_or("unknown".to_owned(), |git| {
            git.commit.clone() + if git.is_dirty { " with local changes" } else { "" }
        })
    }

    /// Whether others could measure it again from one commit, as far as it says.
    #[must_use]
    pub fn is_of_a_commit(&self) -> bool {
        let checkout = self.git.as_ref().filter(|git| !git.is_dirty);
        checkout.is_some() && self.built_from.as_ref().is_none_or(|built| checkout == Some(built))
    }
}

/// A commit, and files beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Git {
    /// The commit.
    pub commit: String,
    /// Whether tracked files differed from it.
    pub is_dirty: bool,
}

/// Where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// The machine, at the beginning.
    pub machine: Machine,
    /// The engine, which says the instruction set: `cpu-avx512`.
    pub engine: String,
    /// The GPU and its driver, where one took part.
    pub gpu: Option<String>,
}

/// A property of a cell: what a filter can ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Property {
    /// A whole number, as in `clients>=20`.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A word, as in `backend==cuda`.
    Text(String),
}

impl From<&str> for Property {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Property {
    fn from(number: usize) -> Self {
        i64::try_from(number).map_or(Self::Number(number as f64), Self::Integer)
    }
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Header(Header),
    /// The second.
    Environment(Environment),
    /// A cell of the matrix begins.
    Cell {
        /// Its name, once per journal.
        cell: String,
        /// What distinguishes it.
        properties: BTreeMap<String, Property>,
    },
    /// A cell that was selected and could not be measured.
    NotRun {
        /// Its name.
        cell: String,
        /// What distinguishes it.
        properties: BTreeMap<String, Property>,
        /// Why not, and what would help.
        reason: String,
    },
    /// A stage of a cell begins.
    Stage {
        /// The cell.
        cell: String,
        /// Its name, once per cell.
        stage: String,
        /// Where its figures come from.
        label: Label,
        /// What one repetition handles that many of: `digit`, `value`.
        item: String,
        /// How many.
        items: u64,
        /// For [`Label::D`]: how its figure is computed. It has no samples.
        formula: Option<Formula>,
    },
    /// A raw sample.
    Sample(Sample),
    /// Something that had to be right before a time counts.
    Check(Check),
    /// What a fleet of the matrix did, and the cells that it stands for.
    Matrix(MatrixLine),
    /// A cell of the matrix that went end to end.
    EndToEnd(WholeLine),
    /// What a round of recorded training led to.
    Learning(LearningLine),
    /// A later sitting begins a cell anew: what there is of it stays where it is and counts no more.
    Anew {
        /// Its name.
        cell: String,
    },
    /// The last line of a run that came to its end.
    Footer(Footer),
}

impl Line {
    /// The cell that it is about, if it is about one.
    #[must_use]
    pub fn cell(&self) -> Option<&str> {
        match self {
            Self::Cell { cell, .. } | Self::NotRun { cell, .. } | Self::Stage { cell, .. } | Self::Anew { cell } => {
                Some(cell)
            }
            Self::Sample(Sample { cell, .. }) | Self::Check(Check { cell, .. }) => Some(cell),
            Self::Header(_) | Self::Environment(_) | Self::Footer(_) => None,
            Self::Matrix(_) | Self::EndToEnd(_) | Self::Learning(_) => None,
        }
    }
}

/// What a fleet of the matrix did, and the cells that it stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatrixLine {
    /// Raw times, robot by robot.
    pub trace: FleetTrace,
    /// The cells.
    pub cells: Vec<matrix::grid::Cell>,
}

/// A raw sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The cell.
    pub cell: String,
    /// The stage.
    pub stage: String,
    /// Who, where several take turns: `ours` and `theirs`, `base` and `candidate`. `again` is the first one's code once
    /// more: how far identical code differs.
    pub arm: String,
    /// Samples of one turn have the same number, and form pairs.
    pub turn: u32,
    /// Runs in the sample.
    pub repetitions: u64,
    /// What was counted, over all repetitions where it adds up.
    pub values: BTreeMap<Measure, Number>,
}

/// Something that had to be right before a time counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The cell.
    pub cell: String,
    /// What was compared with what.
    pub claim: String,
    /// A digest of what was found, where there is one.
    pub digest: Option<String>,
    /// Whether it was right.
    pub holds: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// When, UTC.
    pub end_utc: String,
    /// Elapsed nanoseconds, of its last sitting if it was resumed.
    pub wall_ns: u64,
    /// Mean number of running processes over the last minute, at the end.
    pub load: Option<f64>,
    /// The share of processor time that the host gave to others meanwhile.
    pub steal: Option<f64>,
}

/// `result.json`: what [`fold::fold`] makes of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Who measured what.
    pub header: Header,
    /// Where.
    pub environment: Environment,
    /// How far identical code differed from itself: the 95th percentile over all stages with an arm `again`.
    pub noise: Option<f64>,
    /// What was measured.
    pub cells: Vec<Cell>,
    /// What had to be right.
    pub checks: Vec<Check>,
    /// Cells of the matrix of fleets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<CellOutcome>,
    /// Cells of the matrix that went end to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub end_to_end: Vec<WholeOutcome>,
    /// How robots learned, round by round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning: Vec<LearnedRound>,
    /// Whether the candidate is slower, where the configuration has terms to say.
    pub decision: Option<Decision>,
    /// How it ended; null for an interrupted run.
    pub footer: Option<Footer>,
    /// SHA-256 of the journal.
    pub journal_sha256: String,
    /// SHA-256 of the page for people; records of before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary_sha256: Option<String>,
}

/// A cell of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Its name.
    pub id: String,
    /// What distinguishes it.
    pub properties: BTreeMap<String, Property>,
    /// Why it was not measured, if it was not.
    pub not_run: Option<String>,
    /// Its stages.
    pub stages: Vec<Stage>,
}

/// A stage of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Where its figures come from.
    pub label: Label,
    /// What one repetition handles.
    pub item: String,
    /// How many of it.
    pub items: u64,
    /// How its figure was computed, for [`Label::D`].
    pub formula: Option<Formula>,
    /// What the formula gave.
    pub derived: Option<f64>,
    /// One for each arm and measure.
    pub figures: Vec<Figure>,
    /// Each further arm over the first, by pairs.
    pub ratios: Vec<Ratio>,
}

/// An aggregate of samples: of one repetition where the measure adds up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Whose samples.
    pub arm: String,
    /// Of what.
    pub measure: Measure,
    /// How many.
    pub samples: u64,
    /// Their median.
    pub median: f64,
    /// Where the interval begins that holds the median in 95 of 100 resamplings.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Their 95th percentile.
    pub p95: f64,
}

/// An arm over the first arm: the median of the ratios of pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The arm.
    pub arm: String,
    /// The first arm.
    pub over: String,
    /// Of what.
    pub measure: Measure,
    /// How many pairs.
    pub pairs: u64,
    /// The median.
    pub median: f64,
    /// Where the interval begins that holds it in 95 of 100 resamplings.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Record {
    /// A figure, if it is there.
    #[must_use]
    pub fn figure(&self, cell: &str, stage: &str, arm: &str, measure: Measure) -> Option<&Figure> {
        let stage =
            self.cells.iter().find(|found| found.id == cell)?.stages.iter().find(|found| found.name == stage)?;
        stage.figures.iter().find(|figure| figure.arm == arm && figure.measure == measure)
    }
}

/// The JSON Schema of `result.json`, from these types.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Record);
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash of a configuration: SHA-256 of compact JSON with sorted keys.
#[must_use]
pub fn config_sha256(config: &BTreeMap<String, Value>) -> String {
    sha256(serde_json::to_string(config).unwrap_or_default().as_bytes())
}
