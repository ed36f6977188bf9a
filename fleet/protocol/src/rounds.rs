//! The server's machine: what a request changes, and what it is answered.

use crate::Millis;
use crate::coding::{Id, encode};
use crate::event::{Attempted, Event};
use crate::intake::Intake;
use crate::message::{
    Answer, Audience, Health, Offer, PAGE, Peer, Question, Refused, Reply, Request, Signed, Work, bounded,
};
use crate::terms::{Terms, TermsError, leaf_count, stream_len};
use folding::Round;
use folding::lwe::{Manifest, RobotId, root_of_leaves};
use std::collections::{BTreeMap, BTreeSet};

mod attempt;
mod uploads;

use attempt::{Attempt, Stage, Upload};
pub use uploads::Summing;

/// What a server was told to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Of the first round; later ones differ in round, attempt and model.
    pub terms: Terms,
    /// How long uploads are taken.
    pub open_ms: Millis,
    /// Attempts at a round before the next one.
    pub attempts: u32,
    /// Rounds before there are no more.
    pub rounds: u64,
    /// The most robots that may enrol.
    pub most_robots: usize,
}

/// The longest signature anyone takes.
const MOST_SIGNATURE_LEN: usize = 8 << 10;

/// How often a robot may say something else about one package.
const MOST_CHANGES: u32 = 8;

/// The rounds of a fleet, as far as they have come.
#[derive(Debug)]
pub struct Rounds {
    plan: Plan,
    enrolled: BTreeSet<Id>,
    next: Attempted,
    settled: u64,
    model: Id,
    attempt: Option<Attempt>,
    packages: BTreeMap<Id, u64>,
    everyone: Option<Id>,
    chosen: BTreeMap<Id, Id>,
    healths: BTreeMap<Id, (Id, Health, u32)>,
    /// How often robots have said how they fare, in this round.
    said: u64,
}

type Decided = Result<(Vec<Event>, Reply), Refused>;

impl Rounds {
    /// Before anything happened.
    ///
    /// # Errors
    /// [`TermsError`] if no round can have these terms.
    pub fn new(plan: Plan) -> Result<Self, TermsError> {
        plan.terms.round()?;
        let next = Attempted { round: plan.terms.round, attempt: plan.terms.attempt };
        let model = plan.terms.model;
        Ok(Self {
            plan,
            enrolled: BTreeSet::new(),
            next,
            settled: 0,
            model,
            attempt: None,
            packages: BTreeMap::new(),
            everyone: None,
            chosen: BTreeMap::new(),
            healths: BTreeMap::new(),
            said: 0,
        })
    }

    /// What this request changes and is answered. The events are to be made durable and applied before the answer is given.
    ///
    /// # Errors
    /// [`Refused`] says why it changes nothing.
    pub fn decide(&self, peer: Peer, request: &Request) -> Decided {
        match (peer, request) {
            (Peer::Robot(robot), request) => self.decide_robot(robot.into(), request),
            (Peer::Holder, request) => self.decide_holder(request),
        }
    }

    fn decide_robot(&self, robot: Id, request: &Request) -> Decided {
        let enrolled = self.enrolled.contains(&robot);
        match request {
            Request::Enrol if enrolled => Ok((vec![], Reply::Noted)),
            Request::Enrol if self.enrolled.len() >= self.plan.most_robots => Err(Refused::Full),
            Request::Enrol => Ok((vec![Event::Enrolled(robot)], Reply::Noted)),
            _ if !enrolled => Err(Refused::NotEnrolled),
            Request::Next { running } => Ok((vec![], Reply::Work(self.work(robot, *running)))),
            Request::Announce { signed, leaves } => self.announce(robot, signed, leaves),
            Request::Acknowledge { package, health } => self.acknowledge(robot, *package, *health),
            _ => Err(Refused::NotYours),
        }
    }

    fn acknowledge(&self, robot: Id, package: Id, health: Health) -> Decided {
        match self.healths.get(&robot) {
            Some((about, said, _)) if (*about, *said) == (package, health) => Ok((vec![], Reply::Noted)),
            // What is noted stays in the journal until the round is over: not without end.
            Some((about, _, times)) if *about == package && *times >= MOST_CHANGES => Err(Refused::Busy),
            _ if self.wanted(robot) != Some(package) => Err(Refused::NoPackage),
            _ => Ok((vec![Event::Acknowledged { robot, package, health }], Reply::Noted)),
        }
    }

