//! The seekable expander: ChaCha20's block function in counter mode, keyed by a 32-byte seed, with the nonce
//! `(domain, poly, limb)`. Any word of any stream can be had without the ones before it.
//!
//! This is the definition in scalar code; the vector engines produce the same words many blocks at a time.

use ntt::Modulus;

/// What a stream is for: the first nonce word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Domain {
    /// The public polynomials `a_j`.
    A = 1,
    /// Second draws for coefficients of `a_j` whose first word was not below the prime.
    Overflow = 2,
    /// The secret `s`.
    S = 3,
    /// The errors `e_j`.
    E = 4,
}

/// Words in one block of the expander.
pub const BLOCK_WORDS: usize = 16;

/// ChaCha's input state for block 0 of a stream; word 12 is the block counter.
#[must_use]
pub fn initial_state(seed: &[u8; 32], domain: Domain, poly: u32, limb: u32) -> [u32; BLOCK_WORDS] {
    let mut state = [0; BLOCK_WORDS];
    // "expand 32-byte k", RFC 8439 section 2.3.
    state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646E, 0x7962_2D32, 0x6B20_6574]);
    for (word, bytes) in state[4..12].iter_mut().zip(seed.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    state[13..].copy_from_slice(&[domain as u32, poly, limb]);
    state
}

/// Block `counter` of the stream that starts from `initial`. Constant time.
#[must_use]
pub fn block(initial: &[u32; BLOCK_WORDS], counter: u32) -> [u32; BLOCK_WORDS] {
    let mut start = *initial;
    start[12] = counter;
    let mut x = start;
    for _ in 0..10 {
        for column in 0..4 {
            quarter_round(&mut x, [column, 4 + column, 8 + column, 12 + column]);
        }
        for column in 0..4 {
            let diagonal = |row: usize| 4 * row + (column + row) % 4;
            quarter_round(&mut x, [diagonal(0), diagonal(1), diagonal(2), diagonal(3)]);
        }
    }
    for (x, start) in x.iter_mut().zip(start) {
        *x = x.wrapping_add(start);
    }
    x
}

fn quarter_round(x: &mut [u32; BLOCK_WORDS], [a, b, c, d]: [usize; 4]) {
    for (left, right) in [(16, 12), (8, 7)] {
        x[a] = x[a].wrapping_add(x[b]);
        x[d] = (x[d] ^ x[a]).rotate_left(left);
        x[c] = x[c].wrapping_add(x[d]);
        x[b] = (x[b] ^ x[c]).rotate_left(right);
    }
}

/// The words of a stream from block 0 on.
pub fn words(seed: &[u8; 32], domain: Domain, poly: u32, limb: u32) -> impl Iterator<Item = u32> {
    let initial = initial_state(seed, domain, poly, limb);
    (0..=u32::MAX).flat_map(move |counter| block(&initial, counter))
}

/// One limb of `a_poly` in NTT order: uniform in `[0, p)`. Public, so its time may depend on it.
pub fn uniform(seed: &[u8; 32], modulus: Modulus, poly: u32, limb: u32, out: &mut [u32]) {
    let mask = (1 << modulus.bits()) - 1;
    let stream = words(seed, Domain::A, poly, limb);
    for (index, (out, word)) in out.iter_mut().zip(stream).enumerate() {
        *out = word & mask;
        if *out >= modulus.value() {
            // A row has at most 2^15 words.
            *out = redraw(seed, modulus, poly, limb, index as u32);
        }
    }
}

/// Coefficient `index` when its first word was not below p: from a block of its own.
#[must_use]
pub fn redraw(seed: &[u8; 32], modulus: Modulus, poly: u32, limb: u32, index: u32) -> u32 {
    first_below(modulus, &block(&initial_state(seed, Domain::Overflow, poly, limb), index))
}

/// The residue that an overflow block gives.
pub(crate) fn first_below(modulus: Modulus, words: &[u32; BLOCK_WORDS]) -> u32 {
    let mask = (1 << modulus.bits()) - 1;
    let first_below = words.iter().map(|word| word & mask).find(|&word| word < modulus.value());
    // Sixteen misses have probability below 2^-16 even for the worst prime; then a multiply decides.
    first_below.unwrap_or_else(|| {
        let wide = u128::from(u64::from(words[0]) | u64::from(words[1]) << 32);
        ((wide * u128::from(modulus.value())) >> 64) as u32
    })
}

/// Centred binomial coefficients, CBD(32): popcount of one word minus popcount of the next. Constant time.
pub fn small(seed: &[u8; 32], domain: Domain, poly: u32, out: &mut [i32]) {
    let initial = initial_state(seed, domain, poly, 0);
    for (counter, out) in (0..).zip(out.chunks_mut(BLOCK_WORDS / 2)) {
        let mut words = block(&initial, counter);
        for (out, pair) in out.iter_mut().zip(words.as_chunks::<2>().0) {
            // At most 32 ones in a word.
            *out = ones(pair[0]) as i32 - ones(pair[1]) as i32;
        }
        zeroize::Zeroize::zeroize(&mut words);
    }
}

/// Population count by adds and masks: a table would be indexed by the secret.
#[inline(always)]
pub(crate) fn ones(word: u32) -> u32 {
    let pairs = word - ((word >> 1) & 0x5555_5555);
    let nibbles = (pairs & 0x3333_3333) + ((pairs >> 2) & 0x3333_3333);
    (((nibbles + (nibbles >> 4)) & 0x0F0F_0F0F).wrapping_mul(0x0101_0101)) >> 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_function_is_rfc_8439s() {
        // Section 2.3.2: key 00..1f, nonce 000000090000004a00000000, counter 1.
        let seed: [u8; 32] = core::array::from_fn(|i| i as u8);
        let mut initial = initial_state(&seed, Domain::A, 0, 0);
        initial[13..].copy_from_slice(&[0x0900_0000, 0x4A00_0000, 0]);
        let expected = [
            0xE4E7_F110,
            0x1559_3BD1,
            0x1FDD_0F50,
            0xC471_20A3,
            0xC7F4_D1C7,
            0x0368_C033,
            0x9AAA_2204,
            0x4E6C_D4C3,
            0x4664_82D2,
            0x09AA_9F07,
            0x05D7_C214,
            0xA202_8BD9,
            0xD19C_12B5,
            0xB94E_16DE,
            0xE883_D0CB,
            0x4E3C_50A2,
        ];
        assert_eq!(block(&initial, 1), expected);
    }

    #[test]
    fn ones_counts() {
        for word in [0, 1, 0x8000_0000, 0x5555_5555, 0xFFFF_0000, u32::MAX, 0x1234_5678] {
            assert_eq!(ones(word), word.count_ones());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "minutes under an interpreter")]
    fn rejected_words_are_drawn_again_from_their_own_block() {
        // 2^22 - p is 0.6 % of 2^22: 4096 words have some two dozen rejections.
        let (seed, modulus) = ([3; 32], Modulus::P22);
        let mut row = vec![0; 4096];
        uniform(&seed, modulus, 9, 0, &mut row);
        let mut redrawn = 0;
        for (index, word) in words(&seed, Domain::A, 9, 0).take(4096).enumerate() {
            let masked = word & 0x3F_FFFF;
            if masked >= modulus.value() {
                redrawn += 1;
                assert_eq!(row[index], redraw(&seed, modulus, 9, 0, index as u32));
            } else {
                assert_eq!(row[index], masked);
            }
        }
        assert!(redrawn > 5);
        assert!(row.iter().all(|&w| w < modulus.value()));
    }
}
