//! How a derived figure is computed: by name, from figures that are in the same record, so that anyone can do it again.

use super::{Measure, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A formula and what goes into it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "id", rename_all = "snake_case", deny_unknown_fields)]
pub enum Formula {
    /// The sum of medians.
    Sum {
        /// What is added.
        inputs: Vec<Input>,
    },
    /// One median over another: a share of a limit.
    Share {
        /// Above the line.
        of: Input,
        /// Below it.
        limit: Input,
    },
    /// What a limit would take, put together from medians, over the median of what was taken: 1 is the limit itself.
    Floor {
        /// What the limit is put together from.
        parts: Vec<Part>,
        /// What is held against it.
        of: Input,
    },
    /// The largest of what several limits would each take, over the median of what was taken: 1 is the floor itself.
    Roofline {
        /// So many times a limit's own median: how much of it is asked for.
        limits: Vec<Part>,
        /// What is held against it.
        of: Input,
    },
    /// Joules: a median power for a median time.
    Energy {
        /// In watts.
        power: Input,
        /// In nanoseconds.
        time: Input,
    },
    /// Nanoseconds for bytes to cross a link: `latency + bytes * 8 / rate`.
    Transfer {
        /// How many.
        bytes: Input,
        /// The link's rate.
        bits_per_s: f64,
        /// The link's latency, one way.
        latency_ns: f64,
    },
}

/// So many times a figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many times.
    pub times: f64,
    /// Which.
    pub input: Input,
}

/// A figure of the same record: its median.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The cell.
    pub cell: String,
    /// The stage.
    pub stage: String,
    /// Whose.
    pub arm: String,
    /// Of what.
    pub measure: Measure,
}

impl Formula {
    /// Computes it.
    ///
    /// # Errors
    /// The input that the record does not have.
    pub fn evaluate(&self, record: &Record) -> Result<f64, String> {
        let median = |input: &Input| input.median(record);
        match self {
            Self::Sum { inputs } => inputs.iter().map(median).sum(),
            Self::Share { of, limit } => Ok(median(of)? / median(limit)?),
            Self::Floor { parts, of } => {
                let times = parts.iter().map(|part| Ok(part.times * median(&part.input)?));
                Ok(times.sum::<Result<f64, String>>()? / median(of)?)
            }
            Self::Roofline { limits, of } => Ok(largest(limits, record)?.1 / median(of)?),
            Self::Energy { power, time } => Ok(median(power)? * median(time)? / 1e9),
            Self::Transfer { bytes, bits_per_s, latency_ns } => Ok(latency_ns + median(bytes)? * 8.0e9 / bits_per_s),
        }
    }

    /// The limit that a roofline is: the one that would take the longest. None for another formula.
    #[must_use]
    pub fn binding(&self, record: &Record) -> Option<&Part> {
        let Self::Roofline { limits, .. } = self else { return None };
        Some(largest(limits, record).ok()?.0)
    }
}

/// The limit that would take the longest, and how long.
fn largest<'a>(limits: &'a [Part], record: &Record) -> Result<(&'a Part, f64), String> {
    let mut found = None;
    for limit in limits {
        let takes = limit.times * limit.input.median(record)?;
        if found.is_none_or(|(_, most)| takes > most) {
            found = Some((limit, takes));
        }
    }
    found.ok_or_else(|| "a roofline of no limits".to_owned())
}

impl Input {
    fn median(&self, record: &Record) -> Result<f64, String> {
        let Self { cell, stage, arm, measure } = self;
        let found = record.figure(cell, stage, arm, *measure).map(|figure| figure.median);
        found.ok_or_else(|| format!("a formula needs {} of {arm} in {cell}, {stage}", measure.name()))
    }
}
