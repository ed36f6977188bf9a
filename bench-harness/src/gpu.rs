//! `tensorguard gpu`: what the CUDA device can do at best, every kernel against that, and whole jobs with transfers.
//!
//! Times on the device are its own clock's; times of whole jobs are wall time. Every kernel's output was compared with the
//! definition by the suite that `scripts/gpu-check` runs before this.

use crate::built;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::record::Measure;
use crate::stats::median;
use cuda::{Cuda, Facts, Memory, Product, Resident};
use kernels::{Backend, DecryptJob, Direction, Encoding, EncryptJob, Fault, Modulus, Plan, Ring, Secret, Shape};
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The program's version.
    pub program: &'static str,
    /// The commit it was built from, where the build knew it.
    pub commit: Option<&'static str>,
    /// The host.
    pub machine: Machine,
    /// The device.
    pub device: Device,
    /// Everything measured, in order.
    pub rows: Vec<Row>,
}

/// What the driver says of the device.
#[derive(Debug, Serialize)]
pub struct Device {
    name: String,
    capability: u32,
    driver: u32,
    multiprocessors: u32,
    shares_memory_with_host: bool,
}

impl Device {
    /// A short name for folders.
    #[must_use]
    pub fn label(&self) -> String {
        let name = self.name.to_lowercase();
        let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
        words.join("-")
    }
}

/// One measurement: the median of several.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The median; none where there is no device but a stand-in.
    pub value: Option<f64>,
    /// Of what.
    pub unit: &'static str,
    /// The device's limit in the same unit, and which one it is.
    pub floor: Option<(f64, &'static str)>,
    /// Whose nanoseconds the samples are: the device's own, or elapsed ones for whole jobs.
    pub clock: Measure,
    /// All samples, in nanoseconds. In a file of their own.
    #[serde(skip)]
    pub samples_ns: Vec<u64>,
}

/// How much to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Sizes that fill a GPU.
    Full,
    /// Small sizes, a few repetitions: a check that it works, not a measurement.
    Smoke,
}

const SAMPLES: usize = 15;
const P1: Modulus = Modulus::P1;

struct Bench<'a> {
    cuda: &'a Cuda,
    effort: Effort,
    rows: Vec<Row>,
    keep: Keep<'a>,
    /// Whose nanoseconds the rows at hand are.
    clock: Measure,
    is_stand_in: bool,
    /// Bytes per nanosecond, read and written, of a copy on the device.
    copy_rate: f64,
    /// Products per nanosecond: low, high.
    product_rates: [f64; 2],
}

fn is_stand_in(facts: &Facts) -> bool {
    facts.name.contains("host shim")
}

/// The name of what stands in for a GPU, if something does.
#[must_use]
pub fn stand_in() -> Option<String> {
    let facts = Cuda::new().ok()?.facts().clone();
    is_stand_in(&facts).then_some(facts.name)
}

/// A device that may be measured.
#[derive(Debug)]
pub struct Opened {
    /// The host, before.
    pub machine: Machine,
    /// What the driver says of it.
    pub device: Device,
    cuda: Cuda,
    effort: Effort,
}

impl Opened {
    /// The device of this machine.
    ///
    /// # Errors
    /// [`Failure::Usage`] without one, or where only a stand-in is there to be measured.
    pub fn new(effort: Effort) -> Result<Self, Failure> {
        let cuda = Cuda::new().map_err(|absent| Failure::Usage(format!("no CUDA device: {absent}")))?;
        // Figures of a stand-in would be figures of nothing: it is only a check that everything runs.
        if effort == Effort::Full && is_stand_in(cuda.facts()) {
            return Err(Failure::Usage(format!("{} is not a GPU: only --smoke runs on it", cuda.facts().name)));
        }
        let Facts { name, capability, driver, multiprocessors, memory, .. } = cuda.facts().clone();
        let shares_memory_with_host = memory == Memory::Shared;
        let device = Device { name, capability, driver, multiprocessors, shares_memory_with_host };
        Ok(Self { machine: Machine::look(), device, cuda, effort })
    }

