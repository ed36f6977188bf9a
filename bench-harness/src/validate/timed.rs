//! Times: what this machine can do at best, each kernel against that, and whole jobs from the host's memory and back.

use super::Effort;
use crate::bandwidth::{Copier, Reader};
use crate::ceiling::Ceiling;
use crate::clock::Clock;
use crate::device;
use crate::failure::Failure;
use crate::floor::Limit;
use crate::machine::Machine;
use crate::record::formula::{Formula, Input, Part};
use crate::record::journal::Journal;
use crate::record::{Check, Label, Line, Measure, Property};
use crate::results::{cell, sample};
use crate::task::{Case, Kernel, Scale, Task, cases, check};
use kernels::cpu::Cpu;
use kernels::reference::Reference;
use kernels::{Backend, Direction, Fault, Modulus, Plan};
use std::time::{Duration, Instant};

/// Whose samples these are.
pub(super) const OURS: &str = "ours";
/// The cell of what one thread reads from memory.
const READ: &str = "memory read";

/// A limit that was measured: its cell, and how many bytes, products or operations one run of it handles.
pub(super) struct Ceiled {
    limit: Limit,
    cell: String,
    count: u64,
}

/// The stage of a kernel's samples.
pub(super) const STEP: &str = "step";
/// And of the share of its floor.
pub(super) const SHARE: &str = "share of floor";
/// Length of a sample of a kernel, or of arithmetic alone.
const SAMPLE_NS: u64 = 5_000_000;
/// The most that one row of whole jobs may take.
const MOST: Duration = Duration::from_millis(700);

fn samples(effort: Effort) -> usize {
    if effort == Effort::Full { 31 } else { 5 }
}

/// What memory gives: read and copied by one thread, read by all. Returns the first, which kernels are held against.
pub(super) fn memory(journal: &mut Journal, effort: Effort) -> Result<Ceiled, Failure> {
    let reader = if effort == Effort::Full { Reader::new() } else { Reader::small() };
    let (bytes, threads) = (reader.bytes(), device::cores());
    let name = cell(journal, READ.to_owned(), STEP, &[("threads", 1.into())], ("byte", bytes))?;
    repeat(journal, &name, Clock::Cpu, effort, || reader.read())?;
    let all = [("threads", Property::from(threads))];
    let name = cell(journal, "memory read by all threads".to_owned(), STEP, &all, ("byte", bytes))?;
    repeat(journal, &name, Clock::Wall, effort, || reader.read_on(threads))?;
    let mut copier = Copier::new(reader);
    let name = cell(journal, "memory copy".to_owned(), STEP, &[("threads", 1.into())], ("byte", copier.bytes()))?;
    repeat(journal, &name, Clock::Cpu, effort, || copier.copy())?;
    Ok(Ceiled { limit: Limit::Memory, cell: READ.to_owned(), count: bytes })
}

fn measure(clock: Clock) -> Measure {
    if clock == Clock::Cpu { Measure::CpuNs } else { Measure::WallNs }
}

fn repeat(
    journal: &mut Journal,
    name: &str,
    clock: Clock,
    effort: Effort,
    mut work: impl FnMut(),
) -> Result<(), Failure> {
    work();
    for turn in 0..samples(effort).min(15) {
        let took = clock.sample::<Failure>(1, || {
            work();
            Ok(())
        })?;
        journal.write(&sample(name, STEP, OURS, turn, 1, [(measure(clock), took.into())]))?;
    }
    Ok(())
}

/// A kernel's cell.
fn kernel_cell(engine: &str, case: Case) -> String {
    format!("kernel {engine} {} {}", case.kernel.name(), case.n)
}

/// What this engine's arithmetic gives at best, on one thread. Returns what each of the limits' cells handles at once.
pub(super) fn arithmetic(journal: &mut Journal, cpu: &Cpu, effort: Effort) -> Result<[Ceiled; 2], Failure> {
    let mut measured = |ceiling: Ceiling<'_>| {
        let limit = ceiling.limit();
        let properties = [("engine", cpu.name().into()), ("threads", 1.into())];
        let name = format!("{} {}", limit.name(), cpu.name());
        let name = cell(journal, name, STEP, &properties, (limit.unit(), ceiling.count))?;
        take_times(journal, &name, effort, || {
            ceiling.run();
            Ok(())
        })?;
        Ok::<Ceiled, Failure>(Ceiled { limit, cell: name, count: ceiling.count })
    };
    Ok([measured(Ceiling::products(cpu)?)?, measured(Ceiling::operations(cpu)?)?])
}

/// Samples of some milliseconds of CPU time.
fn take_times(
    journal: &mut Journal,
    name: &str,
    effort: Effort,
    mut run: impl FnMut() -> Result<(), Fault>,
) -> Result<(), Failure> {
    let repetitions = Clock::Cpu.calibrate(SAMPLE_NS, &mut run)?;
    for turn in 0..samples(effort) {
        let took = Clock::Cpu.sample(repetitions, &mut run)?;
        journal.write(&sample(name, STEP, OURS, turn, repetitions, [(Measure::CpuNs, took.into())]))?;
    }
    Ok(())
}

