//! Rows of unstructured LWE.

use super::numbered;
use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS};
use crate::trip::{Privacy, Trip, staged};
use kernels::expand::BLOCK_WORDS;
use kernels::{DenseJob, DenseKey, Fault, Secret};

pub(crate) fn run(core: &Core, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
    job.check(rows);
    if job.dimension > Core::most_words() {
        return Err(Fault::Declined);
    }
    // A piece is a few hundred thousand blocks at most: long rows are few.
    let most = core.units(job.dimension / BLOCK_WORDS);
    if rows.len() <= most {
        return piece(core, job, 0, rows);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = Secret::new(rows.to_vec());
    for (index, rows) in all.expose_mut().chunks_mut(most).enumerate() {
        piece(core, job, index * most, rows)?;
    }
    rows.copy_from_slice(all.expose());
    Ok(())
}

fn piece(core: &Core, job: &DenseJob<'_>, first: usize, rows: &mut [u32]) -> Result<(), Fault> {
    let count = rows.len();
    if count == 0 {
        return Ok(());
    }
    let mut numbers = Numbers::new();
    numbers.public_seed(job.a_seed);
    numbers.set(Word::bits, job.bits as usize);
    numbers.set(Word::dimension, job.dimension);
    numbers.set(Word::rows, count);
    numbers.set(Word::first_poly, numbered(job.first_row, first));
    let (sign, uploads) = match job.key {
        DenseKey::Mask(seed) => {
            numbers.message_seed(seed);
            (1, staged(count))
        }
        // -1, wrapping.
        DenseKey::Unmask(_) => (u32::MAX, staged(count) + staged(job.dimension)),
    };
    numbers.set(Word::sign, sign as usize);
    let mut trip = Trip::new(core, Privacy::Secret, uploads)?;
    let numbers = trip.upload(numbers.words())?;
    let values = trip.upload(rows)?;
    let secret = match job.key {
        DenseKey::Mask(_) => {
            let secret = trip.scratch(job.dimension)?;
            let blocks = job.dimension / (BLOCK_WORDS / 2);
            trip.run(Kernel::DenseSecret, &[&numbers, &secret], blocks.div_ceil(THREADS))?;
            secret
        }
        DenseKey::Unmask(sum) => trip.upload(bytemuck::cast_slice(sum.expose()))?,
    };
    trip.run(Kernel::DenseRows, &[&numbers, &secret, &values], count)?;
    trip.finish(&[(&values, count)], |parts| rows.copy_from_slice(bytemuck::cast_slice(parts[0])))
}
