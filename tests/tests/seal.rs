//! SEAL, which shares nothing with this repository, opens our sums: `cargo test -p tensorguard-tests --test seal`.
//!
//! The sums are those behind a round of the default suite, mod q, before they are rounded to wire words. Their pads come from each CPU
//! engine here, their messages enter by the contract's equation, and SEAL gets nothing but primes, `sum`, `a` and `S`:
//! `tests/vectors/seal_opens.py`. So ring, embedding, secrets and the meaning of the transforms are checked by another hand.
//!
//! It runs where a Python with TenSEAL's wheel is: `tensorguard compare-peers --install-peers` makes one, or `SEAL_PYTHON` names
//! it. Without one it is listed as ignored; `REQUIRE_SEAL=1` turns that into a failure.

use folding::lwe::{KeyModel, Params};
use folding::{Round, RoundTerms};
use kernels::cpu::{Cpu, Isa};
use kernels::{Backend, Direction, Encoding, PadJob, Secret};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tensorguard_tests::Rand;
use tensorguard_tests::round::secret_sum;

const ROBOTS: usize = 100;
const POLYS: usize = 2;
/// The suites' spare prime: SEAL reserves its last one.
const DUMMY: u32 = 1_070_727_169;

#[derive(Serialize)]
struct Case {
    n: usize,
    primes: Vec<u32>,
    dummy_prime: u32,
    t: u64,
    secret_sum: Vec<i32>,
    ciphertexts: Vec<Ciphertext>,
}

/// Coefficients mod each prime.
#[derive(Serialize)]
struct Ciphertext {
    sum: Vec<Vec<u32>>,
    a: Vec<Vec<u32>>,
}

