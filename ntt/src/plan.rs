//! What a transform of one size mod one prime needs: roots of unity in bit-reversed order, each with its Shoup quotient.

use crate::{Modulus, ModulusError, Shoup};
use core::fmt;
use core::iter::repeat_n;
use std::sync::OnceLock;

/// The tables of a negacyclic transform mod `X^n + 1`. Immutable, so one plan serves every thread.
///
/// Entry `i >= 1` of the forward table is `psi^bitrev(i)`, of the inverse table `psi^-bitrev(i)`, with bits reversed over
/// `log2 n` bits: a stage of `k` blocks reads entries `k..2k` in order.
#[derive(Clone)]
pub struct Plan {
    modulus: Modulus,
    n: usize,
    psi: u32,
    one: Shoup,
    n_inverse: Shoup,
    forward: Table,
    inverse: Table,
}

#[derive(Clone)]
struct Table {
    factors: Vec<u32>,
    quotients: Vec<u32>,
    /// Made when first asked for: an engine asks for one block length.
    blocks: [OnceLock<Vec<u32>>; 3],
}

/// A prime and a length decide all the rest.
impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        (self.modulus, self.n) == (other.modulus, other.n)
    }
}

impl Eq for Plan {}

/// Why there is no transform of this size mod this prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The modulus itself is no good.
    Modulus(ModulusError),
    /// `n` is not a power of two between [`Plan::MIN_N`] and [`Plan::MAX_N`].
    Size(usize),
    /// `p` is not 1 mod 2n, so no root of unity of order 2n exists.
    NoRoot {
        /// The prime.
        p: u32,
        /// The transform length.
        n: usize,
    },
}

impl From<ModulusError> for PlanError {
    fn from(error: ModulusError) -> Self {
        Self::Modulus(error)
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modulus(error) => error.fmt(f),
            Self::Size(n) => {
                write!(f, "transform length {n}: must be a power of two from {} to {}", Plan::MIN_N, Plan::MAX_N)
            }
            Self::NoRoot { p, n } => {
                write!(f, "modulus {p} has no transform of length {n}: choose a prime = 1 mod {}", 2 * n)
            }
        }
    }
}

impl core::error::Error for PlanError {}

impl Plan {
    /// The shortest transform.
    pub const MIN_N: usize = 256;
    /// The longest transform.
    pub const MAX_N: usize = 32768;

    /// The transform of length `n` mod `modulus`, with `psi = g^((p-1)/2n)` for the first `g = 2, 3, ..` that gives
    /// `psi^n = -1`.
    ///
    /// # Errors
    /// [`PlanError`] if `n` is out of range or no power of two, or the prime is not 1 mod 2n.
    pub fn new(modulus: Modulus, n: usize) -> Result<Self, PlanError> {
        if !n.is_power_of_two() || !(Self::MIN_N..=Self::MAX_N).contains(&n) {
            return Err(PlanError::Size(n));
        }
        let p = modulus.value();
        // n <= 32768, so this and the exponents below fit u32.
        let order = 2 * n as u32;
        if p % order != 1 {
            return Err(PlanError::NoRoot { p, n });
        }
        let psi = (2..p)
            .map(|g| modulus.pow(g, (p - 1) / order))
            .find(|&psi| modulus.pow(psi, order / 2) == p - 1)
            .ok_or(PlanError::NoRoot { p, n })?;
        Ok(Self {
            modulus,
            n,
            psi,
            one: Shoup::new(modulus, 1),
            n_inverse: Shoup::new(modulus, modulus.inverse(n as u32)),
            forward: Table::powers(modulus, n, psi),
            inverse: Table::powers(modulus, n, modulus.inverse(psi)),
        })
    }

    /// The prime.
    #[must_use]
    pub fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// The transform length.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// The primitive 2n-th root of unity: position `i` of a transform is the value at `psi^(2*bitrev(i)+1)`.
    #[must_use]
    pub fn psi(&self) -> u32 {
        self.psi
    }

    /// The factor 1, whose lazy product brings any word into `[0, 2p)`.
    #[must_use]
    pub fn one(&self) -> Shoup {
        self.one
    }

    /// `n^-1 mod p`, the last factor of an inverse transform.
    #[must_use]
    pub fn n_inverse(&self) -> Shoup {
        self.n_inverse
    }

