//! What a record of `validate` says, for people; and whether an engine slowed down in its soak.

use super::soak::{ITERATION, PARTS};
use super::timed::{OURS, SHARE, STEP};
use crate::failure::Failure;
use crate::floor::Limit;
use crate::gpu::Report;
use crate::micro::view::nanoseconds;
use crate::record::{Cell, Figure, Measure, Property, Ratio, Record, Stage};
use std::fmt::Write;

/// A rate that falls by more than this, the whole interval of it, is throttling.
const DROP: f64 = 0.05;

/// Fewer windows in a part say nothing.
const LEAST_PAIRS: u64 = 8;

/// Cells whose name begins so, and the rest of their names.
fn cells<'a>(record: &'a Record, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Cell)> {
    let measured = record.cells.iter().filter(|cell| cell.not_run.is_none());
    measured.filter_map(move |cell| Some((cell.id.strip_prefix(prefix)?, cell)))
}

fn stage<'a>(cell: &'a Cell, name: &str) -> Option<&'a Stage> {
    cell.stages.iter().find(|stage| stage.name == name)
}

fn figure<'a>(stage: &'a Stage, arm: &str) -> Option<&'a Figure> {
    stage.figures.iter().find(|figure| figure.arm == arm)
}

fn property(cell: &Cell, name: &str) -> String {
    match cell.properties.get(name) {
        Some(Property::Text(text)) => text.clone(),
        Some(Property::Integer(number)) => number.to_string(),
        Some(Property::Number(number)) => number.to_string(),
        None => String::new(),
    }
}

/// Everything, in the order in which a board is judged: what it is, whether it is right, how fast, and for how long.
#[must_use]
pub fn text(record: &Record, gpu: Option<&Report>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = board(&mut out, record)
        .and_then(|()| answers(&mut out, record))
        .and_then(|()| ceilings(&mut out, record))
        .and_then(|()| kernels(&mut out, record))
        .and_then(|()| whole_jobs(&mut out, record))
        .and_then(|()| {
            gpu.map_or(Ok(()), |report| write!(out, "\ncuda, each kernel against the device's limits\n{report}"))
        })
        .and_then(|()| soaks(&mut out, record))
        .and_then(|()| absent(&mut out, record));
    out
}

type Written = std::fmt::Result;

fn board(out: &mut String, record: &Record) -> Written {
    let machine = &record.environment.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    if record.header.config.get("effort").is_some_and(|effort| effort == "smoke") {
        writeln!(out, "SMOKE: small sizes and few samples, so it says that it works, not how fast it is\n")?;
    }
    writeln!(out, "{}, {} cores, {}", cpu, machine.cores, machine.platform)?;
    if let Some(gpu) = &record.environment.gpu {
        writeln!(out, "{gpu}")?;
    }
    for (_, cell) in cells(record, "machine") {
        for name in cell.properties.keys() {
            writeln!(out, "  {name:12} {}", property(cell, name))?;
        }
    }
    Ok(())
}

fn answers(out: &mut String, record: &Record) -> Written {
    writeln!(out, "\nanswers to vectors: digests are the same on every engine and board that is right")?;
    for (engine, cell) in cells(record, "answers ") {
        let (asked, wrong) = (property(cell, "asked"), property(cell, "wrong"));
        let digest: String = property(cell, "digest").chars().take(16).collect();
        let state = if wrong == "0" { format!("all {asked} right") } else { format!("WRONG: {wrong} of {asked}") };
        writeln!(out, "  {engine:14} {state:22} {digest}")?;
    }
    for check in record.checks.iter().filter(|check| !check.holds) {
        writeln!(out, "  WRONG  {}: {}", check.cell, check.claim)?;
    }
    Ok(())
}

/// Items per nanosecond.
fn rate(cell: &Cell) -> Option<f64> {
    let stage = stage(cell, STEP)?;
    Some(stage.items as f64 / figure(stage, OURS)?.median)
}

