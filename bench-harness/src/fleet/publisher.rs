//! From a mean to what robots run: a signed package, offered to a few robots first, then to more, then to all; or taken back.

use super::charter::Charter;
use super::decisions::Book;
use super::{failed, files, folders, say};
use crate::failure::Failure;
use crate::judging::Policy;
use crate::whole_file::Target;
use fleet_client::link::Revocations;
use fleet_client::protocol::{Audience, Health, Id, Offer};
use fleet_keyholder::{Deployer, Deploying, Move};
use folding::lwe::RobotId;
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trust::decisions::{Admission, Decision, End};
use trust::gate::{Thresholds, Verdict};
use trust::identity::{Identity, PublicIdentity};
use trust::package::{ADAPTER, Origin, Package, RoundRecord};
use trust::rollout::{Event, Plan, Rollout, Stage, Version};

/// How long robots of a stage have to say how they fare.
const PATIENCE: Duration = Duration::from_secs(600);
/// How files of candidates begin.
const CANDIDATE: &str = "candidate-";

/// Makes a package of each mean and rolls it out: a tenth of the robots, half, all. Everything it decides is in the decision log before
/// anybody acts on it, so that after a restart nothing is decided again.
pub(super) struct Publisher {
    identity: Identity,
    charter: Charter,
    policies: PathBuf,
    rng: ChaCha20Rng,
    way: Option<Way>,
    /// What arms learn, where the gate can try a candidate itself.
    lesson: Option<workload::Learner>,
    book: Book,
    /// Robots that get nothing more.
    outcasts: Revocations,
}

/// A package on its way.
struct Way {
    package: Id,
    rollout: Rollout,
    since: Instant,
    offered: Vec<Offer>,
}

/// An adapter, and of its package, if it has one, where it comes from and its fingerprint.
type Deployed = (Vec<f32>, Option<Origin>, Option<[u8; 32]>);

impl Publisher {
    /// In a key holder's folder. With a gate, its thresholds are registered here, before it sees a candidate.
    pub(super) fn new(
        folder: &Path,
        charter: Charter,
        rng: ChaCha20Rng,
        lesson: Option<workload::Learner>,
        outcasts: Revocations,
    ) -> Result<Self, Failure> {
        let policies = folder.join("policies");
        fs::create_dir_all(&policies).map_err(failed)?;
        let (identity, mut book) = (folders::identity(folder)?, Book::open(folder)?);
        let thresholds = Thresholds::default().hash();
        if lesson.is_some() && book.history().thresholds() != Some(thresholds) {
            book.record(Decision::Registered { thresholds }).map_err(failed)?;
        }
        Ok(Self { identity, charter, policies, rng, way: None, lesson, book, outcasts })
    }

    /// From now on these robots get nothing more, and nobody waits for them.
    pub(super) fn shut_out(&mut self, outcasts: Revocations) {
        // The roll-out goes on with the others where the log says that it was.
        (self.outcasts, self.way) = (outcasts, None);
    }

    /// Whether a candidate may be rolled out: the gate's verdict, once for each; without a lesson there is no gate, and the log says
    /// so.
    fn admits(&mut self, deploying: &Deploying<'_>, candidate: &Package<'_>) -> Result<bool, String> {
        let fingerprint = *candidate.fingerprint();
        if self.book.history().admits(&fingerprint).is_none() {
            let decision = match &self.lesson {
                None => Decision::Unjudged { candidate: fingerprint },
                Some(lesson) => {
                    let (old, _, parent) = self.running(deploying.terms.model)?;
                    let new = files::adapter_values(candidate.section(ADAPTER).unwrap_or_default())?;
                    let old = Policy { fingerprint: parent.unwrap_or(deploying.terms.model.0), adapter: &old };
                    let new = Policy { fingerprint, adapter: &new };
                    let draw = u32::try_from(deploying.terms.round).unwrap_or(u32::MAX);
                    let verdict = super::arms::verdict(lesson, [old, new], draw)?;
                    say(format_args!("gate: {}", in_short(&verdict)));
                    Decision::Judged(verdict)
                }
            };
            self.book.record(decision)?;
        }
        let admission = self.book.history().admits(&fingerprint);
        Ok(matches!(admission, Some(Admission::Passed | Admission::Unjudged)))
    }

