//! Whole rounds, ours against others': each in a process of its own, one thread, taking turns.
//!
//! Each side makes updates, encrypts, adds and opens them, and compares the mean with that of the plain updates, before any
//! of its times counts.

use crate::compare::{Effort, Row, Taken};
use crate::failure::Failure;
use crate::interrupt;
use crate::memory::{self, Server};
use crate::paired;
use crate::peer::{self, Program, Width, Worker, keep_core};
use crate::progress::Progress;
use crate::python::Environment;
use crate::results::{Earlier, Kept};
use crate::round_peer::{ALL, RoundPeer};
use crate::rounds::{Facts, Ours, PLANNED, Step};
use crate::scaling::{self, Scaling};
use kernels::Backend;
use kernels::cpu::Cpu;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Values of an update: 10 KB and 10 MB of fp32.
pub const LENGTHS: [usize; 2] = [2500, 2_500_000];
/// Our sample's least length.
const SAMPLE_NS: u64 = 3_000_000;
/// What a row may take, about.
const ROW_NS: u64 = 8_000_000_000;
const LEAST_PAIRS: usize = 7;
/// What we are called among the parties, and who can read an update of ours.
const OURS: &str = "tensorguard";
const OUR_READER: &str = "nobody but the key holder, with the server";

/// Who takes part, at which length, and what it costs besides time.
#[derive(Clone, Debug, Serialize)]
pub struct Party {
    /// The name in the rows; ours is `tensorguard`.
    pub peer: &'static str,
    /// Values of an update.
    pub length: usize,
    /// Who can read a single robot's update.
    pub reader: &'static str,
    /// Sizes and errors.
    #[serde(flatten)]
    pub facts: Facts,
}

/// A peer that is not here: a row that says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Which.
    pub peer: &'static str,
    /// Why, and how to get it.
    #[serde(rename = "absent")]
    pub why: String,
}

impl Absent {
    /// Whatever was to come when somebody asked to stop.
    #[must_use]
    pub fn rest() -> Self {
        Self { peer: "the rest", why: interrupt::MISSING.to_owned() }
    }
}

/// What whole rounds showed.
#[derive(Debug, Default, Serialize)]
pub struct Rounds {
    /// Times, which the report lists with the others.
    #[serde(skip)]
    pub rows: Vec<Row>,
    /// Sizes, errors, readers.
    pub parties: Vec<Party>,
    /// Peers that could not be asked.
    pub absent: Vec<Absent>,
    /// What a server needs.
    pub server: Option<Server>,
    /// What a second thread brings to a robot.
    pub scaling: Option<Scaling>,
}

#[derive(Serialize)]
struct Request {
    step: &'static str,
    length: usize,
    robots: u64,
    repetitions: u64,
}

#[derive(Deserialize)]
struct Answer {
    cpu_ns: u64,
    #[serde(flatten)]
    facts: Facts,
}