/// Each kernel on one thread, and its share of its floor: a formula over the limits' cells of the record.
pub(super) fn kernels(journal: &mut Journal, cpu: &Cpu, effort: Effort, read: &Ceiled) -> Result<(), Failure> {
    let ceilings = arithmetic(journal, cpu, effort)?;
    let cache_bytes = Machine::look().cache_bytes;
    for case in cases() {
        check(cpu, case)?;
        let mut task = Task::new(case, if effort == Effort::Full { Scale::Full } else { Scale::Small })?;
        let needs = task.needs();
        let count = |count: u64| Property::from(usize::try_from(count).unwrap_or(usize::MAX));
        let properties = [
            ("engine", cpu.name().into()),
            ("kernel", case.kernel.name().into()),
            ("n", case.n.into()),
            ("bytes", count(needs.bytes)),
            ("held_bytes", count(needs.held_bytes)),
            ("products", count(needs.products)),
            ("operations", count(needs.operations)),
        ];
        let (item, items) = (case.kernel.item(), task.items);
        let name = cell(journal, kernel_cell(cpu.name(), case), STEP, &properties, (item, items))?;
        take_times(journal, &name, effort, || task.step(cpu))?;
        let part = |(limit, asked): (Limit, u64)| {
            let ceiled = ceilings.iter().find(|ceiled| ceiled.limit == limit).unwrap_or(read);
            Part { times: asked as f64 / ceiled.count as f64, input: median(&ceiled.cell) }
        };
        let limits = needs.asked(cache_bytes).into_iter().map(part).collect();
        let formula = Some(Formula::Roofline { limits, of: median(&name) });
        let (stage, item) = (SHARE.to_owned(), item.to_owned());
        journal.write(&Line::Stage { cell: name, stage, label: Label::D, item, items, formula })?;
    }
    Ok(())
}

fn median(cell: &str) -> Input {
    Input { cell: cell.to_owned(), stage: STEP.to_owned(), arm: OURS.to_owned(), measure: Measure::CpuNs }
}

/// What a job costs an engine however small it is: there and back.
pub(super) fn smallest_job(journal: &mut Journal, engine: &str, backend: &dyn Backend) -> Result<(), Failure> {
    let plan = Plan::new(Modulus::P1, 256).map_err(|error| Failure::Internal(error.to_string()))?;
    let mut words: Vec<u32> = (0..256).collect();
    let properties = [("engine", engine.into())];
    let name = cell(journal, format!("smallest job {engine}"), STEP, &properties, ("job", 1))?;
    let mut job = || backend.ntt(&plan, Direction::Forward, &mut words);
    let repetitions = Clock::Wall.calibrate(1_000_000, &mut job)?;
    for turn in 0..15 {
        let took = Clock::Wall.sample(repetitions, &mut job)?;
        journal.write(&sample(&name, STEP, OURS, turn, repetitions, [(Measure::WallNs, took.into())]))?;
    }
    Ok(())
}

/// Whole jobs from the host's memory to an engine and back, on all threads, each compared with the definition first.
pub(super) fn whole_jobs(
    journal: &mut Journal,
    engine: &str,
    backend: &dyn Backend,
    effort: Effort,
) -> Result<Option<Failure>, Failure> {
    // 48 KB, 1 MB and 10 MB of fp32.
    let sizes: &[usize] = if effort == Effort::Full { &[1, 21, 204] } else { &[1] };
    let mut failure = None;
    for kernel in [Kernel::Encrypt, Kernel::Sum, Kernel::Decrypt] {
        for &polys in sizes {
            let (case, scale) = (Case { kernel, n: 4096 }, Scale::Polys(polys));
            let (mut task, mut defined) = (Task::new(case, scale)?, Task::new(case, scale)?);
            let properties = [("engine", engine.into()), ("kernel", kernel.name().into()), ("polys", polys.into())];
            let cell_name = format!("whole job {engine} {} {polys}", kernel.name());
            let name = cell(journal, cell_name, STEP, &properties, (kernel.item(), task.items))?;
            task.step_on(backend)?;
            defined.step_on(&Reference)?;
            let digest = task.digest();
            let holds = digest == defined.digest();
            let claim = "one job, as by the definition".to_owned();
            journal.write(&Line::Check(Check { cell: name.clone(), claim, digest: Some(digest), holds }))?;
            if !holds {
                failure = Some(Failure::Wrong(format!("{name}: not as by the definition")));
                continue;
            }
            let begin = Instant::now();
            for turn in 0..samples(effort) {
                if turn >= 3 && begin.elapsed() > MOST {
                    break;
                }
                let took = Clock::Wall.sample(1, || task.step_on(backend))?;
                journal.write(&sample(&name, STEP, OURS, turn, 1, [(Measure::WallNs, took.into())]))?;
            }
        }
    }
    Ok(failure)
}
