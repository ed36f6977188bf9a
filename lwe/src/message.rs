//! A robot's side: values to an upload, at once or with pads made ahead.

use crate::agreement::Agreement;
use crate::context::Context;
use crate::hash::hash_fields;
use crate::keys::{Envelope, MessageKey, RobotId};
use crate::logs::{Created, LogError, SealLog};
use crate::manifest::Manifest;
use crate::params::Params;
use crate::suite::{Kind as _, Suite};
use crate::wire::{self, Kind};
use core::fmt;
use kernels::crew::queue;
use kernels::{Backend, Fault, PadJob, SealJob, Secret};

/// Names an update, whatever it is encrypted for: a hash of it, or the number of the training run that made it. An update
/// is sealed for one round only, because two sums that differ in one robot show that robot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateId(pub [u8; 32]);

/// Why nothing was encrypted. No byte of the message left this function, and the key is gone.
#[derive(Debug)]
pub enum SealError {
    /// The key or pad belongs to another round.
    OtherRound,
    /// This key has encrypted before: a restart, a restore or a copy of the process.
    KeyUsed,
    /// The update was sealed for another round.
    UpdateUsed,
    /// The log could not promise to remember.
    Log(LogError),
    /// No backend did the work.
    Backend(Fault),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRound => f.write_str("the key or pad was made for another round: make one for this round"),
            Self::KeyUsed => f.write_str(
                "this key has encrypted a message: send the stored upload again, or start over with a new key",
            ),
            Self::UpdateUsed => f.write_str("this update was sealed for another round: train a new one for this round"),
            Self::Log(error) => {
                write!(f, "the seal log failed, so nothing was sealed; mend it, then seal with a new key: {error}")
            }
            Self::Backend(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for SealError {}

impl From<Fault> for SealError {
    fn from(fault: Fault) -> Self {
        Self::Backend(fault)
    }
}

impl From<LogError> for SealError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// What a robot sends.
#[derive(Clone)]
pub struct Upload {
    bytes: Vec<u8>,
    context: Context,
    robot: RobotId,
    update: UpdateId,
    envelope: Option<Envelope>,
    canary_len: usize,
    /// Not sent: where the pads were.
    emptied: Vec<u32>,
}

impl PartialEq for Upload {
    fn eq(&self, other: &Self) -> bool {
        let Self { bytes, context, robot, update, envelope, canary_len, emptied: _ } = self;
        (bytes, context, robot, update) == (&other.bytes, &other.context, &other.robot, &other.update)
            && (envelope, canary_len) == (&other.envelope, &other.canary_len)
    }
}

impl Eq for Upload {}

impl Upload {
    /// The bytes, as [`crate::Ciphertext::read`] takes them. To be kept until the server has them: they cannot be made again.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes alone.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes, and the memory of the pads that went into them: zeros, for [`Agreement::prepare_in`]. Empty where no pads
    /// were made ahead.
    #[must_use]
    pub fn into_memory(self) -> (Vec<u8>, Vec<u32>) {
        (self.bytes, self.emptied)
    }

    /// What the robot signs about it.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        let start = self.bytes.len() - self.canary_and_body().len();
        Manifest::new(
            self.context,
            self.robot,
            self.update,
            self.envelope,
            self.bytes[start..start + self.canary_len].to_vec(),
            self.canary_and_body(),
        )
    }

    /// Canary and body: what lies under the manifest's root.
    #[must_use]
    pub fn canary_and_body(&self) -> &[u8] {
        let envelope = self.envelope.as_ref().map_or(0, |envelope| envelope.bytes().len());
        &self.bytes[wire::HEADER_LEN + envelope..]
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({} bytes, {:?})", self.bytes.len(), self.context)
    }
}

/// Where the values of a message come from: asked for each stretch once, in any order, by several threads. Values are below
/// 2^`value_bits`.
pub trait Values: Sync {
    /// Writes values `start .. start + out.len()`.
    fn fill(&self, start: usize, out: &mut [u32]);
}

impl Values for [u32] {
    fn fill(&self, start: usize, out: &mut [u32]) {
        out.copy_from_slice(&self[start..start + out.len()]);
    }
}

/// The message-independent half of a ciphertext, made ahead. In memory only; erased when dropped; used up by sealing, so not `Clone`.
///
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<tensorguard_lwe::Pads>();
/// ```
pub struct Pads {
    key: MessageKey,
    residues: Secret<Vec<u32>>,
    canary: Vec<u8>,
}

impl fmt::Debug for Pads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pads")
    }
}

