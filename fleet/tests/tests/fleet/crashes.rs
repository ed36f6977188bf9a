//! A server that dies at every event of a round, in every way a process can die there; robots and key holders that are killed again
//! and again.

use crate::disks::{Fate, Fated};
use crate::parties::*;
use fleet_keyholder::News;
use fleet_server::Folder;
use folding::lwe::{AnswerLog, Entry, ForgetfulLog};
use protocol::Answer;
use std::io;
use std::ops::ControlFlow;
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

/// Killed wherever it happens to be: while it asks, opens, publishes, rolls out. The mean is opened once, and its round ends.
#[test]
fn a_key_holder_that_is_killed_again_and_again_answers_once_and_its_round_ends() {
    let (robots, length) = (3u8, 40_000);
    let fleet = Fleet::new("holder-dies", robots, length);
    let server = serve(&fleet, fleet.disk());
    let (mut log, mut deaths, mut settled) = (ForgetfulLog::default(), 0, false);
    let arms = std::thread::scope(|scope| {
        let arms = start_robots(&fleet, |_| server.address, 0..robots, scope);
        for life in lives() {
            run_holder_for(&fleet, server.address, &fleet.registry, (&mut log, &mut MeanForAll), life, &mut |news| {
                settled |= matches!(news, News::Settled { .. });
                if settled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            // What it was told last, the server may have noted before it died.
            if settled || server.desk.is_over() {
                break;
            }
            deaths += 1;
        }
        arms.into_iter().map(|arm| arm.join().unwrap()).collect::<Vec<_>>()
    });
    check_mean(&arms, robots, length);
    let answers = log.entries().unwrap().into_iter().filter(|entry| matches!(entry, Entry::Answered { .. })).count();
    assert_eq!(answers, 1, "of {deaths} deaths");
    assert!(deaths >= 5, "only {deaths} deaths");
}

/// Killed wherever they happen to be: while they ask, encrypt, upload, fetch. What they kept goes on, and the mean is right.
#[test]
fn robots_that_are_killed_again_and_again_lose_no_update() {
    let (robots, length) = (3u8, 150_000);
    let fleet = Fleet::new("robots-die", robots, length);
    let server = serve(&fleet, fleet.disk());
    let (arms, deaths) = std::thread::scope(|scope| {
        let robot = |number| {
            let (fleet, address) = (&fleet, server.address);
            scope.spawn(move || {
                let (mut arm, mut deaths) = (Arm::new(number), 0);
                for life in lives() {
                    // One that runs the package and says so is done, though it dies before it hears anything.
                    if run_robot_for(fleet, address, &mut arm, life, &mut until_applied()) {
                        break;
                    }
                    deaths += 1;
                    if arm.running != base() && deaths > 40 {
                        break;
                    }
                }
                (arm, deaths)
            })
        };
        let arms: Vec<_> = (0..robots).map(robot).collect();
        run_holder(
            &fleet,
            server.address,
            &fleet.registry,
            &mut ForgetfulLog::default(),
            &mut MeanForAll,
            &mut |news| {
                if matches!(news, News::Settled { .. }) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        let ended = arms.into_iter().map(|arm| arm.join().unwrap());
        ended.fold((vec![], 0), |(mut arms, deaths), (arm, more)| {
            arms.push(arm);
            (arms, deaths + more)
        })
    });
    check_mean(&arms, robots, length);
    assert!(deaths >= 10, "only {deaths} deaths");
}

/// The answer is recorded, and the mean cannot be kept: these updates are spent, nobody gets a second answer, and the next round is good.
#[test]
fn a_key_holder_that_cannot_keep_the_mean_gives_no_second_answer_and_the_next_round_is_good() {
    let (robots, length) = (3u8, 1000);
    let mut fleet = Fleet::new("holder-full", robots, length);
    fleet.plan.rounds = 2;
    let server = serve(&fleet, fleet.disk());
    // No file can be made where a folder is.
    let in_the_way = fleet.path("holder").join("mean.fresh");
    std::fs::create_dir(&in_the_way).unwrap();
    let (mut log, mut answers) = (ForgetfulLog::default(), vec![]);
    let arms = std::thread::scope(|scope| {
        let arms = start_robots(&fleet, |_| server.address, 0..robots, scope);
        run_holder(&fleet, server.address, &fleet.registry, &mut log, &mut MeanForAll, &mut |news| {
            match news {
                News::Answered { answer, attempted } => {
                    if answers.is_empty() {
                        std::fs::remove_dir(&in_the_way).unwrap();
                    }
                    answers.push((attempted.round, answer));
                }
                News::Settled { .. } => return ControlFlow::Break(()),
                _ => {}
            }
            ControlFlow::Continue(())
        });
        arms.into_iter().map(|arm| arm.join().unwrap()).collect::<Vec<_>>()
    });
    check_mean(&arms, robots, length);
    assert!(matches!(&answers[0], (0, Answer::UsedUp(why)) if why.contains("cannot be kept")), "{answers:?}");
    let opened: Vec<u64> =
        answers.iter().filter(|(_, answer)| *answer == Answer::Opened).map(|(round, _)| *round).collect();
    assert_eq!(opened, [1], "{answers:?}");
}
