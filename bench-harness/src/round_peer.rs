//! Software that adds up updates nobody should read: what it is called, where it runs, and who can read what.

use crate::failure::Failure;
use crate::peer::{Crate, Program, Width};
use crate::python::Environment;
use crate::rounds::{PLANNED, Step};

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct RoundPeer {
    /// The name in rows and filters.
    pub name: &'static str,
    /// Who can read a single robot's update.
    pub reader: &'static str,
    /// Robots in the checked round of large updates.
    robots_large: u64,
    home: Home,
}

/// The program that runs it.
#[derive(Debug, PartialEq, Eq)]
pub enum Home {
    /// A crate of `bench-harness/peers`.
    Rust(Crate),
    /// A class of `bench-harness/peers/python`.
    Python(Environment, &'static str),
}

const SHARED_KEY: &str = "every client (one shared key)";
/// A hundred large updates would take these minutes.
const FEW: u64 = 10;

const fn python(name: &'static str, environment: Environment, class: &'static str) -> RoundPeer {
    RoundPeer { name, reader: SHARED_KEY, robots_large: FEW, home: Home::Python(environment, class) }
}

const fn rust(name: &'static str, package: Crate) -> RoundPeer {
    RoundPeer { name, reader: SHARED_KEY, robots_large: FEW, home: Home::Rust(package) }
}

/// All of them.
pub const ALL: [RoundPeer; 9] = [
    python("TenSEAL as NVFlare", Environment::Tenseal, "nvflare"),
    python("TenSEAL as FedML", Environment::Tenseal, "fedml"),
    python("OpenFHE CKKS", Environment::Openfhe, "openfhe-ckks"),
    python("OpenFHE BFV", Environment::Openfhe, "openfhe-bfv"),
    python("SEAL BFV packed", Environment::Tenseal, "seal"),
    rust("fhe.rs BFV packed", Crate::Fhe),
    rust("tfhe GLWE packed", Crate::Tfhe),
    RoundPeer {
        name: "Flower SecAgg+",
        reader: "nobody by design (four stages); masks come from 32-bit seeds",
        // Its server works for each robot when it opens the sum.
        robots_large: PLANNED,
        home: Home::Python(Environment::Flower, "secagg"),
    },
    RoundPeer {
        name: "pairwise masks",
        reader: "nobody (interactive, no dropouts)",
        robots_large: PLANNED,
        home: Home::Rust(Crate::Kernels),
    },
];

impl RoundPeer {
    /// Robots in the round that is checked.
    #[must_use]
    pub fn robots(&self, length: usize) -> u64 {
        if length > 100_000 { self.robots_large } else { PLANNED }
    }

    /// What is compared. The part of our encryption that is online stands against masks only: no other peer is near it.
    #[must_use]
    pub fn steps(&self) -> &'static [Step] {
        match self.home {
            Home::Rust(Crate::Kernels) => &[Step::Encrypt, Step::Online, Step::Add, Step::Decrypt],
            _ => &[Step::Encrypt, Step::Add, Step::Decrypt],
        }
    }

    /// The Python packages it needs, if it is one.
    #[must_use]
    pub fn environment(&self) -> Option<Environment> {
        match self.home {
            Home::Python(environment, _) => Some(environment),
            Home::Rust(_) => None,
        }
    }

    /// Whether the filter lets this step through.
    #[must_use]
    pub fn is_wanted(&self, step: Step, filter: &str) -> bool {
        format!("{} {}", self.name, step.name()).to_lowercase().contains(&filter.to_lowercase())
    }

    /// Its program, which may have to be built.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it is not installed or does not build.
    pub fn program(&self, width: Width) -> Result<Program, Failure> {
        match self.home {
            Home::Rust(package) => Program::rust(package, width),
            Home::Python(environment, class) => Program::python(environment, class),
        }
    }
}
