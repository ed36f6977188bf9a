//! What a case runs on: an engine, and data whose output was checked.

use super::case::{HOST, Job, Work};
use super::stage::Prepared;
use crate::backends;
use crate::calibration;
use crate::clock::{Clock, Spent};
use crate::device;
use crate::failure::Failure;
use crate::floor::Needs;
use crate::task::{self, Kernel, Scale, Task, check, check_on};
use cuda::Cuda;
use kernels::cpu::{Cpu, Isa};
use kernels::{Backend, Fault};
use shaders::{Absent, Options, Wgpu};

/// An engine that runs cases.
#[derive(Debug)]
pub enum Engine {
    /// On this processor.
    Cpu(Cpu),
    /// On a device through WGSL.
    Wgpu(Box<OnWgpu>),
    /// On a device, and what that is.
    Device(Box<dyn Backend>, String),
}

/// The WGSL engine, and the same once more for the time in kernels.
#[derive(Debug)]
pub struct OnWgpu {
    engine: Wgpu,
    stamped: Wgpu,
    device: String,
}

impl Engine {
    /// The engine of this name; for [`HOST`] the best one, which only looks on.
    ///
    /// # Errors
    /// Why it is absent, for people.
    pub fn open(name: &str, threads: usize) -> Result<Self, String> {
        if name == HOST {
            return Ok(Self::Cpu(Cpu::best(threads)));
        }
        let listed = backends::all().into_iter().find(|listed| listed.name == name);
        let listed = listed.ok_or_else(|| format!("no backend is called {name}"))?;
        match listed.isa() {
            Some(isa) => Cpu::with(isa, threads)
                .map(Self::Cpu)
                .ok_or_else(|| isa.absent_reason().unwrap_or("no reason known").to_owned()),
            None if name == "wgpu" => {
                let both = || Ok((device::open(Options::default())?, device::open_stamped()?));
                let ((engine, device), stamped) = both().map_err(|why: Absent| why.to_string())?;
                Ok(Self::Wgpu(Box::new(OnWgpu { engine, stamped, device: device.to_string() })))
            }
            None if name == "cuda" => {
                let engine = Cuda::new().map_err(|why| why.to_string())?;
                let device = format!("{}, driver {}", engine.facts().name, engine.facts().driver);
                Ok(Self::Device(Box::new(engine), device))
            }
            None if name == backends::LADDER => {
                let (ladder, devices) = calibration::ladder()?;
                Ok(Self::Device(Box::new(ladder), format!("ladder over {devices}")))
            }
            None => listed.open(threads).map(|engine| Self::Device(engine, listed.name.to_owned())),
        }
    }

    /// As a backend.
    #[must_use]
    pub fn backend(&self) -> &dyn Backend {
        match self {
            Self::Cpu(cpu) => cpu,
            Self::Wgpu(on) => &on.engine,
            Self::Device(backend, _) => backend.as_ref(),
        }
    }

    /// As a backend of its own.
    #[must_use]
    pub fn into_backend(self) -> Box<dyn Backend> {
        match self {
            Self::Cpu(cpu) => Box::new(cpu),
            Self::Wgpu(on) => Box::new(on.engine),
            Self::Device(backend, _) => backend,
        }
    }

    /// The device, where it is one.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Cpu(_) => None,
            Self::Wgpu(on) => Some(&on.device),
            Self::Device(_, device) => Some(device),
        }
    }

    /// The WGSL engine, where it is that.
    #[must_use]
    pub fn wgpu(&self) -> Option<&Wgpu> {
        if let Self::Wgpu(on) = self { Some(&on.engine) } else { None }
    }

    /// What so many runs take in the device's kernels alone, by its own clock. None where it has no clock.
    ///
    /// # Errors
    /// The device's.
    pub fn kernels_ns(&self, task: &mut Task, runs: u64) -> Result<Option<u64>, Fault> {
        let Self::Wgpu(on) = self else { return Ok(None) };
        let Some(before) = on.stamped.kernel_ns() else { return Ok(None) };
        (0..runs).try_for_each(|_| task.step_on(&on.stamped))?;
        Ok(on.stamped.kernel_ns().map(|after| after - before))
    }

    /// The clock that says what it costs: CPU time where one thread does all the work.
    #[must_use]
    pub fn clock(&self) -> Clock {
        if matches!(self, Self::Cpu(cpu) if cpu.threads() == 1) { Clock::Cpu } else { Clock::Wall }
    }

    /// Runs a task once.
    ///
    /// # Errors
    /// The engine's.
    pub fn step(&self, task: &mut Task) -> Result<(), Fault> {
        match self {
            Self::Cpu(cpu) => task.step(cpu),
            Self::Wgpu(_) | Self::Device(..) => task.step_on(self.backend()),
        }
    }

    /// Holds a small task against the definition.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where they differ.
    pub fn check(&self, case: task::Case) -> Result<(), Failure> {
        match self {
            Self::Cpu(cpu) => check(cpu, case),
            Self::Wgpu(_) | Self::Device(..) => check_on(self.backend(), case),
        }
    }
}

/// A job's data. Rounds are kept for the next job of the same fleet: large ones take seconds.
#[derive(Debug, Default)]
pub struct Data {
    task: Option<(Job, Box<Task>)>,
    round: Option<((usize, u32), Box<Prepared>)>,
}

/// What is known of a job before it is timed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What one run handles.
    pub items: u64,
    /// What a kernel cannot do without.
    pub needs: Option<Needs>,
    /// Bytes that a stage sends.
    pub wire_bytes: Option<u64>,
}

