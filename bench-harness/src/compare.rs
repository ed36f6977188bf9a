//! `tensorguard compare-peers`: ours and theirs, taking turns in one run.

mod row;

use crate::bandwidth::Reader;
use crate::clock::Clock;
use crate::end_to_end::{self, Absent, Rounds, is_round};
use crate::failure::Failure;
use crate::interrupt;
use crate::machine::Machine;
use crate::paired;
use crate::peer::{Answer, Crate, Program, Request, Width, Worker, digest, fixed, keep_core};
use crate::progress::Progress;
use crate::results::{Earlier, Kept};
use crate::stats::Interval;
use crate::task::{Case, Kernel, LENGTHS, Scale, Task, check};
use kernels::cpu::{Cpu, Isa};
use kernels::{Backend, Direction, Modulus, Plan};
pub use row::{Row, Taken};
use std::fmt;
use std::path::Path;

const TFHE: &str = "tfhe-ntt 0.7.1";
/// Cyclic transforms over two fields of 31 bits: a reference point, not the same work.
const PLONKY3: [(&str, u32); 2] = [("Plonky3 0.8.0 BabyBear", 0x7800_0001), ("Plonky3 0.8.0 KoalaBear", 0x7F00_0001)];
/// Coefficients of the second factor in the check of a cyclic product.
const SPARSE: usize = 16;
const CHACHA: &str = "chacha20 0.10.2";
const MEMORY: &str = "memory read";
/// The peer that is our own code.
pub const ITSELF: &str = "itself";
/// Length of our sample; theirs has the same number of runs.
const SAMPLE_NS: u64 = 5_000_000;
/// More than this between identical code, and nothing on this machine can be told apart.
const NOISE: f64 = 0.02;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A few pairs of one size: does it work at all?
    Smoke,
    /// What a claim needs.
    Full,
}

impl Effort {
    /// Pairs of samples in a row.
    #[must_use]
    pub fn pairs(self) -> usize {
        match self {
            Self::Smoke => 3,
            Self::Full => 60,
        }
    }
}

/// Everything that was compared.
#[derive(Debug)]
pub struct Comparison {
    /// The machine, before.
    pub machine: Machine,
    /// The rows.
    pub rows: Vec<Row>,
    /// How much was measured.
    pub effort: Effort,
    /// Our engine.
    pub engine: &'static str,
    /// Whole rounds. Their rows are among the others.
    pub rounds: Rounds,
}

/// Whom to compare with, in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    peer: &'static str,
    kernel: &'static str,
    case: Case,
}

impl Match {
    /// All there are, those of the smoke run first.
    fn all(effort: Effort) -> Vec<Self> {
        let lengths = if effort == Effort::Smoke { &LENGTHS[..1] } else { &LENGTHS[..] };
        let new = |peer, kernel, ours, n| Self { peer, kernel, case: Case { kernel: ours, n } };
        let mut all = vec![new(ITSELF, "forward", Kernel::Forward, lengths[lengths.len() / 2])];
        for (kernel, ours) in
            [("forward", Kernel::Forward), ("inverse", Kernel::Inverse), ("inverse-scaled", Kernel::Inverse)]
        {
            all.extend(lengths.iter().map(|&n| new(TFHE, kernel, ours, n)));
            for (peer, _) in PLONKY3 {
                all.extend(lengths.iter().map(|&n| new(peer, kernel, ours, n)));
            }
        }
        all.push(new(CHACHA, "expand", Kernel::Expand, 4096));
        all.push(new(MEMORY, "sum", Kernel::Sum, 4096));
        all
    }

    /// What the filter lets through, and our own code as a measure of noise.
    fn select(filter: &str, effort: Effort) -> Result<Vec<Self>, Failure> {
        let selected: Vec<Self> = Self::all(effort)
            .into_iter()
            .filter(|m| m.peer == ITSELF || m.label().contains(&filter.to_lowercase()))
            .collect();
        if selected.len() > 1 || end_to_end::count(filter) > 0 {
            return Ok(selected);
        }
        Err(Failure::Nothing(format!(
            "nothing to compare matches '{filter}'; try ntt, forward, inverse, expand, sum, round or a peer's name, or no filter"
        )))
    }

    /// What a filter is looked for in.
    fn label(&self) -> String {
        let family = if matches!(self.case.kernel, Kernel::Forward | Kernel::Inverse) { "ntt" } else { "" };
        format!("{} {} {family}", self.peer, self.kernel).to_lowercase()
    }

    /// The program that runs it.
    fn package(&self) -> Option<Crate> {
        match self.peer {
            TFHE | CHACHA => Some(Crate::Kernels),
            peer => PLONKY3.iter().any(|&(name, _)| name == peer).then_some(Crate::Plonky3),
        }
    }