    /// Notes how far a roll-out came, unless that is noted already.
    fn note(&mut self, candidate: [u8; 32], stage: Stage) -> Result<(), String> {
        let history = self.book.history();
        match End::of(stage) {
            Some(end) if history.end(&candidate) != Some(end) => self.book.record(Decision::Settled { candidate, end }),
            None if history.stages(&candidate).last() != Some(&stage) => {
                self.book.record(Decision::Reached { candidate, stage })
            }
            _ => Ok(()),
        }
    }

    /// The adapter that robots run, and its package if there is one.
    fn running(&self, model: Id) -> Result<Deployed, String> {
        if model.to_string() == self.charter.model {
            let none = || vec![0.0; self.charter.values as usize];
            return Ok((self.lesson.as_ref().map_or_else(none, workload::Learner::initial_adapter), None, None));
        }
        let path = self.policies.join(model.to_string());
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}: restore it", path.display()))?;
        let package = open(&bytes, self.identity.public())?;
        let values = files::adapter_values(package.section(ADAPTER).unwrap_or_default())?;
        Ok((values, Some(package.origin().clone()), Some(*package.fingerprint())))
    }

    /// The candidate of this mean: made once, then found again.
    fn candidate(&mut self, deploying: &Deploying<'_>) -> Result<Vec<u8>, String> {
        let terms = deploying.terms;
        let path = self.policies.join(format!("{CANDIDATE}{}-{}", terms.round, terms.attempt));
        if let Ok(bytes) = fs::read(&path) {
            return Ok(bytes);
        }
        let (mut values, before, parent) = self.running(terms.model)?;
        values.iter_mut().zip(&deploying.mean.values).for_each(|(value, mean)| *value += mean);
        let round = terms.round().map_err(|error| error.to_string())?;
        let (context, robots) = (*round.agreement().context().bytes(), deploying.mean.robots);
        let base = Id::parse(&self.charter.model).unwrap_or_default().0;
        let record = RoundRecord { context, robots: u32::try_from(robots).unwrap_or(u32::MAX), weight: robots };
        let version = before.as_ref().map_or(1, |origin| origin.version + 1);
        // What the robots learn from is known by the lesson; else by what they were founded on.
        let training = match &self.lesson {
            Some(lesson) => serde_json::to_vec(lesson.config()),
            None => serde_json::to_vec(&self.charter),
        };
        // The rounds that made it are its own and, through its parent, those before.
        let origin = Origin {
            fleet: terms.fleet.clone().into_bytes(),
            version,
            base,
            parent,
            // What the robots signed, round by round: nobody sees an update.
            corpus: Sha256::digest(deploying.manifests.0).into(),
            training: Sha256::digest(training.map_err(|error| error.to_string())?).into(),
            rounds: vec![record],
        };
        let adapter = files::adapter_bytes(&values)?;
        let bytes = Package::write(&origin, &[(ADAPTER, &adapter)], &self.identity, &mut self.rng);
        let bytes = bytes.map_err(|error| error.to_string())?;
        self.forget_candidates();
        self.keep(&path, &bytes)?;
        Ok(bytes)
    }

    /// Removes candidates of rounds that are over: their own stays until then, because its signature cannot be made again.
    fn forget_candidates(&self) {
        let files = fs::read_dir(&self.policies).into_iter().flatten().flatten();
        for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(CANDIDATE)) {
            // One that stays is in nobody's way.
            let _ = fs::remove_file(file.path());
        }
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        let target = Target::new(path, &[]).map_err(|error| error.to_string())?;
        target.write(|file| file.write_all(bytes)).map_err(|error| error.to_string())
    }

    fn settle(&mut self, deploying: &Deploying<'_>, bytes: &[u8], model: Id) -> Result<Move, String> {
        if model != deploying.terms.model {
            self.keep(&self.policies.join(model.to_string()), bytes)?;
        }
        self.way = None;
        Ok(Move::Settle(model))
    }

    /// The roll-out of this package: the one that is on its way, or where the log says that it was.
    fn way(&mut self, package: Id, candidate: [u8; 32], enrolled: &[Id]) -> Result<&mut Way, String> {
        if self.way.as_ref().is_none_or(|way| way.package != package) {
            let fleet = enrolled.iter().filter(|robot| !self.outcasts.names(**robot));
            let fleet: Vec<RobotId> = fleet.map(|robot| RobotId::from(*robot)).collect();
            let stages = self.book.history().stages(&candidate);
            let rollout = Rollout::resume(Plan::default(), &fleet, &package.0, &stages);
            let rollout = rollout.map_err(|error| error.to_string())?;
            self.way = Some(Way { package, rollout, since: Instant::now(), offered: vec![] });
        }
        self.way.as_mut().ok_or_else(|| "no roll-out".to_owned())
    }
}

