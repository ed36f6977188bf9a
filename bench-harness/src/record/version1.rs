//! Records of version 1 stay readable: their samples were pairs, and only `compare-peers` and `gpu` wrote them.

use super::verify::{Verified, compare};
use crate::stats::{median, paired_ratio};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Pair {
    peer: String,
    kernel: String,
    n: u64,
    repetitions: u64,
    ours_cpu_ns: u64,
    theirs_cpu_ns: u64,
}

/// Computes the rows again, and the noise.
pub(super) fn verify(file: &Value, samples: &[u8]) -> Result<Verified, String> {
    let mut verified = Verified::default();
    if file.get("what").and_then(Value::as_str) != Some("compare-peers") {
        verified.unchecked.push("version 1 kept no rule to compute these figures from their samples".to_owned());
        return Ok(verified);
    }
    let text = std::str::from_utf8(samples).map_err(|error| format!("its samples are no text: {error}"))?;
    let pairs: Result<Vec<Pair>, _> = text.lines().map(serde_json::from_str).collect();
    let pairs = pairs.map_err(|error| format!("its samples: {error}"))?;
    let rows = file.get("rows").and_then(Value::as_array).ok_or("it has no rows")?;
    let (mut used, mut noise) = (0, 0.0f64);
    for (index, row) in rows.iter().enumerate() {
        let is = |name: &str, value: &Value| row.get(name) == Some(value);
        let of_row: Vec<&Pair> = pairs
            .iter()
            .filter(|pair| {
                is("peer", &json!(pair.peer)) && is("kernel", &json!(pair.kernel)) && is("n", &json!(pair.n))
            })
            .collect();
        used += of_row.len();
        let Some(first) = of_row.first() else {
            verified.differences.push(format!("rows[{index}] has no samples"));
            continue;
        };
        let nanoseconds: Vec<(u64, u64)> = of_row.iter().map(|pair| (pair.ours_cpu_ns, pair.theirs_cpu_ns)).collect();
        let interval = paired_ratio(&nanoseconds);
        let each = |side: fn(&Pair) -> u64| {
            median(&of_row.iter().map(|pair| side(pair) as f64 / pair.repetitions as f64).collect::<Vec<_>>())
        };
        if first.peer == "itself" {
            noise = noise.max(interval.high - 1.0).max(1.0 - interval.low);
        }
        let mut expected = json!({
            "peer": first.peer, "kernel": first.kernel, "n": first.n,
            "ratio": interval.ratio, "low": interval.low, "high": interval.high,
            "ours_ns": each(|pair| pair.ours_cpu_ns), "theirs_ns": each(|pair| pair.theirs_cpu_ns),
            "repetitions": first.repetitions,
        });
        for optional in ["pairs", "values", "engine", "peer_isa"] {
            if let Some(said) = row.get(optional) {
                // The first entries did not count their pairs; who ran on what is not in the samples.
                expected[optional] = if optional == "pairs" { json!(of_row.len()) } else { said.clone() };
            }
        }
        compare(&format!("rows[{index}]"), row, &expected, &mut verified);
    }
    if used != pairs.len() {
        verified.differences.push(format!("{} samples belong to no row", pairs.len() - used));
    }
    if let Some(said) = file.get("noise") {
        compare("noise", said, &json!(noise), &mut verified);
    }
    if file.get("rounds").is_some() {
        verified.unchecked.push("sizes, errors, memory and scaling: version 1 kept no samples of them".to_owned());
    }
    Ok(verified)
}
