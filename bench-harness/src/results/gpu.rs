//! What `gpu` keeps: a cell for each row, what was checked before, and the device's clocks, temperatures and power meanwhile.

use super::{OURS, cell, sample};
use crate::failure::Failure;
use crate::gpu::{Device, Effort, Opened, Report, Row};
use crate::record::formula::{Formula, Input, Part};
use crate::record::journal::{Journal, Plan};
use crate::record::{Check, Environment, Figure, Label, Line, Property, Record};
use crate::sensors::Sensors;
use crate::sysfs::some_text;
use serde_json::{Number, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The cell of what is known of a GPU and of its clocks while it was measured, and the stage of a row's times and of its share.
const DEVICE: &str = "device";
const TIME: &str = "time";
const SHARE: &str = "share of floor";

/// What is measured on a GPU, with what its sensors say meanwhile.
#[derive(Debug)]
pub struct GpuRun {
    journal: Journal,
    sensors: Sensors,
    rows: usize,
}

impl GpuRun {
    /// Begins a new folder below `parent`. `checks` are lines `name, tab, state, tab, words` about what was run before: `ok`, `failed`
    /// or `not run`.
    ///
    /// # Errors
    /// Those of [`Journal::begin`]; [`Failure::Usage`] for another line.
    pub fn begin(parent: &Path, opened: &Opened, checks: &str) -> Result<Self, Failure> {
        let Opened { machine, device, .. } = opened;
        let environment =
            Environment { machine: machine.clone(), engine: "cuda".to_owned(), gpu: Some(device.to_string()) };
        let (effort, what) = match opened.effort() {
            Effort::Full => ("full", "gpu"),
            Effort::Smoke => ("smoke", "gpu-smoke"),
        };
        let plan = Plan {
            command: "gpu",
            what: &format!("{}-{what}", device.label()),
            config: BTreeMap::from([("effort".to_owned(), json!(effort))]),
            corpus_sha256: None,
            environment,
        };
        let before = checks.lines().map(checked).collect::<Result<Vec<_>, _>>()?;
        let mut run = Self { journal: Journal::begin(parent, plan)?, sensors: Sensors::look(), rows: 0 };
        run.journal.write_all(&before)?;
        run.describe(device)?;
        Ok(run)
    }

    fn describe(&mut self, device: &Device) -> Result<(), Failure> {
        let megahertz = |khz: Option<u32>| khz.map(|khz| Property::from(khz as usize / 1000));
        let module = some_text(Path::new("/proc/driver/nvidia/version"));
        let module = module.and_then(|text| text.lines().next().map(Property::from));
        let facts = [
            ("memory_bytes", Some(Property::from(device.memory_bytes as usize))),
            ("highest_clock_megahertz", megahertz(device.clock_khz)),
            ("highest_memory_clock_megahertz", megahertz(device.memory_clock_khz)),
            ("kernel_module", module),
        ];
        let facts = facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?)));
        let mut lines = vec![Line::Cell { cell: DEVICE.to_owned(), properties: facts.collect() }];
        lines.extend(self.sensors.present.iter().map(|sensor| Line::Stage {
            cell: DEVICE.to_owned(),
            stage: sensor.name.clone(),
            label: Label::M,
            item: "reading".to_owned(),
            items: 1,
            formula: None,
        }));
        lines.extend(self.sensors.absent.iter().map(|absent| Line::NotRun {
            cell: absent.name.clone(),
            properties: BTreeMap::new(),
            reason: absent.note.clone(),
        }));
        self.journal.write_all(&lines)
    }

    /// A row, and what the sensors say right after it.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it cannot be written.
    pub fn row(&mut self, row: &Row) -> Result<(), Failure> {
        gpu_row(&mut self.journal, "", row)?;
        for (index, value) in self.sensors.read().into_iter().enumerate() {
            let sensor = &self.sensors.present[index];
            let Some(number) = value.and_then(Number::from_f64) else { continue };
            self.journal.write(&sample(DEVICE, &sensor.name, OURS, self.rows, 1, [(sensor.measure, number)]))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes the record. Gives its folder.
    ///
    /// # Errors
    /// Those of [`Journal::finish`].
    pub fn finish(self, report: &Report) -> Result<PathBuf, Failure> {
        let (folder, _) = self.journal.finish(|record| report.to_string() + &conditions(record))?;
        Ok(folder)
    }
}

/// A line of what was run before.
fn checked(line: &str) -> Result<Line, Failure> {
    let usage =
        || Failure::Usage(format!("{line:?} is not a name, ok, failed or not run, and words, with tabs between"));
    let mut parts = line.splitn(3, '\t');
    let (Some(name), Some(state), Some(words)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(usage());
    };
    let cell = format!("before: {name}");
    match state {
        "ok" | "failed" => Ok(Line::Check(Check { cell, claim: words.to_owned(), digest: None, holds: state == "ok" })),
        "not run" => Ok(Line::NotRun { cell, properties: BTreeMap::new(), reason: words.to_owned() }),
        _ => Err(usage()),
    }
}

/// What the page says under the table: what was checked before, and clocks, temperatures and power.
fn conditions(record: &Record) -> String {
    let mut lines = vec![String::new()];
    for Check { cell, claim, holds, .. } in &record.checks {
        lines.push(format!("{cell}: {}; {claim}", if *holds { "ok" } else { "FAILED" }));
    }
    for cell in &record.cells {
        lines.extend(cell.not_run.iter().map(|why| format!("{} not run: {why}", cell.id)));
    }
    for cell in record.cells.iter().filter(|cell| cell.id == DEVICE) {
        let text = |property: &Property| match property {
            Property::Text(text) => text.clone(),
            Property::Integer(number) => number.to_string(),
            Property::Number(number) => number.to_string(),
        };
        lines.extend(cell.properties.iter().map(|(name, property)| format!("{name} {}", text(property))));
        for stage in &cell.stages {
            lines.extend(stage.figures.iter().map(|figure| {
                let Figure { measure, median, p95, .. } = figure;
                format!("{}, median {median:.1}, 95th percentile {p95:.1} {}", stage.name, measure.name())
            }));
        }
    }
    lines.join("\n")
}

/// A row of a GPU, as a cell: its samples and, for a kernel, the share of its floor as a formula over the limits' own rows.
///
/// # Errors
/// [`Failure::Internal`] where it cannot be written.
pub fn gpu_row(journal: &mut Journal, prefix: &str, row: &Row) -> Result<(), Failure> {
    let named = |name: &str| format!("{prefix}{name}");
    let name = named(&row.name);
    if let Some(why) = row.not_run {
        return journal.write(&Line::NotRun { cell: name, properties: BTreeMap::new(), reason: why.to_owned() });
    }
    let name = cell(journal, name, TIME, &[("unit", Property::from(row.unit))], ("run", 1))?;
    for (turn, &time_ns) in row.samples_ns.iter().enumerate() {
        journal.write(&sample(&name, TIME, OURS, turn, row.repetitions, [(row.clock, time_ns.into())]))?;
    }
    // A stand-in has no times, and so no share.
    if row.share.is_none() {
        return Ok(());
    }
    let input = |cell| Input { cell, stage: TIME.to_owned(), arm: OURS.to_owned(), measure: row.clock };
    let limits = row.limits.iter().map(|&(limit, times)| Part { times, input: input(named(limit)) });
    let formula = Some(Formula::Roofline { limits: limits.collect(), of: input(name.clone()) });
    let (stage, item) = (SHARE.to_owned(), "run".to_owned());
    journal.write(&Line::Stage { cell: name, stage, label: Label::D, item, items: 1, formula })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::record::Measure;
    use crate::record::verify::verify;
    use crate::scratch::Scratch;

    #[test]
    fn what_was_checked_before_is_in_the_record_or_refused() {
        let line = checked("suite-cuda\tfailed\t3 of 78 cases").expect("a line");
        assert!(matches!(&line, Line::Check(check) if !check.holds && check.cell == "before: suite-cuda"));
        assert!(
            matches!(checked("racecheck\tnot run\tno tool"), Ok(Line::NotRun { reason, .. }) if reason == "no tool")
        );
        for wrong in ["", "suite-cuda", "suite-cuda\tperhaps\t", "suite-cuda ok 12 s"] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
    fn row(name: &str, samples_ns: &[u64], limits: &[(&'static str, f64)]) -> Row {
        Row {
            name: name.to_owned(),
            value: Some(1.0),
            unit: "ns",
            share: limits.first().map(|&(name, _)| (1.0, name)),
            limits: limits.to_vec(),
            clock: Measure::DeviceNs,
            repetitions: 2,
            not_run: None,
            samples_ns: samples_ns.to_vec(),
        }
    }

    #[test]
    fn a_share_is_computed_again_from_the_limits_of_the_same_record() {
        let out = Scratch::new("share");
        let environment = Environment { machine: Machine::look(), engine: "cuda".into(), gpu: Some("a GPU".into()) };
        let plan = Plan { command: "gpu", what: "a-gpu", config: BTreeMap::new(), corpus_sha256: None, environment };
        let mut journal = Journal::begin(&out, plan).expect("a journal");
        let mut keep = |row: &Row| gpu_row(&mut journal, "cuda ", row).expect("a row");
        keep(&row("copies", &[90, 100, 110], &[]));
        keep(&row("products", &[10, 10, 10], &[]));
        keep(&row("a kernel", &[600, 500, 700], &[("copies", 3.0), ("products", 20.0)]));
        keep(&Row { not_run: Some("too large"), ..row("another", &[], &[]) });
        let (folder, record) = journal.finish(|_| String::new()).expect("a record");
        let kernel = record.cells.iter().find(|cell| cell.id == "cuda a kernel").expect("the kernel");
        let share = kernel.stages.iter().find(|stage| stage.name == SHARE).expect("its share");
        // Samples are of two runs. Three copies of 50 are more than twenty products of 5.
        assert_eq!(record.figure("cuda copies", TIME, OURS, Measure::DeviceNs).map(|figure| figure.median), Some(50.0));
        assert_eq!(share.derived, Some(0.5));
        assert!(record.cells.iter().any(|cell| cell.id == "cuda another" && cell.not_run.is_some()));
        let verified = verify(&folder).expect("it can be read");
        assert!(verified.differences.is_empty(), "{:?}", verified.differences);
    }
}
