//! The engine for any processor: vectors are arrays, and the compiler makes of them what it can. It is also how the
//! shared bodies run under an interpreter that knows no vector instructions.

use super::simd::{Body, PackedEight, Simd};

/// Always there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

const LANES: usize = 8;
type Words = [u32; LANES];

impl Portable {
    pub(super) fn run<B: Body>(self, body: B) -> B::Output {
        body.run(self)
    }
}

#[inline(always)]
fn each(a: Words, b: Words, f: impl Fn(u32, u32) -> u32) -> Words {
    core::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn wide(a: Words, i: usize) -> u64 {
    u64::from(a[2 * i]) | u64::from(a[2 * i + 1]) << 32
}

#[inline(always)]
fn from_wide(f: impl Fn(usize) -> u64) -> Words {
    core::array::from_fn(|i| (f(i / 2) >> (32 * (i % 2))) as u32)
}

impl Simd for Portable {
    const LANES: usize = LANES;
    const PAIRS_OF_GROUPS: bool = false;
    type V = Words;

    #[inline(always)]
    fn splat(self, word: u32) -> Words {
        [word; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[u32]) -> Words {
        core::array::from_fn(|i| from[..LANES][i])
    }

    #[inline(always)]
    fn store(self, value: Words, to: &mut [u32]) {
        to[..LANES].copy_from_slice(&value);
    }

    #[inline(always)]
    fn add(self, a: Words, b: Words) -> Words {
        each(a, b, u32::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, a: Words, b: Words) -> Words {
        each(a, b, u32::wrapping_sub)
    }

    #[inline(always)]
    fn xor(self, a: Words, b: Words) -> Words {
        each(a, b, |a, b| a ^ b)
    }

    #[inline(always)]
    fn and(self, a: Words, b: Words) -> Words {
        each(a, b, |a, b| a & b)
    }

    #[inline(always)]
    fn min(self, a: Words, b: Words) -> Words {
        // By the borrow's mask: a comparison might become a branch, and the operands may be secret.
        each(a, b, |a, b| {
            let borrow = (u64::from(a).wrapping_sub(u64::from(b)) >> 32) as u32;
            b ^ ((a ^ b) & borrow)
        })
    }

    #[inline(always)]
    fn mul_low(self, a: Words, b: Words) -> Words {
        each(a, b, u32::wrapping_mul)
    }

    #[inline(always)]
    fn mul_high(self, a: Words, b: Words) -> Words {
        each(a, b, |a, b| ((u64::from(a) * u64::from(b)) >> 32) as u32)
    }

    #[inline(always)]
    fn mul_high_paired(self, a: Words, b: Words) -> Words {
        self.mul_high(a, b)
    }

    #[inline(always)]
    fn rotate_left<const BY: i32>(self, a: Words) -> Words {
        a.map(|a| a.rotate_left(BY as u32))
    }

    #[inline(always)]
    fn shift_left<const BY: u32>(self, a: Words) -> Words {
        a.map(|a| a << BY)
    }

    #[inline(always)]
    fn shift_right(self, a: Words, by: u32) -> Words {
        a.map(|a| a >> by)
    }

    #[inline(always)]
    fn ones(self, a: Words) -> Words {
        a.map(crate::expand::ones)
    }

    #[inline(always)]
    fn any_at_least(self, a: Words, b: Words) -> bool {
        a.iter().zip(b).any(|(&a, b)| a >= b)
    }

    #[inline(always)]
    fn exchange<const T: usize>(self, a: Words, b: Words) -> (Words, Words) {
        let low = core::array::from_fn(|i| if i & T == 0 { a[i] } else { b[i - T] });
        let high = core::array::from_fn(|i| if i & T == 0 { a[(i + T) % LANES] } else { b[i] });
        (low, high)
    }

    #[inline(always)]
    fn zip(self, a: Words, b: Words) -> (Words, Words) {
        let at = |i: usize| if i.is_multiple_of(2) { a[i / 2] } else { b[i / 2] };
        (core::array::from_fn(at), core::array::from_fn(|i| at(i + LANES)))
    }

    #[inline(always)]
    fn unzip(self, a: Words, b: Words) -> (Words, Words) {
        let at = |i: usize| if i < LANES { a[i] } else { b[i - LANES] };
        (core::array::from_fn(|i| at(2 * i)), core::array::from_fn(|i| at(2 * i + 1)))
    }

    #[inline(always)]
    fn bytes(self, from: &[u32]) -> Words {
        core::array::from_fn(|i| from[i / 4] >> (8 * (i % 4)) & 0xFF)
    }

    #[inline(always)]
    fn store_blocks(self, state: &[Words; 16], to: &mut [u32]) {
        for (block, to) in to[..16 * LANES].chunks_exact_mut(16).enumerate() {
            for (to, words) in to.iter_mut().zip(state) {
                *to = words[block];
            }
        }
    }

    #[inline(always)]
    fn every(self, from: &[u32], stride: usize, first: usize) -> Words {
        core::array::from_fn(|i| from[first + i * stride])
    }

    #[inline(always)]
    fn interleave<const STRIDE: usize>(self, planes: &[Words; STRIDE], to: &mut [u32]) {
        for (i, to) in to[..LANES * STRIDE].iter_mut().enumerate() {
            *to = planes[i % STRIDE][i / STRIDE];
        }
    }

    #[inline(always)]
    fn sub_wide(self, a: Words, b: Words) -> Words {
        from_wide(|i| wide(a, i).wrapping_sub(wide(b, i)))
    }

    #[inline(always)]
    fn shift_left_wide(self, a: Words, by: u32) -> Words {
        from_wide(|i| wide(a, i) << by)
    }

    #[inline(always)]
    fn add_if_above(self, base: Words, x: Words, bound: Words, addend: Words) -> Words {
        // By the sign's mask, as in `min`.
        from_wide(|i| {
            let above = (wide(bound, i).wrapping_sub(wide(x, i)) as i64 >> 63) as u64;
            wide(base, i).wrapping_add(wide(addend, i) & above)
        })
    }

    #[inline(always)]
    fn zip_wide(self, a: Words, b: Words) -> (Words, Words) {
        let at = |i: usize| if i.is_multiple_of(2) { wide(a, i / 2) } else { wide(b, i / 2) };
        (from_wide(at), from_wide(|i| at(i + LANES / 2)))
    }

    #[inline(always)]
    fn unzip_wide(self, a: Words, b: Words) -> (Words, Words) {
        let at = |i: usize| if i < LANES / 2 { wide(a, i) } else { wide(b, i - LANES / 2) };
        (from_wide(|i| at(2 * i)), from_wide(|i| at(2 * i + 1)))
    }

    #[inline(always)]
    fn add_wide(self, a: Words, b: Words) -> Words {
        from_wide(|i| wide(a, i).wrapping_add(wide(b, i)))
    }

    #[inline(always)]
    fn mul_wide(self, a: Words, b: Words) -> Words {
        from_wide(|i| u64::from(a[2 * i]) * u64::from(b[2 * i]))
    }

    #[inline(always)]
    fn shift_right_wide(self, a: Words, by: u32) -> Words {
        from_wide(|i| wide(a, i) >> by)
    }

    #[inline(always)]
    fn shift_left_32_wide(self, a: Words) -> Words {
        from_wide(|i| wide(a, i) << 32)
    }

    #[inline(always)]
    fn splat_wide(self, word: u64) -> Words {
        from_wide(|_| word)
    }

    #[inline(always)]
    fn add_packed<const WIDE: bool, const ROWS: usize>(
        self,
        rows: &[&[u8]; ROWS],
        at: usize,
        bits: &PackedEight,
        accumulator: &mut [u32],
    ) {
        bits.add::<WIDE>(rows, at, accumulator);
    }
}
