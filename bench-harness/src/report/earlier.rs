//! Results of version 1, which `compare-peers` wrote before records had cells.

use super::gather::{Compared, Gathered, Missing, Party, Source, facts};
use crate::record::Label;
use crate::stats::Interval;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    id: String,
    what: String,
    label: Label,
    time_utc: String,
    program: String,
    git: Option<String>,
    argv: Vec<String>,
    machine: Value,
    engine: String,
    noise: Option<f64>,
    rows: Vec<Row>,
    #[serde(default)]
    rounds: Rounds,
}

#[derive(Deserialize)]
struct Row {
    peer: String,
    kernel: String,
    n: u64,
    ratio: f64,
    low: f64,
    high: f64,
    ours_ns: f64,
    theirs_ns: f64,
    #[serde(default = "one")]
    values: u64,
    #[serde(default)]
    pairs: u64,
}

fn one() -> u64 {
    1
}

#[derive(Default, Deserialize)]
struct Rounds {
    #[serde(default)]
    parties: Vec<Side>,
    #[serde(default)]
    absent: Vec<Absent>,
}

#[derive(Deserialize)]
struct Side {
    peer: String,
    length: u64,
    reader: String,
    version: String,
    upload_bytes: f64,
    sum_bytes: f64,
    robots: u64,
    error_rms: f64,
    #[serde(default)]
    memory_bytes: Option<f64>,
}

#[derive(Deserialize)]
struct Absent {
    peer: String,
    absent: String,
}

/// Adds a file's rows.
pub(super) fn take(all: &mut Gathered, file: &Value) -> Result<(), String> {
    let file: File = serde_json::from_value(file.clone())
        .map_err(|error| format!("a result of version 1, and not one of compare-peers: {error}"))?;
    let source = all.sources.len();
    all.sources.push(Source {
        id: file.id,
        command: file.what,
        begin_utc: file.time_utc,
        commit: file.git.unwrap_or("unknown".to_owned()),
        program: file.program,
        argv: file.argv.join(" "),
        engine: file.engine,
        gpu: None,
        machine: facts(&file.machine),
        noise: file.noise,
        checks: 0,
        labels: vec![file.label],
    });
    all.compared.extend(file.rows.into_iter().map(|row| Compared {
        source,
        peer: row.peer,
        kernel: row.kernel,
        n: row.n,
        interval: Interval { ratio: row.ratio, low: row.low, high: row.high },
        ours_ns: row.ours_ns,
        theirs_ns: row.theirs_ns,
        values: row.values,
        pairs: row.pairs,
    }));
    all.parties.extend(file.rounds.parties.into_iter().map(|side| Party {
        source,
        peer: side.peer,
        length: side.length,
        reader: side.reader,
        version: side.version,
        robots: side.robots,
        upload_bytes: side.upload_bytes,
        sum_bytes: side.sum_bytes,
        error_rms: side.error_rms,
        memory_bytes: side.memory_bytes,
    }));
    all.missing.extend(file.rounds.absent.into_iter().map(|one| Missing { source, what: one.peer, why: one.absent }));
    Ok(())
}
