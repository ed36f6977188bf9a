//! A matrix for programs and pull requests: Markdown, CSV, JUnit, OpenMetrics.

use super::compose::Arm;
use super::explain::{duration, mix};
use super::outcome::{ArmOutcome, CellOutcome};
use super::pipeline::Profile;
use super::tpdi::{Clock, Figure};
use super::whole::WholeOutcome;
use crate::decision::export::{escape, label};
use crate::record::{Label, Record};
use crate::report::export::{Markdown, family, line};
use std::fmt::Write;

/// The arms of a cell by name.
const ARMS: [(Arm, &str); 2] = [(Arm::Encrypted, "encrypted"), (Arm::Plaintext, "plaintext")];

fn words(figure: Figure) -> String {
    match figure {
        Figure::Improves { seconds, low, high } => {
            let high = high.map_or("without bound".to_owned(), duration);
            format!("{} ({} .. {high})", duration(seconds), duration(low))
        }
        Figure::NoImprovement { at_least_s } => format!("no improvement, at least {}", duration(at_least_s)),
    }
}

/// One line a cell.
#[must_use]
pub fn markdown(record: &Record) -> String {
    let mut text = Markdown::default();
    text.line(&format!(
        "# Time per deployed improvement\n\nResult {}, measured {}.",
        record.header.id, record.header.begin_utc
    ));
    text.line("\nM measured, E emulated, R replayed, D derived, P policy.");
    if !record.matrix.is_empty() {
        composed(&mut text, record);
    }
    if !record.end_to_end.is_empty() {
        text.heading(
            "End to end",
            &["cell", "by the clock", "is", "composed", "composed over end to end", "deployed", "attempts"],
        );
    }
    for whole in &record.end_to_end {
        text.row(&[
            whole.cell.clone(),
            duration(whole.end_to_end_s),
            format!("{:?}", whole.label),
            whole.composed_s.map_or("-".to_owned(), duration),
            whole.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            whole.deployed.to_string(),
            whole.attempts.to_string(),
        ]);
    }
    text.finish()
}

fn composed(text: &mut Markdown, record: &Record) {
    let columns =
        ["cell", "active", "is", "wall", "is", "deployed", "attempts", "sent per round, bytes", "plaintext", "is"];
    text.heading("Encrypted, and beside it active time without encryption", &columns);
    for cell in &record.matrix {
        let [Some(arm), plain] = Arm::ALL.map(|arm| cell.arm(arm)) else { continue };
        text.row(&[
            cell.cell.clone(),
            words(arm.tpdi.active),
            mix(arm, Clock::Active),
            words(arm.tpdi.wall),
            mix(arm, Clock::Wall),
            arm.tpdi.deployed.to_string(),
            arm.tpdi.attempts.to_string(),
            arm.upload_bytes.to_string(),
            plain.map_or("-".to_owned(), |plain| words(plain.tpdi.active)),
            plain.map_or("-".to_owned(), |plain| mix(plain, Clock::Active)),
        ]);
    }
}

/// The shares of labels in the order of their columns.
const LABELS: [Label; 5] = [Label::M, Label::E, Label::R, Label::D, Label::P];

fn shares(arm: &ArmOutcome, clock: Clock) -> [String; 5] {
    let shares = arm.labels(clock);
    LABELS.map(|label| format!("{:.4}", shares.get(&label).copied().unwrap_or(0.0)))
}

/// One line a cell and arm. A cell without an improvement has its lower bound in `low`, and no figure.
#[must_use]
pub fn csv(record: &Record) -> String {
    let columns = [
        "result",
        "cell",
        "task",
        "robots",
        "update_bytes",
        "mbit_per_s",
        "rtt_ms",
        "profile",
        "arm",
        "total",
        "seconds",
        "low",
        "high",
        "deployed",
        "attempts",
        "upload_bytes",
        "share_m",
        "share_e",
        "share_r",
        "share_d",
        "share_p",
    ];
    let mut text = line(&columns);
    for (cell, arm, name) in arms(record) {
        for (total, figure, clock) in [("active", arm.tpdi.active, Clock::Active), ("wall", arm.tpdi.wall, Clock::Wall)]
        {
            let [m, e, r, d, p] = shares(arm, clock);
            let [seconds, low, high] = numbers(figure).map(|number| number.map_or(String::new(), |n| n.to_string()));
            let whole = [
                cell.clients.to_string(),
                cell.update_bytes.to_string(),
                cell.mbit_per_s.to_string(),
                cell.rtt_ms.to_string(),
                arm.tpdi.deployed.to_string(),
                arm.tpdi.attempts.to_string(),
                arm.upload_bytes.to_string(),
            ];
            let [robots, size, mbit, rtt, deployed, attempts, sent] = &whole;
            let profile = cell.profile_in(&record.header.config).map_or("", Profile::name);
            text += &line(&[
                &record.header.id,
                &cell.cell,
                &cell.task,
                robots,
                size,
                mbit,
                rtt,
                profile,
                name,
                total,
                &seconds,
                &low,
                &high,
                deployed,
                attempts,
                sent,
                &m,
                &e,
                &r,
                &d,
                &p,
            ]);
        }
    }
    text + &record.end_to_end.iter().map(|whole| whole_line(record, whole)).collect::<String>()
}