    /// What it computes modulo.
    fn prime(&self) -> u32 {
        PLONKY3.iter().find(|&&(name, _)| name == self.peer).map_or(Modulus::P1.value(), |&(_, prime)| prime)
    }
}

/// The other side of a pair.
enum Theirs<'a> {
    Worker(&'a mut Worker, Request),
    Memory(Reader),
    Itself(Box<Task>),
}

impl Theirs<'_> {
    fn sample(&mut self, cpu: &Cpu, repetitions: u64) -> Result<u64, Failure> {
        match self {
            Self::Worker(worker, request) => {
                let request = Request { repetitions, ..*request };
                worker.ask::<_, Answer>(&request).map(|answer| answer.cpu_ns)
            }
            Self::Memory(reader) => Clock::Cpu.sample(repetitions, || {
                reader.read();
                Ok(())
            }),
            Self::Itself(task) => Ok(Clock::Cpu.sample(repetitions, || task.step(cpu))?),
        }
    }
}

/// Compares what the filter selects, and keeps it as it goes: in a new folder below `out`, or in `resume`, and then without measuring
/// again what is there. After Ctrl-C the rest is a line that says so.
///
/// # Errors
/// [`Failure::Nothing`] for an empty selection, [`Failure::Wrong`] where the two sides compute different things; the journal's own.
pub fn compare(
    cpu: &Cpu,
    filter: &str,
    effort: Effort,
    out: Option<&Path>,
    resume: Option<&Path>,
) -> Result<(Comparison, Kept), Failure> {
    let matches = Match::select(filter, effort)?;
    let width = width(cpu)?;
    let machine = Machine::look();
    let mut kept = Kept::open(out, resume, cpu.name(), filter, effort)?;
    let (mut rows, left) = left(cpu, &matches, kept.earlier());
    let programs = programs(&left, width);
    // Rounds first: they need all cores once.
    let mut rounds = end_to_end::compare(cpu, filter, effort, width, &mut kept)?;
    keep_core();
    let start = |(package, program): (Crate, Result<Program, Failure>)| (package, program.and_then(Program::start));
    let mut workers = Workers(programs.into_iter().map(start).collect());
    let mut progress = Progress::new(left.len());
    for case in left {
        if interrupt::asked() {
            rounds.lacks(&mut kept, Absent::rest())?;
            break;
        }
        progress.step(&format!("{} {} n = {}", case.peer, case.kernel, case.case.n));
        let done = match workers.of(case) {
            Ok(worker) => row(cpu, case, worker, effort),
            Err(why) => Err(why),
        };
        match done {
            Ok(row) => {
                kept.row(&row)?;
                rows.push(row);
            }
            Err(Failure::Internal(why)) => rounds.lacks(&mut kept, Absent { peer: case.peer, why })?,
            Err(failure) => return Err(failure),
        }
    }
    rows.append(&mut rounds.rows);
    Ok((Comparison { machine, rows, effort, engine: cpu.name(), rounds }, kept))
}

fn width(cpu: &Cpu) -> Result<Width, Failure> {
    match cpu.isa() {
        Isa::Avx512 | Isa::Neon => Ok(Width::Widest),
        Isa::Avx2 => Ok(Width::Avx2),
        Isa::Portable => {
            let why = "the peers have no build without vector instructions; leave --isa out, or say cpu-avx2";
            Err(Failure::Usage(why.to_owned()))
        }
    }
}

/// The rows that earlier sittings kept, and what is left. Identical code is measured in each sitting.
fn left(cpu: &Cpu, matches: &[Match], earlier: &Earlier) -> (Vec<Row>, Vec<Match>) {
    let (mut rows, mut left) = (Vec::new(), Vec::new());
    for &case in matches {
        let found = earlier.rows(case.peer, case.kernel, case.case.n);
        if found.is_empty() || case.peer == ITSELF {
            left.push(case);
        }
        rows.extend(found.into_iter().map(|taken| Row::new((case.peer, case.kernel, case.case.n), cpu.name(), taken)));
    }
    (rows, left)
}

/// Builds what these need.
fn programs(matches: &[Match], width: Width) -> Vec<(Crate, Result<Program, Failure>)> {
    let needed = |package| matches.iter().any(|case| case.package() == Some(package));
    let packages: Vec<Crate> = [Crate::Kernels, Crate::Plonky3].into_iter().filter(|&one| needed(one)).collect();
    // Its own line: how long a build takes says nothing about the rest.
    let mut building = Progress::new(packages.len());
    let mut program = |package| {
        building.step("building a peer");
        (package, Program::rust(package, width))
    };
    packages.into_iter().map(&mut program).collect()
}

/// The programs that run others' kernels, as far as they are here.
struct Workers(Vec<(Crate, Result<Worker, Failure>)>);

