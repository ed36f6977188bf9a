//! `tensorguard validate`.

use super::options::{self, print, print_json};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use tensorguard::failure::Failure;
use tensorguard::interrupt;
use tensorguard::validate::{self, Effort, Request, page};

const EXAMPLES: &str = "\
Examples:
  tensorguard validate                                  under a minute on a processor, some minutes with a GPU
  tensorguard validate --soak 5m                        and each timed engine kept busy for five minutes
  tensorguard validate --backend cuda --soak 10m        one engine
  tensorguard validate --soak 1h --resume tensorguard-results/<id>    go on after Ctrl-C, with the options it was begun with
  tensorguard bundle tensorguard-results/*-validate     the one file to send

Exit codes: 0 passed, 3 an engine slowed down in its soak, 8 an engine computes something wrong (wins over all others),
130 interrupted. docs/VALIDATE.md explains every line.";

/// For whoever makes or buys a board: is every engine right, how fast is it against this machine's own limits, does it stay so?
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Validate {
    /// Only this engine; may be given again. `tensorguard doctor` lists them.
    #[arg(long, value_name = "ENGINE")]
    backend: Vec<String>,
    /// Keep each timed engine busy for so long, compare every result, watch clocks, temperatures and power: 90s, 5m, 2h.
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    soak: Option<Duration>,
    /// Small sizes, a few samples: a check that it works, not a measurement.
    #[arg(long)]
    smoke: bool,
    /// Print the record as JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// Folder in which a new folder <date>-<machine>-validate is made.
    #[arg(long, value_name = "FOLDER", default_value = options::OUT)]
    out: PathBuf,
    /// Go on with an interrupted run: its folder. Answers and soaks that came to their end are kept; times are taken anew.
    #[arg(long, value_name = "FOLDER")]
    resume: Option<PathBuf>,
}

impl Validate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        interrupt::listen()?;
        let effort = if self.smoke { Effort::Smoke } else { Effort::Full };
        let request = Request { backends: self.backend.clone(), effort, soak: self.soak };
        let done = validate::run(&request, &self.out, self.resume.as_deref())?;
        if self.json {
            print_json(&done.record)?;
        } else {
            print(&page::text(&done.record, done.gpu.as_ref()))?;
        }
        eprintln!("wrote {}", done.folder.display());
        done.failure.map_or(Ok(()), Err)
    }
}
