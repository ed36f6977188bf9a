//! The expander, one block per lane: raw words, uniform residues, small coefficients.

use super::simd::{Body, Simd};
use crate::expand::{BLOCK_WORDS, Domain, initial_state, redraw};
use ntt::Modulus;

/// Added to every small coefficient where it is kept in a byte: CBD(32) lies in `[-32, 32]`.
pub(super) const BIAS: u32 = 32;

/// The blocks `counter..counter + LANES`: lane b of vector w is word w of block b.
#[inline(always)]
fn blocks<S: Simd>(s: S, initial: &[u32; BLOCK_WORDS], counter: u32) -> [S::V; BLOCK_WORDS] {
    let counters: [u32; 16] = core::array::from_fn(|lane| counter.wrapping_add(lane as u32));
    let mut start = [s.splat(0); BLOCK_WORDS];
    for (start, &word) in start.iter_mut().zip(initial) {
        *start = s.splat(word);
    }
    start[12] = s.load(&counters);
    let [mut x0, mut x1, mut x2, mut x3, mut x4, mut x5, mut x6, mut x7, ..] = start;
    let [.., mut x8, mut x9, mut xa, mut xb, mut xc, mut xd, mut xe, mut xf] = start;
    for _ in 0..10 {
        (x0, x4, x8, xc) = quarter_round(s, x0, x4, x8, xc);
        (x1, x5, x9, xd) = quarter_round(s, x1, x5, x9, xd);
        (x2, x6, xa, xe) = quarter_round(s, x2, x6, xa, xe);
        (x3, x7, xb, xf) = quarter_round(s, x3, x7, xb, xf);
        (x0, x5, xa, xf) = quarter_round(s, x0, x5, xa, xf);
        (x1, x6, xb, xc) = quarter_round(s, x1, x6, xb, xc);
        (x2, x7, x8, xd) = quarter_round(s, x2, x7, x8, xd);
        (x3, x4, x9, xe) = quarter_round(s, x3, x4, x9, xe);
    }
    let mut state = [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf];
    for (word, start) in state.iter_mut().zip(start) {
        *word = s.add(*word, start);
    }
    state
}

#[inline(always)]
fn quarter_round<S: Simd>(s: S, a: S::V, b: S::V, c: S::V, d: S::V) -> (S::V, S::V, S::V, S::V) {
    let a = s.add(a, b);
    let d = s.rotate_left::<16>(s.xor(d, a));
    let c = s.add(c, d);
    let b = s.rotate_left::<12>(s.xor(b, c));
    let a = s.add(a, b);
    let d = s.rotate_left::<8>(s.xor(d, a));
    let c = s.add(c, d);
    let b = s.rotate_left::<7>(s.xor(b, c));
    (a, b, c, d)
}

/// Raw words of a stream, from block `counter` on.
pub(super) struct Words<'a> {
    pub(super) seed: &'a [u8; 32],
    pub(super) domain: Domain,
    pub(super) poly: u32,
    pub(super) limb: u32,
    pub(super) counter: u32,
    pub(super) out: &'a mut [u32],
}

impl Body for Words<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let initial = initial_state(self.seed, self.domain, self.poly, self.limb);
        let mut counter = self.counter;
        for group in self.out.chunks_mut(BLOCK_WORDS * S::LANES) {
            store(s, &blocks(s, &initial, counter), group);
            counter = counter.wrapping_add(S::LANES as u32);
        }
    }
}

/// Blocks to memory, as many of their words as there is room for.
#[inline(always)]
fn store<S: Simd>(s: S, state: &[S::V; BLOCK_WORDS], out: &mut [u32]) {
    if out.len() == BLOCK_WORDS * S::LANES {
        s.store_blocks(state, out);
    } else {
        let mut last = [0; 16 * BLOCK_WORDS];
        s.store_blocks(state, &mut last);
        out.copy_from_slice(&last[..out.len()]);
        zeroize::Zeroize::zeroize(&mut last);
    }
}

/// One limb of `a_poly` in NTT order, `[0, p)`: at most 2^15 words.
#[inline(always)]
pub(super) fn uniform<S: Simd>(s: S, seed: &[u8; 32], modulus: Modulus, poly: u32, limb: u32, out: &mut [u32]) {
    let initial = initial_state(seed, Domain::A, poly, limb);
    let mask = s.splat((1 << modulus.bits()) - 1);
    let p = s.splat(modulus.value());
    let group = BLOCK_WORDS * S::LANES;
    for (index, out) in out.chunks_mut(group).enumerate() {
        let mut state = blocks(s, &initial, (index * S::LANES) as u32);
        let mut rejected = false;
        for word in &mut state {
            *word = s.and(*word, mask);
            rejected |= s.any_at_least(*word, p);
        }
        store(s, &state, out);
        if rejected {
            replace(seed, modulus, poly, limb, index * group, out);
        }
    }
}

/// Draws again what was not below p. Rare for the 30-bit primes, so kept out of the loop.
#[inline(never)]
fn replace(seed: &[u8; 32], modulus: Modulus, poly: u32, limb: u32, first: usize, out: &mut [u32]) {
    for (index, word) in out.iter_mut().enumerate() {
        if *word >= modulus.value() {
            *word = redraw(seed, modulus, poly, limb, (first + index) as u32);
        }
    }
}

/// CBD(32) coefficients, biased to `[0, 64]`, four to a word, lowest byte first. Constant time.
#[inline(always)]
pub(super) fn small<S: Simd>(s: S, seed: &[u8; 32], domain: Domain, poly: u32, out: &mut [u32]) {
    let initial = initial_state(seed, domain, poly, 0);
    let bias = s.splat(BIAS * 0x0101_0101);
    let mut counter = 0;
    for out in out.chunks_mut(2 * S::LANES) {
        // A block has eight coefficients: two words of four, and the blocks' words alternate.
        let state = blocks(s, &initial, counter);
        let mut halves = [bias; 2];
        for (half, words) in halves.iter_mut().zip(state.as_chunks::<8>().0) {
            // Borrows between bytes cancel once the bias is in.
            let mut four = s.sub(s.ones(words[6]), s.ones(words[7]));
            for pair in [[words[4], words[5]], [words[2], words[3]], [words[0], words[1]]] {
                four = s.add(s.shift_left::<8>(four), s.sub(s.ones(pair[0]), s.ones(pair[1])));
            }
            *half = s.add(*half, four);
        }
        let (near, far) = s.zip(halves[0], halves[1]);
        if out.len() == 2 * S::LANES {
            s.store(near, out);
            s.store(far, &mut out[S::LANES..]);
        } else {
            let mut last = [0; 32];
            s.store(near, &mut last);
            s.store(far, &mut last[S::LANES..]);
            out.copy_from_slice(&last[..out.len()]);
            zeroize::Zeroize::zeroize(&mut last);
        }
        counter += S::LANES as u32;
    }
}
