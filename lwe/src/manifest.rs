//! What a robot signs about its upload, and the proof that somebody checked the signature.

use crate::agreement::{Agreement, KeyModel};
use crate::context::Context;
use crate::hash::hash_fields;
use crate::keys::{ENVELOPE_LEN, Envelope, RobotId};
use crate::message::UpdateId;
use crate::suite::Suite;
use crate::wire::{self, HEADER_LEN, Kind, Malformed};
use core::fmt;
use sha2::{Digest, Sha256};

/// Bytes of one leaf of the tree over canary and body.
pub const CHUNK_LEN: usize = 1 << 16;

/// What a robot signs: which message of which update this is, its sealed key, its canary, and every byte of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    context: Context,
    robot: RobotId,
    update: UpdateId,
    envelope: Option<Envelope>,
    canary: Vec<u8>,
    root: [u8; 32],
}

impl Manifest {
    pub(crate) fn new(
        context: Context,
        robot: RobotId,
        update: UpdateId,
        envelope: Option<Envelope>,
        canary: Vec<u8>,
        canary_and_body: &[u8],
    ) -> Self {
        Self { context, robot, update, envelope, canary, root: merkle_root(canary_and_body) }
    }

    /// What the upload was encrypted for.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Who made it.
    #[must_use]
    pub fn robot(&self) -> RobotId {
        self.robot
    }

    /// Of which update.
    #[must_use]
    pub fn update(&self) -> UpdateId {
        self.update
    }

    /// The root of the tree over canary and body: see [`merkle_root`].
    #[must_use]
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }

    pub(crate) fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_ref()
    }

    pub(crate) fn canary(&self) -> &[u8] {
        &self.canary
    }

    /// Names the message.
    pub(crate) fn message_id(&self) -> [u8; 32] {
        let envelope = self.envelope.as_ref().map_or(&[][..], |envelope| envelope.bytes());
        hash_fields("message id", &[self.context.bytes(), &self.robot.0, envelope])
    }

    /// The bytes of the upload that come before canary and body: with those it is the upload again.
    #[must_use]
    pub fn upload_head(&self) -> Vec<u8> {
        let envelope = self.envelope.as_ref().map_or(&[][..], |envelope| envelope.bytes());
        [&wire::header(Kind::Upload, &self.context)[..], envelope].concat()
    }

    /// The bytes that are signed and sent.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let envelope = self.envelope.as_ref().map_or(&[][..], |envelope| envelope.bytes());
        let header = wire::header(Kind::Manifest, &self.context);
        let fields = [&header[..], self.context.bytes(), &self.robot.0, &self.update.0, &self.root];
        [&fields.concat()[..], envelope, &self.canary].concat()
    }

    /// Reads a manifest of this agreement.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    ///
    /// # Panics
    /// Never: every split is within the length that was checked.
    pub fn from_bytes<P: Suite>(agreement: &Agreement<P>, bytes: &[u8]) -> Result<Self, Malformed> {
        let canary = agreement.canary_shape().packed_len();
        let expected = HEADER_LEN + 4 * 32 + agreement.envelope_len() + canary;
        let rest = wire::open(bytes, Kind::Manifest, agreement.context(), expected)?;
        let (fields, rest) = rest
            .as_chunks::<32>()
            .0
            .split_first_chunk::<4>()
            .map_or_else(|| unreachable!("the length was checked"), |(fields, _)| (fields, &rest[4 * 32..]));
        let [context, robot, update, root] = *fields;
        if context != *agreement.context().bytes() {
            return Err(Malformed::OtherRound);
        }
        let envelope = match agreement.keys() {
            KeyModel::OneMessage(_) => rest.first_chunk::<ENVELOPE_LEN>().copied().map(Envelope::from_bytes),
            KeyModel::FleetShared(_) => None,
        };
        let canary = rest[agreement.envelope_len()..].to_vec();
        let (context, robot, update) = (*agreement.context(), RobotId(robot), UpdateId(update));
        Ok(Self { context, robot, update, envelope, canary, root })
    }
}

/// The root of a binary tree of SHA-256 over chunks of [`CHUNK_LEN`] bytes: leaves `H(0 | chunk)`, nodes `H(1 | left | right)`,
/// an odd one out moves up as it is.
#[must_use]
pub fn merkle_root(bytes: &[u8]) -> [u8; 32] {
    root_of_leaves(bytes.chunks(CHUNK_LEN).map(merkle_leaf).collect())
}

/// The leaf of one chunk: who knows a tree's leaves can check each chunk as it arrives.
#[must_use]
pub fn merkle_leaf(chunk: &[u8]) -> [u8; 32] {
    tagged(0, &[chunk])
}

/// The root over these leaves.
#[must_use]
pub fn root_of_leaves(mut level: Vec<[u8; 32]>) -> [u8; 32] {
    while level.len() > 1 {
        let pair = |pair: &[[u8; 32]]| match pair {
            [left, right] => tagged(1, &[left, right]),
            [odd, ..] => *odd,
            [] => unreachable!("chunks are never empty"),
        };
        level = level.chunks(2).map(pair).collect();
    }
    level.first().copied().unwrap_or_else(|| merkle_leaf(&[]))
}

fn tagged(tag: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Sha256::new_with_prefix([tag]);
    parts.iter().for_each(|part| state.update(part));
    state.finalize().into()
}

/// Why a manifest's signature was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotVerified(pub String);

impl fmt::Display for NotVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the manifest is not accepted, so leave its robot out: {}", self.0)
    }
}

impl core::error::Error for NotVerified {}

/// Knows the enrolled robots and checks what they sign. The key holder's own: never the server's word.
pub trait Verifier {
    /// Whether `robot` is enrolled and has signed these bytes.
    ///
    /// # Errors
    /// [`NotVerified`] says why not.
    fn verify(&self, robot: RobotId, signed: &[u8], signature: &[u8]) -> Result<(), NotVerified>;
}

/// A manifest whose signature a [`Verifier`] accepted. There is no other way to have one.
///
/// ```compile_fail,E0423
/// use tensorguard_lwe::{Manifest, VerifiedManifest};
/// fn forge(manifest: Manifest) -> VerifiedManifest {
///     VerifiedManifest(manifest)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedManifest(Manifest);

impl VerifiedManifest {
    /// Has the signature checked.
    ///
    /// # Errors
    /// What the verifier said.
    pub fn check(manifest: Manifest, signature: &[u8], verifier: &dyn Verifier) -> Result<Self, NotVerified> {
        verifier.verify(manifest.robot, &manifest.to_bytes(), signature)?;
        Ok(Self(manifest))
    }

    /// What was signed.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.0
    }
}
