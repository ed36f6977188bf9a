//! Every backend the command knows, in one place. A new engine is one line here, and `doctor` and `--backend` have it.

use crate::failure::Failure;
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
    Absent(&'static str),
}

/// All of them: the definition, the CPU engines, the GPU engines.
#[must_use]
pub fn all() -> Vec<Listed> {
    let listed = |name, note, engine| Listed { name, note, engine };
    let mut all = vec![listed("reference", "the definition; slow, for checks", Engine::Reference)];
    all.extend(Isa::ALL.map(|isa| listed(isa.name(), "", Engine::Cpu(isa))));
    all.extend(["wgpu", "cuda"].map(|gpu| listed(gpu, "", Engine::Absent("this version has no GPU engine"))));
    all
}

impl Listed {
    /// Why this machine has no such backend; `None` where it has.
    #[must_use]
    pub fn absent_reason(&self) -> Option<&'static str> {
        match self.engine {
            Engine::Reference => None,
            Engine::Cpu(isa) => isa.absent_reason(),
            Engine::Absent(why) => Some(why),
        }
    }

    /// Makes it, where it is present.
    #[must_use]
    pub fn start(&self, threads: usize) -> Option<Box<dyn Backend>> {
        match self.engine {
            Engine::Reference => Some(Box::new(Reference)),
            Engine::Cpu(isa) => Some(Box::new(Cpu::with(isa, threads)?)),
            Engine::Absent(_) => None,
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
    listed.start(threads).ok_or_else(|| {
        let why = listed.absent_reason().unwrap_or("it cannot run");
        Failure::Usage(format!("{name} is absent here: {why}. `tensorguard doctor` lists what is present"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_starts_under_its_listed_name_or_says_why_not() {
        for listed in all() {
            match (chosen(Some(listed.name), 1), listed.absent_reason()) {
                (Ok(backend), None) => assert_eq!(backend.name(), listed.name),
                (Err(failure), Some(why)) => assert!(failure.to_string().contains(why), "{failure}"),
                (found, why) => panic!("{}: {found:?}, although absent for {why:?}", listed.name),
            }
        }
        let failure = chosen(Some("cpu-fast"), 1).expect_err("there is no such backend");
        assert!(failure.to_string().contains("reference, cpu-portable"), "{failure}");
    }
}
