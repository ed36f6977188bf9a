//! A caller's own work around a backend's jobs, shared by as many threads as [`Backend::threads`](crate::Backend::threads) says.
//! An engine for CPUs does the job of a thread in a [`queue`] on that thread alone: the other threads have jobs of their own, and
//! what was just written is still in this one's cache.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::{panic, thread};

/// Hands consecutive shares of `items` to at most `threads` threads. One result for each share, in order.
pub fn shares<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
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

/// Lets at most `threads` threads take one task after the other, in any order; each works in a `room` of its own.
///
/// # Errors
/// The first that a task gives. Tasks that nobody has begun are left then.
pub fn queue<T: Send, S, E: Send>(
    threads: usize,
    mut tasks: impl ExactSizeIterator<Item = T> + Send,
    room: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = threads.min(tasks.len());
    if threads <= 1 {
        let mut room = room();
        return tasks.try_for_each(|task| work(&mut room, task));
    }
    let left = Mutex::new(Some(tasks));
    // A thread that panicked held no lock, or ended everything by it.
    let locked = || left.lock().unwrap_or_else(PoisonError::into_inner);
    let one = || {
        let _member = Member::new();
        let mut room = room();
        loop {
            let Some(task) = locked().as_mut().and_then(Iterator::next) else { return Ok(()) };
            if let Err(error) = work(&mut room, task) {
                *locked() = None;
                return Err(error);
            }
        }
    };
    thread::scope(|scope| {
        let crew: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mine = one();
        let others = crew.into_iter().map(|one| one.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        others.fold(mine, Result::and)
    })
}

thread_local! {
    static IN_QUEUE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is one of several that share a queue.
pub(crate) fn is_in_queue() -> bool {
    IN_QUEUE.get()
}

/// This thread, as long as it takes tasks from a queue.
struct Member {
    before: bool,
}

impl Member {
    fn new() -> Self {
        Self { before: IN_QUEUE.replace(true) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        IN_QUEUE.set(self.before);
    }
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

    #[test]
    fn every_task_is_done_once_and_an_error_is_told() {
        for (threads, count) in [(0, 5), (1, 5), (2, 5), (3, 40), (2, 0), (8, 3)] {
            let mut done = vec![0u32; count];
            let result = queue(
                threads,
                done.iter_mut(),
                || 0,
                |_, one| {
                    *one += 1;
                    Ok::<(), ()>(())
                },
            );
            assert_eq!(result, Ok(()));
            assert!(done.iter().all(|&times| times == 1), "{threads} threads: {done:?}");
            let refused = queue(threads, 0..count, || (), |(), task| if task == 2 { Err(task) } else { Ok(()) });
            assert_eq!(refused, if count > 2 { Err(2) } else { Ok(()) }, "{threads} threads");
        }
    }

    #[test]
    fn a_thread_is_in_a_queue_only_while_it_shares_one() {
        let seen = Mutex::new(Vec::new());
        for threads in [1, 3] {
            let saw = queue(
                threads,
                0..6,
                || (),
                |(), _| {
                    seen.lock().unwrap().push(is_in_queue());
                    Ok::<(), ()>(())
                },
            );
            assert_eq!(saw, Ok(()));
            assert!(!is_in_queue());
        }
        assert_eq!(seen.into_inner().unwrap(), [[false; 6], [true; 6]].concat());
    }
}
