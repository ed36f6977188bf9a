//! What a record of single kernels and stages says, as rows: for the screen, and for whoever makes pages of it.

use super::case::{HOST, arm};
use crate::floor::{Ceilings, Floor, Limit, Needs};
use crate::record::fold::AGAIN;
use crate::record::{Cell, Measure, Property, Record, Stage};
use crate::stats::Interval;
use crate::task::Kernel;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The cell that holds how fast memory is read.
pub const LIMIT_CELL: &str = "limit-memory";
/// The cell that holds how fast a device copies in its own memory.
pub const COPY_CELL: &str = "limit-copy/wgpu";
/// The stage that holds a kernel's time by the device's own clock.
pub const KERNELS_STAGE: &str = "in kernels";
/// The stage of that and of the other limits.
pub const LIMIT_STAGE: &str = "read";

/// The cell that holds a limit; arithmetic's is an engine's own.
#[must_use]
pub fn limit_cell(limit: Limit, backend: &str) -> String {
    match limit {
        Limit::Memory => LIMIT_CELL.to_owned(),
        Limit::Products => format!("limit-products/{backend}"),
        Limit::Operations => format!("limit-operations/{backend}"),
    }
}

/// A kernel or stage of a record, on one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `kernel` or `stage`.
    pub kind: &'static str,
    /// Which.
    pub name: String,
    /// Length of polynomials, of kernels.
    pub n: Option<u64>,
    /// Bytes of an update.
    pub size: u64,
    /// Robots, where they matter.
    pub clients: Option<u64>,
    /// Who computed.
    pub backend: String,
    /// What a time is per.
    pub item: String,
    /// Items in a run.
    pub items: u64,
    /// Bytes that a kernel must move, in a run.
    pub bytes: Option<u64>,
    /// What else it needs, in a run; none in a record of before that was counted.
    pub needs: Option<Needs>,
    /// The least that an item can take on one thread, where limits were measured beside it.
    pub floor: Option<Floor>,
    /// What an item takes in the device's kernels alone, by its own clock; none where it has none.
    pub in_kernels_ns: Option<f64>,
    /// The share of what the device copies in that time that the kernel's bytes are: 1 is the copy rate itself.
    pub copy_share: Option<f64>,
    /// Bytes that a stage sends, in a run.
    pub wire_bytes: Option<f64>,
    /// By number of threads.
    pub arms: Vec<Arm>,
}

/// So many threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// How many.
    pub threads: u64,
    /// The clock.
    pub measure: Measure,
    /// Nanoseconds per item: the median, and the interval that holds it in 95 of 100 resamplings.
    pub time_ns: Interval,
    /// Samples behind it.
    pub samples: u64,
    /// How many times as fast as one thread, by elapsed time in turns. None for one thread.
    pub gain: Option<Interval>,
}

impl Row {
    /// The arm of one thread.
    #[must_use]
    pub fn alone(&self) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.threads == 1)
    }

    /// Bytes that must move, per nanosecond: gigabytes per second.
    #[must_use]
    pub fn gb_s(&self) -> Option<f64> {
        Some(self.bytes? as f64 / (self.alone()?.time_ns.ratio * self.items as f64))
    }

    /// Its floor over the time that it takes: 1 is the floor itself.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        Some(self.floor?.ns / self.alone()?.time_ns.ratio)
    }

    /// The kernel, if it is one that this program knows.
    #[must_use]
    pub fn kernel(&self) -> Option<Kernel> {
        Kernel::ALL.into_iter().find(|kernel| self.kind == "kernel" && kernel.name() == self.name)
    }
}

/// The rows of a record of `micro`; none of another's.
#[must_use]
pub fn rows(record: &Record) -> Vec<Row> {
    let mut rows: Vec<Row> = record.cells.iter().filter_map(row).collect();
    for row in &mut rows {
        let moved = row.bytes.zip(row.in_kernels_ns).map(|(bytes, ns)| bytes as f64 / (ns * row.items as f64));
        row.copy_share = moved.zip(copy_gb_s(record)).map(|(moved, copied)| moved / copied);
        let Some((needs, ceilings)) = row.needs.zip(ceilings(record, &row.backend)) else { continue };
        let floor = needs.floor(&ceilings, record.environment.machine.cache_bytes);
        row.floor = floor.map(|floor| Floor { ns: floor.ns / row.items as f64, ..floor });
    }
    rows
}

