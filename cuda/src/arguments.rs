//! The kernels' parameters: each struct has the fields of its namesake in kernels/, in the same order. The launch passes
//! the size, and the driver compares it with the kernel's.

use crate::launch::At;
use kernels::Encoding;
use ntt::{Plan, Shoup};

/// `Shoup` of words.cuh.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Factor {
    pub(crate) factor: u32,
    pub(crate) quotient: u32,
}

impl From<Shoup> for Factor {
    fn from(shoup: Shoup) -> Self {
        Self { factor: shoup.factor, quotient: shoup.quotient }
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Field {
    pub(crate) p: u32,
    pub(crate) two_p: u32,
    pub(crate) one: u32,
}

impl Field {
    pub(crate) fn of(plan: &Plan) -> Self {
        let p = plan.modulus().value();
        Self { p, two_p: 2 * p, one: plan.one().quotient }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct NttArgs {
    pub(crate) words: At,
    pub(crate) roots: At,
    pub(crate) polys: u32,
    pub(crate) field: Field,
    pub(crate) n_inverse: Factor,
    pub(crate) last_root: Factor,
}

/// Eight little-endian words of a public seed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Seed(pub(crate) [u32; 8]);

impl Seed {
    pub(crate) fn public(seed: &[u8; 32]) -> Self {
        let words = seed.as_chunks::<4>().0;
        Self(core::array::from_fn(|i| u32::from_le_bytes(words[i])))
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Limb {
    pub(crate) field: Field,
    pub(crate) roots: At,
    pub(crate) key: At,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct RingArgs {
    pub(crate) limb: [Limb; 2],
    pub(crate) limbs: u32,
    pub(crate) polys: u32,
    pub(crate) first_poly: u32,
    pub(crate) a_seed: Seed,
    pub(crate) cached: At,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct CeilingArgs {
    pub(crate) out: At,
    pub(crate) rounds: u32,
    pub(crate) p: u32,
    pub(crate) factor: Factor,
}

/// Where a key comes from: `Source` of expand.cu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Source {
    Message = 0,
    Sum = 1,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct KeyArgs {
    pub(crate) key: At,
    pub(crate) roots: At,
    pub(crate) secret: At,
    pub(crate) field: Field,
    pub(crate) n_inverse: Factor,
    pub(crate) reciprocal: [u32; 2],
    pub(crate) source: Source,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PublicArgs {
    pub(crate) words: At,
    pub(crate) p: [u32; 2],
    pub(crate) limbs: u32,
    pub(crate) log: u32,
    pub(crate) first_poly: u32,
    pub(crate) blocks: [u32; 2],
    pub(crate) a_seed: Seed,
}

/// `Errors` of pad.cu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Errors {
    None = 0,
    Added = 1,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct PadArgs {
    pub(crate) ring: RingArgs,
    pub(crate) message_seed: At,
    pub(crate) out: At,
    pub(crate) errors: Errors,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct EncodingArgs {
    digit_factors: At,
    digits: u64,
    lift: [Factor; 2],
    theta: [[u32; 3]; 2],
    limbs: u32,
    p: [u32; 2],
    bits: u32,
    digits_per_coefficient: u32,
    bits_reciprocal: u32,
}

impl EncodingArgs {
    /// For `digits` digits; `digit_factors` lie where [`digit_factors`] was sent.
    pub(crate) fn of(encoding: &Encoding, digits: usize, digit_factors: At) -> Self {
        let (limbs, plans) = (encoding.limbs(), encoding.ring().plans());
        // A limb that does not exist is not looked at.
        let last = limbs.len() - 1;
        Self {
            digit_factors,
            digits: digits as u64,
            lift: [limbs[0].lift.into(), limbs[last].lift.into()],
            theta: [limbs[0].theta, limbs[last].theta],
            limbs: limbs.len() as u32,
            p: [plans[0].modulus().value(), plans[last].modulus().value()],
            bits: encoding.bits(),
            digits_per_coefficient: encoding.digits_per_coefficient() as u32,
            // An encoding has at least 2 bits, so this fits.
            bits_reciprocal: (1u64 << 32).div_ceil(u64::from(encoding.bits())) as u32,
        }
    }
}

/// Factors and quotients, limb by limb, digit by digit.
pub(crate) fn digit_factors(encoding: &Encoding) -> Vec<u32> {
    let factors = encoding.limbs().iter().flat_map(|limb| &limb.digit_factors);
    factors.flat_map(|factor| [factor.factor, factor.quotient]).collect()
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SealArgs {
    pub(crate) pad: At,
    pub(crate) digits: At,
    pub(crate) out: At,
    pub(crate) encoding: EncodingArgs,
    pub(crate) log: u32,
    pub(crate) words: [u32; 2],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct EncryptArgs {
    pub(crate) ring: RingArgs,
    pub(crate) message_seed: At,
    pub(crate) digits: At,
    pub(crate) out: At,
    pub(crate) encoding: EncodingArgs,
    pub(crate) words: [u32; 2],
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SumArgs {
    pub(crate) accumulator: At,
    pub(crate) rows: At,
    pub(crate) coefficients: u64,
    pub(crate) stride: u64,
    pub(crate) mask: u64,
    pub(crate) row_count: u32,
    pub(crate) bits: u32,
}

/// A divisor below 2^63 and its reciprocal.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Divisor {
    by: u64,
    reciprocal: u64,
}

impl Divisor {
    fn new(by: u64) -> Self {
        Self { by, reciprocal: u64::MAX / by }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct OpenArgs {
    accumulator: At,
    digits: At,
    noise: At,
    mask: u64,
    half_step: u64,
    q: u64,
    delta: Divisor,
    base: Divisor,
    limit: u64,
    q_reciprocal: u64,
    q_bits: u32,
    encoding: EncodingArgs,
}

impl OpenArgs {
    pub(crate) fn of(encoding: &Encoding, args: EncodingArgs, [accumulator, digits, noise]: [At; 3]) -> Self {
        let (bits, q, delta) = (encoding.bits(), encoding.ring().q(), encoding.delta());
        let q_bits = 64 - q.leading_zeros();
        Self {
            accumulator,
            digits,
            noise,
            mask: encoding.shape(0).mask(),
            half_step: ((u128::from(delta) << bits) / (2 * u128::from(q))) as u64,
            q,
            delta: Divisor::new(delta),
            base: Divisor::new(encoding.base()),
            limit: encoding.limit(),
            q_reciprocal: ((1u128 << (63 + q_bits)) / u128::from(q)) as u64,
            q_bits,
            encoding: args,
        }
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct OpenMaskArgs {
    pub(crate) mask: At,
    pub(crate) open: OpenArgs,
    pub(crate) log: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct DecryptArgs {
    pub(crate) ring: RingArgs,
    pub(crate) open: OpenArgs,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct DenseSecretArgs {
    pub(crate) secret: At,
    pub(crate) message_seed: At,
    pub(crate) eights: u32,
}

/// `Key` of dense.cu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DenseUse {
    Mask = 0,
    Unmask = 1,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct DenseArgs {
    pub(crate) rows: At,
    pub(crate) secret: At,
    pub(crate) message_seed: At,
    pub(crate) row_count: u32,
    pub(crate) first_row: u32,
    pub(crate) blocks: u32,
    pub(crate) mask: u32,
    pub(crate) key: DenseUse,
    pub(crate) a_seed: Seed,
}
