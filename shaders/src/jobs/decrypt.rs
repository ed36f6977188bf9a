//! Opening a sum.

use super::{numbered, pad};
use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS};
use crate::trip::{Privacy, Trip, staged};
use kernels::{DecryptJob, Fault, Noise, Secret};

/// Words of one workgroup's record of statistics: see decrypt.wgsl.
pub(crate) const RECORD: usize = 12;

pub(crate) fn run(core: &Core, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
    job.check(accumulator, digits);
    let encoding = job.encoding;
    let (n, rho) = (encoding.ring().n(), encoding.digits_per_coefficient());
    let width = encoding.shape(0).words_per_value();
    let polys = core.units(n * rho.max(encoding.ring().plans().len()));
    if encoding.polys(digits.len()) <= polys {
        return piece(core, job, 0, accumulator, digits);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = Secret::new(vec![0; digits.len()]);
    let mut noise = Noise::default();
    let parts = all.expose_mut().chunks_mut(polys * n * rho).zip(accumulator.chunks(polys * n * width));
    for (index, (digits, accumulator)) in parts.enumerate() {
        noise = noise + piece(core, job, index * polys, accumulator, digits)?;
    }
    digits.copy_from_slice(all.expose());
    Ok(noise)
}

fn piece(
    core: &Core,
    job: &DecryptJob<'_>,
    first: usize,
    accumulator: &[u32],
    digits: &mut [u32],
) -> Result<Noise, Fault> {
    let (encoding, words) = (job.encoding, digits.len());
    if words == 0 {
        return Ok(Noise::default());
    }
    let ring = encoding.ring();
    let coefficients = encoding.coefficients(words);
    let pad_words = encoding.pad_len(words);
    let mut numbers = Numbers::encoding(encoding);
    numbers.public_seed(job.a_seed);
    numbers.set(Word::first_poly, numbered(job.first_poly, first));
    numbers.set(Word::polys, encoding.polys(words));
    numbers.set(Word::digits, words);
    numbers.set(Word::coefficients, coefficients);
    let mut trip = Trip::new(core, Privacy::Secret, staged(ring.n()) + staged(accumulator.len()))?;
    let key = trip.upload(bytemuck::cast_slice(job.secret_sum.expose()))?;
    let accumulator = trip.upload(accumulator)?;
    let made = trip.scratch(ring.n() * ring.plans().len())?;
    let secret = pad::secret(&mut trip, core, ring, &mut numbers, |trip, numbers| {
        trip.run(Kernel::KeyRows, &[numbers, &key, &made], ring.n().div_ceil(THREADS))?;
        Ok(made)
    })?;
    numbers.set(Word::words, pad_words);
    let numbers = trip.upload(numbers.words())?;
    let rows = pad::product(&mut trip, core, ring, [&numbers, &secret], pad_words)?;
    let opened = trip.scratch(words)?;
    let groups = coefficients.div_ceil(THREADS);
    let records = trip.scratch(RECORD * groups)?;
    trip.run(Kernel::OpenSums, &[&numbers, &rows, &accumulator, &opened, &records], groups)?;
    let mut noise = Noise { coefficients: coefficients as u64, ..Noise::default() };
    trip.finish(&[(&opened, words), (&records, RECORD * groups)], |parts| {
        digits.copy_from_slice(bytemuck::cast_slice(parts[0]));
        let records: &[u32] = bytemuck::cast_slice(parts[1]);
        noise = records.as_chunks::<RECORD>().0.iter().fold(noise, |noise, record| noise + statistics(record));
    })?;
    Ok(noise)
}

/// One workgroup's record.
fn statistics(record: &[u32; RECORD]) -> Noise {
    let unsigned = |words: &[u32]| words.iter().rev().fold(0u128, |sum, &word| sum << 32 | u128::from(word));
    // 96 bits, signed.
    let sum = (unsigned(&record[4..7]) << 32) as i128 >> 32;
    Noise {
        coefficients: 0,
        refused: record[7].into(),
        max_abs: unsigned(&record[8..10]) as u64,
        sum,
        sum_squares: unsigned(&record[..4]),
    }
}
