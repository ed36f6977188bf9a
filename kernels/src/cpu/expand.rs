//! The expander, one block per lane: raw words, uniform residues, small coefficients.

use super::simd::{Body, Simd};
use crate::Secret;
use crate::expand::{BLOCK_WORDS, Domain, first_below, initial_state};
use ntt::Modulus;

/// Added to every small coefficient where it is kept in a byte: CBD(32) lies in `[-32, 32]`.
pub(super) const BIAS: u32 = 32;

/// `G` groups of blocks, `LANES` each, from block `counter` on: lane b of vector w is word w of block b of the group.
///
/// The four quarter rounds of one group do not wait for each other, but each waits for itself, two cycles for every
/// rotation; a second group fills the units meanwhile.
#[inline(always)]
fn blocks<S: Simd, const G: usize>(s: S, initial: &[u32; BLOCK_WORDS], counter: u32) -> [[S::V; BLOCK_WORDS]; G] {
    let mut counters = [s.splat(0); G];
    for (group, counters) in counters.iter_mut().enumerate() {
        let first = counter.wrapping_add((group * S::LANES) as u32);
        let lanes: [u32; 16] = core::array::from_fn(|lane| first.wrapping_add(lane as u32));
        *counters = s.load(&lanes);
    }
    blocks_at(s, initial, counters)
}

/// The blocks of these numbers.
#[inline(always)]
fn blocks_at<S: Simd, const G: usize>(
    s: S,
    initial: &[u32; BLOCK_WORDS],
    counters: [S::V; G],
) -> [[S::V; BLOCK_WORDS]; G] {
    let mut groups = [[s.splat(0); BLOCK_WORDS]; G];
    for (state, counters) in groups.iter_mut().zip(counters) {
        *state = start(s, initial, counters);
    }
    s.double_rounds(&mut groups);
    for (state, counters) in groups.iter_mut().zip(counters) {
        for (word, first) in state.iter_mut().zip(start(s, initial, counters)) {
            *word = s.add(*word, first);
        }
    }
    groups
}

#[inline(always)]
fn start<S: Simd>(s: S, initial: &[u32; BLOCK_WORDS], counters: S::V) -> [S::V; BLOCK_WORDS] {
    let mut state = [s.splat(0); BLOCK_WORDS];
    for (to, &word) in state.iter_mut().zip(initial) {
        *to = s.splat(word);
    }
    state[12] = counters;
    state
}

/// Words `4r .. 4r + 4` are row r.
type Rows<V> = [[V; 4]; 4];

/// Ten times a round on the columns and one on the diagonals.
#[inline(always)]
pub(super) fn double_rounds<S: Simd, const G: usize>(s: S, groups: &mut [[S::V; BLOCK_WORDS]; G]) {
    let mut split = [[[s.splat(0); 4]; 4]; G];
    for (rows, state) in split.iter_mut().zip(groups.iter()) {
        rows.as_flattened_mut().copy_from_slice(state);
    }
    for _ in 0..10 {
        for rows in &mut split {
            let [a, b, c, d] = round(s, *rows);
            *rows = [a, turn::<1, _>(b), turn::<2, _>(c), turn::<3, _>(d)];
        }
        for rows in &mut split {
            let [a, b, c, d] = round(s, *rows);
            *rows = [a, turn::<3, _>(b), turn::<2, _>(c), turn::<1, _>(d)];
        }
    }
    for (state, rows) in groups.iter_mut().zip(split) {
        state.copy_from_slice(rows.as_flattened());
    }
}

/// Word i comes from word i + BY.
#[inline(always)]
fn turn<const BY: usize, V: Copy>(row: [V; 4]) -> [V; 4] {
    [row[BY % 4], row[(1 + BY) % 4], row[(2 + BY) % 4], row[(3 + BY) % 4]]
}

/// Four quarter rounds, each step for all of them before the next, so that none waits for itself.
#[inline(always)]
fn round<S: Simd>(s: S, [a, b, c, d]: Rows<S::V>) -> Rows<S::V> {
    let (a, d) = half_step::<S, 16>(s, a, b, d);
    let (c, b) = half_step::<S, 12>(s, c, d, b);
    let (a, d) = half_step::<S, 8>(s, a, b, d);
    let (c, b) = half_step::<S, 7>(s, c, d, b);
    [a, b, c, d]
}

/// `x += y; z = (z ^ x) <<< BY`, four times. Written out: loops here cost AVX2 a tenth of its speed in spills.
#[inline(always)]
fn half_step<S: Simd, const BY: i32>(s: S, x: [S::V; 4], y: [S::V; 4], z: [S::V; 4]) -> ([S::V; 4], [S::V; 4]) {
    let x = [s.add(x[0], y[0]), s.add(x[1], y[1]), s.add(x[2], y[2]), s.add(x[3], y[3])];
    let z = [s.xor(z[0], x[0]), s.xor(z[1], x[1]), s.xor(z[2], x[2]), s.xor(z[3], x[3])];
    let z =
        [s.rotate_left::<BY>(z[0]), s.rotate_left::<BY>(z[1]), s.rotate_left::<BY>(z[2]), s.rotate_left::<BY>(z[3])];
    (x, z)
}

/// What becomes of a group of blocks, while they are in registers.
trait Consume<S: Simd> {
    /// Output words of a block.
    const WORDS: usize;

    /// Writes the words of the group's blocks, as many as there is room for: one after the other, from word `at` on.
    fn take(&self, s: S, state: [S::V; BLOCK_WORDS], at: usize, out: &mut [u32]);
}