fn row(cell: &Cell) -> Option<Row> {
    let text = |name: &str| match cell.properties.get(name) {
        Some(Property::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let number = |name: &str| match cell.properties.get(name) {
        Some(Property::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let kind = ["kernel", "stage"].into_iter().find(|kind| cell.properties.contains_key(*kind))?;
    let (backend, stage) = (text("backend")?, cell.stages.first()?);
    let arms: Vec<Arm> = (1..=1024).filter_map(|threads| timed(stage, &backend, threads)).collect();
    let sent = stage.figures.iter().find(|figure| figure.measure == Measure::WireBytes);
    let in_kernels = cell.stages.iter().find(|stage| stage.name == KERNELS_STAGE);
    let in_kernels = in_kernels.and_then(|stage| stage.figures.iter().find(|f| f.measure == Measure::DeviceNs));
    Some(Row {
        kind,
        name: text(kind)?,
        n: number("n"),
        size: number("size")?,
        clients: number("clients"),
        backend,
        item: stage.item.clone(),
        items: stage.items,
        bytes: number("bytes"),
        needs: needs(&number),
        floor: None,
        in_kernels_ns: in_kernels.map(|figure| figure.median / stage.items.max(1) as f64),
        copy_share: None,
        wire_bytes: sent.map(|figure| figure.median),
        arms,
    })
}

fn needs(number: &impl Fn(&str) -> Option<u64>) -> Option<Needs> {
    Some(Needs {
        bytes: number("bytes")?,
        held_bytes: number("held_bytes")?,
        products: number("products")?,
        operations: number("operations")?,
    })
}

fn timed(stage: &Stage, backend: &str, threads: u64) -> Option<Arm> {
    let name = arm(threads as usize);
    let alone = threads == 1 && (backend == HOST || backend.starts_with("cpu-"));
    let measure = if alone { Measure::CpuNs } else { Measure::WallNs };
    let figure = stage.figures.iter().find(|figure| figure.arm == name && figure.measure == measure)?;
    let items = stage.items.max(1) as f64;
    let time_ns = Interval { ratio: figure.median / items, low: figure.low / items, high: figure.high / items };
    let ratio =
        stage.ratios.iter().find(|ratio| ratio.arm == name && ratio.over == arm(1) && ratio.measure == Measure::WallNs);
    let gain = ratio.map(|ratio| Interval { ratio: 1.0 / ratio.median, low: 1.0 / ratio.high, high: 1.0 / ratio.low });
    Some(Arm { threads, measure, time_ns, samples: figure.samples, gain })
}

/// What one thread reads from memory, in gigabytes per second.
#[must_use]
pub fn memory_gb_s(record: &Record) -> Option<f64> {
    rate(record, LIMIT_CELL, Measure::CpuNs)
}

/// What the device of the WGSL engine copies in its own memory, read and written, in gigabytes per second.
#[must_use]
pub fn copy_gb_s(record: &Record) -> Option<f64> {
    rate(record, COPY_CELL, Measure::WallNs)
}

/// What one thread of an engine gives at best, where all of it was measured.
#[must_use]
pub fn ceilings(record: &Record, backend: &str) -> Option<Ceilings> {
    let of = |limit| rate(record, &limit_cell(limit, backend), Measure::CpuNs);
    Some(Ceilings { bytes: of(Limit::Memory)?, products: of(Limit::Products)?, operations: of(Limit::Operations)? })
}

/// How many a nanosecond, by one clock.
fn rate(record: &Record, cell: &str, clock: Measure) -> Option<f64> {
    let stage = record.cells.iter().find(|found| found.id == cell)?.stages.first()?;
    let figure = stage.figures.iter().find(|figure| figure.measure == clock && figure.arm != AGAIN)?;
    Some(stage.items as f64 / figure.median)
}

/// The rows as a table.
#[must_use]
pub fn summary(record: &Record) -> String {
    let rows = rows(record);
    let mut text = String::new();
    // Writing to a string cannot fail.
    if let Some(memory) = memory_gb_s(record) {
        let _ = writeln!(text, "memory: one thread reads {memory:.1} GB/s");
    }
    let backends: BTreeSet<&str> = rows.iter().map(|row| row.backend.as_str()).collect();
    for (backend, ceilings) in backends.into_iter().filter_map(|name| Some((name, ceilings(record, name)?))) {
        let Ceilings { products, operations, .. } = ceilings;
        let _ = writeln!(
            text,
            "{backend}: one thread makes {products:.1} G products/s, {operations:.1} G lane operations/s"
        );
    }
    if let Some(gpu) = &record.environment.gpu {
        let copies =
            copy_gb_s(record).map_or(String::new(), |rate| format!(": copies at {rate:.1} GB/s, read and written"));
        let _ = writeln!(text, "device: {gpu}{copies}");
    }
    text.push('\n');
    let _ = writeln!(
        text,
        "{:26} {:>6} {:>7} {:14} {:>26}  {:>23}  also",
        "case", "size", "robots", "engine", "time", "95 % interval"
    );
    for row in &rows {
        let Some(first) = row.arms.first() else { continue };
        let Interval { ratio, low, high } = first.time_ns;
        let length = row.n.filter(|_| matches!(row.kernel(), Some(Kernel::Forward | Kernel::Inverse)));
        let name = format!("{}-{}{}", row.kind, row.name, length.map_or(String::new(), |n| format!("-{n}")));
        let time = format!("{} /{}", nanoseconds(ratio), row.item);
        let interval = format!("{} .. {}", nanoseconds(low), nanoseconds(high));
        let clients = row.clients.map_or("-".to_owned(), |clients| clients.to_string());
        let line = format!(
            "{name:26} {:>6} {clients:>7} {:14} {time:>26}  {interval:>23}  {}",
            bytes(row.size),
            row.backend,
            also(row)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let not_run = record.cells.iter().filter_map(|cell| cell.not_run.as_ref().map(|why| (&cell.id, why)));
    for (cell, why) in not_run.take(12) {
        let _ = writeln!(text, "not run: {cell}: {why}");
    }
    let missing = record.cells.iter().filter(|cell| cell.not_run.is_some()).count();
    if missing > 12 {
        let _ = writeln!(text, "not run: {} more", missing - 12);
    }
    let noise = record.noise.map_or("not measured".to_owned(), |noise| format!("{:.1} %", 100.0 * noise));
    let _ = writeln!(
        text,
        "\n{} outputs checked before their times counted. Identical code differed by {noise}. One thread: CPU time; more, and\n\
         devices: elapsed time. x: as fast as one thread, in turns.",
        record.checks.len()
    );
    text
}

/// What stands beside a row: its floor, its bytes, what more threads bring.
fn also(row: &Row) -> String {
    let mut notes = Vec::new();
    if let Some(share) = row.share() {
        notes.push(format!("{:.0} % of its floor", 100.0 * share));
    }
    if let Some(ns) = row.in_kernels_ns {
        let share = row.copy_share.map_or(String::new(), |share| format!(", {:.1} % of the copy rate", 100.0 * share));
        notes.push(format!("{} in kernels{share}", nanoseconds(ns)));
    }
    if let Some(rate) = row.gb_s() {
        notes.push(format!("{rate:.1} GB/s"));
    }
    if let Some(sent) = row.wire_bytes {
        notes.push(format!("{:.2} B/value", sent / row.items as f64));
    }
    for arm in &row.arms {
        if let Some(Interval { ratio, low, high }) = arm.gain {
            notes.push(format!("{ratio:.2} x on {} threads ({low:.2} .. {high:.2})", arm.threads));
        }
    }
    notes.join(", ")
}

/// A size in decimal units.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        count if count >= 1_000_000 => format!("{} MB", count as f64 / 1e6),
        count if count >= 1000 => format!("{} KB", count as f64 / 1e3),
        count => format!("{count} B"),
    }
}

/// A time in a fitting unit.
#[must_use]
pub fn nanoseconds(ns: f64) -> String {
    match ns {
        ns if ns < 10.0 => format!("{ns:.3} ns"),
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.2} ms", ns / 1e6),
        ns => format!("{:.2} s", ns / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_printed_in_fitting_units() {
        let shown = [0.0614, 302.4, 14_350.0, 7.5e6, 2e9].map(nanoseconds);
        assert_eq!(shown, ["0.061 ns", "302 ns", "14.35 us", "7.50 ms", "2.00 s"]);
        assert_eq!([10_000, 1_500_000, 12].map(bytes), ["10 KB", "1.5 MB", "12 B"]);
    }
}