impl Way {
    /// Takes note of how robots fare, and goes on to the next stage where this one is over.
    fn follow(&mut self, healths: &[(Id, Id, Health)]) {
        let before = self.rollout.stage();
        for (robot, about, health) in healths {
            let robot = RobotId::from(*robot);
            let event = match health {
                _ if *about != self.package => Event::Restored(robot),
                Health::Healthy => Event::Healthy(robot),
                Health::Unhealthy | Health::Rejected => Event::Unhealthy(robot),
            };
            // A robot that joined later is not part of this roll-out.
            let _ = self.rollout.take(event);
        }
        if self.rollout.tally().offered == 0 || self.since.elapsed() >= PATIENCE {
            // Known to be a good event.
            let _ = self.rollout.take(Event::SoakOver);
        }
        if self.rollout.stage() != before {
            let tally = self.rollout.tally();
            say(format_args!("roll-out: {before:?} -> {:?}, {} robots healthy", self.rollout.stage(), tally.healthy));
            self.since = Instant::now();
        }
    }

    /// An offer that has not been made yet.
    fn offer(&mut self, old: Id) -> Option<Offer> {
        let orders = self.rollout.orders();
        for (version, package) in [(Version::New, self.package), (Version::Old, old)] {
            let robots: Vec<Id> =
                orders.iter().filter(|order| order.version == version).map(|order| order.robot.into()).collect();
            let offer = Offer { package, audience: Audience::Only(robots.clone()) };
            let is_known = |robot: &Id| {
                let last = self.offered.iter().rev().find(|offer| names(offer, *robot));
                last.is_some_and(|last| last.package == package)
            };
            if !robots.iter().all(is_known) {
                self.offered.push(offer.clone());
                return Some(offer);
            }
        }
        None
    }
}

fn names(offer: &Offer, robot: Id) -> bool {
    matches!(&offer.audience, Audience::Only(robots) if robots.contains(&robot))
}

fn open<'a>(bytes: &'a [u8], publisher: &PublicIdentity) -> Result<Package<'a>, String> {
    Package::open(bytes, publisher).map_err(|error| error.to_string())
}

impl Deployer for Publisher {
    fn next(&mut self, deploying: &Deploying<'_>) -> Result<Move, String> {
        let bytes = self.candidate(deploying)?;
        let (package, old) = (Id(Sha256::digest(&bytes).into()), deploying.terms.model);
        let opened = open(&bytes, self.identity.public())?;
        let candidate = *opened.fingerprint();
        // What has ended, or was refused, is so after a restart too.
        match self.book.history().end(&candidate) {
            Some(End::Deployed) => return self.settle(deploying, &bytes, package),
            Some(_) => return self.settle(deploying, &bytes, old),
            None if !self.admits(deploying, &opened)? => return self.settle(deploying, &bytes, old),
            None => {}
        }
        let way = self.way(package, candidate, deploying.enrolled)?;
        match deploying.healths {
            Some(healths) => way.follow(healths),
            // Nothing was offered yet, or it is not known whether it was.
            None => way.offered.clear(),
        }
        let stage = way.rollout.stage();
        self.note(candidate, stage)?;
        match stage {
            Stage::Deployed => return self.settle(deploying, &bytes, package),
            Stage::RolledBack(_) => return self.settle(deploying, &bytes, old),
            _ => {}
        }
        let first = deploying.healths.is_none();
        Ok(match self.way(package, candidate, deploying.enrolled)?.offer(old) {
            // With the first offer the server gets the package.
            Some(offer) => Move::Roll { package: (first && offer.package == package).then_some(bytes), offer },
            None => Move::Watch,
        })
    }
}