/// Digits encrypted at a time, at most: so many that the key's transform does not count.
const ENCRYPTED_DIGITS: usize = 3 << 17;
/// So few that it begins to.
const LEAST_ENCRYPTED_DIGITS: usize = 3 << 14;
/// Blocks for each of several threads: all have about the same to do.
const BLOCKS_PER_THREAD: usize = 4;
/// Blocks that are worth a second thread: with fewer, two were no faster than one.
const LEAST_BLOCKS: usize = 4;
/// Digits sealed at a time: so few that they are still in the cache.
const SEALED_DIGITS: usize = 3 << 15;

impl<P: Suite> Agreement<P> {
    /// Encrypts a message. The key's and the update's use are marked in `log` before anything is sealed. The upload takes
    /// over `memory`, whatever is in it: that of an earlier upload spares the system from finding new pages.
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn encrypt(
        &self,
        key: MessageKey,
        update: UpdateId,
        values: &(impl Values + ?Sized),
        memory: Vec<u8>,
        log: &mut dyn SealLog,
        backend: &dyn Backend,
    ) -> Result<Upload, SealError> {
        self.mark(&key, update, log)?;
        let canary = |seed: &_, out: &mut _| P::encrypt_canary(self, seed, out, backend);
        self.upload(key, update, memory, canary, |seed, body| P::encrypt_body(self, seed, values, body, backend))
    }

    fn mark(&self, key: &MessageKey, update: UpdateId, log: &mut dyn SealLog) -> Result<(), SealError> {
        if key.context != *self.context() {
            return Err(SealError::OtherRound);
        }
        // The update first: a key that was never used can be made again, an update cannot.
        let round = self.attempt().round;
        match log.create(&hash_fields("update mark", &[&update.0]), &round)? {
            Created::New => {}
            // Another attempt at the same round: the key holder answers only one.
            Created::Exists(bound) if bound == round => {}
            Created::Exists(_) => return Err(SealError::UpdateUsed),
        }
        match log.create(&key.message_id(), &update.0)? {
            Created::New => Ok(()),
            Created::Exists(_) => Err(SealError::KeyUsed),
        }
    }

    /// Everything around canary and body, and those as `canary` and `seal` write them.
    fn upload(
        &self,
        key: MessageKey,
        update: UpdateId,
        mut bytes: Vec<u8>,
        canary: impl FnOnce(&Secret<[u8; 32]>, &mut [u8]) -> Result<(), Fault>,
        seal: impl FnOnce(&Secret<[u8; 32]>, &mut [u8]) -> Result<(), Fault>,
    ) -> Result<Upload, SealError> {
        // Every byte is written below.
        bytes.resize(self.upload_len(), 0);
        let (head, body) = bytes.split_at_mut(self.overhead_len());
        let (header, head) = head.split_at_mut(wire::HEADER_LEN);
        let (envelope, canary_out) = head.split_at_mut(self.envelope_len());
        header.copy_from_slice(&wire::header(Kind::Upload, self.context()));
        if let Some(sealed) = &key.envelope {
            envelope.copy_from_slice(sealed.bytes());
        }
        canary(&key.seed, canary_out)?;
        seal(&key.seed, body)?;
        let (context, robot, canary_len) = (*self.context(), key.robot, self.canary_shape().packed_len());
        Ok(Upload { bytes, context, robot, update, envelope: key.envelope, canary_len, emptied: Vec::new() })
    }
}

impl Agreement<Params> {
    /// Makes the half of a ciphertext that does not depend on the message, while there is time.
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn prepare(&self, key: MessageKey, backend: &dyn Backend) -> Result<Pads, SealError> {
        self.prepare_in(key, Vec::new(), backend)
    }

    /// [`Agreement::prepare`] in the memory of earlier pads, from [`Upload::into_memory`]: that spares the system from finding new
    /// pages now, and from taking them back while an update waits to be sealed.
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn prepare_in(&self, key: MessageKey, memory: Vec<u32>, backend: &dyn Backend) -> Result<Pads, SealError> {
        if key.context != *self.context() {
            return Err(SealError::OtherRound);
        }
        let mut residues = Secret::new(memory);
        residues.expose_mut().resize(self.encoding().pad_len(self.digits()), 0);
        let job =
            PadJob { ring: self.encoding().ring(), a_seed: self.a_seed(), message_seed: &key.seed, first_poly: 0 };
        backend.pad(&job, residues.expose_mut())?;
        let mut canary = vec![0; self.canary_shape().packed_len()];
        Params::encrypt_canary(self, &key.seed, &mut canary, backend)?;
        Ok(Pads { key, residues, canary })
    }

