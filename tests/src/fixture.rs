//! What the cases are made from: repeatable words, the suites' encodings, and a backend that fails on request.

use kernels::{
    Backend, DecryptJob, DenseJob, Direction, Encoding, EncryptJob, Fault, Noise, PadJob, Plan, Ring, SealJob, Secret,
    Shape,
};
use std::sync::Mutex;

/// Repeatable words (splitmix64): not random, only without pattern.
#[derive(Clone, Debug)]
pub struct Rand(u64);

impl Rand {
    /// A sequence for each `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits. They never end, so this is no iterator.
    #[allow(clippy::should_implement_trait, reason = "an endless sequence needs no Option")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// `len` words; every eighth is one at which arithmetic likes to break.
    pub fn words(&mut self, len: usize) -> Vec<u32> {
        let hostile = [0, 1, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX];
        let word = |(i, word): (usize, u64)| if i % 8 == 3 { hostile[word as usize % 8] } else { word as u32 };
        (0..len).map(|i| (i, self.next())).map(word).collect()
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// A seed.
    pub fn seed(&mut self) -> [u8; 32] {
        core::array::from_fn(|_| self.next() as u8)
    }

    /// A secret seed.
    pub fn secret(&mut self) -> Secret<[u8; 32]> {
        Secret::new(self.seed())
    }
}

/// An encoding that is known to be valid.
///
/// # Panics
/// If it is not.
#[must_use]
pub fn encoding(n: usize, primes: &[u32], bits: u32, base: u64, digits: u32) -> Encoding {
    let ring = Ring::new(n, primes).expect("a test's ring is valid");
    Encoding::new(ring, bits, base, digits).expect("a test's encoding is valid")
}

/// The suites' encodings, and the smallest and largest rings.
#[must_use]
pub fn rings() -> Vec<Encoding> {
    let [p1, p2, p3, p22] = [1_073_479_681, 1_071_513_601, 1_070_727_169, 4_169_729];
    vec![
        encoding(4096, &[p1, p2], 50, 25501, 3),
        encoding(2048, &[p1], 21, 25501, 1),
        encoding(1024, &[p22], 17, 1501, 1),
        encoding(256, &[p3, p22], 33, 16, 4),
        encoding(256, &[p22], 12, 2, 3),
    ]
}

/// A backend that fails the first `faults` jobs it is given, then passes them on: what a ladder must survive.
#[derive(Debug)]
pub struct Flaky<B> {
    inner: B,
    faults: Mutex<Vec<Fault>>,
}

impl<B> Flaky<B> {
    /// Fails once with each of `faults`, last first, then works like `inner`.
    pub fn new(inner: B, faults: Vec<Fault>) -> Self {
        Self { inner, faults: Mutex::new(faults) }
    }

    fn fail(&self) -> Result<(), Fault> {
        let next = self.faults.lock().expect("no holder of this lock panics").pop();
        next.map_or(Ok(()), Err)
    }
}

impl<B: Backend> Backend for Flaky<B> {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.ntt(plan, direction, polys))
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.pad(job, out))
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.seal(job, pad, digits, out))
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.encrypt(job, digits, out))
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.sum(shape, rows, accumulator))
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        self.fail().and_then(|()| self.inner.decrypt(job, accumulator, digits))
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        self.fail().and_then(|()| self.inner.dense(job, rows))
    }
}
