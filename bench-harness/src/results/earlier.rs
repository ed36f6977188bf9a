//! What earlier sittings of a comparison kept, read back from their journal.

use super::{ALL_THREADS, OTHERS, OURS, party_cell, row_cell, scaling_cell, server_cell};
use crate::compare::Taken;
use crate::memory::Server;
use crate::record::{Line, Measure, Property, Sample};
use crate::rounds::Facts;
use crate::scaling::Scaling;
use crate::stats::paired_ratio;
use serde_json::Number;
use std::collections::BTreeMap;

/// The lines of earlier sittings that count. None of these is a part of a cell: a cell is written in one piece.
#[derive(Debug, Default)]
pub struct Earlier(pub(super) Vec<Line>);

impl Earlier {
    /// What was measured for a row: once, but for identical code, which has a row for each sitting.
    #[must_use]
    pub fn rows(&self, peer: &str, kernel: &str, n: usize) -> Vec<Taken> {
        (1..).map_while(|sitting| self.row(&row_cell(peer, kernel, n, sitting))).collect()
    }

    fn row(&self, cell: &str) -> Option<Taken> {
        let peer_isa = self.text(cell, "peer_isa")?;
        let samples = self.pairs(cell, OURS, Measure::CpuNs);
        Some(Taken {
            peer_isa,
            values: self.items(cell)?,
            repetitions: self.samples(cell).next()?.repetitions,
            samples,
        })
    }

    /// What a round of a peer costs besides time.
    #[must_use]
    pub fn facts(&self, peer: &str, length: usize) -> Option<Facts> {
        let cell = &party_cell(peer, length);
        let bytes = |arm, measure| self.value(cell, arm, measure).and_then(Number::as_u64);
        let error = |measure| self.value(cell, "mean", measure).and_then(Number::as_f64);
        Some(Facts {
            version: self.text(cell, "version")?,
            upload_bytes: bytes("upload", Measure::WireBytes)?,
            sum_bytes: bytes("sum", Measure::WireBytes)?,
            robots: self.whole(cell, "robots")?,
            error_max: error(Measure::ErrorMax)?,
            error_rms: error(Measure::ErrorRms)?,
            memory_bytes: bytes("round", Measure::ResidentBytes),
        })
    }

    /// What a server needs.
    #[must_use]
    pub fn server(&self, length: usize) -> Option<Server> {
        let cell = &server_cell(length);
        let bytes = |arm| self.value(cell, arm, Measure::ResidentBytes).and_then(Number::as_u64);
        let (before_bytes, peak_bytes) = (bytes("before")?, bytes("peak")?);
        let (uploads, upload_bytes) = (self.items(cell)?, self.whole(cell, "upload_bytes")?);
        Some(Server { length, uploads, upload_bytes, before_bytes, peak_bytes })
    }

    /// What more threads bring.
    #[must_use]
    pub fn scaling(&self, kernel: &'static str, n: usize) -> Option<Scaling> {
        let cell = &scaling_cell(kernel, n);
        let threads = usize::try_from(self.whole(cell, "threads")?).ok()?;
        let samples_ns = self.pairs(cell, ALL_THREADS, Measure::WallNs);
        let others_cores = match self.property(cell, OTHERS) {
            Some(&Property::Number(cores)) => Some(cores),
            // Written without a fraction, it is read as a whole number.
            Some(&Property::Integer(cores)) => Some(cores as f64),
            _ => None,
        };
        Some(Scaling { kernel, n, threads, interval: paired_ratio(&samples_ns), samples_ns, others_cores })
    }

    fn property(&self, name: &str, key: &str) -> Option<&Property> {
        self.0.iter().find_map(|line| match line {
            Line::Cell { cell, properties } if cell == name => properties.get(key),
            _ => None,
        })
    }

    fn text(&self, cell: &str, key: &str) -> Option<String> {
        if let Property::Text(text) = self.property(cell, key)? { Some(text.clone()) } else { None }
    }

    fn whole(&self, cell: &str, key: &str) -> Option<u64> {
        if let Property::Integer(number) = self.property(cell, key)? { u64::try_from(*number).ok() } else { None }
    }