fn threads(cell: &Cell) -> String {
    let threads = property(cell, "threads");
    if threads == "1" { "1 thread".to_owned() } else { format!("{threads} threads") }
}

fn ceilings(out: &mut String, record: &Record) -> Written {
    writeln!(out, "\nwhat this machine gives at best")?;
    for (what, cell) in cells(record, "memory ") {
        let Some(rate) = rate(cell) else { continue };
        writeln!(out, "  memory {what:22} {rate:6.1} GB/s, {}", threads(cell))?;
    }
    for limit in [Limit::Products, Limit::Operations] {
        for (engine, cell) in cells(record, limit.name()) {
            let Some(rate) = rate(cell) else { continue };
            let what = format!("{}{engine}", limit.name());
            writeln!(out, "  {what:29} {rate:6.1} G/s, {}", threads(cell))?;
        }
    }
    for (engine, cell) in cells(record, "smallest job ") {
        let median = stage(cell, STEP).and_then(|stage| figure(stage, OURS)).map(|figure| figure.median);
        let Some(median) = median else { continue };
        writeln!(out, "  smallest job there and back, {engine:10} {}", nanoseconds(median))?;
    }
    Ok(())
}

fn kernels(out: &mut String, record: &Record) -> Written {
    if cells(record, "kernel ").next().is_some() {
        writeln!(out, "\nkernels on one thread, CPU time, and how much of it their floor would take")?;
    }
    for (_, cell) in cells(record, "kernel ") {
        let Some(step) = stage(cell, STEP) else { continue };
        let Some(figure) = figure(step, OURS) else { continue };
        let share = stage(cell, SHARE);
        let percent = 100.0 * share.and_then(|share| share.derived).unwrap_or(f64::NAN);
        let limit = share.and_then(|share| binding(record, share)).unwrap_or("not known");
        let time = format!("{} /{}", nanoseconds(figure.median / step.items as f64), step.item);
        let (engine, kernel, n) = (property(cell, "engine"), property(cell, "kernel"), property(cell, "n"));
        writeln!(out, "  {engine:12} {kernel:8} {n:>6}  {time:>22}   {percent:3.0} %, limit: {limit}")?;
    }
    Ok(())
}

/// The name of the limit that makes a kernel's floor: the one of whose cell it is.
fn binding(record: &Record, share: &Stage) -> Option<&'static str> {
    let cell = &share.formula.as_ref()?.binding(record)?.input.cell;
    Limit::ALL.map(Limit::name).into_iter().find(|limit| cell.starts_with(limit))
}

fn whole_jobs(out: &mut String, record: &Record) -> Written {
    if cells(record, "whole job ").next().is_some() {
        writeln!(out, "\nwhole jobs on all threads, from the host's memory and back, elapsed time")?;
    }
    for (_, cell) in cells(record, "whole job ") {
        let Some(figure) = stage(cell, STEP).and_then(|stage| figure(stage, OURS)) else { continue };
        let (engine, kernel, polys) = (property(cell, "engine"), property(cell, "kernel"), property(cell, "polys"));
        // Three digits to a coefficient, each a value of four bytes.
        let values = polys.parse::<f64>().unwrap_or(f64::NAN) * 4096.0 * 3.0;
        let size = format!("{:.2} MB", values * 4.0 / 1e6);
        let (count, rows) = if kernel == "sum" { (8.0, " x 8 rows") } else { (1.0, "") };
        let rate = 4.0 * values * count / figure.median;
        let time = nanoseconds(figure.median);
        writeln!(out, "  {engine:12} {kernel:8} {size:>9}{rows:9} {time:>12}  {rate:6.3} GB/s of fp32")?;
    }
    Ok(())
}

/// The last part over the first: CPU time on processors, because a busy machine is no slower clock; elapsed time on devices.
fn drift(cell: &Cell) -> Option<&Ratio> {
    let is_processor = cell.id.starts_with("soak cpu-");
    last_over_first(cell, if is_processor { Measure::CpuNs } else { Measure::WallNs })
}

