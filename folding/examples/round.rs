//! One round: twenty robots, a server without a key, a key holder who sees only the mean.
//! Run: cargo run --release -p tensorguard-folding --example round

use kernels::cpu::Cpu;
use rand::{RngExt, SeedableRng, rngs};
use tensorguard_folding::lwe::{
    ForgetfulLog, HolderKey, Keys, MessageKey, NotVerified, RobotId, UpdateId, VerifiedManifest, Verifier,
};
use tensorguard_folding::{Question, Round, RoundTerms, Update};

/// The key holder's list of robots. Their manifests came over channels that said who speaks, so no signature is checked here;
/// manifests that travel through a server need one.
struct Roster(Vec<RobotId>);

impl Verifier for Roster {
    fn verify(&self, robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
        self.0.contains(&robot).then_some(()).ok_or_else(|| NotVerified("this robot is not enrolled".into()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (backend, mut rng) = (Cpu::best(1), rngs::ChaCha20Rng::try_from_rng(&mut rngs::SysRng)?);
    let robots: Vec<_> = (0..20).map(|number| RobotId([number; 32])).collect();
    let updates: Vec<Vec<f32>> =
        robots.iter().map(|_| (0..2500).map(|_| rng.random_range(-0.9..0.9)).collect()).collect();
    let (mut seals, mut answers, roster) = (ForgetfulLog::default(), ForgetfulLog::default(), Roster(robots.clone()));

    let holder = HolderKey::generate(&mut rng);
    let round = Round::new(&RoundTerms::new(2500, 20, 1.0, holder.public().model()))?; // what all agree on
    let (mut sum, mut manifests) = (round.sum(), vec![]);
    for (robot, update) in robots.into_iter().zip(&updates) {
        let key = MessageKey::new(round.agreement(), robot, &holder.public(), &mut rng)?; // robot: encrypts once
        let update = Update::new(UpdateId(robot.0), update).stochastic(&mut rng);
        let (upload, _) = round.encrypt(key, update, &mut seals, &backend)?;
        round.take(&mut sum, upload.bytes(), &backend)?; // server: no key in scope
        manifests.push(VerifiedManifest::check(upload.manifest(), b"", &roster)?); // key holder
    }
    let mean = round.open(&Question::new(Keys::Holder(&holder)), &sum, &manifests, &mut answers, &backend)?;

    let expected = |index: usize| updates.iter().map(|update| update[index]).sum::<f32>() / updates.len() as f32;
    let error = mean.values.iter().enumerate().map(|(i, x)| (x - expected(i)).abs()).fold(0.0, f32::max);
    println!("{}\n\nmean of {} robots, off by at most {error:.4} (rounding to 8 bits)", round.explain(), mean.robots);
    assert!(f64::from(error) <= round.grid().step());
    Ok(())
}
