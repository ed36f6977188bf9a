//! `tensorguard ab`, and the worker that it starts.

use super::options::{Engine, print, print_json};
use clap::Args;
use kernels::Backend;
use std::path::PathBuf;
use tensorguard::ab::{Counting, Trial, base, worker};
use tensorguard::decision::Terms;
use tensorguard::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  tensorguard ab --base main                            this program against the one built from main
  tensorguard ab --base HEAD~1 --filter encrypt         only metrics with this in their name
  tensorguard ab --base main --filter 'stage==add && size==1mb && clients>=20'
  tensorguard ab --base main --filter 'stage==encrypt && size==10mb && threads==2'      by elapsed time
  tensorguard ab --base main --filter 'kernel==forward && backend==cpu-avx2'   another engine than the best
  tensorguard ab --base main --delta 0.01               slowdowns of 1 % may not pass unnoticed
  tensorguard ab --base-binary old/tensorguard          against a program that is there already
  tensorguard ab --base main --instructions             count instructions too (needs valgrind, slow)
  tensorguard ab --base main --resume target/ab/runs/<id>    go on after Ctrl-C

The base is built in target/ab, once for each commit. Base and candidate take turns on one core; the candidate is this very
program. Keys of a filter with a comparison: kernel, stage, n, size, clients, backend, threads, as in `tensorguard micro`; without backend
it is the engine of --isa, without threads one. Several threads, and devices, are judged by elapsed time, all else by CPU time.
PASS: slower than --delta is excluded. FAIL: certain, also in fresh processes. Identical code and an injected
slowdown run beside them: if the one is not quiet or the other is not noticed, the answer is UNFIT.

Exit codes: 0 pass, 3 slower, 4 nothing selected, 5 inconclusive or unfit, 6 not comparable, 8 wrong result, 130 interrupted.";

// No documentation comment: clap would print it as the command's own.
#[derive(Debug, Args)]
pub(crate) struct Against {
    /// The commit to compare with: a branch, a tag, HEAD~1.
    #[arg(long, value_name = "REF")]
    base: Option<String>,
    /// A program to compare with instead.
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    base_binary: Option<PathBuf>,
    /// Only metrics with this in their name; or instead cases of `tensorguard micro`, as 'stage==add && size==1mb && threads==2'.
    #[arg(long, default_value = "")]
    filter: String,
    #[command(flatten)]
    engine: Engine,
    /// Count instructions too, by valgrind.
    #[arg(long)]
    instructions: bool,
    /// Folder in which a new folder <date>-<machine>-ab-<engine> is made for samples, result and summary.
    #[arg(long, value_name = "FOLDER", default_value = "target/ab/runs")]
    out: PathBuf,
    /// Go on with an interrupted run: its folder.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
}

impl Against {
    pub(crate) fn trial(&self, terms: Terms) -> Result<Trial, Failure> {
        let engine = self.engine.cpu(1)?.name().to_owned();
        // Before a build of minutes.
        terms.check()?;
        let base = match (&self.base, &self.base_binary) {
            (Some(reference), _) => base::build(reference)?,
            (None, Some(program)) => base::given(program)?,
            (None, None) => {
                return Err(Failure::Usage(
                    "compare with what? Give --base REF or --base-binary FILE; `--help` has examples".to_owned(),
                ));
            }
        };
        let candidate = std::env::current_exe().map_err(|error| Failure::Internal(format!("this program: {error}")))?;
        let counting = if self.instructions { Counting::Instructions } else { Counting::Times };
        let (filter, out, resume) = (self.filter.clone(), self.out.clone(), self.resume.clone());
        Ok(Trial { base, candidate, filter, terms, engine, counting, out, resume })
    }
}

/// Is this program slower than another build of it? Both take turns, and the answer says what it could not have seen.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ab {
    #[command(flatten)]
    against: Against,
    /// The slowdown that may not pass unnoticed: 0.02 is 2 %.
    #[arg(long, default_value_t = Terms::default().delta)]
    delta: f64,
    /// Pairs of samples at most for each metric.
    #[arg(long, default_value_t = Terms::default().most_pairs)]
    most_pairs: u32,
    /// Print the decision as JSON.
    #[arg(long)]
    json: bool,
}

impl Ab {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let terms = Terms { delta: self.delta, most_pairs: self.most_pairs, ..Terms::default() };
        let (folder, record) = self.against.trial(terms)?.run()?;
        let Some(decision) = record.decision else { return Err(Failure::Internal("nothing was decided".to_owned())) };
        if self.json {
            print_json(&decision)?
        } else {
            print(&decision.to_string())?
        }
        eprintln!("wrote {}", folder.display());
        decision.verdict()
    }
}

/// One of the processes that `ab` compares: answers questions on standard input.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct AbWorker {
    #[command(flatten)]
    engine: Engine,
    /// Only run this metric, for valgrind to count.
    #[arg(long)]
    count: Option<String>,
    /// So often.
    #[arg(long, default_value_t = 1)]
    runs: u64,
}

impl AbWorker {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let cpu = self.engine.cpu(1)?;
        match &self.count {
            Some(metric) => worker::count(&cpu, metric, self.runs),
            None => worker::serve(&cpu, &mut std::io::stdin().lock(), &mut std::io::stdout().lock()),
        }
    }
}