/// All blocks from block `counter` on that `out` has room for.
#[inline(always)]
fn stream<S: Simd, C: Consume<S>>(s: S, initial: &[u32; BLOCK_WORDS], counter: u32, consumer: &C, out: &mut [u32]) {
    let words = C::WORDS * S::LANES;
    let block = |at: usize| counter.wrapping_add((at / C::WORDS) as u32);
    let mut at = 0;
    let mut rest = out;
    while S::PAIRS_OF_GROUPS && rest.len() >= 2 * words {
        let (near, far);
        (near, rest) = rest.split_at_mut(words);
        (far, rest) = rest.split_at_mut(words);
        let [first, second] = blocks(s, initial, block(at));
        consumer.take(s, first, at, near);
        consumer.take(s, second, at + words, far);
        at += 2 * words;
    }
    for out in rest.chunks_mut(words) {
        let [state] = blocks(s, initial, block(at));
        consumer.take(s, state, at, out);
        at += words;
    }
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
        stream(s, &initial, self.counter, &Raw, self.out);
    }
}

struct Raw;

impl<S: Simd> Consume<S> for Raw {
    const WORDS: usize = BLOCK_WORDS;

    #[inline(always)]
    fn take(&self, s: S, state: [S::V; BLOCK_WORDS], _at: usize, out: &mut [u32]) {
        if out.len() == BLOCK_WORDS * S::LANES {
            s.store_blocks(&state, out);
        } else {
            let mut last = [0; 16 * BLOCK_WORDS];
            s.store_blocks(&state, &mut last);
            out.copy_from_slice(&last[..out.len()]);
            zeroize::Zeroize::zeroize(&mut last);
        }
    }
}

/// One limb of `a_poly` in NTT order, `[0, p)`: at most 2^15 words.
#[inline(always)]
pub(super) fn uniform<S: Simd>(s: S, seed: &[u8; 32], modulus: Modulus, poly: u32, limb: u32, out: &mut [u32]) {
    stream(s, &initial_state(seed, Domain::A, poly, limb), 0, &Masked { modulus }, out);
    let p = s.splat(modulus.value());
    let mut missing = Vec::new();
    for (vector, words) in out.chunks_exact(S::LANES).enumerate() {
        if s.any_at_least(s.load(words), p) {
            for (lane, &word) in words.iter().enumerate() {
                if word >= modulus.value() {
                    missing.push((vector * S::LANES + lane) as u32);
                }
            }
        }
    }
    let initial = initial_state(seed, Domain::Overflow, poly, limb);
    for indices in missing.chunks(S::LANES) {
        redraw(s, &initial, modulus, indices, out);
    }
}

/// Draws again what was not below p: an overflow block in each lane, numbered by the word's index.
#[inline(always)]
fn redraw<S: Simd>(s: S, initial: &[u32; BLOCK_WORDS], modulus: Modulus, indices: &[u32], out: &mut [u32]) {
    let mut counters = [0; 16];
    counters[..indices.len()].copy_from_slice(indices);
    let [state] = blocks_at(s, initial, [s.load(&counters)]);
    let mut words = [0; 16 * BLOCK_WORDS];
    s.store_blocks(&state, &mut words);
    for (&index, block) in indices.iter().zip(words.as_chunks::<BLOCK_WORDS>().0) {
        out[index as usize] = first_below(modulus, block);
    }
}

struct Masked {
    modulus: Modulus,
}

impl<S: Simd> Consume<S> for Masked {
    const WORDS: usize = BLOCK_WORDS;

    #[inline(always)]
    fn take(&self, s: S, mut state: [S::V; BLOCK_WORDS], at: usize, out: &mut [u32]) {
        let mask = s.splat((1 << self.modulus.bits()) - 1);
        for word in &mut state {
            *word = s.and(*word, mask);
        }
        Raw.take(s, state, at, out);
    }
}

/// CBD(32) coefficients, biased to `[0, 64]`, four to a word, lowest byte first. Constant time.
#[inline(always)]
pub(super) fn small<S: Simd>(s: S, seed: &[u8; 32], domain: Domain, poly: u32, out: &mut [u32]) {
    stream(s, &initial_state(seed, domain, poly, 0), 0, &Small, out);
}

/// Adds CBD(32) coefficients, a whole number of fours, to what is there. Constant time.
pub(super) struct SmallAdd<'a> {
    pub(super) seed: &'a [u8; 32],
    pub(super) domain: Domain,
    pub(super) poly: u32,
    pub(super) sum: &'a mut [i32],
}

impl Body for SmallAdd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut drawn = Secret::new(vec![0; self.sum.len() / 4]);
        small(s, self.seed, self.domain, self.poly, drawn.expose_mut());
        for (sum, four) in self.sum.as_chunks_mut::<4>().0.iter_mut().zip(drawn.expose()) {
            for (sum, biased) in sum.iter_mut().zip(four.to_le_bytes()) {
                *sum += i32::from(biased) - BIAS as i32;
            }
        }
    }
}

struct Small;

impl<S: Simd> Consume<S> for Small {
    /// A block has eight coefficients: two words of four, and the blocks' words alternate.
    const WORDS: usize = 2;

    #[inline(always)]
    fn take(&self, s: S, state: [S::V; BLOCK_WORDS], _at: usize, out: &mut [u32]) {
        let mut halves = [s.splat(BIAS * 0x0101_0101); 2];
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
    }
}
