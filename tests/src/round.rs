//! A round with all its numbers: what property tests and the fuzzer make up at random, then run on a backend.

use crate::Rand;
use kernels::expand::{Domain, small};
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Noise, PadJob, SealJob, Secret, Shape,
};

/// What all robots agree on, and where the round's other numbers come from.
#[derive(Debug)]
pub struct Round {
    /// Ring and digits.
    pub encoding: Encoding,
    /// How many messages are added.
    pub robots: usize,
    /// Digits of a message.
    pub len: usize,
    /// Number of the first polynomial.
    pub first_poly: u32,
    /// Everything else comes from here.
    pub seed: u64,
}

/// What came out of one job of every kind.
pub type Everything = (Vec<(&'static str, Vec<u32>)>, Noise);

impl Round {
    /// The public seed: the first that comes from `seed`.
    #[must_use]
    pub fn a_seed(&self) -> [u8; 32] {
        Rand::new(self.seed).seed()
    }

    /// Messages whose digit sums stay below the base, and those sums.
    pub fn messages(&self, rand: &mut Rand) -> (Vec<Vec<u32>>, Vec<u32>) {
        let mut sums = vec![0u32; self.len];
        let messages = (0..self.robots).map(|_| {
            let below = |sum: &mut u32| {
                let room = self.encoding.base() - u64::from(*sum);
                // Now and then all the room there is.
                let digit = if rand.next().is_multiple_of(5) { room - 1 } else { rand.next() % room } as u32;
                *sum += digit;
                digit
            };
            sums.iter_mut().map(below).collect()
        });
        (messages.collect(), sums)
    }

    fn encrypt(&self, backend: &dyn Backend, a_seed: &[u8; 32], seed: &Secret<[u8; 32]>, digits: &[u32]) -> Vec<u8> {
        let Self { encoding, first_poly, .. } = self;
        let job = EncryptJob { encoding, a_seed, message_seed: seed, first_poly: *first_poly };
        let mut out = vec![0xA5; encoding.packed_len(digits.len())];
        backend.encrypt(&job, digits, &mut out).expect("CPU backends do not fail");
        out
    }

    /// Encrypts, adds and opens.
    pub fn run(&self, backend: &dyn Backend, messages: &[Vec<u32>]) -> (Vec<u32>, Noise) {
        let mut rand = Rand::new(self.seed);
        let a_seed = rand.seed();
        let seeds: Vec<_> = messages.iter().map(|_| rand.secret()).collect();
        let rows = messages.iter().zip(&seeds).map(|(digits, seed)| self.encrypt(backend, &a_seed, seed, digits));
        let mut accumulator = vec![0; self.encoding.shape(self.len).accumulator_len()];
        add_to(backend, self.encoding.shape(self.len), &rows.collect::<Vec<_>>(), &mut accumulator);
        let secret_sum = &secret_sum(self.encoding.ring().n(), &seeds);
        let job = DecryptJob { encoding: &self.encoding, a_seed: &a_seed, secret_sum, first_poly: self.first_poly };
        let mut digits = vec![0xDEAD_BEEF; self.len];
        let noise = backend.decrypt(&job, &accumulator, &mut digits).expect("CPU backends do not fail");
        (digits, noise)
    }

    /// One job of every kind on hostile words: everything that came out, each with the name of its kernel.
    pub fn everything(&self, backend: &dyn Backend) -> Everything {
        let (encoding, ring) = (&self.encoding, self.encoding.ring());
        let mut rand = Rand::new(self.seed);
        let (a_seed, message_seed) = (&rand.seed(), &rand.secret());
        assert_eq!(*a_seed, self.a_seed());
        let mut outputs = Vec::new();
        for (plan, direction) in ring.plans().iter().flat_map(|p| [(p, Direction::Forward), (p, Direction::Inverse)]) {
            let mut polys = rand.words(ring.n() * (1 + self.len % 7));
            backend.ntt(plan, direction, &mut polys).expect("CPU backends do not fail");
            outputs.push(("ntt", polys));
        }
        let digits = rand.words(self.len);
        let mut pad = rand.words(encoding.pad_len(self.len));
        let job = PadJob { ring, a_seed, message_seed, first_poly: self.first_poly };
        backend.pad(&job, &mut pad).expect("CPU backends do not fail");
        outputs.push(("pad", pad.clone()));
        let mut sealed = vec![0x5A; encoding.packed_len(self.len)];
        backend.seal(&SealJob { encoding }, &mut pad, &digits, &mut sealed).expect("CPU backends do not fail");
        outputs.push(("seal's pad", pad));
        outputs.push(("seal", sealed.iter().map(|&byte| byte.into()).collect()));
        let row = self.encrypt(backend, a_seed, message_seed, &digits);
        assert!(row == sealed, "{}: encrypt is not pad and seal", backend.name());
        let shape = encoding.shape(self.len);
        let mut accumulator = rand.words(shape.accumulator_len());
        let mut rows: Vec<Vec<u8>> = (0..rand.next() % 9).map(|_| rand.bytes(row.len())).collect();
        rows.push(row);
        add_to(backend, shape, &rows, &mut accumulator);
        outputs.push(("sum", accumulator));
        let secret: Vec<i32> = (0..ring.n().max(1024)).map(|_| rand.next() as i32 >> 1).collect();
        let limit = (1 << 30) - 1;
        let secret_sum = &Secret::new(secret[..ring.n()].iter().map(|&s| s.clamp(-limit, limit)).collect());
        let mut opened = vec![0xDEAD_BEEF; self.len];
        let job = DecryptJob { encoding, a_seed, secret_sum, first_poly: self.first_poly };
        let words = rand.words(shape.accumulator_len());
        let noise = backend.decrypt(&job, &words, &mut opened).expect("CPU backends do not fail");
        outputs.push(("decrypt", opened));
        let (dimension, bits) = (16 * (1 + rand.next() as usize % 64), 1 + rand.next() as u32 % 32);
        for key in [DenseKey::Mask(message_seed), DenseKey::Unmask(&Secret::new(secret[..dimension].to_vec()))] {
            let mut rows = rand.words(self.len % 40);
            let job = DenseJob { a_seed, dimension, bits, first_row: self.first_poly & !0xFF, key };
            backend.dense(&job, &mut rows).expect("CPU backends do not fail");
            outputs.push(("dense", rows));
        }
        (outputs, noise)
    }
}

/// Adds rows to what is there.
pub fn add_to(backend: &dyn Backend, shape: Shape, rows: &[Vec<u8>], accumulator: &mut [u32]) {
    let rows: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
    backend.sum(&shape, &rows, accumulator).expect("CPU backends do not fail");
}

/// The sum of the secrets of some messages.
#[must_use]
pub fn secret_sum(n: usize, seeds: &[Secret<[u8; 32]>]) -> Secret<Vec<i32>> {
    let mut sum = Secret::new(vec![0; n]);
    for seed in seeds {
        let mut s = vec![0; n];
        small(seed.expose(), Domain::S, 0, &mut s);
        sum.expose_mut().iter_mut().zip(s).for_each(|(sum, s)| *sum += s);
    }
    sum
}