    /// Measures everything. A few minutes on a GPU. `keep` gets each row as it is done.
    ///
    /// # Errors
    /// [`Failure::Internal`] where it fails; those of `keep`.
    pub fn measure(self, keep: Keep<'_>) -> Result<Report, Failure> {
        let Self { machine, device, cuda, effort } = self;
        let is_stand_in = is_stand_in(cuda.facts());
        let (rows, clock) = (Vec::new(), Measure::DeviceNs);
        let mut bench =
            Bench { cuda: &cuda, effort, rows, keep, clock, is_stand_in, copy_rate: 0.0, product_rates: [0.0; 2] };
        bench.ceilings()?;
        bench.transforms()?;
        bench.sums()?;
        bench.messages()?;
        bench.end_to_end()?;
        let program = concat!("tensorguard ", env!("CARGO_PKG_VERSION"));
        Ok(Report { program, commit: built::COMMIT, machine, device, rows: bench.rows })
    }
}

/// Who keeps rows.
pub type Keep<'a> = &'a mut dyn FnMut(&Row) -> Result<(), Failure>;

impl Bench<'_> {
    fn size(&self, full: usize, smoke: usize) -> usize {
        if self.effort == Effort::Full { full } else { smoke }
    }

    /// Device time of `work`, once for warmth and then several times.
    fn time(
        &self,
        device: &mut Resident<'_>,
        mut work: impl FnMut(&mut Resident<'_>) -> Result<(), Fault>,
    ) -> Result<Vec<u64>, Failure> {
        work(device)?;
        let samples = (0..self.size(SAMPLES, 3)).map(|_| device.time_ns(&mut work));
        Ok(samples.collect::<Result<_, _>>()?)
    }

    /// `units / median`, or `median / units` for a unit that is a time.
    fn row(
        &mut self,
        name: String,
        samples_ns: Vec<u64>,
        scale: Scale,
        floor: Option<(f64, &'static str)>,
    ) -> Result<f64, Failure> {
        let time = median(&samples_ns.iter().map(|&ns| ns as f64).collect::<Vec<_>>());
        let (value, unit) = match scale {
            Scale::GigaPerSecond(units, unit) => (units / time, unit),
            Scale::NanosecondsPer(units) => (time / units, "ns"),
        };
        let floor = floor.filter(|(floor, _)| floor.is_finite());
        let shown = (time > 0.0 && !self.is_stand_in).then_some(value);
        let row = Row { name, value: shown, unit, floor, clock: self.clock, samples_ns };
        (self.keep)(&row)?;
        self.rows.push(row);
        Ok(value)
    }

    fn ceilings(&mut self) -> Result<(), Failure> {
        let bytes = self.size(1 << 30, 1 << 16);
        let mut device = self.cuda.resident()?;
        let (from, to) = (device.buffer(bytes)?, device.buffer(bytes)?);
        let samples = self.time(&mut device, |device| device.copy(from, to, bytes))?;
        let scale = Scale::GigaPerSecond(2.0 * bytes as f64, "GB/s");
        self.copy_rate = self.row("copy on the device, read and written".into(), samples, scale, None)?;
        let (blocks, rounds) = (self.cuda.facts().multiprocessors as usize * 32, self.size(4096, 2) as u32);
        for (index, (product, name)) in [(Product::Low, "low"), (Product::High, "high")].into_iter().enumerate() {
            let sink = device.buffer(4 * 256 * blocks)?;
            let samples = self.time(&mut device, |device| device.multiply(product, sink, blocks, rounds))?;
            let products = 16.0 * f64::from(rounds) * 256.0 * blocks as f64;
            let scale = Scale::GigaPerSecond(products, "G/s");
            self.product_rates[index] = self.row(format!("products of words, {name} half"), samples, scale, None)?;
        }
        let launches = self.size(1000, 3);
        let samples =
            self.time(&mut device, |device| (0..launches).try_for_each(|_| device.multiply(Product::Low, to, 1, 0)))?;
        self.row("launch, one after the other".into(), samples, Scale::NanosecondsPer(launches as f64), None)?;
        Ok(())
    }

    /// The larger of the two floors of a butterfly network: bytes moved, products made.
    fn transform_floor(&self, n: usize) -> (f64, &'static str) {
        let butterflies = (n / 2) as f64 * f64::from(n.ilog2());
        let bytes_ns = 8.0 * n as f64 / self.copy_rate;
        let products_ns = butterflies * (2.0 / self.product_rates[0] + 1.0 / self.product_rates[1]);
        if bytes_ns > products_ns { (bytes_ns, "copy rate") } else { (products_ns, "product rate") }
    }

    fn transforms(&mut self) -> Result<(), Failure> {
        for n in [1024, 2048, 4096, 8192, 32768] {
            let plan = Plan::new(P1, n).map_err(|error| Failure::Internal(error.to_string()))?;
            let polys = self.size(1 << 27, 1 << 16) / n;
            let mut device = self.cuda.resident()?;
            let words = device.buffer(4 * n * polys)?;
            for (direction, name) in [(Direction::Forward, "forward"), (Direction::Inverse, "inverse")] {
                let samples = self.time(&mut device, |device| device.ntt(&plan, direction, words, polys))?;
                let floor = Some(self.transform_floor(n));
                let what = format!("ntt {name}, n = {n}, batch of {polys}, per transform");
                self.row(what, samples, Scale::NanosecondsPer(polys as f64), floor)?;
            }
        }
        Ok(())
    }

    fn sums(&mut self) -> Result<(), Failure> {
        for (bits, rows) in [(50, 10), (50, 100), (21, 100)] {
            let shape = Shape { bits, coefficients: self.size(1 << 23, 1 << 12) / (rows / 10) };
            let stride = shape.packed_len().next_multiple_of(16);
            let mut device = self.cuda.resident()?;
            let packed = device.buffer(stride * rows)?;
            let accumulator = device.buffer(4 * shape.accumulator_len())?;
            let samples = self.time(&mut device, |device| device.sum(&shape, packed, rows, accumulator))?;
            let bytes = (stride * rows + 8 * shape.accumulator_len()) as f64;
            let floor = Some((self.copy_rate, "copy rate"));
            let what = format!("sum of {rows} rows, l = {bits}");
            self.row(what, samples, Scale::GigaPerSecond(bytes, "GB/s"), floor)?;
        }
        Ok(())
    }

    fn messages(&mut self) -> Result<(), Failure> {
        for (name, encoding) in suites()? {
            let parameters = self.size(25_000_000, 20_000);
            let (n, polys) = (encoding.ring().n(), encoding.polys(parameters));
            let (a_seed, message_seed) = (&[1; 32], &Secret::new([2; 32]));
            let job = EncryptJob { encoding: &encoding, a_seed, message_seed, first_poly: 0 };
            let secret_sum = &Secret::new(vec![1; n]);
            let open = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly: 0 };
            let mut device = self.cuda.resident()?;
            let message = device.upload(&vec![3; parameters])?;
            let row = device.buffer(encoding.packed_len(parameters).next_multiple_of(4))?;
            let accumulator = device.buffer(4 * encoding.shape(parameters).accumulator_len())?;
            let public = device.expand(encoding.ring(), a_seed, 0, polys)?;
            let fp32 = Scale::GigaPerSecond(4.0 * parameters as f64, "GB/s of fp32");
            let samples = self.time(&mut device, |device| device.expand_again(encoding.ring(), &public))?;
            let words = (polys * n * encoding.ring().plans().len()) as f64;
            self.row(format!("{name} expand a"), samples, Scale::GigaPerSecond(4.0 * words, "GB/s"), None)?;
            for (how, public) in [("a kept", Some(&public)), ("a expanded", None)] {
                let samples =
                    self.time(&mut device, |device| device.encrypt(&job, public, message, parameters, row))?;
                self.row(format!("{name} encrypt, {how}"), samples, fp32, None)?;
            }
            let opened = |device: &mut Resident<'_>| device.decrypt(&open, accumulator, message, parameters).map(drop);
            let samples = self.time(&mut device, opened)?;
            self.row(format!("{name} decrypt, statistics read back"), samples, fp32, None)?;
        }
        Ok(())
    }

    /// Whole jobs through the contract: from the host's memory and back.
    fn end_to_end(&mut self) -> Result<(), Failure> {
        let Some((name, encoding)) = suites()?.into_iter().next() else { return Ok(()) };
        self.clock = Measure::WallNs;
        let (a_seed, message_seed) = (&[1; 32], &Secret::new([2; 32]));
        for parameters in [2_500, 250_000, self.size(2_500_000, 25_000)] {
            let kib = parameters * 4 / 1000;
            let digits = vec![3; parameters];
            let mut row = vec![0; encoding.packed_len(parameters)];
            let job = EncryptJob { encoding: &encoding, a_seed, message_seed, first_poly: 0 };
            let fp32 = Scale::GigaPerSecond(4.0 * parameters as f64, "GB/s of fp32");
            let samples = self.wall(|cuda| cuda.encrypt(&job, &digits, &mut row))?;
            self.row(format!("{name} encrypt from host, {kib} KB"), samples, fp32, None)?;
            let shape = encoding.shape(parameters);
            let mut accumulator = vec![0; shape.accumulator_len()];
            for clients in [1, 10, self.size(100, 2)] {
                let rows = vec![row.as_slice(); clients];
                let samples = self.wall(|cuda| cuda.sum(&shape, &rows, &mut accumulator))?;
                let bytes = Scale::GigaPerSecond((row.len() * clients) as f64, "GB/s");
                self.row(format!("{name} sum from host, {kib} KB x {clients} clients"), samples, bytes, None)?;
            }
            let secret_sum = &Secret::new(vec![1; encoding.ring().n()]);
            let open = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly: 0 };
            let mut opened = vec![0; parameters];
            let samples = self.wall(|cuda| cuda.decrypt(&open, &accumulator, &mut opened).map(drop))?;
            self.row(format!("{name} decrypt from host, {kib} KB"), samples, fp32, None)?;
        }
        Ok(())
    }

    fn wall(&self, mut work: impl FnMut(&Cuda) -> Result<(), Fault>) -> Result<Vec<u64>, Failure> {
        work(self.cuda)?;
        let mut samples = Vec::new();
        for _ in 0..self.size(SAMPLES, 3) {
            let begin = Instant::now();
            work(self.cuda)?;
            samples.push(begin.elapsed().as_nanos() as u64);
        }
        Ok(samples)
    }
}

