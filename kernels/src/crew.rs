//! Threads that share a job, or a caller's own work around jobs. The caller is one of them and begins at once, as a sleeping thread
//! wakes late; the others sleep in one pool for the whole process. The end waits for all, so small work is not worth sharing.
//!
//! An engine for CPUs does the job of a thread in a [`queue`] on that thread alone: the other threads have jobs of their own, and
//! what was just written is still in this one's cache.

use rayon::{ThreadPool, ThreadPoolBuilder};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// Hands consecutive shares of `items` to at most `threads` threads. One result for each share, in order.
pub fn shares<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let share = items.len().div_ceil(threads.max(1)).max(1);
    if items.len() <= share {
        return vec![work(items)];
    }
    let mut results: Vec<Option<R>> = items.chunks(share).map(|_| None).collect();
    each(threads, items.chunks(share).zip(&mut results), |(items, result)| *result = Some(work(items)));
    results.into_iter().flatten().collect()
}

/// Lets at most `threads` threads take one task after the other, in any order.
pub(crate) fn each<T: Send>(threads: usize, tasks: impl ExactSizeIterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let work = |_: &mut (), task| {
        work(task);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = queue(threads, tasks, || (), work);
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
    let Some(pool) = (threads > 1).then(helpers).flatten() else {
        let mut room = room();
        return tasks.try_for_each(|task| work(&mut room, task));
    };
    let (left, refused) = (Mutex::new(Some(tasks)), Mutex::new(None));
    // Who waits for the lock reads only whole states, whatever became of the thread that had it.
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Iterator::next);
    let one = || {
        let _member = Member::new();
        let mut room = room();
        while let Some(task) = next() {
            if let Err(error) = work(&mut room, task) {
                *left.lock().unwrap_or_else(PoisonError::into_inner) = None;
                refused.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    pool.in_place_scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| one()));
        one();
    });
    refused.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// One for each core, as several callers may share work at the same time. They keep to the cores of whoever is first. None where the
/// system gives none: then the caller does all the work.
fn helpers() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let build = || {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("crew {index}")).build().ok()
    };
    POOL.get_or_init(build).as_ref()
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

// Not under miri: where a scope ends, rayon frees what a thread that is just leaving it still holds a reference to.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_share_and_shares_are_in_order() {
        for (threads, count) in [(0, 5), (1, 5), (2, 5), (3, 7), (4, 2), (2, 0), (8, 8)] {
            let items: Vec<u32> = (0..count).collect();
            let shares = shares(threads, &items, <[u32]>::to_vec);
            assert!((1..=threads.max(1)).contains(&shares.len()), "{threads} threads, {count} items");
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
