//! Real uploads for the simulation, each made once in the process.

use folding::Update;
use folding::lwe::{CHUNK_LEN, ForgetfulLog, HolderKey, MessageKey, RobotId, UpdateId, merkle_leaf};
use kernels::cpu::Cpu;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use tensorguard_protocol::{Attempted, Id, Kept, Signed, Terms, folding};

/// What a robot sealed for an attempt.
pub(crate) type Sealed = Arc<(Kept, Vec<u8>)>;

static HOLDER: LazyLock<HolderKey> = LazyLock::new(|| HolderKey::generate(&mut ChaCha20Rng::seed_from_u64(1)));
/// A robot's attempt at a round: model, round, attempt, robot.
type Sealing = (Id, u64, u32, Id);
static MADE: LazyLock<Mutex<HashMap<Sealing, Sealed>>> = LazyLock::new(Mutex::default);

/// Two chunks.
pub(crate) const LENGTH: u64 = 80_000;

pub(crate) fn terms() -> Terms {
    let (fleet, model, holder) = ("arms".to_owned(), Id([0; 32]), Id(HOLDER.public().fingerprint()));
    let (round, attempt, planned, quorum, least) = (0, 0, 5, 4, 2);
    Terms { fleet, round, attempt, model, holder, length: LENGTH, bits: 8, clip: 1.0, planned, quorum, least }
}

pub(crate) fn sealed(robot: Id, terms: &Terms) -> Sealed {
    let key = (robot, terms.round, terms.attempt, terms.model);
    MADE.lock().unwrap().entry(key).or_insert_with(|| make(robot, terms)).clone()
}

fn make(robot: Id, terms: &Terms) -> Sealed {
    let round = terms.round().unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(terms.round << 8 | u64::from(robot.0[0]));
    let message = MessageKey::new(round.agreement(), RobotId(robot.0), &HOLDER.public(), &mut rng).unwrap();
    let mut name = robot.0;
    name[..8].copy_from_slice(&terms.round.to_le_bytes());
    let values = vec![0.25f32; LENGTH as usize];
    let update = Update::new(UpdateId(name), &values);
    let (upload, _) = round.encrypt(message, update, &mut ForgetfulLog::default(), &Cpu::best(1)).unwrap();
    let stream = upload.canary_and_body().to_vec();
    let leaves = stream.chunks(CHUNK_LEN).map(|chunk| Id(merkle_leaf(chunk))).collect();
    let signed = Signed { manifest: upload.manifest().to_bytes().into(), signature: robot.0.to_vec().into() };
    let attempted = Attempted { round: terms.round, attempt: terms.attempt };
    Arc::new((Kept { attempted, signed, leaves }, stream))
}
