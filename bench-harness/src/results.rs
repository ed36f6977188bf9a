//! Results on disk: `<date>-<machine>-<what>/{samples.jsonl, result.json, summary.md}`, never overwritten.

use crate::compare::{self, Comparison};
use crate::end_to_end::Rounds;
use crate::failure::Failure;
use crate::gpu::{Report, Row};
use crate::machine::{Machine, load};
use crate::stats::SEED;
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Raised when a reader of `result.json` must change.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    id: &'a str,
    what: &'static str,
    /// Measured here, on real code: BENCH's label M.
    label: &'static str,
    time_utc: String,
    program: &'static str,
    /// The commit, `+changes` if files differed from it; null outside a checkout.
    git: Option<String>,
    argv: Vec<String>,
    bootstrap_seed: u64,
    machine: &'a Machine,
    load_after: Option<f64>,
    engine: &'static str,
    noise: f64,
    rows: &'a [compare::Row],
    rounds: &'a Rounds,
}

#[derive(Serialize)]
struct Sample {
    peer: &'static str,
    kernel: &'static str,
    n: usize,
    pair: usize,
    first: &'static str,
    repetitions: u64,
    ours_cpu_ns: u64,
    theirs_cpu_ns: u64,
}

/// Writes a comparison into a new folder below `parent` and returns the folder.
///
/// # Errors
/// [`Failure::Internal`] where files cannot be written.
pub fn write(parent: &Path, comparison: &Comparison) -> Result<PathBuf, Failure> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let filter: String = comparison.filter.chars().filter(char::is_ascii_alphanumeric).collect();
    let filter = if filter.is_empty() { "all".to_owned() } else { filter };
    let engine = comparison.engine.trim_start_matches("cpu-");
    let name = format!("{}-{}-peers-{filter}-{engine}", date(seconds), comparison.machine.label());
    let failed = |error: std::io::Error| Failure::Internal(format!("cannot write results: {error}; see --out"));
    fs::create_dir_all(parent).map_err(failed)?;
    let folder = new_folder(parent, &name).map_err(failed)?;
    let id = folder.file_name().unwrap_or_default().to_string_lossy();
    let result = Record {
        version: VERSION,
        id: &id,
        what: "compare-peers",
        label: "M",
        time_utc: format!("{}T{:02}:{:02}Z", date(seconds), seconds / 3600 % 24, seconds / 60 % 60),
        program: concat!("tensorguard ", env!("CARGO_PKG_VERSION")),
        git: git(),
        argv: std::env::args().skip(1).collect(),
        bootstrap_seed: SEED,
        machine: &comparison.machine,
        load_after: load(),
        engine: comparison.engine,
        noise: comparison.noise(),
        rows: &comparison.rows,
        rounds: &comparison.rounds,
    };
    fs::write(folder.join("samples.jsonl"), samples(&comparison.rows)?).map_err(failed)?;
    fs::write(folder.join("result.json"), serde_json::to_string_pretty(&result)? + "\n").map_err(failed)?;
    fs::write(folder.join("summary.md"), summary(&result, comparison)).map_err(failed)?;
    Ok(folder)
}

/// Writes what was measured on a GPU into a new folder below `parent` and returns the folder.
///
/// # Errors
/// [`Failure::Internal`] where files cannot be written.
pub fn write_gpu(parent: &Path, report: &Report) -> Result<PathBuf, Failure> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let failed = |error: std::io::Error| Failure::Internal(format!("cannot write results: {error}; see --out"));
    fs::create_dir_all(parent).map_err(failed)?;
    let folder = new_folder(parent, &format!("{}-{}-gpu", date(seconds), report.device.label())).map_err(failed)?;
    let id = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut samples = String::new();
    for Row { name, samples_ns, .. } in &report.rows {
        samples += &(serde_json::json!({ "name": name, "ns": samples_ns }).to_string() + "\n");
    }
    let result = serde_json::json!({
        "version": VERSION,
        "id": id,
        "what": "gpu",
        "label": "M",
        "time_utc": format!("{}T{:02}:{:02}Z", date(seconds), seconds / 3600 % 24, seconds / 60 % 60),
        "report": report,
    });
    fs::write(folder.join("samples.jsonl"), samples).map_err(failed)?;
    fs::write(folder.join("result.json"), serde_json::to_string_pretty(&result)? + "\n").map_err(failed)?;
    fs::write(folder.join("summary.md"), format!("# {id}\n\n```text\n{report}```\n")).map_err(failed)?;
    Ok(folder)
}

fn new_folder(parent: &Path, name: &str) -> std::io::Result<PathBuf> {
    let mut folder = parent.join(name);
    for count in 2..1000 {
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                folder = parent.join(format!("{name}-{count}"));
            }
            done => return done.map(|()| folder),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}

fn samples(rows: &[compare::Row]) -> Result<String, Failure> {
    let mut lines = String::new();
    for row in rows {
        for (pair, &(ours_cpu_ns, theirs_cpu_ns)) in row.samples.iter().enumerate() {
            let first = if pair % 2 == 0 { "ours" } else { "theirs" };
            let &compare::Row { peer, kernel, n, repetitions, .. } = row;
            let sample = Sample { peer, kernel, n, pair, first, repetitions, ours_cpu_ns, theirs_cpu_ns };
            lines += &serde_json::to_string(&sample)?;
            lines.push('\n');
        }
    }
    Ok(lines)
}

fn summary(result: &Record<'_>, comparison: &Comparison) -> String {
    let mut text = String::new();
    let load = |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
    let lines = [
        format!("# {}\n", result.id),
        format!("Measured {} with `tensorguard {}`.", result.time_utc, result.argv.join(" ")),
        format!("Commit {}.", result.git.as_deref().unwrap_or("unknown")),
        format!("Load {} before, {} after.\n", load(comparison.machine.load), load(result.load_after)),
        "```text".to_owned(),
        comparison.to_string().trim_end().to_owned(),
        "```".to_owned(),
    ];
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn git() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|list| !list.is_empty());
    Some(if changed { format!("{commit}+changes") } else { commit })
}

/// The day of a time in seconds since 1970, UTC, as YYYY-MM-DD. Howard Hinnant's civil_from_days.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + u64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        let days = [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (951_868_800, "2000-03-01")];
        for (seconds, expected) in days {
            assert_eq!(date(seconds), expected);
        }
        assert_eq!(date(4_107_542_400 - 1), "2100-02-28");
        assert_eq!(date(1_798_761_599), "2026-12-31");
    }

    #[test]
    fn a_folder_is_never_used_twice() {
        let parent = std::env::temp_dir().join(format!("tensorguard-results-{}", std::process::id()));
        fs::create_dir_all(&parent).expect("a temporary folder");
        let names: Vec<_> = (0..3).filter_map(|_| new_folder(&parent, "a").ok()).collect();
        fs::remove_dir_all(&parent).expect("it was just made");
        assert_eq!(names, [parent.join("a"), parent.join("a-2"), parent.join("a-3")]);
    }
}
