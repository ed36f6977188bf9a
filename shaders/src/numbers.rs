//! The numbers a job brings: their one list, from which the WGSL structures and the bytes that fill them are both made.

use kernels::{Encoding, Ring, Secret};
use ntt::{Plan, Shoup};
use std::fmt::Write;

/// Each name becomes a variant and a member of the WGSL structure, in this order.
macro_rules! members {
    ($(#[$doc:meta])* $list:ident, $($name:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "the names are those of the WGSL members")]
        pub(crate) enum $list { $($name),* }
        impl $list {
            const NAMES: &[&str] = &[$(stringify!($name)),*];
        }
    };
}

members! {
    /// Pairs of words: a factor with its quotient, or 64 bits.
    LimbPair, one, n_inverse, lift
}
members! {
    /// Single words of one limb.
    LimbWord, p, prime_bits, reciprocal, theta_low, theta_middle, theta_high
}
members! {
    /// Values of 64 bits.
    Wide, q, q_reciprocal, half_step, delta, delta_reciprocal, base, base_reciprocal, limit
}
members! {
    /// Single words.
    Word,
    n, log_n, limbs, words, polys, first_poly, bits, coefficients, digits, digits_per_coefficient, rows, row_words,
    value_words, out_words, q_bits, dimension, sign
}

/// Words of an expander's state before its counter and nonce.
const STATE: usize = 12;
const LIMBS: usize = 2;

/// Rounded up, because an array of structures in a uniform buffer has a stride of whole 16 bytes.
const fn limb_words() -> usize {
    (2 * LimbPair::NAMES.len() + LimbWord::NAMES.len()).next_multiple_of(4)
}

const fn wide_start() -> usize {
    2 * STATE + LIMBS * limb_words()
}

const fn word_start() -> usize {
    wide_start() + 2 * Wide::NAMES.len()
}

const fn job_words() -> usize {
    (word_start() + Word::NAMES.len()).next_multiple_of(4)
}

/// One job's numbers. Seeds may be among them, so they are erased like a secret.
#[derive(Debug)]
pub(crate) struct Numbers {
    words: Secret<Vec<u32>>,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { words: Secret::new(vec![0; job_words()]) }
    }

    /// The ring's transforms.
    pub(crate) fn ring(ring: &Ring) -> Self {
        Self::plans(ring.plans())
    }

    /// Transforms of one length, one limb each.
    pub(crate) fn plans(plans: &[Plan]) -> Self {
        let mut numbers = Self::new();
        for (limb, plan) in plans.iter().enumerate() {
            let bits = plan.modulus().bits();
            numbers.limb_pair(limb, LimbPair::one, plan.one());
            numbers.limb_pair(limb, LimbPair::n_inverse, plan.n_inverse());
            numbers.limb_word(limb, LimbWord::p, plan.modulus().value());
            numbers.limb_word(limb, LimbWord::prime_bits, bits);
            // At most 2^(bits + 1), and bits <= 30.
            numbers.limb_word(
                limb,
                LimbWord::reciprocal,
                ((1u64 << (2 * bits)) / u64::from(plan.modulus().value())) as u32,
            );
        }
        let n = plans.first().map_or(1, Plan::n);
        numbers.set(Word::n, n);
        numbers.set(Word::log_n, n.trailing_zeros() as usize);
        numbers.set(Word::limbs, plans.len());
        numbers
    }

    /// The ring's transforms, and what embeds, rounds and opens.
    pub(crate) fn encoding(encoding: &Encoding) -> Self {
        let mut numbers = Self::ring(encoding.ring());
        for (limb, constants) in encoding.limbs().iter().enumerate() {
            numbers.limb_pair(limb, LimbPair::lift, constants.lift);
            numbers.limb_word(limb, LimbWord::theta_low, constants.theta[0]);
            numbers.limb_word(limb, LimbWord::theta_middle, constants.theta[1]);
            numbers.limb_word(limb, LimbWord::theta_high, constants.theta[2]);
        }
        let (bits, q, delta) = (encoding.bits(), encoding.ring().q(), encoding.delta());
        let q_bits = 64 - q.leading_zeros();
        // floor((2^64 - 1) / d): the estimated quotient of any x < 2^63 is at most one too small.
        let reciprocal = |d: u64| u64::MAX / d;
        numbers.wide(Wide::q, q);
        numbers.wide(Wide::q_reciprocal, ((1u128 << (63 + q_bits)) / u128::from(q)) as u64);
        numbers.wide(Wide::half_step, ((u128::from(delta) << bits) / (2 * u128::from(q))) as u64);
        numbers.wide(Wide::delta, delta);
        numbers.wide(Wide::delta_reciprocal, reciprocal(delta));
        numbers.wide(Wide::base, encoding.base());
        numbers.wide(Wide::base_reciprocal, reciprocal(encoding.base()));
        numbers.wide(Wide::limit, encoding.limit());
        numbers.set(Word::bits, bits as usize);
        numbers.set(Word::q_bits, q_bits as usize);
        numbers.set(Word::digits_per_coefficient, encoding.digits_per_coefficient());
        numbers.set(Word::value_words, encoding.shape(0).words_per_value());
        numbers
    }

    /// A count that belongs to a piece of work, which is cut so that every count fits.
    pub(crate) fn set(&mut self, word: Word, value: usize) {
        let value = u32::try_from(value).expect("work is cut into pieces of fewer than 2^32 words");
        self.words.expose_mut()[word_start() + word as usize] = value;
    }

    pub(crate) fn wide(&mut self, wide: Wide, value: u64) {
        let at = wide_start() + 2 * wide as usize;
        self.words.expose_mut()[at..at + 2].copy_from_slice(&[value as u32, (value >> 32) as u32]);
    }

    /// The public seed.
    pub(crate) fn public_seed(&mut self, seed: &[u8; 32]) {
        self.state(0, seed);
    }

    /// A message's own seed.
    pub(crate) fn message_seed(&mut self, seed: &Secret<[u8; 32]>) {
        self.state(STATE, seed.expose());
    }

    fn state(&mut self, at: usize, seed: &[u8; 32]) {
        let mut state = Secret::new(kernels::expand::initial_state(seed, kernels::expand::Domain::A, 0, 0));
        self.words.expose_mut()[at..at + STATE].copy_from_slice(&state.expose_mut()[..STATE]);
    }

    fn limb_pair(&mut self, limb: usize, pair: LimbPair, value: Shoup) {
        let at = 2 * STATE + limb * limb_words() + 2 * pair as usize;
        self.words.expose_mut()[at..at + 2].copy_from_slice(&[value.factor, value.quotient]);
    }

    fn limb_word(&mut self, limb: usize, word: LimbWord, value: u32) {
        let at = 2 * STATE + limb * limb_words() + 2 * LimbPair::NAMES.len() + word as usize;
        self.words.expose_mut()[at] = value;
    }

    pub(crate) fn words(&self) -> &[u32] {
        self.words.expose()
    }
}

