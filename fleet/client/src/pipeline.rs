//! From an update to what is sent, in one place: clip, quantize and encrypt (one pass over the values), sign, keep.

use crate::kept::Keep;
use folding::lwe::{CHUNK_LEN, HolderPublic, MessageKey, SealLog, UpdateId, merkle_leaf};
use folding::{OutOfRange, Update};
use kernels::Backend;
use protocol::{Attempted, Id, Kept, Signed, Terms};
use rand_core::CryptoRng;
use std::time::{Duration, Instant};
use trust::identity::{Identity, Purpose};

/// A part of a robot's work that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Training, by whoever learns.
    Train,
    /// Clipping, quantizing and encrypting, in one pass.
    Encrypt,
    /// Hashing and signing.
    Sign,
    /// Keeping the upload, durably.
    Keep,
    /// Sending it.
    Send,
    /// Fetching and applying a package.
    Apply,
}

/// How long a stage took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Which.
    pub stage: Stage,
    /// Elapsed time.
    pub took: Duration,
}

/// An update that is ready to be sent.
#[derive(Debug)]
pub struct Prepared {
    /// What is announced.
    pub kept: Kept,
    /// The bytes under the signed root.
    pub stream: Vec<u8>,
    /// Values that were clipped.
    pub out_of_range: OutOfRange,
    /// How long each stage took.
    pub timings: Vec<Timing>,
}

/// Encrypts an update for these terms, signs it and keeps it. The seal log is marked before anything is encrypted, and nothing
/// is sent before it is kept.
///
/// # Errors
/// What failed, and how to mend it.
#[expect(clippy::too_many_arguments, reason = "each is another thing that a robot has")]
pub fn prepare(
    terms: &Terms,
    update: (UpdateId, &[f32]),
    identity: &Identity,
    holder: &HolderPublic,
    log: &mut dyn SealLog,
    keep: &Keep,
    rng: &mut dyn CryptoRng,
    backend: &dyn Backend,
) -> Result<Prepared, String> {
    let mut timings = Vec::new();
    let mut begin = Instant::now();
    let mut lap = |stage| {
        timings.push(Timing { stage, took: begin.elapsed() });
        begin = Instant::now();
    };
    let round = terms.round().map_err(|error| error.to_string())?;
    let (id, values) = update;
    if values.len() as u64 != terms.length {
        return Err(format!("an update of {} values, the round's have {}", values.len(), terms.length));
    }
    let mut rng = rng;
    let key = MessageKey::new(round.agreement(), identity.public().robot(), holder, &mut rng)
        .map_err(|error| error.to_string())?;
    let update = Update::new(id, values).clipping().stochastic(&mut rng);
    let (upload, out_of_range) = round.encrypt(key, update, log, backend).map_err(|error| error.to_string())?;
    lap(Stage::Encrypt);
    let stream = upload.canary_and_body().to_vec();
    let leaves = stream.chunks(CHUNK_LEN).map(|chunk| Id(merkle_leaf(chunk))).collect();
    let manifest = upload.manifest().to_bytes();
    let signature = identity.sign(Purpose::Manifest, &manifest, &mut rng).to_bytes().to_vec();
    lap(Stage::Sign);
    let signed = Signed { manifest: manifest.into(), signature: signature.into() };
    let attempted = Attempted { round: terms.round, attempt: terms.attempt };
    let kept = Kept { attempted, signed, leaves };
    keep.put(&kept, &stream).map_err(|error| error.to_string())?;
    lap(Stage::Keep);
    Ok(Prepared { kept, stream, out_of_range, timings })
}
