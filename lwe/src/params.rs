//! THE parameter page: which suites there are, and how hard each is said to be to break. docs/PARAMETERS.md shows the same
//! numbers with their derivation; a test keeps the two equal.

use crate::hash::hash_fields;
use core::fmt;
use kernels::{Ring, RingError};

/// A ring suite: dimension, primes, the most wire bits, and the estimates that let it be used.
///
/// The secret and the errors are CBD(32), standard deviation 4, for every suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    name: &'static str,
    n: usize,
    primes: &'static [u32],
    max_wire_bits: u32,
    estimate: Estimate,
}

/// A suite of plain LWE without a ring: see [`crate::dense`]. Secrets and errors as in [`Params`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenseParams {
    name: &'static str,
    dimension: usize,
    bits: u32,
    estimate: Estimate,
}

/// Base-two logarithms of the work to break a suite, samples unbounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// MATZOV, classical.
    pub classical: u32,
    /// ChaLoy core-SVP, quantum.
    pub quantum: u32,
    /// The same where the sum of the secrets is public and two robots are honest.
    pub quantum_with_public_sum: u32,
}

/// What "128-bit" means here: both columns reach it.
pub const LEAST_SECURITY: u32 = 128;

/// Ends the name of a suite that protects nothing.
pub const INSECURE: &str = "_INSECURE";

/// Why a suite is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamsError {
    /// There is no such ring.
    Ring(RingError),
    /// More wire bits than the ring or the kernels allow.
    WireBits(u32),
    /// A dense suite's dimension that is no multiple of 16, or its bits that are no 8 to 32.
    Dense {
        /// The dimension.
        dimension: usize,
        /// Bits of a word.
        bits: u32,
    },
    /// Estimates below [`LEAST_SECURITY`] under a name that does not say so.
    Weak(Estimate),
}

impl fmt::Display for ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::WireBits(bits) => write!(f, "{bits} wire bits at most: must be 1 to 57 and below log2 q"),
            Self::Dense { dimension, bits } => write!(
                f,
                "dimension {dimension} and words of {bits} bits: must be a multiple of 16 up to 32768, and 8 to 32"
            ),
            Self::Weak(estimate) => write!(
                f,
                "estimated at {} bits classical and {} quantum, below {LEAST_SECURITY}: take a named suite, or end the \
                 name in {INSECURE} if it is for tests",
                estimate.classical, estimate.quantum
            ),
        }
    }
}

impl core::error::Error for ParamsError {}

impl Params {
    /// The default: two 30-bit primes, everything up to 10,000 robots.
    pub const FL_4096_60: Self = Self {
        name: "FL-4096-60",
        n: 4096,
        primes: &[1_073_479_681, 1_071_513_601],
        max_wire_bits: 55,
        estimate: Estimate { classical: 254, quantum: 204, quantum_with_public_sum: 199 },
    };

    /// One prime: up to 1000 robots at 8 bits.
    pub const FL_2048_30: Self = Self {
        name: "FL-2048-30",
        n: 2048,
        primes: &[1_073_479_681],
        max_wire_bits: 28,
        estimate: Estimate { classical: 264, quantum: 215, quantum_with_public_sum: 206 },
    };

    /// For small devices: 4 bits from 100 robots, 8 bits from 10.
    pub const FL_1024_22: Self = Self {
        name: "FL-1024-22",
        n: 1024,
        primes: &[4_169_729],
        max_wire_bits: 20,
        estimate: Estimate { classical: 180, quantum: 139, quantum_with_public_sum: 131 },
    };

    /// For tests of the rounding: q / 2^l is near 4 at 11 wire bits. Protects nothing.
    pub const TOY_256_13_INSECURE: Self = Self {
        name: "TOY-256-13_INSECURE",
        n: 256,
        primes: &[7681],
        max_wire_bits: 11,
        estimate: Estimate { classical: 0, quantum: 0, quantum_with_public_sum: 0 },
    };

    /// The suites to choose from.
    pub const NAMED: [Self; 3] = [Self::FL_4096_60, Self::FL_2048_30, Self::FL_1024_22];

    /// A suite of your own, with its estimate from the estimator of docs/PARAMETERS.md.
    ///
    /// # Errors
    /// [`ParamsError`] says what does not fit.
    pub fn checked(
        name: &'static str,
        n: usize,
        primes: &'static [u32],
        max_wire_bits: u32,
        estimate: Estimate,
    ) -> Result<Self, ParamsError> {
        let ring = Ring::new(n, primes).map_err(ParamsError::Ring)?;
        if !(1..=57).contains(&max_wire_bits) || 1 << max_wire_bits >= ring.q() {
            return Err(ParamsError::WireBits(max_wire_bits));
        }
        estimate.check(name)?;
        Ok(Self { name, n, primes, max_wire_bits, estimate })
    }