/// Peers and their steps.
type Selected = Vec<(&'static RoundPeer, Vec<Step>)>;

/// Which peers and steps the filter lets through.
fn selected(filter: &str) -> Selected {
    let steps = |peer: &RoundPeer| peer.steps().iter().copied().filter(|&step| peer.is_wanted(step, filter)).collect();
    ALL.iter().map(|peer| (peer, steps(peer))).filter(|(_, steps): &(_, Vec<_>)| !steps.is_empty()).collect()
}

/// How many rows the filter lets through.
#[must_use]
pub fn count(filter: &str) -> usize {
    selected(filter).iter().map(|(_, steps)| steps.len()).sum()
}

/// The Python packages that the selected peers need.
#[must_use]
pub fn environments(filter: &str) -> Vec<Environment> {
    let peers = selected(filter);
    let needed = |environment| peers.iter().any(|(peer, _)| peer.environment() == Some(environment));
    Environment::ALL.into_iter().filter(|&environment| needed(environment)).collect()
}

/// Fetches the Python packages that the selected peers need.
///
/// # Errors
/// [`Failure::Nothing`] where they need none, [`Failure::Internal`] where one cannot be had; the others are there then.
pub fn install(filter: &str) -> Result<(), Failure> {
    let needed = environments(filter);
    if needed.is_empty() {
        return Err(Failure::Nothing(format!(
            "no peer that is a Python package matches '{filter}'; leave --filter out"
        )));
    }
    let peers = peer::folder()?;
    let failed: Vec<String> =
        needed.into_iter().filter_map(|one| one.install(&peers).err()).map(|why| why.to_string()).collect();
    if failed.is_empty() { Ok(()) } else { Err(Failure::Internal(failed.join("\n"))) }
}

impl Rounds {
    /// A peer that could not be asked, told once.
    pub(crate) fn lacks(&mut self, kept: &mut Kept, absent: Absent) -> Result<(), Failure> {
        if self.absent.contains(&absent) {
            return Ok(());
        }
        kept.absent(&absent)?;
        self.absent.push(absent);
        Ok(())
    }

    /// What everybody does at one length and earlier sittings kept goes into the tables; gives what is left.
    fn restore(&mut self, cpu: &Cpu, length: usize, selected: &Selected, earlier: &Earlier) -> Selected {
        let mut party = |peer, reader| {
            let facts = earlier.facts(peer, length);
            let is_known = facts.is_some();
            self.parties.extend(facts.map(|facts| Party { peer, length, reader, facts }));
            is_known
        };
        let ours_is_known = party(OURS, OUR_READER);
        let mut left = Vec::new();
        for (peer, steps) in selected {
            let mut to_do = Vec::new();
            for &step in steps {
                let found = earlier.rows(peer.name, step.name(), length);
                if found.is_empty() {
                    to_do.push(step);
                }
                let of_step = |taken| Row::new((peer.name, step.name(), length), cpu.name(), taken);
                self.rows.extend(found.into_iter().map(of_step));
            }
            if !(party(peer.name, peer.reader) && to_do.is_empty() && ours_is_known) {
                left.push((*peer, to_do));
            }
        }
        left
    }
}

/// Runs what the filter selects.
///
/// # Errors
/// [`Failure::Wrong`] where a side's mean is wrong. A peer that cannot run is a row.
pub fn compare(cpu: &Cpu, filter: &str, effort: Effort, width: Width, kept: &mut Kept) -> Result<Rounds, Failure> {
    let (mut rounds, selected) = (Rounds::default(), selected(filter));
    if selected.is_empty() {
        return Ok(rounds);
    }
    if effort == Effort::Full && "round".contains(filter) {
        // Before this thread is kept on one core.
        threads_and_memory(cpu, &mut rounds, kept)?;
    }
    let lengths = if effort == Effort::Smoke { &LENGTHS[..1] } else { &LENGTHS[..] };
    let restored = lengths.iter().map(|&length| (length, rounds.restore(cpu, length, &selected, kept.earlier())));
    let left: Vec<(usize, Selected)> = restored.filter(|(_, left)| !left.is_empty()).collect();
    let mut workers = workers(&selected, &left, width, &mut rounds, kept)?;
    let count = |left: &Selected| left.iter().map(|(_, steps)| 1 + steps.len()).sum::<usize>();
    let mut progress = Progress::new(left.iter().map(|(_, left)| count(left)).sum());
    for (length, left) in left {
        if interrupt::asked() {
            break;
        }
        let mut ours = Ours::prepare(cpu, length, PLANNED)?;
        if kept.earlier().facts(OURS, length).is_none() {
            ours.facts.memory_bytes = memory::of_a_round(length)?;
            right(OURS, &ours.facts)?;
            let party = Party { peer: OURS, length, reader: OUR_READER, facts: ours.facts.clone() };
            kept.party(&party)?;
            rounds.parties.push(party);
        }
        for (peer, steps) in left {
            let Some((_, worker)) = workers.iter_mut().find(|(of, _)| of.name == peer.name) else { continue };
            if rounds.absent.iter().any(|absent| absent.peer == peer.name) {
                continue;
            }
            let mut session = Session { cpu, ours: &mut ours, worker, peer, effort, kept };
            match session.run(&steps, &mut rounds, &mut progress) {
                Err(Failure::Internal(why)) => rounds.lacks(kept, Absent { peer: peer.name, why })?,
                done => done?,
            }
        }
    }
    Ok(rounds)
}

/// What a second thread brings to a robot, and what a server needs.
fn threads_and_memory(cpu: &Cpu, rounds: &mut Rounds, kept: &mut Kept) -> Result<(), Failure> {
    rounds.scaling = kept.earlier().scaling(Step::Encrypt.name(), LENGTHS[1]);
    if rounds.scaling.is_none() {
        rounds.scaling = scaling::of_rounds(cpu, LENGTHS[1])?;
        rounds.scaling.iter().try_for_each(|scaling| kept.scaling(scaling))?;
    }
    rounds.server = kept.earlier().server(LENGTHS[1]);
    if rounds.server.is_none() {
        let server = memory::measure(cpu, LENGTHS[1])?;
        kept.server(&server)?;
        rounds.server = Some(server);
    }
    Ok(())
}

/// Peers that run.
type Workers = Vec<(&'static RoundPeer, Worker)>;

/// Starts the peers of which something is left, and keeps this thread to one core. Who cannot be started is absent.
fn workers(
    selected: &Selected,
    left: &[(usize, Selected)],
    width: Width,
    rounds: &mut Rounds,
    kept: &mut Kept,
) -> Result<Workers, Failure> {
    let is_left = |peer: &RoundPeer| left.iter().flat_map(|(_, left)| left).any(|(of, _)| of.name == peer.name);
    let needed: Vec<&'static RoundPeer> = selected.iter().map(|(peer, _)| *peer).filter(|peer| is_left(peer)).collect();
    let mut building = Progress::new(needed.len());
    let mut found = Vec::new();
    for peer in needed {
        building.step(&format!("looking for {}", peer.name));
        found.push((peer, peer.program(width)));
    }
    // Builds use all cores; ours and theirs, started from here on, keep to one.
    keep_core();
    let mut workers = Vec::new();
    for (peer, program) in found {
        match program.and_then(Program::start) {
            Ok(worker) => workers.push((peer, worker)),
            Err(why) => rounds.lacks(kept, Absent { peer: peer.name, why: why.to_string() })?,
        }
    }
    Ok(workers)
}

/// No mean may be off by more than one level of an 8-bit grid.
fn right(who: &str, facts: &Facts) -> Result<(), Failure> {
    // A NaN is wrong too.
    if facts.error_max <= 1.0 / 127.0 {
        return Ok(());
    }
    Err(Failure::Wrong(format!("the mean that {who} opens is off by {}", facts.error_max)))
}

/// One peer against us, at one length.
struct Session<'a> {
    cpu: &'a Cpu,
    ours: &'a mut Ours,
    worker: &'a mut Worker,
    peer: &'static RoundPeer,
    effort: Effort,
    kept: &'a mut Kept,
}

impl Session<'_> {
    fn run(&mut self, steps: &[Step], rounds: &mut Rounds, progress: &mut Progress) -> Result<(), Failure> {
        let (peer, length) = (self.peer, self.ours.length());
        if interrupt::asked() {
            return Ok(());
        }
        progress.step(&format!("{} makes a round of {length} values", peer.name));
        let request = Request { step: "prepare", length, robots: peer.robots(length), repetitions: 0 };
        let facts = self.worker.ask::<_, Answer>(&request)?.facts;
        right(peer.name, &facts)?;
        for &step in steps {
            if interrupt::asked() {
                break;
            }
            progress.step(&format!("{} {} of {length} values", peer.name, step.name()));
            let row = row(self, step, &facts)?;
            self.kept.row(&row)?;
            rounds.rows.push(row);
        }
        if self.kept.earlier().facts(peer.name, length).is_none() {
            let party = Party { peer: peer.name, length, reader: peer.reader, facts };
            self.kept.party(&party)?;
            rounds.parties.push(party);
        }
        Ok(())
    }
}

