//! Keeping an engine busy: every result compared, and whether the rate holds while the board warms up.

use crate::clock::cpu_ns;
use crate::failure::Failure;
use crate::interrupt;
use crate::record::formula::{Formula, Input};
use crate::record::journal::Journal;
use crate::record::{Check, Label, Line, Measure, Sample, sha256};
use crate::results::cell;
use crate::sensors::Sensors;
use kernels::expand::{self, Domain};
use kernels::reference::Reference;
use kernels::{Backend, DecryptJob, Encoding, EncryptJob, Fault, Modulus, Ring, Secret, Shape};
use serde_json::Number;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The stage of the iterations.
pub(super) const ITERATION: &str = "iteration";
/// The parts of a soak, which are its arms: the last is held against the first.
pub(super) const PARTS: [&str; 3] = ["first", "middle", "last"];
/// How the cell of a soak begins.
pub(super) const CELL: &str = "soak ";
/// Robots whose rows are added in an iteration.
const ROWS: u32 = 4;
/// Polynomials of a message: 1 MB of fp32.
const POLYS: usize = 21;

/// What to keep busy, and how long.
pub(super) struct Soak<'a> {
    pub(super) name: &'a str,
    pub(super) length: Duration,
}

/// The cell of an engine's soak.
pub(super) fn cell_name(engine: &str) -> String {
    format!("{CELL}{engine}")
}

/// What is done again and again: encrypt, add, open.
struct Round {
    encoding: Encoding,
    shape: Shape,
    message_seed: Secret<[u8; 32]>,
    secret_sum: Secret<Vec<i32>>,
    digits: Vec<u32>,
    found: Found,
}

/// What it gives.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    row: Vec<u8>,
    sum: Vec<u32>,
    opened: Vec<u32>,
}

impl Round {
    fn new() -> Result<Self, Failure> {
        let unfit = |error: String| Failure::Internal(error);
        let primes = [Modulus::P1.value(), Modulus::P2.value()];
        let ring = Ring::new(4096, &primes).map_err(|error| unfit(error.to_string()))?;
        let encoding = Encoding::new(ring, 50, 25_501, 3).map_err(|error| unfit(error.to_string()))?;
        let len = POLYS * 4096 * 3;
        let (shape, seed) = (encoding.shape(len), [0x5A; 32]);
        let mut secret = vec![0; 4096];
        expand::small(&seed, Domain::S, 0, &mut secret);
        secret.iter_mut().for_each(|s| *s *= ROWS as i32);
        let found =
            Found { row: vec![0; shape.packed_len()], sum: vec![0; shape.accumulator_len()], opened: vec![0; len] };
        Ok(Self {
            encoding,
            shape,
            message_seed: Secret::new(seed),
            secret_sum: Secret::new(secret),
            digits: (0..len as u32).map(|at| at * 7 % 256).collect(),
            found,
        })
    }

    fn turn(&mut self, backend: &dyn Backend) -> Result<(), Fault> {
        let Self { encoding, shape, message_seed, secret_sum, digits, found } = self;
        let a_seed = &[0xA5; 32];
        // What a step leaves out must not be what the one before it wrote.
        found.row.fill(0xEE);
        found.sum.fill(0);
        found.opened.fill(u32::MAX);
        backend.encrypt(&EncryptJob { encoding, a_seed, message_seed, first_poly: 0 }, digits, &mut found.row)?;
        backend.sum(shape, &[found.row.as_slice(); ROWS as usize], &mut found.sum)?;
        backend.decrypt(&DecryptJob { encoding, a_seed, secret_sum, first_poly: 0 }, &found.sum, &mut found.opened)?;
        Ok(())
    }

    /// Whether the sums of the digits came out.
    fn is_opened(&self) -> bool {
        self.digits.iter().zip(&self.found.opened).all(|(digit, opened)| digit * ROWS == *opened)
    }
}