    fn decide_holder(&self, request: &Request) -> Decided {
        match request {
            Request::Ask => Ok((vec![], Reply::Question(self.question()))),
            Request::Manifests { revision, from } => Ok((vec![], Reply::Manifests(self.manifests(*revision, *from)?))),
            Request::Answer { round, attempt, revision, answer } => {
                let asked = Attempted { round: *round, attempt: *attempt };
                Ok((self.answered(asked, *revision, answer)?, Reply::Noted))
            }
            Request::Roll { round, offer } => {
                self.deploying(*round)?;
                let known = self.packages.contains_key(&offer.package) || offer.package == self.model;
                if !known {
                    return Err(Refused::NoPackage);
                }
                Ok((vec![Event::Offered(offer.clone())], Reply::Noted))
            }
            Request::Healths { .. } => {
                let healths = self.healths.iter().map(|(robot, (package, health, _))| (*robot, *package, *health));
                Ok((vec![], Reply::Healths { said: self.said, healths: healths.collect() }))
            }
            Request::Settle { round, model } => {
                self.deploying(*round)?;
                if !self.packages.contains_key(model) && *model != self.model {
                    return Err(Refused::NoPackage);
                }
                let next = Attempted { round: round + 1, attempt: 0 };
                Ok((vec![Event::Settled { model: *model, next }], Reply::Noted))
            }
            _ => Err(Refused::NotYours),
        }
    }

    fn wanted(&self, robot: Id) -> Option<Id> {
        self.chosen.get(&robot).copied().or(self.everyone)
    }

    fn work(&self, robot: Id, running: Id) -> Work {
        if let Some(package) = self.wanted(robot) {
            let said = self.healths.get(&robot).filter(|(about, ..)| *about == package);
            // One that lost what it had said it runs gets it again; one that went back does not.
            let lost = running != package && matches!(said, Some((_, Health::Healthy, _)));
            if said.is_none() || lost {
                let len = self.packages.get(&package).copied().unwrap_or(0);
                return Work::Apply { package, len };
            }
        }
        match &self.attempt {
            Some(attempt) if attempt.takes(robot) && attempt.terms.model == running => {
                Work::Update(attempt.terms.clone())
            }
            _ => Work::Nothing,
        }
    }

    fn announce(&self, robot: Id, signed: &Signed, leaves: &[Id]) -> Decided {
        let attempt = self.attempt.as_ref().ok_or(Refused::OtherRound)?;
        let manifest = attempt.read(&signed.manifest)?;
        if manifest.robot() != RobotId::from(robot) {
            return Err(Refused::malformed("the manifest is another robot's than the certificate"));
        }
        if let Some(known) = attempt.uploads.get(&robot) {
            if known.manifest != manifest {
                return Err(Refused::Second);
            }
            return match &known.intake {
                _ if known.stored => Ok((vec![], Reply::Stored)),
                _ if attempt.stage != Stage::Gathering => Err(Refused::Late),
                Some(intake) => Ok((vec![], Reply::SendFrom(intake.verified()))),
                None => Err(Refused::Busy),
            };
        }
        if attempt.stage != Stage::Gathering || attempt.uploads.len() as u64 >= attempt.terms.planned {
            return Err(Refused::Late);
        }
        if signed.signature.len() > MOST_SIGNATURE_LEN {
            return Err(Refused::malformed(format_args!("a signature of {} bytes", signed.signature.len())));
        }
        if leaves.len() != leaf_count(&attempt.round) {
            let expected = leaf_count(&attempt.round);
            return Err(Refused::malformed(format_args!("{} leaves, expected {expected}", leaves.len())));
        }
        if root_of_leaves(leaves.iter().map(|leaf| leaf.0).collect()) != *manifest.root() {
            return Err(Refused::malformed("the leaves do not give the signed root"));
        }
        let replays =
            |other: &Upload| other.manifest.root() == manifest.root() || other.manifest.update() == manifest.update();
        if attempt.uploads.values().any(replays) {
            return Err(Refused::Replayed);
        }
        let event = Event::Announced { robot, signed: signed.clone(), leaves: leaves.to_vec() };
        Ok((vec![event], Reply::SendFrom(0)))
    }

