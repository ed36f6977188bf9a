//! The parties of a simulated fleet, what each of them keeps through a crash, and the network between them.

use crate::uploads::{Sealed, sealed, terms};
use folding::lwe::{CHUNK_LEN, RobotId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tensorguard_protocol::{
    Answer, Attempted, Audience, Event, Health, Holder, HolderInput, HolderStep, Id, NotTheChunk, Offer, Peer, Pins,
    Plan, Refused, Reply, Request, Robot, RobotInput, RobotStep, Rounds, Signed, folding,
};

const ROBOTS: usize = 5;
const ROUNDS: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Robot,
    Holder,
}

/// A robot, and what it keeps.
struct Arm {
    id: Id,
    machine: Robot,
    running: Id,
    kept: Option<Sealed>,
    known: BTreeSet<Id>,
}

/// The key holder, and what it keeps.
#[derive(Default)]
struct Custody {
    machine: Holder,
    /// Attempts that were answered or closed.
    settled: BTreeSet<Attempted>,
    /// Sets of the means that are kept.
    means: BTreeMap<Attempted, Vec<Id>>,
    /// How often each attempt was answered, with a mean or without.
    answered: BTreeMap<Attempted, u32>,
    /// Updates in answers, by robot and round: a robot has one for each round.
    updates: BTreeSet<(Id, u64)>,
}

