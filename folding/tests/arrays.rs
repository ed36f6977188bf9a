//! Arrays of any memory order are updates in their logical order.
#![cfg(feature = "ndarray")]

use kernels::cpu::Cpu;
use ndarray::{Array1, Array2, Array3, ArrayView, Dimension, s};
use rand::{SeedableRng, rngs};
use tensorguard_folding::lwe::{FleetSharedKey, ForgetfulLog, RobotId, UpdateId};
use tensorguard_folding::{Floats, Round, RoundTerms, Update, bf16, f16};

fn read(floats: &dyn Floats, start: usize, count: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; count];
    floats.read(start, &mut out);
    out
}

/// From every place to every place behind it, across rows.
fn check<A: Copy + Into<f32> + Sync, D: Dimension>(array: ArrayView<'_, A, D>)
where
    [A]: Floats,
{
    let values: Vec<f32> = array.iter().map(|&value| value.into()).collect();
    assert_eq!(Floats::len(&array), values.len());
    for start in 0..values.len() {
        for end in start..=values.len() {
            assert_eq!(read(&array, start, end - start), values[start..end], "{:?}, from {start}", array.shape());
        }
    }
}

#[test]
fn views_are_read_in_logical_order() {
    let array = Array2::from_shape_fn((5, 7), |(row, column)| (10 * row + column) as f32);
    let (turned, every_second) = (array.t(), array.slice(s![.., ..;2]));
    assert_eq!(read(&array, 8, 3), [11.0, 12.0, 13.0]);
    assert_eq!(read(&turned, 3, 3), [30.0, 40.0, 1.0]);
    assert_eq!(read(&every_second, 3, 3), [6.0, 10.0, 12.0]);
    for view in [array.view(), turned, every_second, array.slice(s![..;-1, 2..3])] {
        check(view);
    }
    let row = Array1::from_iter((0..20).map(|value| value as f32));
    check(row.slice(s![..;-3]));
    let cube = Array3::from_shape_fn((2, 3, 4), |(a, b, c)| (100 * a + 10 * b + c) as f32);
    check(cube.view().permuted_axes([2, 0, 1]));
    check(cube.slice(s![.., 1.., ..;-2]));
    check(cube.view().permuted_axes([1, 2, 0]).into_dyn());
}

#[test]
fn halves_are_values_too() {
    let array = Array2::from_shape_fn((4, 6), |(row, column)| f16::from_f32((row + 8 * column) as f32));
    check(array.view());
    check(array.t());
    check(array.mapv(|value| bf16::from_f32(value.to_f32())).t());
}

/// More than one stretch long, so that reading goes on somewhere in the middle of a row.
#[test]
fn a_transposed_view_is_encrypted_to_the_bytes_of_its_values() {
    let (rows, columns) = (41, 67);
    let array =
        Array2::from_shape_fn((rows, columns), |(row, column)| (row as f32).mul_add(0.02, column as f32 * -0.01));
    // Under a shared key the same message is the same bytes.
    let key = FleetSharedKey::generate(&mut rngs::ChaCha20Rng::from_seed([1; 32]));
    let round = Round::new(&RoundTerms::new(rows * columns, 20, 1.0, key.model())).unwrap();
    let encrypt = |values: &dyn Floats| {
        let key = key.message_key(round.agreement(), RobotId([1; 32])).unwrap();
        let update = Update::new(UpdateId([2; 32]), values);
        round.encrypt(key, update, &mut ForgetfulLog::default(), &Cpu::best(1)).unwrap().0.into_bytes()
    };
    let values: Vec<f32> = array.t().iter().copied().collect();
    assert!(encrypt(&array.t()) == encrypt(&values));
    assert!(encrypt(&array) != encrypt(&values));
}
