//! The figures of a page for programs and for pull requests: CSV with one figure a line, and Markdown.

use super::gather::{Compared, Gathered};
use crate::compare::ITSELF;
use crate::micro::view::{bytes, nanoseconds};
use crate::record::Measure;
use crate::stats::Interval;
use std::fmt::Write;

/// What reads Markdown takes 64 KiB.
const MARKDOWN_BYTES: usize = 60_000;

/// A field of CSV: quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe.
#[must_use]
pub fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t']) && text.parse::<f64>().is_err() {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// A line of CSV.
#[must_use]
pub fn line(fields: &[&str]) -> String {
    fields.iter().map(|text| field(text)).collect::<Vec<_>>().join(",") + "\n"
}

/// A cell of a Markdown table.
#[must_use]
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// Text that grows line by line until what reads it would take no more.
#[derive(Debug, Default)]
pub struct Markdown {
    text: String,
    is_full: bool,
}

impl Markdown {
    /// Adds a line; once there is no room, says so instead, once.
    pub fn line(&mut self, line: &str) {
        if self.is_full {
            return;
        }
        if self.text.len() + line.len() > MARKDOWN_BYTES {
            self.is_full = true;
            self.text += "\nThe rest is in the results.\n";
            return;
        }
        self.text += line;
        self.text.push('\n');
    }

