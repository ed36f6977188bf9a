//! Runs one kernel with its secrets marked, for valgrind to watch: `valgrind taint KERNEL ISA [OPTION]`.
//!
//! With `--leaky=branch`, `--leaky=index` or `--leaky=division` it then does, with the kernel's output, what no kernel may
//! do: the watcher must complain.

use kernels::cpu::{Cpu, Isa};
use kernels::expand::Domain;
use kernels::{Backend, DecryptJob, DenseJob, DenseKey, Encoding, EncryptJob, Secret};
use std::hint::black_box;
use std::process::ExitCode;
use tensorguard_tests::{Rand, encoding, rings, taint};

/// Runs its kernel on one engine and hands over the outputs, still secret.
type Kernel = fn(&Cpu, &mut dyn FnMut(&mut [u32]));

const KERNELS: &[(&str, Kernel)] = &[
    ("expand", expand),
    ("draw", draw),
    ("pad", pad),
    ("seal", seal),
    ("encrypt", encrypt),
    ("decrypt", decrypt),
    ("mask", mask),
    ("unmask", unmask),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (kernel, isa, leak): (_, _, fn(u32)) = match arguments[..] {
        [kernel, isa] => (kernel, isa, |_| {}),
        [kernel, isa, "--leaky=branch"] => (kernel, isa, branch),
        [kernel, isa, "--leaky=index"] => (kernel, isa, index),
        [kernel, isa, "--leaky=division"] => (kernel, isa, divide),
        [kernel, isa, "--unwatched"] => (kernel, isa, |_| {}),
        _ => return refuse("usage: valgrind taint KERNEL ISA [--leaky=branch|index|division | --unwatched]"),
    };
    let Some((_, kernel)) = KERNELS.iter().find(|(name, _)| *name == kernel) else {
        let names: Vec<&str> = KERNELS.iter().map(|(name, _)| *name).collect();
        return refuse(&format!("no kernel {kernel}; there are {names:?}"));
    };
    let Some(cpu) = Isa::ALL.into_iter().find(|i| i.name() == isa).and_then(|isa| Cpu::with(isa, 1)) else {
        return refuse(&format!("no engine {isa} where this runs"));
    };
    let watched = taint::is_watched();
    // Unwatched it only computes: for other tools, and for the engines that valgrind cannot run.
    if !watched && !arguments.contains(&"--unwatched") {
        return refuse("valgrind does not watch: nothing would be seen");
    }
    let mut sum = 0u32;
    let mut open = 0;
    kernel(&cpu, &mut |output| {
        open += output.len() - taint::hidden(output);
        output.iter().take(1).copied().for_each(leak);
        taint::reveal(output);
        sum = output.iter().fold(sum, |sum, word| sum.wrapping_mul(31).wrapping_add(*word));
    });
    if watched && open > 0 {
        return refuse(&format!("{open} words of the output do not depend on the secrets: the marks got lost"));
    }
    println!("checksum {sum:08x}");
    ExitCode::SUCCESS
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::from(2)
}

/// What must be reported: a jump that depends on a secret.
#[inline(never)]
fn branch(secret: u32) {
    if black_box(secret).count_ones() > 15 {
        println!("many ones");
    }
}

/// What must be reported: an address that depends on a secret.
#[inline(never)]
fn index(secret: u32) {
    let table = black_box([7u8; 256]);
    black_box(table[usize::from(black_box(secret) as u8)]);
}

/// What must be found in the compiled program: a division by a secret. Valgrind does not report it.
#[inline(never)]
fn divide(secret: u32) {
    black_box(black_box(7) / black_box(secret | 1));
}

/// The suites' encodings, and one whose transforms have stages outside a block of the first-level cache.
fn encodings() -> Vec<Encoding> {
    let mut encodings = rings();
    encodings.push(encoding(16384, &[1_073_479_681], 21, 25501, 1));
    encodings
}

/// A whole polynomial and a bit.
fn len(encoding: &Encoding) -> usize {
    (encoding.ring().n() + 9) * encoding.digits_per_coefficient() - 1
}

fn seed(rand: &mut Rand) -> Secret<[u8; 32]> {
    let mut seed = rand.secret();
    taint::hide(seed.expose_mut());
    seed
}

fn secret_sum(rand: &mut Rand, len: usize) -> Secret<Vec<i32>> {
    let mut sum = Secret::new((0..len).map(|_| rand.next() as i32 >> 16).collect::<Vec<_>>());
    taint::hide(sum.expose_mut());
    sum
}

fn words(rand: &mut Rand, len: usize) -> Vec<u32> {
    let mut words = rand.words(len);
    taint::hide(&mut words);
    words
}

