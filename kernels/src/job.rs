//! What a backend is asked to do. A job borrows everything, so making one costs nothing.

use crate::{Encoding, Ring, Secret};

/// Make the message-independent part of a ciphertext.
#[derive(Clone, Copy, Debug)]
pub struct PadJob<'a> {
    /// The ring.
    pub ring: &'a Ring,
    /// The round's public seed, from which every `a_j` is expanded.
    pub a_seed: &'a [u8; 32],
    /// This message's own seed, from which `s` and every `e_j` are expanded. Never used for two messages.
    pub message_seed: &'a Secret<[u8; 32]>,
    /// Number of the first polynomial.
    pub first_poly: u32,
}

/// Put digits into a pad and pack the result.
#[derive(Clone, Copy, Debug)]
pub struct SealJob<'a> {
    /// How digits become wire bits.
    pub encoding: &'a Encoding,
}

/// [`PadJob`] and [`SealJob`] at once.
#[derive(Clone, Copy, Debug)]
pub struct EncryptJob<'a> {
    /// How digits become wire bits.
    pub encoding: &'a Encoding,
    /// The round's public seed.
    pub a_seed: &'a [u8; 32],
    /// This message's own seed. Never used for two messages.
    pub message_seed: &'a Secret<[u8; 32]>,
    /// Number of the first polynomial.
    pub first_poly: u32,
}

impl<'a> EncryptJob<'a> {
    /// The first half.
    #[must_use]
    pub fn pad_job(&self) -> PadJob<'a> {
        let Self { encoding, a_seed, message_seed, first_poly } = *self;
        PadJob { ring: encoding.ring(), a_seed, message_seed, first_poly }
    }

    /// The second half.
    #[must_use]
    pub fn seal_job(&self) -> SealJob<'a> {
        SealJob { encoding: self.encoding }
    }

    /// # Panics
    /// If a length does not fit the digits, or the polynomials run past number 2^32 - 1.
    pub fn check(&self, digits: &[u32], out: &[u8]) {
        assert_eq!(out.len(), self.encoding.packed_len(digits.len()), "the output must have the digits' packed length");
        check_polys(self.first_poly, self.encoding.polys(digits.len()));
    }
}

impl PadJob<'_> {
    /// How many polynomials `out` holds.
    ///
    /// # Panics
    /// If that is no whole number, or they run past number 2^32 - 1.
    pub fn polys(&self, out: &[u32]) -> usize {
        let words = self.ring.n() * self.ring.plans().len();
        assert!(out.len().is_multiple_of(words), "a pad is a whole number of polynomials, all limbs of each");
        check_polys(self.first_poly, out.len() / words);
        out.len() / words
    }
}

impl SealJob<'_> {
    /// # Panics
    /// If a length does not fit the digits.
    pub fn check(&self, pad: &[u32], digits: &[u32], out: &[u8]) {
        assert_eq!(pad.len(), self.encoding.pad_len(digits.len()), "the pad must have the digits' polynomials");
        assert_eq!(out.len(), self.encoding.packed_len(digits.len()), "the output must have the digits' packed length");
    }
}

/// Packed words: how many, of how many bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Bits of one word, 1 to 57.
    pub bits: u32,
    /// Words in a row.
    pub coefficients: usize,
}

impl Shape {
    /// Bytes of a packed row: words of `bits` bits, lowest bit first, one after the other.
    #[must_use]
    pub fn packed_len(&self) -> usize {
        // Split, so that no length a platform can hold overflows.
        let (eights, rest) = (self.coefficients / 8, self.coefficients % 8);
        eights * self.bits as usize + (rest * self.bits as usize).div_ceil(8)
    }

    /// `u32` words that hold one value: two where a value has more than 32 bits.
    #[must_use]
    pub fn words_per_value(&self) -> usize {
        if self.bits > 32 { 2 } else { 1 }
    }

    /// Words of an accumulator.
    #[must_use]
    pub fn accumulator_len(&self) -> usize {
        self.coefficients * self.words_per_value()
    }

