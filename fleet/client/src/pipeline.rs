//! From an update to what is sent, in one place: clip, quantize and encrypt, sign, keep.
//!
//! Quantizing and encrypting are one pass over the values, block by block in the cache, so they have one time.

use crate::kept::Keep;
use folding::lwe::{CHUNK_LEN, HolderPublic, MessageKey, SealLog, UpdateId, Upload, merkle_leaf};
use folding::{OutOfRange, Round, Update};
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
    /// Looking at every value, and finding those to clip.
    Clip,
    /// Making a key, then quantizing and encrypting, in one pass: what is beyond the clip becomes the clip.
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

/// An update, encrypted and signed.
#[derive(Debug)]
pub struct Sealed {
    /// What was encrypted.
    pub upload: Upload,
    /// What its robot says about it.
    pub signed: Signed,
    /// The leaves under the signed root.
    pub leaves: Vec<Id>,
    /// Values that were clipped.
    pub out_of_range: OutOfRange,
}

/// Clips, quantizes, encrypts and signs an update. The seal log is marked before anything is encrypted. `done` is told of each stage as
/// it ends, for whoever times it.
///
/// # Errors
/// What failed, and how to mend it.
#[expect(clippy::too_many_arguments, reason = "each is another thing that a robot has")]
pub fn seal(
    round: &Round,
    (id, values): (UpdateId, &[f32]),
    identity: &Identity,
    holder: &HolderPublic,
    log: &mut dyn SealLog,
    rng: &mut dyn CryptoRng,
    backend: &dyn Backend,
    done: &mut dyn FnMut(Stage),
) -> Result<Sealed, String> {
    let mut update = Update::new(id, values).clipping();
    round.survey(&mut update, backend).map_err(|error| error.to_string())?;
    done(Stage::Clip);
    let mut rng = rng;
    let key = MessageKey::new(round.agreement(), identity.public().robot(), holder, &mut rng)
        .map_err(|error| error.to_string())?;
    let (upload, out_of_range) =
        round.encrypt(key, update.stochastic(&mut rng), log, backend).map_err(|error| error.to_string())?;
    done(Stage::Encrypt);
    let leaves = upload.canary_and_body().chunks(CHUNK_LEN).map(|chunk| Id(merkle_leaf(chunk))).collect();
    let manifest = upload.manifest().to_bytes();
    let signature = identity.sign(Purpose::Manifest, &manifest, &mut rng).to_bytes().to_vec();
    done(Stage::Sign);
    let signed = Signed { manifest: manifest.into(), signature: signature.into() };
    Ok(Sealed { upload, signed, leaves, out_of_range })
}

/// [`seal`]s an update for these terms and keeps it: nothing is sent before that.
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
    let round = terms.round().map_err(|error| error.to_string())?;
    let mut timings = Vec::new();
    let mut begin = Instant::now();
    let mut lap = |stage| {
        timings.push(Timing { stage, took: begin.elapsed() });
        begin = Instant::now();
    };
    let Sealed { upload, signed, leaves, out_of_range } =
        seal(&round, update, identity, holder, log, rng, backend, &mut lap)?;
    let stream = upload.canary_and_body().to_vec();
    let attempted = Attempted { round: terms.round, attempt: terms.attempt };
    let kept = Kept { attempted, signed, leaves };
    keep.put(&kept, &stream).map_err(|error| error.to_string())?;
    lap(Stage::Keep);
    Ok(Prepared { kept, stream, out_of_range, timings })
}
