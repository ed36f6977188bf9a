//! Twenty robots' vectors of plain LWE: added, multiplied by three, opened.
//! Run: cargo run --release -p tensorguard-lwe --example vector

use kernels::cpu::Cpu;
use rand::{RngExt, SeedableRng, rngs};
use tensorguard_lwe::{
    Ciphertext, DenseAgreement, DenseParams, DenseTerms, ForgetfulLog, HolderKey, Keys, MessageKey, NotVerified, Part,
    Policy, RobotId, UpdateId, VerifiedManifest, Verifier, answer,
};

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
    let vectors: Vec<Vec<u32>> =
        robots.iter().map(|_| (0..1000).map(|_| rng.random_range(0..1 << 5)).collect()).collect();
    let (mut seals, mut answers, roster) = (ForgetfulLog::default(), ForgetfulLog::default(), Roster(robots.clone()));

    let holder = HolderKey::generate(&mut rng);
    let terms = DenseTerms {
        params: &DenseParams::LWE_1024_22,
        fleet: b"my fleet",
        model: [0; 32],
        round: 0,
        attempt: 0,
        class: b"",
        value_bits: 5,
        planned: 20,
        length: 1000,
        keys: holder.public().model(),
    };
    let agreement = DenseAgreement::scaled_up_to(&terms, 3)?; // what all agree on
    let (mut sum, mut manifests) = (agreement.sum(), vec![]);
    for (robot, vector) in robots.into_iter().zip(&vectors) {
        let key = MessageKey::new(&agreement, robot, &holder.public(), &mut rng)?; // robot: encrypts once
        let upload = agreement.encrypt(key, UpdateId(robot.0), &vector[..], vec![], &mut seals, &backend)?;
        sum.add(&[Ciphertext::read(&agreement, upload.bytes())?], &backend)?; // server: no key in scope
        manifests.push(VerifiedManifest::check(upload.manifest(), b"", &roster)?); // key holder
    }
    sum.scale(3)?; // server
    let parts = [Part { agreement: &agreement, sum: &sum, manifests: &manifests }];
    let opened = answer(Keys::Holder(&holder), Policy::default(), &parts, &mut answers, None, &backend)?;

    let expected = |index: usize| 3 * vectors.iter().map(|vector| u64::from(vector[index])).sum::<u64>();
    assert_eq!(opened[0].values(), (0..1000).map(expected).collect::<Vec<_>>());
    let (values, robots, bytes) = (agreement.length(), opened[0].weights.messages, agreement.upload_len());
    println!("three times the sum of {robots} vectors of {values} values, exact; {bytes} bytes from each robot");
    Ok(())
}