fn row(session: &mut Session<'_>, step: Step, facts: &Facts) -> Result<Row, Failure> {
    let Session { cpu, ours, worker, peer, effort, .. } = session;
    let (cpu, peer, effort) = (*cpu, *peer, *effort);
    let length = ours.length();
    // The first run pays for untouched memory, on both sides.
    let mut repetitions = 1;
    ours.sample(cpu, step, 1)?;
    let took = ours.sample(cpu, step, 1)?.max(1);
    if took < SAMPLE_NS {
        repetitions = (SAMPLE_NS / took).max(1);
    }
    let mut theirs = |repetitions| {
        let request = Request { step: step.theirs(), length, robots: facts.robots, repetitions };
        worker.ask::<_, Answer>(&request).map(|answer| answer.cpu_ns)
    };
    let each = took + theirs(1)?;
    let affordable = (ROW_NS / (each * repetitions).max(1)) as usize;
    let pairs = affordable.clamp(LEAST_PAIRS, effort.pairs().max(LEAST_PAIRS));
    let pairs = if effort == Effort::Smoke { effort.pairs() } else { pairs };
    let samples = paired::pairs(pairs, || ours.sample(cpu, step, repetitions), || theirs(repetitions))?;
    let (peer_isa, values) = (facts.version.clone(), (length * step.updates()) as u64);
    let taken = Taken { peer_isa, values, repetitions, samples };
    Ok(Row::new((peer.name, step.name(), length), cpu.name(), taken))
}

