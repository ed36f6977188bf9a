//! `tensorguard micro`.

use super::options::{OUT, print, print_json, time};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tensorguard::compare::Effort;
use tensorguard::failure::Failure;
use tensorguard::interrupt;
use tensorguard::micro::run::{self, Request};
use tensorguard::micro::view;

const EXAMPLES: &str = "\
Examples:
  tensorguard micro                                              every kernel and stage on the best engine, in two minutes
  tensorguard micro --filter 'stage==add && size==1mb'           one stage, on every engine, for 2 to 100 robots
  tensorguard micro --filter 'clients>=20 && size==1mb && stage==add && backend==cpu-avx512'
  tensorguard micro --filter 'kernel==forward && threads==1'     transforms of every length
  tensorguard micro --filter 'backend==wgpu && size>=1mb' --list which cases that would be
  tensorguard micro --time-budget 30s --json                     what fits; the record as JSON
  tensorguard micro --out results                                keep samples, result and summary there
  tensorguard micro --smoke                                      a few samples of each: does it work at all?
  tensorguard report tensorguard-results/<id>                    the page of what was measured
  tensorguard ab --base main --filter 'stage==add && size==1mb'  the same cases: is this program slower than that one?

Keys of a filter: kernel, stage, n, size, clients, backend, threads. Compare by == != >= <= > <, join by &&. A filter selects from
everything there is; without one, only the usual cases are measured. Sizes are those of an update as 32-bit floats: a kernel gets as
much work as such an update brings it. `cargo bench -p tensorguard` runs the same cases under criterion, and
`cargo bench -p tensorguard --bench allocations` counts their memory.";

/// Every kernel and every stage of a round by itself: sizes, robots, engines, threads. Outputs are checked before a time counts.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Micro {
    /// Only cases for which this holds.
    #[arg(long, default_value = "")]
    filter: String,
    /// Only name the selected cases.
    #[arg(long)]
    list: bool,
    /// Stop beginning new cases after this long: 90s, 20m, 2h. What is left is named as not run.
    #[arg(long, value_name = "TIME", value_parser = time)]
    time_budget: Option<Duration>,
    /// Three short samples of small cases: a check that it works, not a measurement.
    #[arg(long)]
    smoke: bool,
    /// Print the record as JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Folder in which a new folder <date>-<machine>-micro is made for samples, result and summary.
    #[arg(long, value_name = "FOLDER", default_value = OUT)]
    out: PathBuf,
    /// Go on with an interrupted run: its folder.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
}

impl Micro {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let effort = if self.smoke { Effort::Smoke } else { Effort::Full };
        let request = Request { filter: self.filter.clone(), effort, time_budget: self.time_budget };
        if self.list {
            let cells = request.cells()?;
            let lines: String = cells.iter().flatten().map(|case| format!("{case}\n")).collect();
            return print(&lines);
        }
        interrupt::listen()?;
        let (folder, record) = run::run(&request, &self.out, self.resume.as_deref())?;
        if self.json {
            print_json(&record)?;
        } else {
            print(&view::summary(&record))?;
        }
        eprintln!("wrote {}", folder.display());
        Ok(())
    }
}
