//! `results/INDEX.md`: one line for each entry, made from the entries.

use super::journal::{RESULT, read_limited};
use crate::failure::Failure;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The index's name in the results folder.
pub const INDEX: &str = "INDEX.md";

/// The text of the index of a results folder.
///
/// # Errors
/// [`Failure::Usage`] where the folder or a record cannot be read.
pub fn index(results: &Path) -> Result<String, Failure> {
    let shown = results.display();
    let entries = fs::read_dir(results).map_err(|error| Failure::Usage(format!("cannot read {shown}: {error}")))?;
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut ids: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    ids.sort();
    let mut text = String::from(
        "# Measurements, one line each\n\nMade by `tensorguard results index`; do not edit. `+changes`: tracked files \
         differed from the commit.\n\n| entry | command | begun, UTC | commit | engine | rows | identical code differed by |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for id in ids {
        let path = results.join(&id).join(RESULT);
        let record: Value = serde_json::from_slice(&read_limited(&path)?)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(&id, &record));
    }
    Ok(text)
}

fn line(id: &str, record: &Value) -> String {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let first = |pointers: [&str; 2]| pointers.iter().find_map(|pointer| text(pointer)).unwrap_or("unknown".to_owned());
    let short = |commit: &str| commit.chars().take(10).collect::<String>();
    let commit = match text("/header/git/commit") {
        Some(commit) if record.pointer("/header/git/is_dirty") == Some(&Value::Bool(true)) => {
            short(&commit) + "+changes"
        }
        Some(commit) => short(&commit),
        None => text("/git").map_or("unknown".to_owned(), |git| {
            let changes = if git.ends_with("+changes") { "+changes" } else { "" };
            short(&git) + changes
        }),
    };
    let rows = ["/matrix", "/learning", "/cells", "/rows", "/report/rows"]
        .iter()
        .find_map(|rows| record.pointer(rows)?.as_array());
    let rows = rows.map_or(0, Vec::len);
    let noise = record.get("noise").and_then(Value::as_f64);
    let noise = noise.map_or("not measured".to_owned(), |noise| format!("{:.1} %", 100.0 * noise));
    let (command, begun) = (first(["/header/command", "/what"]), first(["/header/begin_utc", "/time_utc"]));
    let engine = first(["/environment/engine", "/engine"]);
    format!("| [{id}]({id}/summary.md) | {command} | {begun} | {commit} | {engine} | {rows} | {noise} |")
}
