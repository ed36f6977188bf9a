//! Arrays of any memory order are updates in their logical order.
#![cfg(feature = "ndarray")]

use ndarray::{Array2, s};
use tensorguard_folding::Floats;

#[test]
fn views_are_read_in_logical_order() {
    let array = Array2::from_shape_fn((5, 7), |(row, column)| (10 * row + column) as f32);
    let turned = array.t();
    let every_second = array.slice(s![.., ..;2]);
    let read = |floats: &dyn Floats, start: usize, count: usize| {
        let mut out = vec![f32::NAN; count];
        floats.read(start, &mut out);
        out
    };
    assert_eq!(read(&array, 8, 3), [11.0, 12.0, 13.0]);
    assert_eq!(read(&turned, 3, 3), [30.0, 40.0, 1.0]);
    assert_eq!(read(&every_second, 3, 3), [6.0, 10.0, 12.0]);
    assert_eq!((turned.len(), every_second.len()), (35, 20));
}
