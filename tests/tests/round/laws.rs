//! What must hold for every round: means, grids, splits, ledgers and explanations on random terms.
//!
//! A few cases a law, or as many as `PROPTEST_CASES` says.

use crate::fleet::{Fleet, robot, shared_key, update_id, verified};
use folding::lwe::{Budget, ForgetfulLog, Ledger, Overflow, Params, Weights, smallest};
use folding::{OutOfRange, Round, RoundTerms, Update};
use kernels::{Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, SealJob, Shape};
use proptest::prelude::*;
use std::sync::Mutex;
use tensorguard_tests::Rand;

fn config(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES");
    let cases = asked.map_or(usual, |cases| cases.parse().expect("PROPTEST_CASES is a number"));
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What a round needs, but for its key.
#[derive(Clone, Copy, Debug)]
struct Shaped {
    suite: usize,
    bits: u32,
    robots: u64,
    clip: f32,
    length: usize,
}

impl Shaped {
    fn round(&self, fleet: &Fleet) -> Round {
        let terms = RoundTerms {
            params: &Params::NAMED[self.suite],
            bits: self.bits,
            clip: self.clip,
            ..fleet.terms(self.length, self.robots)
        };
        Round::new(&terms).expect("there is room: see shapes")
    }
}

/// Any suite, bits and length; as many of the wished-for robots as there is room for.
fn shapes(longest: usize) -> impl Strategy<Value = Shaped> {
    let wishes = (0..Params::NAMED.len(), 4u32..=24, 0.0..4.0, clips(), 1..=longest);
    wishes.prop_filter_map("no room for two robots", |(suite, bits, robots, clip, length)| {
        let mut robots = 10f64.powf(robots).round().max(2.0) as u64;
        while smallest(&Params::NAMED[suite], bits, robots, length).is_none() {
            robots = robots.checked_div(2).filter(|&robots| robots >= 2)?;
        }
        Some(Shaped { suite, bits, robots, clip, length })
    })
}

fn clips() -> impl Strategy<Value = f32> {
    prop_oneof![Just(1.0), Just(0.01), Just(f32::MIN_POSITIVE), Just(f32::MAX), Just(3.3), 1e-6..1e6f32]
}

/// Floats at which rounding, clipping and counting could go wrong, and ordinary ones.
fn floats(shaped: Shaped, rand: &mut Rand) -> Vec<f32> {
    let (clip, levels) = (shaped.clip, f64::from((1u32 << (shaped.bits - 1)) - 1));
    let float = |rand: &mut Rand| {
        let unit = (rand.next() >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0;
        let halfway = ((unit * levels).round() + 0.5) / levels * f64::from(clip);
        match rand.next() % 16 {
            0 => [0.0, -0.0, f32::from_bits(1), -f32::from_bits(1), f32::MIN_POSITIVE][rand.next() as usize % 5],
            1 => [clip, -clip, clip.next_up(), -clip.next_up(), clip.next_down(), -clip.next_down()]
                [rand.next() as usize % 6],
            2 => [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY][rand.next() as usize % 4],
            3 => f32::from_bits(rand.next() as u32),
            4..8 => {
                [halfway as f32, (halfway as f32).next_up(), (halfway as f32).next_down()][rand.next() as usize % 3]
            }
            _ => (unit * f64::from(clip)) as f32,
        }
    };
    (0..shaped.length).map(|_| float(rand)).collect()
}

/// The grid's definition, one value at a time.
fn level(shaped: Shaped, x: f32) -> u64 {
    let zero = f64::from((1u32 << (shaped.bits - 1)) - 1);
    let clip = f64::from(shaped.clip);
    let x = if x.is_nan() { 0.0 } else { f64::from(x).clamp(-clip, clip) };
    (x * (zero / clip) + zero).round_ties_even() as u64
}

/// Keeps the digits that it is told to encrypt.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<u32>>);

impl Backend for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], _out: &mut [u8]) -> Result<(), Fault> {
        if job.first_poly != folding::lwe::CANARY_POLY {
            self.0.lock().expect("nobody panics with the lock").extend(digits);
        }
        Ok(())
    }

    fn ntt(&self, _plan: &kernels::Plan, _direction: Direction, _polys: &mut [u32]) -> Result<(), Fault> {
        unreachable!("encryption asks for no such job")
    }

    fn pad(&self, _job: &PadJob<'_>, _out: &mut [u32]) -> Result<(), Fault> {
        unreachable!("encryption asks for no such job")
    }

    fn seal(&self, _job: &SealJob<'_>, _pad: &mut [u32], _digits: &[u32], _out: &mut [u8]) -> Result<(), Fault> {
        unreachable!("encryption asks for no such job")
    }

    fn sum(&self, _shape: &Shape, _rows: &[&[u8]], _accumulator: &mut [u32]) -> Result<(), Fault> {
        unreachable!("encryption asks for no such job")
    }

    fn decrypt(&self, _job: &DecryptJob<'_>, _words: &[u32], _digits: &mut [u32]) -> Result<Noise, Fault> {
        unreachable!("encryption asks for no such job")
    }

    fn dense(&self, _job: &DenseJob<'_>, _rows: &mut [u32]) -> Result<(), Fault> {
        unreachable!("encryption asks for no such job")
    }
}

