//! Rows: times, what the device gives at best, and the floor of a kernel made of that.

use super::{Effort, Keep, Row, is_stand_in};
use crate::failure::Failure;
use crate::floor::Needs;
use crate::record::Measure;
use crate::stats::median;
use cuda::{Ceiling, Cuda, Link, Resident};
use kernels::Fault;
use std::time::Instant;

const SAMPLES: usize = 15;
/// A sample on the device takes this long at least, of runs queued one after the other: what the host needs to queue one is then hidden
/// behind the one before, where the device needs longer.
const SAMPLE_NS: u64 = 4_000_000;
const MOST_RUNS: u64 = 64;
/// Below this, large batches are a quarter as large.
const MUCH_MEMORY: u64 = 12 << 30;

/// The rows that are limits.
const COPY: &str = "copy on the device, read and written";
const PRODUCTS: &str = "products of words, as products mod p have them";
const INSTRUCTIONS: &str = "instructions";

/// A limit that was measured.
struct Limit {
    name: &'static str,
    /// Bytes, products or instructions in a run.
    count: f64,
    time_ns: f64,
}

pub(super) struct Bench<'a> {
    pub(super) cuda: &'a Cuda,
    effort: Effort,
    rows: Vec<Row>,
    keep: Keep<'a>,
    /// Copies, products, instructions.
    limits: Vec<Limit>,
    is_stand_in: bool,
}

/// How the median becomes a figure.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// This many units; per nanosecond they are giga-units per second.
    GigaPerSecond(f64, &'static str),
    /// Nanoseconds for one of this many.
    NanosecondsPer(f64),
}

/// What was timed, and by which clock.
pub(super) struct Times {
    samples_ns: Vec<u64>,
    /// Runs in a sample.
    repetitions: u64,
    clock: Measure,
}

