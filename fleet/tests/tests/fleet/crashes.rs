//! A server that dies at every event of a round, in every way a process can die there.

use crate::disks::{Fate, Fated};
use crate::parties::*;
use fleet_server::Folder;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// When a process dies at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Nothing of it is in the journal.
    Before,
    /// Half of it is.
    Within,
    /// All of it is, and nobody was told.
    After,
}

/// Lives for so many events; then nothing reaches the disk any more, as after SIGKILL.
#[derive(Debug)]
struct Mortal {
    moment: Moment,
    left: AtomicU32,
    dead: AtomicBool,
}

impl Mortal {
    fn new(moment: Moment, events: u32) -> Arc<Self> {
        Arc::new(Self { moment, left: AtomicU32::new(events), dead: AtomicBool::new(false) })
    }

    fn is_last(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Fate for Mortal {
    fn write(&self, name: &str, len: usize) -> usize {
        if self.dead.load(Ordering::SeqCst) {
            return 0;
        }
        if name != "journal" || !self.is_last() || self.moment == Moment::After {
            return len;
        }
        self.dead.store(true, Ordering::SeqCst);
        if self.moment == Moment::Before { 0 } else { len / 2 }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        if name == "journal"
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
        {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.other()
    }

    fn other(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}

/// Each server lives for one event more than its start needs. However it dies, the next one goes on, and the mean is right.
fn dies_at_every_event(moment: Moment) {
    let (robots, length) = (3u8, 40_000);
    let fleet = Fleet::new(&format!("dies-{moment:?}"), robots, length);
    let over = AtomicBool::new(false);
    let address = free_address();
    let (mut deaths, mut arms) = (0, Vec::new());
    std::thread::scope(|scope| {
        let everybody = scope.spawn(|| run_until(&fleet, address, 0..robots, &over));
        let begin = Instant::now();
        while !over.load(Ordering::SeqCst) {
            assert!(begin.elapsed() < Duration::from_secs(100), "{moment:?}: not done after {deaths} deaths");
            let fate = Mortal::new(moment, 2);
            let disk = Fated::disk(Folder::open(&fleet.path("server/state")).unwrap(), fate.clone());
            if let Ok(desk) = open_desk(&fleet, disk) {
                let server = serve_at(&fleet, desk, address);
                while !fate.dead.load(Ordering::SeqCst) && !over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                drop(server);
            }
            deaths += u32::from(fate.dead.load(Ordering::SeqCst));
        }
        arms = everybody.join().unwrap();
    });
    check_mean(&arms, robots, length);
    // Enrolled, opened, announced, stored, closed, answered, published, offered, acknowledged, settled: two a life at most.
    assert!(deaths >= 8, "{moment:?}: only {deaths} deaths");
}

#[test]
fn a_server_that_dies_before_each_event_loses_nothing() {
    dies_at_every_event(Moment::Before);
}

#[test]
fn a_server_that_dies_within_each_event_loses_nothing() {
    dies_at_every_event(Moment::Within);
}

#[test]
fn a_server_that_dies_after_each_event_loses_nothing() {
    dies_at_every_event(Moment::After);
}
