//! A decision for machines: JUnit, Markdown, OpenMetrics. JSON is the decision itself.

use super::{Decision, Outcome, Row, percent};
use crate::report::export::family;
use std::fmt::Write;

/// For what reads test reports. A row that is not decided is an error: it has not passed.
#[must_use]
pub fn junit(decision: &Decision) -> String {
    let count = |outcomes: &[Outcome]| decision.rows.iter().filter(|row| outcomes.contains(&row.outcome)).count();
    let (failures, errors) = (count(&[Outcome::Fail]), count(&[Outcome::Unfit, Outcome::Inconclusive]));
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"tensorguard\" tests=\"{}\" failures=\"{failures}\" \
         errors=\"{errors}\">\n",
        decision.rows.len()
    );
    for row in &decision.rows {
        let (name, measure) = (escape(&row.metric), row.measure.name());
        let said = escape(&said(row));
        // Writing to a string cannot fail.
        let _ = write!(text, "  <testcase classname=\"tensorguard.{measure}\" name=\"{name}\">");
        let _ = match row.outcome {
            Outcome::Pass => write!(text, "<system-out>{said}</system-out>"),
            Outcome::Fail => write!(text, "<failure message=\"{said}\"/>"),
            Outcome::Unfit | Outcome::Inconclusive => {
                write!(text, "<error type=\"{}\" message=\"{said}\"/>", row.outcome.word())
            }
        };
        text += "</testcase>\n";
    }
    text + "</testsuite>\n"
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
        "### TensorGuard: {}\n\nBlind below {:.1} %; identical code differed by {:.2} % in this session.\n\n\
         | | metric | measure | change | 95 % interval | allowed | pairs |\n|---|---|---|---|---|---|---|\n",
        decision.outcome.word(),
        100.0 * decision.blind_below,
        100.0 * decision.noise
    );
    let mut rows: Vec<&Row> = decision.rows.iter().collect();
    rows.sort_by_key(|row| row.outcome);
    for row in rows {
        let Row { metric, measure, outcome, ratio, low, high, pairs, delta, .. } = row;
        let (low, high) = (percent(*low), percent(*high));
        let interval = if *pairs == 0 { "exact".to_owned() } else { format!("{low:+.2} .. {high:+.2} %") };
        let line = format!(
            "| {} | {} | {} | {:+.2} % | {interval} | {:.2} % | {pairs} |\n",
            outcome.word(),
            metric.replace('|', "\\|"),
            measure.name(),
            percent(*ratio),
            100.0 * delta
        );
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
