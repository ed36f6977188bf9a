//! Every CPU engine against the definition on jobs that are made up as long as time allows: any ring, any encoding, any
//! length, any words. What the property tests do on chosen rings, without shrinking and without an end.
//!
//! ```text
//! FUZZ_SECONDS=600 cargo test --release -p tensorguard-tests --test fuzz -- --nocapture
//! FUZZ_SEED=123 FUZZ_SECONDS=0 cargo test --release -p tensorguard-tests --test fuzz    the one job that failed
//! ```

use kernels::cpu::Cpu;
use kernels::expand::Domain;
use kernels::reference::Reference;
use kernels::{Backend, Encoding, Modulus, Ring};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tensorguard_tests::Rand;
use tensorguard_tests::round::Round;

/// What plain `cargo test` spends here, if it gets through so many jobs by then: each edge is met within a few dozen.
const SECONDS: u64 = 3;
const LEAST_JOBS: u64 = 100;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

fn pick<T: Copy>(rand: &mut Rand, from: &[T]) -> T {
    from[rand.next() as usize % from.len()]
}

/// Below `limit`, all magnitudes alike.
fn magnitude(rand: &mut Rand, limit: u64) -> u64 {
    (rand.next() >> (rand.next() % 64)) % limit
}

/// A prime that has a transform of length n: one of the suites', a small one, where every edge is met often, or any of 13
/// to 30 bits.
fn prime(rand: &mut Rand, n: usize) -> u32 {
    let step = 2 * n as u64;
    loop {
        let known = [1_073_479_681, 1_071_513_601, 1_070_727_169, 4_169_729];
        let p = match rand.next() % 4 {
            0 => pick(rand, &known),
            1 => 1 + step * (1 + rand.next() % 16),
            _ => 1 + step * (1 + magnitude(rand, ((1 << 30) - 1) / step)),
        };
        let Ok(p) = u32::try_from(p) else { continue };
        if Modulus::new(p).is_ok_and(|modulus| kernels::Plan::new(modulus, n).is_ok()) {
            return p;
        }
    }
}

fn encoding(rand: &mut Rand) -> Encoding {
    let n = pick(rand, &[256, 256, 256, 512, 512, 1024, 1024, 2048, 4096, 8192]);
    loop {
        let mut primes = vec![prime(rand, n)];
        if rand.next().is_multiple_of(2) {
            primes.push(prime(rand, n));
        }
        let Ok(ring) = Ring::new(n, &primes) else { continue };
        let most = ring.q().ilog2().min(57);
        let bits = most - magnitude(rand, most.into()) as u32;
        let digits = 1 + magnitude(rand, 30) as u32;
        // As large a base as there may be: then some coefficients are refused. Or T near the root of q: then the smallest
        // value that is refused comes up as often as it can.
        let root = |of: u64| (of as f64).powf(1.0 / f64::from(digits)) as u64;
        let base = match rand.next() % 4 {
            0 | 1 => root(1 << bits).saturating_sub(rand.next() % 4),
            2 => root(ring.q().isqrt()) + rand.next() % 3,
            _ => 2 + magnitude(rand, (1 << 32) - 1),
        };
        if let Ok(encoding) = Encoding::new(ring, bits, base, digits) {
            return encoding;
        }
    }
}

/// A first polynomial with a draw that equals the prime, and none above: an engine that asks "above p?" would keep it. By
/// chance no run would see one.
fn draw_equal_to_the_prime(rand: &mut Rand) -> Round {
    let p = 523_777;
    let ring = Ring::new(256, &[p]).expect("2^19 - p is 511, and p - 1 a multiple of 512");
    let encoding = Encoding::new(ring, 18, 700, 1).expect("700 is near the root of p");
    let mut round = Round { encoding, robots: 1, len: 256, first_poly: rand.next() as u32 >> 1, seed: 0 };
    let largest = |round: &Round| {
        let a_seed = round.a_seed();
        let draws = kernels::expand::words(&a_seed, Domain::A, round.first_poly, 0);
        draws.take(256).map(|word| word & 0x7_FFFF).max()
    };
    // One seed in 2600 is such.
    while largest(&round) != Some(p) {
        round.seed = rand.next();
    }
    round
}