/// Runs it. Gives why the board does not pass, if it does not. A soak that was interrupted keeps what it has, and has no check: it begins
/// anew when the run goes on, because the board cools down meanwhile.
pub(super) fn run(
    journal: &mut Journal,
    backend: &dyn Backend,
    soak: &Soak<'_>,
    sensors: &mut Sensors,
    told: &mut dyn FnMut(&str, Duration),
) -> Result<Option<Failure>, Failure> {
    let mut round = Round::new()?;
    round.turn(&Reference)?;
    if !round.is_opened() {
        return Err(Failure::Wrong("the definition opens to other sums than were put in".to_owned()));
    }
    let expected = round.found.clone();
    let properties = [("engine", soak.name.into()), ("seconds", (soak.length.as_secs() as usize).into())];
    let items = ("digit", round.digits.len() as u64);
    let name = cell(journal, cell_name(soak.name), ITERATION, &properties, items)?;
    for sensor in &sensors.present {
        let (stage, item) = (sensor.name.clone(), "reading".to_owned());
        journal.write(&Line::Stage { cell: name.clone(), stage, label: Label::M, item, items: 1, formula: None })?;
    }
    let mut kept = Kept { name: &name, turns: [0; 3], in_the_middle: vec![0; sensors.present.len()] };
    // Warm: caches, tables, a device's memory. And counters begin here.
    let mut state = round.turn(backend).map_err(|fault| fault.to_string());
    sensors.read();
    let window = (soak.length / 90).clamp(Duration::from_millis(200), Duration::from_secs(10));
    let (begin, mut iterations) = (Instant::now(), 0u64);
    while state.is_ok() && begin.elapsed() < soak.length && !interrupt::asked() {
        let part = (begin.elapsed().as_secs_f64() / soak.length.as_secs_f64() * 3.0) as usize;
        let (from, mut used, mut count) = (Instant::now(), 0, 0);
        while count == 0 || from.elapsed() < window && state.is_ok() && !interrupt::asked() {
            let cpu = cpu_ns();
            state = round.turn(backend).map_err(|fault| fault.to_string());
            used += cpu_ns() - cpu;
            count += 1;
            if state.is_ok() && round.found != expected {
                state = Err("other bits than by the definition".to_owned());
            }
        }
        let elapsed = from.elapsed().as_nanos() as u64;
        iterations += count;
        kept.window(journal, part.min(2), count, [used, elapsed], sensors)?;
        let left = soak.length.saturating_sub(begin.elapsed());
        told(&format!("soak {}: {iterations} iterations", soak.name), left);
    }
    kept.energy(journal, sensors)?;
    let found = &expected;
    let words: Vec<u8> = found.sum.iter().chain(&found.opened).flat_map(|word| word.to_le_bytes()).collect();
    let digest = Some(sha256(&[found.row.as_slice(), &words].concat()));
    let (claim, failure) = match state {
        Ok(()) => {
            let claim = format!("each of {iterations} iterations gave the bits of the definition");
            if begin.elapsed() < soak.length {
                let after = begin.elapsed().as_secs();
                let reason = format!("{}, after {after} s; until then {claim}", interrupt::MISSING);
                let cell = format!("rest of {name}");
                journal.write(&Line::NotRun { cell, properties: BTreeMap::new(), reason })?;
                return Ok(None);
            }
            (claim, None)
        }
        Err(why) => {
            let claim = format!("iteration {iterations} failed: {why}");
            (claim.clone(), Some(Failure::Wrong(format!("{name}, {claim}"))))
        }
    };
    journal.write(&Line::Check(Check { cell: name.clone(), claim, digest, holds: failure.is_none() }))?;
    Ok(failure)
}

/// What a soak has written.
struct Kept<'a> {
    name: &'a str,
    /// Windows in each part.
    turns: [u32; 3],
    /// Readings of each sensor in the middle part.
    in_the_middle: Vec<usize>,
}

impl Kept<'_> {
    fn window(
        &mut self,
        journal: &mut Journal,
        part: usize,
        iterations: u64,
        [cpu_ns, wall_ns]: [u64; 2],
        sensors: &mut Sensors,
    ) -> Result<(), Failure> {
        let turn = self.turns[part];
        self.turns[part] += 1;
        let mut write = |stage: &str, repetitions, values: BTreeMap<Measure, Number>| {
            let (cell, stage, arm) = (self.name.to_owned(), stage.to_owned(), PARTS[part].to_owned());
            journal.write(&Line::Sample(Sample { cell, stage, arm, turn, repetitions, values }))
        };
        let both = BTreeMap::from([(Measure::CpuNs, cpu_ns.into()), (Measure::WallNs, wall_ns.into())]);
        write(ITERATION, iterations, both)?;
        for (index, value) in sensors.read().into_iter().enumerate() {
            let sensor = &sensors.present[index];
            let Some(number) = value.and_then(Number::from_f64) else { continue };
            let repetitions = if sensor.measure.adds_up() { iterations } else { 1 };
            write(&sensor.name, repetitions, BTreeMap::from([(sensor.measure, number)]))?;
            self.in_the_middle[index] += usize::from(part == 1);
        }
        Ok(())
    }

    /// Joules of an iteration, where a sensor gives watts.
    fn energy(&self, journal: &mut Journal, sensors: &Sensors) -> Result<(), Failure> {
        let input = |stage: &str, measure| Input {
            cell: self.name.to_owned(),
            stage: stage.to_owned(),
            arm: PARTS[1].to_owned(),
            measure,
        };
        for (sensor, readings) in sensors.present.iter().zip(&self.in_the_middle) {
            if sensor.measure == Measure::Watts && *readings > 0 && self.turns[1] > 0 {
                let (power, time) = (input(&sensor.name, Measure::Watts), input(ITERATION, Measure::WallNs));
                journal.write(&Line::Stage {
                    cell: self.name.to_owned(),
                    stage: format!("energy by {}", sensor.name),
                    label: Label::D,
                    item: ITERATION.to_owned(),
                    items: 1,
                    formula: Some(Formula::Energy { power, time }),
                })?;
            }
        }
        Ok(())
    }
}
