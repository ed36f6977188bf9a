//! Whether this machine can shape a link: tried for real, in a network namespace of its own that goes with the trial.

use crate::found::Found;
use crate::machine::program;
use std::process::Command;

/// What shapes a link, and arguments that it takes anywhere.
const TRIALS: [(&str, &[&str]); 2] =
    [("tbf", &["tbf", "rate", "10mbit", "burst", "4kb", "latency", "50ms"]), ("netem", &["netem", "delay", "1ms"])];

/// Tries each queueing discipline.
#[must_use]
pub fn look() -> Vec<Found> {
    TRIALS.iter().map(|(name, arguments)| Found::of(name, attempt(name, arguments))).collect()
}

fn attempt(name: &str, arguments: &[&str]) -> Result<String, String> {
    for (tool, package) in [("unshare", "util-linux"), ("tc", "iproute2")] {
        if program(tool).is_none() {
            return Err(format!("needs `{tool}`: install the package {package}"));
        }
    }
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command.args(["tc", "qdisc", "add", "dev", "lo", "root"]).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run `unshare`: {error}"))?;
    if output.status.success() {
        let who = if is_root { "as root" } else { "as an ordinary user, in a user namespace" };
        return Ok(format!("shapes a link in a network namespace of its own, {who}"));
    }
    Err(explain(name, &String::from_utf8_lossy(&output.stderr)))
}

/// What the tools' last word means.
fn explain(name: &str, said: &str) -> String {
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
    if last.starts_with("unshare:") {
        return format!("no network namespace here, so none is shaped: run as root, or allow user namespaces ({last})");
    }
    if ["unknown", "No such file"].iter().any(|part| said.contains(part)) {
        return format!("this kernel has no {name}: it needs CONFIG_NET_SCH_{} ({last})", name.to_uppercase());
    }
    format!("refused: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_would_help() {
        let missing = explain("netem", "Error: Specified qdisc kind is unknown.\n");
        assert!(missing.contains("CONFIG_NET_SCH_NETEM"), "{missing}");
        let missing = explain("tbf", "RTNETLINK answers: No such file or directory\n\n");
        assert!(missing.contains("CONFIG_NET_SCH_TBF"), "{missing}");
        assert!(explain("tbf", "unshare: unshare failed: Operation not permitted").contains("run as root"));
        assert_eq!(explain("tbf", ""), "refused: no reason given");
    }

    #[test]
    fn every_discipline_is_there_or_says_why_not() {
        let found = look();
        assert_eq!(found.len(), TRIALS.len());
        assert!(found.iter().all(|found| !found.note.is_empty()), "{found:?}");
    }
}
