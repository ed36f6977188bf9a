//! A soak sees one wrong bit, and throttling only where it is certain.

use super::known::Known;
use super::{page, soak};
use crate::failure::Failure;
use crate::machine::Machine;
use crate::record::journal::{Journal, Plan};
use crate::record::verify::verify;
use crate::record::{Check, Environment, Line, Measure, Record, Sample};
use crate::results::cell;
use crate::scratch::Scratch;
use crate::sensors::Sensors;
use crate::sysfs::board::Board;
use kernels::cpu::Cpu;
use kernels::{
    Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan as Transform, SealJob, Shape,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

mod floors;

/// A folder, and a journal in it.
fn begin(name: &str) -> (Scratch, Journal) {
    let folder = Scratch::new(&format!("soak-{name}"));
    let environment = Environment { machine: Machine::look(), engine: "cpu-portable".into(), gpu: None };
    let plan = Plan { command: "test", what: "test", config: BTreeMap::new(), corpus_sha256: None, environment };
    let journal = Journal::begin(&folder, plan).expect("a folder");
    (folder, journal)
}

/// An engine whose encryption slips in one bit, once.
#[derive(Debug)]
struct Slipping {
    cpu: Cpu,
    left: AtomicU32,
}

impl Backend for Slipping {
    fn name(&self) -> &'static str {
        "slipping"
    }
    fn ntt(&self, plan: &Transform, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        self.cpu.ntt(plan, direction, polys)
    }
    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        self.cpu.pad(job, out)
    }
    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.cpu.seal(job, pad, digits, out)
    }
    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.cpu.encrypt(job, digits, out)?;
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            // The lowest bit of a coefficient: it opens to the same digits.
            out[0] ^= 1;
        }
        Ok(())
    }
    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        self.cpu.sum(shape, rows, accumulator)
    }
    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        self.cpu.decrypt(job, accumulator, digits)
    }
    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        self.cpu.dense(job, rows)
    }
}

fn soaked(name: &str, slips_at: u32) -> (Option<Failure>, Record) {
    let (scratch, mut journal) = begin(name);
    let board = Board::new(name, include_str!("../../tests/sysfs/jetson-orin.txt"));
    let mut sensors = Sensors::below(board.root(), Err("not asked".to_owned()));
    let engine = Slipping { cpu: Cpu::best(1), left: AtomicU32::new(slips_at) };
    let asked = soak::Soak { name: "cpu-slipping", length: Duration::from_millis(900) };
    let failure = soak::run(&mut journal, &engine, &asked, &mut sensors, &mut |_, _| {}).expect("it can be written");
    let (folder, record) = journal.finish(|record| page::text(record, None)).expect("a record");
    assert!(verify(&folder).expect("a record").differences.is_empty());
    drop(scratch);
    (failure, record)
}