fn main() {
    let python = python();
    let required = std::env::var_os("REQUIRE_SEAL").is_some();
    let mut trials = Vec::new();
    for isa in Isa::ALL {
        if let (Ok(python), Some(cpu)) = (&python, Cpu::with(isa, 1)) {
            let (one, other) = (python.clone(), python.clone());
            let opens = format!("seal_opens_what_{}_sums", isa.name());
            trials.push(Trial::test(opens, move || opens_every_sum(&one, &cpu)));
            let Some(cpu) = Cpu::with(isa, 1) else { continue };
            let lacks = format!("seal_opens_nothing_of_{}_without_every_secret", isa.name());
            trials.push(Trial::test(lacks, move || opens_nothing_with_a_secret_missing(&other, &cpu)));
        }
    }
    if let Err(why) = python {
        let name = format!("seal::absent ({why})");
        let fails = move || Err(format!("REQUIRE_SEAL is set, but {why}").into());
        trials.push(Trial::test(name, fails).with_ignored_flag(!required));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn python() -> Result<PathBuf, &'static str> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-harness/peers/target/python/bin/python");
    let python = std::env::var_os("SEAL_PYTHON").map_or(installed, PathBuf::from);
    let found = Command::new(&python).args(["-c", "import tenseal.sealapi"]).stderr(Stdio::null()).status();
    let is_found = found.is_ok_and(|status| status.success());
    is_found.then_some(python).ok_or("no Python with tenseal; tensorguard compare-peers --install-peers makes one")
}

/// A round's encoding, its case for SEAL, and the coefficients of the plain sum.
fn case(cpu: &Cpu, missing: usize) -> (Case, Vec<Vec<u64>>) {
    let mut rand = Rand::new(20_261_121);
    let terms = RoundTerms::new(POLYS * 4096 * 3, ROBOTS as u64, 1.0, KeyModel::OneMessage([7; 32]));
    let round = Round::new(&terms).expect("the default suite takes a hundred robots");
    let (encoding, a_seed) = (round.agreement().encoding(), round.agreement().a_seed());
    assert_eq!(round.agreement().params().name(), Params::FL_4096_60.name());
    let ring = encoding.ring();
    let (n, limbs) = (ring.n(), ring.plans().len());
    let mut sums = vec![0; POLYS * limbs * n];
    let mut plain = vec![vec![0; n]; POLYS];
    let mut seeds = Vec::new();
    for robot in 0..ROBOTS {
        let message_seed = &rand.secret();
        let mut pad = vec![0; sums.len()];
        let job = PadJob { ring, a_seed, message_seed, first_poly: 0 };
        cpu.pad(&job, &mut pad).expect("CPU backends do not fail");
        for (index, (sum, pad)) in sums.iter_mut().zip(&pad).enumerate() {
            let (poly, limb, coefficient) = (index / n / limbs, index / n % limbs, index % n);
            let p = u64::from(ring.plans()[limb].modulus().value());
            let value = packed(encoding, robot, poly * n + coefficient);
            let message = (u128::from(encoding.delta()) * u128::from(value) % u128::from(p)) as u64;
            *sum = ((u64::from(*sum) + u64::from(*pad) + message) % p) as u32;
            plain[poly][coefficient] += if limb == 0 { value } else { 0 };
        }
        seeds.push(Secret::new(*message_seed.expose()));
    }
    let ciphertexts = (0..POLYS).map(|poly| {
        let polys = sums[poly * limbs * n..][..limbs * n].chunks(n).map(<[u32]>::to_vec);
        Ciphertext { sum: polys.collect(), a: a(cpu, encoding, a_seed, poly as u32) }
    });
    let (primes, ciphertexts) =
        (ring.plans().iter().map(|plan| plan.modulus().value()).collect(), ciphertexts.collect());
    let secret_sum = secret_sum(n, &seeds[missing..]).expose().clone();
    let t = (ring.q() + encoding.delta() / 2) / encoding.delta();
    // What SEAL's t costs at the largest sum, and all errors at their largest: less than half a step.
    let off = u128::from((ring.q()).abs_diff(t * encoding.delta())) * u128::from(encoding.limit());
    assert!(
        2 * (off + 32 * ROBOTS as u128 * u128::from(t)) < u128::from(ring.q()),
        "t is too far off for this encoding"
    );
    (Case { n, primes, dummy_prime: DUMMY, t, secret_sum, ciphertexts }, plain)
}

/// A robot's three values in one coefficient: any, and in some coefficients the largest from everybody.
fn packed(encoding: &Encoding, robot: usize, coefficient: usize) -> u64 {
    let digit =
        |d: usize| if coefficient % 97 == 5 { 255 } else { ((coefficient * 3 + d) * 31 + robot * 17) as u64 % 256 };
    (0..encoding.digits_per_coefficient()).rev().fold(0, |value, d| value * encoding.base() + digit(d))
}

/// The public polynomial as coefficients: drawn as points, so our inverse transform says which polynomial has them.
fn a(cpu: &Cpu, encoding: &Encoding, a_seed: &[u8; 32], poly: u32) -> Vec<Vec<u32>> {
    let limb = |(limb, plan): (u32, &kernels::Plan)| {
        let mut points = vec![0; plan.n()];
        kernels::expand::uniform(a_seed, plan.modulus(), poly, limb, &mut points);
        cpu.ntt(plan, Direction::Inverse, &mut points).expect("CPU backends do not fail");
        points
    };
    (0..).zip(encoding.ring().plans()).map(limb).collect()
}

fn opened(python: &Path, case: &Case) -> Result<Vec<Vec<u64>>, Failed> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/seal_opens.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&serde_json::to_vec(case)?)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err("the script failed; its message is above".into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn opens_every_sum(python: &Path, cpu: &Cpu) -> Result<(), Failed> {
    let (case, plain) = case(cpu, 0);
    let opened = opened(python, &case)?;
    assert!(opened == plain, "SEAL opens something else than the sum");
    Ok(())
}

fn opens_nothing_with_a_secret_missing(python: &Path, cpu: &Cpu) -> Result<(), Failed> {
    let (case, plain) = case(cpu, 1);
    let opened = opened(python, &case)?;
    let equal = opened.iter().flatten().zip(plain.iter().flatten()).filter(|(opened, plain)| opened == plain).count();
    assert!(equal < 5, "{equal} coefficients open without one robot's secret");
    Ok(())
}