    fn items(&self, name: &str) -> Option<u64> {
        self.0.iter().find_map(|line| match line {
            Line::Stage { cell, items, .. } if cell == name => Some(*items),
            _ => None,
        })
    }

    fn samples(&self, name: &str) -> impl Iterator<Item = &Sample> {
        let samples =
            self.0.iter().filter_map(|line| if let Line::Sample(sample) = line { Some(sample) } else { None });
        samples.filter(move |sample| sample.cell == name)
    }

    fn value(&self, cell: &str, arm: &str, measure: Measure) -> Option<&Number> {
        self.samples(cell).find(|sample| sample.arm == arm)?.values.get(&measure)
    }

    /// Both sides of each turn, that of `first` first.
    fn pairs(&self, cell: &str, first: &str, measure: Measure) -> Vec<(u64, u64)> {
        let mut turns: BTreeMap<u32, [Option<u64>; 2]> = BTreeMap::new();
        for sample in self.samples(cell) {
            let side = usize::from(sample.arm != first);
            turns.entry(sample.turn).or_default()[side] = sample.values.get(&measure).and_then(Number::as_u64);
        }
        turns.into_values().filter_map(|[first, other]| first.zip(other)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{party_lines, row_lines, scaling_lines, server_lines};
    use super::*;
    use crate::compare::{ITSELF, Row};
    use crate::end_to_end::Party;

    fn row(peer: &'static str, samples: Vec<(u64, u64)>) -> Row {
        let taken = Taken { peer_isa: "avx2".to_owned(), values: 7, repetitions: 3, samples };
        Row::new((peer, "forward", 1024), "cpu-avx2", taken)
    }

    #[test]
    fn what_was_kept_is_read_back_as_it_was() {
        let facts = Facts {
            version: "a 1".to_owned(),
            upload_bytes: 5,
            sum_bytes: 6,
            robots: 10,
            error_max: 0.25,
            error_rms: 0.125,
            memory_bytes: None,
        };
        let server = Server { length: 9, uploads: 100, upload_bytes: 52, before_bytes: 1000, peak_bytes: 3000 };
        let samples_ns = vec![(10, 19), (11, 20)];
        let interval = paired_ratio(&samples_ns);
        let scaling = Scaling { kernel: "sum", n: 4, threads: 2, interval, samples_ns, others_cores: Some(1.0) };
        let pairs = vec![(1000, 1500), (1001, 1490), (1002, 1480)];
        let party = Party { peer: "a peer", length: 9, reader: "nobody", facts: facts.clone() };
        let lines = [
            row_lines(&row("a peer", pairs.clone()), 1),
            row_lines(&row(ITSELF, pairs[..2].to_vec()), 1),
            row_lines(&row(ITSELF, pairs.clone()), 2),
            party_lines(&party),
            server_lines(&server),
            scaling_lines(&scaling),
        ];
        // As a journal has them.
        let text = lines.concat().iter().map(|line| serde_json::to_string(line).expect("JSON")).collect::<Vec<_>>();
        let earlier = Earlier(text.iter().map(|line| serde_json::from_str(line).expect("a line")).collect());

        let found = earlier.rows("a peer", "forward", 1024);
        assert!(found.len() == 1 && found[0].samples == pairs, "{found:?}");
        let (found, made) = (Row::new(("a peer", "forward", 1024), "cpu-avx2", found[0].clone()), row("a peer", pairs));
        assert_eq!(serde_json::to_string(&found).ok(), serde_json::to_string(&made).ok());
        let lengths: Vec<usize> =
            earlier.rows(ITSELF, "forward", 1024).iter().map(|taken| taken.samples.len()).collect();
        assert_eq!(lengths, [2, 3], "one for each sitting");
        assert_eq!(earlier.facts("a peer", 9), Some(facts));
        assert_eq!(earlier.server(9), Some(server));
        let found = earlier.scaling("sum", 4).expect("it was kept");
        assert_eq!((found.to_string(), found.samples_ns), (scaling.to_string(), scaling.samples_ns));

        assert!(earlier.rows("a peer", "forward", 2048).is_empty() && earlier.facts("a peer", 10).is_none());
        assert!(earlier.server(10).is_none() && earlier.scaling("sum", 5).is_none());
    }
}