#[test]
fn a_soak_that_is_right_keeps_rates_sensors_and_energy() {
    let (failure, record) = soaked("right", u32::MAX);
    assert_eq!(failure, None);
    assert!(record.checks[0].holds && record.checks[0].claim.starts_with("each of "), "{:?}", record.checks);
    let text = page::text(&record, None);
    for line in [
        "soak of cpu-slipping",
        "CPU-therm: 48.2 degrees Celsius",
        "VDD_CPU_CV #2: 5.00 W",
        "energy by VDD_CPU_CV #2: ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn one_wrong_bit_in_one_iteration_ends_a_soak() {
    let (failure, record) = soaked("wrong", 3);
    assert!(matches!(&failure, Some(Failure::Wrong(why)) if why.contains("other bits")), "{failure:?}");
    assert!(!record.checks[0].holds);
    assert!(page::text(&record, None).contains("WRONG"));
}

/// A soak whose windows take these times, first third and last.
fn record(name: &str, first: &[u64], last: &[u64]) -> Record {
    let (scratch, mut journal) = begin(name);
    let name = cell(&mut journal, "soak cpu-a".to_owned(), soak::ITERATION, &[], ("digit", 1)).expect("a line");
    for (part, times) in [(soak::PARTS[0], first), (soak::PARTS[2], last)] {
        for (turn, &time_ns) in (0..).zip(times) {
            let (cell, stage, arm) = (name.clone(), soak::ITERATION.to_owned(), part.to_owned());
            let values = BTreeMap::from([(Measure::CpuNs, time_ns.into())]);
            journal.write(&Line::Sample(Sample { cell, stage, arm, turn, repetitions: 1, values })).expect("a line");
        }
    }
    let record = journal.finish(|_| String::new()).expect("a record").1;
    drop(scratch);
    record
}

#[test]
fn only_a_rate_that_certainly_fell_is_throttling() {
    let steady: Vec<u64> = (0..30).map(|turn| 1000 + turn % 7).collect();
    let slower = |percent: u64| -> Vec<u64> { steady.iter().map(|time| time * (100 + percent) / 100).collect() };
    let verdict =
        |name: &str, last: &[u64]| page::throttled(&record(name, &steady, last)).map(|failure| failure.code());
    assert_eq!(verdict("same", &steady), None);
    assert_eq!(verdict("little", &slower(3)), None);
    assert_eq!(verdict("much", &slower(12)), Some(3));
    assert_eq!(verdict("few", &slower(12)[..3]), None, "three windows say nothing");
    // Half of the windows of a busy machine, in no order.
    let noisy: Vec<u64> = (0..30).map(|turn| 1000 + 200 * (turn * 7 % 10 / 5)).collect();
    assert_eq!(verdict("noisy", &noisy), None);
    // An interval that reaches over the threshold is no promise that the rate holds.
    let said = |name: &str, last: &[u64]| page::text(&record(name, &steady, last), None);
    assert!(said("held", &steady).contains("steady: ") && said("fell", &slower(12)).contains("THROTTLED: "));
    let unsure = said("unsure", &noisy);
    assert!(unsure.contains("cannot tell") && !unsure.contains("steady"), "{unsure}");
    assert!(page::text(&record("short", &steady, &[]), None).contains("too few windows to tell"));
}

#[test]
fn going_on_keeps_answers_and_whole_soaks_and_hides_nothing_that_was_wrong() {
    let (scratch, mut journal) = begin("known");
    let cell = |cell: &str, clocks: &str| Line::Cell {
        cell: cell.into(),
        properties: BTreeMap::from([("clocks".to_owned(), clocks.into())]),
    };
    let check =
        |cell: &str, holds| Line::Check(Check { cell: cell.into(), claim: "it is".into(), digest: None, holds });
    let begun = ["machine", "answers a", "memory read", "kernel a sum 4096", "soak a", "soak b"];
    let mut lines: Vec<Line> = begun.iter().map(|name| cell(name, "600 MHz")).collect();
    lines.extend([check("answers a", true), check("soak a", true), check("kernel a sum 4096", true)]);
    let known = Known::of(&mut journal, lines.clone()).expect("nothing was wrong");
    let kept: Vec<&str> = begun.into_iter().filter(|cell| known.has(cell)).collect();
    assert_eq!(kept, ["machine", "answers a", "soak a"], "the other soak was cut off");

    let state = |clocks: &str| known.is_state(&BTreeMap::from([("clocks".to_owned(), clocks.into())]));
    assert_eq!(state("600 MHz"), Ok(true));
    let other = state("1200 MHz").map_err(|failure| (failure.code(), failure.to_string()));
    assert!(other.as_ref().is_err_and(|(code, why)| *code == 6 && why.contains("clocks")), "{other:?}");

    lines.push(check("kernel a sum 4096", false));
    let wrong = Known::of(&mut journal, lines).err().map(|failure| failure.code());
    assert_eq!(wrong, Some(8), "a second try would hide it");
    drop(scratch);
}
