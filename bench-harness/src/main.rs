//! The `tensorguard` command.
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use kernels::cpu::{Cpu, Isa};
use std::path::PathBuf;
use std::process::ExitCode;
use tensorguard::failure::Failure;
use tensorguard::{backends, calibration, compare, device, doctor, gpu, kat, memory, peer, results, table};

/// Measures TensorGuard's kernels on this machine.
///
/// Without a command: each kernel's throughput beside its limit, on one screen, in about twenty seconds. Outputs are
/// compared with the reference before a time counts.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    engine: Engine,
    /// Threads; CPU time is measured for one, elapsed time for more.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  tensorguard                                   the table
  tensorguard --isa cpu-avx2                    the table for one instruction set
  tensorguard doctor                            what this machine offers
  tensorguard calibrate                         from which sizes on the GPU is faster
  tensorguard compare-peers --filter ntt        ours against others, interleaved in one run
  tensorguard kat --in q.json --out a.json      known answers for given seeds

Exit codes: 0 done, 1 something outside failed, 2 usage, 4 nothing selected, 5 too noisy, 8 wrong result.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  tensorguard compare-peers                               everything there is to compare with
  tensorguard compare-peers --filter ntt --json           one JSON row per line
  tensorguard compare-peers --filter ntt --isa cpu-avx2   both sides with AVX2 only
  tensorguard compare-peers --out results                 keep samples, result and summary in a new folder there
  tensorguard compare-peers --filter ntt --smoke          a few pairs of one size: does it work at all?
  tensorguard compare-peers --install-peers               fetch the peers that are Python packages; nothing is measured
  tensorguard compare-peers --filter round                whole rounds: times, sizes, errors, memory

A ratio is their time over ours: above 1, ours is faster. The interval holds it in 95 of 100 resamplings.";

