//! One line that says how far it is: rewritten on a terminal, every 30 seconds otherwise; or nothing; or JSON events.

use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What to say meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// A line that is rewritten on a terminal; elsewhere one every 30 seconds.
    Auto,
    /// Nothing.
    Quiet,
    /// One JSON object for each step.
    Json,
}

static MODE: OnceLock<Mode> = OnceLock::new();

/// Chooses for the whole process, once, before anything is measured.
pub fn choose(mode: Mode) {
    // The first choice stays.
    let _ = MODE.set(mode);
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'static str,
    step: usize,
    steps: usize,
    what: &'a str,
    left_s: Option<f64>,
}

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
    /// What follows all steps and takes a known time.
    later: Duration,
}

impl Progress {
    /// Nothing done yet.
    #[must_use]
    pub fn new(steps: usize) -> Self {
        let now = Instant::now();
        Self { steps, done: 0, begin: now, last: now, terminal: std::io::stderr().is_terminal(), later: Duration::ZERO }
    }

    /// Says that the next step begins.
    pub fn step(&mut self, what: &str) {
        self.say("step", self.done + 1, what);
        self.done += 1;
    }

    /// Says what follows all steps and takes so long.
    pub fn later(&mut self, later: Duration) {
        self.later = later;
    }

    /// So many steps come to those that were known.
    pub fn more(&mut self, steps: usize) {
        self.steps += steps;
    }

    /// Says how the step at hand is doing: an interval so far.
    pub fn live(&mut self, what: &str) {
        self.say("live", self.done, what);
    }

    fn say(&mut self, event: &'static str, step: usize, what: &str) {
        let (steps, left_s) = (self.steps, self.left_s());
        let mut out = std::io::stderr();
        // A terminal that went away is no reason to stop.
        match MODE.get().copied().unwrap_or(Mode::Auto) {
            Mode::Quiet => {}
            Mode::Json => {
                let event = Event { event, step, steps, what, left_s };
                let _ = writeln!(out, "{}", serde_json::to_string(&event).unwrap_or_default());
            }
            Mode::Auto => {
                // What matters most first: a narrow terminal shows the beginning.
                let left = left_s.map_or(String::new(), |left_s| format!("about {left_s:.0} s left, "));
                let line = format!("[{step}/{steps}] {left}{what}");
                if self.terminal {
                    let _ = write!(out, "{}", rewritten(&line));
                    let _ = out.flush();
                } else if self.last.elapsed() >= QUIET {
                    self.last = Instant::now();
                    let _ = writeln!(out, "{line}");
                }
            }
        }
    }

    /// Guesses the time left once something is done.
    fn left_s(&self) -> Option<f64> {
        if self.done == 0 {
            return None;
        }
        let each = self.begin.elapsed().as_secs_f64() / self.done as f64;
        Some(each * (self.steps - self.done.min(self.steps)) as f64 + self.later.as_secs_f64())
    }
}

/// A line over the one before it, at whatever width: the terminal is told not to go on in the next row, where it could not be
/// rewritten any more, and told so again at once.
fn rewritten(line: &str) -> String {
    format!("\r\x1b[K\x1b[?7l{line}\x1b[?7h")
}

impl Drop for Progress {
    fn drop(&mut self) {
        let rewritten = MODE.get().is_none_or(|mode| *mode == Mode::Auto);
        if self.terminal && rewritten {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_all_steps_is_part_of_what_is_left() {
        let mut progress = Progress::new(1);
        assert_eq!(progress.left_s(), None);
        progress.done = 1;
        assert_eq!(progress.left_s(), Some(0.0));
        progress.later(Duration::from_secs(300));
        assert_eq!(progress.left_s(), Some(300.0));
        progress.more(3);
        assert!(progress.left_s() > Some(300.0));
    }

    #[test]
    fn a_rewritten_line_never_goes_on_in_the_next_row() {
        let line = rewritten(&"x".repeat(200));
        let place = |text: &str| line.find(text).expect(text);
        assert!(place("\x1b[?7l") < place("xx") && place("\x1b[?7h") > place("xx"), "{line:?}");
        assert!(line.starts_with('\r'));
    }
}
