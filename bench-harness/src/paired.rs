//! The one loop in which things are compared: they take turns, and the order turns round each time.

use crate::failure::Failure;

/// Lets `arms` things take turns: first to last, then last to first, and so on, so that a drift hits all alike. With two,
/// that is ABBA. Gives one row of samples per turn, in the order of the things.
///
/// # Errors
/// The first that `sample` gives.
pub fn take_turns<S>(
    arms: usize,
    turns: std::ops::Range<usize>,
    mut sample: impl FnMut(usize) -> Result<S, Failure>,
) -> Result<Vec<Vec<S>>, Failure> {
    let mut rows = Vec::new();
    for turn in turns {
        let mut row = Vec::new();
        for place in 0..arms {
            row.push(sample(if turn % 2 == 0 { place } else { arms - 1 - place })?);
        }
        if turn % 2 == 1 {
            row.reverse();
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The same for two, as pairs.
///
/// # Errors
/// The first that a side gives.
pub fn pairs<S: Copy>(
    count: usize,
    mut ours: impl FnMut() -> Result<S, Failure>,
    mut theirs: impl FnMut() -> Result<S, Failure>,
) -> Result<Vec<(S, S)>, Failure> {
    let rows = take_turns(2, 0..count, |arm| if arm == 0 { ours() } else { theirs() })?;
    Ok(rows.into_iter().map(|row| (row[0], row[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns_round_each_time_and_rows_keep_the_order_of_the_things() {
        let mut order = Vec::new();
        let rows = take_turns(3, 4..7, |arm| {
            order.push(arm);
            Ok(arm * 10)
        });
        assert_eq!(order, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
        assert_eq!(rows, Ok(vec![vec![0, 10, 20]; 3]));
        let mut order = String::new();
        let both = std::cell::RefCell::new(&mut order);
        let side = |name| {
            let both = &both;
            move || {
                both.borrow_mut().push(name);
                Ok(name)
            }
        };
        assert_eq!(pairs(4, side('A'), side('B')), Ok(vec![('A', 'B'); 4]));
        assert_eq!(order, "ABBAABBA");
    }
}
