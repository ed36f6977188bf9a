//! Instructions of one run, counted by valgrind: the same on a busy machine as on an idle one.

use crate::failure::Failure;
use crate::machine::program;
use std::path::Path;
use std::process::{Command, Stdio};

/// Counted at two numbers of runs: what is only done once falls out.
const RUNS: [u64; 2] = [1, 3];

/// Counts the instructions of one run of a metric by this build of the command.
///
/// # Errors
/// [`Failure::Usage`] without valgrind; [`Failure::Internal`] where it does not count.
pub(super) fn count(build: &Path, engine: &str, metric: &str) -> Result<u64, Failure> {
    let valgrind = program("valgrind")
        .ok_or_else(|| Failure::Usage("valgrind is absent; install the package `valgrind`".to_owned()))?;
    let mut counts = [0; 2];
    for (count, runs) in counts.iter_mut().zip(RUNS) {
        let mut command = Command::new(&valgrind);
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(build);
        command.args(["ab-worker", "--isa", engine, "--count", metric, "--runs", &runs.to_string()]);
        let output = command.stdin(Stdio::null()).stdout(Stdio::null()).output();
        let output = output.map_err(|error| Failure::Internal(format!("valgrind: {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        *count = collected(&said).filter(|_| output.status.success()).ok_or_else(|| {
            Failure::Internal(format!("valgrind counted nothing of {metric}: {}", said.lines().last().unwrap_or("")))
        })?;
    }
    Ok(counts[1].saturating_sub(counts[0]) / (RUNS[1] - RUNS[0]))
}

/// `==1== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    said.lines().rev().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_what_valgrind_says() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 1234\n==7==\n"), Some(1234));
        assert_eq!(collected("nothing"), None);
    }
}
