//! Values whose sums need more than 32 bits: two digits each. A backend's digits are `u32`, so a base above 2^32 is written as
//! the square of another; sums come back as both digits of the one coefficient they share.

/// How a value is two digits of one coefficient: `value = low + base * high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    base: u32,
    /// `ceil(2^48 / base)`.
    reciprocal: u64,
}

impl Split {
    /// Two digits that reach `limit`; their base is `ceil(sqrt(limit))`. `None` where one digit does.
    pub(crate) fn for_limit(limit: u64) -> Option<Self> {
        if limit <= 1 << 32 {
            return None;
        }
        let floor = limit.isqrt();
        let base = if floor * floor == limit { floor } else { floor + 1 };
        // limit < 2^24 * 2^14, so the base is below 2^19.
        let base = u32::try_from(base).ok()?;
        Some(Self { base, reciprocal: (1u64 << 48).div_ceil(u64::from(base)) })
    }

    /// The digits' base.
    #[must_use]
    pub fn base(&self) -> u32 {
        self.base
    }

    /// Values below 2^24 to pairs of digits. Constant time: the quotient is a product. It is exact, because
    /// `reciprocal * base - 2^48 < base < 2^19`, and that times a value is below 2^43.
    pub(crate) fn split(&self, values: &[u32], digits: &mut [u32]) {
        for (pair, &value) in digits.as_chunks_mut::<2>().0.iter_mut().zip(values) {
            let high = ((u64::from(value) * self.reciprocal) >> 48) as u32;
            *pair = [value - high * self.base, high];
        }
    }

    /// A pair of digit sums to the sum of the values.
    #[must_use]
    pub fn join(&self, [low, high]: [u32; 2]) -> u64 {
        u64::from(low) + u64::from(self.base) * u64::from(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting_is_division_with_remainder() {
        assert_eq!(Split::for_limit(1 << 32), None);
        for planned in [257, 1000, 9999, 10_000] {
            let limit = 0xFF_FFFF * planned + 1;
            let split = Split::for_limit(limit).unwrap();
            let base = split.base();
            assert!(u64::from(base).pow(2) >= limit && u64::from(base - 1).pow(2) < limit);
            let near = |k: u32| [k * base - 1, k * base, k * base + 1];
            let most = 0xFF_FFFF / base;
            let values: Vec<u32> =
                [near(1), near(2), near(most), [0, 0xFF_FFFE, 0xFF_FFFF]].concat().into_iter().chain(0..999).collect();
            let mut digits = vec![0; 2 * values.len()];
            split.split(&values, &mut digits);
            for (pair, value) in digits.as_chunks::<2>().0.iter().zip(values) {
                assert_eq!(*pair, [value % base, value / base]);
                assert_eq!(split.join(*pair), u64::from(value));
            }
        }
    }
}
