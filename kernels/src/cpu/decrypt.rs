//! A sum and its key to digits: the product as in a pad, then each coefficient's phase opened without a division.
//!
//! Where a step on the wire is below 2^24 and the digits are those of the suites, a vector of phases is opened at once;
//! for any other encoding, and for what is left of a last vector, one after the other.

use super::pad::{Key, product};
use super::seal::Rounding;
use super::simd::{Body, Simd};
use crate::{DecryptJob, Encoding, Noise, Secret};

/// Opens consecutive polynomials.
pub(super) struct Decrypt<'a> {
    pub(super) job: DecryptJob<'a>,
    pub(super) key: &'a Key,
    pub(super) first_poly: u32,
    pub(super) accumulator: &'a [u32],
    pub(super) digits: &'a mut [u32],
}

impl Body for Decrypt<'_> {
    type Output = Noise;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Noise {
        let encoding = self.job.encoding;
        let ring = encoding.ring();
        let (n, rho) = (ring.n(), encoding.digits_per_coefficient());
        let width = encoding.shape(0).words_per_value();
        let rounding = Rounding::new(s, encoding);
        let (steps, opener) = (Steps::new(s, encoding), Opener::new(encoding));
        let mut residues = Secret::new(vec![0; n * ring.plans().len()]);
        let mut mask_words = Secret::new(vec![0; 2 * n]);
        let mut noise = Noise::default();
        let polys = self.digits.chunks_mut(n * rho).zip(self.accumulator.chunks(n * width));
        for (poly, (digits, accumulator)) in (self.first_poly..=u32::MAX).zip(polys) {
            product(s, ring, self.job.a_seed, self.key, poly, residues.expose_mut());
            let residues = residues.expose();
            let mut first = 0;
            if let Some(steps) = &steps {
                let (digits, noise) = (&mut *digits, &mut noise);
                first = match rho {
                    1 => open_vectors::<S, 1>(s, steps, &rounding, residues, accumulator, digits, noise),
                    2 => open_vectors::<S, 2>(s, steps, &rounding, residues, accumulator, digits, noise),
                    3 => open_vectors::<S, 3>(s, steps, &rounding, residues, accumulator, digits, noise),
                    4 => open_vectors::<S, 4>(s, steps, &rounding, residues, accumulator, digits, noise),
                    6 => open_vectors::<S, 6>(s, steps, &rounding, residues, accumulator, digits, noise),
                    _ => 0,
                };
            }
            let rest = digits[first * rho..].chunks_mut(rho).zip(accumulator[first * width..].chunks_exact(width));
            let mask_words = mask_words.expose_mut();
            if rest.len() > 0 {
                round(s, &rounding, residues, first, mask_words);
            }
            for ((digits, value), mask) in rest.zip(mask_words.as_chunks::<2>().0) {
                let value = u64::from(value[0]) | u64::from(value.get(1).copied().unwrap_or_default()) << 32;
                let mask = u64::from(mask[0]) | u64::from(mask[1]) << 32;
                opener.open(value.wrapping_sub(mask), digits, &mut noise);
            }
        }
        noise
    }
}

/// `W` of the coefficients from `first` on, as pairs.
#[inline(always)]
fn round<S: Simd>(s: S, rounding: &Rounding<S::V>, residues: &[u32], first: usize, words: &mut [u32]) {
    let n = words.len() / 2;
    for (words, at) in words.chunks_exact_mut(2 * S::LANES).zip((first..n).step_by(S::LANES)) {
        let (even, odd) = rounding.round(s, residues, at);
        let (even, odd) = (s.shift_right_wide(even, rounding.unused), s.shift_right_wide(odd, rounding.unused));
        let (near, far) = s.zip_wide(even, odd);
        s.store(near, words);
        s.store(far, &mut words[S::LANES..]);
    }
}

