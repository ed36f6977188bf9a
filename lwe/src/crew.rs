//! Work on many robots' keys, shared by threads: what comes of each does not depend on the others.

use std::{panic, thread};

/// Hands consecutive shares of `items` to at most `threads` threads. One result for each share, in order.
pub(crate) fn shares<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if items.len() <= share {
        return vec![work(items)];
    }
    thread::scope(|scope| {
        let work = &work;
        let crew: Vec<_> = items.chunks(share).map(|items| scope.spawn(move || work(items))).collect();
        crew.into_iter().map(|one| one.join().unwrap_or_else(|panic| panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_share_and_shares_are_in_order() {
        for (threads, count) in [(0, 5), (1, 5), (2, 5), (3, 7), (4, 2), (2, 0), (8, 8)] {
            let items: Vec<u32> = (0..count).collect();
            let shares = shares(threads, &items, <[u32]>::to_vec);
            assert!(shares.len() <= threads.max(1), "{threads} threads, {count} items");
            assert_eq!(shares.concat(), items, "{threads} threads, {count} items");
        }
    }
}