fn round(seed: u64) -> Round {
    let mut rand = Rand::new(seed);
    if rand.next().is_multiple_of(8) {
        return draw_equal_to_the_prime(&mut rand);
    }
    let encoding = encoding(&mut rand);
    let poly = encoding.ring().n() * encoding.digits_per_coefficient();
    let edge = pick(&mut rand, &[0, 0, encoding.digits_per_coefficient(), poly, poly, 2 * poly]);
    let len = (edge + magnitude(&mut rand, 200) as usize).saturating_sub(magnitude(&mut rand, 100) as usize);
    let polys = encoding.polys(len) as u32;
    let first_poly = match rand.next() % 3 {
        0 => u32::MAX - polys.saturating_sub(1),
        1 => magnitude(&mut rand, 1 << 20) as u32,
        _ => rand.next() as u32 % (u32::MAX - polys),
    };
    Round { encoding, robots: 1, len, first_poly, seed: rand.next() }
}

/// Panics where an engine differs.
fn compare(round: &Round, engines: &[Cpu]) {
    let expected = round.everything(&Reference);
    let key = [round.seed as u8; 32];
    let words = |engine: &Cpu| {
        let mut out = vec![0xDEAD_BEEF; round.len];
        engine.expand(&key, Domain::E, round.first_poly, 0, &mut out);
        out
    };
    let stream = kernels::expand::words(&key, Domain::E, round.first_poly, 0);
    let stream: Vec<u32> = stream.take(round.len).collect();
    for engine in engines {
        let name = format!("{} on {} threads", engine.name(), engine.threads());
        assert!(words(engine) == stream, "{name}: expand differs");
        let got = round.everything(engine);
        for ((kernel, got), (_, expected)) in got.0.iter().zip(&expected.0) {
            if let Some(at) = (0..got.len()).find(|&at| got[at] != expected[at]) {
                panic!("{name}: {kernel} differs at {at} of {}: {}, expected {}", got.len(), got[at], expected[at]);
            }
        }
        assert_eq!(got.1, expected.1, "{name}: the noise differs");
    }
}

#[test]
#[cfg_attr(miri, ignore)]
fn engines_equal_the_definition_on_any_job() {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64);
    let first = number("FUZZ_SEED").unwrap_or_else(now);
    let asked = number("FUZZ_SECONDS");
    let (budget, least) = (Duration::from_secs(asked.unwrap_or(SECONDS)), if asked.is_some() { 1 } else { LEAST_JOBS });
    let mut engines = Cpu::present(1);
    engines.extend([Cpu::best(2), Cpu::best(3).with_least_words(1)]);
    println!("fuzz: {} s from FUZZ_SEED={first} on {} engines", budget.as_secs(), engines.len());
    let begin = Instant::now();
    let mut jobs = 0;
    while jobs < least || begin.elapsed() < budget {
        let seed = first.wrapping_add(jobs);
        let round = round(seed);
        if catch_unwind(AssertUnwindSafe(|| compare(&round, &engines))).is_err() {
            let mut shape = format!("{} digits from polynomial {}", round.len, round.first_poly);
            let (ring, encoding) = (round.encoding.ring(), &round.encoding);
            let primes: Vec<u32> = ring.plans().iter().map(|plan| plan.modulus().value()).collect();
            write!(shape, ", n = {}, primes {primes:?}, l = {}", ring.n(), encoding.bits()).expect("a string grows");
            write!(shape, ", B = {}, rho = {}", encoding.base(), encoding.digits_per_coefficient()).expect("it grows");
            panic!("{shape}: see the panic above. Again: FUZZ_SEED={seed} FUZZ_SECONDS=0 and this test");
        }
        jobs += 1;
    }
    println!("fuzz: {jobs} jobs, no difference");
}