/// Opens whole vectors of coefficients; returns how many coefficients those are.
#[inline(always)]
fn open_vectors<S: Simd, const RHO: usize>(
    s: S,
    steps: &Steps<S::V>,
    rounding: &Rounding<S::V>,
    residues: &[u32],
    accumulator: &[u32],
    digits: &mut [u32],
    noise: &mut Noise,
) -> usize {
    let mut statistics = Statistics::new(s);
    let mut first = 0;
    for digits in digits.chunks_exact_mut(S::LANES * RHO) {
        // Coefficients of even and of odd places, each at the top of its u64.
        let (even, odd) = if steps.wide {
            let values = &accumulator[2 * first..];
            s.unzip_wide(s.load(values), s.load(&values[S::LANES..]))
        } else {
            let values = s.load(&accumulator[first..]);
            (values, s.shift_right_wide(values, 32))
        };
        let masks = rounding.round(s, residues, first);
        let mut opened = [Opened { value: even, noise: even, valid: even }; 2];
        for (opened, (value, mask)) in opened.iter_mut().zip([(even, masks.0), (odd, masks.1)]) {
            let mask = s.and(mask, steps.top);
            *opened = steps.open(s, s.sub_wide(s.shift_left_wide(value, steps.unused), mask));
        }
        s.interleave(&steps.digits::<S, RHO>(s, opened[0].value, opened[1].value), digits);
        statistics.add(s, &opened);
        first += S::LANES;
    }
    *noise = *noise + statistics.noise(s, first);
    first
}

/// An encoding's numbers for vectors. `D = Delta * 2^l / q` is the step on the wire.
///
/// With x at the top of a word, `x/D` is found as `t` in units of `2^-k`, at most four too large, then `n = floor(t)` is M,
/// or M + 1 where x is the last word before `(M+1) * D`. The fraction of t gives `x - n * D` to within 1/8, which leaves
/// two candidates for the nearest word to `n * D`, and the exact remainder mod 2^64 decides between them.
struct Steps<V> {
    /// Whether accumulators are pairs.
    wide: bool,
    /// `64 - l`, and the top `l` bits.
    unused: u32,
    top: V,
    /// `floor(D / 2)`, as it is and at the top.
    half_step: V,
    half_step_top: V,
    /// k, at most 32, with which `floor(2^k * q / Delta)` has 64 bits or less; that, and its high half.
    fraction: u32,
    factor: V,
    factor_high: V,
    /// `floor(D * 2^(size - 32))`, 31 bits, and `size`; `1/2 + 2^-6` in units of `2^-size`.
    step: V,
    size: u32,
    step_round: V,
    /// `Delta * 2^l mod 2^64`, and q with its half.
    embedded: V,
    q: V,
    minus_q: V,
    half_q: V,
    /// The nearest word to D, and `floor(q/2)` plus `Delta * 2^l` minus q times that.
    whole: V,
    late: V,
    limit: V,
    digits: Digits<V>,
}

/// Reciprocals for taking digits: first two parts by `B^low`, then each part by B.
struct Digits<V> {
    /// Bits of a value beyond 32, `B^low`, and its reciprocal of 32 bits with the bits to shift off.
    drop: u32,
    part: V,
    reciprocal: V,
    shift: u32,
    /// B, `ceil(2^(31 + s) / B)` and `s - 1`, for `s = ceil(log2 B)`.
    base: V,
    base_reciprocal: V,
    base_shift: u32,
}

/// Coefficients in a vector of u64: refused ones have value and noise 0.
#[derive(Clone, Copy)]
struct Opened<V> {
    value: V,
    noise: V,
    /// 1, or 0 where refused.
    valid: V,
}

impl<V: Copy> Steps<V> {
    /// None for an encoding whose numbers are not in the range that [`Steps::open`] needs.
    fn new<S: Simd<V = V>>(s: S, encoding: &Encoding) -> Option<Self> {
        let (l, q, delta) = (encoding.bits(), encoding.ring().q(), encoding.delta());
        let step = u128::from(delta) << l;
        let rho = encoding.digits_per_coefficient();
        if step >= u128::from(q) << 24 || ![1, 2, 3, 4, 6].contains(&rho) {
            return None;
        }
        let digits = Digits::new(s, encoding)?;
        let fraction = (q / delta).leading_zeros().min(32);
        let factor = ((u128::from(q) << fraction) / u128::from(delta)) as u64;
        // 2 <= D < 2^24, so 39 to 61.
        let size = 62 - (step / u128::from(q)).ilog2();
        let half_step = (step / (2 * u128::from(q))) as u64;
        let whole = ((2 * step + u128::from(q)) / (2 * u128::from(q))) as u64;
        // Between -q/2 and q/2, so exact mod 2^64.
        let rest = (step as u64).wrapping_sub(whole.wrapping_mul(q));
        Some(Self {
            wide: l > 32,
            unused: 64 - l,
            top: s.splat_wide(u64::MAX << (64 - l)),
            half_step: s.splat_wide(half_step),
            half_step_top: s.splat_wide(half_step << (64 - l)),
            fraction,
            factor: s.splat_wide(factor),
            factor_high: s.splat_wide(factor >> 32),
            step: s.splat_wide(((step << (size - 32)) / u128::from(q)) as u64),
            size,
            step_round: s.splat_wide((1 << (size - 1)) + (1 << (size - 6))),
            embedded: s.splat_wide(step as u64),
            q: s.splat_wide(q),
            minus_q: s.splat_wide(q.wrapping_neg()),
            half_q: s.splat_wide(q / 2),
            whole: s.splat_wide(whole),
            late: s.splat_wide((q / 2).wrapping_add(rest)),
            limit: s.splat_wide(encoding.limit()),
            digits,
        })
    }