pub(crate) struct World {
    seed: u64,
    state: u64,
    now: u64,
    pub(crate) faults: bool,
    plan: Plan,
    rounds: Rounds,
    pub(crate) journal: Vec<Event>,
    /// Uploads in files: bytes, and how many of them are synced.
    files: BTreeMap<Id, (Vec<u8>, usize)>,
    arms: Vec<Arm>,
    custody: Custody,
    /// Requests that the network brings a second time, later.
    echoes: VecDeque<(Peer, Request)>,
    pub(crate) crashes: [u32; 3],
    pub(crate) cuts: u32,
    pub(crate) lost: u32,
    /// Answers without a mean.
    pub(crate) spent: u32,
    attempts: BTreeSet<Attempted>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let plan = Plan { terms: terms(), open_ms: 60, attempts: 4, rounds: ROUNDS, most_robots: 10 };
        let arms = (0..ROBOTS).map(|number| {
            let (id, running) = (Id([number as u8 + 1; 32]), plan.terms.model);
            Arm { id, machine: robot(&plan, running, None), running, kept: None, known: BTreeSet::from([running]) }
        });
        let arms = arms.collect();
        Self {
            seed,
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            now: 0,
            faults: false,
            rounds: Rounds::new(plan.clone()).unwrap(),
            plan,
            journal: vec![],
            files: BTreeMap::new(),
            arms,
            custody: Custody::default(),
            echoes: VecDeque::new(),
            crashes: [0; 3],
            cuts: 0,
            lost: 0,
            spent: 0,
            attempts: BTreeSet::new(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % bound
    }

    /// Once in so many times, as long as there are faults.
    fn fault(&mut self, once_in: u64) -> bool {
        self.faults && self.below(once_in) == 0
    }

    pub(crate) fn told(&self) -> String {
        self.rounds.told()
    }

    pub(crate) fn attempts_seen(&self) -> usize {
        self.attempts.iter().filter(|attempted| attempted.attempt > 0).count() + 1
    }

    pub(crate) fn is_done(&self) -> bool {
        let model = self.final_model();
        self.rounds.is_over() && self.arms.iter().all(|arm| arm.running == model)
    }

    fn final_model(&self) -> Id {
        let settled = self.journal.iter().rev().find_map(|event| match event {
            Event::Settled { model, .. } => Some(*model),
            _ => None,
        });
        settled.unwrap_or(self.plan.terms.model)
    }

    pub(crate) fn step(&mut self) {
        self.now += self.below(3);
        let due = self.rounds.tick(self.now);
        self.enter(&due);
        if self.fault(40) {
            self.crash_server();
        }
        if self.fault(15)
            && let Some((peer, request)) = self.echoes.pop_front()
        {
            // Whoever sent it has its answer, or has given up on it.
            let _ = self.serve(peer, &request);
        }
        match self.below(ROBOTS as u64 + 1) as usize {
            ROBOTS if self.fault(40) => {
                self.crashes[Side::Holder as usize] += 1;
                self.custody.machine = Holder::default();
            }
            ROBOTS => self.step_holder(),
            number if self.fault(40) => {
                self.crashes[Side::Robot as usize] += 1;
                let (running, kept) = (self.arms[number].running, self.arms[number].kept.clone());
                self.arms[number].machine = robot(&self.plan, running, kept.as_ref());
            }
            number => self.step_robot(number),
        }
    }

    /// Durable first, then applied. A crash may come between the two.
    fn enter(&mut self, events: &[Event]) {
        for event in events {
            self.journal.push(event.clone());
            if let Event::Opened { terms, .. } = event {
                self.attempts.insert(Attempted { round: terms.round, attempt: terms.attempt });
            }
            self.rounds.apply(event).unwrap_or_else(|why| panic!("seed {}: {event:?}: {why}", self.seed));
        }
    }

    fn crash_server(&mut self) {
        self.crashes[Side::Server as usize] += 1;
        let before = self.rounds.fingerprint();
        self.rounds = Rounds::new(self.plan.clone()).unwrap();
        self.journal.iter().for_each(|event| self.rounds.apply(event).unwrap());
        assert_eq!(self.rounds.fingerprint(), before, "seed {}: a restart forgets", self.seed);
        for (bytes, synced) in self.files.values_mut() {
            // Of what was not synced, some is there.
            let kept = *synced + (self.state % (bytes.len() - *synced + 1) as u64) as usize;
            bytes.truncate(kept);
        }
        for (root, _, intake) in self.rounds.uploads() {
            if let (Some(intake), Some((bytes, _))) = (intake, self.files.get(&root)) {
                let _ = intake.push(bytes, &mut |_| Ok::<(), NotTheChunk>(()));
                intake.cut();
            }
        }
    }

    /// A request at the server, and its reply.
    fn serve(&mut self, peer: Peer, request: &Request) -> Reply {
        match self.rounds.decide(peer, request) {
            Ok((events, reply)) => {
                self.enter(&events);
                let due = self.rounds.tick(self.now);
                self.enter(&due);
                reply
            }
            Err(refused) => Reply::Refused(refused),
        }
    }

    /// A request over the network: it or its reply may be lost, and it may arrive again later.
    fn ask(&mut self, peer: Peer, request: Request) -> Option<Reply> {
        if self.fault(6) {
            self.lost += 1;
            return None;
        }
        if self.fault(8) {
            self.echoes.push_back((peer, request.clone()));
        }
        let reply = self.serve(peer, &request);
        if self.fault(6) {
            self.lost += 1;
            return None;
        }
        if self.fault(30) {
            self.crash_server();
            return None;
        }
        Some(reply)
    }

    fn step_robot(&mut self, number: usize) {
        let id = self.arms[number].id;
        let input = match self.arms[number].machine.step() {
            RobotStep::Ask(request) => {
                self.ask(Peer::Robot(RobotId(id.0)), request).map_or(RobotInput::Lost, RobotInput::Reply)
            }
            RobotStep::Seal(terms) => {
                let sealed = sealed(id, &terms);
                self.arms[number].kept = Some(sealed.clone());
                RobotInput::Sealed(sealed.0.clone())
            }
            RobotStep::Send { from } => self.send(number, from),
            RobotStep::Forget => {
                self.arms[number].kept = None;
                RobotInput::Forgotten
            }
            RobotStep::Apply { package, len } => {
                assert!(len > 0 || self.arms[number].known.contains(&package), "seed {}: {package:?}", self.seed);
                // Some robots do not fare well.
                let health = if self.below(5) == 0 { Health::Unhealthy } else { Health::Healthy };
                self.arms[number].running = package;
                self.arms[number].known.insert(package);
                RobotInput::Applied(health)
            }
            RobotStep::Rest(_) => RobotInput::Rested,
        };
        self.arms[number].machine.take(input);
    }

    /// Bytes on the wire, to the end or to where the link is cut.
    fn send(&mut self, number: usize, from: u64) -> RobotInput {
        let (id, kept) = (self.arms[number].id, self.arms[number].kept.clone());
        let robot = RobotId(id.0);
        let stream = &kept.as_ref().expect("it is kept until the server has it").1;
        let rest = &stream[(from as usize * CHUNK_LEN).min(stream.len())..];
        let arrives = if self.fault(3) { self.below(rest.len() as u64 + 1) as usize } else { rest.len() };
        let (root, mut intake) = match self.rounds.take_intake(robot, from) {
            Ok(taken) => taken,
            Err(refused) => return RobotInput::Reply(Reply::Refused(refused)),
        };
        let (file, synced) = self.files.entry(root).or_default();
        file.truncate(intake.verified_len() as usize);
        *synced = (*synced).min(file.len());
        let pushed = intake.push(&rest[..arrives], &mut |chunk| {
            file.extend_from_slice(chunk);
            Ok::<(), NotTheChunk>(())
        });
        assert_eq!(pushed, Ok(()), "seed {}", self.seed);
        if !intake.is_whole() {
            self.cuts += 1;
            self.rounds.give_back(robot, root, intake);
            return RobotInput::Lost;
        }
        *synced = file.len();
        assert_eq!(file, stream, "seed {}: what is stored is what was sent", self.seed);
        if self.fault(8) {
            // All of it is there, and the event that says so is not.
            self.crash_server();
            return RobotInput::Lost;
        }
        let reply = match self.rounds.stored(robot, root) {
            Ok(event) => {
                self.enter(&[event]);
                Reply::Stored
            }
            Err(refused) => Reply::Refused(refused),
        };
        self.rounds.give_back(robot, root, intake);
        if self.fault(6) { RobotInput::Lost } else { RobotInput::Reply(reply) }
    }

    fn step_holder(&mut self) {
        let input = match self.custody.machine.step() {
            HolderStep::Ask(request) => self.ask(Peer::Holder, request).map_or(HolderInput::Lost, HolderInput::Reply),
            HolderStep::Open { terms, revision, manifests } => {
                let attempted = Attempted { round: terms.round, attempt: terms.attempt };
                self.open(attempted, revision, &manifests)
            }
            HolderStep::Close(terms) => {
                let attempted = Attempted { round: terms.round, attempt: terms.attempt };
                self.custody.settled.insert(attempted);
                HolderInput::Answer(self.no_answer(attempted))
            }
            HolderStep::Deploy { terms, enrolled, healths, .. } => {
                let package = Id([0x40 + terms.round as u8; 32]);
                let said = |robot: &Id| healths.iter().flatten().any(|(who, what, _)| who == robot && *what == package);
                let sample = enrolled[..2.min(enrolled.len())].to_vec();
                if healths.is_none() {
                    self.publish(package);
                    HolderInput::Roll(Offer { package, audience: Audience::Only(sample) })
                } else if !sample.iter().all(said) {
                    HolderInput::Watch
                } else if !enrolled.iter().all(said) {
                    HolderInput::Roll(Offer { package, audience: Audience::All })
                } else {
                    HolderInput::Settle(package)
                }
            }
            HolderStep::Rest(_) => HolderInput::Rested,
        };
        self.custody.machine.take(input);
    }

    fn publish(&mut self, package: Id) {
        if self.rounds.may_publish(Peer::Holder, 10).is_ok() {
            self.enter(&[Event::Published { package, len: 10 }]);
        }
    }

    fn open(&mut self, attempted: Attempted, revision: u32, manifests: &[Signed]) -> HolderInput {
        if self.custody.means.contains_key(&attempted) {
            return HolderInput::Answer(Answer::Opened);
        }
        let Some(asked) = self.rounds.asked(revision).filter(|asked| asked.attempted == attempted) else {
            return HolderInput::Failed;
        };
        // The sum that the server would send is over these files, whole; and it shows the manifests of exactly those.
        let set: Vec<Id> = asked.members.iter().map(|(robot, ..)| *robot).collect();
        let shown: Vec<Id> = manifests.iter().map(|signed| Id(signed.signature[..].try_into().unwrap())).collect();
        assert_eq!(set, shown, "seed {}: another set than its manifests", self.seed);
        let terms = tensorguard_protocol::Terms { ..self.opened_terms(attempted) };
        for (robot, root, _) in &asked.members {
            assert_eq!(self.files[root].0, sealed(*robot, &terms).1, "seed {}", self.seed);
        }
        // Now and then somebody's signature is not good.
        if revision == 0 && self.below(4) == 0 {
            return HolderInput::Answer(Answer::LeaveOut(vec![set[0]]));
        }
        if self.custody.settled.contains(&attempted) {
            return HolderInput::Answer(self.no_answer(attempted));
        }
        let again = set.iter().filter(|robot| self.custody.updates.contains(&(**robot, attempted.round)));
        let again: Vec<Id> = again.copied().collect();
        if !again.is_empty() {
            return HolderInput::Answer(Answer::LeaveOut(again));
        }
        self.custody.settled.insert(attempted);
        *self.custody.answered.entry(attempted).or_default() += 1;
        for robot in &set {
            assert!(self.custody.updates.insert((*robot, attempted.round)), "seed {}: {robot:?} twice", self.seed);
        }
        if self.fault(10) {
            // The sum is not that of the manifests.
            return HolderInput::Answer(self.no_answer(attempted));
        }
        if self.fault(10) {
            // A crash behind the record, before the mean is kept.
            self.crashes[Side::Holder as usize] += 1;
            self.custody.machine = Holder::default();
            return HolderInput::Failed;
        }
        self.custody.means.insert(attempted, set);
        HolderInput::Answer(Answer::Opened)
    }

    /// Of an attempt that is settled and has no mean.
    fn no_answer(&mut self, attempted: Attempted) -> Answer {
        if self.custody.answered.contains_key(&attempted) {
            self.spent += 1;
            Answer::Spent("answered".into())
        } else {
            Answer::UsedUp("too few".into())
        }
    }

    fn opened_terms(&self, attempted: Attempted) -> tensorguard_protocol::Terms {
        let opened = self.journal.iter().find_map(|event| match event {
            Event::Opened { terms, .. } if (terms.round, terms.attempt) == (attempted.round, attempted.attempt) => {
                Some(terms.clone())
            }
            _ => None,
        });
        opened.expect("an attempt that is asked about was opened")
    }

    pub(crate) fn check_end(&self) {
        for (attempted, times) in &self.custody.answered {
            assert_eq!(*times, 1, "seed {}: {attempted:?} was answered more than once", self.seed);
            // Robots would bring updates that were in an answer.
            let next = Attempted { attempt: attempted.attempt + 1, ..*attempted };
            assert!(!self.attempts.contains(&next), "seed {}: {next:?} behind an answer", self.seed);
        }
        for (attempted, set) in &self.custody.means {
            let distinct: BTreeSet<_> = set.iter().collect();
            assert!(distinct.len() == set.len() && set.len() >= 2, "seed {}: {attempted:?}: {set:?}", self.seed);
        }
        let mut opened = BTreeSet::new();
        for event in &self.journal {
            if let Event::Opened { terms, .. } = event {
                assert!(opened.insert((terms.round, terms.attempt)), "seed {}: opened twice", self.seed);
            }
        }
        let late = Request::Next { running: self.final_model() };
        let nothing = self.rounds.decide(Peer::Robot(RobotId(self.arms[0].id.0)), &late);
        assert!(matches!(nothing, Ok((_, Reply::Work(_))) | Err(Refused::NotEnrolled)), "{nothing:?}");
    }
}

fn robot(plan: &Plan, running: Id, kept: Option<&Sealed>) -> Robot {
    let terms = &plan.terms;
    let pins =
        Pins { fleet: terms.fleet.clone(), holder: terms.holder, length: terms.length, most_clip: 1.0, least: 2 };
    Robot::new(pins, running, kept.map(|kept| kept.0.clone()))
}
