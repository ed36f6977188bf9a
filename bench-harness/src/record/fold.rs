//! From the lines of a journal to a record: every figure that is not a sample is computed here, and nowhere else.

use super::learning::learned;
use super::{Cell, Figure, Line, MatrixLine, Measure, Property, Ratio, Record, Sample, Stage, sha256};
use crate::decision::{Terms, decide};
use crate::matrix;
use crate::matrix::compose::Composition;
use crate::matrix::outcome::CellOutcome;
use crate::matrix::trace::FleetTrace;
use crate::matrix::whole::{WholeLine, tries};
use crate::stats::{SEED, median_interval, paired_interval, percentile};
use std::collections::{BTreeMap, HashMap};

/// The arm that runs the first arm's code once more.
pub const AGAIN: &str = "again";

/// The entry of a configuration that holds what a candidate is allowed.
pub const TERMS: &str = "terms";

/// What a journal says: its lines, and the bytes that they stood in.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The lines.
    pub lines: Vec<Line>,
    /// SHA-256 of the bytes.
    pub sha256: String,
}

impl Journal {
    /// Reads a journal. A last line without an end is what a crash leaves behind, and is left out.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|error| format!("not text: {error}"))?;
        let parse = |(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {} of the journal: {error}", index + 1))
        };
        let lines: Result<Vec<Line>, String> = text.lines().enumerate().map(parse).collect();
        Ok(Self { lines: lines?, sha256: sha256(&bytes[..whole]) })
    }
}

/// Computes the record.
///
/// # Errors
/// What is wrong with the journal: a missing header, a sample without its stage, a formula without its input.
pub fn fold(journal: &Journal) -> Result<Record, String> {
    let counted = counted(&journal.lines);
    let mut lines = counted.iter().copied();
    let (Some(Line::Header(header)), Some(Line::Environment(environment))) = (lines.next(), lines.next()) else {
        return Err("a journal begins with a header and an environment".to_owned());
    };
    let mut record = Record {
        header: header.clone(),
        environment: environment.clone(),
        noise: None,
        cells: Vec::new(),
        checks: Vec::new(),
        matrix: Vec::new(),
        end_to_end: Vec::new(),
        learning: Vec::new(),
        decision: None,
        footer: None,
        journal_sha256: journal.sha256.clone(),
        summary_sha256: None,
    };
    let (mut lessons, mut wholes) = (Vec::new(), Vec::new());
    let mut stages: HashMap<(&str, &str), Vec<&Sample>> = HashMap::new();
    for line in lines {
        match line {
            Line::Header(_) | Line::Environment(_) => return Err("a second header".to_owned()),
            Line::Cell { cell, properties } => begin(&mut record, cell, properties, None)?,
            Line::NotRun { cell, properties, reason } => begin(&mut record, cell, properties, Some(reason))?,
            Line::Stage { cell, stage, label, item, items, formula } => {
                if stages.insert((cell, stage), Vec::new()).is_some() {
                    return Err(format!("{cell} has two stages {stage}"));
                }
                let (name, label, item, formula) = (stage.clone(), *label, item.clone(), formula.clone());
                let (derived, figures, ratios) = (None, Vec::new(), Vec::new());
                let stage = Stage { name, label, item, items: *items, formula, derived, figures, ratios };
                let found = record.cells.iter_mut().find(|found| found.id == *cell);
                found.ok_or_else(|| format!("a stage of {cell}, which never began"))?.stages.push(stage);
            }
            Line::Sample(sample) => {
                let samples = stages.get_mut(&(sample.cell.as_str(), sample.stage.as_str()));
                let lost = || format!("a sample of {} in {}, a stage that never began", sample.stage, sample.cell);
                samples.ok_or_else(lost)?.push(sample);
            }
            Line::Check(check) => record.checks.push(check.clone()),
            Line::Matrix(line) => record.matrix.extend(outcomes(line, Composition::of(&header.config)?)?),
            Line::EndToEnd(line) => wholes.push(line),
            Line::Learning(line) => lessons.push(line),
            // None of them counts.
            Line::Anew { .. } => {}
            Line::Footer(footer) => record.footer = Some(footer.clone()),
        }
    }
    for cell in &mut record.cells {
        for stage in &mut cell.stages {
            let samples = &stages[&(cell.id.as_str(), stage.name.as_str())];
            (stage.figures, stage.ratios) = aggregates(samples)?;
        }
    }
    record.end_to_end = tries::outcomes(&wholes, &header.config, |line| measured(&journal.lines, line))?;
    (record.learning, record.noise) = (learned(&lessons)?, noise(&record));
    derive(&mut record)?;
    if let Some(terms) = record.header.config.get(TERMS) {
        let terms: Terms = serde_json::from_value(terms.clone()).map_err(|error| format!("its terms: {error}"))?;
        let samples: Vec<&Sample> = counted.iter().copied().filter_map(sampled).collect();
        record.decision = Some(decide(&record, &samples, &terms)?);
    }
    Ok(record)
}