impl Workers {
    /// Who runs this case; nobody if it needs no other program.
    fn of(&mut self, case: Match) -> Result<Option<&mut Worker>, Failure> {
        match self.0.iter_mut().find(|(package, _)| Some(*package) == case.package()) {
            Some((_, Ok(worker))) => Ok(Some(worker)),
            Some((_, Err(why))) => Err(why.clone()),
            None => Ok(None),
        }
    }
}

fn row(cpu: &Cpu, case: Match, worker: Option<&mut Worker>, effort: Effort) -> Result<Row, Failure> {
    check(cpu, case.case)?;
    let mut task = Task::new(case.case, Scale::Full)?;
    let mut peer_isa = cpu.name().to_owned();
    let mut theirs = match (case.peer, worker) {
        // The rows alone.
        (MEMORY, _) => Theirs::Memory(Reader::with_bytes(4 * task.words() as u64)),
        (_, Some(worker)) => {
            peer_isa = agree(cpu, case, worker)?;
            Theirs::Worker(worker, Request { kernel: case.kernel, n: case.case.n, p: case.prime(), repetitions: 0 })
        }
        _ => Theirs::Itself(Box::new(Task::new(case.case, Scale::Full)?)),
    };
    let repetitions = Clock::Cpu.calibrate(SAMPLE_NS, || task.step(cpu))?;
    theirs.sample(cpu, repetitions)?;
    let ours = || Ok(Clock::Cpu.sample(repetitions, || task.step(cpu))?);
    let samples = paired::pairs(effort.pairs(), ours, || theirs.sample(cpu, repetitions))?;
    let taken = Taken { peer_isa, values: 1, repetitions, samples };
    Ok(Row::new((case.peer, case.kernel, case.case.n), cpu.name(), taken))
}

/// Both sides must compute the same before their times are compared. Their transform may order its points differently,
/// so products of polynomials are compared, and a transform there and back. Returns what the peer runs on.
fn agree(cpu: &Cpu, case: Match, worker: &mut Worker) -> Result<String, Failure> {
    let (n, p) = (case.case.n, case.prime());
    let mut ask = |kernel| worker.ask::<_, Answer>(&Request { kernel, n, p, repetitions: 1 });
    let (answer, expected) = if case.peer == CHACHA {
        let mut words = vec![0; n];
        cpu.expand(&[0xA5; 32], kernels::expand::Domain::A, 7, 0, &mut words);
        (ask("keystream")?, digest(&words))
    } else {
        let (mut x, mut y) = (fixed(1, n, p), fixed(2, n, p));
        if ask("round-trip")?.digest != digest(&x) {
            return Err(Failure::Wrong(format!("{} does not come back to where it began, n = {n}", case.peer)));
        }
        if case.package() == Some(Crate::Plonky3) {
            x = cyclic_product(&x, &y[..SPARSE], p);
        } else {
            let plan = Plan::new(Modulus::P1, n).map_err(|error| Failure::Usage(error.to_string()))?;
            cpu.ntt(&plan, Direction::Forward, &mut x)?;
            cpu.ntt(&plan, Direction::Forward, &mut y)?;
            ntt::multiply(&plan, &mut x, &y);
            cpu.ntt(&plan, Direction::Inverse, &mut x)?;
        }
        (ask("product")?, digest(&x))
    };
    if answer.digest == expected {
        return Ok(answer.isa);
    }
    let (ours, kernel) = (cpu.name(), case.kernel);
    Err(Failure::Wrong(format!("{} and {ours} compute different things for {kernel}, n = {n}", case.peer)))
}

/// By definition: the product mod `X^n - 1` and p, of which ours knows neither.
fn cyclic_product(long: &[u32], short: &[u32], p: u32) -> Vec<u32> {
    let mut product = vec![0u64; long.len()];
    for (shift, &y) in short.iter().enumerate() {
        for (index, &x) in long.iter().enumerate() {
            let sum = &mut product[(index + shift) % long.len()];
            // Below 2^31 + 2^62.
            *sum = (*sum + u64::from(x) * u64::from(y)) % u64::from(p);
        }
    }
    product.into_iter().map(|word| word as u32).collect()
}

impl Comparison {
    /// One JSON object per line: rows, then what rounds cost besides time, then peers that are absent.
    ///
    /// # Errors
    /// [`Failure::Internal`] where a number has no JSON form.
    pub fn json_lines(&self) -> Result<String, Failure> {
        let mut lines = String::new();
        for row in &self.rows {
            lines += &(serde_json::to_string(row)? + "\n");
        }
        for party in &self.rounds.parties {
            lines += &(serde_json::to_string(party)? + "\n");
        }
        for absent in &self.rounds.absent {
            lines += &(serde_json::to_string(absent)? + "\n");
        }
        Ok(lines)
    }