#[derive(Clone, Copy)]
enum Scale {
    /// This many units; per nanosecond they are giga-units per second.
    GigaPerSecond(f64, &'static str),
    /// Nanoseconds for one of this many.
    NanosecondsPer(f64),
}

fn suites() -> Result<Vec<(&'static str, Encoding)>, Failure> {
    let suite = |name, n, primes: &[Modulus], bits, base, digits| {
        let primes: Vec<u32> = primes.iter().map(|p| p.value()).collect();
        let ring = Ring::new(n, &primes).map_err(|error| Failure::Internal(error.to_string()))?;
        let encoding = Encoding::new(ring, bits, base, digits).map_err(|error| Failure::Internal(error.to_string()))?;
        Ok::<_, Failure>((name, encoding))
    };
    // 8-bit values of 100 clients: sums below 255 * 100 + 1.
    let base = 255 * 100 + 1;
    Ok(vec![
        suite("FL-4096-60", 4096, &[Modulus::P1, Modulus::P2], 50, base, 3)?,
        suite("FL-2048-30", 2048, &[Modulus::P1], 21, base, 1)?,
    ])
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, capability, driver, multiprocessors, .. } = self;
        write!(f, "{name}, capability {capability}, {multiprocessors} multiprocessors, driver {driver}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, commit {}", self.program, self.commit.unwrap_or("unknown"))?;
        writeln!(f, "{}", self.device)?;
        writeln!(f, "\n{:58} {:>12} {:14} {:>10}", "", "median", "", "of floor")?;
        for Row { name, value, unit, floor, .. } in &self.rows {
            let Some(value) = value else {
                writeln!(f, "{name:58}     ran, no device to time")?;
                continue;
            };
            let floor = floor.map_or(String::new(), |(floor, which)| format!("{:10.2} {which}", value / floor));
            writeln!(f, "{}", format!("{name:58} {value:12.3} {unit:14} {floor}").trim_end())?;
        }
        Ok(())
    }
}