/// A verdict in a line: the rules that a candidate broke. The decision log has all of them.
fn in_short(verdict: &Verdict) -> String {
    let broken: Vec<String> = verdict.findings().iter().filter(|rule| !rule.holds()).map(ToString::to_string).collect();
    let holding = verdict.findings().len() - broken.len();
    match verdict.passed() {
        true => format!("passed, all {holding} rules hold"),
        false => format!("refused, {holding} rules hold; {}", broken.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::arms;
    use crate::fleet::decisions::read;
    use crate::scratch::Scratch;
    use fleet_client::protocol::Terms;
    use folding::Mean;
    use rand::SeedableRng;
    use std::collections::BTreeMap;
    use workload::{Config, Size, Task};

    const ROBOTS: u8 = 12;

    /// A key holder's folder, and robots that say how they fare with what is new.
    struct World {
        scratch: Scratch,
        terms: Terms,
        lesson: Option<PathBuf>,
        health: Health,
        robots: BTreeMap<Id, (Id, Health)>,
    }

    impl World {
        fn new(name: &str, health: Health, lesson: Option<Config>) -> Self {
            let scratch = Scratch::new(name);
            let lesson = lesson.map(|config| (scratch.join("lesson"), config));
            let model = lesson.as_ref().map(|(folder, config)| arms::prepare(folder, *config).unwrap().0);
            let charter = Charter {
                fleet: "arms".into(),
                values: lesson.as_ref().map_or(100, |(_, config)| config.values() as u64),
                bits: 8,
                clip: 1.0,
                least: 2,
                model: model.unwrap_or(Id([0xAB; 32])).to_string(),
                holder: String::new(),
            };
            let charter = folders::create(&scratch.join("authority"), &scratch.join("holder"), charter).unwrap();
            let terms = charter.terms(2, u64::from(ROBOTS));
            let robots = (0..ROBOTS).map(|number| (Id([number; 32]), (terms.model, Health::Healthy))).collect();
            Self { scratch, terms, lesson: lesson.map(|(folder, _)| folder), health, robots }
        }

        fn publisher(&self) -> Publisher {
            let folder = self.scratch.join("holder");
            let lesson = self.lesson.as_ref().map(|lesson| arms::lesson(lesson, self.terms.model).unwrap());
            let outcasts = Revocations::read(&folder).unwrap();
            let rng = ChaCha20Rng::try_from_rng(&mut rand::rngs::SysRng).unwrap();
            Publisher::new(&folder, Charter::read(&folder).unwrap(), rng, lesson, outcasts).unwrap()
        }

        fn decisions(&self) -> Vec<Decision> {
            read(&self.scratch.join("holder"), None).unwrap().decisions().to_vec()
        }

        /// Until the round is settled; the key holder is killed after so many moves. Gives what robots run then.
        fn run(&mut self, mut moves: u32) -> Id {
            let (mut publisher, mut asked) = (self.publisher(), None);
            let mean = Mean { values: vec![0.0; self.terms.length as usize], robots: u64::from(ROBOTS), weight: 1 };
            let enrolled: Vec<Id> = self.robots.keys().copied().collect();
            loop {
                let healths: Option<Vec<_>> = asked.take();
                let (terms, healths, manifests) = (&self.terms, healths.as_deref(), Id([3; 32]));
                let deploying = Deploying { terms, mean: &mean, manifests, enrolled: &enrolled, healths };
                let next = publisher.next(&deploying).unwrap();
                if moves == 0 {
                    // What this move was, nobody learns.
                    drop(publisher);
                    publisher = self.publisher();
                    moves = u32::MAX;
                    continue;
                }
                moves -= 1;
                match next {
                    Move::Settle(model) => return model,
                    Move::Watch => {}
                    Move::Roll { offer: Offer { package, audience: Audience::Only(robots) }, .. } => {
                        let health = if package == self.terms.model { Health::Healthy } else { self.health };
                        self.robots.extend(robots.into_iter().map(|robot| (robot, (package, health))));
                    }
                    Move::Roll { .. } => panic!("an offer to everybody"),
                }
                asked = Some(self.robots.iter().map(|(robot, (about, health))| (*robot, *about, *health)).collect());
            }
        }
    }

    /// What a candidate's log says, without its name.
    fn told(decisions: &[Decision]) -> Vec<String> {
        let told = |decision: &Decision| match decision {
            Decision::Reached { stage, .. } => format!("{stage:?}"),
            Decision::Settled { end, .. } => format!("{end:?}"),
            Decision::Unjudged { .. } => "Unjudged".to_owned(),
            Decision::Registered { .. } => "Registered".to_owned(),
            Decision::Judged(verdict) => if verdict.passed() { "Passed" } else { "Refused" }.to_owned(),
        };
        decisions.iter().map(told).collect()
    }

    #[test]
    fn a_key_holder_that_dies_at_any_move_goes_on_and_decides_nothing_twice() {
        for (health, expected) in [
            (Health::Healthy, &["Unjudged", "Canary", "Progressive(0)", "Full", "Deployed"][..]),
            (Health::Unhealthy, &["Unjudged", "Canary", "RollingBack(Unhealthy)", "Unhealthy"][..]),
        ] {
            for moves in 0..5 {
                let mut world = World::new("publisher-dies", health, None);
                let model = world.run(moves);
                assert_eq!(told(&world.decisions()), expected, "{health:?}, dead after {moves} moves");
                assert!(
                    world
                        .robots
                        .values()
                        .filter(|(about, _)| *about != world.terms.model)
                        .all(|(about, _)| *about == model)
                );
                assert_eq!(model == world.terms.model, health == Health::Unhealthy);
                // The server may not have heard of the end: asked again, it is the same.
                assert_eq!((world.run(0), told(&world.decisions()).len()), (model, expected.len()));
            }
        }
    }

    #[test]
    fn a_revoked_robot_is_not_waited_for() {
        let mut world = World::new("publisher-outcast", Health::Healthy, None);
        let authority = world.scratch.join("authority");
        let authority = fleet_client::link::Authority::read(&authority).unwrap();
        for number in 0..4 {
            authority.revoke(Id([number; 32])).unwrap();
        }
        authority.copy_list(&world.scratch.join("holder")).unwrap();
        let model = world.run(u32::MAX);
        let on_it = |number| world.robots[&Id([number; 32])].0 == model;
        assert_eq!(
            (0..ROBOTS).map(on_it).collect::<Vec<_>>(),
            (0..ROBOTS).map(|number| number >= 4).collect::<Vec<_>>()
        );
    }

    #[test]
    fn with_a_gate_thresholds_come_first_and_a_candidate_is_judged_once() {
        let lesson = Config { width: 8, rank: 1, ..Config::of(Task::Imitation, Size::Kb10, 1) };
        let mut world = World::new("publisher-gate", Health::Healthy, Some(lesson));
        // Nothing was learned: nothing is better.
        for _ in 0..2 {
            assert_eq!(world.run(0), world.terms.model);
            assert_eq!(told(&world.decisions()), ["Registered", "Refused"]);
        }
        let Decision::Judged(verdict) = &world.decisions()[1] else { panic!("no verdict") };
        assert_eq!(*verdict.thresholds(), Thresholds::default().hash());
    }

    #[test]
    fn a_package_names_what_it_was_made_from() {
        let mut world = World::new("publisher-origin", Health::Healthy, None);
        let model = world.run(u32::MAX);
        let folder = world.scratch.join("holder");
        let bytes = fs::read(folder.join("policies").join(model.to_string())).unwrap();
        let package = Package::open(&bytes, &folders::publisher(&folder).unwrap()).unwrap();
        let charter = serde_json::to_vec(&Charter::read(&folder).unwrap()).unwrap();
        let expected: [[u8; 32]; 2] = [Sha256::digest([3; 32]).into(), Sha256::digest(charter).into()];
        assert_eq!([package.origin().corpus, package.origin().training], expected);
    }
}
