//! How quiet this machine is: the same code on both sides of a comparison, in about a second.

use crate::clock::{Clock, cpu_ns};
use crate::failure::Failure;
use crate::found::Found;
use crate::paired;
use crate::stats::{Interval, paired_ratio, percentile};
use crate::task::{Case, Kernel, Scale, Task, check};
use kernels::cpu::Cpu;
use std::time::Instant;

/// Length of a sample.
const SAMPLE_NS: u64 = 8_000_000;
/// Pairs: 0.8 s where nobody else computes.
const PAIRS: usize = 50;
/// On a crowded machine fewer pairs are taken, but some.
const MOST: std::time::Duration = std::time::Duration::from_millis(1800);
const LEAST_PAIRS: usize = 8;

/// A clock's word.
fn row(name: &str, pairs: &[(u64, u64)]) -> Found {
    let Interval { low, high, .. } = paired_ratio(pairs);
    let far = (high - 1.0).max(1.0 - low);
    let logs: Vec<f64> = pairs.iter().map(|&(one, other)| (other as f64 / one as f64).ln().abs()).collect();
    let single = percentile(&logs, 0.95).exp() - 1.0;
    Found::present(
        name,
        format!(
            "identical code differs by {:.1} % over {} pairs, a single pair by up to {:.1} %",
            100.0 * far,
            pairs.len(),
            100.0 * single
        ),
    )
}

/// Compares a transform with itself, in turns, by CPU time and by elapsed time.
///
/// # Errors
/// [`Failure::Wrong`] where its output is wrong.
pub fn look() -> Result<Vec<Found>, Failure> {
    let (cpu, case) = (Cpu::best(1), Case { kernel: Kernel::Forward, n: 4096 });
    check(&cpu, case)?;
    let mut task = Task::new(case, Scale::Small)?;
    let repetitions = Clock::Cpu.calibrate(SAMPLE_NS, || task.step(&cpu))?;
    let begin = Instant::now();
    let mut rows: Vec<Vec<(u64, u64)>> = Vec::new();
    while rows.len() < PAIRS && (rows.len() < LEAST_PAIRS || begin.elapsed() < MOST) {
        let turn = rows.len();
        rows.extend(paired::take_turns(2, turn..turn + 1, |_| {
            let (elapsed, used) = (Instant::now(), cpu_ns());
            (0..repetitions).try_for_each(|_| task.step(&cpu))?;
            Ok((cpu_ns() - used, elapsed.elapsed().as_nanos() as u64))
        })?);
    }
    let pairs = |clock: fn(&(u64, u64)) -> u64| -> Vec<(u64, u64)> {
        rows.iter().map(|row| (clock(&row[0]).max(1), clock(&row[1]).max(1))).collect()
    };
    Ok(vec![row("CPU time", &pairs(|both| both.0)), row("elapsed time", &pairs(|both| both.1))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_that_differ_are_not_called_quiet() {
        let quiet = row("a", &[(1000, 1001); 20]);
        assert!(quiet.note.contains("differs by 0.1 % over 20 pairs, a single pair by up to 0.1 %"), "{}", quiet.note);
        let loud = row("a", &[(1000, 1100); 20]);
        assert!(loud.note.contains("differs by 10.0 %"), "{}", loud.note);
    }

    #[test]
    fn a_look_takes_turns_and_gives_both_clocks() {
        let found = look().expect("the engine is right");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| found.present && found.note.contains("identical code")), "{found:?}");
    }
}
