//! What every worker shares. One request per line of standard input, one answer per line of standard output, each in JSON;
//! an answer that cannot be given is `{"error":"..."}`.

pub mod levels;
pub mod round;

use rustix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::io::{BufRead, Write};

/// Answers each line until the input ends.
///
/// # Errors
/// Where standard input or output fails.
pub fn serve<Q: DeserializeOwned, A: Serialize>(
    mut answer: impl FnMut(&Q) -> Result<A, String>,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let asked = serde_json::from_str(&line?).map_err(|error| error.to_string());
        let line = match asked.and_then(|question| answer(&question)) {
            Ok(answer) => serde_json::to_string(&answer)?,
            Err(error) => serde_json::to_string(&Refusal { error })?,
        };
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

/// A kernel to run.
#[derive(Deserialize)]
pub struct Request {
    /// Which, or which check.
    pub kernel: String,
    /// Words.
    pub n: usize,
    /// The prime.
    pub p: u32,
    /// Runs.
    pub repetitions: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// CPU time of all runs.
    pub cpu_ns: u64,
    /// FNV-1a of the output.
    pub digest: u64,
    /// What it runs on.
    pub isa: &'static str,
}

/// Time that this process has spent.
#[must_use]
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CPU time of that many runs in place, and the content afterwards.
pub fn timed<T: Copy + Default>(content: &[T], repetitions: u64, mut run: impl FnMut(&mut [T])) -> (u64, Vec<T>) {
    // Begins at a cache line, as on the caller's side.
    let spare = 64 / size_of::<T>();
    let mut buffer = vec![T::default(); content.len() + spare];
    let start = (64 - buffer.as_ptr() as usize % 64) % 64 / size_of::<T>();
    let words = &mut buffer[start..start + content.len()];
    words.copy_from_slice(content);
    let begin = cpu_ns();
    for _ in 0..repetitions {
        run(black_box(&mut *words));
    }
    (cpu_ns() - begin, words.to_vec())
}

/// Words below p that the caller can make too: SplitMix64, scaled.
#[must_use]
pub fn fixed(seed: u64, n: usize, p: u32) -> Vec<u32> {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(state)
    };
    (0..n).map(|_| ((u128::from(word()) * u128::from(p)) >> 64) as u32).collect()
}

/// FNV-1a, 64 bits.
pub fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// SplitMix64's mixer.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
