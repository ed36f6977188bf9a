//! Several backends tried in turn: the mechanism. Which rungs, and from which size on, is the binary's choice.

use crate::{Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, SealJob, Shape};
use ntt::Plan;
use std::sync::atomic::{AtomicU64, Ordering};

/// The jobs a ladder tells apart when it looks at sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the jobs' names: see Backend")]
pub enum JobKind {
    Ntt,
    Pad,
    Seal,
    Encrypt,
    Sum,
    Decrypt,
    Dense,
}

impl JobKind {
    /// All of them, in the order of the trait.
    pub const ALL: [Self; 7] = [Self::Ntt, Self::Pad, Self::Seal, Self::Encrypt, Self::Sum, Self::Decrypt, Self::Dense];

    /// The method's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ntt => "ntt",
            Self::Pad => "pad",
            Self::Seal => "seal",
            Self::Encrypt => "encrypt",
            Self::Sum => "sum",
            Self::Decrypt => "decrypt",
            Self::Dense => "dense",
        }
    }
}

/// One backend of a ladder, and the smallest job of each kind it is asked to do.
#[derive(Debug)]
pub struct Rung {
    backend: Box<dyn Backend>,
    from_words: [usize; JobKind::ALL.len()],
    served: AtomicU64,
    faults: AtomicU64,
}

impl Rung {
    /// A rung for jobs of every size.
    #[must_use]
    pub fn new(backend: Box<dyn Backend>) -> Self {
        Self::from_size(backend, 0)
    }

    /// A rung for jobs that read or write at least `from_words` words or digits (bytes / 4 for packed rows).
    #[must_use]
    pub fn from_size(backend: Box<dyn Backend>, from_words: usize) -> Self {
        Self::from_sizes(backend, |_| from_words)
    }

    /// A rung with a smallest size for each kind of job; `usize::MAX` where it is never asked.
    #[must_use]
    pub fn from_sizes(backend: Box<dyn Backend>, from_words: impl Fn(JobKind) -> usize) -> Self {
        let from_words = JobKind::ALL.map(from_words);
        Self { backend, from_words, served: AtomicU64::new(0), faults: AtomicU64::new(0) }
    }
}

/// What one rung did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The backend's name.
    pub backend: &'static str,
    /// Jobs it finished.
    pub jobs: u64,
    /// Jobs it was asked to do and gave back with a [`Fault`].
    pub faults: u64,
}

/// A backend made of backends: each job goes to the first rung that is meant for its size and does it. A rung that
/// fails leaves the outputs unchanged, so the next one starts from the same state.
#[derive(Debug)]
pub struct Ladder {
    rungs: Vec<Rung>,
    told: Option<Told>,
}

/// Is told of a rung that failed: its name, and how.
pub type Told = fn(&'static str, Fault);

impl Ladder {
    /// Rungs in the order they are tried.
    #[must_use]
    pub fn new(rungs: Vec<Rung>) -> Self {
        Self { rungs, told: None }
    }

    /// Tells `told` of each rung's first fault: results stay right, but from then on may take longer than expected.
    #[must_use]
    pub fn telling(self, told: Told) -> Self {
        Self { told: Some(told), ..self }
    }

    /// Which rung served how many jobs, in the order they are tried.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let served = |rung: &Rung| Served {
            backend: rung.backend.name(),
            jobs: count(&rung.served),
            faults: count(&rung.faults),
        };
        self.rungs.iter().map(served).collect()
    }

    /// The last fault where every rung meant for this size failed; `Declined` where there was none.
    fn try_each<T>(
        &self,
        kind: JobKind,
        words: usize,
        mut job: impl FnMut(&dyn Backend) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut last = Fault::Declined;
        for rung in self.rungs.iter().filter(|rung| words >= rung.from_words[kind as usize]) {
            match job(rung.backend.as_ref()) {
                Ok(value) => {
                    rung.served.fetch_add(1, Ordering::Relaxed);
                    return Ok(value);
                }
                Err(fault) => {
                    let first = rung.faults.fetch_add(1, Ordering::Relaxed) == 0;
                    if let Some(told) = self.told.filter(|_| first) {
                        told(rung.backend.name(), fault);
                    }
                    last = fault;
                }
            }
        }
        Err(last)
    }
}

impl Backend for Ladder {
    fn name(&self) -> &'static str {
        "ladder"
    }

    fn threads(&self) -> usize {
        self.rungs.iter().map(|rung| rung.backend.threads()).max().unwrap_or(1)
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        self.try_each(JobKind::Ntt, polys.len(), |backend| backend.ntt(plan, direction, polys))
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        self.try_each(JobKind::Pad, out.len(), |backend| backend.pad(job, out))
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.try_each(JobKind::Seal, digits.len(), |backend| backend.seal(job, pad, digits, out))
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.try_each(JobKind::Encrypt, digits.len(), |backend| backend.encrypt(job, digits, out))
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        self.try_each(JobKind::Sum, rows.len() * shape.packed_len() / 4, |backend| {
            backend.sum(shape, rows, accumulator)
        })
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        self.try_each(JobKind::Decrypt, digits.len(), |backend| backend.decrypt(job, accumulator, digits))
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        self.try_each(JobKind::Dense, rows.len() * job.dimension, |backend| backend.dense(job, rows))
    }
}