/// A cell that went end to end: by the clock, without an interval. What is no property of it stays empty.
fn whole_line(record: &Record, whole: &WholeOutcome) -> String {
    let share = |label: Label| if whole.label == label { "1.0000" } else { "0.0000" };
    let [m, e, r, d, p] = LABELS.map(share);
    let [robots, deployed, attempts] = [whole.clients, whole.deployed, whole.attempts].map(|count| count.to_string());
    let (id, cell, seconds) = (&record.header.id, &whole.cell, whole.end_to_end_s.to_string());
    line(&[
        id,
        cell,
        "",
        &robots,
        "",
        "",
        "",
        "",
        "encrypted",
        "end-to-end",
        &seconds,
        "",
        "",
        &deployed,
        &attempts,
        "",
        m,
        e,
        r,
        d,
        p,
    ])
}

/// The figure, and its interval.
fn numbers(figure: Figure) -> [Option<f64>; 3] {
    match figure {
        Figure::Improves { seconds, low, high } => [Some(seconds), Some(low), high],
        Figure::NoImprovement { at_least_s } => [None, Some(at_least_s), None],
    }
}

fn arms(record: &Record) -> impl Iterator<Item = (&CellOutcome, &ArmOutcome, &'static str)> {
    record
        .matrix
        .iter()
        .flat_map(|cell| ARMS.into_iter().filter_map(move |(arm, name)| Some((cell, cell.arm(arm)?, name))))
}

