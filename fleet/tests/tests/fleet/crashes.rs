//! A server that dies at every event of a round, in every way a process can die there; robots and key holders that are killed again
//! and again.

use crate::disks::{Fate, Fated};
use crate::parties::*;
use fleet_keyholder::News;
use fleet_server::Folder;
use folding::lwe::{AnswerLog, Entry, NotVerified, RobotId, Verifier};
use protocol::{Answer, Event, decode};
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use trust::identity::Registry;

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

/// Every kind of event, in about the order in which they come.
const KINDS: [&str; 14] = [
    "enrolled",
    "opened",
    "announced",
    "stored",
    "closed",
    "left out",
    "abandoned",
    "ended",
    "condensed",
    "answered",
    "published",
    "offered",
    "acknowledged",
    "settled",
];

/// A kind that is new has no name here, and no death below.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Condensed { .. } => "condensed",
        Event::Enrolled(_) => "enrolled",
        Event::Opened { .. } => "opened",
        Event::Announced { .. } => "announced",
        Event::Stored(_) => "stored",
        Event::Closed => "closed",
        Event::Abandoned => "abandoned",
        Event::LeftOut(_) => "left out",
        Event::Ended { .. } => "ended",
        Event::Answered => "answered",
        Event::Published { .. } => "published",
        Event::Offered(_) => "offered",
        Event::Acknowledged { .. } => "acknowledged",
        Event::Settled { .. } => "settled",
    }
}

/// The events in records that are written together: `length | check | payload | chain`, see the protocol's `journal`.
fn kinds_in(mut bytes: &[u8]) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(event) = rest.get(..len).and_then(|payload| decode::<Event>(payload).ok()) else { return kinds };
        kinds.push(kind(&event));
        bytes = &rest[len + 32..];
    }
    kinds
}

/// At which kinds of events a server has died, and which kinds are in the journal whole.
#[derive(Debug, Default)]
struct Deaths {
    at: Mutex<BTreeSet<&'static str>>,
    written: Mutex<BTreeSet<&'static str>>,
}

impl Deaths {
    /// And whether a round is settled.
    fn are_all(&self) -> bool {
        self.at.lock().unwrap().len() == KINDS.len() && self.has_written("settled")
    }

    fn has_written(&self, kind: &str) -> bool {
        self.written.lock().unwrap().contains(kind)
    }
}

/// Lives until a kind of event at which no server has died; then nothing reaches the disk any more, as after SIGKILL.
#[derive(Debug)]
struct Mortal {
    moment: Moment,
    deaths: Arc<Deaths>,
    dying: AtomicBool,
    dead: AtomicBool,
}

impl Fate for Mortal {
    fn write(&self, name: &str, bytes: &[u8]) -> usize {
        if self.dead.load(Ordering::SeqCst) {
            return 0;
        }
        let kinds = if name.starts_with("journal") { kinds_in(bytes) } else { vec![] };
        let fresh = {
            let mut at = self.deaths.at.lock().unwrap();
            // All of them: what is written together dies together.
            kinds.iter().filter(|kind| at.insert(kind)).count() > 0
        };
        if !fresh || self.moment == Moment::After {
            self.deaths.written.lock().unwrap().extend(kinds);
        }
        if !fresh {
            return bytes.len();
        }
        match self.moment {
            Moment::After => self.dying.store(true, Ordering::SeqCst),
            Moment::Before | Moment::Within => self.dead.store(true, Ordering::SeqCst),
        }
        match self.moment {
            Moment::Before => 0,
            Moment::Within => bytes.len() / 2,
            Moment::After => bytes.len(),
        }
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        if name.starts_with("journal") && self.dying.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
        }
        self.other()
    }

    fn other(&self) -> io::Result<()> {
        if self.dead.load(Ordering::SeqCst) { Err(io::Error::other("the process is dead")) } else { Ok(()) }
    }
}

/// Knows the last robot only when an attempt has ended without an answer.
struct Late<'a> {
    registry: &'a Registry,
    stranger: RobotId,
    deaths: &'a Deaths,
}

impl Verifier for Late<'_> {
    fn verify(&self, robot: RobotId, signed: &[u8], signature: &[u8]) -> Result<(), NotVerified> {
        if robot == self.stranger && !self.deaths.has_written("ended") {
            return Err(NotVerified("not yet on the list".into()));
        }
        self.registry.verify(robot, signed, signature)
    }
}

