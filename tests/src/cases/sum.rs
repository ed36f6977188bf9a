use super::same;
use crate::Rand;
use kernels::reference::Reference;
use kernels::{Backend, Shape};

fn check(backend: &dyn Backend, shape: Shape, rows: usize, skew: usize) {
    let mut rand = Rand::new(shape.coefficients as u64 + u64::from(shape.bits));
    let bytes = shape.packed_len();
    let buffer = rand.bytes(rows * bytes + skew);
    let rows: Vec<&[u8]> = (0..rows).map(|row| &buffer[skew + row * bytes..][..bytes]).collect();
    let mut got = rand.words(shape.accumulator_len());
    let mut expected = got.clone();
    backend.sum(&shape, &rows, &mut got).unwrap();
    Reference.sum(&shape, &rows, &mut expected).unwrap();
    same(&got, &expected, format_args!("{} rows of {shape:?}", rows.len()));
}

pub fn every_width(backend: &dyn Backend) {
    for bits in 1..=57 {
        for coefficients in [8, 67] {
            check(backend, Shape { bits, coefficients }, 5, 0);
        }
    }
}

pub fn hostile_lengths(backend: &dyn Backend) {
    for bits in [1, 21, 32, 33, 50, 57] {
        for coefficients in [0, 1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 4095, 4096, 4097, 9001] {
            check(backend, Shape { bits, coefficients }, 3, 0);
        }
    }
}

pub fn row_counts(backend: &dyn Backend) {
    for rows in [0, 1, 2, 3, 4, 5, 7, 8, 9, 100] {
        check(backend, Shape { bits: 50, coefficients: 333 }, rows, 0);
        check(backend, Shape { bits: 17, coefficients: 333 }, rows, 0);
    }
}

pub fn hostile_words(backend: &dyn Backend) {
    for (bits, fill) in [(32, 0xFF), (50, 0xFF), (57, 0xFF), (12, 0), (1, 0xFF)] {
        let shape = Shape { bits, coefficients: 45 };
        let row = vec![fill; shape.packed_len()];
        // Enough carries to run over every word, from an accumulator that is all ones above and below l bits.
        let rows = vec![row.as_slice(); 19];
        let mut got = vec![u32::MAX; shape.accumulator_len()];
        let mut expected = got.clone();
        backend.sum(&shape, &rows, &mut got).unwrap();
        Reference.sum(&shape, &rows, &mut expected).unwrap();
        same(&got, &expected, format_args!("all {fill:#x}, {bits} bits"));
    }
}

pub fn unaligned_rows(backend: &dyn Backend) {
    for skew in [1, 2, 3, 5, 7] {
        check(backend, Shape { bits: 50, coefficients: 1000 }, 4, skew);
        check(backend, Shape { bits: 21, coefficients: 1000 }, 4, skew);
    }
}