    /// Powers of psi in bit-reversed order: factors, and their Shoup quotients.
    #[must_use]
    pub fn forward_table(&self) -> (&[u32], &[u32]) {
        (&self.forward.factors, &self.forward.quotients)
    }

    /// Powers of psi^-1 in bit-reversed order: factors, and their Shoup quotients.
    #[must_use]
    pub fn inverse_table(&self) -> (&[u32], &[u32]) {
        (&self.inverse.factors, &self.inverse.quotients)
    }

    /// The forward table once more, for the last stages of an engine that takes four vectors of `words / 4` words at a
    /// time: one record for each block of `words` words. First the one root of the stage that splits the block in two and
    /// its quotient, then two roots and their quotients, then ten zeros. Then for each further stage, down to
    /// neighbours, its roots and after them their quotients, each repeated so that both take `words / 2` words.
    ///
    /// # Panics
    /// If `words` is none of 16, 32 and 64.
    #[must_use]
    pub fn forward_blocks(&self, words: usize) -> &[u32] {
        self.forward.blocks(words)
    }

    /// The same for the inverse table.
    ///
    /// # Panics
    /// If `words` is none of 16, 32 and 64.
    #[must_use]
    pub fn inverse_blocks(&self, words: usize) -> &[u32] {
        self.inverse.blocks(words)
    }
}

/// The length of a record of [`Plan::forward_blocks`].
const fn record_words(words: usize) -> usize {
    16 + words * (words.ilog2() as usize - 2)
}

impl Table {
    fn powers(modulus: Modulus, n: usize, root: u32) -> Self {
        let mut factors = vec![0; n];
        let mut quotients = vec![0; n];
        let mut power = 1;
        for exponent in 0..n {
            let at = exponent.reverse_bits() >> (usize::BITS - n.trailing_zeros());
            let shoup = Shoup::new(modulus, power);
            (factors[at], quotients[at]) = (shoup.factor, shoup.quotient);
            power = modulus.mul(power, root);
        }
        Self { factors, quotients, blocks: Default::default() }
    }

    fn blocks(&self, words: usize) -> &[u32] {
        assert!(matches!(words, 16 | 32 | 64), "no engine works on blocks of {words} words");
        self.blocks[words.ilog2() as usize - 4].get_or_init(|| {
            let (count, lanes) = (self.factors.len() / words, words / 4);
            let mut records = Vec::with_capacity(count * record_words(words));
            for index in 0..count {
                for k in [1, 2] {
                    let roots = k * (count + index)..k * (count + index + 1);
                    records.extend_from_slice(&self.factors[roots.clone()]);
                    records.extend_from_slice(&self.quotients[roots]);
                }
                records.resize(records.len() + 10, 0);
                for stage in 2..words.ilog2() {
                    let (k, each) = (1 << stage, (2 * lanes) >> stage);
                    let roots = k * (count + index)..k * (count + index + 1);
                    for table in [&self.factors, &self.quotients] {
                        records.extend(table[roots.clone()].iter().flat_map(|&root| repeat_n(root, each)));
                    }
                }
            }
            records
        })
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan(n = {}, p = {})", self.n, self.modulus.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psi_is_the_first_one_and_matches_the_published_values() {
        for (modulus, n, psi) in [
            (Modulus::P1, 2048, 762_388_463),
            (Modulus::P1, 4096, 371_836_615),
            (Modulus::P2, 4096, 250_036_504),
            (Modulus::P22, 1024, 2_347_793),
        ] {
            assert_eq!(Plan::new(modulus, n).map(|plan| plan.psi()), Ok(psi));
        }
    }

    #[test]
    fn sizes_and_primes_without_a_transform_are_errors() {
        for n in [0, 1, 128, 255, 257, 65536, usize::MAX] {
            assert_eq!(Plan::new(Modulus::P1, n), Err(PlanError::Size(n)));
        }
        assert_eq!(Plan::new(Modulus::P22, 8192), Err(PlanError::NoRoot { p: 4_169_729, n: 8192 }));
        let message = Plan::new(Modulus::P22, 8192).unwrap_err().to_string();
        assert!(message.contains("16384"), "{message}");
    }
}