    /// Whether the machine was quiet enough to believe the rows. A smoke run measures too little to say.
    ///
    /// # Errors
    /// [`Failure::Unfit`] where identical code differed from itself.
    pub fn verdict(&self) -> Result<(), Failure> {
        let worst = self.noise();
        if self.effort == Effort::Smoke || worst <= NOISE {
            return Ok(());
        }
        Err(Failure::Unfit(format!(
            "our own code differed from itself by {:.1} %, more than {:.0} %; try again on a quieter machine",
            100.0 * worst,
            100.0 * NOISE
        )))
    }

    /// Whether Ctrl-C left something out.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.rounds.absent.contains(&Absent::rest())
    }

    /// How far identical code differed from itself: the farther end of the interval.
    #[must_use]
    pub fn noise(&self) -> f64 {
        let itself = self.rows.iter().filter(|row| row.peer == ITSELF);
        itself.map(|row| (row.interval.high - 1.0).max(1.0 - row.interval.low)).fold(0.0, f64::max)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.machine.cpu.as_deref().unwrap_or("unknown processor");
        writeln!(
            f,
            "{} on {cpu}, one thread, CPU time, outputs checked, {} pairs\n",
            self.engine,
            self.effort.pairs()
        )?;
        writeln!(
            f,
            "{:24} {:8} {:15} {:>6}  {:>6}  {:>16}  {:>11} {:>11}",
            "peer", "on", "kernel", "n", "ratio", "95 % interval", "ours ns", "theirs ns"
        )?;
        for row in self.rows.iter().filter(|row| !is_round(row)) {
            let Interval { ratio, low, high } = row.interval;
            let interval = format!("{low:.3} .. {high:.3}");
            writeln!(
                f,
                "{:24} {:8} {:15} {:>6}  {ratio:>6.3}  {interval:>16}  {:>11.1} {:>11.1}",
                row.peer,
                row.peer_isa.trim_start_matches("cpu-"),
                row.kernel,
                row.n,
                row.ours_ns,
                row.theirs_ns
            )?;
        }
        writeln!(
            f,
            "\nratio: their time over ours; above 1, ours is faster. inverse: theirs leaves out the factor 1/n."
        )?;
        if self.rows.iter().any(|row| PLONKY3.iter().any(|&(name, _)| name == row.peer)) {
            writeln!(
                f,
                "Plonky3 does other work: mod X^n - 1 instead of X^n + 1, primes of 31 bits instead of 30, Montgomery form"
            )?;
        }
        writeln!(f, "blind below {:.1} %: how far our own code differed from itself", 100.0 * self.noise())?;
        self.rounds_of(f)
    }
}

impl Comparison {
    fn rounds_of(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.iter().any(is_round) {
            writeln!(
                f,
                "\n{:18} {:15} {:>8}  {:>8}  {:>20}  {:>12} {:>12}  {:>5}",
                "peer", "step", "values", "ratio", "95 % interval", "ours ns/val", "theirs", "pairs"
            )?;
        }
        for row in self.rows.iter().filter(|row| is_round(row)) {
            let Interval { ratio, low, high } = row.interval;
            let (interval, values) = (format!("{low:.2} .. {high:.2}"), row.values as f64);
            let (ours, theirs) = (row.ours_ns / values, row.theirs_ns / values);
            let Row { peer, kernel, n, pairs, .. } = row;
            writeln!(
                f,
                "{peer:18} {kernel:15} {n:>8}  {ratio:>8.2}  {interval:>20}  {ours:>12.3} {theirs:>12.3}  {pairs:>5}"
            )?;
        }
        write!(f, "{}", self.rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_and_an_empty_selection_is_its_own_failure() {
        let select = |filter| Match::select(filter, Effort::Full).map(|matches| matches.len());
        assert_eq!(select("ntt"), Ok(1 + 3 * 3 * 6));
        assert_eq!(select("tfhe-ntt"), Ok(1 + 3 * 6));
        assert_eq!(select("babybear"), Ok(1 + 3 * 6));
        assert_eq!(select("forward"), Ok(1 + 3 * 6));
        assert_eq!(select("sum"), Ok(1 + 1));
        assert_eq!(select(""), Ok(1 + 3 * 3 * 6 + 2));
        assert_eq!(select("round"), Ok(1));
        assert_eq!(select("fft").map_err(|failure| failure.code()), Err(4));
        assert_eq!(Match::select("ntt", Effort::Smoke).map(|matches| matches.len()), Ok(1 + 3 * 3));
    }

    #[test]
    fn cyclic_products_wrap_around_and_reduce() {
        // (1 + 2X + 3X^2 + 4X^3)(6 + X) mod X^4 - 1 and 7.
        assert_eq!(cyclic_product(&[1, 2, 3, 4], &[6, 1], 7), [(6 + 4) % 7, (12 + 1) % 7, (18 + 2) % 7, (24 + 3) % 7]);
    }
}
