//! The program that runs other libraries' kernels: built from `bench-harness/peers`, asked line by line.

use crate::failure::Failure;
use crate::interrupt;
use crate::python::Environment;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What the peers may use. They choose by themselves at run time, so a narrower set is another build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// AVX-512 where the processor has it.
    Widest,
    /// AVX2 at most.
    Avx2,
}

impl Width {
    fn name(self) -> &'static str {
        match self {
            Self::Widest => "widest",
            Self::Avx2 => "avx2",
        }
    }
}

/// A program of the peers' workspace. The small one is always built; the others take a minute or more the first time, so they are built
/// for whoever asks for their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crate {
    /// tfhe-ntt, chacha20, and rounds under pairwise masks.
    Kernels,
    /// Plonky3's transforms.
    Plonky3,
    /// Rounds by fhe.rs.
    Fhe,
    /// Rounds by the core of tfhe.
    Tfhe,
}

impl Crate {
    fn package(self) -> &'static str {
        match self {
            Self::Kernels => "peer-ntt",
            Self::Plonky3 => "peer-plonky3",
            Self::Fhe => "peer-fhe",
            Self::Tfhe => "peer-tfhe",
        }
    }

    /// What the compiler is told. Plonky3 takes its vector width from here; the others look for themselves when they run.
    fn flags(self, width: Width) -> &'static str {
        match (self, width) {
            (Self::Plonky3, Width::Widest) => "-C target-cpu=native",
            (Self::Plonky3, Width::Avx2) => "-C target-cpu=x86-64-v3",
            // The chacha20 crate uses AVX-512 only if told so when it is built.
            (_, Width::Widest) => "--cfg chacha20_avx512",
            (_, Width::Avx2) => "",
        }
    }

    /// Builds with other flags would throw each other away.
    fn folder(self, width: Width) -> String {
        let kind = if self == Self::Plonky3 { "-compiled" } else { "" };
        format!("{}{kind}", width.name())
    }
}

/// A request.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Request {
    /// `forward`, `inverse`, `inverse-scaled`, `expand`; or a check: `product`, `round-trip`, `keystream`.
    pub kernel: &'static str,
    /// Words.
    pub n: usize,
    /// The prime.
    pub p: u32,
    /// Runs.
    pub repetitions: u64,
}

/// The answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// CPU time of all runs.
    pub cpu_ns: u64,
    /// FNV-1a of the output.
    pub digest: u64,
    /// What the peer runs on: `avx512`, `avx2` or `scalar`.
    pub isa: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reply<A> {
    Answer(A),
    Refusal { error: String },
}

/// A program that is there, and not running yet: builds may use every core, what is timed keeps to one.
#[derive(Debug)]
pub struct Program(Command);

impl Program {
    /// Builds it if need be.
    ///
    /// # Errors
    /// [`Failure::Internal`] where there is no checkout or no compiler, or the build fails; it says what to do.
    pub fn rust(package: Crate, width: Width) -> Result<Self, Failure> {
        Ok(Self(Command::new(build(&folder()?, package, width)?)))
    }

    /// A class of the peers that are Python packages.
    ///
    /// # Errors
    /// [`Failure::Internal`] where they are not installed; it says how to.
    pub fn python(environment: Environment, class: &str) -> Result<Self, Failure> {
        let peers = folder()?;
        let python = environment.interpreter(&peers);
        if !python.is_file() {
            let why = "not installed; `tensorguard compare-peers --install-peers` does that, from PyPI";
            return Err(Failure::Internal(why.to_owned()));
        }
        let mut command = Command::new(python);
        command.arg(peers.join("python/rounds.py")).arg(class);
        Ok(Self(command))
    }

