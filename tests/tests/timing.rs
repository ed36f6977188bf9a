//! Times of the engines' secret jobs, also of the engines that valgrind cannot run: fixed secrets against random ones in
//! random order, compared by Welch's t-test, as dudect does. For a quiet machine: `scripts/full-check timing`.
//!
//! It can show a leak, never that there is none.

use kernels::cpu::Cpu;
use kernels::{Backend, DecryptJob, DenseJob, DenseKey, Encoding, EncryptJob, SealJob, Secret};
use std::hint::black_box;
use std::time::Instant;
use tensorguard_tests::{Rand, rings};

/// |t| beyond this is no accident; dudect's authors use the same.
const BEYOND_DOUBT: f64 = 10.0;
/// Random inputs that are made ahead.
const POOL: usize = 64;
const A_SEED: [u8; 32] = [1; 32];

/// Everything a job's time must not depend on.
struct Inputs {
    seed: Secret<[u8; 32]>,
    sum: Secret<Vec<i32>>,
    pad: Vec<u32>,
    digits: Vec<u32>,
}

fn digits(encoding: &Encoding) -> usize {
    encoding.ring().n() * encoding.digits_per_coefficient()
}

impl Inputs {
    fn fixed(encoding: &Encoding) -> Self {
        let (n, len) = (encoding.ring().n(), digits(encoding));
        let (seed, sum) = (Secret::new([0; 32]), Secret::new(vec![0; n]));
        Self { seed, sum, pad: vec![0; encoding.pad_len(len)], digits: vec![0; len] }
    }

    fn random(encoding: &Encoding, rand: &mut Rand) -> Self {
        let mut inputs = Self::fixed(encoding);
        inputs.seed = rand.secret();
        inputs.sum.expose_mut().iter_mut().for_each(|s| *s = rand.next() as i32 >> 16);
        let p = u64::from(encoding.ring().plans()[0].modulus().value());
        inputs.pad.iter_mut().for_each(|word| *word = (rand.next() % p) as u32);
        inputs.digits = rand.words(inputs.digits.len());
        inputs
    }

    /// All jobs work in the same memory, just written, whatever their class.
    fn copy_from(&mut self, other: &Self) {
        self.seed.expose_mut().copy_from_slice(other.seed.expose());
        self.sum.expose_mut().copy_from_slice(other.sum.expose());
        self.pad.copy_from_slice(&other.pad);
        self.digits.copy_from_slice(&other.digits);
    }
}

/// Runs a job on inputs that it may use up.
type Job = fn(&Cpu, &Encoding, &mut Inputs);

const JOBS: &[(&str, Job)] = &[
    ("seal", |cpu, encoding, inputs| {
        let mut out = vec![0; encoding.packed_len(inputs.digits.len())];
        cpu.seal(&SealJob { encoding }, &mut inputs.pad, &inputs.digits, &mut out).expect("a CPU has no faults");
        black_box(out);
    }),
    ("encrypt", |cpu, encoding, inputs| {
        let job = EncryptJob { encoding, a_seed: &A_SEED, message_seed: &inputs.seed, first_poly: 7 };
        let mut out = vec![0; encoding.packed_len(inputs.digits.len())];
        cpu.encrypt(&job, &inputs.digits, &mut out).expect("a CPU has no faults");
        black_box(out);
    }),
    ("decrypt", |cpu, encoding, inputs| {
        let job = DecryptJob { encoding, a_seed: &A_SEED, secret_sum: &inputs.sum, first_poly: 7 };
        let accumulator = vec![12345; encoding.shape(inputs.digits.len()).accumulator_len()];
        cpu.decrypt(&job, &accumulator, &mut inputs.digits).expect("a CPU has no faults");
    }),
    ("mask", |cpu, _, inputs| {
        let key = DenseKey::Mask(&inputs.seed);
        let job = DenseJob { a_seed: &A_SEED, dimension: 256, bits: 22, first_row: 7, key };
        cpu.dense(&job, &mut inputs.digits[..16]).expect("a CPU has no faults");
    }),
];

/// What must be seen: a loop that ends at the first digit that is not zero.
fn leak(_: &Cpu, _: &Encoding, inputs: &mut Inputs) {
    let zeros = inputs.digits.iter().take_while(|&&digit| black_box(digit) == 0).count();
    black_box(zeros);
}

/// Welch's t of the times of two classes, each without what took longer than `limit`.
fn welch(times: &[Vec<f64>; 2], limit: f64) -> f64 {
    let [(a, mean_a, of_a), (b, mean_b, of_b)] = times.each_ref().map(|times| {
        let kept: Vec<f64> = times.iter().copied().filter(|&time| time <= limit).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        (count, mean, kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0))
    });
    (mean_a - mean_b) / (of_a / a + of_b / b).sqrt()
}

/// The largest |t| over several limits: slow outliers hide a leak, and a leak may hide among them.
fn largest_t(job: Job, cpu: &Cpu, encoding: &Encoding, samples: usize) -> f64 {
    let mut rand = Rand::new(samples as u64);
    let mut times = [Vec::new(), Vec::new()];
    let fixed: Vec<Inputs> = (0..POOL).map(|_| Inputs::fixed(encoding)).collect();
    let random: Vec<Inputs> = (0..POOL).map(|_| Inputs::random(encoding, &mut rand)).collect();
    let mut inputs = Inputs::fixed(encoding);
    for sample in 0..samples {
        let (class, at) = (rand.next() as usize % 2, rand.next() as usize % POOL);
        // Both are read, so that the choice leaves no trace in the caches.
        for pool in if class == 0 { [&random, &fixed] } else { [&fixed, &random] } {
            inputs.copy_from(&pool[at]);
        }
        let begin = Instant::now();
        job(cpu, encoding, black_box(&mut inputs));
        let time = begin.elapsed().as_nanos() as f64;
        if sample > samples / 20 {
            times[class].push(time);
        }
    }
    let mut sorted: Vec<f64> = times.concat();
    sorted.sort_by(f64::total_cmp);
    let limits = [0.5, 0.75, 0.9, 0.99, 1.0].map(|part| sorted[((sorted.len() - 1) as f64 * part) as usize]);
    limits.map(|limit| welch(&times, limit).abs()).into_iter().filter(|t| t.is_finite()).fold(0.0, f64::max)
}

#[test]
#[ignore = "statistics of times, for a quiet machine: scripts/full-check timing"]
fn times_do_not_tell_random_secrets_from_fixed_ones() {
    let samples = std::env::var("TIMING_SAMPLES").map_or(50_000, |text| text.parse().expect("a whole number"));
    let mut told = Vec::new();
    for cpu in &Cpu::present(1) {
        for encoding in &rings()[2..4] {
            for (name, job) in JOBS {
                let what = format!("{}::{name}, n = {}", cpu.name(), encoding.ring().n());
                let t = largest_t(*job, cpu, encoding, samples);
                println!("{what}: |t| = {t:.1}");
                // Once more where it looks so: a busy machine may have meddled.
                if t > BEYOND_DOUBT && largest_t(*job, cpu, encoding, samples) > BEYOND_DOUBT {
                    told.push(what);
                }
            }
        }
    }
    let control = largest_t(leak, &Cpu::best(1), &rings()[2], samples);
    println!("a leak: |t| = {control:.1}");
    assert!(control > BEYOND_DOUBT, "the leak was not seen, |t| = {control}: too few samples, or too busy a machine");
    assert!(told.is_empty(), "their times depend on secrets: {told:?}");
}