/// The structures that the shaders read these numbers through.
pub(crate) fn structures() -> String {
    let mut text = String::from("struct Limb {\n");
    let line = |text: &mut String, name: &str, kind: &str| writeln!(text, "    {name}: {kind},").unwrap_or_default();
    LimbPair::NAMES.iter().for_each(|name| line(&mut text, name, "vec2<u32>"));
    LimbWord::NAMES.iter().for_each(|name| line(&mut text, name, "u32"));
    let used = 2 * LimbPair::NAMES.len() + LimbWord::NAMES.len();
    (used..limb_words()).for_each(|at| line(&mut text, &format!("unused{at}"), "u32"));
    text.push_str("}\n\nstruct Job {\n");
    line(&mut text, "public_state", &format!("array<vec4<u32>, {}>", STATE / 4));
    line(&mut text, "message_state", &format!("array<vec4<u32>, {}>", STATE / 4));
    line(&mut text, "limb", &format!("array<Limb, {LIMBS}>"));
    Wide::NAMES.iter().for_each(|name| line(&mut text, name, "vec2<u32>"));
    Word::NAMES.iter().for_each(|name| line(&mut text, name, "u32"));
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_lie_where_the_shaders_look_for_them() {
        let source = structures() + "@group(0) @binding(0) var<uniform> job: Job;\n";
        let module = naga::front::wgsl::parse_str(&source).expect("the structures are WGSL");
        let members = |wanted: &str| {
            let (_, found) = module.types.iter().find(|(_, t)| t.name.as_deref() == Some(wanted)).expect("it is there");
            let naga::TypeInner::Struct { members, span } = &found.inner else { panic!("{wanted} is a structure") };
            let offsets: Vec<_> =
                members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize / 4)).collect();
            (offsets, *span as usize / 4)
        };
        let (limb, limb_span) = members("Limb");
        let (job, job_span) = members("Job");
        let at = |list: &[(String, usize)], name: &str| list.iter().find(|(n, _)| n == name).map(|(_, at)| *at);
        assert_eq!((limb_span, job_span), (limb_words(), job_words()));
        assert_eq!(at(&limb, "lift"), Some(2 * LimbPair::lift as usize));
        assert_eq!(at(&limb, "theta_high"), Some(2 * LimbPair::NAMES.len() + LimbWord::theta_high as usize));
        assert_eq!(at(&job, "message_state"), Some(STATE));
        assert_eq!(at(&job, "limb"), Some(2 * STATE));
        assert_eq!(at(&job, "limit"), Some(wide_start() + 2 * Wide::limit as usize));
        assert_eq!(at(&job, "sign"), Some(word_start() + Word::sign as usize));
    }
}