/// The lines that count: without what there was of a cell before it began anew.
#[must_use]
pub fn counted(lines: &[Line]) -> Vec<&Line> {
    let anew = lines.iter().enumerate().filter_map(|(place, line)| match line {
        Line::Anew { cell } => Some((cell.as_str(), place)),
        _ => None,
    });
    // The last of several.
    let anew: HashMap<&str, usize> = anew.collect();
    let counts = |place: usize, line: &Line| line.cell().and_then(|cell| anew.get(cell)).is_none_or(|&at| place > at);
    lines.iter().enumerate().filter(|&(place, line)| counts(place, line)).map(|(_, line)| line).collect()
}

/// The figures and ratios of samples of one stage.
///
/// # Errors
/// A sample that is no measurement.
pub fn aggregates(samples: &[&Sample]) -> Result<(Vec<Figure>, Vec<Ratio>), String> {
    Ok((figures(samples)?, ratios(samples)?))
}

fn sampled(line: &Line) -> Option<&Sample> {
    if let Line::Sample(sample) = line { Some(sample) } else { None }
}

/// What the same journal has of the parts of a fleet that went end to end.
fn measured<'a>(lines: &'a [Line], whole: &WholeLine) -> Option<&'a FleetTrace> {
    lines.iter().find_map(|line| match line {
        Line::Matrix(MatrixLine { trace, .. }) if trace.fleet == whole.fleet => Some(trace),
        _ => None,
    })
}

/// The cells that a fleet stands for.
fn outcomes(line: &MatrixLine, composition: Composition) -> Result<Vec<CellOutcome>, String> {
    let MatrixLine { trace, cells } = line;
    let outcome = |cell: &matrix::grid::Cell| {
        if cell.fleet() != trace.fleet {
            return Err(format!("{cell} is no cell of {}", trace.fleet));
        }
        CellOutcome::of(cell, trace, composition).ok_or_else(|| format!("{} attempted nothing", trace.fleet))
    };
    cells.iter().map(outcome).collect()
}

fn begin(
    record: &mut Record,
    cell: &str,
    properties: &BTreeMap<String, Property>,
    reason: Option<&String>,
) -> Result<(), String> {
    if record.cells.iter().any(|found| found.id == cell) {
        return Err(format!("two cells {cell}"));
    }
    let (properties, not_run) = (properties.clone(), reason.cloned());
    record.cells.push(Cell { id: cell.to_owned(), properties, not_run, stages: Vec::new() });
    Ok(())
}

/// Arms in the order in which they first appear.
fn arms<'a>(samples: &[&'a Sample]) -> Vec<&'a str> {
    let mut arms = Vec::new();
    for sample in samples {
        if !arms.contains(&sample.arm.as_str()) {
            arms.push(&sample.arm);
        }
    }
    arms
}