impl Data {
    /// Makes what a job needs, unless it is there.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a round is wrong.
    pub fn prepare(&mut self, job: Job) -> Result<Facts, Failure> {
        match job.work {
            Work::Kernel(case) => {
                if self.task.as_ref().is_none_or(|(made, _)| *made != job) {
                    self.task = None;
                    self.task = Some((job, Box::new(Task::new(case, scale(job))?)));
                }
                let (_, task) = self.task.as_ref().ok_or_else(unprepared)?;
                Ok(Facts { items: task.items, needs: Some(task.needs()), wire_bytes: None })
            }
            Work::Stage(stage) => {
                let fleet = (job.length(), job.robots());
                if self.round.as_ref().is_none_or(|(made, _)| *made != fleet) {
                    self.round = None;
                    self.round = Some((fleet, Box::new(Prepared::new(fleet.0, fleet.1)?)));
                }
                let (_, round) = self.round.as_ref().ok_or_else(unprepared)?;
                Ok(Facts { items: round.items(stage), needs: None, wire_bytes: round.wire_bytes(stage) })
            }
        }
    }

    /// Holds a prepared job's output on this engine against another's. Gives what was compared, and a digest.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where they differ.
    pub fn check(&mut self, job: Job, engine: &Engine) -> Result<(&'static str, String), Failure> {
        match job.work {
            Work::Kernel(case) => check_kernel(job, case, engine),
            Work::Stage(stage) => {
                let (_, round) = self.round.as_mut().ok_or_else(unprepared)?;
                round.check(stage, engine.backend())
            }
        }
    }

    /// What so many runs of a prepared kernel take on the device alone, by its own clock; none for a stage or without such a clock.
    ///
    /// # Errors
    /// The device's.
    pub fn kernels_ns(&mut self, job: Job, engine: &Engine, runs: u64) -> Result<Option<u64>, Failure> {
        match (job.work, &mut self.task) {
            (Work::Kernel(_), Some((made, task))) if *made == job => Ok(engine.kernels_ns(task, runs)?),
            _ => Ok(None),
        }
    }

    /// Runs a prepared job so often.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step fails.
    pub fn run(&mut self, job: Job, engine: &Engine, repetitions: u64) -> Result<Spent, Failure> {
        match job.work {
            Work::Kernel(_) => {
                let (_, task) = self.task.as_mut().ok_or_else(unprepared)?;
                let mut spent = Spent::default();
                spent.on(|| (0..repetitions).try_for_each(|_| engine.step(task)))?;
                Ok(spent)
            }
            Work::Stage(stage) => {
                let (_, round) = self.round.as_mut().ok_or_else(unprepared)?;
                round.run(stage, engine.backend(), repetitions)
            }
        }
    }
}

fn unprepared() -> Failure {
    Failure::Internal("a job was run before it was prepared".to_owned())
}

fn scale(job: Job) -> Scale {
    Scale::Update { values: job.length(), rows: job.robots() as usize }
}

/// So small an update the reference computes in no time.
const REFERENCE_VALUES: usize = 2500;

/// A small task against the definition; then this job's own data, against the definition too where that is quick, else against
/// the engine that has least in common with this one.
fn check_kernel(job: Job, case: task::Case, engine: &Engine) -> Result<(&'static str, String), Failure> {
    engine.check(case)?;
    let mut ours = Task::new(case, scale(job))?;
    let mut other = Task::new(case, scale(job))?;
    engine.step(&mut ours)?;
    let claim = if job.length() <= REFERENCE_VALUES && case.kernel != Kernel::Dense {
        other.define()?;
        "equals the reference"
    } else {
        let best = Cpu::best(1);
        let isa = if engine.backend().name() == Isa::Portable.name() { best.isa() } else { Isa::Portable };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        other.step(&Cpu::with(isa, threads).unwrap_or(best))?;
        "equals the reference on a small message, and another engine on this one"
    };
    if ours.output() != other.output() {
        return Err(Failure::Wrong(format!(
            "{} computes {job} otherwise than it is defined, so its time means nothing. Run `cargo test -p tensorguard-tests` and \
             report what it prints",
            engine.backend().name()
        )));
    }
    Ok((claim, ours.digest()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_job_is_right_on_this_processor() {
        let engine = Engine::Cpu(Cpu::best(1));
        let mut data = Data::default();
        for name in [
            "kernel-forward-1024/10kb",
            "kernel-inverse-4096/10kb",
            "kernel-expand/10kb",
            "kernel-pad/10kb",
            "kernel-seal/10kb",
            "kernel-encrypt/10kb",
            "kernel-decrypt/10kb",
            "kernel-sum/10kb/20",
            "stage-quantize/10kb",
            "stage-add/10kb/2",
        ] {
            let job = Job::named(name).expect("a job");
            assert!(data.prepare(job).expect("data").items > 0);
            assert_eq!(data.check(job, &engine).expect("the right output").1.len(), 64);
            assert!(data.run(job, &engine, 2).expect("a sample").wall_ns > 0);
        }
    }

    #[test]
    fn an_absent_engine_says_why() {
        assert!(Engine::open("cpu-fast", 1).is_err_and(|why| why.contains("cpu-fast")));
        let absent = Isa::ALL.into_iter().find(|isa| Cpu::with(*isa, 1).is_none()).expect("no processor has all");
        assert!(Engine::open(absent.name(), 1).is_err_and(|why| !why.is_empty()));
    }
}
