//! `tensorguard plan`.

use super::options::{OUT, print};
use super::run::{How, Which};
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tensorguard::failure::Failure;
use tensorguard::matrix::explain::duration;
use tensorguard::matrix::grid::Fleet;
use tensorguard::matrix::run::{self, Request};
use tensorguard::matrix::{demand, eta, rules, whole};

const EXAMPLES: &str = "\
Examples:
  tensorguard plan                                        the cells of a first look
  tensorguard plan --preset standard
  tensorguard plan --preset standard --from results/2026-01-31-...   how long, by a run on this machine
  tensorguard plan --require M,D                          would that be refused?
  tensorguard plan --preset full --filter 'size>=1mb'";

/// Which cells a run would have, where their figures would come from, and how long it would take.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Plan {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    /// The result whose times are scaled to this plan; without it, the newest of this machine below tensorguard-results.
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let request = self.which.request(&self.how)?;
        let fleets = run::cells(&request)?;
        let whole = run::whole_of(&request, &fleets);
        let mut text = String::new();
        let mut count = 0;
        for (fleet, cells) in fleets.iter().filter(|_| request.composes()) {
            let labels = demand::labels(*fleet, &request.budget);
            let trained = fleet.clients.min(request.budget.trained(fleet.size));
            let links: Vec<String> = cells.iter().map(|cell| format!("{} Mbit/s", cell.link.mbit_per_s)).collect();
            let (fleet, labels) = (fleet.to_string(), demand::listed(&labels));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{fleet:28} {labels:8} {trained:3} train   over {}", links.join(", "));
            count += cells.len();
        }
        for (fleet, link) in whole.iter().flat_map(|(fleet, links)| links.iter().map(move |link| (fleet, link))) {
            let (cell, runs) = (whole::cell_name(*fleet, request.shaping, *link), request.whole_runs);
            let tries = match request.tries() {
                1 => String::new(),
                most => format!("; where others take the processor, up to {most} tries"),
            };
            let label = format!("{:?}", request.shaping.label());
            let _ = writeln!(text, "{cell:28} {label:8} end to end, runs: {runs}{tries}");
        }
        if whole.is_none() {
            let _ = writeln!(text, "nothing goes end to end: {}", run::NO_WHOLE);
        }
        let _ = writeln!(
            text,
            "\n{count} composed cells of {} fleets. In active time, M is computing, R training that robots replay, D transfers by formula, \
             E a shaped link. Waits (P) are in the wall total only.",
            fleets.len()
        );
        if let Some(rules) = rules::told(&rules::config(&request)?) {
            let _ = writeln!(text, "{rules}");
        }
        let of: Vec<Fleet> = fleets.iter().map(|(fleet, _)| *fleet).collect();
        text += &self.takes(&of, &request)?;
        print(&text)?;
        demand::before(&request, &fleets, whole.as_ref())
    }

    /// How long it would take, or why nobody knows.
    fn takes(&self, fleets: &[Fleet], request: &Request) -> Result<String, Failure> {
        let Some(folder) = self.from.clone().or_else(|| eta::newest(Path::new(OUT))) else {
            return Ok(format!("ETA: unknown, no run of this machine below {OUT}; --from names one\n"));
        };
        let found = eta::eta(fleets, request.budget.campaigns, &folder)?;
        Ok(match found {
            Some(eta) => format!(
                "ETA: about {} for {} of {} fleets, scaled from {}\n",
                duration(eta.takes.as_secs_f64()),
                eta.known,
                eta.of,
                eta.from.display()
            ),
            None => {
                format!("ETA: unknown, {} has none of these fleets, or did not come to its end\n", folder.display())
            }
        })
    }
}