    /// Phases at the top of their words.
    #[inline(always)]
    fn open<S: Simd<V = V>>(&self, s: S, phase: V) -> Opened<V> {
        let (zero, one, minus_one) = (s.splat(0), s.splat_wide(1), s.splat_wide(u64::MAX));
        let x = s.add_wide(phase, self.half_step_top);
        // Three of the four parts of the product, each rounded down, and a factor rounded down: less than four too small.
        // k >= 8, as q/Delta < 2^56; so adding four is less than one step.
        let high = s.shift_right_wide(x, 32);
        let near = s.shift_right_wide(s.mul_wide(high, self.factor), 32);
        let far = s.shift_right_wide(s.mul_wide(x, self.factor_high), 32);
        let t = s.add_wide(s.mul_wide(high, self.factor_high), s.add_wide(s.add_wide(near, far), s.splat_wide(4)));
        let n = s.shift_right_wide(t, self.fraction);
        // x - n * D: four units of t are at most 2^-4 too much (8D * q/Delta * 2^-64, or 4D * 2^-32 where k = 32), the
        // step cut to 31 bits at most 2^-7 too little. So this is the distance to the nearest word, or one more. The
        // product takes 32 bits of the fraction, and no bit of n.
        let fraction = s.shift_left_wide(t, 32 - self.fraction);
        let above = s.shift_right_wide(s.add_wide(s.mul_wide(fraction, self.step), self.step_round), self.size);
        let nearest = s.sub_wide(s.shift_right_wide(x, self.unused), above);
        // n * Delta * 2^l - nearest * q, in (-q/2, 3q/2): there is one more where it is above q/2, q being odd.
        let rest = s.sub_wide(s.mul_low_wide(n, self.embedded), s.mul_low_wide(nearest, self.q));
        let above = s.add_if_above(above, rest, self.half_q, minus_one);
        let rest = s.add_if_above(rest, rest, self.half_q, self.minus_q);
        // n is M + 1 where x is below n * D. It is then the nearest word, as n * D is less than 2^-4 away: nothing above,
        // and a rest.
        let rest = s.add_if_above(zero, one, above, rest);
        let value = s.add_if_above(n, rest, zero, minus_one);
        // M * D is D below n * D, which is rest / q above x: x - M * D to the nearest, by their fractions' sum.
        let above = s.add_if_above(above, rest, zero, self.whole);
        let above = s.add_if_above(above, rest, self.late, minus_one);
        Opened {
            value: s.add_if_above(zero, self.limit, value, value),
            noise: s.add_if_above(zero, self.limit, value, s.sub_wide(above, self.half_step)),
            valid: s.add_if_above(zero, self.limit, value, one),
        }
    }

    /// Digits of each place, in vectors of words.
    #[inline(always)]
    fn digits<S: Simd<V = V>, const RHO: usize>(&self, s: S, even: V, odd: V) -> [V; RHO] {
        let mut digits = [even; RHO];
        if RHO == 1 {
            digits[0] = s.join(even, odd);
            return digits;
        }
        let (near, far) = (self.digits.split(s, even), self.digits.split(s, odd));
        let (high, low) = (s.join(near.0, far.0), s.join(near.1, far.1));
        // The high part is exact or one too small; then the low one, below 2 * B^low, wraps no word.
        let part = self.digits.part;
        let part = s.join(part, part);
        let over = s.sub(low, part);
        let high = s.sub(s.add(high, s.splat(1)), s.shift_right(over, 31));
        let (lows, highs) = digits.split_at_mut(RHO / 2);
        self.digits.take(s, s.min(low, over), lows);
        self.digits.take(s, high, highs);
        digits
    }
}

