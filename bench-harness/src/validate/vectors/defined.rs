//! Jobs whose answers are the definition's: every kernel, at the lengths, widths and words around which engines break.

use super::{Source, Vector, bytes, unfit};
use crate::failure::Failure;
use crate::record::sha256;
use crate::stats::Random;
use kernels::reference::Reference;
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Modulus, PadJob, Plan, Ring, SealJob,
    Secret, Shape,
};

/// Words without pattern, and among them those at which arithmetic likes to break.
fn words(seed: u64, len: usize) -> Vec<u32> {
    let hostile = [0, 1, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX];
    let mut random = Random(seed);
    let mut word = |at: usize| {
        let word = random.word();
        if at % 8 == 3 { hostile[word as usize % 8] } else { word as u32 }
    };
    (0..len).map(&mut word).collect()
}

fn seed(seed: u64) -> [u8; 32] {
    let mut random = Random(seed);
    core::array::from_fn(|_| random.word() as u8)
}

/// The suites' encodings, and the smallest ring.
fn encodings() -> Result<Vec<Encoding>, Failure> {
    let [p1, p2, p3, p22] = [Modulus::P1, Modulus::P2, Modulus::P3, Modulus::P22].map(|prime| prime.value());
    let encoding = |n, primes: &[u32], bits, base, digits| {
        Encoding::new(Ring::new(n, primes).map_err(unfit)?, bits, base, digits).map_err(unfit)
    };
    Ok(vec![
        encoding(4096, &[p1, p2], 50, 25_501, 3)?,
        encoding(2048, &[p1], 21, 25_501, 1)?,
        encoding(1024, &[p22], 17, 1501, 1)?,
        encoding(256, &[p3, p22], 33, 16, 4)?,
        encoding(256, &[p22], 12, 2, 3)?,
    ])
}

/// Lengths of a message, in digits, at which something ends.
fn lengths(encoding: &Encoding) -> Vec<usize> {
    let digits = encoding.digits_per_coefficient();
    let poly = encoding.ring().n() * digits;
    vec![1, digits + 1, 8 * digits, 33 * digits - 1, poly, poly + 1, 2 * poly + 5]
}

pub(super) fn vectors() -> Result<Vec<Vector>, Failure> {
    let mut all = transforms()?;
    all.extend(pads()?);
    all.extend(messages()?);
    all.extend(sums()?);
    all.extend(openings()?);
    all.extend(dense()?);
    Ok(all)
}

fn defined(
    kernel: &'static str,
    what: String,
    run: impl Fn(&dyn Backend) -> Result<Vec<u8>, Failure> + 'static,
) -> Result<Vector, Failure> {
    let expected = sha256(&run(&Reference)?);
    Ok(Vector { kernel, source: Source::Definition, what, expected, run: Box::new(run) })
}

fn transforms() -> Result<Vec<Vector>, Failure> {
    let mut shapes = Vec::new();
    for prime in [Modulus::P1, Modulus::P2, Modulus::P3, Modulus::P22] {
        // A prime has transforms up to some size.
        shapes.extend((8..=15).filter_map(|log| Plan::new(prime, 1 << log).ok()).map(|plan| (plan, 1)));
    }
    for polys in [2, 3, 7, 8, 9, 33] {
        shapes.push((Plan::new(Modulus::P2, 256).map_err(unfit)?, polys));
    }
    let vector = |(plan, polys): (Plan, usize)| {
        let input = words(polys as u64, polys * plan.n());
        let what = format!("{polys} polynomials mod {}, n = {}", plan.modulus().value(), plan.n());
        defined("ntt", what, move |backend| {
            let mut answer = Vec::new();
            for direction in [Direction::Forward, Direction::Inverse] {
                let mut polys = input.clone();
                backend.ntt(&plan, direction, &mut polys)?;
                answer.extend(bytes(&polys));
            }
            Ok(answer)
        })
    };
    shapes.into_iter().map(vector).collect()
}

fn pads() -> Result<Vec<Vector>, Failure> {
    let mut all = Vec::new();
    let mut rings: Vec<Ring> = encodings()?.iter().map(|encoding| encoding.ring().clone()).collect();
    // Half of the words below 2^17 are not below this prime: many redraws.
    rings.push(Ring::new(32_768, &[65_537]).map_err(unfit)?);
    for ring in rings {
        for (first_poly, polys) in [(3, 1), (3, 2), (0, 5), (u32::MAX - 1, 2)] {
            let (ring, what) = (ring.clone(), format!("{polys} polynomials from {first_poly}, n = {}", ring.n()));
            all.push(defined("pad", what, move |backend| {
                let mut out = vec![0; polys * ring.n() * ring.plans().len()];
                let (a_seed, message_seed) = (&seed(1), &Secret::new(seed(2)));
                backend.pad(&PadJob { ring: &ring, a_seed, message_seed, first_poly }, &mut out)?;
                Ok(bytes(&out))
            })?);
        }
    }
    Ok(all)
}

