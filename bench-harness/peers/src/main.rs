//! Times other libraries' kernels. One request per line of standard input, one answer per line of standard output:
//!
//! ```text
//! {"kernel":"forward","n":1024,"p":1073479681,"repetitions":1000}
//! {"cpu_ns":423000,"digest":1234567890,"isa":"avx512"}
//! {"error":"..."}
//! ```
//!
//! `forward`, `inverse` (without the factor 1/n), `inverse-scaled` and `expand` are timed: that many runs in place.
//! `product`, `round-trip` and `keystream` are checks: the digest tells the caller whether both sides compute the same.
//!
//! A request with a `step` in place of the kernel is about a whole round under pairwise masks: see [`masks`].

mod masks;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::io::{BufRead, Write};
use tfhe_ntt::prime32::Plan;

#[derive(Deserialize)]
#[serde(untagged)]
enum Ask {
    Kernel(Request),
    Round(masks::Request),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Kernel(Answer),
    Round(masks::Answer),
}

#[derive(Deserialize)]
struct Request {
    kernel: String,
    n: usize,
    p: u32,
    repetitions: u64,
}

#[derive(Serialize)]
struct Answer {
    cpu_ns: u64,
    digest: u64,
    isa: &'static str,
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

/// The plan and the round of the last request: making one takes longer than a sample.
struct Worker {
    plan: Option<Plan>,
    round: Option<masks::Round>,
}

fn main() -> std::io::Result<()> {
    let mut worker = Worker { plan: None, round: None };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = serde_json::from_str(&line?).map_err(|error| error.to_string());
        let line = match answer.and_then(|ask| worker.answer(&ask)) {
            Ok(answer) => serde_json::to_string(&answer)?,
            Err(error) => serde_json::to_string(&Refusal { error })?,
        };
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

impl Worker {
    fn answer(&mut self, ask: &Ask) -> Result<Told, String> {
        match ask {
            Ask::Kernel(request) => self.serve(request).map(Told::Kernel),
            Ask::Round(request) => masks::Round::serve(&mut self.round, request).map(Told::Round),
        }
    }

    fn serve(&mut self, request: &Request) -> Result<Answer, String> {
        let &Request { n, p, repetitions, .. } = request;
        if !(64..=1 << 20).contains(&n) {
            return Err(format!("n = {n}: must be 64 to 2^20"));
        }
        match request.kernel.as_str() {
            "expand" => Ok(expand(n, repetitions)),
            "keystream" => Ok(expand(n, 1)),
            kernel => {
                let plan = self.plan(n, p)?;
                let (x, y) = (fixed(1, n, p), fixed(2, n, p));
                match kernel {
                    "forward" => Ok(timed(x, repetitions, |x| plan.fwd(x))),
                    "inverse" => Ok(timed(x, repetitions, |x| plan.inv(x))),
                    "inverse-scaled" => Ok(timed(x, repetitions, |x| {
                        plan.inv(x);
                        plan.normalize(x);
                    })),
                    "round-trip" => Ok(timed(x, 1, |x| {
                        plan.fwd(x);
                        plan.inv(x);
                        plan.normalize(x);
                    })),
                    "product" => Ok(timed(x, 1, |x| {
                        let mut y = y.clone();
                        plan.fwd(x);
                        plan.fwd(&mut y);
                        plan.mul_assign_normalize(x, &y);
                        plan.inv(x);
                    })),
                    _ => Err(format!("no kernel is called {kernel}")),
                }
            }
        }
    }

    fn plan(&mut self, n: usize, p: u32) -> Result<&Plan, String> {
        if self.plan.as_ref().is_none_or(|plan| plan.ntt_size() != n || plan.modulus() != p) {
            let plan = Plan::try_new(n, p).ok_or_else(|| format!("tfhe-ntt has no plan for n = {n}, p = {p}"))?;
            self.plan = Some(plan);
        }
        self.plan.as_ref().ok_or_else(|| "no plan".to_owned())
    }
}

fn timed(content: Vec<u32>, repetitions: u64, mut run: impl FnMut(&mut [u32])) -> Answer {
    // Begins at a cache line, as on the caller's side.
    let mut buffer = vec![0; content.len() + 16];
    let start = (64 - buffer.as_ptr() as usize % 64) % 64 / 4;
    let words = &mut buffer[start..start + content.len()];
    words.copy_from_slice(&content);
    let begin = cpu_ns();
    for _ in 0..repetitions {
        run(black_box(&mut *words));
    }
    Answer { cpu_ns: cpu_ns() - begin, digest: digest(words.iter().flat_map(|word| word.to_le_bytes())), isa: isa() }
}

/// A keystream of n words from its beginning, as often as asked. The stream is the one that our expander defines: nonce
/// words 1, 7, 0.
fn expand(n: usize, repetitions: u64) -> Answer {
    let mut nonce = [0; 12];
    (nonce[0], nonce[4]) = (1, 7);
    let mut buffer = vec![0; 4 * n + 64];
    let start = (64 - buffer.as_ptr() as usize % 64) % 64;
    let bytes = &mut buffer[start..start + 4 * n];
    let begin = cpu_ns();
    for _ in 0..repetitions {
        let mut cipher = ChaCha20::new(&[0xA5; 32].into(), &nonce.into());
        cipher.write_keystream(black_box(&mut *bytes));
    }
    Answer { cpu_ns: cpu_ns() - begin, digest: digest(bytes.iter().copied()), isa: isa() }
}

fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Words below p that the caller can make too: SplitMix64, scaled.
fn fixed(seed: u64, n: usize, p: u32) -> Vec<u32> {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..n).map(|_| ((u128::from(word()) * u128::from(p)) >> 64) as u32).collect()
}

/// FNV-1a, 64 bits.
fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// What tfhe-ntt picks here: the widest that is both compiled in and present. Its own test for AVX-512 asks for these.
fn isa() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if cfg!(feature = "avx512")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            return "avx512";
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return "avx2";
        }
    }
    "scalar"
}