    fn question(&self) -> Question {
        let Some(attempt) = &self.attempt else { return Question::Nothing };
        let terms = attempt.terms.clone();
        match attempt.stage {
            Stage::Gathering => Question::Nothing,
            Stage::Asking { revision } => Question::Open { terms, revision, robots: attempt.set().count() as u64 },
            Stage::Closing => Question::Close { terms },
            Stage::Deploying { robots } => {
                Question::Deploy { terms, robots, enrolled: self.enrolled.iter().copied().collect() }
            }
        }
    }

    fn manifests(&self, asked: u32, from: u64) -> Result<Vec<Signed>, Refused> {
        let attempt = self.attempt.as_ref().ok_or(Refused::OtherRound)?;
        match attempt.stage {
            Stage::Asking { revision } if revision == asked => {}
            _ => return Err(Refused::OtherRound),
        }
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(attempt.set().skip(from).take(PAGE).map(|(_, upload)| upload.signed.clone()).collect())
    }

    fn answered(&self, asked: Attempted, revision: u32, answer: &Answer) -> Result<Vec<Event>, Refused> {
        let attempt = self.attempt.as_ref().filter(|attempt| attempt.attempted() == asked);
        let attempt = attempt.ok_or(Refused::OtherRound)?;
        let open = attempt.stage == Stage::Asking { revision };
        match answer {
            Answer::Opened if open => Ok(vec![Event::Answered]),
            Answer::UsedUp(_) if open || attempt.stage == Stage::Closing => {
                Ok(vec![Event::Ended { next: self.after(asked) }])
            }
            // Robots would bring the same updates to another attempt at this round; in the next round they train new ones.
            Answer::Spent(_) if open || attempt.stage == Stage::Closing => {
                Ok(vec![Event::Ended { next: Attempted { round: asked.round + 1, attempt: 0 } }])
            }
            Answer::LeaveOut(robots) if open => {
                let out: BTreeSet<&Id> = robots.iter().collect();
                let left = attempt.set().filter(|(robot, _)| !out.contains(robot)).count() as u64;
                if left == attempt.set().count() as u64 {
                    return Err(Refused::malformed("none of these robots is in the set"));
                }
                let left_out = Event::LeftOut(robots.clone());
                Ok(if left < attempt.terms.least { vec![left_out, Event::Abandoned] } else { vec![left_out] })
            }
            _ => Err(Refused::OtherRound),
        }
    }

    fn after(&self, Attempted { round, attempt }: Attempted) -> Attempted {
        if attempt + 1 < self.plan.attempts {
            Attempted { round, attempt: attempt + 1 }
        } else {
            Attempted { round: round + 1, attempt: 0 }
        }
    }

    fn deploying(&self, round: u64) -> Result<&Attempt, Refused> {
        let attempt = self.attempt.as_ref().filter(|attempt| attempt.terms.round == round);
        attempt.filter(|attempt| matches!(attempt.stage, Stage::Deploying { .. })).ok_or(Refused::OtherRound)
    }

    /// What time alone changes.
    #[must_use]
    pub fn tick(&self, now: Millis) -> Vec<Event> {
        match &self.attempt {
            None => {
                let first = self.plan.terms.round;
                let more = self.next.round - first.min(self.next.round) < self.plan.rounds;
                if more && self.enrolled.len() as u64 >= self.plan.terms.least {
                    let Attempted { round, attempt } = self.next;
                    let terms = Terms { round, attempt, model: self.model, ..self.plan.terms.clone() };
                    vec![Event::Opened { terms, deadline_ms: now.saturating_add(self.plan.open_ms) }]
                } else {
                    vec![]
                }
            }
            Some(attempt) if attempt.stage == Stage::Gathering => {
                let stored = attempt.set().count() as u64;
                if stored >= attempt.terms.quorum || (now >= attempt.deadline && stored >= attempt.terms.least) {
                    vec![Event::Closed]
                } else if now >= attempt.deadline {
                    vec![Event::Abandoned]
                } else {
                    vec![]
                }
            }
            Some(_) => vec![],
        }
    }

