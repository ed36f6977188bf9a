//! Options that several commands share, and how a command prints.
// No documentation comments on the structs: clap would print them as the command's own.

use clap::Args;
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use std::time::Duration;
use tensorguard::backends;
use tensorguard::failure::Failure;

/// Where results go without `--out`.
pub(crate) const OUT: &str = "tensorguard-results";

#[derive(Debug, Args)]
pub(crate) struct Engine {
    /// Use this engine instead of the best one: cpu-portable, cpu-avx2, cpu-avx512 or cpu-neon.
    #[arg(long, value_name = "ENGINE")]
    pub(crate) isa: Option<String>,
}

impl Engine {
    pub(crate) fn cpu(&self, threads: usize) -> Result<Cpu, Failure> {
        let Some(name) = &self.isa else { return Ok(Cpu::best(threads)) };
        let Some(&isa) = Isa::ALL.iter().find(|isa| isa.name() == name) else {
            let names: Vec<&str> = Isa::ALL.iter().map(|isa| isa.name()).collect();
            return Err(Failure::Usage(format!("no engine is called {name}; there are {}", names.join(", "))));
        };
        Cpu::with(isa, threads).ok_or_else(|| {
            let why = isa.absent_reason().unwrap_or("it cannot run");
            Failure::Usage(format!("{name} is absent here: {why}. `tensorguard doctor` lists what is present"))
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Who computes instead of the best CPU engine: `tensorguard doctor` lists them. With `ladder` each job goes to the engine that
    /// `tensorguard calibrate` found the fastest at its size, and to the processor where a device fails.
    #[arg(long, value_name = "ENGINE")]
    backend: Option<String>,
}

impl Compute {
    pub(crate) fn open(&self) -> Result<Box<dyn Backend>, Failure> {
        backends::chosen(self.backend.as_deref(), 1)
    }
}

/// A time as people write it: 90s, 20m, 2h.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("'{unit}' is no unit of time; write 90s, 20m or 2h")),
    };
    let count: u64 = digits.parse().map_err(|_| format!("'{text}' is no time; write 90s, 20m or 2h"))?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| format!("'{text}' is too long"))
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// To standard output; a reader that has seen enough, like `head`, is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Internal(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_engine_is_a_usage_error_that_names_the_known_ones() {
        let engine = Engine { isa: Some("cpu-fast".into()) };
        let failure = engine.cpu(1).expect_err("there is no such engine");
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("cpu-portable"), "{failure}");
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("20m"), Ok(Duration::from_secs(1200)));
        assert_eq!(time("2h"), Ok(Duration::from_secs(7200)));
        assert!(time("2d").is_err() && time("x").is_err() && time("99999999999999999999h").is_err());
    }
}
