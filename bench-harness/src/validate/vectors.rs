//! What an engine must answer: vectors that the program carries, so that a board needs nothing else.
//!
//! Known answers come from a script that shares no code with any engine (tests/vectors). The others come from the definition,
//! at the lengths around which engines break. An answer is compared by its SHA-256, and digests of engines and boards by eye.

mod defined;
mod known;

use crate::failure::Failure;
use crate::record::{Check, sha256};
use kernels::Backend;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Whose word an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A script of its own.
    KnownAnswers,
    /// [`kernels::reference`].
    Definition,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::KnownAnswers => "known answers",
            Self::Definition => "answers by the definition",
        }
    }
}

type Run = Box<dyn Fn(&dyn Backend) -> Result<Vec<u8>, Failure>>;

/// A question and the digest of its answer.
pub struct Vector {
    kernel: &'static str,
    source: Source,
    what: String,
    expected: String,
    run: Run,
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, {}", self.kernel, self.what, self.source.name())
    }
}

/// All of them. Asks the definition, which takes some seconds.
///
/// # Errors
/// [`Failure::Internal`] where what the program carries does not fit together.
pub fn all() -> Result<Vec<Vector>, Failure> {
    let mut all = known::vectors()?;
    all.extend(defined::vectors()?);
    Ok(all)
}

/// An engine's answers to the vectors of one kernel and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The kernel.
    pub kernel: &'static str,
    /// Whose word is compared with.
    pub source: Source,
    /// How many.
    pub count: usize,
    /// What differed.
    pub wrong: Vec<String>,
    /// The digest of all answers.
    pub digest: String,
}

impl Answers {
    /// As a line of a record.
    #[must_use]
    pub fn check(&self, cell: &str) -> Check {
        let Self { kernel, source, count, wrong, digest } = self;
        let mut claim = format!("{kernel}: {count} {}", source.name());
        if let Some(first) = wrong.first() {
            claim = format!("{claim}; {} differ, the first: {first}", wrong.len());
        }
        Check { cell: cell.to_owned(), claim, digest: Some(digest.clone()), holds: wrong.is_empty() }
    }
}

/// Asks an engine everything. A fault is a wrong answer.
#[must_use]
pub fn ask(backend: &dyn Backend, vectors: &[Vector]) -> Vec<Answers> {
    let mut groups: BTreeMap<(Source, &'static str), (usize, Vec<String>, Sha256)> = BTreeMap::new();
    for vector in vectors {
        let (count, wrong, digests) = groups.entry((vector.source, vector.kernel)).or_default();
        *count += 1;
        let digest = match (vector.run)(backend) {
            Ok(answer) => sha256(&answer),
            Err(failure) => failure.to_string(),
        };
        if digest != vector.expected {
            wrong.push(format!("{}: {digest} instead of {}", vector.what, vector.expected));
        }
        digests.update(digest.as_bytes());
    }
    let hex = |digests: Sha256| digests.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let answers =
        |((source, kernel), (count, wrong, digests))| Answers { kernel, source, count, wrong, digest: hex(digests) };
    groups.into_iter().map(answers).collect()
}

/// Words as bytes, the smaller half first.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn unfit(error: impl fmt::Display) -> Failure {
    Failure::Internal(format!("a vector that this program carries: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::cpu::Cpu;
    use kernels::reference::Reference;
    use kernels::{DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, SealJob, Shape};

    /// The definition, but one kernel of it is wrong in one bit, or fails.
    #[derive(Debug)]
    struct Broken {
        kernel: &'static str,
        how: How,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum How {
        LastBit,
        Fault,
    }

    impl Broken {
        fn spoil<T>(&self, kernel: &str, out: &mut [T], flip: impl Fn(&mut T)) -> Result<(), Fault> {
            match (self.kernel == kernel, self.how, out.last_mut()) {
                (true, How::Fault, _) => Err(Fault::DeviceLost),
                (true, How::LastBit, Some(last)) => {
                    flip(last);
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    }

    impl Backend for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }
        fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
            Reference.ntt(plan, direction, polys)?;
            self.spoil("ntt", polys, |word| *word ^= 1)
        }
        fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
            Reference.pad(job, out)?;
            self.spoil("pad", out, |word| *word ^= 1)
        }
        fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
            Reference.seal(job, pad, digits, out)?;
            self.spoil("seal", out, |byte| *byte ^= 1)
        }
        fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
            Reference.encrypt(job, digits, out)?;
            self.spoil("encrypt", out, |byte| *byte ^= 1)
        }
        fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
            Reference.sum(shape, rows, accumulator)?;
            self.spoil("sum", accumulator, |word| *word ^= 1)
        }
        fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
            let noise = Reference.decrypt(job, accumulator, digits)?;
            self.spoil("decrypt", digits, |word| *word ^= 1).map(|()| noise)
        }
        fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
            Reference.dense(job, rows)?;
            self.spoil("dense", rows, |word| *word ^= 1)
        }
    }

    const KERNELS: [&str; 7] = ["ntt", "pad", "seal", "encrypt", "sum", "decrypt", "dense"];

    #[test]
    fn every_engine_of_this_processor_gives_the_answers_and_the_same_digests() {
        let vectors = all().expect("they fit together");
        let expected = ask(&Reference, &vectors);
        assert!(expected.iter().all(|answers| answers.wrong.is_empty()), "{expected:?}");
        for cpu in Cpu::present(2) {
            assert_eq!(ask(&cpu, &vectors), expected, "{}", cpu.name());
        }
        for kernel in KERNELS {
            assert!(expected.iter().any(|answers| answers.kernel == kernel && answers.count > 3), "{kernel}");
        }
    }

    #[test]
    fn one_wrong_bit_or_a_fault_of_any_kernel_is_seen() {
        let mut vectors = all().expect("they fit together");
        // One of each kernel and source is enough, and quick.
        let mut seen: BTreeMap<(Source, &str), usize> = BTreeMap::new();
        vectors.retain(|vector| {
            let count = seen.entry((vector.source, vector.kernel)).or_default();
            *count += 1;
            *count <= 2
        });
        for kernel in KERNELS {
            for how in [How::LastBit, How::Fault] {
                let answers = ask(&Broken { kernel, how }, &vectors);
                let of_kernel = |answers: &&Answers| answers.kernel == kernel;
                assert!(answers.iter().filter(of_kernel).all(|answers| !answers.wrong.is_empty()), "{kernel}, {how:?}");
                assert!(answers.iter().any(|answers| of_kernel(&answers)), "{kernel}");
                let check = answers.iter().find(of_kernel).map(|answers| answers.check("a"));
                assert!(check.is_some_and(|check| !check.holds && check.claim.contains("differ")), "{kernel}");
            }
        }
    }
}
