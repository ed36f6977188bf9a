//! A decision for machines: JUnit, Markdown, OpenMetrics. JSON is the decision itself.

use super::{Decision, NotRun, Outcome, Row, percent};
use crate::failure::Failure;
use crate::report::export::family;
use std::fmt::Write;

/// For what reads test reports. A row that is not decided is an error: it has not passed.
#[must_use]
pub fn junit(decision: &Decision) -> String {
    let outcomes = decision.rows.iter().map(|row| row.outcome).chain(decision.not_run.iter().map(|row| row.outcome));
    let outcomes: Vec<Outcome> = outcomes.collect();
    let count = |wanted: &[Outcome]| outcomes.iter().filter(|outcome| wanted.contains(outcome)).count();
    let (failures, errors) = (count(&[Outcome::Fail]), count(&[Outcome::Unfit, Outcome::Inconclusive]));
    let skipped = count(&[Outcome::Skipped]);
    let mut text = format!(
        "{XML}<testsuite name=\"tensorguard\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\">\n",
        outcomes.len()
    );
    for row in &decision.rows {
        let (name, measure) = (escape(&row.metric), row.measure.name());
        let said = escape(&said(row));
        // Writing to a string cannot fail.
        let _ = write!(text, "  <testcase classname=\"tensorguard.{measure}\" name=\"{name}\">");
        let _ = match row.outcome {
            Outcome::Pass | Outcome::Skipped => write!(text, "<system-out>{said}</system-out>"),
            Outcome::Fail => write!(text, "<failure message=\"{said}\"/>"),
            Outcome::Unfit | Outcome::Inconclusive => {
                write!(text, "<error type=\"{}\" message=\"{said}\"/>", row.outcome.word())
            }
        };
        text += "</testcase>\n";
    }
    for NotRun { metric, outcome, why } in &decision.not_run {
        let (name, why) = (escape(metric), escape(why));
        let inner = match outcome {
            Outcome::Skipped => format!("<skipped message=\"{why}\"/>"),
            _ => format!("<error type=\"{}\" message=\"{why}\"/>", outcome.word()),
        };
        let _ = writeln!(text, "  <testcase classname=\"tensorguard\" name=\"{name}\">{inner}</testcase>");
    }
    text + "</testsuite>\n"
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The same of a gate that came to no decision: one error, so that what reads it cannot take silence for a pass.
#[must_use]
pub fn junit_of_failure(failure: &Failure) -> String {
    let (code, why) = (failure.code(), escape(&failure.to_string()));
    format!(
        "{XML}<testsuite name=\"tensorguard\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\">\n  \
         <testcase classname=\"tensorguard\" name=\"gate\"><error type=\"exit code {code}\" message=\"{why}\"/></testcase>\n\
         </testsuite>\n"
    )
}

/// The same for a pull request.
#[must_use]
pub fn markdown_of_failure(failure: &Failure) -> String {
    format!("### TensorGuard: no decision\n\nExit code {}.\n\n```text\n{failure}\n```\n", failure.code())
}

/// The same for a scraper: no metric, and the exit code.
#[must_use]
pub fn open_metrics_of_failure(failure: &Failure) -> String {
    let mut text = String::new();
    family(&mut text, "tensorguard_exit_code", "Why there is no decision.");
    let _ = writeln!(text, "tensorguard_exit_code {}", failure.code());
    text + "# EOF\n"
}

/// The same as JSON.
#[must_use]
pub fn json_of_failure(failure: &Failure) -> String {
    let value = serde_json::json!({ "error": failure.to_string(), "exit_code": failure.code() });
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}

fn said(row: &Row) -> String {
    let Row { ratio, low, high, delta, why, pairs, .. } = row;
    let change = format!("{:+.2} % ({:+.2} .. {:+.2} %)", percent(*ratio), percent(*low), percent(*high));
    format!("{change} of {:+.2} % allowed, {pairs} pairs. {why}", 100.0 * delta).trim_end().to_owned()
}

/// Text within XML.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// For a pull request: the answer, then one line for each row, the worst first.
#[must_use]
pub fn markdown(decision: &Decision) -> String {
    let mut text = format!(
        "### TensorGuard: {}\n\nBlind below {:.1} %. How far identical code differed in this session: {}.\n\n\
         | | metric | measure | change | 95 % interval | allowed | pairs | why |\n|---|---|---|---|---|---|---|---|\n",
        decision.outcome.word(),
        100.0 * decision.blind_below,
        decision.noise_in_words()
    );
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut lines: Vec<(Outcome, String)> = Vec::new();
    for NotRun { metric, outcome, why } in &decision.not_run {
        let line = format!("| {} | {} | | not measured | | | | {} |\n", outcome.word(), cell(metric), cell(why));
        lines.push((*outcome, line));
    }
    for row in &decision.rows {
        let Row { metric, measure, outcome, ratio, low, high, pairs, delta, why, .. } = row;
        let (low, high) = (percent(*low), percent(*high));
        let interval = if *pairs == 0 { "exact".to_owned() } else { format!("{low:+.2} .. {high:+.2} %") };
        let line = format!(
            "| {} | {} | {} | {:+.2} % | {interval} | {:.2} % | {pairs} | {} |\n",
            outcome.word(),
            cell(metric),
            measure.name(),
            percent(*ratio),
            100.0 * delta,
            cell(why)
        );
        lines.push((*outcome, line));
    }
    lines.sort_by_key(|(outcome, _)| *outcome);
    for (_, line) in lines {
        // What reads it takes 64 KiB.
        if text.len() + line.len() > 60_000 {
            text += "\nThe rest is in the record.\n";
            break;
        }
        text += &line;
    }
    text
}

/// A metric's name, its help, and its value in a row.
type Family = (&'static str, &'static str, fn(&Row) -> f64);

/// For a scraper.
#[must_use]
pub fn open_metrics(decision: &Decision) -> String {
    let mut text = String::new();
    let labels = |row: &Row| format!("{{metric=\"{}\",measure=\"{}\"}}", label(&row.metric), row.measure.name());
    let families: [Family; 4] = [
        ("tensorguard_ratio", "The candidate over the base.", |row| row.ratio),
        ("tensorguard_ratio_low", "Where the interval of the ratio begins.", |row| row.low),
        ("tensorguard_ratio_high", "Where it ends.", |row| row.high),
        ("tensorguard_passed", "1 if the row passed.", |row| f64::from(u8::from(row.outcome == Outcome::Pass))),
    ];
    for (name, help, value) in families {
        family(&mut text, name, help);
        for row in &decision.rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}{} {}", labels(row), value(row));
        }
    }
    text + "# EOF\n"
}

/// The value of a label.
pub(crate) fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