/// The integers that a robot would encrypt, and what of its update was out of range.
fn encoded(shaped: Shaped, values: &[f32]) -> (Vec<u64>, OutOfRange) {
    let (fleet, shared, recorder) = (Fleet::new(), shared_key(), Recorder::default());
    let terms = RoundTerms {
        params: &Params::NAMED[shaped.suite],
        bits: shaped.bits,
        clip: shaped.clip,
        keys: shared.model(),
        ..fleet.terms(shaped.length, shaped.robots)
    };
    let round = Round::new(&terms).unwrap();
    let key = shared.message_key(round.agreement(), robot(0)).unwrap();
    let update = Update::new(update_id(0, 0), values).clipping();
    let (_, told) = round.encrypt(key, update, &mut ForgetfulLog::default(), &recorder).unwrap();
    let (layout, digits) = (round.agreement().layout(), recorder.0.into_inner().unwrap());
    let (digits, behind) = digits.split_at(layout.digits(values.len()));
    assert!(behind.iter().all(|&digit| digit == 0));
    assert!(digits.iter().all(|&digit| u64::from(digit) < layout.encoding.base()));
    let integers = match layout.split {
        None => digits.iter().map(|&digit| digit.into()).collect(),
        Some(split) => digits.as_chunks::<2>().0.iter().map(|&pair| split.join(pair)).collect(),
    };
    (integers, told)
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn the_mean_is_the_integer_mean(shaped in shapes(400), present in 2u64..5, seed: u64) {
        let (mut fleet, mut rand) = (Fleet::new(), Rand::new(seed));
        let round = shaped.round(&fleet);
        let present = present.min(shaped.robots);
        let (mut uploads, mut sums) = (vec![], vec![0u64; shaped.length]);
        for number in 0..present as u16 {
            let values = floats(shaped, &mut rand);
            sums.iter_mut().zip(&values).for_each(|(sum, &x)| *sum += level(shaped, x));
            let key = fleet.key(&round, number);
            let update = Update::new(update_id(number, 0), &values[..]).clipping();
            uploads.push(round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0);
        }
        let sum = fleet.sum(&round, &uploads);
        let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
        let zero = f64::from((1u32 << (shaped.bits - 1)) - 1);
        let (count, step) = (present as f64, f64::from(shaped.clip) / zero);
        let expected: Vec<_> = sums.iter().map(|&sum| ((sum as f64 - count * zero) * (step / count)) as f32).collect();
        prop_assert_eq!(mean.values, expected);
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_value_becomes_its_nearest_level(shaped in shapes(1500), seed: u64) {
        let values = floats(shaped, &mut Rand::new(seed));
        let (integers, told) = encoded(shaped, &values);
        let top = (1u64 << shaped.bits) - 2;
        for (&x, &integer) in values.iter().zip(&integers) {
            prop_assert_eq!(integer, level(shaped, x), "{:e} within {:e}", x, shaped.clip);
            prop_assert!(integer <= top);
            // The definition itself, as far as f64 can tell: no other level is nearer.
            let x = if x.is_nan() { 0.0 } else { f64::from(x.clamp(-shaped.clip, shaped.clip)) };
            let off = x / f64::from(shaped.clip) * (top / 2) as f64 + (top / 2) as f64 - integer as f64;
            prop_assert!(off.abs() <= 0.5 + 1e-7, "{} levels off", off);
        }
        let clipped = values.iter().filter(|x| x.abs() > shaped.clip).count() as u64;
        let not_a_number = values.iter().filter(|x| x.is_nan()).count() as u64;
        prop_assert_eq!(told, OutOfRange { clipped, not_a_number });
    }

    /// From 257 robots on a 24-bit value is two digits.
    #[test]
    fn a_split_value_comes_back_and_sums_of_digits_are_sums_of_values(robots in 257u64..=10_000, seed: u64) {
        let shaped = Shaped { suite: 0, bits: 24, robots, clip: 1.0, length: 700 };
        let split = shaped.round(&Fleet::new()).agreement().layout().split.unwrap();
        let values = floats(shaped, &mut Rand::new(seed));
        let (integers, _) = encoded(shaped, &values);
        let expected: Vec<_> = values.iter().map(|&x| level(shaped, x)).collect();
        prop_assert_eq!(&integers, &expected);
        let base = u64::from(split.base());
        let digits = |value: u64| [value % base, value / base];
        for pair in integers.windows(2) {
            let [[low, high], [more, higher]] = [digits(pair[0]), digits(pair[1])];
            prop_assert_eq!(split.join([low + more, high + higher].map(|sum| sum as u32)), pair[0] + pair[1]);
        }
        // As many of the largest value as there may be: both digits' sums still fit a word.
        let most = digits(0xFF_FFFF).map(|digit| u32::try_from(digit * robots).unwrap());
        prop_assert_eq!(split.join(most), 0xFF_FFFF * robots);
    }

    #[test]
    fn a_round_explains_itself_in_its_own_numbers(shaped in shapes(3_000_000)) {
        let round = shaped.round(&Fleet::new());
        let (agreement, text) = (round.agreement(), round.explain().to_string());
        let estimate = agreement.params().estimate();
        let claims = [
            format!("{}: {} bits classical, {} quantum", agreement.params().name(), estimate.classical, estimate.quantum),
            format!("{} of {} bits, from -{} to {}", shaped.length, shaped.bits, shaped.clip, shaped.clip),
            format!("{} values in a word of {} bits", agreement.layout().values_per_coefficient(), agreement.encoding().bits()),
            format!("{} words in", agreement.shape().coefficients),
            format!("{} bytes, {} of them overhead", agreement.upload_len(), agreement.overhead_len()),
            format!("{:.3} bytes per value", agreement.upload_len() as f64 / shaped.length as f64),
            format!("up to {} robots", shaped.robots),
        ];
        for claim in claims {
            prop_assert!(text.contains(&claim), "{claim:?} is not in:\n{text}");
        }
        // The choice is the best, and what is said to be next best is another.
        match round.explain().next_best() {
            Some((next, more)) => {
                let (rho, wire) = (next.values_per_coefficient(), next.encoding.bits());
                prop_assert!(rho != agreement.layout().values_per_coefficient());
                let claim = format!("next best: {rho} values in a word of {wire} bits, {more} bytes more");
                prop_assert!(text.contains(&claim), "{claim:?} is not in:\n{text}");
                let words = shaped.length.div_ceil(rho).max(64);
                let len = 16 + 1120 + 8 * wire as usize + (words * wire as usize).div_ceil(8);
                prop_assert_eq!(agreement.upload_len() + more, len);
            }
            None => prop_assert!(text.contains("no other number of values in a word fits")),
        }
        prop_assert!(round.explain().head_room() >= 0.0);
    }
}

// ---- the ledger --------------------------------------------------------------------------------------------------

/// A rational number between two multiples of 2^-64.
#[derive(Clone, Copy, Debug)]
struct Between {
    low: u128,
    high: u128,
}

impl Between {
    /// `numerator * 2^shift / q`, for a numerator and a q below 2^60 and a result below 2^58.
    fn ratio(numerator: u64, shift: u32, q: u64) -> Self {
        let (mut low, mut rest) = (u128::from(numerator / q), numerator % q);
        for _ in 0..shift + 64 {
            rest *= 2;
            low = 2 * low + u128::from(rest >= q);
            rest %= q;
        }
        Self { low, high: low + 1 }
    }
}

/// Whether `D/2 >= 9.5 sqrt(V) + 3/2 + lean`, by integers: `None` where 64 fractional bits do not tell.
fn opens_exactly(delta: u64, q: u64, bits: u32, primes: u64, weights: Weights) -> Option<bool> {
    let half = 1u128 << 63;
    let step = Between::ratio(delta, bits, q);
    // 1.25 * primes * (N1 + 1) * 2^(l - 64), in units of 2^-64, rounded up.
    let lean = ((5 * u128::from(primes) * (u128::from(weights.sum) + 1)) << bits).div_ceil(4);
    let ratio = Between::ratio(1, bits, q);
    let square = |x: u128| (x * x) >> 64;
    let twelfth = (1u128 << 64) / 12;
    // 90.25 * V = 361/4 * N2 * (16 r^2 + 1/12), in units of 2^-64: r < 1, so the squares' errors are below 2.
    let scale = |variance: u128| variance * u128::from(weights.squares) * 361 / 4;
    let low = scale(16 * square(ratio.low) + twelfth);
    let high = scale(16 * (square(ratio.high) + 2) + twelfth + 1) + 1;
    let reach = |step: u128| (step / 2).checked_sub(3 * half + lean);
    // Both sides squared, in units of 2^-64: a square root of 2^-64 is 2^-32.
    let at_least = |reach: u128, bound: u128| match reach >> 32 {
        narrow if narrow >= 1 << 64 => true,
        narrow => narrow * narrow >= bound,
    };
    match (reach(step.low.saturating_sub(2)), reach(step.high + 2)) {
        (Some(reach), _) if at_least(reach, high) => Some(true),
        (_, None) => Some(false),
        (_, Some(reach)) if !at_least(reach + (1 << 32), low) => Some(false),
        _ => None,
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_ledger_admits_what_opens_exactly_and_nothing_else(
        shaped in shapes(2000), excess in -9.0..0.5f64, weight in 1u64..300, more in -3i64..=3,
    ) {
        let params = &Params::NAMED[shaped.suite];
        let encoding = smallest(params, shaped.bits, shaped.robots, shaped.length).unwrap().encoding;
        let (q, delta, bits) = (encoding.ring().q(), encoding.delta(), encoding.bits());
        let primes = encoding.ring().plans().len() as u64;
        let budget = Budget::of(&encoding);
        let ledger = Ledger::new(budget, u64::MAX);
        // Squares around the largest that is admitted: a little more or less, or just any.
        let reach = (budget.step / 2.0 - 1.5) / 9.5;
        let most = reach * reach / budget.variance(Weights::equal(1));
        let near = (most * (1.0 - 10f64.powf(excess))).max(1.0);
        for squares in [near, most, most * (1.0 + 10f64.powf(excess))] {
            let squares = (squares.min(1e11) as u64).saturating_add_signed(more).max(1);
            let weights = Weights { messages: 1, sum: squares.div_ceil(weight), squares };
            match (opens_exactly(delta, q, bits, primes, weights), ledger.admit(weights)) {
                (Some(true), admitted) => prop_assert_eq!(admitted, Ok(())),
                (Some(false), admitted) => prop_assert_eq!(admitted, Err(Overflow::Noise { weights })),
                (None, _) => {}
            }
        }
        // What the round planned is admitted, and surely opens; one more than planned never is.
        let (ledger, planned) = (Ledger::new(budget, shaped.robots), Weights::equal(shaped.robots));
        prop_assert_eq!(ledger.admit(planned), Ok(()));
        prop_assert_ne!(opens_exactly(delta, q, bits, primes, planned), Some(false));
        let sum = planned.sum + 1;
        let refused = Err(Overflow::Planned { sum, planned: planned.sum });
        prop_assert_eq!(ledger.admit(Weights::equal(sum)), refused);
    }
}