fn last_over_first(cell: &Cell, measure: Measure) -> Option<&Ratio> {
    let ratios = &stage(cell, ITERATION)?.ratios;
    let of_parts = |ratio: &&Ratio| ratio.arm == PARTS[2] && ratio.over == PARTS[0] && ratio.measure == measure;
    ratios.iter().find(of_parts).filter(|ratio| ratio.pairs >= LEAST_PAIRS)
}

fn is_throttled(ratio: &Ratio) -> bool {
    ratio.low > 1.0 + DROP
}

/// What an interval says about a rate: one that reaches over the threshold says nothing.
fn state(ratio: &Ratio) -> &'static str {
    if is_throttled(ratio) {
        "THROTTLED"
    } else if ratio.high > 1.0 + DROP {
        "cannot tell, give a longer --soak or a quieter machine"
    } else {
        "steady"
    }
}

fn soaks(out: &mut String, record: &Record) -> Written {
    for (engine, cell) in cells(record, "soak ") {
        writeln!(out, "\nsoak of {engine}, {} s", property(cell, "seconds"))?;
        for check in record.checks.iter().filter(|check| check.cell == cell.id) {
            writeln!(out, "  {}{}", if check.holds { "" } else { "WRONG: " }, check.claim)?;
        }
        match drift(cell) {
            Some(ratio) => {
                let state = state(ratio);
                let Ratio { median, low, high, .. } = ratio;
                writeln!(
                    out,
                    "  {state}: an iteration of the last third takes {median:.3} ({low:.3} .. {high:.3}) of the first"
                )?;
                // Where a quota or other processes take time away, only this one tells.
                if let Some(wall) = last_over_first(cell, Measure::WallNs).filter(|wall| wall.measure != ratio.measure)
                {
                    writeln!(out, "  by elapsed time {:.3} ({:.3} .. {:.3})", wall.median, wall.low, wall.high)?;
                }
            }
            None => writeln!(out, "  too few windows to tell whether the rate holds: give a longer --soak")?,
        }
        for stage in cell.stages.iter().filter(|stage| stage.name != ITERATION) {
            if let Some(joules) = stage.derived {
                writeln!(out, "  {}: {joules:.4} J per iteration", stage.name)?;
                continue;
            }
            let value =
                |arm: &str| figure(stage, arm).map_or("?".to_owned(), |figure| unit(figure.measure, figure.median));
            let [first, middle, last] = PARTS.map(value);
            writeln!(out, "  {}: {first}, then {middle}, then {last}", stage.name)?;
        }
    }
    Ok(())
}

fn unit(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Celsius => format!("{value:.1} degrees Celsius"),
        Measure::Megahertz => format!("{value:.0} MHz"),
        Measure::Watts => format!("{value:.2} W"),
        Measure::Joules => format!("{value:.4} J per iteration"),
        _ => format!("{value}"),
    }
}

fn absent(out: &mut String, record: &Record) -> Written {
    writeln!(out, "\nnot here")?;
    for cell in &record.cells {
        if let Some(reason) = &cell.not_run {
            writeln!(out, "  {:22} {reason}", cell.id)?;
        }
    }
    Ok(())
}

/// Why the board does not pass, if an engine's rate fell during its soak.
#[must_use]
pub fn throttled(record: &Record) -> Option<Failure> {
    let slow = |(engine, cell)| Some((engine, drift(cell).filter(|ratio| is_throttled(ratio))?));
    let slow: Vec<String> = cells(record, "soak ")
        .filter_map(slow)
        .map(|(engine, ratio)| {
            format!("{engine} takes {:.3} times as long in the last third as in the first", ratio.median)
        })
        .collect();
    let why = "it throttles: see clocks and temperatures above; cool it, or choose a power mode that it can keep";
    if slow.is_empty() { None } else { Some(Failure::Regression(format!("{}; {why}", slow.join(", ")))) }
}
