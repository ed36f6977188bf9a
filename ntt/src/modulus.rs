//! Prime moduli, checked when they are made: at compile time for the named ones, with an error otherwise.

use core::fmt;

/// An odd prime below 2^30, so that four times a residue still fits a `u32` (what lazy butterflies need).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Modulus(u32);

/// Why a number cannot be a [`Modulus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModulusError {
    /// Not below 2^30: lazy sums would leave 32 bits.
    TooLarge(u32),
    /// Not an odd prime: inverses and roots of unity would not exist.
    NotAnOddPrime(u32),
}

impl fmt::Display for ModulusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(p) => write!(f, "modulus {p} is not below 2^30; choose a smaller prime"),
            Self::NotAnOddPrime(p) => write!(f, "modulus {p} is not an odd prime; choose a prime = 1 mod 2n"),
        }
    }
}

impl core::error::Error for ModulusError {}

impl Modulus {
    /// 2^30 - 2^18 + 1: the first limb of FL-4096-60 and the only one of FL-2048-30; transforms up to n = 32768.
    pub const P1: Self = Self::checked(1_073_479_681, 32768);
    /// The second limb of FL-4096-60; transforms up to n = 32768.
    pub const P2: Self = Self::checked(1_071_513_601, 32768);
    /// A spare of the same size; transforms up to n = 32768.
    pub const P3: Self = Self::checked(1_070_727_169, 32768);
    /// The 22-bit prime of FL-1024-22; transforms up to n = 4096.
    pub const P22: Self = Self::checked(4_169_729, 4096);

    /// Any odd prime below 2^30.
    ///
    /// # Errors
    /// [`ModulusError`] says which condition `p` fails.
    pub const fn new(p: u32) -> Result<Self, ModulusError> {
        if p >= 1 << 30 {
            return Err(ModulusError::TooLarge(p));
        }
        if p < 3 || !is_prime(p) {
            return Err(ModulusError::NotAnOddPrime(p));
        }
        Ok(Self(p))
    }

    /// The compile-time form of [`Modulus::new`]: refuses to compile unless `p` supports transforms up to `n_max`.
    const fn checked(p: u32, n_max: u32) -> Self {
        assert!((p - 1).is_multiple_of(2 * n_max), "p is not 1 mod 2n");
        match Self::new(p) {
            Ok(modulus) => modulus,
            Err(_) => panic!("not an odd prime below 2^30"),
        }
    }

    /// The prime itself.
    #[must_use]
    pub const fn value(self) -> u32 {
        self.0
    }

    /// Bits of `p - 1`: how many low bits of a random word are kept when sampling below `p`.
    #[must_use]
    pub const fn bits(self) -> u32 {
        32 - (self.0 - 1).leading_zeros()
    }

    /// `a * b mod p`, for any words. Variable time: tables and public data only.
    #[must_use]
    pub const fn mul(self, a: u32, b: u32) -> u32 {
        (a as u64 * b as u64 % self.0 as u64) as u32
    }

    /// `base^exponent mod p`. Variable time: tables and public data only.
    #[must_use]
    pub const fn pow(self, base: u32, mut exponent: u32) -> u32 {
        let (mut square, mut result) = (base % self.0, 1 % self.0);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, square);
            }
            square = self.mul(square, square);
            exponent >>= 1;
        }
        result
    }

    /// The inverse of a non-zero residue, by Fermat. Variable time: tables and public data only.
    #[must_use]
    pub const fn inverse(self, a: u32) -> u32 {
        self.pow(a, self.0 - 2)
    }
}

impl fmt::Debug for Modulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Modulus({})", self.0)
    }
}

/// Trial division: at most 2^14 steps below 2^30, cheap enough for compile time and for every call of [`Modulus::new`].
const fn is_prime(p: u32) -> bool {
    if p.is_multiple_of(2) {
        return p == 2;
    }
    let mut d = 3;
    while d * d <= p {
        if p.is_multiple_of(d) {
            return false;
        }
        d += 2;
    }
    p > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_moduli_have_the_sizes_the_suites_assume() {
        for (modulus, bits) in [(Modulus::P1, 30), (Modulus::P2, 30), (Modulus::P3, 30), (Modulus::P22, 22)] {
            assert_eq!(modulus.bits(), bits);
            assert_eq!(modulus.mul(modulus.inverse(12345), 12345), 1);
        }
    }

    #[test]
    fn what_is_not_an_odd_prime_below_2_30_is_refused_with_the_reason() {
        for p in [0, 1, 2, 4, 9, 1_073_479_683] {
            assert_eq!(Modulus::new(p), Err(ModulusError::NotAnOddPrime(p)));
        }
        for p in [1 << 30, u32::MAX, 4_294_967_291] {
            assert_eq!(Modulus::new(p), Err(ModulusError::TooLarge(p)));
        }
        assert!(Modulus::new(1 << 30).unwrap_err().to_string().contains("below 2^30"));
        assert_eq!(Modulus::new(7681).map(Modulus::value), Ok(7681));
    }
}