    /// Starts it, on the cores that this thread may use.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the system does not let it run.
    pub fn start(mut self) -> Result<Worker, Failure> {
        interrupt::apart(&mut self.0);
        let spawned = self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| Failure::Internal(format!("cannot start the peer worker: {error}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::Internal("the peer worker has no pipes".to_owned()));
        };
        Ok(Worker { child, input, output: BufReader::new(output) })
    }
}

/// The running program. It ends with its owner.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Asks and waits.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the worker refuses or is gone.
    pub fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A, Failure> {
        let gone = |error| Failure::Internal(format!("the peer worker is gone ({error}); run the command again"));
        writeln!(self.input, "{}", serde_json::to_string(request)?).map_err(gone)?;
        let mut line = String::new();
        if self.output.read_line(&mut line).map_err(gone)? == 0 {
            return Err(gone(std::io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str::<Reply<A>>(&line)? {
            Reply::Answer(answer) => Ok(answer),
            Reply::Refusal { error } => Err(Failure::Internal(format!("the peer worker refuses: {error}"))),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread, and the workers it starts, on one core. Only one of them works at a time, and cores differ: in
/// clock, and in what others do on them.
pub fn keep_core() {
    #[cfg(target_os = "linux")]
    {
        let mut here = rustix::thread::CpuSet::new();
        here.set(rustix::thread::sched_getcpu());
        // Where it is not allowed, the interval is wider.
        let _ = rustix::thread::sched_setaffinity(None, &here);
    }
}

/// Finds the peers' sources above the current folder, or above the program.
///
/// # Errors
/// [`Failure::Internal`] outside a checkout.
pub fn folder() -> Result<PathBuf, Failure> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let above = starts.iter().flatten().flat_map(|start| start.ancestors());
    above.map(|folder| folder.join("bench-harness/peers")).find(|peers| peers.join("Cargo.toml").is_file()).ok_or_else(
        || {
            let why = "the sources of the peer worker (bench-harness/peers) are not here; run this inside a checkout";
            Failure::Internal(why.to_owned())
        },
    )
}

/// Builds a worker and returns the program. A build that is up to date takes a fraction of a second.
fn build(peers: &Path, package: Crate, width: Width) -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| peers.join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(peers).stdin(Stdio::null()).stdout(Stdio::piped());
    command.args(["build", "--release", "--locked", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(["--package", package.package()]);
    command.arg("--target-dir").arg(std::path::absolute(target).unwrap_or_default().join(package.folder(width)));
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{flags} {}", package.flags(width)).trim());
    if width == Width::Avx2 {
        command.arg("--no-default-features");
    }
    let hint = format!(
        "it is built on first use, which needs cargo and the network; to see why that fails: cargo build --release \
         --manifest-path bench-harness/peers/Cargo.toml --package {}",
        package.package()
    );
    let built = command.stderr(Stdio::inherit()).output();
    let built = built.map_err(|error| Failure::Internal(format!("cannot run cargo: {error}; {hint}")))?;
    if !built.status.success() {
        return Err(Failure::Internal(format!("does not build; {hint}")));
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let program = executable(&messages);
    program.filter(|program| program.is_file()).ok_or_else(|| Failure::Internal(format!("cargo built nothing; {hint}")))
}

fn executable(messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    })
}

/// Words below p that both sides can make.
#[must_use]
pub fn fixed(seed: u64, n: usize, p: u32) -> Vec<u32> {
    let mut random = crate::stats::Random(seed);
    // Below p, so below 2^32.
    (0..n).map(|_| random.below(p as usize) as u32).collect()
}

/// FNV-1a, 64 bits, of words in little-endian order.
#[must_use]
pub fn digest(words: &[u32]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_fnv() {
        assert_eq!(digest(&[]), 0xCBF2_9CE4_8422_2325);
        let words = [*b"foob", *b"arbz"].map(u32::from_le_bytes);
        assert_eq!(digest(&words), 0x7388_F9EB_4E14_23CC);
    }

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let said = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n{\"executable\":\"a/peer-ntt\"}\n";
        assert_eq!(executable(said), Some(PathBuf::from("a/peer-ntt")));
        assert_eq!(executable("nothing"), None);
    }

    #[test]
    fn refusals_and_answers_are_told_apart() {
        let refusal = serde_json::from_str::<Reply<Answer>>("{\"error\":\"no\"}");
        assert!(matches!(refusal, Ok(Reply::Refusal { error }) if error == "no"));
        let answer =
            serde_json::from_str::<Reply<Answer>>("{\"cpu_ns\":1,\"digest\":18446744073709551615,\"isa\":\"avx2\"}");
        assert!(matches!(answer, Ok(Reply::Answer(answer)) if answer.digest == u64::MAX));
    }
}
