//! From a mean to what robots run: a signed package, offered to a few robots first, then to more, then to all; or taken back.

use super::charter::Charter;
use super::{files, say};
use crate::judging::Policy;
use crate::whole_file::Target;
use fleet_client::protocol::{Audience, Health, Id, Offer};
use fleet_keyholder::{Deployer, Deploying, Move};
use folding::lwe::RobotId;
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use trust::identity::{Identity, PublicIdentity};
use trust::package::{ADAPTER, Origin, Package, RoundRecord};
use trust::rollout::{Event, Plan, Rollout, Stage, Version};

/// How long robots of a stage have to say how they fare.
const PATIENCE: Duration = Duration::from_secs(600);

/// Makes a package of each mean and rolls it out: a tenth of the robots, half, all.
pub(super) struct Publisher {
    identity: Identity,
    charter: Charter,
    policies: PathBuf,
    rng: ChaCha20Rng,
    way: Option<Way>,
    /// What arms learn, where the gate can try a candidate itself.
    lesson: Option<workload::Learner>,
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
    pub(super) fn new(
        identity: Identity,
        charter: Charter,
        policies: PathBuf,
        rng: ChaCha20Rng,
        lesson: Option<workload::Learner>,
    ) -> Self {
        Self { identity, charter, policies, rng, way: None, lesson }
    }

    /// Whether the gate lets a candidate pass. Without a lesson there is no gate, and the operator was told so.
    fn passes(&self, deploying: &Deploying<'_>, candidate: &[u8]) -> Result<bool, String> {
        let Some(lesson) = &self.lesson else { return Ok(true) };
        let (old, _, parent) = self.running(deploying.terms.model)?;
        let package = open(candidate, self.identity.public())?;
        let new = files::adapter_values(package.section(ADAPTER).unwrap_or_default())?;
        let old = Policy { fingerprint: parent.unwrap_or(deploying.terms.model.0), adapter: &old };
        let new = Policy { fingerprint: *package.fingerprint(), adapter: &new };
        let draw = u32::try_from(deploying.terms.round).unwrap_or(u32::MAX);
        let verdict = super::arms::verdict(lesson, [old, new], draw)?;
        say(format_args!("gate: {}", verdict.to_string().trim_end().replace('\n', ";")));
        Ok(verdict.passed())
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
        let path = self.policies.join(format!("candidate-{}-{}", terms.round, terms.attempt));
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
        // The rounds that made it are its own and, through its parent, those before.
        let origin = Origin {
            fleet: terms.fleet.clone().into_bytes(),
            version,
            base,
            parent,
            corpus: [0; 32],
            training: [0; 32],
            rounds: vec![record],
        };
        let adapter = files::adapter_bytes(&values)?;
        let bytes = Package::write(&origin, &[(ADAPTER, &adapter)], &self.identity, &mut self.rng);
        let bytes = bytes.map_err(|error| error.to_string())?;
        let target = Target::new(&path, &[]).map_err(|error| error.to_string())?;
        target.write(|file| file.write_all(&bytes)).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn settle(&mut self, deploying: &Deploying<'_>, bytes: &[u8], model: Id) -> Result<Move, String> {
        if model != deploying.terms.model {
            let target = Target::new(&self.policies.join(model.to_string()), &[]).map_err(|error| error.to_string())?;
            target.write(|file| file.write_all(bytes)).map_err(|error| error.to_string())?;
        }
        let terms = deploying.terms;
        // One that stays is in nobody's way: its round is over.
        let _ = fs::remove_file(self.policies.join(format!("candidate-{}-{}", terms.round, terms.attempt)));
        self.way = None;
        Ok(Move::Settle(model))
    }

    /// The roll-out of this package: the one that is on its way, or begun anew after a restart.
    fn way(&mut self, package: Id, enrolled: &[Id]) -> Result<&mut Way, String> {
        if self.way.as_ref().is_none_or(|way| way.package != package) {
            let fleet: Vec<RobotId> = enrolled.iter().map(|robot| RobotId::from(*robot)).collect();
            let rollout = Rollout::start(Plan::default(), &fleet, &package.0).map_err(|error| error.to_string())?;
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
        if self.way.is_none() && !self.passes(deploying, &bytes)? {
            return self.settle(deploying, &bytes, old);
        }
        let way = self.way(package, deploying.enrolled)?;
        match deploying.healths {
            Some(healths) => way.follow(healths),
            // Nothing was offered yet, or it is not known whether it was.
            None => way.offered.clear(),
        }
        let first = deploying.healths.is_none();
        match way.rollout.stage() {
            Stage::Deployed => self.settle(deploying, &bytes, package),
            Stage::RolledBack(_) => self.settle(deploying, &bytes, old),
            _ => Ok(match way.offer(old) {
                // With the first offer the server gets the package.
                Some(offer) => Move::Roll { package: (first && offer.package == package).then_some(bytes), offer },
                None => Move::Watch,
            }),
        }
    }
}
