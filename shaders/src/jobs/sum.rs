//! Packed rows into an accumulator. Public data.

use crate::Core;
use crate::numbers::{Numbers, Word};
use crate::pipeline::{Kernel, THREADS};
use crate::trip::{Privacy, Trip, staged};
use kernels::{Fault, Shape};

/// Rows that share a trip, if there are so many: the accumulator goes up and down once for all of them.
const ROWS: usize = 32;
/// Pieces begin at whole words whatever the width.
const WORD_BITS: usize = 32;

pub(crate) fn run(core: &Core, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
    shape.check(rows, accumulator);
    let bits = shape.bits as usize;
    // The rows of a trip fill a piece, or the accumulator does: two words a value at most.
    let words = core.piece_words / rows.len().clamp(1, ROWS);
    let most = core.piece_words / (2 * WORD_BITS);
    let coefficients = (words / bits).min(most).max(1) * WORD_BITS;
    if shape.coefficients <= coefficients && rows.len() <= core.units(shape.packed_len().div_ceil(4)) {
        return piece(core, *shape, rows.iter().copied(), accumulator);
    }
    // Outputs stay as they are until every piece has worked.
    let mut all = accumulator.to_vec();
    for (index, accumulator) in all.chunks_mut(coefficients * shape.words_per_value()).enumerate() {
        let own = Shape { coefficients: accumulator.len() / shape.words_per_value(), ..*shape };
        let start = index * coefficients / WORD_BITS * bits * (WORD_BITS / 8);
        // No rows at all still cut the accumulator to its bits.
        for rows in at_least_once(rows, core.units(own.packed_len().div_ceil(4))) {
            let rows = rows.iter().map(|row| &row[start..start + own.packed_len()]);
            piece(core, own, rows, accumulator)?;
        }
    }
    accumulator.copy_from_slice(&all);
    Ok(())
}

fn at_least_once<'r, 'b>(rows: &'r [&'b [u8]], count: usize) -> impl Iterator<Item = &'r [&'b [u8]]> {
    let none = rows.is_empty().then_some(rows);
    none.into_iter().chain(rows.chunks(count))
}

fn piece<'r>(
    core: &Core,
    shape: Shape,
    rows: impl ExactSizeIterator<Item = &'r [u8]>,
    accumulator: &mut [u32],
) -> Result<(), Fault> {
    if accumulator.is_empty() {
        return Ok(());
    }
    let row_words = shape.packed_len().div_ceil(4);
    let mut numbers = Numbers::new();
    numbers.set(Word::bits, shape.bits as usize);
    numbers.set(Word::value_words, shape.words_per_value());
    numbers.set(Word::coefficients, shape.coefficients);
    numbers.set(Word::rows, rows.len());
    numbers.set(Word::row_words, row_words);
    let uploads = staged(rows.len() * row_words) + staged(accumulator.len());
    let mut trip = Trip::new(core, Privacy::Public, uploads)?;
    let numbers = trip.upload(numbers.words())?;
    let rows = trip.upload_rows(rows, row_words)?;
    let totals = trip.upload(accumulator)?;
    trip.run(Kernel::Sum, &[&numbers, &rows, &totals], shape.coefficients.div_ceil(THREADS))?;
    let words = accumulator.len();
    trip.finish(&[(&totals, words)], |parts| accumulator.copy_from_slice(bytemuck::cast_slice(parts[0])))
}