fn measures(samples: &[&Sample], arm: &str) -> Vec<Measure> {
    let of_arm = samples.iter().filter(|sample| sample.arm == arm);
    let mut measures: Vec<Measure> = of_arm.flat_map(|sample| sample.values.keys().copied()).collect();
    measures.sort();
    measures.dedup();
    measures
}

/// A value of one repetition; none if the sample does not have it.
fn value(sample: &Sample, measure: Measure) -> Result<Option<f64>, String> {
    let Some(number) = sample.values.get(&measure) else { return Ok(None) };
    let fit = number.as_f64().filter(|value| value.is_finite() && *value >= 0.0 && sample.repetitions > 0);
    let unfit = || format!("a sample of {} that is no measurement", sample.cell);
    let value = fit.ok_or_else(unfit)?;
    Ok(Some(if measure.adds_up() { value / sample.repetitions as f64 } else { value }))
}

fn figures(samples: &[&Sample]) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for arm in arms(samples) {
        for measure in measures(samples, arm) {
            let of_arm = samples.iter().filter(|sample| sample.arm == arm);
            let values: Result<Vec<Option<f64>>, String> = of_arm.map(|sample| value(sample, measure)).collect();
            let values: Vec<f64> = values?.into_iter().flatten().collect();
            let interval = median_interval(&values, SEED);
            figures.push(Figure {
                arm: arm.to_owned(),
                measure,
                samples: values.len() as u64,
                median: interval.ratio,
                low: interval.low,
                high: interval.high,
                p95: percentile(&values, 0.95),
            });
        }
    }
    Ok(figures)
}

/// The logarithms of `arm / first` over the turns that have both, in order of the turns.
///
/// # Errors
/// A sample that is no measurement.
pub fn paired_logs(samples: &[&Sample], first: &str, arm: &str, measure: Measure) -> Result<Vec<f64>, String> {
    let mut turns: BTreeMap<u32, [Option<f64>; 2]> = BTreeMap::new();
    for sample in samples {
        for (side, name) in [first, arm].into_iter().enumerate() {
            if sample.arm == name {
                turns.entry(sample.turn).or_default()[side] = value(sample, measure)?.filter(|&value| value > 0.0);
            }
        }
    }
    Ok(turns.into_values().filter_map(|[first, arm]| Some((arm? / first?).ln())).collect())
}

fn ratios(samples: &[&Sample]) -> Result<Vec<Ratio>, String> {
    let mut ratios = Vec::new();
    let arms = arms(samples);
    let Some((&first, others)) = arms.split_first() else { return Ok(ratios) };
    for &arm in others {
        for measure in measures(samples, arm).into_iter().filter(|measure| measure.is_time()) {
            let logs = paired_logs(samples, first, arm, measure)?;
            if logs.is_empty() {
                continue;
            }
            let interval = paired_interval(&logs, SEED);
            ratios.push(Ratio {
                arm: arm.to_owned(),
                over: first.to_owned(),
                measure,
                pairs: logs.len() as u64,
                median: interval.ratio,
                low: interval.low,
                high: interval.high,
            });
        }
    }
    Ok(ratios)
}

/// How far identical code differed: the farther end of each interval, the 95th percentile of those.
fn noise(record: &Record) -> Option<f64> {
    let ratios = record.cells.iter().flat_map(|cell| &cell.stages).flat_map(|stage| &stage.ratios);
    let again = ratios.filter(|ratio| ratio.arm == AGAIN);
    let far: Vec<f64> = again.map(|ratio| (ratio.high - 1.0).max(1.0 - ratio.low)).collect();
    if far.is_empty() { None } else { Some(percentile(&far, 0.95)) }
}

/// Formulas see the figures of samples, not each other's.
fn derive(record: &mut Record) -> Result<(), String> {
    let plain = record.clone();
    for stage in record.cells.iter_mut().flat_map(|cell| &mut cell.stages) {
        if let Some(formula) = &stage.formula {
            stage.derived = Some(formula.evaluate(&plain)?);
        }
    }
    Ok(())
}
