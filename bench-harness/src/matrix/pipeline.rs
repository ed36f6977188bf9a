//! A round, run for real: what each robot does with its update, what the server does with what arrives, and what the key
//! holder opens. The plain arm does the same without encryption. Every step is timed, in CPU time of one thread.

use crate::clock::cpu_ns;
use crate::failure::Failure;
use fleet_client::{Sealed, Stage, seal};
use folding::lwe::{
    ForgetfulLog, HolderKey, HolderPublic, Keys, Manifest, Policy, RobotId, UpdateId, VerifiedManifest,
};
use folding::{Question, Round, RoundTerms};
use kernels::Backend;
use lwe::Params;
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trust::identity::{Identity, Registry, SIGNATURE_LEN};

/// What the matrix encrypts under.
pub const SUITE: &Params = &Params::FL_4096_60;

/// How a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Eight bits: costs no training rounds.
    #[value(name = "8bit")]
    Bits8,
    /// Four bits.
    #[value(name = "4bit")]
    Bits4,
    /// Twenty-four bits, what a 32-bit float holds; in the plain arm the float itself.
    #[value(name = "dense")]
    Dense,
}

impl Profile {
    /// All, the default first.
    pub const ALL: [Self; 3] = [Self::Bits8, Self::Bits4, Self::Dense];

    /// The name on the command line, in cells and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bits8 => "8bit",
            Self::Bits4 => "4bit",
            Self::Dense => "dense",
        }
    }

    /// Bits on the grid.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits8 => 8,
            Self::Bits4 => 4,
            Self::Dense => 24,
        }
    }

    /// Bytes of an update that is not encrypted.
    #[must_use]
    pub fn plain_bytes(self, values: usize) -> u64 {
        match self {
            Self::Bits8 => values as u64,
            Self::Bits4 => values.div_ceil(2) as u64,
            Self::Dense => 4 * values as u64,
        }
    }
}

/// CPU times of one round, robot by robot where each has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// A robot looks at its update for what is beyond the clip.
    pub clip_ns: Vec<u64>,
    /// A robot puts it on the grid, clipped, and encrypts it.
    pub encrypt_ns: Vec<u64>,
    /// A robot hashes and signs what it sends.
    pub sign_ns: Vec<u64>,
    /// The server adds an upload.
    pub add_ns: Vec<u64>,
    /// The key holder checks the signatures.
    pub check_ns: u64,
    /// The key holder opens the sum.
    pub open_ns: u64,
    /// The same update on the same grid, not encrypted: a robot's part, without clipping and signing.
    pub plain_encode_ns: Vec<u64>,
    /// The server adds it.
    pub plain_add_ns: Vec<u64>,
    /// The sum to the mean.
    pub plain_open_ns: u64,
}

/// What a round gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the key holder opened.
    pub mean: Vec<f32>,
    /// How long everything took.
    pub times: Times,
    /// What a robot sends: upload, manifest, signature.
    pub upload_bytes: u64,
    /// What goes to the key holder: the sum and everybody's manifest and signature.
    pub sum_bytes: u64,
    /// What a robot sends in the plain arm: values, the same manifest and signature.
    pub plain_upload_bytes: u64,
    /// The farthest that a value of the mean is from the mean of the plain updates.
    pub error_max: f64,
    /// Values beyond the clip.
    pub clipped: u64,
    /// What everything was encrypted for.
    pub context: [u8; 32],
    /// SHA-256 over the manifests, in the robots' order.
    pub manifests: [u8; 32],
}

/// A fleet's keys: each robot's own, the key holder's, and who is enrolled.
#[derive(Debug)]
pub struct Enrolled {
    robots: Vec<Identity>,
    registry: Registry,
    holder: HolderKey,
    rng: ChaCha20Rng,
    fleet: [u8; 32],
}

/// What all agree on before a round.
#[derive(Clone, Copy, Debug)]
pub struct Agreed {
    /// Number of the round in its campaign.
    pub round: u64,
    /// The largest magnitude of a value.
    pub clip: f32,
    /// How a value travels.
    pub profile: Profile,
    /// Fewer robots, and the sum stays shut.
    pub min_clients: u32,
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::Wrong(format!("a round of the matrix: {error}"))
}

