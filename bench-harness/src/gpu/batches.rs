//! The kernels on batches that fill a device, on data that is not all alike, and whole jobs with and without transfers.

use super::measure::{Bench, Scale};
use super::{Effort, suites};
use crate::failure::Failure;
use crate::floor::{self, Needs};
use crate::stats::Random;
use cuda::{Buffer, Resident};
use kernels::reference::Reference;
use kernels::{Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Fault};
use kernels::{Modulus, Plan, Ring, Secret, Shape};

const A_SEED: [u8; 32] = [1; 32];

fn unfit(error: impl std::error::Error) -> Failure {
    Failure::Internal(error.to_string())
}

/// Whether a device's words are the definition's.
fn same<T: PartialEq>(what: &str, found: &[T], defined: &[T]) -> Result<(), Failure> {
    if found == defined {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{what}: the end of the batch is not as by the definition, so its time means nothing")))
}

/// Words that look random, of which nobody knows more: a device may take less time and power for zeros.
fn any_words(device: &mut Resident<'_>, words: usize) -> Result<Buffer, Failure> {
    let ring = Ring::new(1024, &[Modulus::P1.value()]).map_err(unfit)?;
    Ok(device.expand(&ring, &[9; 32], 0, words.div_ceil(1024))?.words())
}

fn digits(count: usize) -> Vec<u32> {
    let mut random = Random(count as u64);
    (0..count).map(|_| random.below(256) as u32).collect()
}

/// The counts of a message of so many digits.
struct Counts {
    n: u64,
    limbs: u64,
    rho: u64,
    polys: u64,
    coefficients: u64,
    digits: u64,
}

impl Counts {
    fn of(encoding: &Encoding, digits: usize) -> Self {
        let (ring, rho) = (encoding.ring(), encoding.digits_per_coefficient());
        let counts = [ring.n(), ring.plans().len(), rho, encoding.polys(digits), encoding.coefficients(digits), digits];
        let [n, limbs, rho, polys, coefficients, digits] = counts.map(|count| count as u64);
        Self { n, limbs, rho, polys, coefficients, digits }
    }

    fn words(&self) -> u64 {
        self.n * self.limbs * self.polys
    }

    fn expand(&self) -> Needs {
        moving(4 * self.words(), floor::stream(self.words()))
    }

    fn pad(&self) -> Needs {
        moving(4 * self.words(), floor::pad(self.n, self.limbs, self.polys))
    }

    /// Without the zeros that a job leaves in its pad: here it stays.
    fn seal(&self, packed: usize) -> Needs {
        let bytes = 4 * self.words() + 4 * self.digits + packed as u64;
        moving(bytes, floor::seal(self.coefficients, self.limbs, self.rho))
    }

    fn encrypt(&self, packed: usize) -> Needs {
        let both = floor::pad(self.n, self.limbs, self.polys).and(floor::seal(self.coefficients, self.limbs, self.rho));
        moving(4 * self.digits + packed as u64, both)
    }

    /// With polynomials that are read instead of expanded.
    fn encrypt_kept(&self, packed: usize) -> Needs {
        let all = self.encrypt(packed);
        let operations = all.operations - floor::stream(self.n).times(self.limbs * self.polys).operations;
        Needs { bytes: all.bytes + 4 * self.words(), operations, ..all }
    }

    fn decrypt(&self, accumulator: usize) -> Needs {
        let needs = floor::decrypt(self.n, self.limbs, self.rho, self.polys, self.coefficients);
        moving(4 * (self.digits + accumulator as u64), needs)
    }
}

/// Nothing of it stays in a cache: these batches are far larger.
fn moving(bytes: u64, needs: Needs) -> Needs {
    Needs { bytes, held_bytes: bytes, ..needs }
}

impl Bench<'_> {
    pub(super) fn transforms(&mut self) -> Result<(), Failure> {
        for n in [1024, 2048, 4096, 8192, 16384, 32768] {
            let plan = Plan::new(Modulus::P1, n).map_err(unfit)?;
            let polys = self.size(1 << 27, 1 << 16) / n;
            let mut device = self.cuda.resident()?;
            let words = any_words(&mut device, n * polys)?;
            let last = words.after(4 * n * (polys - 1));
            for (direction, name) in [(Direction::Forward, "forward"), (Direction::Inverse, "inverse")] {
                let what = format!("ntt {name}, n = {n}, batch of {polys}, per transform");
                let (mut found, mut defined) = (vec![0; n], vec![0; n]);
                device.read(last, &mut defined)?;
                match device.ntt(&plan, direction, words, polys) {
                    Err(Fault::Declined) => {
                        self.not_run(what, "blocks of this device have too little shared memory")?;
                        continue;
                    }
                    done => done?,
                }
                device.read(last, &mut found)?;
                Reference.ntt(&plan, direction, &mut defined)?;
                same(&what, &found, &defined)?;
                let times = self.time(&mut device, |device| device.ntt(&plan, direction, words, polys))?;
                let needs = moving(8 * (n * polys) as u64, floor::transform(n as u64).times(polys as u64));
                self.row(what, times, Scale::NanosecondsPer(polys as f64), Some(needs))?;
            }
        }
        Ok(())
    }

    pub(super) fn sums(&mut self) -> Result<(), Failure> {
        for (bits, rows) in [(50, 10), (50, 100), (21, 100)] {
            // A multiple of 1024, so that a row is one of 16 bytes.
            let shape = Shape { bits, coefficients: self.size(1 << 23, 1 << 14) / rows * 10 / 1024 * 1024 };
            let what = format!("sum of {rows} rows, l = {bits}");
            let stride = shape.packed_len();
            let mut device = self.cuda.resident()?;
            let packed = any_words(&mut device, stride * rows / 4)?;
            let accumulator = any_words(&mut device, shape.accumulator_len())?;
            // The last 1024 coefficients.
            let end = Shape { bits, coefficients: 1024 };
            let from = accumulator.after(4 * (shape.accumulator_len() - end.accumulator_len()));
            let (mut found, mut defined) = (vec![0; end.accumulator_len()], vec![0; end.accumulator_len()]);
            device.read(from, &mut defined)?;
            let mut ends = vec![vec![0; end.packed_len()]; rows];
            for (row, bytes) in ends.iter_mut().enumerate() {
                device.read_bytes(packed.after((row + 1) * stride - end.packed_len()), bytes)?;
            }
            device.sum(&shape, packed, rows, accumulator)?;
            device.read(from, &mut found)?;
            Reference.sum(&end, &ends.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut defined)?;
            same(&what, &found, &defined)?;
            let times = self.time(&mut device, |device| device.sum(&shape, packed, rows, accumulator))?;
            let bytes = (stride * rows + 8 * shape.accumulator_len()) as u64;
            let needs = moving(bytes, floor::sum(shape.coefficients as u64, rows as u64, bits));
            self.row(what, times, Scale::GigaPerSecond(bytes as f64, "GB/s"), Some(needs))?;
        }
        Ok(())
    }

    pub(super) fn messages(&mut self) -> Result<(), Failure> {
        for (name, encoding) in suites()? {
            self.message(name, &encoding, self.size(100_000_000, 20_000))?;
        }
        Ok(())
    }

    /// Every kernel of a robot and a key holder, on one message that stays on the device.
    fn message(&mut self, name: &str, encoding: &Encoding, parameters: usize) -> Result<(), Failure> {
        let (counts, packed) = (Counts::of(encoding, parameters), encoding.packed_len(parameters));
        let (ring, polys) = (encoding.ring(), encoding.polys(parameters));
        let (a_seed, message_seed) = (&A_SEED, &Secret::new([2; 32]));
        let job = EncryptJob { encoding, a_seed, message_seed, first_poly: 0 };
        let values = digits(parameters);
        let mut device = self.cuda.resident()?;
        let message = device.upload(&values)?;
        let row = device.buffer(packed.next_multiple_of(16))?;
        let public = device.expand(ring, a_seed, 0, polys)?;
        let pad = device.buffer(4 * encoding.pad_len(parameters))?;
        self.check_row(name, &mut device, &job, &values, message, row)?;
        let fp32 = Scale::GigaPerSecond(4.0 * parameters as f64, "GB/s of fp32");
        let words = Scale::GigaPerSecond(4.0 * counts.words() as f64, "GB/s of words");

        let times = self.time(&mut device, |device| device.expand_again(&public))?;
        self.row(format!("{name} expand a"), times, words, Some(counts.expand()))?;
        let times = self.time(&mut device, |device| device.pad(&job.pad_job(), pad, polys))?;
        self.row(format!("{name} pad"), times, words, Some(counts.pad()))?;
        let seal_job = job.seal_job();
        let times = self.time(&mut device, |device| device.seal(&seal_job, pad, message, parameters, row))?;
        self.row(format!("{name} seal"), times, fp32, Some(counts.seal(packed)))?;
        let times = self.time(&mut device, |device| device.encrypt(&job, Some(&public), message, parameters, row))?;
        self.row(format!("{name} encrypt, a kept"), times, fp32, Some(counts.encrypt_kept(packed)))?;
        let times = self.time(&mut device, |device| device.encrypt(&job, None, message, parameters, row))?;
        self.row(format!("{name} encrypt, a expanded"), times, fp32, Some(counts.encrypt(packed)))?;

        let accumulator_len = encoding.shape(parameters).accumulator_len();
        let accumulator = any_words(&mut device, accumulator_len)?;
        let secret_sum = &Secret::new(vec![1; ring.n()]);
        let open = DecryptJob { encoding, a_seed, secret_sum, first_poly: 0 };
        let opened = device.buffer(4 * parameters)?;
        self.check_opened(name, &mut device, &open, accumulator, opened, parameters)?;
        let decrypt = |device: &mut Resident<'_>| device.decrypt(&open, accumulator, opened, parameters).map(drop);
        let times = self.time(&mut device, decrypt)?;
        self.row(format!("{name} decrypt, statistics read back"), times, fp32, Some(counts.decrypt(accumulator_len)))
    }

    /// The last polynomial of a packed row, with the public polynomials expanded and kept.
    fn check_row(
        &self,
        name: &str,
        device: &mut Resident<'_>,
        job: &EncryptJob<'_>,
        values: &[u32],
        message: Buffer,
        row: Buffer,
    ) -> Result<(), Failure> {
        let encoding = job.encoding;
        let (n, polys) = (encoding.ring().n(), encoding.polys(values.len()));
        let rest = &values[(polys - 1) * n * encoding.digits_per_coefficient()..];
        let mut defined = vec![0; encoding.packed_len(rest.len())];
        Reference.encrypt(&EncryptJob { first_poly: polys as u32 - 1, ..*job }, rest, &mut defined)?;
        let public = device.expand(encoding.ring(), job.a_seed, 0, polys)?;
        for public in [None, Some(&public)] {
            let mut found = vec![0; defined.len()];
            device.encrypt(job, public, message, values.len(), row)?;
            device.read_bytes(row.after((polys - 1) * n / 8 * encoding.bits() as usize), &mut found)?;
            same(&format!("{name} encrypt"), &found, &defined)?;
        }
        Ok(())
    }

    /// The digits of the last polynomial of a sum.
    fn check_opened(
        &self,
        name: &str,
        device: &mut Resident<'_>,
        job: &DecryptJob<'_>,
        accumulator: Buffer,
        opened: Buffer,
        parameters: usize,
    ) -> Result<(), Failure> {
        let encoding = job.encoding;
        let (n, polys) = (encoding.ring().n(), encoding.polys(parameters));
        let from = (polys - 1) * n * encoding.digits_per_coefficient();
        let rest = parameters - from;
        let mut words = vec![0; encoding.shape(rest).accumulator_len()];
        device.read(accumulator.after(4 * (polys - 1) * encoding.shape(0).words_per_value() * n), &mut words)?;
        let (mut found, mut defined) = (vec![0; rest], vec![0; rest]);
        Reference.decrypt(&DecryptJob { first_poly: polys as u32 - 1, ..*job }, &words, &mut defined)?;
        device.decrypt(job, accumulator, opened, parameters)?;
        device.read(opened.after(4 * from), &mut found)?;
        same(&format!("{name} decrypt"), &found, &defined)
    }

    /// Rows of plain LWE.
    pub(super) fn dense(&mut self) -> Result<(), Failure> {
        let (dimension, rows) = (1024, self.size(1 << 20, 1 << 8));
        let mut device = self.cuda.resident()?;
        let values = any_words(&mut device, rows)?;
        let seed = &Secret::new([2; 32]);
        let job = DenseJob { a_seed: &A_SEED, dimension, bits: 22, first_row: 0, key: DenseKey::Mask(seed) };
        let (mut found, mut defined) = (vec![0; 64], vec![0; 64]);
        let last = values.after(4 * (rows - 64));
        device.read(last, &mut defined)?;
        device.dense(&job, values, rows)?;
        device.read(last, &mut found)?;
        let end = DenseJob { first_row: rows as u32 - 64, key: DenseKey::Mask(seed), ..job };
        Reference.dense(&end, &mut defined)?;
        same("dense", &found, &defined)?;
        let times = self.time(&mut device, |device| device.dense(&job, values, rows))?;
        let needs = moving(8 * rows as u64, floor::dense(dimension as u64, rows as u64));
        self.row(format!("LWE-1024-22 mask, per row of {rows}"), times, Scale::NanosecondsPer(rows as f64), Some(needs))
    }

    /// Updates of 10 KB to 10 MB of 1 to 100 clients: from the host's memory and back, and on the device alone.
    pub(super) fn end_to_end(&mut self) -> Result<(), Failure> {
        let Some((_, encoding)) = suites()?.into_iter().next() else { return Ok(()) };
        let (sizes, most): (&[_], _) = match self.effort() {
            Effort::Full => (&[2_500, 25_000, 250_000, 2_500_000], 100),
            Effort::Smoke => (&[2_500, 25_000], 10),
        };
        for &parameters in sizes {
            self.jobs_from_host(&encoding, parameters, most)?;
            self.jobs_on_device(&encoding, parameters, most)?;
        }
        Ok(())
    }

    fn jobs_from_host(&mut self, encoding: &Encoding, parameters: usize, most: usize) -> Result<(), Failure> {
        let (size, cuda) = (size_name(parameters), self.cuda);
        let (a_seed, message_seed) = (&A_SEED, &Secret::new([2; 32]));
        let values = digits(parameters);
        let mut row = vec![0; encoding.packed_len(parameters)];
        let job = EncryptJob { encoding, a_seed, message_seed, first_poly: 0 };
        let fp32 = Scale::GigaPerSecond(4.0 * parameters as f64, "GB/s of fp32");
        let times = self.wall(|| cuda.encrypt(&job, &values, &mut row))?;
        self.row(format!("{size} encrypt, host to host"), times, fp32, None)?;
        let shape = encoding.shape(parameters);
        let mut accumulator = vec![0; shape.accumulator_len()];
        // Each its own memory: one row again and again would come from the processor's cache.
        let rows = vec![row; most];
        for clients in clients(most) {
            let rows: Vec<&[u8]> = rows[..clients].iter().map(Vec::as_slice).collect();
            let times = self.wall(|| cuda.sum(&shape, &rows, &mut accumulator))?;
            let bytes = Scale::GigaPerSecond((shape.packed_len() * clients) as f64, "GB/s");
            self.row(format!("{size} x {clients} clients sum, host to host"), times, bytes, None)?;
        }
        let secret_sum = &Secret::new(vec![1; encoding.ring().n()]);
        let open = DecryptJob { encoding, a_seed, secret_sum, first_poly: 0 };
        let mut opened = vec![0; parameters];
        let times = self.wall(|| cuda.decrypt(&open, &accumulator, &mut opened).map(drop))?;
        self.row(format!("{size} decrypt, host to host"), times, fp32, None)
    }

    fn jobs_on_device(&mut self, encoding: &Encoding, parameters: usize, most: usize) -> Result<(), Failure> {
        let size = size_name(parameters);
        let (a_seed, message_seed) = (&A_SEED, &Secret::new([2; 32]));
        let job = EncryptJob { encoding, a_seed, message_seed, first_poly: 0 };
        let shape = encoding.shape(parameters);
        let stride = shape.packed_len().next_multiple_of(16);
        let fp32 = Scale::GigaPerSecond(4.0 * parameters as f64, "GB/s of fp32");
        let mut device = self.cuda.resident()?;
        let message = device.upload(&digits(parameters))?;
        let packed = any_words(&mut device, stride * most / 4)?;
        let accumulator = any_words(&mut device, shape.accumulator_len())?;
        let times = self.time(&mut device, |device| device.encrypt(&job, None, message, parameters, packed))?;
        self.row(format!("{size} encrypt, on the device"), times, fp32, None)?;
        for clients in clients(most) {
            let times = self.time(&mut device, |device| device.sum(&shape, packed, clients, accumulator))?;
            let bytes = Scale::GigaPerSecond((shape.packed_len() * clients) as f64, "GB/s");
            self.row(format!("{size} x {clients} clients sum, on the device"), times, bytes, None)?;
        }
        let secret_sum = &Secret::new(vec![1; encoding.ring().n()]);
        let open = DecryptJob { encoding, a_seed, secret_sum, first_poly: 0 };
        let decrypt = |device: &mut Resident<'_>| device.decrypt(&open, accumulator, message, parameters).map(drop);
        let times = self.time(&mut device, decrypt)?;
        self.row(format!("{size} decrypt, on the device"), times, fp32, None)
    }
}

fn clients(most: usize) -> impl Iterator<Item = usize> {
    [1, 10, 100].into_iter().filter(move |&clients| clients <= most)
}

/// As fp32.
fn size_name(parameters: usize) -> String {
    let kb = parameters * 4 / 1000;
    if kb < 1000 { format!("{kb} KB") } else { format!("{} MB", kb / 1000) }
}
