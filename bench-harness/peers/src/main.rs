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
//! A request with a `step` in place of the kernel is about a whole round under pairwise masks: see [`masks`] and `worker/`.

mod masks;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use peer_worker::round::{self, Round};
use peer_worker::{Answer, Request, cpu_ns, digest, fixed, timed};
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use tfhe_ntt::prime32::Plan;

#[derive(Deserialize)]
#[serde(untagged)]
enum Ask {
    Kernel(Request),
    Round(round::Request),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Kernel(Answer),
    Round(round::Answer),
}

/// The plan and the round of the last request: making one takes longer than a sample.
struct Worker {
    plan: Option<Plan>,
    round: Option<Round<masks::Masks>>,
}

fn main() -> std::io::Result<()> {
    let mut worker = Worker { plan: None, round: None };
    peer_worker::serve(|ask| worker.answer(ask))
}

impl Worker {
    fn answer(&mut self, ask: &Ask) -> Result<Told, String> {
        match ask {
            Ask::Kernel(request) => self.serve(request).map(Told::Kernel),
            Ask::Round(request) => Round::serve(&mut self.round, request).map(Told::Round),
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
                    "forward" => Ok(run(&x, repetitions, |x| plan.fwd(x))),
                    "inverse" => Ok(run(&x, repetitions, |x| plan.inv(x))),
                    "inverse-scaled" => Ok(run(&x, repetitions, |x| {
                        plan.inv(x);
                        plan.normalize(x);
                    })),
                    "round-trip" => Ok(run(&x, 1, |x| {
                        plan.fwd(x);
                        plan.inv(x);
                        plan.normalize(x);
                    })),
                    "product" => Ok(run(&x, 1, |x| {
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

fn run(content: &[u32], repetitions: u64, run: impl FnMut(&mut [u32])) -> Answer {
    let (cpu_ns, words) = timed(content, repetitions, run);
    Answer { cpu_ns, digest: digest(words.iter().flat_map(|word| word.to_le_bytes())), isa: isa() }
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