/// Bytes that are about to be published, as words: one for each, so that every byte is looked at.
fn bytes(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().map(|&byte| byte.into()).collect()
}

/// Sampling alone, as raw words; the coefficients made of them are in `pad` and `mask`.
fn expand(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    let seed = seed(&mut Rand::new(1));
    for (domain, len) in [(Domain::S, 256), (Domain::E, 1024), (Domain::E, 403)] {
        let mut out = vec![0; len];
        cpu.expand(seed.expose(), domain, 3, 0, &mut out);
        sink(&mut out);
    }
}

/// Coefficients added to a sum of secrets.
fn draw(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    let seed = seed(&mut Rand::new(8));
    for len in [256, 1020] {
        let mut sum = vec![0; len];
        cpu.small_add(seed.expose(), Domain::S, 0, &mut sum);
        sink(&mut sum.into_iter().map(i32::cast_unsigned).collect::<Vec<_>>());
    }
}

fn pad(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for encoding in &encodings() {
        let (mut rand, digits) = (Rand::new(2), len(encoding));
        let (a_seed, message_seed) = (rand.seed(), seed(&mut rand));
        let job = EncryptJob { encoding, a_seed: &a_seed, message_seed: &message_seed, first_poly: 7 };
        let mut out = vec![0; encoding.pad_len(digits)];
        cpu.pad(&job.pad_job(), &mut out).expect("a CPU has no faults");
        sink(&mut out);
    }
}

fn seal(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for encoding in &encodings() {
        let (mut rand, digits, n) = (Rand::new(3), len(encoding), encoding.ring().n());
        let primes = || encoding.ring().plans().iter().map(|plan| u64::from(plan.modulus().value()));
        let limbs = primes().flat_map(|p| std::iter::repeat_n(p, n)).cycle();
        let residues = limbs.take(encoding.pad_len(digits)).map(|p| (rand.next() % p) as u32);
        let mut pad: Vec<u32> = residues.collect();
        taint::hide(&mut pad);
        let digits = words(&mut rand, digits);
        let mut out = vec![0; encoding.packed_len(digits.len())];
        let job = kernels::SealJob { encoding };
        cpu.seal(&job, &mut pad, &digits, &mut out).expect("a CPU has no faults");
        assert_eq!(taint::hidden(&pad), 0, "the pad is zeroed");
        sink(&mut bytes(&out));
    }
}

fn encrypt(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for encoding in &encodings() {
        let mut rand = Rand::new(4);
        let (a_seed, message_seed, digits) = (rand.seed(), seed(&mut rand), words(&mut rand, len(encoding)));
        let job = EncryptJob { encoding, a_seed: &a_seed, message_seed: &message_seed, first_poly: 7 };
        let mut out = vec![0; encoding.packed_len(digits.len())];
        cpu.encrypt(&job, &digits, &mut out).expect("a CPU has no faults");
        sink(&mut bytes(&out));
    }
}

fn decrypt(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for encoding in &encodings() {
        let (mut rand, digits) = (Rand::new(5), len(encoding));
        let (a_seed, secret_sum) = (rand.seed(), secret_sum(&mut rand, encoding.ring().n()));
        let accumulator = rand.words(encoding.shape(digits).accumulator_len());
        let job = DecryptJob { encoding, a_seed: &a_seed, secret_sum: &secret_sum, first_poly: 7 };
        let mut out = vec![0; digits];
        cpu.decrypt(&job, &accumulator, &mut out).expect("a CPU has no faults");
        sink(&mut out);
    }
}

fn mask(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for (dimension, bits) in [(1024, 32), (784, 17)] {
        let mut rand = Rand::new(6);
        let (a_seed, seed, mut rows) = (rand.seed(), seed(&mut rand), words(&mut rand, 19));
        let key = DenseKey::Mask(&seed);
        let job = DenseJob { a_seed: &a_seed, dimension, bits, first_row: 3, key };
        cpu.dense(&job, &mut rows).expect("a CPU has no faults");
        sink(&mut rows);
    }
}

fn unmask(cpu: &Cpu, sink: &mut dyn FnMut(&mut [u32])) {
    for (dimension, bits) in [(1024, 32), (784, 17)] {
        let mut rand = Rand::new(7);
        let (a_seed, sum, mut rows) = (rand.seed(), secret_sum(&mut rand, dimension), rand.words(19));
        let key = DenseKey::Unmask(&sum);
        let job = DenseJob { a_seed: &a_seed, dimension, bits, first_row: 3, key };
        cpu.dense(&job, &mut rows).expect("a CPU has no faults");
        sink(&mut rows);
    }
}