    /// Encrypts a message with pads made ahead. `memory` is as in [`Agreement::encrypt`].
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn seal(
        &self,
        pads: Pads,
        update: UpdateId,
        values: &(impl Values + ?Sized),
        memory: Vec<u8>,
        log: &mut dyn SealLog,
        backend: &dyn Backend,
    ) -> Result<Upload, SealError> {
        let Pads { key, mut residues, canary } = pads;
        self.mark(&key, update, log)?;
        let made_ahead = |_: &_, out: &mut [u8]| {
            out.copy_from_slice(&canary);
            Ok(())
        };
        let mut upload = self.upload(key, update, memory, made_ahead, |_, body| {
            let blocks = self.blocks(SEALED_DIGITS, body, residues.expose_mut());
            self.in_blocks(backend.threads(), blocks, values, |block, digits| {
                backend.seal(&SealJob { encoding: self.encoding() }, block.pads, digits, block.out)
            })
        })?;
        // A backend leaves zeros of the pads it used: nothing is left to erase.
        upload.emptied = core::mem::take(residues.expose_mut());
        Ok(upload)
    }

    /// How many digits these threads encrypt at a time.
    pub(crate) fn encrypted_digits(&self, threads: usize) -> usize {
        let blocks = (self.digits() / LEAST_ENCRYPTED_DIGITS).min(threads * BLOCKS_PER_THREAD);
        if threads > 1 && blocks >= LEAST_BLOCKS {
            self.digits().div_ceil(blocks).min(ENCRYPTED_DIGITS)
        } else {
            ENCRYPTED_DIGITS
        }
    }

    /// The body in blocks of whole polynomials, about `digits` digits each, with their pads where there are some.
    pub(crate) fn blocks<'a>(
        &self,
        digits: usize,
        body: &'a mut [u8],
        mut pads: &'a mut [u32],
    ) -> impl ExactSizeIterator<Item = Block<'a>> + Send + use<'a> {
        let encoding = self.encoding();
        let per_poly = encoding.ring().n() * encoding.digits_per_coefficient();
        let polys = digits.div_ceil(per_poly).max(1);
        let (most, pad_len, all) = (polys * per_poly, encoding.pad_len(polys * per_poly), self.digits());
        body.chunks_mut(encoding.packed_len(most)).enumerate().map(move |(index, out)| {
            let padded = pad_len.min(pads.len());
            let mine;
            (mine, pads) = core::mem::take(&mut pads).split_at_mut(padded);
            // Below 2^32 - 1: a message has at most 2^32 digits.
            let first_poly = (index * polys) as u32;
            Block { first_poly, start: index * most, count: (all - index * most).min(most), pads: mine, out }
        })
    }

    /// Fills each block with digits and hands both to `seal`, several blocks at a time where there are threads.
    pub(crate) fn in_blocks<'a>(
        &self,
        threads: usize,
        blocks: impl ExactSizeIterator<Item = Block<'a>> + Send,
        values: &(impl Values + ?Sized),
        seal: impl Fn(Block<'a>, &[u32]) -> Result<(), Fault> + Sync,
    ) -> Result<(), Fault> {
        let layout = self.layout();
        let all = layout.digits(self.length());
        let room = || (Secret::new(Vec::new()), Secret::new(Vec::new()));
        queue(threads, blocks, room, |(digits, unsplit), block| {
            let Block { start, count, .. } = block;
            // Grows once: the first block is the largest.
            digits.expose_mut().resize(count, 0);
            // Behind the values, zeros.
            let (filled, behind) = digits.expose_mut().split_at_mut(count.min(all - start));
            behind.fill(0);
            match layout.split {
                None => values.fill(start, filled),
                Some(split) => {
                    unsplit.expose_mut().resize(filled.len() / 2, 0);
                    values.fill(start / 2, unsplit.expose_mut());
                    split.split(unsplit.expose(), filled);
                }
            }
            seal(block, digits.expose())
        })
    }
}

/// Some polynomials of a message.
pub(crate) struct Block<'a> {
    pub(crate) first_poly: u32,
    /// Number of the first digit.
    start: usize,
    /// Of digits.
    count: usize,
    pub(crate) pads: &'a mut [u32],
    pub(crate) out: &'a mut [u8],
}
