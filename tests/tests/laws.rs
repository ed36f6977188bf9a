//! What must hold for every input: the ring's and the scheme's laws on random jobs, on every engine present.
//!
//! 32 cases a law, or as many as `PROPTEST_CASES` says.

use core::ops::Range;
use kernels::cpu::Cpu;
use kernels::expand::Domain;
use kernels::reference::Reference;
use kernels::{Backend, Direction, Encoding, Modulus, Plan, Ring, Shape};
use proptest::prelude::*;
use std::sync::LazyLock;
use tensorguard_tests::round::{Round, add_to};
use tensorguard_tests::{Rand, encoding};

/// The suites' primes, the spare one, and the smallest and largest shapes of ring.
const RINGS: [&[u32]; 6] = [
    &[1_073_479_681, 1_071_513_601],
    &[1_073_479_681],
    &[4_169_729],
    &[1_070_727_169, 4_169_729],
    &[4_169_729, 1_070_727_169],
    &[7681],
];

/// One of each instruction set.
static ENGINES: LazyLock<Vec<Cpu>> = LazyLock::new(|| Cpu::present(1));

/// The best instruction set on several numbers of threads.
static THREADS: LazyLock<Vec<Cpu>> =
    LazyLock::new(|| [1, 2, 3, 5].map(|threads| Cpu::best(threads).with_least_words(1)).into());

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").map_or(32, |cases| cases.parse().expect("PROPTEST_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---- random jobs -------------------------------------------------------------------------------------------------

/// Rounds whose sums open without a mistake: the inequality of docs/KERNELS.md with a margin.
fn honest_rounds() -> impl Strategy<Value = Round> {
    let shape = (0..RINGS.len() - 1, any::<bool>(), 0.0..1.0, 1u32..6, 0.0..1.0);
    (shape, 1usize..6, 0usize..1500, any::<u32>(), any::<u64>()).prop_map(|(shape, robots, len, first_poly, seed)| {
        let (ring, wide, bits, rho, base) = shape;
        let n = if wide { 512 } else { 256 };
        let q = RINGS[ring].iter().map(|&p| f64::from(p)).product::<f64>();
        let most = (q.log2().floor() as u32).min(57);
        let bits = 12 + (bits * f64::from(most - 11)) as u32;
        // V = K (16 * 4^(l - log2 q) + 1/12), and D / 2 >= 9.5 sqrt(V) + 3/2 and some.
        let variance = robots as f64 * (16.0 * (2.0 * (f64::from(bits) - q.log2())).exp2() + 1.0 / 12.0);
        let step = 2.0 * (9.5 * variance.sqrt() + 2.0) + 1.0;
        // T <= 2^l / D, and at least one digit of base 2.
        let room = (f64::from(bits) - step.log2()).min(q.log2() - 8.0);
        let rho = rho.min(room as u32).max(1);
        let largest = (room / f64::from(rho)).exp2().min(1e9) as u64;
        let base = 2 + (base * base * (largest - 1) as f64) as u64;
        let encoding = encoding(n, RINGS[ring], bits, base.min(largest), rho);
        Round { encoding, robots, len, first_poly: first_poly.min(u32::MAX - 10), seed }
    })
}

/// Any encoding there is, whatever it opens to.
fn any_rounds() -> impl Strategy<Value = Round> {
    let shape = (0..RINGS.len(), any::<bool>(), 1u32..=57, 2u64..=1 << 32, 0u32..32, 1u32..8);
    let rounds = (shape, 1usize..4, 0usize..1500, any::<u32>(), any::<u64>());
    rounds.prop_filter_map("no such encoding", |(shape, robots, len, first_poly, seed)| {
        let (ring, wide, bits, base, smaller, rho) = shape;
        let ring = Ring::new(if wide && ring != 5 { 512 } else { 256 }, RINGS[ring]).ok()?;
        let base = (base >> smaller).max(2);
        let most = (63 - ring.q().leading_zeros()).min(57);
        let encoding = |rho| Encoding::new(ring.clone(), 1 + bits % most, base, rho).ok();
        let encoding = (1..=rho).rev().find_map(encoding)?;
        Some(Round { encoding, robots, len, first_poly: first_poly.min(u32::MAX - 10), seed })
    })
}

