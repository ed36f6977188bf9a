//! The definition: every job in its plainest form. Slow, single-threaded, integers only; every engine must equal it.
//!
//! Letters are the scheme's: `a`, `s`, `e`, `q`, `l`, `Delta`, `T`; see docs/KERNELS.md.

use crate::expand::{Domain, small, uniform, words};
use crate::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, Fault, Noise, PadJob, SealJob, Secret, Shape,
};
use ntt::{Plan, forward, inverse, multiply, reduce_once};
use zeroize::Zeroize;

/// The definition, as a backend: always present, never fast.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        assert!(polys.len().is_multiple_of(plan.n()), "a batch is a whole number of polynomials");
        for poly in polys.chunks_exact_mut(plan.n()) {
            match direction {
                Direction::Forward => forward(plan, poly),
                Direction::Inverse => inverse(plan, poly),
            }
        }
        Ok(())
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        job.polys(out);
        let (n, limbs) = (job.ring.n(), job.ring.plans().len());
        let seed = job.message_seed.expose();
        let mut s = Secret::new(vec![0; n]);
        small(seed, Domain::S, 0, s.expose_mut());
        for (poly, out) in (job.first_poly..=u32::MAX).zip(out.chunks_exact_mut(n * limbs)) {
            let mut e = Secret::new(vec![0; n]);
            small(seed, Domain::E, poly, e.expose_mut());
            for (limb, (plan, out)) in (0..).zip(job.ring.plans().iter().zip(out.chunks_exact_mut(n))) {
                product(plan, job.a_seed, poly, limb, s.expose(), out);
                let p = plan.modulus().value();
                for (out, &e) in out.iter_mut().zip(e.expose()) {
                    *out = reduce_once(*out + residue(e, p), p);
                }
            }
        }
        Ok(())
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        job.check(pad, digits, out);
        let encoding = job.encoding;
        let (n, limbs) = (encoding.ring().n(), encoding.ring().plans().len());
        out.fill(0);
        let mut wire = Bits { bytes: out, at: 0 };
        for (index, digits) in digits.chunks(encoding.digits_per_coefficient()).enumerate() {
            let row = &pad[index / n * n * limbs..];
            let mut residues = [0; 2];
            for (limb, residue) in residues.iter_mut().enumerate().take(limbs) {
                let p = encoding.ring().plans()[limb].modulus().value();
                *residue = row[limb * n + index % n];
                for (factor, &digit) in encoding.limbs()[limb].digit_factors.iter().zip(digits) {
                    *residue = reduce_once(*residue + factor.mul(p, digit), p);
                }
            }
            wire.push(round(encoding, residues), encoding.bits());
            residues.zeroize();
        }
        pad.zeroize();
        Ok(())
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        shape.check(rows, accumulator);
        for (index, value) in accumulator.chunks_exact_mut(shape.words_per_value()).enumerate() {
            let start = load(value);
            let total = rows.iter().fold(start, |sum, row| sum.wrapping_add(word(row, index, shape.bits)));
            store(value, total & shape.mask());
        }
        Ok(())
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        job.check(accumulator, digits);
        let encoding = job.encoding;
        let (n, rho) = (encoding.ring().n(), encoding.digits_per_coefficient());
        let words = n * encoding.shape(0).words_per_value();
        let mut noise = Noise::default();
        for ((poly, digits), accumulator) in
            (job.first_poly..=u32::MAX).zip(digits.chunks_mut(n * rho)).zip(accumulator.chunks(words))
        {
            let mut limbs: [Secret<Vec<u32>>; 2] = core::array::from_fn(|_| Secret::new(vec![0; n]));
            for ((limb, plan), out) in (0..).zip(encoding.ring().plans()).zip(&mut limbs) {
                product(plan, job.a_seed, poly, limb, job.secret_sum.expose(), out.expose_mut());
            }
            let values = accumulator.chunks_exact(encoding.shape(0).words_per_value());
            for ((index, digits), value) in digits.chunks_mut(rho).enumerate().zip(values) {
                let residues = [limbs[0].expose()[index], limbs[1].expose()[index]];
                let phase = load(value).wrapping_sub(round(encoding, residues)) & encoding.shape(0).mask();
                noise = noise + open(encoding, phase, digits);
            }
        }
        Ok(noise)
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        job.check(rows);
        let mut s = Secret::new(vec![0; job.dimension]);
        match job.key {
            DenseKey::Mask(seed) => small(seed.expose(), Domain::S, 0, s.expose_mut()),
            DenseKey::Unmask(sum) => s.expose_mut().copy_from_slice(sum.expose()),
        }
        for (row, out) in (job.first_row..=u32::MAX).zip(rows) {
            // Two's complement does the signs: every product and sum wraps mod 2^32, and 2^bits divides that.
            let a = words(job.a_seed, Domain::A, row, 0);
            let product = a.zip(s.expose()).fold(0u32, |sum, (a, &s)| sum.wrapping_add(a.wrapping_mul(s as u32)));
            let value = match job.key {
                DenseKey::Mask(seed) => {
                    let mut e = Secret::new([0; 1]);
                    small(seed.expose(), Domain::E, row, e.expose_mut());
                    out.wrapping_add(product).wrapping_add(e.expose()[0] as u32)
                }
                DenseKey::Unmask(_) => out.wrapping_sub(product),
            };
            *out = value & (u32::MAX >> (32 - job.bits));
        }
        Ok(())
    }
}

