//! The `tensorguard` command: which commands there are. Each is a file in `commands/`.
#![forbid(unsafe_code)]

mod commands;

use clap::{Parser, Subcommand};
use commands::{
    ab, authority, baseline, bundle, calibrate, compare, compare_peers, completions, corpus, decisions, demo, doctor,
    gate, gpu, kat, keyholder, link_probe, micro, plan, report, results, robot, round_memory, run, server, sum_uploads,
    table, validate, verify,
};
use std::process::ExitCode;
use tensorguard::built;
use tensorguard::device;
use tensorguard::failure::Failure;
use tensorguard::progress::{self, Mode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long until a fleet of robots runs a policy that is provably better, without anyone seeing a robot's update.
///
/// Without a command: a first look at the matrix, in under a minute. Robots learn, encrypt, a server adds, the key holder opens
/// the mean, a gate judges it, the fleet takes it; every step runs here. Prints where the report is.
#[derive(Debug, Parser)]
#[command(version = built::VERSION, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to say meanwhile, on standard error.
    #[arg(long, value_enum, default_value_t = Mode::Auto, global = true, env = "TENSORGUARD_PROGRESS")]
    progress: Mode,
    /// Use the first GPU adapter with this in its name instead of the best one; `tensorguard doctor` lists them.
    #[arg(long, value_name = "NAME", global = true, env = device::ADAPTER)]
    adapter: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  tensorguard                                   a first look: time per deployed improvement
  tensorguard run --preset quick                more of the matrix
  tensorguard explain imitation-20x10kb-100mbit where a cell's time went
  tensorguard table                             each kernel's throughput beside its limit
  tensorguard micro                             every kernel and stage of a round by itself
  tensorguard doctor                            what this machine offers
  tensorguard validate --soak 5m                is this board right, how fast, and does it stay so?
  tensorguard bundle tensorguard-results/*-validate --out board.tar    the one file to send
  tensorguard calibrate                         from which sizes on the GPU is faster
  tensorguard ab --base main                    is this program slower than the one built from main?
  tensorguard compare-peers --filter ntt        ours against others, interleaved in one run
  tensorguard kat --in q.json --out a.json      known answers for given seeds
  tensorguard demo                              a whole fleet on this machine, shown at work
  tensorguard corpus make --out il.corpus       real training, recorded to be replayed
  tensorguard verify results/*/                 are recorded figures what their samples give?

Exit codes: 0 done, 1 something outside failed, 2 usage, 3 slower than the base, 4 nothing selected, 5 no answer: too noisy,
or the check could not prove itself, 6 not comparable, 7 figures of the wrong provenance, 8 wrong result, 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Plan(plan::Plan),
    Report(report::Report),
    Explain(run::Explain),
    Table(table::Table),
    Micro(micro::Micro),
    Doctor(doctor::Doctor),
    Ab(ab::Ab),
    Gate(gate::Gate),
    Compare(compare::Compare),
    Baseline(baseline::Baseline),
    AbWorker(ab::AbWorker),
    Validate(validate::Validate),
    Bundle(bundle::Bundle),
    Calibrate(calibrate::Calibrate),
    Gpu(gpu::Gpu),
    ComparePeers(compare_peers::ComparePeers),
    SumUploads(sum_uploads::SumUploads),
    RoundMemory(round_memory::RoundMemory),
    LinkProbe(link_probe::LinkProbe),
    Kat(kat::Kat),
    Demo(demo::Demo),
    Authority(authority::Authority),
    Server(server::Server),
    Robot(robot::Robot),
    Keyholder(keyholder::Keyholder),
    Decisions(decisions::Decisions),
    Corpus(corpus::CorpusCommand),
    Results(results::Results),
    Verify(verify::Verify),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    say_how_many_threads_train();
    progress::choose(cli.progress);
    device::choose(cli.adapter.clone());
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tensorguard: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Starts this program once more, as the same process, if nobody said how many threads training may use. One does it: a robot's
/// training is one of many side by side. The training framework looks for this at every product of matrices, and where it finds
/// nothing, reads the processor's description each time, which is half of all training. The engines have pools of their own.
fn say_how_many_threads_train() {
    #[cfg(unix)]
    if std::env::var_os(TRAINING_THREADS).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        // Comes back only where it failed: training is slower then, and right.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(TRAINING_THREADS, "1").exec();
    }
}

const TRAINING_THREADS: &str = "RAYON_NUM_THREADS";

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        None => run::Run::smoke().run(),
        Some(Command::Run(run)) => run.run(),
        Some(Command::Plan(plan)) => plan.run(),
        Some(Command::Report(report)) => report.run(),
        Some(Command::Explain(explain)) => explain.run(),
        Some(Command::Table(table)) => table.run(),
        Some(Command::Micro(micro)) => micro.run(),
        Some(Command::Doctor(doctor)) => doctor.run(),
        Some(Command::Ab(ab)) => ab.run(),
        Some(Command::Gate(gate)) => gate.run(),
        Some(Command::Compare(compare)) => compare.run(),
        Some(Command::Baseline(baseline)) => baseline.run(),
        Some(Command::AbWorker(worker)) => worker.run(),
        Some(Command::Validate(validate)) => validate.run(),
        Some(Command::Bundle(bundle)) => bundle.run(),
        Some(Command::Calibrate(calibrate)) => calibrate.run(),
        Some(Command::Gpu(gpu)) => gpu.run(),
        Some(Command::ComparePeers(compare_peers)) => compare_peers.run(),
        Some(Command::SumUploads(sum_uploads)) => sum_uploads.run(),
        Some(Command::RoundMemory(round_memory)) => round_memory.run(),
        Some(Command::LinkProbe(probe)) => probe.run(),
        Some(Command::Kat(kat)) => kat.run(),
        Some(Command::Demo(demo)) => demo.run(),
        Some(Command::Authority(authority)) => authority.run(),
        Some(Command::Server(server)) => server.run(),
        Some(Command::Robot(robot)) => robot.run(),
        Some(Command::Keyholder(keyholder)) => keyholder.run(),
        Some(Command::Decisions(decisions)) => decisions.run(),
        Some(Command::Corpus(corpus)) => corpus.run(),
        Some(Command::Results(results)) => results.run(),
        Some(Command::Verify(verify)) => verify.run(),
        Some(Command::Completions(completions)) => completions.run(),
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
    fn a_global_option_stands_before_a_command_or_after_it() {
        for words in
            [["tensorguard", "--progress", "quiet", "doctor"], ["tensorguard", "doctor", "--progress", "quiet"]]
        {
            let cli = Cli::try_parse_from(words).expect("both are asked for");
            assert_eq!(cli.progress, Mode::Quiet);
        }
        let cli = Cli::try_parse_from(["tensorguard", "micro", "--adapter", "llvm"]).expect("every command takes it");
        assert_eq!(cli.adapter.as_deref(), Some("llvm"));
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "`tensorguard {} --help` has none", command.get_name());
            assert!(command.get_about().is_some(), "{} does not say what it is for", command.get_name());
        }
    }
}