fn shapes(coefficients: usize) -> impl Strategy<Value = Shape> {
    (1..=57u32, 0..coefficients).prop_map(|(bits, coefficients)| Shape { bits, coefficients })
}

// ---- the ring ----------------------------------------------------------------------------------------------------

fn plans(sizes: &'static [usize]) -> impl Strategy<Value = Plan> {
    const PRIMES: [u32; 4] = [1_073_479_681, 1_071_513_601, 1_070_727_169, 4_169_729];
    let plan = |(p, n)| Plan::new(Modulus::new(p).unwrap(), n).unwrap();
    (prop::sample::select(&PRIMES[..]), prop::sample::select(sizes)).prop_map(plan)
}

fn transformed(backend: &dyn Backend, plan: &Plan, direction: Direction, x: &[u32]) -> Vec<u32> {
    let mut x = x.to_vec();
    backend.ntt(plan, direction, &mut x).unwrap();
    x
}

/// `x * y` by an engine's transforms.
fn product(backend: &dyn Backend, plan: &Plan, x: &[u32], y: &[u32]) -> Vec<u32> {
    let mut x = transformed(backend, plan, Direction::Forward, x);
    ntt::multiply(plan, &mut x, &transformed(backend, plan, Direction::Forward, y));
    transformed(backend, plan, Direction::Inverse, &x)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn transforms_are_linear(plan in plans(&[256, 512, 1024]), factor: u32, seed: u64) {
        let (modulus, mut rand) = (plan.modulus(), Rand::new(seed));
        let p = modulus.value();
        let combine = |x: &[u32], y: &[u32]| -> Vec<u32> {
            x.iter().zip(y).map(|(x, y)| (modulus.mul(x % p, factor % p) + y % p) % p).collect()
        };
        let (x, y) = (rand.words(plan.n()), rand.words(plan.n()));
        for (engine, direction) in ENGINES.iter().flat_map(|e| [(e, Direction::Forward), (e, Direction::Inverse)]) {
            let transform = |x: &[u32]| transformed(engine, &plan, direction, x);
            let (whole, parts) = (transform(&combine(&x, &y)), combine(&transform(&x), &transform(&y)));
            prop_assert!(whole == parts, "{} {direction:?}", engine.name());
        }
    }

    #[test]
    fn a_power_of_x_shifts_and_x_to_the_n_is_minus_one(plan in plans(&[256, 512, 1024]), power: u32, seed: u64) {
        let (n, p) = (plan.n(), plan.modulus().value());
        let power = power as usize % (2 * n);
        let x: Vec<u32> = Rand::new(seed).words(n).iter().map(|x| x % p).collect();
        let mut monomial = vec![0; n];
        monomial[power % n] = if power < n { 1 } else { p - 1 };
        let mut expected = vec![0; n];
        for (i, &x) in x.iter().enumerate() {
            let negated = (i + power) / n % 2 == 1;
            expected[(i + power) % n] = if negated { (p - x) % p } else { x };
        }
        for engine in ENGINES.iter() {
            prop_assert!(product(engine, &plan, &x, &monomial) == expected, "{} X^{power}", engine.name());
        }
    }

    #[test]
    fn products_are_the_naive_ones(plan in plans(&[256]), seed: u64) {
        let mut rand = Rand::new(seed);
        let (x, y) = (rand.words(256), rand.words(256));
        let expected = ntt::naive::convolve(&plan, &x, &y);
        for engine in ENGINES.iter() {
            prop_assert!(product(engine, &plan, &x, &y) == expected, "{}", engine.name());
        }
    }

    // ---- the scheme ----------------------------------------------------------------------------------------------

    #[test]
    fn a_message_opens_to_itself(round in honest_rounds()) {
        let round = Round { robots: 1, ..round };
        let (messages, _) = round.messages(&mut Rand::new(!round.seed));
        for engine in ENGINES.iter() {
            let (digits, noise) = round.run(engine, &messages);
            prop_assert!(digits == messages[0], "{}", engine.name());
            prop_assert_eq!((noise.refused, noise.coefficients as usize), (0, round.encoding.coefficients(round.len)));
        }
    }

    #[test]
    fn a_sum_opens_to_the_digits_sums(round in honest_rounds()) {
        let (messages, sums) = round.messages(&mut Rand::new(!round.seed));
        for engine in ENGINES.iter() {
            let (digits, noise) = round.run(engine, &messages);
            prop_assert!(digits == sums, "{}", engine.name());
            prop_assert_eq!(noise.refused, 0);
        }
    }

    #[test]
    fn rows_add_in_any_order_and_grouping(shape in shapes(400), rows in 0usize..13, seed: u64) {
        let mut rand = Rand::new(seed);
        let mut rows: Vec<Vec<u8>> = (0..rows).map(|_| rand.bytes(shape.packed_len())).collect();
        let start = rand.words(shape.accumulator_len());
        let mut expected = start.clone();
        add_to(&Reference, shape, &rows, &mut expected);
        for engine in ENGINES.iter().chain(THREADS.iter()) {
            for at in (1..rows.len()).rev() {
                rows.swap(at, rand.next() as usize % (at + 1));
            }
            let mut accumulator = start.clone();
            let mut rest = &rows[..];
            // An empty group first: it masks the words, and no more.
            let mut group = 0;
            while !rest.is_empty() || group == 0 {
                let (now, later) = rest.split_at(group.min(rest.len()));
                add_to(engine, shape, now, &mut accumulator);
                (rest, group) = (later, 1 + rand.next() as usize % 6);
            }
            prop_assert!(accumulator == expected, "{} on {} threads", engine.name(), engine.threads());
        }
    }

    #[test]
    fn ranges_add_apart(shape in shapes(900), eights in 0usize..60, rows in 0usize..9, seed: u64) {
        let (Shape { bits, coefficients }, mut rand) = (shape, Rand::new(seed));
        let rows: Vec<Vec<u8>> = (0..rows).map(|_| rand.bytes(shape.packed_len())).collect();
        let start = rand.words(shape.accumulator_len());
        let cut = (8 * eights).min(coefficients / 8 * 8);
        let byte = cut / 8 * bits as usize;
        for engine in ENGINES.iter().chain(THREADS.iter()) {
            let mut whole = start.clone();
            add_to(engine, shape, &rows, &mut whole);
            let mut parts = start.clone();
            let (near, far) = parts.split_at_mut(cut * shape.words_per_value());
            let half = |bytes: Range<usize>| rows.iter().map(|row| row[bytes.clone()].to_vec()).collect::<Vec<_>>();
            add_to(engine, Shape { bits, coefficients: cut }, &half(0..byte), near);
            add_to(engine, Shape { bits, coefficients: coefficients - cut }, &half(byte..shape.packed_len()), far);
            prop_assert!(parts == whole, "{} on {} threads", engine.name(), engine.threads());
        }
    }

    // ---- the engines ---------------------------------------------------------------------------------------------

    #[test]
    fn engines_equal_the_definition(round in any_rounds()) {
        let expected = round.everything(&Reference);
        for engine in ENGINES.iter() {
            prop_assert!(round.everything(engine) == expected, "{}", engine.name());
        }
    }

    #[test]
    fn threads_change_nothing(round in any_rounds()) {
        let round = Round { len: round.len * 8, ..round };
        let mut expected = None;
        for engine in THREADS.iter() {
            let mut stream = vec![0; round.len];
            engine.expand(&[round.robots as u8; 32], Domain::A, round.first_poly, 1, &mut stream);
            let got = (stream, round.everything(engine));
            prop_assert!(*expected.get_or_insert_with(|| got.clone()) == got, "{} threads", engine.threads());
        }
    }
}
