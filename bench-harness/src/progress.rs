//! One line that says how far it is: rewritten on a terminal, every 30 seconds otherwise.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a line is printed where it cannot be rewritten.
const QUIET: Duration = Duration::from_secs(30);

/// Progress through a known number of steps, on standard error.
#[derive(Debug)]
pub struct Progress {
    steps: usize,
    done: usize,
    begin: Instant,
    last: Instant,
    terminal: bool,
}

impl Progress {
    /// Nothing done yet.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let now = Instant::now();
        Self { steps, done: 0, begin: now, last: now, terminal: std::io::stderr().is_terminal() }
    }

    /// Says that the next step begins.
    pub fn step(&mut self, what: &str) {
        let line = format!("[{}/{}] {what}{}", self.done + 1, self.steps, self.left());
        let mut out = std::io::stderr();
        // A terminal that went away is no reason to stop.
        if self.terminal {
            let _ = write!(out, "\r\x1b[K{line}");
            let _ = out.flush();
        } else if self.last.elapsed() >= QUIET {
            self.last = Instant::now();
            let _ = writeln!(out, "{line}");
        }
        self.done += 1;
    }

    /// Guesses the time left once something is done.
    fn left(&self) -> String {
        if self.done == 0 {
            return String::new();
        }
        let each = self.begin.elapsed().as_secs_f64() / self.done as f64;
        format!(", about {:.0} s left", each * (self.steps - self.done.min(self.steps)) as f64)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
