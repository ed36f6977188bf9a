//! Bytes that travel or are stored: docs/WIRE.md. Lengths come from the [`Agreement`]; a parser looks, compares, and never
//! allocates what a header claims.

use crate::agreement::{Agreement, KeyModel};
use crate::context::{Context, VERSION};
use crate::keys::{ENVELOPE_LEN, Envelope};
use crate::suite::Suite;
use core::fmt;
use kernels::Shape;

/// Bytes of the header of everything: version, kind, and the first bytes of the context's hash.
pub const HEADER_LEN: usize = 16;

/// What a piece of bytes is: the second byte of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// One robot's message.
    Upload = b'U',
    /// What a robot signs about its upload.
    Manifest = b'M',
    /// A sum, so far.
    Sum = b'S',
}

/// Why bytes were refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not as many bytes as the agreement calls for.
    Length {
        /// What these bytes were taken for.
        kind: Kind,
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Written by another version.
    Version(u8),
    /// Something else than what was asked for.
    Kind {
        /// The byte found.
        found: u8,
        /// What was asked for.
        expected: Kind,
    },
    /// Of another suite, round, attempt, class or key.
    OtherRound,
    /// Bits behind the last word that are not zero.
    Padding,
    /// More than the round planned.
    Count {
        /// Messages in the sum.
        messages: u64,
        /// What each of them counts.
        factor: u32,
    },
    /// A sum multiplied by zero.
    Factor,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { kind, found, expected } => {
                write!(
                    f,
                    "{kind:?} of {found} bytes, the round's have {expected}: have it sent again, or compare both sides' terms"
                )
            }
            Self::Version(version) => {
                write!(f, "written by version {version}, this is version {VERSION}: use the same release on all sides")
            }
            Self::Kind { found, expected } => {
                let kind = *expected as u8;
                write!(
                    f,
                    "kind {found:#04x}, {expected:?} has {kind:#04x}: give uploads, manifests and sums to their own readers"
                )
            }
            Self::OtherRound => f.write_str(
                "of another round: suite, sizes, model, round, attempt, class or key differ; compare both sides' terms",
            ),
            Self::Padding => f.write_str("bits behind the last word are set: damaged on the way, have it sent again"),
            Self::Count { messages, factor } => write!(
                f,
                "a sum of {messages} messages times {factor}, more than the round planned: damaged in the store, add the uploads again"
            ),
            Self::Factor => f.write_str("a sum multiplied by zero: damaged in the store, add the uploads again"),
        }
    }
}

impl core::error::Error for Malformed {}

/// The header of something under this context.
#[must_use]
pub(crate) fn header(kind: Kind, context: &Context) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = VERSION;
    header[1] = kind as u8;
    header[2..].copy_from_slice(&context.bytes()[..HEADER_LEN - 2]);
    header
}

/// What follows the header, if header and length are right.
pub(crate) fn open<'a>(bytes: &'a [u8], kind: Kind, context: &Context, expected: usize) -> Result<&'a [u8], Malformed> {
    let length = Malformed::Length { kind, found: bytes.len(), expected };
    let Some((found, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else { return Err(length) };
    // The most telling difference first.
    if found[0] != VERSION {
        return Err(Malformed::Version(found[0]));
    }
    if found[1] != kind as u8 {
        return Err(Malformed::Kind { found: found[1], expected: kind });
    }
    if *found != header(kind, context) {
        return Err(Malformed::OtherRound);
    }
    if bytes.len() != expected {
        return Err(length);
    }
    Ok(rest)
}

/// Packs an accumulator's words, lowest bit first.
pub(crate) fn pack(shape: &Shape, words: &[u32], out: &mut [u8]) {
    let mut out = out.iter_mut();
    let mut push = |byte: u64| {
        if let Some(out) = out.next() {
            *out = byte as u8;
        }
    };
    // Words wait here until eight bits are full: l <= 57, so 7 + 57 bits are the most.
    let (mut waiting, mut count) = (0, 0);
    for value in words.chunks_exact(shape.words_per_value()) {
        waiting |= value.iter().rev().fold(0, |sum, &word| sum << 32 | u64::from(word)) << count;
        count += shape.bits;
        while count >= 8 {
            push(waiting);
            waiting >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        push(waiting);
    }
}

/// Whether the bits behind the last word are zero: a piece of bytes has one spelling.
pub(crate) fn check_padding(shape: Shape, packed: &[u8]) -> Result<(), Malformed> {
    let used = shape.coefficients % 8 * shape.bits as usize % 8;
    let clean = used == 0 || packed.last().is_none_or(|last| last >> used == 0);
    clean.then_some(()).ok_or(Malformed::Padding)
}

/// One robot's message: a view on the buffer it arrived in.
#[derive(Clone, Copy, Debug)]
pub struct Ciphertext<'a> {
    context: Context,
    envelope: Option<&'a [u8; ENVELOPE_LEN]>,
    canary: &'a [u8],
    body: &'a [u8],
}

impl<'a> Ciphertext<'a> {
    /// Looks at an upload.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn read<P: Suite>(agreement: &Agreement<P>, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let rest = open(bytes, Kind::Upload, agreement.context(), agreement.upload_len())?;
        let (envelope, rest) = match agreement.keys() {
            KeyModel::OneMessage(_) => {
                let (envelope, rest) = rest.split_first_chunk().expect("the length was checked");
                (Some(envelope), rest)
            }
            KeyModel::FleetShared(_) => (None, rest),
        };
        let (canary, body) = rest.split_at(agreement.canary_shape().packed_len());
        check_padding(agreement.shape(), body)?;
        Ok(Self { context: *agreement.context(), envelope, canary, body })
    }

    /// What it was encrypted for.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The sealed key; none where the fleet shares one.
    #[must_use]
    pub fn envelope(&self) -> Option<Envelope> {
        self.envelope.map(|bytes| Envelope::from_bytes(*bytes))
    }

    /// The packed canary.
    #[must_use]
    pub fn canary(&self) -> &'a [u8] {
        self.canary
    }

    /// The packed words.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}
