//! How long a run will take, from one that was: its time by the clock, scaled by the computing of the fleets that both have.

use super::grid::Fleet;
use super::trace::{AttemptTrace, FleetTrace, RoundTrace};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::record::fold::Journal;
use crate::record::journal::{SAMPLES, read_limited};
use crate::record::{Line, MatrixLine};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A guess.
#[derive(Clone, Debug, PartialEq)]
pub struct Eta {
    /// How long, for the fleets that are known.
    pub takes: Duration,
    /// Fleets that the other run had too.
    pub known: usize,
    /// Of so many.
    pub of: usize,
    /// The other run.
    pub from: PathBuf,
}

/// For these fleets of so many campaigns, from the run in this folder; none where it has nothing to go by.
///
/// # Errors
/// [`Failure::Usage`] where there is no run.
pub fn eta(fleets: &[Fleet], campaigns: u32, folder: &Path) -> Result<Option<Eta>, Failure> {
    let path = folder.join(SAMPLES);
    let journal = Journal::parse(&read_limited(&path)?);
    let journal = journal.map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))?;
    Ok(guess(fleets, campaigns, &journal.lines).map(|(takes, known)| Eta {
        takes,
        known,
        of: fleets.len(),
        from: folder.to_owned(),
    }))
}

/// The newest run of the matrix on this machine in a folder of results.
#[must_use]
pub fn newest(parent: &Path) -> Option<PathBuf> {
    let label = Machine::look().label();
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().contains(&format!("{label}-matrix-")));
    let dated = named.filter_map(|entry| {
        let at = entry.path().join(SAMPLES).metadata().ok()?.modified().ok()?;
        Some((at, entry.path()))
    });
    dated.max_by_key(|(at, _)| *at).map(|(_, path)| path)
}

fn guess(fleets: &[Fleet], campaigns: u32, lines: &[Line]) -> Option<(Duration, usize)> {
    let traces = || {
        lines
            .iter()
            .filter_map(|line| if let Line::Matrix(MatrixLine { trace, .. }) = line { Some(trace) } else { None })
    };
    let wall_ns =
        lines.iter().find_map(|line| if let Line::Footer(footer) = line { Some(footer.wall_ns) } else { None })?;
    let all: f64 = traces().map(computing_ns).sum();
    let of = |fleet: &Fleet| {
        // How values travel matters little beside training.
        let alike = |trace: &&FleetTrace| Fleet { profile: fleet.profile, ..trace.fleet } == *fleet;
        let trace = traces().find(|trace| trace.fleet == *fleet).or_else(|| traces().find(alike))?;
        Some(computing_ns(trace) / trace.campaigns.len().max(1) as f64)
    };
    let known: Vec<f64> = fleets.iter().filter_map(of).collect();
    if known.is_empty() || all <= 0.0 {
        return None;
    }
    let share = known.iter().sum::<f64>() * f64::from(campaigns) / all;
    Some((Duration::from_secs_f64(wall_ns as f64 * 1e-9 * share), known.len()))
}

/// CPU time that a fleet's campaigns recorded. What is not in it, such as soaking, grows with it.
fn computing_ns(trace: &FleetTrace) -> f64 {
    let attempt = |attempt: &AttemptTrace| {
        let rounds: u64 = attempt.rounds.iter().map(round_ns).sum();
        rounds + attempt.gate_ns + attempt.canary_ns + attempt.apply_ns.iter().sum::<u64>()
    };
    trace.campaigns.iter().flatten().map(attempt).sum::<u64>() as f64
}

fn round_ns(round: &RoundTrace) -> u64 {
    let times = &round.times;
    let each = [
        &round.collect_ns,
        &round.train_ns,
        &times.clip_ns,
        &times.encrypt_ns,
        &times.sign_ns,
        &times.add_ns,
        &times.plain_encode_ns,
        &times.plain_add_ns,
    ];
    let robots: u64 = each.into_iter().flatten().sum();
    robots + times.check_ns + times.open_ns + times.plain_open_ns
}

#[cfg(test)]
mod tests {
    use super::super::grid::Preset;
    use super::*;
    use crate::filter::Filter;
    use crate::matrix::grid::Cell;
    use crate::matrix::pipeline::Profile;

    fn standard() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/2026-11-22-amd-epyc-2c-matrix-standard")
    }

    fn fleets(preset: Preset, filter: &str) -> Vec<Fleet> {
        let filter = Filter::parse::<Cell>(filter).expect("a filter");
        let cells = preset.cells(&filter, &[Profile::Bits8]).expect("cells");
        let mut fleets: Vec<Fleet> = cells.iter().map(Cell::fleet).collect();
        fleets.dedup();
        fleets
    }

    #[test]
    fn the_same_run_again_takes_as_long_and_half_of_it_less() {
        let all = fleets(Preset::Standard, "");
        let of = |fleets: &[Fleet], campaigns| eta(fleets, campaigns, &standard()).expect("a run").expect("fleets");
        let again = of(&all, 5);
        assert_eq!(again.known, again.of);
        let footer = crate::matrix::run::read(&standard()).expect("a record").footer.expect("its end");
        assert!((again.takes.as_secs_f64() - footer.wall_ns as f64 * 1e-9).abs() < 1e-3, "{again:?}");
        assert!(of(&all, 1).takes * 4 < again.takes);
        let some = of(&fleets(Preset::Standard, "clients==10"), 5);
        assert!(some.takes < again.takes && some.takes > Duration::ZERO, "{some:?}");
    }

    #[test]
    fn fleets_that_never_ran_are_counted_and_not_guessed() {
        let full = eta(&fleets(Preset::Full, ""), 10, &standard()).expect("a run").expect("some fleets");
        assert!(full.known < full.of, "{full:?}");
        assert_eq!(eta(&fleets(Preset::Full, "task==reinforcement && size==10mb"), 10, &standard()), Ok(None));
        assert!(eta(&[], 1, Path::new("/nonexistent")).is_err());
    }
}
