//! `tensorguard validate`: is this board right, how fast is it against its own limits, and does it stay so?
//!
//! Right before fast: an engine that answers one vector otherwise is not timed, and the run ends with exit code 8. Everything
//! goes into a journal; what is printed is computed from the record, so that `tensorguard verify` can compute it again.

mod known;
pub mod page;
mod soak;
mod timed;
pub mod vectors;

use crate::backends::{self, Listed};
use crate::device;
use crate::doctor;
use crate::failure::Failure;
use crate::found::Found;
use crate::gpu::{self, Report};
use crate::interrupt;
use crate::machine::Machine;
use crate::power;
use crate::progress::Progress;
use crate::record::journal::{Journal, Plan};
use crate::record::{Environment, Line, Property, Record};
use crate::results;
use crate::sensors::Sensors;
use cuda::Cuda;
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use known::Known;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// What a board's figures need.
    Full,
    /// Small sizes, a few samples: a check that it works, not a measurement.
    Smoke,
}

/// What to validate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Engines by name; none for all that are present, of which the best is timed.
    pub backends: Vec<String>,
    /// How much.
    pub effort: Effort,
    /// How long to keep each timed engine busy.
    pub soak: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub struct Validated {
    /// Where it lies.
    pub folder: PathBuf,
    /// The record.
    pub record: Record,
    /// What the GPU can do at best, where there is one.
    pub gpu: Option<Report>,
    /// Why the board does not pass, if so.
    pub failure: Option<Failure>,
}

/// An engine that is present.
struct Engine {
    name: &'static str,
    backend: Box<dyn Backend>,
}

impl Engine {
    /// For processors only.
    fn isa(&self) -> Option<Isa> {
        Isa::ALL.iter().copied().find(|isa| isa.name() == self.name)
    }
}

/// Validates this machine. Writes a new folder below `parent`, or goes on in `resume`.
///
/// # Errors
/// [`Failure::Usage`] for an engine that is not there; those of [`Journal::open`]; [`Failure::Wrong`] and [`Failure::Incomparable`] where
/// what is to go on found something wrong, or a board in another state. A board that does not pass is no
/// error here, and Ctrl-C none either: see [`Validated::failure`]; what it left out is in the record by name.
pub fn run(request: &Request, parent: &Path, resume: Option<&Path>) -> Result<Validated, Failure> {
    let listed = listed(&request.backends)?;
    let mut sensors = Sensors::look();
    let (mut journal, lines) = open_journal(request, parent, resume)?;
    let known = Known::of(&mut journal, lines)?;
    describe(&mut journal, &known, &sensors)?;
    let engines = open(&mut journal, request, &listed)?;
    // Those that turn out wrong are not timed: then there is less to do than was said.
    let to_time = engines.iter().filter(|engine| why_not_timed(request, engine).is_none()).count();
    let mut progress = Progress::new(engines.len() + to_time + 2);
    progress.later(request.soak.unwrap_or_default() * to_time as u32);
    progress.step("asking the definition");
    let vectors = vectors::all()?;
    let mut failure = None;
    let mut right = Vec::new();
    for engine in engines {
        let cell = format!("answers {}", engine.name);
        if known.has(&cell) {
            right.push(engine);
            continue;
        }
        if interrupt::asked() {
            not_run(&mut journal, &cell, interrupt::MISSING.to_owned())?;
            continue;
        }
        progress.step(&format!("asking {}", engine.name));
        match answers(&mut journal, &engine, &vectors)? {
            None => right.push(engine),
            wrong => failure = worse(failure, wrong),
        }
    }
    let timed = timed_ones(&mut journal, request, right)?;
    progress.later(request.soak.unwrap_or_default() * timed.len() as u32);
    let gpu = times(&mut journal, request, &timed, &mut progress, &mut failure)?;
    if let Some(length) = request.soak {
        let left: Vec<&Engine> = timed.iter().filter(|engine| !known.has(&soak::cell_name(engine.name))).collect();
        failure = worse(failure, soaks(&mut journal, &left, length, &mut sensors, &mut progress)?);
    }
    drop(progress);
    let (folder, record) = journal.finish(|record| page::text(record, gpu.as_ref()))?;
    let is_judged = request.effort == Effort::Full;
    let failure = worse(failure, page::throttled(&record).filter(|_| is_judged));
    let interrupted = record.footer.is_none().then(|| interrupt::resumable(&folder));
    Ok(Validated { folder, record, gpu, failure: worse(failure, interrupted) })
}