/// Sealing and encrypting the same lengths.
fn messages() -> Result<Vec<Vector>, Failure> {
    let mut all = Vec::new();
    for encoding in encodings()? {
        for len in lengths(&encoding) {
            let what = format!("{len} digits, n = {}, l = {}", encoding.ring().n(), encoding.bits());
            let (one, other) = (encoding.clone(), encoding.clone());
            all.push(defined("seal", what.clone(), move |backend| {
                let limbs: Vec<u32> = one.ring().plans().iter().map(|plan| plan.modulus().value()).collect();
                let mut pad = words(3, one.pad_len(len));
                // A pad's words are below their prime.
                let prime = |at: usize| limbs[at / one.ring().n() % limbs.len()];
                (0..).zip(&mut pad).for_each(|(at, word)| *word %= prime(at));
                let mut out = vec![0; one.packed_len(len)];
                backend.seal(&SealJob { encoding: &one }, &mut pad, &words(4, len), &mut out)?;
                // And used up: all zero.
                out.extend(bytes(&pad));
                Ok(out)
            })?);
            all.push(defined("encrypt", what, move |backend| {
                let mut out = vec![0; other.packed_len(len)];
                let (a_seed, message_seed) = (&seed(5), &Secret::new(seed(6)));
                let job = EncryptJob { encoding: &other, a_seed, message_seed, first_poly: 7 };
                backend.encrypt(&job, &words(8, len), &mut out)?;
                Ok(out)
            })?);
        }
    }
    Ok(all)
}

fn sums() -> Result<Vec<Vector>, Failure> {
    let mut shapes: Vec<(u32, usize, usize)> = (1..=57).map(|bits| (bits, 67, 5)).collect();
    for bits in [1, 21, 32, 33, 50, 57] {
        shapes.extend([1, 7, 8, 9, 63, 65, 4097].map(|coefficients| (bits, coefficients, 3)));
        shapes.extend([1, 2, 4, 9, 100].map(|rows| (bits, 333, rows)));
    }
    let vector = |(bits, coefficients, rows)| {
        let shape = Shape { bits, coefficients };
        defined("sum", format!("{rows} rows of {coefficients} coefficients, l = {bits}"), move |backend| {
            let row = |row| bytes(&words(row, shape.packed_len().div_ceil(4)));
            let packed: Vec<Vec<u8>> = (0..rows as u64).map(row).collect();
            let packed: Vec<&[u8]> = packed.iter().map(|row| &row[..shape.packed_len()]).collect();
            let mut accumulator = words(9, shape.accumulator_len());
            backend.sum(&shape, &packed, &mut accumulator)?;
            Ok(bytes(&accumulator))
        })
    };
    shapes.into_iter().map(vector).collect()
}

fn openings() -> Result<Vec<Vector>, Failure> {
    let mut all = Vec::new();
    for encoding in encodings()? {
        for len in lengths(&encoding) {
            let what = format!("{len} digits, n = {}, l = {}", encoding.ring().n(), encoding.bits());
            let encoding = encoding.clone();
            all.push(defined("decrypt", what, move |backend| {
                let mut random = Random(10);
                let sum = (0..encoding.ring().n()).map(|_| random.below(6401) as i32 - 3200).collect();
                let (a_seed, secret_sum) = (&seed(11), &Secret::new(sum));
                let accumulator = words(12, encoding.shape(len).accumulator_len());
                let mut digits = vec![0; len];
                let job = DecryptJob { encoding: &encoding, a_seed, secret_sum, first_poly: 1 };
                let noise = backend.decrypt(&job, &accumulator, &mut digits)?;
                let mut answer = bytes(&digits);
                answer.extend(format!("{noise:?}").bytes());
                Ok(answer)
            })?);
        }
    }
    Ok(all)
}

fn dense() -> Result<Vec<Vector>, Failure> {
    let mut all = Vec::new();
    for bits in [1, 22, 32] {
        for dimension in [16, 48, 1040] {
            for rows in [1, 16, 33] {
                let what = format!("{rows} rows, dimension {dimension}, {bits} bits");
                all.push(defined("dense", what, move |backend| {
                    let (a_seed, key) = (&seed(13), &Secret::new(seed(14)));
                    let job = |key| DenseJob { a_seed, dimension, bits, first_row: 5, key };
                    let (mut masked, mut unmasked) = (words(15, rows), words(16, rows));
                    backend.dense(&job(DenseKey::Mask(key)), &mut masked)?;
                    let sum = &Secret::new((0..dimension as i32).map(|at| 37 * at - 900).collect());
                    backend.dense(&job(DenseKey::Unmask(sum)), &mut unmasked)?;
                    Ok([bytes(&masked), bytes(&unmasked)].concat())
                })?);
            }
        }
    }
    Ok(all)
}