impl<V: Copy> Digits<V> {
    /// None where a part of rho/2 digits, rounded up, is above 2^30.
    fn new<S: Simd<V = V>>(s: S, encoding: &Encoding) -> Option<Self> {
        let (base, rho) = (encoding.base(), encoding.digits_per_coefficient() as u32);
        if rho > 1 && base.checked_pow(rho - rho / 2).is_none_or(|part| part > 1 << 30) {
            return None;
        }
        let part = base.pow(rho / 2);
        let drop = 32u32.saturating_sub((encoding.limit() - 1).leading_zeros());
        let size = part.ilog2();
        let shift = 32 + size - drop;
        let base_bits = 64 - (base - 1).leading_zeros();
        Some(Self {
            drop,
            part: s.splat_wide(part),
            reciprocal: s.splat_wide(((1u128 << (32 + size)) / u128::from(part)).min(u32::MAX.into()) as u64),
            shift,
            base: s.splat(base as u32),
            base_reciprocal: s.splat((1u64 << (31 + base_bits.min(32))).div_ceil(base) as u32),
            base_shift: base_bits - 1,
        })
    }

    /// Values below T to two parts: `floor(value / B^low)` or one less, and what that leaves.
    ///
    /// The parts are at most 2^30. What is dropped is below 1/2 of the quotient, as `T > 2^(31+drop)` where any bit is, and
    /// so is what the reciprocal's rounding costs, being at least 2^31.
    #[inline(always)]
    fn split<S: Simd<V = V>>(&self, s: S, value: V) -> (V, V) {
        let top = s.shift_right_wide(value, self.drop);
        let high = s.shift_right_wide(s.mul_wide(top, self.reciprocal), self.shift);
        (high, s.sub_wide(value, s.mul_wide(high, self.part)))
    }

    /// Digits of words below 2^31. The quotient is exact: the reciprocal is less than `2^s` times `2^-31-s` too large.
    #[inline(always)]
    fn take<S: Simd<V = V>>(&self, s: S, mut words: V, digits: &mut [V]) {
        let last = digits.len() - 1;
        for digit in &mut digits[..last] {
            let quotient = s.shift_right(s.mul_high_paired(words, self.base_reciprocal), self.base_shift);
            *digit = s.sub(words, s.mul_low(quotient, self.base));
            words = quotient;
        }
        digits[last] = words;
    }
}

/// Noise of one polynomial. Magnitudes are at most D/2 + 2 < 2^23 + 2 and n is at most 2^15, so no lane runs over.
struct Statistics<V> {
    valid: V,
    sum: V,
    squares: V,
    /// The least of the complements, to the word.
    least: V,
}

impl<V: Copy> Statistics<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(s: S) -> Self {
        Self { valid: s.splat(0), sum: s.splat(0), squares: s.splat(0), least: s.splat(u32::MAX) }
    }

    #[inline(always)]
    fn add<S: Simd<V = V>>(&mut self, s: S, [even, odd]: &[Opened<V>; 2]) {
        self.valid = s.add_wide(self.valid, s.add_wide(even.valid, odd.valid));
        self.sum = s.add_wide(self.sum, s.add_wide(even.noise, odd.noise));
        let noise = s.join(even.noise, odd.noise);
        // As unsigned words, the smaller of a number and its opposite is the magnitude.
        let magnitude = s.min(noise, s.sub(s.splat(0), noise));
        let far = s.shift_right_wide(magnitude, 32);
        let squares = s.add_wide(s.mul_wide(magnitude, magnitude), s.mul_wide(far, far));
        self.squares = s.add_wide(self.squares, squares);
        self.least = s.min(self.least, s.xor(magnitude, s.splat(u32::MAX)));
    }

    #[inline(always)]
    fn noise<S: Simd<V = V>>(&self, s: S, coefficients: usize) -> Noise {
        let mut noise = Noise { coefficients: coefficients as u64, refused: coefficients as u64, ..Noise::default() };
        let mut words = [0; 64];
        for (vector, to) in [self.valid, self.sum, self.squares, self.least].into_iter().zip(words.chunks_exact_mut(16))
        {
            s.store(vector, to);
        }
        let lanes = |at: usize| {
            let pairs = words[16 * at..][..S::LANES].as_chunks::<2>().0.iter();
            pairs.map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32)
        };
        noise.refused -= lanes(0).sum::<u64>();
        noise.sum = lanes(1).map(|sum| i128::from(sum as i64)).sum();
        noise.sum_squares = lanes(2).map(u128::from).sum();
        noise.max_abs = words[48..][..S::LANES].iter().fold(0, |max, &word| max.max(u64::from(!word)));
        noise
    }
}

