//! A row of a comparison: what is computed from its pairs of samples, measured now or in an earlier sitting.

use crate::stats::{Interval, median, paired_ratio};
use serde::Serialize;

/// One comparison: their time over ours.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Whom we compare with. `itself` is our code on both sides: how far a ratio may be off.
    pub peer: &'static str,
    /// The kernel. `inverse` leaves the factor 1/n out on their side only; `inverse-scaled` has it on both.
    pub kernel: &'static str,
    /// Words.
    pub n: usize,
    /// Median and interval.
    #[serde(flatten)]
    pub interval: Interval,
    /// Our median time of one run.
    pub ours_ns: f64,
    /// Theirs.
    pub theirs_ns: f64,
    /// Our engine.
    pub engine: &'static str,
    /// What the peer ran on, or which version of it ran.
    pub peer_isa: String,
    /// Values of all updates in one run of a round's step; 1 for a kernel.
    pub values: u64,
    /// Pairs of samples behind it.
    pub pairs: usize,
    /// Runs in a sample.
    pub repetitions: u64,
    /// CPU nanoseconds of each pair of samples, ours first.
    #[serde(skip)]
    pub samples: Vec<(u64, u64)>,
}

/// What was measured for a row.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What the peer ran on, or which version of it ran.
    pub peer_isa: String,
    /// Values of all updates in one run of a round's step; 1 for a kernel.
    pub values: u64,
    /// Runs in a sample.
    pub repetitions: u64,
    /// CPU nanoseconds of each pair of samples, ours first.
    pub samples: Vec<(u64, u64)>,
}

impl Row {
    /// The row of a peer, a kernel and its words, from what our engine and the peer took.
    #[must_use]
    pub fn new(
        (peer, kernel, n): (&'static str, &'static str, usize),
        engine: &'static str,
        Taken { peer_isa, values, repetitions, samples }: Taken,
    ) -> Self {
        let each = |side: fn(&(u64, u64)) -> u64| {
            median(&samples.iter().map(|pair| side(pair) as f64 / repetitions as f64).collect::<Vec<_>>())
        };
        Self {
            peer,
            kernel,
            n,
            interval: paired_ratio(&samples),
            ours_ns: each(|pair| pair.0),
            theirs_ns: each(|pair| pair.1),
            engine,
            peer_isa,
            values,
            pairs: samples.len(),
            repetitions,
            samples,
        }
    }
}
