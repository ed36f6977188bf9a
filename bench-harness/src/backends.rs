//! Every backend the command knows, in one place. A new engine is one line here, and `doctor` and `--backend` have it.

use crate::calibration;
use crate::device;
use crate::failure::Failure;
use cuda::Cuda;
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use kernels::reference::Reference;

/// A backend by name: present, or absent for a reason.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// Its name, as [`Backend::name`] gives it.
    pub name: &'static str,
    /// What it is for, if that needs saying.
    pub note: &'static str,
    engine: Engine,
}

#[derive(Clone, Copy, Debug)]
enum Engine {
    Reference,
    Cpu(Isa),
    Wgpu,
    Cuda,
    Ladder,
}

/// The engines of this machine together, as they were calibrated.
pub const LADDER: &str = "ladder";

/// All of them: the definition, the CPU engines, the GPU engines, and the engines of this machine together.
#[must_use]
pub fn all() -> Vec<Listed> {
    let listed = |name, note, engine| Listed { name, note, engine };
    let mut all = vec![listed("reference", "the definition; slow, for checks", Engine::Reference)];
    all.extend(Isa::ALL.map(|isa| listed(isa.name(), "", Engine::Cpu(isa))));
    all.push(listed("wgpu", "", Engine::Wgpu));
    all.push(listed("cuda", "", Engine::Cuda));
    all.push(listed(LADDER, "each job goes to the engine that was the fastest at its size", Engine::Ladder));
    all
}

impl Listed {
    /// The instruction set, where it is a CPU engine.
    #[must_use]
    pub fn isa(&self) -> Option<Isa> {
        if let Engine::Cpu(isa) = self.engine { Some(isa) } else { None }
    }

    /// Makes it, or says why this machine has no such backend. A GPU engine takes the adapter that was
    /// chosen, or the best.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn open(&self, threads: usize) -> Result<Box<dyn Backend>, String> {
        match self.engine {
            Engine::Reference => Ok(Box::new(Reference)),
            Engine::Cpu(isa) => match Cpu::with(isa, threads) {
                Some(cpu) => Ok(Box::new(cpu)),
                None => Err(isa.absent_reason().unwrap_or("no reason known").to_owned()),
            },
            Engine::Wgpu => match device::open(shaders::Options::default()) {
                Ok((engine, _)) => Ok(Box::new(engine)),
                Err(why) => Err(why.to_string()),
            },
            Engine::Cuda => match Cuda::new() {
                Ok(engine) => Ok(Box::new(engine)),
                Err(why) => Err(why.to_string()),
            },
            Engine::Ladder => Ok(Box::new(calibration::ladder()?.0)),
        }
    }
}

/// The backend of this name, or the best CPU engine where none is named.
///
/// # Errors
/// [`Failure::Usage`] if there is none, or it is absent here.
pub fn chosen(name: Option<&str>, threads: usize) -> Result<Box<dyn Backend>, Failure> {
    let Some(name) = name else { return Ok(Box::new(Cpu::best(threads))) };
    let all = all();
    let Some(listed) = all.iter().find(|listed| listed.name == name) else {
        let names: Vec<&str> = all.iter().map(|listed| listed.name).collect();
        return Err(Failure::Usage(format!("no backend is called {name:?}; there are {}", names.join(", "))));
    };
    listed.open(threads).map_err(|why| {
        Failure::Usage(format!("{name} is absent here: {why}. `tensorguard doctor` lists what is present"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_starts_under_its_listed_name_or_says_why_not() {
        for listed in all() {
            match (chosen(Some(listed.name), 1), listed.open(1)) {
                (Ok(backend), Ok(_)) => assert_eq!(backend.name(), listed.name),
                (Err(failure), Err(why)) => assert!(failure.to_string().contains(&why), "{failure}"),
                (found, opened) => panic!("{}: {found:?}, but {opened:?}", listed.name),
            }
        }
        let failure = chosen(Some("cpu-fast"), 1).expect_err("there is no such backend");
        assert!(failure.to_string().contains("reference, cpu-portable"), "{failure}");
    }
}
