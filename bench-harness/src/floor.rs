//! The least a kernel can take: what it needs, counted from the equations (docs/KERNELS.md), over what this machine gives at best.
//!
//! Nothing here is measured or typed in from a measurement: counts follow from the length, the primes, the digits and the rows, and
//! ceilings come from [`crate::ceiling`] and [`crate::bandwidth`].

/// What a piece of work cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes that move if nothing stays in a cache.
    pub bytes: u64,
    /// Bytes of the data itself: what would have to fit a cache.
    pub held_bytes: u64,
    /// Products of words that make products mod p by known factors: one high half and two low halves each.
    pub products: u64,
    /// Operations on 32-bit lanes. A product is one too, and two where all its 64 bits are used.
    pub operations: u64,
}

/// What can limit a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// How fast one thread reads memory.
    Memory,
    /// How fast it multiplies words.
    Products,
    /// How fast it does anything with words in registers.
    Operations,
}

/// What one thread gives at best, per nanosecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read from memory.
    pub bytes: f64,
    /// Products of words.
    pub products: f64,
    /// Operations on lanes.
    pub operations: f64,
}

/// The least that a piece of work can take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// In nanoseconds.
    pub ns: f64,
    /// What takes that long.
    pub limit: Limit,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Products, Self::Operations];

    /// The name in tables and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Products => "products",
            Self::Operations => "lane operations",
        }
    }

    /// What a rate of it counts.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Memory => "byte",
            Self::Products => "product",
            Self::Operations => "operation",
        }
    }
}

impl Ceilings {
    /// That of one limit.
    #[must_use]
    pub fn of(&self, limit: Limit) -> f64 {
        match limit {
            Limit::Memory => self.bytes,
            Limit::Products => self.products,
            Limit::Operations => self.operations,
        }
    }
}

impl Needs {
    /// How much of each limit is asked for. Of data that are used again and again, this cache can at best keep as much as it holds: only
    /// the rest's share of the bytes comes from memory.
    #[must_use]
    pub fn asked(&self, cache_bytes: Option<u64>) -> Vec<(Limit, u64)> {
        let outside = self.held_bytes.saturating_sub(cache_bytes.unwrap_or(0));
        // No more than `bytes`, so it fits.
        let bytes = (u128::from(self.bytes) * u128::from(outside) / u128::from(self.held_bytes.max(1))) as u64;
        let all = [(Limit::Memory, bytes), (Limit::Products, self.products), (Limit::Operations, self.operations)];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The largest of what the limits would each take. Each is a limit by itself, whatever goes on beside it; their times are not added,
    /// because cores differ in what can go on side by side. None for what asks for nothing.
    #[must_use]
    pub fn floor(&self, ceilings: &Ceilings, cache_bytes: Option<u64>) -> Option<Floor> {
        let floors = self.asked(cache_bytes).into_iter();
        let floors = floors.map(|(limit, count)| Floor { ns: count as f64 / ceilings.of(limit), limit });
        floors.reduce(|largest, floor| if floor.ns > largest.ns { floor } else { largest })
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        let (products, operations) = (self.products + other.products, self.operations + other.operations);
        Self { products, operations, ..self }
    }

    pub(crate) const fn times(self, count: u64) -> Self {
        Self { products: self.products * count, operations: self.operations * count, ..self }
    }
}

const fn arithmetic(products: u64, operations: u64) -> Needs {
    Needs { bytes: 0, held_bytes: 0, products, operations }
}

/// A product mod p by a known factor: one high half, two low halves, and their difference.
const BY_FACTOR: Needs = arithmetic(3, 4);
/// A product whose 64 bits are all used. What multiplies it takes less than a high half's way, so it is no part of `products`.
const WHOLE_PRODUCT: Needs = arithmetic(0, 2);
/// A product by a root, a sum, a difference, and two operations that keep one of the words in range.
const BUTTERFLY: Needs = BY_FACTOR.and(arithmetic(0, 4));
/// A block of the expander: ten double rounds of eight quarter rounds of twelve operations, and the first state added to the last.
const BLOCK: Needs = arithmetic(0, 10 * 8 * 12 + BLOCK_WORDS);
const BLOCK_WORDS: u64 = kernels::expand::BLOCK_WORDS as u64;

/// A transform of `n` words, either way.
#[must_use]
pub const fn transform(n: u64) -> Needs {
    BUTTERFLY.times(n / 2 * n.ilog2() as u64)
}

/// So many words of the expander's stream: whole blocks.
#[must_use]
pub const fn stream(words: u64) -> Needs {
    BLOCK.times(words.div_ceil(BLOCK_WORDS))
}

/// A public polynomial of one limb, expanded, times a transformed key: coefficients.
const fn product(n: u64) -> Needs {
    stream(n).and(BY_FACTOR.times(n)).and(transform(n))
}

/// Pads of so many polynomials: products, two words of stream for each error and, once, for each coefficient of the secret.
#[must_use]
pub const fn pad(n: u64, limbs: u64, polys: u64) -> Needs {
    let poly = product(n).times(limbs).and(stream(2 * n));
    let key = stream(2 * n).and(transform(n).times(limbs));
    poly.times(polys).and(key)
}

/// What turns `y` of one limb into its part of a wire word.
const THETA: Needs = WHOLE_PRODUCT.times(3);

/// Coefficients of `digits` digits: for each limb these and the pad times a factor each, two products that reduce their sum, and theta.
#[must_use]
pub const fn seal(coefficients: u64, limbs: u64, digits: u64) -> Needs {
    WHOLE_PRODUCT.times(digits + 1 + 2).and(THETA).times(limbs).times(coefficients)
}

/// Packed rows added up: a shift and an addition for each value, in as many lanes as it takes.
#[must_use]
pub const fn sum(coefficients: u64, rows: u64, bits: u32) -> Needs {
    let lanes = if bits > 32 { 2 } else { 1 };
    arithmetic(0, 2 * lanes).times(coefficients * rows)
}

/// So many polynomials opened to coefficients of `digits` digits: products, and for each coefficient the rounding and the divisions by
/// the step and, for all digits but the last, by the base: each a product for the quotient and one for what is left.
#[must_use]
pub const fn decrypt(n: u64, limbs: u64, digits: u64, polys: u64, coefficients: u64) -> Needs {
    let rounding = BY_FACTOR.and(THETA).times(limbs);
    let open = rounding.and(WHOLE_PRODUCT.times(2 * digits));
    product(n).times(limbs * polys).and(transform(n).times(limbs)).and(open.times(coefficients))
}

/// Rows of plain LWE, masked: for each word of the dimension a word of stream and a product added up, for each row a block of errors.
#[must_use]
pub const fn dense(dimension: u64, rows: u64) -> Needs {
    stream(dimension).and(arithmetic(0, 1).times(dimension)).and(BLOCK).times(rows)
}

#[cfg(test)]
mod tests;