/// Soaks engines one after the other.
fn soaks(
    journal: &mut Journal,
    engines: &[&Engine],
    length: Duration,
    sensors: &mut Sensors,
    progress: &mut Progress,
) -> Result<Option<Failure>, Failure> {
    let mut failure = None;
    for (index, engine) in engines.iter().enumerate() {
        if interrupt::asked() {
            not_run(journal, &soak::cell_name(engine.name), interrupt::MISSING.to_owned())?;
            continue;
        }
        let others = length * (engines.len() - index - 1) as u32;
        let told = &mut |what: &str, left: Duration| {
            progress.later(left + others);
            progress.live(what);
        };
        let asked = soak::Soak { name: engine.name, length };
        failure = worse(failure, soak::run(journal, engine.backend.as_ref(), &asked, sensors, told)?);
    }
    Ok(failure)
}

/// Times the engines that are right. Gives what a GPU can do at best, where one is among them.
fn times(
    journal: &mut Journal,
    request: &Request,
    timed: &[Engine],
    progress: &mut Progress,
    failure: &mut Option<Failure>,
) -> Result<Option<Report>, Failure> {
    if interrupt::asked() {
        for engine in timed {
            not_run(journal, &format!("times of {}", engine.name), interrupt::MISSING.to_owned())?;
        }
        return Ok(None);
    }
    progress.step("ceilings");
    let read = timed::memory(journal, request.effort)?;
    let mut gpu = None;
    for engine in timed {
        if interrupt::asked() {
            not_run(journal, &format!("times of {}", engine.name), interrupt::MISSING.to_owned())?;
            continue;
        }
        progress.step(&format!("timing {}", engine.name));
        timed::smallest_job(journal, engine.name, engine.backend.as_ref())?;
        if let Some(cpu) = engine.isa().and_then(|isa| Cpu::with(isa, 1)) {
            timed::kernels(journal, &cpu, request.effort, &read)?;
        }
        let wrong = timed::whole_jobs(journal, engine.name, engine.backend.as_ref(), request.effort)?;
        *failure = worse(failure.take(), wrong);
        if engine.name == "cuda" {
            let effort = if request.effort == Effort::Full { gpu::Effort::Full } else { gpu::Effort::Smoke };
            let report = gpu::Opened::new(effort)?.measure(&mut |row| results::gpu_row(journal, "cuda ", row))?;
            gpu = Some(report);
        }
    }
    Ok(gpu)
}

fn worse(first: Option<Failure>, second: Option<Failure>) -> Option<Failure> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.or(second)),
        (first, second) => first.or(second),
    }
}

/// The engines that were asked for, or all.
fn listed(names: &[String]) -> Result<Vec<Listed>, Failure> {
    let all = backends::all();
    if names.is_empty() {
        return Ok(all);
    }
    let mut wanted: Vec<Listed> = Vec::new();
    for name in names {
        // Says which there are, and why one that is listed cannot be used.
        backends::chosen(Some(name), 1)?;
        let is_new = wanted.iter().all(|known| known.name != name);
        wanted.extend(all.iter().find(|listed| listed.name == name).filter(|_| is_new));
    }
    Ok(wanted)
}

fn open_journal(request: &Request, parent: &Path, resume: Option<&Path>) -> Result<(Journal, Vec<Line>), Failure> {
    let cuda = Cuda::new().ok().map(|cuda| doctor::gpu(cuda.facts()));
    let adapter = || Some(device::open(shaders::Options::default()).ok()?.1.to_string());
    let environment =
        Environment { machine: Machine::look(), engine: Cpu::best(1).name().to_owned(), gpu: cuda.or_else(adapter) };
    let config = BTreeMap::from([
        ("backends".to_owned(), json!(request.backends)),
        ("effort".to_owned(), json!(if request.effort == Effort::Full { "full" } else { "smoke" })),
        ("soak_s".to_owned(), json!(request.soak.map(|soak| soak.as_secs_f64()))),
    ]);
    let what = if request.effort == Effort::Full { "validate" } else { "validate-smoke" };
    Journal::open(parent, resume, Plan { command: "validate", what, config, corpus_sha256: None, environment })
}