/// `a_poly * s` mod one prime, in coefficient order and `[0, p)`.
fn product(plan: &Plan, a_seed: &[u8; 32], poly: u32, limb: u32, s: &[i32], out: &mut [u32]) {
    let p = plan.modulus().value();
    for (out, &s) in out.iter_mut().zip(s) {
        *out = residue(s, p);
    }
    forward(plan, out);
    let mut a = vec![0; plan.n()];
    uniform(a_seed, plan.modulus(), poly, limb, &mut a);
    multiply(plan, out, &a);
    inverse(plan, out);
}

/// A signed coefficient mod p, in `[0, p)`, for `|x| < 2^30`. No division: its time would show x.
pub(crate) fn residue(x: i32, p: u32) -> u32 {
    // |x| mod p, as p minus that where x is negative.
    let one = ntt::Shoup { factor: 1, quotient: ((1u64 << 32) / u64::from(p)) as u32 };
    let magnitude = one.mul(p, x.unsigned_abs());
    let sign = (x >> 31) as u32;
    reduce_once((magnitude ^ sign).wrapping_sub(sign).wrapping_add(p & sign), p)
}

/// `round(2^l / q * x) mod 2^l` for x given by its residues: the fractional parts `y_i / p_i` with 64 bits, added.
pub(crate) fn round(encoding: &Encoding, residues: [u32; 2]) -> u64 {
    let mut sum = 0u64;
    for ((limb, plan), residue) in encoding.limbs().iter().zip(encoding.ring().plans()).zip(residues) {
        let y = u64::from(limb.lift.mul(plan.modulus().value(), residue));
        let [t0, t1, t2] = limb.theta.map(u64::from);
        sum = sum.wrapping_add(((y * t0) >> 32).wrapping_add(y * t1).wrapping_add((y * t2) << 32));
    }
    let l = encoding.bits();
    sum.wrapping_add(1 << (63 - l)) >> (64 - l)
}

/// A phase to its digits and the statistics of its noise.
pub(crate) fn open(encoding: &Encoding, phase: u64, digits: &mut [u32]) -> Noise {
    let (l, q, delta) = (encoding.bits(), u128::from(encoding.ring().q()), u128::from(encoding.delta()));
    let modulus = 1u128 << l;
    let half_step = delta * modulus / (2 * q);
    let x = (u128::from(phase) + half_step) % modulus;
    let mut value = (((x * q) >> l) / delta) as u64;
    digits.fill(0);
    if value >= encoding.limit() {
        return Noise { coefficients: 1, refused: 1, ..Noise::default() };
    }
    // q is odd, so there are no ties.
    let expected = (2 * delta * modulus * u128::from(value) + q) / (2 * q);
    let distance = (u128::from(phase) + modulus - expected % modulus) % modulus;
    // l <= 57, so both fit.
    let signed = if distance >= modulus / 2 { distance as i64 - modulus as i64 } else { distance as i64 };
    for digit in digits {
        *digit = (value % encoding.base()) as u32;
        value /= encoding.base();
    }
    let square = u128::from(signed.unsigned_abs()).pow(2);
    Noise { coefficients: 1, refused: 0, max_abs: signed.unsigned_abs(), sum: signed.into(), sum_squares: square }
}

/// Writes words of a few bits one after the other, lowest bit first.
struct Bits<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Bits<'_> {
    fn push(&mut self, word: u64, bits: u32) {
        for bit in 0..bits {
            self.bytes[self.at / 8] |= ((word >> bit & 1) as u8) << (self.at % 8);
            self.at += 1;
        }
    }
}

/// Word `index` of a packed row.
fn word(row: &[u8], index: usize, bits: u32) -> u64 {
    let start = index * bits as usize;
    (0..bits).fold(0, |word, bit| {
        let at = start + bit as usize;
        word | u64::from(row[at / 8] >> (at % 8) & 1) << bit
    })
}

/// One word, or a little-endian pair.
fn load(value: &[u32]) -> u64 {
    value.iter().rev().fold(0, |sum, &word| sum << 32 | u64::from(word))
}

fn store(value: &mut [u32], word: u64) {
    value[0] = word as u32;
    if let Some(high) = value.get_mut(1) {
        *high = (word >> 32) as u32;
    }
}
