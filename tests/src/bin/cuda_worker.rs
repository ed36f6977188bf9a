//! What tests/cuda.rs runs in a process of its own, because a program finds its CUDA driver once: the suite on whatever
//! driver this process sees, or every job once with outputs that are watched.
//!
//! `cuda_worker look`; `cuda_worker suite PREFIX..`, or `pieces PREFIX..`; `cuda_worker jobs`, `large` or `resident`;
//! `cuda_worker sweep JOB`; `cuda_worker repeat JOB TIMES`. Without a device, all but `look` end with exit code 3.

use cuda::{Allocation, Cuda};
use kernels::reference::Reference;
use kernels::{Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Fault, PadJob, Plan, SealJob};
use kernels::{Secret, Shape};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use tensorguard_tests::{Rand, SUITE, encoding};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["sweep", job] = words.as_slice() {
        sweep(job);
        return ExitCode::SUCCESS;
    }
    let cuda = match Cuda::new() {
        Ok(cuda) => cuda,
        Err(absent) => {
            println!("absent ({absent})");
            return if words == ["look"] { ExitCode::SUCCESS } else { ExitCode::from(3) };
        }
    };
    match words.as_slice() {
        ["look"] => println!("present {:?}", cuda.facts()),
        ["suite", prefixes @ ..] => return suite(&cuda, prefixes),
        ["pieces", prefixes @ ..] => {
            return suite(&cuda.with_piece_bytes(1).with_allocation(Allocation::Separate), prefixes);
        }
        ["jobs"] => jobs(&cuda),
        ["large"] => {
            large(&cuda);
            println!("long polynomials: as by the definition");
        }
        ["resident"] => {
            resident(&cuda).expect("the stand-in does every job");
            println!("jobs on data that stays on the device: as by the definition");
        }
        ["repeat", job, times] => repeat(&cuda.with_piece_bytes(1), job, times.parse().expect("a number")),
        _ => {
            eprintln!(
                "cuda_worker: look, suite PREFIX.., pieces PREFIX.., jobs, large, resident, sweep JOB or repeat JOB TIMES"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Runs the cases whose names begin so, or all; names those that failed.
fn suite(cuda: &Cuda, prefixes: &[&str]) -> ExitCode {
    let wanted = |name: &str| prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix));
    let cases: Vec<_> = SUITE.iter().filter(|case| wanted(case.name)).collect();
    let failed: Vec<_> =
        cases.iter().filter(|case| catch_unwind(AssertUnwindSafe(|| (case.run)(cuda))).is_err()).collect();
    failed.iter().for_each(|case| println!("failed {}", case.name));
    println!("{} of {} cases passed", cases.len() - failed.len(), cases.len());
    if failed.is_empty() && !cases.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A seed, digits and coefficients that a search of memory finds again.
const MARK: u8 = 0x1E;
const MARKED_WORD: u32 = u32::from_le_bytes([MARK; 4]);

/// Every job once: `name: Ok` or `name: Fault`, and whether its outputs changed.
fn jobs(cuda: &Cuda) {
    // One that is fused, and one that is not.
    for encoding in [encoding(1024, &[4_169_729], 17, 1501, 1), encoding(32768, &[1_073_479_681], 21, 25501, 1)] {
        each_job(cuda, &encoding);
    }
}

/// The sizes that the suite's encodings leave out, against the definition.
fn large(cuda: &Cuda) {
    for n in [512, 8192, 16384, 32768] {
        let encoding = encoding(n, &[1_073_479_681, 1_071_513_601], 50, 25501, 3);
        let digits = Rand::new(n as u64).words(3 * n + 100);
        let (a_seed, message_seed) = (&[5; 32], &Secret::new([6; 32]));
        let job = EncryptJob { encoding: &encoding, a_seed, message_seed, first_poly: 9 };
        let mut rows = [(); 2].map(|()| vec![0xA5; encoding.packed_len(digits.len())]);
        match cuda.encrypt(&job, &digits, &mut rows[0]) {
            // Not every device has blocks that large.
            Err(Fault::Declined) => {
                println!("n = {n}: declined");
                continue;
            }
            done => done.expect("a device does every job that it does not decline"),
        }
        Reference.encrypt(&job, &digits, &mut rows[1]).expect("the definition never fails");
        assert!(rows[0] == rows[1], "encrypt, n = {n}");
        let accumulator = Rand::new(1).words(encoding.shape(digits.len()).accumulator_len());
        let secret_sum = &Secret::new((0..n as i32).map(|i| i % 65 - 32).collect());
        let job = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly: 9 };
        let mut opened = [(); 2].map(|()| vec![1; digits.len()]);
        let noise = cuda.decrypt(&job, &accumulator, &mut opened[0]).expect("the stand-in does every job");
        let same = Reference.decrypt(&job, &accumulator, &mut opened[1]).expect("the definition never fails");
        assert!(opened[0] == opened[1] && noise == same, "decrypt, n = {n}");
    }
}

fn each_job(cuda: &Cuda, encoding: &Encoding) {
    let (a_seed, message_seed) = (&[7; 32], &Secret::new([MARK; 32]));
    let ring = encoding.ring();
    let (n, digits) = (ring.n(), vec![MARKED_WORD; ring.n() + 1]);
    let words = vec![MARKED_WORD; 2 * n];
    let plan: &Plan = &ring.plans()[0];
    let job = EncryptJob { encoding, a_seed, message_seed, first_poly: 3 };
    let pad_job = PadJob { ring, a_seed, message_seed, first_poly: 3 };
    tell("ntt", &words, |out| cuda.ntt(plan, Direction::Forward, out));
    tell("pad", &words, |out| cuda.pad(&pad_job, out));
    let bytes = vec![0xA5; encoding.packed_len(digits.len())];
    let mut pad = words.clone();
    tell("seal", &bytes, |out| cuda.seal(&SealJob { encoding }, &mut pad, &digits, out));
    tell("encrypt", &bytes, |out| cuda.encrypt(&job, &digits, out));
    let shape = Shape { bits: encoding.bits(), coefficients: digits.len() };
    tell("sum", &vec![5; digits.len()], |out| cuda.sum(&shape, &[bytes.as_slice(); 3], out));
    let secret_sum = &Secret::new(vec![MARKED_WORD as i32; n]);
    let open = DecryptJob { encoding, a_seed, secret_sum, first_poly: 3 };
    tell("decrypt", &digits, |out| cuda.decrypt(&open, &vec![5; out.len()], out).map(drop));
    let dense = |key| DenseJob { a_seed, dimension: 256, bits: 22, first_row: 0, key };
    let secret_sum = &Secret::new(vec![MARKED_WORD as i32; 256]);
    tell("mask", &words[..100], |out| cuda.dense(&dense(DenseKey::Mask(message_seed)), out));
    tell("unmask", &words[..100], |out| cuda.dense(&dense(DenseKey::Unmask(secret_sum)), out));
}

fn tell<T: Clone + PartialEq>(name: &str, before: &[T], job: impl FnOnce(&mut [T]) -> Result<(), Fault>) {
    let mut out = before.to_vec();
    let result = job(&mut out);
    println!("{name}: {} outputs {}", result.map_or_else(|fault| format!("{fault:?}"), |()| "Ok".into()), {
        if out == before { "unchanged" } else { "changed" }
    });
}

/// What a job writes.
#[derive(Clone, Debug, PartialEq)]
struct Outputs {
    words: Vec<u32>,
    row: Vec<u8>,
}

const JOBS: [&str; 8] = ["ntt", "pad", "seal", "encrypt", "sum", "decrypt", "mask", "unmask"];

/// A job of some small polynomials, and what it writes over.
struct Small {
    encoding: Encoding,
    digits: Vec<u32>,
    before: Outputs,
}

impl Small {
    fn new() -> Self {
        let encoding = encoding(256, &[1_073_479_681, 1_071_513_601], 50, 25501, 3);
        let digits = Rand::new(5).words(6 * 3 * 256);
        // Residues of either prime.
        let words = Rand::new(6).words(encoding.pad_len(digits.len())).iter().map(|word| word >> 3).collect();
        let row = vec![0xA5; encoding.packed_len(digits.len())];
        Self { encoding, digits, before: Outputs { words, row } }
    }

    fn run(&self, name: &str, backend: &dyn Backend, out: &mut Outputs) -> Result<(), Fault> {
        let Self { encoding, digits, before } = self;
        let (a_seed, message_seed) = (&[7; 32], &Secret::new([8; 32]));
        let job = EncryptJob { encoding, a_seed, message_seed, first_poly: 3 };
        let secret_sum = &Secret::new(vec![-7; 256]);
        let dense = |key| DenseJob { a_seed, dimension: 256, bits: 22, first_row: 0, key };
        let shape = encoding.shape(digits.len());
        match name {
            "ntt" => backend.ntt(&encoding.ring().plans()[0], Direction::Forward, &mut out.words),
            "pad" => backend.pad(&job.pad_job(), &mut out.words),
            "seal" => backend.seal(&job.seal_job(), &mut out.words, digits, &mut out.row),
            "encrypt" => backend.encrypt(&job, digits, &mut out.row),
            "sum" => backend.sum(&shape, &[before.row.as_slice(); 3], &mut out.words[..shape.accumulator_len()]),
            "decrypt" => {
                let (accumulator, job) = (
                    &before.words[..shape.accumulator_len()],
                    DecryptJob { encoding, a_seed, secret_sum, first_poly: 3 },
                );
                out.words.resize(digits.len(), 1);
                backend.decrypt(&job, accumulator, &mut out.words).map(drop)
            }
            "mask" => backend.dense(&dense(DenseKey::Mask(message_seed)), &mut out.words[..100]),
            "unmask" => backend.dense(&dense(DenseKey::Unmask(secret_sum)), &mut out.words[..100]),
            _ => panic!("{name} is none of {JOBS:?}"),
        }
    }
}

/// How often a job is tried in a sweep: more than its calls of the driver.
const TRIES: usize = 240;

/// A job again and again, each time on a device that was opened anew. The stand-in fails at another call each time: then the job must say
/// so and leave its outputs alone, or be right all the same.
fn sweep(name: &str) {
    let small = Small::new();
    let mut expected = small.before.clone();
    small.run(name, &Reference, &mut expected).expect("the definition never fails");
    let mut untouched = small.before.clone();
    untouched.words.resize(expected.words.len(), 1);
    let mut faults = 0;
    for trial in 1..=TRIES {
        let Ok(cuda) = Cuda::new() else {
            faults += 1;
            continue;
        };
        // Three pieces.
        let cuda = cuda.with_piece_bytes(2 * 4 * 3 * 256);
        let mut out = untouched.clone();
        let result = small.run(name, &cuda, &mut out);
        let right = if result.is_ok() { &expected } else { &untouched };
        assert!(out == *right, "{name}, call {trial} failed: {result:?}, and its outputs are wrong");
        faults += usize::from(result.is_err());
    }
    println!("{faults} faults");
}

/// One job again and again, in pieces of a polynomial.
fn repeat(cuda: &Cuda, name: &str, times: usize) {
    let small = Small::new();
    for _ in 0..times {
        small.run(name, cuda, &mut small.before.clone()).expect("the stand-in does every job");
    }
}

/// One of other primes, whose polynomials have as many bytes.
fn encoding_like(of: &Encoding) -> Encoding {
    let primes: &[u32] = if of.limbs().len() == 2 { &[1_071_513_601, 1_073_479_681] } else { &[1_073_479_681] };
    encoding(of.ring().n(), primes, of.bits(), of.base(), of.digits_per_coefficient() as u32)
}

/// Jobs on data that stays on the device, the round's polynomials expanded once.
fn resident(cuda: &Cuda) -> Result<(), Fault> {
    for encoding in
        [encoding(1024, &[4_169_729], 17, 1501, 1), encoding(4096, &[1_073_479_681, 1_071_513_601], 50, 25501, 3)]
    {
        let (ring, mut digits) = (encoding.ring(), Rand::new(8).words(2 * encoding.ring().n() + 9));
        digits[..8].fill(MARKED_WORD);
        let (a_seed, message_seed) = (&[5; 32], &Secret::new([MARK; 32]));
        let job = EncryptJob { encoding: &encoding, a_seed, message_seed, first_poly: 9 };
        let mut expected = vec![0; encoding.packed_len(digits.len())];
        Reference.encrypt(&job, &digits, &mut expected)?;
        let mut device = cuda.resident()?;
        let (message, public) =
            (device.upload(&digits)?, device.expand(ring, a_seed, 9, encoding.polys(digits.len()))?);
        let stride = expected.len().next_multiple_of(16);
        let rows = device.buffer(2 * stride)?;
        for public in [None, Some(&public)] {
            let mut row = vec![0xA5; expected.len()];
            device.encrypt(&job, public, message, digits.len(), rows)?;
            device.read_bytes(rows, &mut row)?;
            assert!(row == expected, "encrypt on the device, n = {}", ring.n());
        }
        let pad = device.buffer(4 * encoding.pad_len(digits.len()))?;
        device.pad(&job.pad_job(), pad, encoding.polys(digits.len()))?;
        device.seal(&job.seal_job(), pad, message, digits.len(), rows)?;
        let shape = encoding.shape(digits.len());
        let mut same = Rand::new(4).words(shape.accumulator_len());
        let accumulator = device.upload(&same)?;
        device.sum(&shape, rows, 1, accumulator)?;
        Reference.sum(&shape, &[&expected], &mut same)?;
        let mut got = vec![0; same.len()];
        device.read(accumulator, &mut got)?;
        assert!(got == same, "sum on the device, n = {}", ring.n());
        let secret_sum = &Secret::new(vec![MARKED_WORD as i32; ring.n()]);
        let open = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly: 9 };
        let mut opened = [vec![1; digits.len()], vec![2; digits.len()]];
        let noise = device.decrypt(&open, accumulator, message, digits.len())?;
        device.read(message, &mut opened[0])?;
        assert_eq!(noise, Reference.decrypt(&open, &same, &mut opened[1])?);
        assert!(opened[0] == opened[1], "decrypt on the device, n = {}", ring.n());
        assert_eq!(device.time_ns(|device| device.copy(accumulator, accumulator, 4))?, 0);
        // What comes and goes is to be erased too: the stand-in looks for it in memory that is freed.
        let (marked, mut read_back) = (device.upload(&[MARKED_WORD; 64])?, [0; 32]);
        device.read(marked.after(128), &mut read_back)?;
        assert_eq!(read_back, [MARKED_WORD; 32]);
        assert!(catch_unwind(AssertUnwindSafe(|| marked.after(272))).is_err(), "past a buffer's end");
        assert!(catch_unwind(AssertUnwindSafe(|| marked.after(4))).is_err(), "where no kernel can read");
        let other = cuda.resident()?.buffer(4)?;
        assert!(catch_unwind(AssertUnwindSafe(|| device.copy(other, other, 4))).is_err(), "another's buffer");
        let other = encoding_like(&encoding);
        let job = EncryptJob { encoding: &other, ..job };
        let wrong = || device.encrypt(&job, Some(&public), message, digits.len(), rows);
        assert!(catch_unwind(AssertUnwindSafe(wrong)).is_err(), "another ring's polynomials");
    }
    Ok(())
}