    /// The suite's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The dimension of the ring.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// The primes of q.
    #[must_use]
    pub fn primes(&self) -> &'static [u32] {
        self.primes
    }

    /// The most wire bits of a coefficient.
    #[must_use]
    pub fn max_wire_bits(&self) -> u32 {
        self.max_wire_bits
    }

    /// How hard the suite is said to be to break.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// Names the suite by everything in it: two suites with one name and other numbers have other ids.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let primes: Vec<u8> = self.primes.iter().flat_map(|p| p.to_le_bytes()).collect();
        let numbers = [self.n as u64, u64::from(self.max_wire_bits)].map(u64::to_le_bytes).concat();
        hash_fields("params", &[self.name.as_bytes(), &numbers, &primes])
    }

    /// The ring, with its tables.
    ///
    /// # Panics
    /// Never for a named or checked suite: both have a ring.
    #[must_use]
    pub fn ring(&self) -> Ring {
        Ring::new(self.n, self.primes).expect("a named or checked suite has a ring")
    }
}

impl DenseParams {
    /// 22 bits per value: up to 35 robots at 8 bits, 237 at 4. The estimates are those of its dimension, modulus and noise, as
    /// for FL-1024-22; both count on no structure.
    pub const LWE_1024_22: Self = Self {
        name: "LWE-1024-22",
        dimension: 1024,
        bits: 22,
        estimate: Estimate { classical: 180, quantum: 139, quantum_with_public_sum: 130 },
    };

    /// For tests: small and fast. Protects nothing.
    pub const TOY_LWE_64_22_INSECURE: Self = Self {
        name: "TOY-LWE-64-22_INSECURE",
        dimension: 64,
        bits: 22,
        estimate: Estimate { classical: 0, quantum: 0, quantum_with_public_sum: 0 },
    };

    /// A suite of your own, with its estimate from the estimator of docs/PARAMETERS.md.
    ///
    /// # Errors
    /// [`ParamsError`] says what does not fit.
    pub fn checked(name: &'static str, dimension: usize, bits: u32, estimate: Estimate) -> Result<Self, ParamsError> {
        let fits = dimension.is_multiple_of(16) && (16..=1 << 15).contains(&dimension) && (8..=32).contains(&bits);
        if !fits {
            return Err(ParamsError::Dense { dimension, bits });
        }
        estimate.check(name)?;
        Ok(Self { name, dimension, bits, estimate })
    }

    /// The suite's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Length of a secret, and of a row of the matrix.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Bits of a word: the modulus is two to this power.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// How hard the suite is said to be to break.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// Names the suite by everything in it, as [`Params::id`] does.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        let numbers = [self.dimension as u64, u64::from(self.bits)].map(u64::to_le_bytes).concat();
        hash_fields("dense params", &[self.name.as_bytes(), &numbers])
    }
}

impl Estimate {
    /// Whether a suite with this name may have it.
    fn check(self, name: &str) -> Result<(), ParamsError> {
        let weakest = self.classical.min(self.quantum).min(self.quantum_with_public_sum);
        if weakest < LEAST_SECURITY && !name.ends_with(INSECURE) { Err(ParamsError::Weak(self)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dense_suites_pass_the_check_for_others_and_have_ids_of_their_own() {
        for suite in [DenseParams::LWE_1024_22, DenseParams::TOY_LWE_64_22_INSECURE] {
            let again = DenseParams::checked(suite.name, suite.dimension, suite.bits, suite.estimate);
            assert_eq!(again, Ok(suite));
        }
        let own = |dimension, bits| DenseParams::checked("MINE", dimension, bits, Params::FL_1024_22.estimate);
        for (dimension, bits) in [(1000, 22), (0, 22), (1024, 7), (1024, 33), (1 << 16, 22)] {
            assert_eq!(own(dimension, bits), Err(ParamsError::Dense { dimension, bits }));
        }
        let weak = Estimate { classical: 127, ..Params::FL_1024_22.estimate };
        assert_eq!(DenseParams::checked("MINE", 1024, 22, weak), Err(ParamsError::Weak(weak)));
        let ids = [own(1024, 22).unwrap().id(), own(1024, 21).unwrap().id(), DenseParams::LWE_1024_22.id()];
        assert!(ids[0] != ids[1] && ids[0] != ids[2]);
    }

    #[test]
    fn named_suites_pass_the_check_for_others() {
        for suite in Params::NAMED.into_iter().chain([Params::TOY_256_13_INSECURE]) {
            let again = Params::checked(suite.name, suite.n, suite.primes, suite.max_wire_bits, suite.estimate);
            assert_eq!(again, Ok(suite));
        }
    }

    #[test]
    fn weak_suites_need_a_name_that_says_so() {
        let weak = Estimate { classical: 128, quantum: 127, quantum_with_public_sum: 128 };
        let checked = |name| Params::checked(name, 1024, &[4_169_729], 20, weak);
        assert_eq!(checked("MINE"), Err(ParamsError::Weak(weak)));
        assert!(checked("MINE_INSECURE").is_ok());
    }

    #[test]
    fn ids_differ_where_any_number_does() {
        let mut ids: Vec<_> = Params::NAMED.iter().map(Params::id).collect();
        let mut narrower = Params::FL_4096_60;
        narrower.max_wire_bits -= 1;
        ids.push(narrower.id());
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
    }
}