impl Enrolled {
    /// Makes everybody's keys. Seeded: a benchmark's fleet has no secrets to keep, and must be made again.
    ///
    /// # Errors
    /// [`Failure::Internal`] where a robot cannot be enrolled.
    pub fn new(clients: u32, seed: u64) -> Result<Self, Failure> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut registry = Registry::default();
        let robots: Vec<Identity> = (0..clients).map(|_| Identity::generate(&mut rng)).collect();
        for robot in &robots {
            let enrolled = registry.enrol(robot.public().clone());
            enrolled.map_err(|error| Failure::Internal(format!("enrolling a robot: {error}")))?;
        }
        let mut fleet = [0; 32];
        let holder = HolderKey::generate(&mut rng);
        rng.fill_bytes(&mut fleet);
        Ok(Self { robots, registry, holder, rng, fleet })
    }

    /// Runs a round over these updates, one for each robot, encrypted and plain.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where a step refuses, or the mean is not the mean.
    pub fn round(&mut self, agreed: Agreed, updates: &[&[f32]], backend: &dyn Backend) -> Result<Outcome, Failure> {
        let length = updates.first().map_or(0, |update| update.len());
        let planned = updates.len() as u64;
        let mut terms = RoundTerms::new(length, planned, agreed.clip, self.holder.public().model());
        terms.params = SUITE;
        (terms.fleet, terms.round, terms.bits) = (&self.fleet, agreed.round, agreed.profile.bits());
        let round = Round::new(&terms).map_err(wrong)?;
        let (mut times, mut clipped) = (Times::default(), 0);
        let (mut sum, mut signed, holder) = (round.sum(), Vec::new(), self.holder.public());
        for (robot, update) in self.robots.iter().zip(updates) {
            let sealed = send(robot, update, &round, &holder, &mut self.rng, backend, &mut times)?;
            clipped += sealed.out_of_range.clipped;
            let begin = cpu_ns();
            round.take(&mut sum, sealed.upload.bytes(), backend).map_err(wrong)?;
            times.add_ns.push(cpu_ns() - begin);
            let manifest = Manifest::from_bytes(round.agreement(), &sealed.signed.manifest).map_err(wrong)?;
            signed.push((manifest, sealed.signed.signature));
        }
        let mut said = Sha256::new();
        signed.iter().for_each(|(manifest, _)| said.update(manifest.to_bytes()));
        let begin = cpu_ns();
        let manifests: Result<Vec<_>, Failure> =
            signed.into_iter().map(|(manifest, signature)| self.check(manifest, &signature)).collect();
        let manifests = manifests?;
        times.check_ns = cpu_ns() - begin;
        let begin = cpu_ns();
        let policy = Policy::lowered_to(agreed.min_clients.into());
        let question = Question::new(Keys::Holder(&self.holder)).under(policy);
        let mean = round.open(&question, &sum, &manifests, &mut ForgetfulLog::default(), backend).map_err(wrong)?;
        times.open_ns = cpu_ns() - begin;
        let vouched = (manifests[0].manifest().to_bytes().len() + SIGNATURE_LEN) as u64;
        let plain = plain_mean(agreed, updates, &mut times);
        Ok(Outcome {
            error_max: distance(agreed, updates, &mean.values, &plain)?,
            mean: mean.values,
            times,
            upload_bytes: round.agreement().upload_len() as u64 + vouched,
            sum_bytes: round.agreement().sum_len() as u64 + planned * vouched,
            plain_upload_bytes: agreed.profile.plain_bytes(length) + vouched,
            clipped,
            context: *round.agreement().context().bytes(),
            manifests: said.finalize().into(),
        })
    }

    /// The robots' names, in order.
    pub fn robots(&self) -> impl Iterator<Item = RobotId> {
        self.robots.iter().map(|robot| robot.public().robot())
    }

    fn check(&self, manifest: Manifest, signature: &[u8]) -> Result<VerifiedManifest, Failure> {
        VerifiedManifest::check(manifest, signature, &self.registry).map_err(wrong)
    }
}

/// What a robot does with its update, by the fleet's own function; timed.
fn send(
    robot: &Identity,
    update: &[f32],
    round: &Round,
    holder: &HolderPublic,
    rng: &mut ChaCha20Rng,
    backend: &dyn Backend,
    times: &mut Times,
) -> Result<Sealed, Failure> {
    // A benchmark's updates have no names: none is sent twice.
    let named = Sha256::digest([robot.public().fingerprint(), &rng.next_u64().to_le_bytes()[..]].concat());
    let update = (UpdateId(named.into()), update);
    let mut begin = cpu_ns();
    let mut done = |stage| {
        let took = match stage {
            Stage::Clip => &mut times.clip_ns,
            Stage::Encrypt => &mut times.encrypt_ns,
            Stage::Sign => &mut times.sign_ns,
            Stage::Train | Stage::Keep | Stage::Send | Stage::Apply => return,
        };
        took.push(cpu_ns() - begin);
        begin = cpu_ns();
    };
    seal(round, update, robot, holder, &mut ForgetfulLog::default(), rng, backend, &mut done).map_err(wrong)
}

