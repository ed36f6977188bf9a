//! A whole round under somebody's scheme: floats to wire bytes, uploads to a sum, the sum to the mean.

use crate::{cpu_ns, mix};
use serde::{Deserialize, Serialize};
use std::hint::black_box;

/// Uploads that are added in turn: together they do not fit a cache.
const KEPT: usize = 8;
/// Uploads in one run of `add`.
const GROUP: usize = 4;

/// How a peer adds up updates.
pub trait Scheme: Sized {
    /// What a server keeps.
    type Sum: Clone;

    /// Keys for a round of that many robots.
    ///
    /// # Errors
    /// Where it cannot add up so many; it says how many it can.
    fn new(robots: usize) -> Result<Self, String>;

    /// The software.
    fn version(&self) -> String;

    /// A robot's upload.
    fn encrypt(&mut self, robot: usize, update: &[f32]) -> Vec<u8>;

    /// Adds an upload to the sum, or begins one.
    fn add(&self, sum: &mut Option<Self::Sum>, upload: &[u8]);

    /// The mean.
    fn decrypt(&self, sum: &Self::Sum, length: usize, robots: usize) -> Vec<f32>;

    /// What goes to whoever opens the sum.
    fn sum_bytes(&self, sum: &Self::Sum) -> u64;
}

/// What to do with an update's whole way.
#[derive(Deserialize)]
pub struct Request {
    /// `prepare` makes a round of `robots` and checks it; `encrypt`, `add` and `decrypt` are timed.
    step: String,
    length: usize,
    robots: usize,
    repetitions: u64,
}

/// What came of it.
#[derive(Serialize)]
pub struct Answer {
    cpu_ns: u64,
    version: String,
    upload_bytes: u64,
    sum_bytes: u64,
    robots: usize,
    error_max: f64,
    error_rms: f64,
    memory_bytes: Option<u64>,
}

/// A round with its data.
pub struct Round<S: Scheme> {
    scheme: S,
    robots: usize,
    update: Vec<f32>,
    uploads: Vec<Vec<u8>>,
    sum: S::Sum,
    /// The mean's distance from the mean of the plain updates: the largest.
    pub error_max: f64,
    /// The same, root mean square.
    pub error_rms: f64,
    memory_bytes: Option<u64>,
}

impl<S: Scheme> Round<S> {
    /// Answers a request; the round of the last `prepare` is kept.
    ///
    /// # Errors
    /// Where the round cannot be, or the step is unknown.
    pub fn serve(round: &mut Option<Self>, request: &Request) -> Result<Answer, String> {
        let &Request { length, robots, repetitions, .. } = request;
        if request.step == "prepare" {
            *round = None;
            *round = Some(Self::prepare(length, robots)?);
        }
        let Some(round) = round.as_mut().filter(|round| round.update.len() == length) else {
            return Err("no round of this length was prepared".into());
        };
        let cpu_ns = match request.step.as_str() {
            "prepare" => 0,
            "encrypt" => round.time_encrypt(repetitions),
            "add" => round.time_add(repetitions),
            "decrypt" => round.time_decrypt(repetitions),
            step => return Err(format!("no step is called {step}")),
        };
        let &mut Self { robots, error_max, error_rms, memory_bytes, .. } = round;
        Ok(Answer {
            cpu_ns,
            version: round.scheme.version(),
            upload_bytes: round.uploads[0].len() as u64,
            sum_bytes: round.scheme.sum_bytes(&round.sum),
            robots,
            error_max,
            error_rms,
            memory_bytes,
        })
    }

    /// Runs a round and compares its mean with that of the plain updates.
    ///
    /// # Errors
    /// Where there is nothing to add up, or too much.
    pub fn prepare(length: usize, robots: usize) -> Result<Self, String> {
        let mut scheme = S::new(robots)?;
        let before = start_of_peak();
        let mut plain = vec![0.0f64; length];
        let (mut sum, mut uploads) = (None, Vec::new());
        for robot in 0..robots {
            let update = update(robot as u64, length);
            plain.iter_mut().zip(&update).for_each(|(sum, &x)| *sum += f64::from(x));
            let upload = scheme.encrypt(robot, &update);
            scheme.add(&mut sum, &upload);
            if uploads.len() < KEPT {
                uploads.push(upload);
            }
        }
        let sum = sum.filter(|_| length > 0).ok_or("a round needs a value and a robot")?;
        let mean = scheme.decrypt(&sum, length, robots);
        let memory_bytes = before.and_then(|before| Some(resident("VmHWM:")?.saturating_sub(before)));
        let errors = mean.iter().zip(&plain).map(|(&mean, plain)| (f64::from(mean) - plain / robots as f64).abs());
        let (error_max, squares) = errors.fold((0.0f64, 0.0), |(max, sum), x| (max.max(x), sum + x * x));
        let error_rms = (squares / length as f64).sqrt();
        let error_max = if mean.len() == length { error_max } else { f64::INFINITY };
        Ok(Self { scheme, robots, update: update(0, length), uploads, sum, error_max, error_rms, memory_bytes })
    }

    fn time_encrypt(&mut self, repetitions: u64) -> u64 {
        let begin = cpu_ns();
        for _ in 0..repetitions {
            black_box(self.scheme.encrypt(0, black_box(&self.update)));
        }
        cpu_ns() - begin
    }

    fn time_add(&mut self, repetitions: u64) -> u64 {
        let mut sum = Some(self.sum.clone());
        let runs = repetitions as usize * GROUP;
        let begin = cpu_ns();
        for upload in self.uploads.iter().cycle().take(runs) {
            self.scheme.add(black_box(&mut sum), upload);
        }
        cpu_ns() - begin
    }

    fn time_decrypt(&self, repetitions: u64) -> u64 {
        let begin = cpu_ns();
        for _ in 0..repetitions {
            black_box(self.scheme.decrypt(black_box(&self.sum), self.update.len(), self.robots));
        }
        cpu_ns() - begin
    }
}

/// Value `index` of a robot: the same on every side that is compared.
#[must_use]
pub fn update(robot: u64, length: usize) -> Vec<f32> {
    // 24 bits: exact.
    let value = |index: u64| (mix((robot << 32 | index).wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 40) as f32;
    (0..length as u64).map(|index| value(index) / 8_388_608.0 - 1.0).collect()
}

/// Forgets the peak of resident memory so far, and says what is resident now. Linux only.
fn start_of_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    resident("VmRSS:")
}

fn resident(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
