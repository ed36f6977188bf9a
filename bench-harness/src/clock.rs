//! Clocks, and samples of a chosen length.

use rustix::time::{ClockId, clock_gettime};
use std::time::Instant;

/// CPU time of this process so far, all threads together, in nanoseconds.
#[must_use]
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    // Never negative.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// What some work took, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// CPU time of the process, all threads together.
    pub cpu_ns: u64,
    /// Elapsed time.
    pub wall_ns: u64,
}

impl Spent {
    /// Takes the time of `work`, and adds it.
    pub fn on<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (begin, cpu) = (Instant::now(), cpu_ns());
        let done = work();
        self.cpu_ns += cpu_ns() - cpu;
        // Half a millennium fits.
        self.wall_ns += begin.elapsed().as_nanos() as u64;
        done
    }

    /// By one of them.
    #[must_use]
    pub fn by(self, clock: Clock) -> u64 {
        match clock {
            Clock::Cpu => self.cpu_ns,
            Clock::Wall => self.wall_ns,
        }
    }
}

/// Which clock a sample is taken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CPU time: what other processes do hardly shows. For one thread.
    Cpu,
    /// Elapsed time. For several threads.
    Wall,
}

impl Clock {
    /// Nanoseconds that `repetitions` runs take.
    ///
    /// # Errors
    /// The first that `run` gives.
    pub fn sample<E>(self, repetitions: u64, mut run: impl FnMut() -> Result<(), E>) -> Result<u64, E> {
        let mut spent = Spent::default();
        spent.on(|| (0..repetitions).try_for_each(|_| run()))?;
        Ok(spent.by(self))
    }

    /// How many runs take about `target_ns`: at least one.
    ///
    /// # Errors
    /// The first that `run` gives.
    pub fn calibrate<E>(self, target_ns: u64, mut run: impl FnMut() -> Result<(), E>) -> Result<u64, E> {
        // The first run pays for untouched memory.
        run()?;
        let mut repetitions = 1;
        loop {
            let took = self.sample(repetitions, &mut run)?.max(1);
            if took >= target_ns / 4 {
                return Ok((repetitions * target_ns / took).max(1));
            }
            repetitions *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::hint::black_box;

    #[test]
    fn a_sample_has_about_the_length_asked_for() {
        let work = || {
            black_box((0..black_box(10_000u64)).fold(0, |sum: u64, x| black_box(sum.wrapping_add(x))));
            Ok::<(), Infallible>(())
        };
        let took = || {
            let Ok(repetitions) = Clock::Cpu.calibrate(4_000_000, work);
            let Ok(took) = Clock::Cpu.sample(repetitions, work);
            took
        };
        // A virtual machine may be held for a while, and then counts that as ours.
        let some: Vec<u64> = (0..5).map(|_| took()).collect();
        assert!(some.iter().any(|took| (400_000..40_000_000).contains(took)), "{some:?} ns");
    }
}