/// The plain arm: the same grid without encryption. A robot sends levels, the server adds them, the sum becomes the mean.
fn plain_mean(agreed: Agreed, updates: &[&[f32]], times: &mut Times) -> Vec<f32> {
    let step = f64::from(agreed.clip) / f64::from((1u32 << (agreed.profile.bits() - 1)) - 1);
    let mut sum = vec![0i64; updates[0].len()];
    for update in updates {
        let begin = cpu_ns();
        let clip = f64::from(agreed.clip);
        let levels: Vec<i32> =
            update.iter().map(|&x| (f64::from(x).clamp(-clip, clip) / step).round() as i32).collect();
        times.plain_encode_ns.push(cpu_ns() - begin);
        let begin = cpu_ns();
        sum.iter_mut().zip(&levels).for_each(|(sum, &level)| *sum += i64::from(level));
        times.plain_add_ns.push(cpu_ns() - begin);
    }
    let begin = cpu_ns();
    let mean = sum.iter().map(|&sum| (sum as f64 * step / updates.len() as f64) as f32).collect();
    times.plain_open_ns = cpu_ns() - begin;
    mean
}

/// How far the opened mean is from that of the clipped updates. Both arms must be within a step of the grid.
fn distance(agreed: Agreed, updates: &[&[f32]], opened: &[f32], plain: &[f32]) -> Result<f64, Failure> {
    let levels = f64::from((1u32 << (agreed.profile.bits() - 1)) - 1);
    // The stochastic grid moves a value by less than a step; a float's own rounding comes on top.
    let allowed = f64::from(agreed.clip) * (1.0 / levels + 1e-6);
    let (clip, robots) = (f64::from(agreed.clip), updates.len() as f64);
    // Update by update: a walk across a hundred of them at every value misses the cache a hundred times.
    let mut exact = vec![0.0; opened.len()];
    for update in updates {
        for (sum, &value) in exact.iter_mut().zip(*update) {
            *sum += f64::from(value).clamp(-clip, clip);
        }
    }
    // A NaN is no small distance: f64::max would drop it.
    let far = |mean: &[f32]| {
        let errors = mean.iter().zip(&exact).map(|(&x, sum)| (f64::from(x) - sum / robots).abs());
        errors.fold(0.0, |far: f64, error| if error.is_nan() || far.is_nan() { f64::NAN } else { far.max(error) })
    };
    let (opened, plain) = (far(opened), far(plain));
    if opened <= allowed && plain <= allowed {
        return Ok(opened);
    }
    Err(wrong(format!(
        "the opened mean is off by {opened:.3e}, the plain one by {plain:.3e}, allowed is {allowed:.3e}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::cpu::Cpu;

    fn agreed(profile: Profile) -> Agreed {
        Agreed { round: 3, clip: 0.5, profile, min_clients: 2 }
    }

    #[test]
    fn a_round_gives_the_mean_in_both_arms_at_every_profile() {
        let updates: Vec<Vec<f32>> = (0..5).map(|robot| crate::rounds::update(robot, 300)).collect();
        let updates: Vec<&[f32]> = updates.iter().map(Vec::as_slice).collect();
        let mut fleet = Enrolled::new(5, 1).expect("keys");
        for profile in [Profile::Bits8, Profile::Bits4, Profile::Dense] {
            let outcome = fleet.round(agreed(profile), &updates, &Cpu::best(1)).expect("a round");
            assert_eq!(outcome.mean.len(), 300);
            assert!(outcome.error_max > 0.0 && outcome.clipped > 0, "half of the values are beyond the clip");
            let times = &outcome.times;
            assert!([&times.clip_ns, &times.encrypt_ns, &times.sign_ns, &times.add_ns].iter().all(|t| t.len() == 5));
            assert!(outcome.plain_upload_bytes < outcome.upload_bytes);
        }
    }

    #[test]
    fn too_few_robots_are_refused() {
        let updates: Vec<Vec<f32>> = (0..3).map(|robot| crate::rounds::update(robot, 300)).collect();
        let updates: Vec<&[f32]> = updates.iter().map(Vec::as_slice).collect();
        let mut fleet = Enrolled::new(3, 1).expect("keys");
        let agreed = Agreed { min_clients: 4, ..agreed(Profile::Bits8) };
        assert_eq!(fleet.round(agreed, &updates, &Cpu::best(1)).map_err(|failure| failure.code()).err(), Some(8));
    }

    #[test]
    fn a_wrong_mean_is_noticed() {
        let updates = [&[0.1f32, 0.2][..]];
        assert!(distance(agreed(Profile::Bits8), &updates, &[0.1, 0.2], &[0.1, 0.2]).is_ok());
        assert!(distance(agreed(Profile::Bits8), &updates, &[0.1, 0.21], &[0.1, 0.2]).is_err());
        assert!(distance(agreed(Profile::Bits8), &updates, &[f32::NAN, 0.2], &[0.1, 0.2]).is_err());
    }
}