/// The board, its power mode and sensors; what is absent is a row with its reason.
fn describe(journal: &mut Journal, known: &Known, sensors: &Sensors) -> Result<(), Failure> {
    let found = power::look(Path::new("/"));
    let (present, absent): (Vec<Found>, Vec<Found>) = found.into_iter().partition(|found| found.present);
    let mut properties: BTreeMap<String, Property> =
        present.into_iter().map(|found| (found.name, Property::Text(found.note))).collect();
    let names: Vec<&str> = sensors.present.iter().map(|sensor| sensor.name.as_str()).collect();
    if !names.is_empty() {
        properties.insert("sensors".to_owned(), Property::Text(names.join(", ")));
    }
    if !known.is_state(&properties)? {
        journal.write(&Line::Cell { cell: known::MACHINE.to_owned(), properties })?;
    }
    for Found { name, note, .. } in absent.into_iter().chain(sensors.absent.iter().cloned()) {
        not_run(journal, &name, note)?;
    }
    Ok(())
}

fn not_run(journal: &mut Journal, cell: &str, reason: String) -> Result<(), Failure> {
    journal.write(&Line::NotRun { cell: cell.to_owned(), properties: BTreeMap::new(), reason })
}

fn open(journal: &mut Journal, request: &Request, listed: &[Listed]) -> Result<Vec<Engine>, Failure> {
    let mut engines = Vec::new();
    for listed in listed {
        match listed.open(device::cores()) {
            Ok(backend) => engines.push(Engine { name: listed.name, backend }),
            Err(why) => not_run(journal, &format!("engine {}", listed.name), why)?,
        }
    }
    if request.soak.is_none() {
        let why = "not asked for: --soak 5m keeps each engine busy and compares every result";
        not_run(journal, "soak", why.to_owned())?;
    }
    Ok(engines)
}

/// Asks an engine every vector; gives the failure if it is wrong.
fn answers(journal: &mut Journal, engine: &Engine, vectors: &[vectors::Vector]) -> Result<Option<Failure>, Failure> {
    let cell = format!("answers {}", engine.name);
    let answers = vectors::ask(engine.backend.as_ref(), vectors);
    let count = |of: fn(&vectors::Answers) -> usize| answers.iter().map(of).sum::<usize>();
    let (asked, wrong) = (count(|answers| answers.count), count(|answers| answers.wrong.len()));
    let digests: String = answers.iter().map(|answers| answers.digest.as_str()).collect();
    let properties = BTreeMap::from([
        ("engine".to_owned(), engine.name.into()),
        ("asked".to_owned(), asked.into()),
        ("wrong".to_owned(), wrong.into()),
        ("digest".to_owned(), Property::Text(crate::record::sha256(digests.as_bytes()))),
    ]);
    let mut lines = vec![Line::Cell { cell: cell.clone(), properties }];
    lines.extend(answers.iter().map(|answers| Line::Check(answers.check(&cell))));
    journal.write_all(&lines)?;
    let first = answers.iter().find_map(|answers| answers.wrong.first());
    let Some(first) = first else { return Ok(None) };
    not_run(
        journal,
        &format!("times of {}", engine.name),
        "its answers are wrong, so its times mean nothing".to_owned(),
    )?;
    let name = engine.name;
    Ok(Some(Failure::Wrong(format!("{name} answers {wrong} of {asked} vectors otherwise, the first: {first}"))))
}

/// Which of the right ones are timed: those asked for, else the best processor engine and every GPU.
fn timed_ones(journal: &mut Journal, request: &Request, right: Vec<Engine>) -> Result<Vec<Engine>, Failure> {
    let mut timed = Vec::new();
    for engine in right {
        match why_not_timed(request, &engine) {
            Some(why) => not_run(journal, &format!("times of {}", engine.name), why)?,
            None => timed.push(engine),
        }
    }
    Ok(timed)
}

fn why_not_timed(request: &Request, engine: &Engine) -> Option<String> {
    let best = Cpu::best(1).name();
    let is_wanted = !request.backends.is_empty() || engine.isa().is_none() || engine.name == best;
    match engine.name {
        "reference" => Some("the definition is slow on purpose".to_owned()),
        backends::LADDER if request.backends.is_empty() => {
            Some("made of engines that are timed by themselves; time it with --backend ladder".to_owned())
        }
        _ if !is_wanted => Some(format!("{best} is the best here; time this one with --backend {}", engine.name)),
        "cuda" if request.effort == Effort::Full => gpu::stand_in().map(|name| format!("{name} is not a GPU")),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