    /// Adds a table's heading.
    pub fn heading(&mut self, title: &str, columns: &[&str]) {
        self.line(&format!("\n## {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())));
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[String]) {
        let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }
}

/// Kernels, stages and peers as Markdown.
#[must_use]
pub fn markdown(all: &Gathered) -> String {
    let mut text = Markdown::default();
    text.line("# Kernels, stages and peers\n");
    for source in &all.sources {
        let noise = source.noise.map_or("not measured".to_owned(), |noise| format!("{:.2} %", 100.0 * noise));
        text.line(&format!(
            "* {}: {}, {}, commit {}, {} outputs checked, identical code differed by {noise}",
            cell(&source.id),
            cell(&source.engine),
            cell(&source.begin_utc),
            cell(&source.commit),
            source.checks
        ));
    }
    peers(&mut text, all);
    parties(&mut text, all);
    singles(&mut text, all);
    text.finish()
}

fn peers(text: &mut Markdown, all: &Gathered) {
    let mut others = all.compared.iter().filter(|row| row.peer != ITSELF).peekable();
    if others.peek().is_none() {
        return;
    }
    text.heading("Ours against others", &["peer", "what", "n", "their time over ours", "95 % interval", "result"]);
    for Compared { peer, kernel, n, interval, source, .. } in others {
        let Interval { ratio, low, high } = interval;
        text.row(&[
            peer.clone(),
            kernel.clone(),
            n.to_string(),
            format!("{ratio:.3}"),
            format!("{low:.3} .. {high:.3}"),
            all.sources[*source].id.clone(),
        ]);
    }
}

fn parties(text: &mut Markdown, all: &Gathered) {
    if all.parties.is_empty() {
        return;
    }
    let columns =
        ["peer", "values", "sent, bytes per value", "sum, bytes per value", "error, rms", "who can read one update"];
    text.heading("Whole rounds", &columns);
    for party in &all.parties {
        let per = |bytes: f64| format!("{:.3}", bytes / party.length as f64);
        text.row(&[
            party.peer.clone(),
            party.length.to_string(),
            per(party.upload_bytes),
            per(party.sum_bytes),
            format!("{:.2e}", party.error_rms),
            party.reader.clone(),
        ]);
    }
}

fn singles(text: &mut Markdown, all: &Gathered) {
    if all.measured.is_empty() {
        return;
    }
    let columns = ["case", "size", "robots", "engine", "threads", "time", "95 % interval", "gain"];
    text.heading("Kernels and stages", &columns);
    for row in all.measured.iter().flat_map(|one| &one.rows) {
        for arm in &row.arms {
            let Interval { ratio, low, high } = arm.time_ns;
            text.row(&[
                format!("{} {}{}", row.kind, row.name, row.n.map_or(String::new(), |n| format!(" {n}"))),
                bytes(row.size),
                row.clients.map_or("-".to_owned(), |clients| clients.to_string()),
                row.backend.clone(),
                arm.threads.to_string(),
                format!("{} per {}", nanoseconds(ratio), row.item),
                format!("{} .. {}", nanoseconds(low), nanoseconds(high)),
                arm.gain.map_or("-".to_owned(), |gain| format!("{:.2} x", gain.ratio)),
            ]);
        }
    }
}

/// The columns of a line of figures.
const CSV: [&str; 13] = [
    "result",
    "kind",
    "name",
    "n",
    "size_bytes",
    "robots",
    "who",
    "threads",
    "figure",
    "median",
    "low",
    "high",
    "samples",
];

/// The same as CSV: one figure a line, with its interval where it has one.
#[must_use]
pub fn csv(all: &Gathered) -> String {
    let mut text = line(&CSV);
    let mut add = |source: usize, key: [&str; 7], figure: &str, values: [String; 4]| {
        let id = all.sources[source].id.as_str();
        let [kind, name, n, size, robots, who, threads] = key;
        let [median, low, high, samples] = &values;
        text += &line(&[id, kind, name, n, size, robots, who, threads, figure, median, low, high, samples]);
    };
    let interval = |Interval { ratio, low, high }: Interval, samples: u64| {
        [ratio.to_string(), low.to_string(), high.to_string(), samples.to_string()]
    };
    let plain = |value: f64| [value.to_string(), String::new(), String::new(), String::new()];
    for row in &all.compared {
        let n = row.n.to_string();
        let key = ["peer", row.kernel.as_str(), n.as_str(), "", "", row.peer.as_str(), "1"];
        add(row.source, key, "their_time_over_ours", interval(row.interval, row.pairs));
        add(row.source, key, "ours_ns_per_run", plain(row.ours_ns));
        add(row.source, key, "theirs_ns_per_run", plain(row.theirs_ns));
    }
    for party in &all.parties {
        let (n, robots) = (party.length.to_string(), party.robots.to_string());
        let key = ["round", "sizes", n.as_str(), "", robots.as_str(), party.peer.as_str(), ""];
        add(party.source, key, "upload_bytes", plain(party.upload_bytes));
        add(party.source, key, "sum_bytes", plain(party.sum_bytes));
        add(party.source, key, "error_rms", plain(party.error_rms));
        if let Some(memory) = party.memory_bytes {
            add(party.source, key, "memory_bytes", plain(memory));
        }
    }
    let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    for one in &all.measured {
        for row in &one.rows {
            let (n, size, clients) = (number(row.n), row.size.to_string(), number(row.clients));
            for arm in &row.arms {
                let threads = arm.threads.to_string();
                let key = [row.kind, &row.name, &n, &size, &clients, &row.backend, &threads];
                let clock = if arm.measure == Measure::CpuNs { "cpu" } else { "wall" };
                let item = row.item.replace(' ', "_");
                add(one.source, key, &format!("{clock}_ns_per_{item}"), interval(arm.time_ns, arm.samples));
                if let Some(share) = row.share().filter(|_| arm.threads == 1) {
                    add(one.source, key, "share_of_floor", plain(share));
                }
                if let Some(ns) = row.in_kernels_ns.filter(|_| arm.threads == 1) {
                    add(one.source, key, &format!("in_kernels_ns_per_{item}"), plain(ns));
                }
                if let Some(share) = row.copy_share.filter(|_| arm.threads == 1) {
                    add(one.source, key, "share_of_copy_rate", plain(share));
                }
                if let Some(gain) = arm.gain {
                    add(one.source, key, "times_as_fast_as_one_thread", interval(gain, arm.samples));
                }
            }
        }
    }
    for one in &all.heap {
        let key = ["memory", one.cell.as_str(), "", "", "", "", "1"];
        add(one.source, key, "allocations", plain(one.allocations));
        add(one.source, key, "allocated_bytes", plain(one.allocated_bytes));
        add(one.source, key, "heap_bytes", plain(one.heap_bytes));
    }
    text
}

/// Writes `# TYPE` and `# HELP` of a metric for a scraper.
pub fn family(text: &mut String, name: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# TYPE {name} gauge\n# HELP {name} {help}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_break_out_of_their_column_or_become_formulas() {
        assert_eq!(line(&["a", "b,c", "say \"x\"", "-1.5"]), "a,\"b,c\",\"say \"\"x\"\"\",-1.5\n");
        assert_eq!(field("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(cell("a|b\n<c"), "a\\|b &lt;c");
    }

    #[test]
    fn markdown_stays_short_enough_to_be_read() {
        let mut text = Markdown::default();
        for _ in 0..2000 {
            text.row(&["x".repeat(50)]);
        }
        let text = text.finish();
        assert!(text.len() < 64 << 10 && text.ends_with("The rest is in the results.\n"), "{}", text.len());
    }
}