/// A server dies at the first event of every kind. However it dies, the next one goes on, and the mean is right.
fn dies_at_every_event(moment: Moment) {
    let (robots, length) = (3u8, 40_000);
    let mut fleet = Fleet::new(&format!("dies-{moment:?}"), robots, length);
    // With one robot left out there are too few.
    fleet.plan.terms.least = 3;
    // A server that dies behind an attempt's end has not condensed the journal: the next one does, behind the next end.
    fleet.plan.rounds = 2;
    let (deaths, over) = (Arc::new(Deaths::default()), AtomicBool::new(false));
    let stranger = identity(robots - 1).public().robot();
    let verifier = Late { registry: &fleet.registry, stranger, deaths: &deaths };
    let address = free_address();
    let mut arms = Vec::new();
    std::thread::scope(|scope| {
        let everybody = scope.spawn(|| {
            let arms = run_until(&fleet, address, &verifier, 0..robots, &|| deaths.are_all());
            over.store(true, Ordering::SeqCst);
            arms
        });
        let begin = Instant::now();
        while !over.load(Ordering::SeqCst) {
            let at = deaths.at.lock().unwrap().clone();
            assert!(begin.elapsed() < PATIENCE, "{moment:?}: not done after deaths at {at:?}");
            let (dying, dead) = (AtomicBool::new(false), AtomicBool::new(false));
            let fate = Arc::new(Mortal { moment, deaths: deaths.clone(), dying, dead });
            let disk = Fated::disk(Folder::open(&fleet.path("server/state")).unwrap(), fate.clone());
            if let Ok(desk) = open_desk(&fleet, disk) {
                let server = serve_at(&fleet, desk, address);
                while !fate.dead.load(Ordering::SeqCst) && !over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                drop(server);
            }
        }
        arms = everybody.join().unwrap();
    });
    check_mean(&arms, robots, length);
    let at = deaths.at.lock().unwrap();
    assert_eq!(*at, BTreeSet::from(KINDS), "{moment:?}: a death at every kind of event");
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
    let (mut deaths, mut settled) = (0, false);
    let arms = std::thread::scope(|scope| {
        let arms = start_robots(&fleet, |_| server.address, 0..robots, scope);
        for life in lives() {
            run_holder_for(&fleet, server.address, &fleet.registry, &mut MeanForAll, life, &mut |news| {
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
    let entries = fleet.answer_log().entries().unwrap();
    let answers = entries.iter().filter(|entry| matches!(entry, Entry::Answered { .. })).count();
    assert_eq!(answers, 1, "of {deaths} deaths");
    assert!(deaths >= 5, "only {deaths} deaths");
}

/// Killed wherever they happen to be: while they ask, encrypt, upload, fetch. What they kept goes on, and the mean is right.
#[test]
fn robots_that_are_killed_again_and_again_lose_no_update() {
    let (robots, length) = (3u8, 150_000);
    let fleet = Fleet::new("robots-die", robots, length);
    let server = serve(&fleet, fleet.disk());
    let settled = AtomicBool::new(false);
    let (arms, deaths) = std::thread::scope(|scope| {
        let robot = |number| {
            let (fleet, address, settled) = (&fleet, server.address, &settled);
            scope.spawn(move || {
                let (mut arm, mut deaths) = (Arm::new(number), 0);
                for life in lives() {
                    // One that says that it runs the package, and dies before it hears anything, is never told again that it is done.
                    if run_robot_for(fleet, address, &mut arm, life, &mut until_applied())
                        || settled.load(Ordering::SeqCst)
                    {
                        break;
                    }
                    deaths += 1;
                }
                (arm, deaths)
            })
        };
        let arms: Vec<_> = (0..robots).map(robot).collect();
        run_holder(&fleet, server.address, &fleet.registry, &mut MeanForAll, &mut |news| {
            settled.store(matches!(news, News::Settled { .. }), Ordering::SeqCst);
            if settled.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
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
    let mut answers = vec![];
    let arms = std::thread::scope(|scope| {
        let arms = start_robots(&fleet, |_| server.address, 0..robots, scope);
        run_holder(&fleet, server.address, &fleet.registry, &mut MeanForAll, &mut |news| {
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
    assert!(matches!(&answers[0], (0, Answer::Spent(why)) if why.contains("cannot be kept")), "{answers:?}");
    let in_round_0 = answers.iter().filter(|(round, _)| *round == 0).count();
    assert_eq!(in_round_0, 1, "no other attempt brings the same updates: {answers:?}");
    let opened: Vec<u64> =
        answers.iter().filter(|(_, answer)| *answer == Answer::Opened).map(|(round, _)| *round).collect();
    assert_eq!(opened, [1], "{answers:?}");
}
