//! `tensorguard gate`.

use super::ab::Against;
use super::options::print;
use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use tensorguard::baselines::{Baselines, read};
use tensorguard::decision::{Decision, Terms, export, sequential};
use tensorguard::failure::Failure;
use tensorguard::record::journal::{RESULT, SAMPLES, SUMMARY, read_limited};
use tensorguard::record::verify::verify;
use tensorguard::whole_file::Target;

const EXAMPLES: &str = "\
Examples:
  tensorguard gate --base origin/main --terms gate.toml --junit gate.xml --markdown gate.md
  tensorguard gate --base-binary old/tensorguard --filter round-
  tensorguard gate --base origin/main --filter 'stage==add && size==1mb && backend==cpu-avx2'
  tensorguard gate --result results/<id>                  a recorded measurement against its baseline

A file of terms (every line may be left out; these are the defaults, but for the last four):
  delta = 0.02            # slowdowns of 2 % may not pass unnoticed
  alpha = 0.05            # how often all metrics together may fail by chance
  most_pairs = 160        # pairs of samples at most for each metric
  instructions = 0.01     # with --instructions: 1 % more are allowed
  [[metric]]
  name = \"round-\"
  delta = 0.03

Exit codes: 0 pass, 3 slower, 4 nothing selected, 5 inconclusive or unfit, 6 not comparable, 8 wrong result, 130 interrupted.
Only 0 is a pass: a gate that could not have noticed does not let anything through. Reports are written whatever the end;
one of an earlier run never stays. With --result, what by itself looks slower is inconclusive: see `tensorguard compare`.";

/// Gates a change: measures as `ab` does, or holds a result against its baseline, by terms from a file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gate {
    #[command(flatten)]
    against: Against,
    /// A file of terms, TOML; see below.
    #[arg(long, value_name = "FILE")]
    terms: Option<PathBuf>,
    /// Measure nothing: hold this recorded measurement against the baseline of its machine and configuration.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["base", "base_binary", "filter", "resume"])]
    result: Option<PathBuf>,
    /// Where recorded measurements and baselines are.
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Write a test report for CI.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a summary for a pull request.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the decision.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write metrics for a scraper.
    #[arg(long, value_name = "FILE")]
    open_metrics: Option<PathBuf>,
}

impl Gate {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // A report that cannot be written is noticed before minutes of measuring.
        let reports = self.reports()?;
        for report in &reports {
            report.target.clear()?;
        }
        let decided = self.decide().and_then(|decision| print(&decision.to_string()).map(|()| decision));
        for Report { target, of_decision, of_failure } in reports {
            let text = decided.as_ref().map_or_else(of_failure, of_decision);
            target.write(|file| file.write_all(text.as_bytes()))?;
        }
        decided?.verdict()
    }

    fn decide(&self) -> Result<Decision, Failure> {
        let terms = match &self.terms {
            Some(file) => Terms::parse(&String::from_utf8_lossy(&read_limited(file)?))?,
            None => Terms::default(),
        };
        match &self.result {
            Some(folder) => self.held_against_baseline(folder, &terms),
            None => {
                let (folder, record) = self.against.trial(terms)?.run()?;
                eprintln!("wrote {}", folder.display());
                record.decision.ok_or_else(|| Failure::Internal("nothing was decided".to_owned()))
            }
        }
    }

    fn held_against_baseline(&self, folder: &Path, terms: &Terms) -> Result<Decision, Failure> {
        let record = read(folder)?;
        let baseline = Baselines::load(&self.results)?.of(&self.results, &record)?;
        for folder in [folder, &baseline] {
            if !verify(folder)?.differences.is_empty() {
                let why = format!("{}: the record is not what its samples give", folder.display());
                return Err(Failure::Wrong(why));
            }
        }
        sequential::compare(&read(&baseline)?, &record, terms)
    }

    fn reports(&self) -> Result<Vec<Report>, Failure> {
        let json: Of<Decision> = |decision| serde_json::to_string_pretty(decision).unwrap_or_default() + "\n";
        let wanted: [(&Option<PathBuf>, Of<Decision>, Of<Failure>); 4] = [
            (&self.junit, export::junit, export::junit_of_failure),
            (&self.markdown, export::markdown, export::markdown_of_failure),
            (&self.json, json, export::json_of_failure),
            (&self.open_metrics, export::open_metrics, export::open_metrics_of_failure),
        ];
        // What is read here, and what was measured.
        let measured = self.result.iter().flat_map(|folder| [RESULT, SAMPLES, SUMMARY].map(|name| folder.join(name)));
        let inputs: Vec<PathBuf> = self.terms.iter().cloned().chain(measured).collect();
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let wanted =
            wanted.into_iter().filter_map(|(path, decision, failure)| Some((path.as_ref()?, decision, failure)));
        let reports = wanted.map(|(path, of_decision, of_failure)| {
            Ok(Report { target: Target::new(path, &inputs)?, of_decision, of_failure })
        });
        let reports: Vec<Report> = reports.collect::<Result<_, Failure>>()?;
        Target::distinct(reports.iter().map(|report| &report.target))?;
        Ok(reports)
    }
}

/// A file for machines or people: what it says of a decision, and of a failure to come to one.
struct Report {
    target: Target,
    of_decision: Of<Decision>,
    of_failure: Of<Failure>,
}

type Of<T> = fn(&T) -> String;
