use super::{same, secret_sum};
use crate::Rand;
use kernels::reference::Reference;
use kernels::{Backend, DenseJob, DenseKey, Secret};

fn check(backend: &dyn Backend, job: &DenseJob<'_>, rows: usize) {
    let mut got = Rand::new(rows as u64).words(rows);
    let mut expected = got.clone();
    backend.dense(job, &mut got).unwrap();
    Reference.dense(job, &mut expected).unwrap();
    same(&got, &expected, format_args!("{rows} rows from {}, {} bits", job.first_row, job.bits));
}

pub fn masks_and_unmasks(backend: &dyn Backend) {
    let mut rand = Rand::new(1);
    let (a_seed, seeds) = (rand.seed(), [rand.secret(), rand.secret()]);
    let sum = secret_sum(1024, &seeds);
    let job = |key| DenseJob { a_seed: &a_seed, dimension: 1024, bits: 22, first_row: 40, key };
    let mut rows = vec![0u32; 50];
    for (robot, seed) in seeds.iter().enumerate() {
        check(backend, &job(DenseKey::Mask(seed)), 50);
        let mut masked: Vec<u32> = (0..50).map(|i| (i + robot as u32) << 12).collect();
        backend.dense(&job(DenseKey::Mask(seed)), &mut masked).unwrap();
        rows.iter_mut().zip(masked).for_each(|(sum, row)| *sum = sum.wrapping_add(row));
    }
    check(backend, &job(DenseKey::Unmask(&sum)), 50);
    backend.dense(&job(DenseKey::Unmask(&sum)), &mut rows).unwrap();
    // Two errors of CBD(32) stay far below half of the step 2^12.
    let opened: Vec<u32> = rows.iter().map(|row| (row + (1 << 11)) >> 12 & 0x3FF).collect();
    same(&opened, &(0..50).map(|i| 2 * i + 1).collect::<Vec<_>>(), format_args!("the messages' sums"));
}

pub fn hostile_rows(backend: &dyn Backend) {
    let seed = Rand::new(2).secret();
    let job =
        |first_row| DenseJob { a_seed: &[3; 32], dimension: 1024, bits: 22, first_row, key: DenseKey::Mask(&seed) };
    for rows in [0, 1, 15, 16, 17, 33, 65] {
        check(backend, &job(0), rows);
    }
    check(backend, &job(u32::MAX), 1);
    check(backend, &job(u32::MAX - 69), 70);
}

pub fn past_a_dispatch_limit(backend: &dyn Backend) {
    // More rows than a grid of one dimension has workgroups.
    let seed = Rand::new(4).secret();
    let key = DenseKey::Mask(&seed);
    check(backend, &DenseJob { a_seed: &[5; 32], dimension: 16, bits: 22, first_row: 1, key }, (1 << 16) + 1);
}

pub fn every_width(backend: &dyn Backend) {
    let seed = Rand::new(3).secret();
    for bits in 1..=32 {
        for dimension in [16, 48, 256, 1040] {
            let sum = Secret::new(vec![i32::MIN; dimension]);
            for key in [DenseKey::Mask(&seed), DenseKey::Unmask(&sum)] {
                check(backend, &DenseJob { a_seed: &[4; 32], dimension, bits, first_row: 7, key }, 3);
            }
        }
    }
}