impl Times {
    /// Of one run.
    fn median_ns(&self) -> f64 {
        let samples: Vec<f64> = self.samples_ns.iter().map(|&ns| ns as f64).collect();
        median(&samples) / self.repetitions as f64
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(cuda: &'a Cuda, effort: Effort, keep: Keep<'a>) -> Self {
        let is_stand_in = is_stand_in(cuda.facts());
        Self { cuda, effort, rows: Vec::new(), keep, limits: Vec::new(), is_stand_in }
    }

    pub(super) fn all(mut self) -> Result<Vec<Row>, Failure> {
        self.ceilings()?;
        self.links()?;
        self.transforms()?;
        self.sums()?;
        self.messages()?;
        self.dense()?;
        self.end_to_end()?;
        Ok(self.rows)
    }

    /// Something large, smaller on a board with little memory; or what a check takes.
    pub(super) fn size(&self, full: usize, smoke: usize) -> usize {
        match self.effort {
            Effort::Full if self.cuda.facts().memory_bytes < MUCH_MEMORY => full / 4,
            Effort::Full => full,
            Effort::Smoke => smoke,
        }
    }

    pub(super) fn effort(&self) -> Effort {
        self.effort
    }

    fn samples(&self) -> usize {
        if self.effort == Effort::Full { SAMPLES } else { 3 }
    }

    /// Device time of `work`, twice for warmth and then several samples of as many runs as it takes.
    pub(super) fn time(
        &self,
        device: &mut Resident<'_>,
        mut work: impl FnMut(&mut Resident<'_>) -> Result<(), Fault>,
    ) -> Result<Times, Failure> {
        work(device)?;
        let once_ns = device.time_ns(&mut work)?;
        let repetitions =
            if self.effort == Effort::Full { (SAMPLE_NS / once_ns.max(1)).clamp(1, MOST_RUNS) } else { 1 };
        let runs = |device: &mut Resident<'_>| (0..repetitions).try_for_each(|_| work(device));
        let samples_ns = samples_of(device, self.samples(), runs)?;
        Ok(Times { samples_ns, repetitions, clock: Measure::DeviceNs })
    }

    /// Elapsed time of `work`.
    pub(super) fn wall(&self, mut work: impl FnMut() -> Result<(), Fault>) -> Result<Times, Failure> {
        work()?;
        let mut samples_ns = Vec::new();
        for _ in 0..self.samples() {
            let begin = Instant::now();
            work()?;
            samples_ns.push(begin.elapsed().as_nanos() as u64);
        }
        Ok(Times { samples_ns, repetitions: 1, clock: Measure::WallNs })
    }

    /// Keeps a row: a figure and, for a kernel, the share of its floor.
    pub(super) fn row(
        &mut self,
        name: String,
        times: Times,
        scale: Scale,
        needs: Option<Needs>,
    ) -> Result<(), Failure> {
        let time_ns = times.median_ns();
        let Times { samples_ns, repetitions, clock } = times;
        let (value, unit) = match scale {
            Scale::GigaPerSecond(units, unit) => (units / time_ns, unit),
            Scale::NanosecondsPer(units) => (time_ns / units, "ns"),
        };
        let is_timed = time_ns > 0.0 && !self.is_stand_in;
        let limits = needs.map_or(Vec::new(), |needs| asked(&self.limits, needs));
        let share = share(&self.limits, &limits, time_ns).filter(|_| is_timed);
        let value = is_timed.then_some(value);
        self.kept(Row { name, value, unit, share, limits, clock, repetitions, not_run: None, samples_ns })
    }

    /// A row of what this device cannot do.
    pub(super) fn not_run(&mut self, name: String, why: &'static str) -> Result<(), Failure> {
        self.kept(Row {
            name,
            value: None,
            unit: "",
            share: None,
            limits: Vec::new(),
            clock: Measure::DeviceNs,
            repetitions: 1,
            not_run: Some(why),
            samples_ns: Vec::new(),
        })
    }

    fn kept(&mut self, row: Row) -> Result<(), Failure> {
        (self.keep)(&row)?;
        self.rows.push(row);
        Ok(())
    }

    fn limit(&mut self, name: &'static str, times: Times, count: f64, unit: &'static str) -> Result<(), Failure> {
        let time_ns = times.median_ns();
        self.row(name.to_owned(), times, Scale::GigaPerSecond(count, unit), None)?;
        self.limits.push(Limit { name, count, time_ns });
        Ok(())
    }

    /// What the device gives at best: copies, products, instructions; and how long a launch takes.
    fn ceilings(&mut self) -> Result<(), Failure> {
        let bytes = self.size(1 << 29, 1 << 16);
        let mut device = self.cuda.resident()?;
        let (from, to) = (device.buffer(bytes)?, device.buffer(bytes)?);
        let times = self.time(&mut device, |device| device.copy(from, to, bytes))?;
        self.limit(COPY, times, 2.0 * bytes as f64, "GB/s")?;
        let blocks = self.cuda.facts().multiprocessors as usize * 32;
        let rounds = if self.effort == Effort::Full { 4096 } else { 2 };
        let sink = device.buffer(4 * 256 * blocks)?;
        for (ceiling, name) in [(Ceiling::Products, PRODUCTS), (Ceiling::Instructions, INSTRUCTIONS)] {
            let times = self.time(&mut device, |device| device.ceiling(ceiling, sink, blocks, rounds))?;
            let count = ceiling.per_round() as f64 * f64::from(rounds) * 256.0 * blocks as f64;
            self.limit(name, times, count, "G/s")?;
        }
        let launches = if self.effort == Effort::Full { 1000 } else { 3 };
        let launch = |device: &mut Resident<'_>| device.ceiling(Ceiling::Products, sink, 1, 0);
        let times = self.time(&mut device, |device| (0..launches).try_for_each(|_| launch(device)))?;
        self.row("launch, one after the other".into(), times, Scale::NanosecondsPer(f64::from(launches)), None)?;
        let times = self.wall(|| launch(&mut device).and_then(|()| device.wait()))?;
        self.row("launch and wait, elapsed".into(), times, Scale::NanosecondsPer(1.0), None)
    }

    /// What crosses between pinned memory and the device, either way: the limit of jobs with transfers.
    fn links(&mut self) -> Result<(), Failure> {
        let bytes = self.size(1 << 28, 1 << 16);
        let mut device = self.cuda.resident()?;
        let buffer = device.buffer(bytes)?;
        for (link, name) in [(Link::ToDevice, "copy to the device"), (Link::ToHost, "copy to the host")] {
            let times = self.time(&mut device, |device| device.link(link, buffer))?;
            self.row(name.into(), times, Scale::GigaPerSecond(bytes as f64, "GB/s"), None)?;
        }
        Ok(())
    }
}

fn samples_of(
    device: &mut Resident<'_>,
    count: usize,
    mut runs: impl FnMut(&mut Resident<'_>) -> Result<(), Fault>,
) -> Result<Vec<u64>, Fault> {
    (0..count).map(|_| device.time_ns(&mut runs)).collect()
}

/// How many runs of each limit a kernel asks for: copies, products, instructions.
fn asked(limits: &[Limit], needs: Needs) -> Vec<(&'static str, f64)> {
    // An instruction multiplies and adds: the difference in a product mod p is none of its own.
    let instructions = needs.operations - needs.products / 3;
    let counts = [needs.bytes, needs.products, instructions];
    limits.iter().zip(counts).map(|(limit, count)| (limit.name, count as f64 / limit.count)).collect()
}

/// The largest of what the limits would each take, over the time that was taken, and which limit that is.
fn share(limits: &[Limit], asked: &[(&'static str, f64)], time_ns: f64) -> Option<(f64, &'static str)> {
    let floors = limits.iter().zip(asked).map(|(limit, (name, times))| (times * limit.time_ns / time_ns, *name));
    floors.reduce(|largest, floor| if floor.0 > largest.0 { floor } else { largest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_largest_of_what_each_limit_would_take() {
        let limit = |name, count, time_ns| Limit { name, count, time_ns };
        // Two bytes, three products and four instructions in a nanosecond.
        let limits = [limit(COPY, 200.0, 100.0), limit(PRODUCTS, 30.0, 10.0), limit(INSTRUCTIONS, 8.0, 2.0)];
        let needs = |bytes, products, operations| Needs { bytes, products, operations, ..Needs::default() };
        let found = |needs, time_ns| share(&limits, &asked(&limits, needs), time_ns);
        assert_eq!(found(needs(20, 9, 9), 40.0), Some((0.25, COPY)));
        assert_eq!(found(needs(2, 9, 9), 4.0), Some((0.75, PRODUCTS)));
        // Of nine products mod p's words three are differences, which an instruction has with its product.
        assert_eq!(found(needs(2, 9, 19), 8.0), Some((0.5, INSTRUCTIONS)));
        assert_eq!(share(&limits, &[], 1.0), None);
    }
}