    /// Whether all rounds of the plan are over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.attempt.is_none() && self.next.round.saturating_sub(self.plan.terms.round) >= self.plan.rounds
    }

    /// Whether the whole of it can be said in one event.
    #[must_use]
    pub fn condensed(&self) -> Option<Event> {
        let enrolled = self.enrolled.iter().copied().collect();
        let packages = self.packages.iter().map(|(package, len)| (*package, *len)).collect();
        let (next, model, settled) = (self.next, self.model, self.settled);
        self.attempt.is_none().then_some(Event::Condensed { enrolled, next, model, packages, settled })
    }

    /// Makes an event part of the state.
    ///
    /// # Errors
    /// Says what does not fit: the events are not those of this fleet's server, in order.
    pub fn apply(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Condensed { enrolled, next, model, packages, settled } => {
                self.enrolled = enrolled.iter().copied().collect();
                (self.next, self.model, self.settled) = (*next, *model, *settled);
                self.packages = packages.iter().copied().collect();
                self.everyone = (next.round != self.plan.terms.round).then_some(*model);
                self.attempt = None;
            }
            Event::Enrolled(robot) => {
                self.enrolled.insert(*robot);
            }
            Event::Opened { terms, deadline_ms } => {
                self.attempt = Some(Attempt::new(terms.clone(), *deadline_ms).map_err(|error| error.to_string())?);
            }
            Event::Published { package, len } => {
                self.packages.insert(*package, *len);
            }
            Event::Offered(Offer { package, audience: Audience::All }) => {
                self.everyone = Some(*package);
                self.chosen.clear();
            }
            Event::Offered(Offer { package, audience: Audience::Only(robots) }) => {
                self.chosen.extend(robots.iter().map(|robot| (*robot, *package)));
            }
            Event::Acknowledged { robot, package, health } => {
                let before = self.healths.get(robot).filter(|(about, ..)| about == package);
                let times = before.map_or(0, |(.., times)| times + 1);
                self.healths.insert(*robot, (*package, *health, times));
                self.said += 1;
            }
            Event::Ended { next } => {
                self.next = *next;
                self.attempt = None;
            }
            Event::Settled { model, next } => {
                self.settled += u64::from(*model != self.model);
                (self.model, self.next) = (*model, *next);
                // Also where it is what they ran before: some may run what was tried.
                self.everyone = Some(*model);
                self.packages.retain(|package, _| package == model);
                self.chosen.clear();
                self.said = 0;
                self.attempt = None;
            }
            _ => self.attempt.as_mut().ok_or("an event of a round, and none is open")?.apply(event)?,
        }
        Ok(())
    }

    /// One line for whoever watches.
    #[must_use]
    pub fn told(&self) -> String {
        let robots = self.enrolled.len();
        match &self.attempt {
            None if self.is_over() => format!("all rounds are over; {robots} robots enrolled"),
            None => format!("{robots} robots enrolled; a round opens with {}", self.plan.terms.least),
            Some(attempt) => bounded(attempt.told()),
        }
    }

    /// A hash of everything but where uploads in progress stand: two servers that remember the same have the same.
    #[must_use]
    pub fn fingerprint(&self) -> Id {
        use sha2::{Digest, Sha256};
        let healths: Vec<_> = self.healths.iter().collect();
        let state = (&self.enrolled.iter().collect::<Vec<_>>(), &self.next, self.settled, &self.model);
        let offered = (self.packages.iter().collect::<Vec<_>>(), self.everyone, self.chosen.iter().collect::<Vec<_>>());
        let attempt = self.attempt.as_ref().map(Attempt::facts);
        Id(Sha256::digest([encode(&state), encode(&offered), encode(&healths), encode(&attempt)].concat()).into())
    }
}

fn whole_stream(round: &Round, leaves: &[Id]) -> Intake {
    Intake::new(leaves.to_vec(), stream_len(round) as u64)
}

fn read_manifest(round: &Round, bytes: &[u8]) -> Result<Manifest, Refused> {
    use folding::lwe::Malformed;
    Manifest::from_bytes(round.agreement(), bytes).map_err(|error| match error {
        Malformed::OtherRound => Refused::OtherRound,
        error => Refused::malformed(error),
    })
}