/// A test for each cell: passed where something was deployed; one that went end to end fails where what is composed is too far from it. What was not run is skipped, and a check that failed is a failure.
#[must_use]
pub fn junit(record: &Record) -> String {
    let mut cases = String::new();
    let (mut failures, mut skipped, mut tests) = (0, 0, 0);
    for cell in &record.matrix {
        let Some(arm) = cell.arm(Arm::Encrypted) else { continue };
        let (name, said) = (escape(&cell.cell), escape(&words(arm.tpdi.active)));
        tests += 1;
        let inside = match arm.tpdi.active {
            Figure::Improves { .. } => format!("<system-out>{said}</system-out>"),
            Figure::NoImprovement { .. } => {
                failures += 1;
                format!("<failure type=\"NO-IMPROVEMENT\" message=\"{said}\"/>")
            }
        };
        // Writing to a string cannot fail.
        let _ = writeln!(cases, "  <testcase classname=\"tensorguard.matrix\" name=\"{name}\">{inside}</testcase>");
    }
    for whole in &record.end_to_end {
        tests += 1;
        let (name, said) = (escape(&whole.cell), escape(&whole.told()));
        let inside = if whole.agrees == Some(false) {
            failures += 1;
            format!("<failure type=\"OUTSIDE\" message=\"{said}\"/>")
        } else {
            format!("<system-out>{said}</system-out>")
        };
        let _ = writeln!(cases, "  <testcase classname=\"tensorguard.end-to-end\" name=\"{name}\">{inside}</testcase>");
    }
    for check in record.checks.iter().filter(|check| !check.holds) {
        (tests, failures) = (tests + 1, failures + 1);
        let (name, claim) = (escape(&check.cell), escape(&check.claim));
        let _ = writeln!(
            cases,
            "  <testcase classname=\"tensorguard.check\" name=\"{name}\"><failure message=\"{claim}\"/></testcase>"
        );
    }
    for (cell, why) in record.cells.iter().filter_map(|cell| Some((&cell.id, cell.not_run.as_ref()?))) {
        (tests, skipped) = (tests + 1, skipped + 1);
        let (name, why) = (escape(cell), escape(why));
        let _ = writeln!(
            cases,
            "  <testcase classname=\"tensorguard.matrix\" name=\"{name}\"><skipped message=\"{why}\"/></testcase>"
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"tensorguard matrix\" tests=\"{tests}\" failures=\"{failures}\" \
         skipped=\"{skipped}\">\n{cases}</testsuite>\n"
    )
}

/// A metric's name, its help, and its value.
type Family<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

/// For a scraper.
#[must_use]
pub fn open_metrics(record: &Record) -> String {
    let families: [Family<ArmOutcome>; 5] = [
        ("tensorguard_active_seconds", "Computing and transfers per deployed improvement.", |arm| {
            numbers(arm.tpdi.active)[0]
        }),
        ("tensorguard_active_seconds_low", "Where its interval begins, or the least it can be.", |arm| {
            numbers(arm.tpdi.active)[1]
        }),
        ("tensorguard_wall_seconds", "The same with policy waits.", |arm| numbers(arm.tpdi.wall)[0]),
        ("tensorguard_deployed", "Improvements that the fleet kept.", |arm| Some(f64::from(arm.tpdi.deployed))),
        ("tensorguard_attempts", "Attempts behind them.", |arm| Some(f64::from(arm.tpdi.attempts))),
    ];
    let mut text = String::new();
    for (name, help, value) in families {
        family(&mut text, name, help);
        for (cell, arm, who) in arms(record) {
            if let Some(value) = value(arm) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{name}{{cell=\"{}\",arm=\"{who}\"}} {value}", label(&cell.cell));
            }
        }
    }
    metrics_by_label(&mut text, record);
    text + "# EOF\n"
}

/// Shares of labels, and cells that went end to end.
fn metrics_by_label(text: &mut String, record: &Record) {
    let name = "tensorguard_label_share";
    family(
        text,
        name,
        "The share of a total that is measured (M), emulated (E), replayed (R), derived (D) or policy (P).",
    );
    for (cell, arm, who) in arms(record) {
        for (total, clock) in [("active", Clock::Active), ("wall", Clock::Wall)] {
            for (of, share) in arm.labels(clock) {
                let cell = label(&cell.cell);
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{name}{{cell=\"{cell}\",arm=\"{who}\",total=\"{total}\",label=\"{of:?}\"}} {share}"
                );
            }
        }
    }
    let wholes: [Family<WholeOutcome>; 2] = [
        ("tensorguard_end_to_end_seconds", "A fleet as processes, by the clock.", |whole| Some(whole.end_to_end_s)),
        ("tensorguard_composed_over_end_to_end", "The same attempt put together, over it.", |whole| whole.ratio),
    ];
    for (name, help, value) in wholes {
        family(text, name, help);
        for whole in &record.end_to_end {
            if let Some(value) = value(whole) {
                let _ = writeln!(text, "{name}{{cell=\"{}\",label=\"{:?}\"}} {value}", label(&whole.cell), whole.label);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn recorded() -> Record {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-matrix-standard");
        crate::matrix::run::read(&folder).expect("a committed run")
    }

    #[test]
    fn every_figure_that_leaves_says_its_labels() {
        let record = recorded();
        let csv = csv(&record);
        for line in csv.lines().skip(1) {
            let shares: Vec<f64> = line.split(',').skip(16).map(|share| share.parse().expect("a share")).collect();
            assert!(shares.len() == 5 && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-3, "{line}");
        }
        let markdown = markdown(&record);
        let row = markdown.lines().find(|line| line.contains("imitation-20x10kb-100mbit")).expect("its row");
        assert_eq!(row.matches("M\u{a0}").count(), 3, "active, wall, plaintext: {row}");
        assert!(row.contains("R\u{a0}") && row.contains("P\u{a0}"), "{row}");
        let metrics = open_metrics(&record);
        let share =
            "tensorguard_label_share{cell=\"imitation-20x10kb-100mbit\",arm=\"plaintext\",total=\"wall\",label=\"P\"}";
        assert!(metrics.contains(share), "{metrics}");
    }

    #[test]
    fn a_record_of_cells_end_to_end_alone_is_exported() {
        let mut record = recorded();
        record.matrix.clear();
        let cell = record.end_to_end[0].cell.clone();
        for text in [csv(&record), markdown(&record), junit(&record), open_metrics(&record)] {
            assert!(text.contains(&cell), "{text}");
        }
        assert!(junit(&record).contains("tests=\"1\" failures=\"0\""));
        record.end_to_end[0].agrees = Some(false);
        assert!(junit(&record).contains("tests=\"1\" failures=\"1\"") && junit(&record).contains("OUTSIDE"));
    }
}