/// A divisor with its reciprocal, so that the time of a division does not depend on what is divided.
#[derive(Clone, Copy)]
struct Divisor {
    by: u64,
    reciprocal: u64,
}

impl Divisor {
    fn new(by: u64) -> Self {
        // floor((2^64 - 1) / by): the estimated quotient of any x < 2^63 is at most one too small.
        Self { by, reciprocal: u64::MAX / by }
    }

    #[inline(always)]
    fn divide(self, x: u64) -> (u64, u64) {
        let estimate = high(x, self.reciprocal);
        let rest = x - estimate * self.by;
        let more = at_least(rest, self.by);
        (estimate + more, rest - (self.by & more.wrapping_neg()))
    }
}

#[inline(always)]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 64) as u64
}

/// 1 if `a >= b`, else 0, for both below 2^63.
#[inline(always)]
fn at_least(a: u64, b: u64) -> u64 {
    (a.wrapping_sub(b) >> 63) ^ 1
}

struct Opener {
    bits: u32,
    mask: u64,
    half_step: u64,
    q: u64,
    delta: Divisor,
    base: Divisor,
    limit: u64,
    /// `floor(2^(63 + log2 q) / q)`, and log2 q rounded up.
    q_reciprocal: u64,
    q_bits: u32,
}

impl Opener {
    fn new(encoding: &Encoding) -> Self {
        let (bits, q, delta) = (encoding.bits(), encoding.ring().q(), encoding.delta());
        let q_bits = 64 - q.leading_zeros();
        Self {
            bits,
            mask: encoding.shape(0).mask(),
            half_step: ((u128::from(delta) << bits) / (2 * u128::from(q))) as u64,
            q,
            delta: Divisor::new(delta),
            base: Divisor::new(encoding.base()),
            limit: encoding.limit(),
            q_reciprocal: ((1u128 << (63 + q_bits)) / u128::from(q)) as u64,
            q_bits,
        }
    }

    /// Any word, of which the low `l` bits count. Constant time, but for the number of digits.
    #[inline(always)]
    fn open(&self, word: u64, digits: &mut [u32], noise: &mut Noise) {
        let phase = word & self.mask;
        let x = phase.wrapping_add(self.half_step) & self.mask;
        let (value, _) = self.delta.divide(((u128::from(x) * u128::from(self.q)) >> self.bits) as u64);
        let valid = at_least(value, self.limit) ^ 1;
        let keep = valid.wrapping_neg();
        // Signed mod 2^l: shift the word's top bit to the register's, and back.
        let unused = 64 - self.bits;
        let distance = phase.wrapping_sub(self.expected(value));
        let signed = ((distance << unused) as i64 >> unused) & keep as i64;
        let mut rest = value & keep;
        for digit in digits {
            let (quotient, remainder) = self.base.divide(rest);
            (*digit, rest) = (remainder as u32, quotient);
        }
        let magnitude = signed.unsigned_abs();
        noise.coefficients += 1;
        noise.refused += valid ^ 1;
        noise.max_abs = noise.max_abs.max(magnitude);
        noise.sum += i128::from(signed);
        noise.sum_squares += u128::from(magnitude) * u128::from(magnitude);
    }

    /// `round(Delta * value * 2^l / q)`: an estimate at most one too small, then its remainder against q and q/2.
    #[inline(always)]
    fn expected(&self, value: u64) -> u64 {
        let embedded = self.delta.by.wrapping_mul(value);
        let shift = 63 + self.q_bits - self.bits;
        let estimate = ((u128::from(embedded) * u128::from(self.q_reciprocal)) >> shift) as u64;
        let rest = (embedded << self.bits).wrapping_sub(estimate.wrapping_mul(self.q));
        let more = at_least(rest, self.q);
        let rest = rest - (self.q & more.wrapping_neg());
        estimate + more + at_least(2 * rest, self.q)
    }
}