#[derive(Debug, Subcommand)]
enum Command {
    /// What this machine offers: processor, engines and tools, and why what is absent is absent.
    #[command(after_help = "Examples:\n  tensorguard doctor\n  tensorguard doctor --json")]
    Doctor {
        #[command(flatten)]
        gpu: Gpu,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures from which sizes on the GPU is faster than the processor, and remembers it.
    #[command(after_help = "Examples:\n  tensorguard calibrate\n  tensorguard calibrate --adapter llvmpipe")]
    Calibrate {
        #[command(flatten)]
        gpu: Gpu,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The CUDA device: what it can do at best, every kernel against that, and whole jobs with transfers.
    #[command(after_help = "Examples:\n  tensorguard gpu\n  tensorguard gpu --out results")]
    Gpu {
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Small sizes, a few repetitions: a check that it works, not a measurement.
        #[arg(long)]
        smoke: bool,
        /// Folder in which a new folder <date>-<device>-gpu is made for samples, result and summary.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
    /// Ours against others' in one run, taking turns. Builds the others first: needs cargo and the source checkout.
    #[command(after_help = COMPARE_EXAMPLES)]
    ComparePeers {
        /// Only rows whose kernel or peer contains this; `ntt` means both transforms.
        #[arg(long, default_value = "")]
        filter: String,
        #[command(flatten)]
        engine: Engine,
        /// Print one JSON object per row.
        #[arg(long)]
        json: bool,
        /// Three pairs, n = 1024 only: a check that it works, not a measurement.
        #[arg(long)]
        smoke: bool,
        /// Folder in which a new folder <date>-<machine>-<what> is made for samples, result and summary.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Only fetch the peers that are Python packages (TenSEAL with SEAL), from PyPI into bench-harness/peers/target.
        #[arg(long)]
        install_peers: bool,
    },
    /// The server of `compare-peers --filter round`: adds uploads from standard input and says what memory that took.
    #[command(hide = true)]
    SumUploads {
        /// Values of an update.
        #[arg(long)]
        values: usize,
    },
    /// Known answers for given seeds, to compare other programs with this one. Takes no messages: no encryption tool.
    #[command(after_help = KAT_EXAMPLES)]
    Kat {
        /// The requests: JSON, at most 16 MiB.
        #[arg(long = "in", value_name = "FILE")]
        input: PathBuf,
        /// Where the answers go: a new file, or one to replace. Written whole or not at all.
        #[arg(long = "out", value_name = "FILE")]
        output: PathBuf,
        /// Who computes: `tensorguard doctor` lists the backends. Without it, the best CPU engine.
        #[arg(long, value_name = "NAME")]
        backend: Option<String>,
    },
}

const KAT_EXAMPLES: &str = "\
Examples:
  tensorguard kat --in requests.json --out answers.json
  tensorguard kat --in requests.json --out answers.json --backend reference

A requests file is tests/vectors/kat.json with the inputs alone: under any key a suite's n, primes, l, B, rho, a_seed, poly,
and clients with a seed each. Answers that are already in it are computed anew.

This is no encryption tool. It takes no messages: it encrypts one fixed rule, under seeds that everybody who has the file
knows, and writes digests. To encrypt, use the library.";

#[derive(Debug, Args)]
struct Gpu {
    /// Use the first adapter with this in its name instead of the best one.
    #[arg(long, value_name = "NAME", env = "TENSORGUARD_ADAPTER")]
    adapter: Option<String>,
}

#[derive(Debug, Args)]
struct Engine {
    /// Use this engine instead of the best one: cpu-portable, cpu-avx2, cpu-avx512 or cpu-neon.
    #[arg(long, value_name = "ENGINE")]
    isa: Option<String>,
}

impl Engine {
    fn cpu(&self, threads: usize) -> Result<Cpu, Failure> {
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

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tensorguard: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        None => {
            let table = table::measure(&cli.engine.cpu(cli.threads.into())?)?;
            if cli.json { print_json(&table) } else { print(&table.to_string()) }
        }
        Some(Command::Calibrate { gpu, json }) => {
            let absent = |reason: shaders::Absent| Failure::Internal(reason.to_string());
            let choice = device::choice(gpu.adapter.as_deref());
            let (engine, device) = device::open(choice, shaders::Options::default()).map_err(absent)?;
            let stamped = shaders::Options { timing: shaders::Timing::Kernels, ..shaders::Options::default() };
            let (timed, _) = device::open(choice, stamped).map_err(absent)?;
            let path = calibration::path()
                .ok_or_else(|| Failure::Usage("no folder to remember it in: set TENSORGUARD_CACHE".to_owned()))?;
            let measured = calibration::measure(&Cpu::best(device::cores()), &device, &engine, &timed)?;
            calibration::remember(&path, &measured)?;
            if *json {
                print_json(&measured)
            } else {
                print(&format!("{device}\n{measured}wrote {}\n", path.display()))
            }
        }
        Some(Command::Doctor { gpu, json }) => {
            let findings = doctor::examine(gpu.adapter.as_deref());
            if *json { print_json(&findings) } else { print(&findings.to_string()) }
        }
        Some(Command::Gpu { json, smoke, out }) => {
            let report = gpu::measure(if *smoke { gpu::Effort::Smoke } else { gpu::Effort::Full })?;
            if *json {
                print_json(&report)?
            } else {
                print(&report.to_string())?
            }
            if let Some(folder) = out {
                let made = results::write_gpu(folder, &report)?;
                eprintln!("wrote {}", made.display());
            }
            Ok(())
        }
        Some(Command::ComparePeers { install_peers: true, .. }) => peer::install(),
        Some(Command::SumUploads { values }) => {
            print_json(&memory::serve(&Cpu::best(1), *values, &mut std::io::stdin().lock())?)
        }
        Some(Command::ComparePeers { filter, engine, json, smoke, out, .. }) => {
            let effort = if *smoke { compare::Effort::Smoke } else { compare::Effort::Full };
            let comparison = compare::compare(&engine.cpu(1)?, filter, effort)?;
            if *json {
                let rows: Result<Vec<String>, _> = comparison.rows.iter().map(serde_json::to_string).collect();
                print(&(rows?.join("\n") + "\n"))?;
            } else {
                print(&comparison.to_string())?;
            }
            if let Some(folder) = out {
                let made = results::write(folder, &comparison)?;
                eprintln!("wrote {}", made.display());
            }
            comparison.verdict()
        }
        Some(Command::Kat { input, output, backend }) => {
            let backend = backends::chosen(backend.as_deref(), 1)?;
            for note in kat::run(input, output, backend.as_ref())? {
                eprintln!("note: {note}");
            }
            eprintln!("wrote {}, computed by {}", output.display(), backend.name());
            Ok(())
        }
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// To standard output; a reader that has seen enough, like `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_engine_is_a_usage_error_that_names_the_known_ones() {
        let engine = Engine { isa: Some("cpu-fast".into()) };
        let failure = engine.cpu(1).expect_err("there is no such engine");
        assert_eq!(failure.code(), 2);
        assert!(failure.to_string().contains("cpu-portable"), "{failure}");
    }
}
