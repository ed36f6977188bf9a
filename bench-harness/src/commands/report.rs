//! `tensorguard report`.

use clap::Args;
use std::io::Write;
use std::path::{Path, PathBuf};
use tensorguard::failure::Failure;
use tensorguard::matrix::run::{self, REPORT};
use tensorguard::matrix::{self, page};
use tensorguard::record::journal::{RESULT, SAMPLES, SUMMARY, read_limited};
use tensorguard::report::{export, gather, kernels};
use tensorguard::whole_file::Target;

const EXAMPLES: &str = "\
Examples:
  tensorguard report tensorguard-results/2026-01-31-...           writes report.html beside the result
  tensorguard report results/2026-01-31-... --to page.html
  tensorguard report results/*-micro results/*-peers-round-* --to page.html    kernels, stages and peers on one page
  tensorguard report results/2026-01-31-... --markdown summary.md --csv figures.csv
  tensorguard report results/*-matrix-quick --junit cells.xml --open-metrics cells.prom";

/// The page of results: one HTML file that needs no network. A matrix by itself; or kernels, stages and peers together.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Report {
    /// Results' folders: one of `run`, or any number of `micro`, `allocations` and `compare-peers`.
    #[arg(required = true, value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// The page to write; without it, report.html beside the first result.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Write the figures as Markdown too, at most 64 KB.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the figures as CSV too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a matrix as a test report for CI: a cell that improved nothing has failed.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a matrix as metrics for a scraper.
    #[arg(long, value_name = "FILE")]
    open_metrics: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.is_of_matrix()? { self.matrix() } else { self.kernels() }
    }

    fn is_of_matrix(&self) -> Result<bool, Failure> {
        let mut matrices = 0;
        for folder in &self.folders {
            let file = if folder.is_dir() { folder.join(RESULT) } else { folder.clone() };
            let bytes = read_limited(&file)?;
            let value: serde_json::Value = serde_json::from_slice(&bytes)
                .map_err(|error| Failure::Usage(format!("{} is no result: {error}", file.display())))?;
            matrices += usize::from(["matrix", "end_to_end"].iter().any(|part| value.get(part).is_some()));
        }
        match (matrices, self.folders.len()) {
            (0, _) => Ok(false),
            (1, 1) => Ok(true),
            _ => {
                let why = "the page of a matrix is made of one result; give the others to another `tensorguard report`";
                Err(Failure::Usage(why.to_owned()))
            }
        }
    }

    fn matrix(&self) -> Result<(), Failure> {
        let record = run::read(&self.folders[0])?;
        let page = page::page(&record).ok_or_else(|| Failure::Usage("the matrix has no cells".to_owned()))?;
        self.write(&[
            (Some(self.page()), page),
            (self.markdown.clone(), matrix::export::markdown(&record)),
            (self.csv.clone(), matrix::export::csv(&record)),
            (self.junit.clone(), matrix::export::junit(&record)),
            (self.open_metrics.clone(), matrix::export::open_metrics(&record)),
        ])
    }

    fn kernels(&self) -> Result<(), Failure> {
        if self.junit.is_some() || self.open_metrics.is_some() {
            let why = "a test report or metrics are made of a matrix, or by `tensorguard gate` of a decision; here there are --csv and \
                       --markdown";
            return Err(Failure::Usage(why.to_owned()));
        }
        let gathered = gather::gather(&self.folders)?;
        let page = kernels::page(&gathered)
            .ok_or_else(|| Failure::Usage("these results hold no kernel, stage or peer".to_owned()))?;
        self.write(&[
            (Some(self.page()), page),
            (self.markdown.clone(), export::markdown(&gathered)),
            (self.csv.clone(), export::csv(&gathered)),
        ])
    }

    fn page(&self) -> PathBuf {
        let first = &self.folders[0];
        let beside = if first.is_dir() { first.join(REPORT) } else { first.with_extension("html") };
        self.to.clone().unwrap_or(beside)
    }

    /// Writes each file whose place was given, all places looked at first.
    fn write(&self, files: &[(Option<PathBuf>, String)]) -> Result<(), Failure> {
        let wanted = files.iter().filter_map(|(path, text)| Some((path.as_ref()?, text)));
        // What was measured is never replaced by what is made of it.
        let measured = |folder: &PathBuf| {
            let files = [RESULT, SAMPLES, SUMMARY].map(|name| folder.join(name)).to_vec();
            if folder.is_dir() { files } else { vec![folder.clone()] }
        };
        let inputs: Vec<PathBuf> = self.folders.iter().flat_map(measured).collect();
        let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
        let targets: Result<Vec<_>, Failure> =
            wanted.map(|(path, text)| Ok((Target::new(path, &inputs)?, path, text))).collect();
        let targets = targets?;
        Target::distinct(targets.iter().map(|(target, ..)| target))?;
        for (target, path, text) in targets {
            target.write(|file| file.write_all(text.as_bytes()))?;
            eprintln!("wrote {}", path.display());
        }
        Ok(())
    }
}
