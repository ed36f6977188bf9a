//! A small fleet, seeded: everything it does can be done again.

use folding::lwe::{
    FleetSharedKey, ForgetfulLog, HolderKey, Keys, MessageKey, NotVerified, Policy, RobotId, UpdateId, Upload,
    VerifiedManifest, Verifier,
};
use folding::{Mean, Question, Round, RoundTerms, Update, lwe};
use kernels::cpu::Cpu;
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};

/// Accepts what enrolled robots "sign" with their own number.
pub(crate) struct Roster;

impl Verifier for Roster {
    fn verify(&self, robot: RobotId, _signed: &[u8], signature: &[u8]) -> Result<(), NotVerified> {
        (robot.0[..2] == *signature).then_some(()).ok_or_else(|| NotVerified("not this robot's signature".into()))
    }
}

pub(crate) struct Fleet {
    pub(crate) holder: HolderKey,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) backend: Cpu,
    pub(crate) seals: ForgetfulLog,
    pub(crate) answers: ForgetfulLog,
}

pub(crate) fn robot(number: u16) -> RobotId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_le_bytes());
    RobotId(id)
}

/// Another one for each robot and seed.
pub(crate) fn update_id(number: u16, seed: u8) -> UpdateId {
    let mut id = robot(number).0;
    id[31] = seed;
    UpdateId(id)
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        let holder = HolderKey::generate(&mut rng);
        let (seals, answers) = (ForgetfulLog::default(), ForgetfulLog::default());
        Self { holder, rng, backend: Cpu::best(1), seals, answers }
    }

    /// Default terms, under this fleet's key.
    pub(crate) fn terms(&self, length: usize, robots: u64) -> RoundTerms<'static> {
        RoundTerms::new(length, robots, 1.0, self.holder.public().model())
    }

    pub(crate) fn values(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| self.rng.random_range(-1.0..=1.0)).collect()
    }

    pub(crate) fn key(&mut self, round: &Round, number: u16) -> MessageKey {
        MessageKey::new(round.agreement(), robot(number), &self.holder.public(), &mut self.rng).unwrap()
    }

    /// Robot `number` encrypts `values` as its update `seed`.
    pub(crate) fn upload(&mut self, round: &Round, number: u16, seed: u8, values: &[f32]) -> Upload {
        let key = self.key(round, number);
        let update = Update::new(update_id(number, seed), values);
        round.encrypt(key, update, &mut self.seals, &self.backend).unwrap().0
    }

    /// Uploads of robots `0..count` with fresh values, and those values.
    pub(crate) fn uploads(&mut self, round: &Round, count: u16) -> (Vec<Upload>, Vec<Vec<f32>>) {
        let length = round.agreement().length();
        let values: Vec<_> = (0..count).map(|_| self.values(length)).collect();
        let uploads = (0..).zip(&values).map(|(number, values)| self.upload(round, number, 0, values)).collect();
        (uploads, values)
    }

    pub(crate) fn sum(&self, round: &Round, uploads: &[Upload]) -> lwe::Sum {
        let mut sum = round.sum();
        for upload in uploads {
            round.take(&mut sum, upload.bytes(), &self.backend).unwrap();
        }
        sum
    }

    /// As the default policy answers, but for two robots or more.
    pub(crate) fn open(
        &mut self,
        round: &Round,
        sum: &lwe::Sum,
        manifests: &[VerifiedManifest],
    ) -> Result<Mean, lwe::Refusal> {
        let question = Question::new(Keys::Holder(&self.holder)).under(Policy::lowered_to(2));
        round.open(&question, sum, manifests, &mut self.answers, &self.backend)
    }
}

pub(crate) fn verified(uploads: &[Upload]) -> Vec<VerifiedManifest> {
    let one = |upload: &Upload| {
        let manifest = upload.manifest();
        let signature = manifest.robot().0;
        VerifiedManifest::check(manifest, &signature[..2], &Roster).unwrap()
    };
    uploads.iter().map(one).collect()
}

pub(crate) fn shared_key() -> FleetSharedKey {
    FleetSharedKey::generate(&mut ChaCha20Rng::from_seed([8; 32]))
}