    /// The low `bits` bits.
    #[must_use]
    pub fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    /// # Panics
    /// If the bits are out of range or a length does not fit.
    pub fn check(&self, rows: &[&[u8]], accumulator: &[u32]) {
        assert!((1..=57).contains(&self.bits), "words have 1 to 57 bits");
        assert_eq!(accumulator.len(), self.accumulator_len(), "the accumulator must have the shape's length");
        let bytes = self.packed_len();
        assert!(rows.iter().all(|row| row.len() == bytes), "every row must have the shape's packed length");
    }
}

/// Open a sum.
#[derive(Clone, Copy, Debug)]
pub struct DecryptJob<'a> {
    /// How digits became wire bits.
    pub encoding: &'a Encoding,
    /// The round's public seed.
    pub a_seed: &'a [u8; 32],
    /// The sum of the messages' secrets, coefficient by coefficient: n of them.
    pub secret_sum: &'a Secret<Vec<i32>>,
    /// Number of the first polynomial.
    pub first_poly: u32,
}

impl DecryptJob<'_> {
    /// # Panics
    /// If a length does not fit the digits, or the polynomials run past number 2^32 - 1.
    pub fn check(&self, accumulator: &[u32], digits: &[u32]) {
        let shape = self.encoding.shape(digits.len());
        assert_eq!(self.secret_sum.expose().len(), self.encoding.ring().n(), "the secret has n coefficients");
        assert_eq!(accumulator.len(), shape.accumulator_len(), "the accumulator must have the digits' length");
        check_polys(self.first_poly, self.encoding.polys(digits.len()));
    }
}

/// What the noise of a decrypted sum looked like. Adding the parts of a split job gives the whole job's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// Coefficients opened, the refused among them.
    pub coefficients: u64,
    /// Coefficients whose value was not below `B^rho`: no honest sum has any. Their digits are zero, and they do not
    /// enter the figures below.
    pub refused: u64,
    /// The largest magnitude.
    pub max_abs: u64,
    /// The sum.
    pub sum: i128,
    /// The sum of squares.
    pub sum_squares: u128,
}

impl core::ops::Add for Noise {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            coefficients: self.coefficients + other.coefficients,
            refused: self.refused + other.refused,
            max_abs: self.max_abs.max(other.max_abs),
            sum: self.sum + other.sum,
            sum_squares: self.sum_squares + other.sum_squares,
        }
    }
}

/// Rows of unstructured LWE under the shared matrix `A` that `a_seed` expands to.
#[derive(Clone, Copy, Debug)]
pub struct DenseJob<'a> {
    /// The public seed of `A`.
    pub a_seed: &'a [u8; 32],
    /// Length of a row of `A`, a multiple of 16.
    pub dimension: usize,
    /// Rows are mod 2^bits, 1 to 32.
    pub bits: u32,
    /// Number of the first row.
    pub first_row: u32,
    /// What to do, and with which key.
    pub key: DenseKey<'a>,
}

/// The two uses of a row of `A`.
#[derive(Clone, Copy, Debug)]
pub enum DenseKey<'a> {
    /// Add `<A_i, s> + e_i`, both from this message's own seed.
    Mask(&'a Secret<[u8; 32]>),
    /// Subtract `<A_i, S>` for a sum of secrets.
    Unmask(&'a Secret<Vec<i32>>),
}

impl DenseJob<'_> {
    /// # Panics
    /// If the numbers are out of range.
    pub fn check(&self, rows: &[u32]) {
        assert!((1..=32).contains(&self.bits), "rows have 1 to 32 bits");
        assert!(self.dimension > 0 && self.dimension.is_multiple_of(16), "the dimension is a multiple of 16");
        if let DenseKey::Unmask(secret) = self.key {
            assert_eq!(secret.expose().len(), self.dimension, "the secret has the job's dimension");
        }
        check_polys(self.first_row, rows.len());
    }
}

fn check_polys(first: u32, count: usize) {
    assert!(count as u64 <= (1 << 32) - u64::from(first), "polynomials are numbered below 2^32");
}