impl fmt::Display for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.parties.is_empty() {
            writeln!(
                f,
                "\n{:18} {:>8}  {:>9} {:>9}  {:>6}  {:>9} {:>9}  {:>9}  who can read an update",
                "whole rounds", "values", "up B/val", "sum B/val", "robots", "error rms", "largest", "memory MB"
            )?;
        }
        for Party { peer, length, reader, facts } in &self.parties {
            let per = |bytes: u64| bytes as f64 / *length as f64;
            let (up, sum) = (per(facts.upload_bytes), per(facts.sum_bytes));
            let &Facts { robots, error_max, error_rms, memory_bytes, .. } = facts;
            let memory = memory_bytes.map_or("unknown".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
            writeln!(
                f,
                "{peer:18} {length:>8}  {up:>9.3} {sum:>9.3}  {robots:>6}  {error_rms:>9.2e} {error_max:>9.2e}  {memory:>9}  {reader}"
            )?;
            let ours = self.parties.iter().find(|party| party.peer == OURS && party.length == *length);
            if let Some(ours) = ours.filter(|ours| ours.peer != *peer) {
                writeln!(f, "{}", over(facts, &ours.facts))?;
            }
        }
        if !self.parties.is_empty() {
            writeln!(f, "memory: at the peak of that round, all parties in one process, above what it had before")?;
        }
        for Absent { peer, why } in &self.absent {
            writeln!(f, "{peer:18} absent: {why}")?;
        }
        if let Some(server) = &self.server {
            writeln!(f, "\n{server}")?;
        }
        if let Some(scaling) = &self.scaling {
            writeln!(f, "encrypt, elapsed time: {scaling}")?;
        }
        Ok(())
    }
}

/// A peer's sizes, errors and memory over ours.
fn over(theirs: &Facts, ours: &Facts) -> String {
    let ratio = |theirs: f64, ours: f64| {
        // An exact sum has an error of 0, of which nothing is a multiple.
        if ours > 0.0 { format!("{:.2} x", theirs / ours) } else { "-".to_owned() }
    };
    let bytes = |theirs: u64, ours: u64| ratio(theirs as f64, ours as f64);
    let (up, sum) = (bytes(theirs.upload_bytes, ours.upload_bytes), bytes(theirs.sum_bytes, ours.sum_bytes));
    let (rms, max) = (ratio(theirs.error_rms, ours.error_rms), ratio(theirs.error_max, ours.error_max));
    let memory =
        theirs.memory_bytes.zip(ours.memory_bytes).map_or("-".to_owned(), |(theirs, ours)| bytes(theirs, ours));
    format!("{:18} {:>8}  {up:>9} {sum:>9}  {:>6}  {rms:>9} {max:>9}  {memory:>9}", "", "of ours", "")
}

/// Whether a row is about a whole round.
#[must_use]
pub fn is_round(row: &Row) -> bool {
    row.kernel.starts_with("round-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_steps_and_peers() {
        assert_eq!(count("round"), 4 + 8 * 3);
        assert_eq!(count("round-add"), 9);
        assert_eq!(count("masks"), 4);
        assert_eq!(count("openfhe"), 6);
        assert_eq!(environments("seal"), [Environment::Tenseal]);
        assert_eq!(environments("masks"), []);
        assert_eq!(count("forward"), 0);
    }

    #[test]
    fn an_absent_peer_is_a_line_with_its_reason() {
        let absent = vec![Absent { peer: "a peer", why: "not installed".into() }];
        let said = Rounds { absent, ..Rounds::default() }.to_string();
        assert!(said.contains("a peer") && said.contains("absent: not installed"), "{said}");
    }

    fn facts(error_max: f64) -> Facts {
        let version = String::new();
        Facts { version, upload_bytes: 1, sum_bytes: 1, robots: 1, error_max, error_rms: 0.0, memory_bytes: None }
    }

    #[test]
    fn what_a_peer_costs_besides_time_stands_beside_ours() {
        let ours = Facts { upload_bytes: 200, memory_bytes: Some(10), ..facts(0.002) };
        let theirs = Facts { upload_bytes: 700, sum_bytes: 2, memory_bytes: Some(5), ..facts(0.003) };
        let party = |peer, facts| Party { peer, length: 8, reader: "nobody", facts };
        let parties = vec![party(OURS, ours), party("a peer", theirs)];
        let said = Rounds { parties, ..Rounds::default() }.to_string();
        let line: Vec<&str> =
            said.lines().find(|line| line.contains("of ours")).expect("a line").split_whitespace().collect();
        // Up, sum, error rms (ours is 0), largest error, memory.
        assert_eq!(line, ["of", "ours", "3.50", "x", "2.00", "x", "-", "1.50", "x", "0.50", "x"], "{said}");
        assert_eq!(said.matches("of ours").count(), 1, "not ours over ours: {said}");
    }

    #[test]
    fn a_wrong_mean_is_refused() {
        assert_eq!(right("x", &facts(0.001)), Ok(()));
        assert_eq!(right("x", &facts(0.01)).map_err(|failure| failure.code()), Err(8));
        assert_eq!(right("x", &facts(f64::NAN)).map_err(|failure| failure.code()), Err(8));
    }
}
