//! Policy packages: what a robot installs, what it was made from, and who vouches for it, in one piece of bytes.
//!
//! The header names every section with its length and hash, so its own hash, the *fingerprint*, is over everything in the
//! package, and the signature over the fingerprint is too. Nothing is looked at before the signature is checked: there is no
//! [`Package`] that its publisher did not sign. docs/TRUST.md has the layout.
//!
//! ```
//! use tensorguard_trust::identity::Identity;
//! use tensorguard_trust::package::{ADAPTER, Origin, Package, RoundRecord};
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::ChaCha20Rng::from_seed([1; 32]);
//! let publisher = Identity::generate(&mut rng);
//! let rounds = vec![RoundRecord { context: [2; 32], robots: 20, weight: 20 }];
//! let origin =
//!     Origin { fleet: b"fleet".to_vec(), version: 1, base: [1; 32], parent: None, corpus: [3; 32], training: [4; 32], rounds };
//! let bytes = Package::write(&origin, &[(ADAPTER, b"safetensors")], &publisher, &mut rng)?;
//!
//! let package = Package::open(&bytes, publisher.public())?; // a robot, which pins the publisher
//! assert_eq!((package.origin(), package.section(ADAPTER)), (&origin, Some(&b"safetensors"[..])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::canonical;
use crate::digest::digest_fields;
use crate::identity::{Identity, PublicIdentity, Purpose, SIGNATURE_LEN, Signature, SignatureError};
use core::fmt;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

/// The section that holds the adapter's weights, as safetensors.
pub const ADAPTER: &str = "adapter";
/// The first bytes of a package of this format.
pub const MAGIC: &[u8; 8] = b"TGPACK1\n";
/// Bytes that a header may have: room for about a thousand rounds.
pub const MOST_HEADER_BYTES: usize = 1 << 16;
/// Where a section may begin: multiples of this, so that weights can be used where they lie.
pub const ALIGNMENT: usize = 64;
const FRONT_LEN: usize = 16;
/// Bytes that a section's name may have.
const MOST_NAME_BYTES: usize = 64;

/// What made a policy, and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Origin {
    /// The fleet it is for.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub fleet: Vec<u8>,
    /// Counts up with each candidate of a fleet; 0 is the policy before the first.
    #[n(1)]
    pub version: u64,
    /// SHA-256 of the exact base weights that the adapter is for.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub base: [u8; 32],
    /// The fingerprint of the package it was trained from; none for the first.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub parent: Option<[u8; 32]>,
    /// The content hash of what was learned from.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub corpus: [u8; 32],
    /// The hash of the training configuration.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub training: [u8; 32],
    /// The rounds whose means are in it, oldest first.
    #[n(6)]
    pub rounds: Vec<RoundRecord>,
}

/// A round whose mean is in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoundRecord {
    /// The context all its uploads were encrypted for.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub context: [u8; 32],
    /// How many robots are in its mean.
    #[n(1)]
    pub robots: u32,
    /// The sum of their weights.
    #[n(2)]
    pub weight: u64,
}

/// The signed part of a package.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Header {
    #[n(0)]
    origin: Origin,
    #[n(1)]
    sections: Vec<Section>,
}

/// What a header says about a section.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Section {
    #[n(0)]
    name: String,
    #[n(1)]
    length: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    hash: [u8; 32],
}

impl Section {
    fn of((name, bytes): &(&str, &[u8])) -> Self {
        Self { name: (*name).to_owned(), length: bytes.len() as u64, hash: Sha256::digest(bytes).into() }
    }
}

impl Header {
    fn check_names(&self) -> Result<(), PackageError> {
        let bounded = self.sections.iter().all(|section| (1..=MOST_NAME_BYTES).contains(&section.name.len()));
        let sorted = self.sections.is_sorted_by(|left, right| left.name < right.name);
        if bounded && sorted { Ok(()) } else { Err(PackageError::Names) }
    }
}

/// Why bytes are no package of this publisher, or cannot become one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackageError {
    /// Other first bytes.
    Magic,
    /// Fewer or more bytes than the header calls for.
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be; at least.
        expected: usize,
    },
    /// A header that this version would not have written.
    Header,
    /// A header of too many bytes.
    HeaderBytes(usize),
    /// The publisher did not sign this.
    Signature(SignatureError),
    /// A section whose bytes are not those that were signed.
    Section(String),
    /// Bytes between sections that are not zero.
    Padding,
    /// Section names that are empty, too long, not in order, or twice the same.
    Names,
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("no package of this version: use the same release on all sides"),
            Self::Length { found, expected } => {
                write!(f, "{found} bytes where the package has {expected}: it was cut off or added to; fetch it again")
            }
            Self::Header => f.write_str("its header is damaged; fetch it again"),
            Self::HeaderBytes(bytes) => {
                write!(f, "a header of {bytes} bytes, at most {MOST_HEADER_BYTES}: name fewer rounds or sections")
            }
            Self::Signature(error) => write!(f, "not signed by the pinned publisher: {error}"),
            Self::Section(name) => write!(f, "section `{name}` is not what was signed; fetch it again"),
            Self::Padding => f.write_str("bytes between its sections are not zero; fetch it again"),
            Self::Names => f.write_str("sections have names of 1 to 64 bytes, in ascending order, each once"),
        }
    }
}

impl core::error::Error for PackageError {}

/// A package that its publisher signed: a view on the bytes it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    origin: Origin,
    sections: Vec<(String, &'a [u8])>,
    fingerprint: [u8; 32],
}

impl<'a> Package<'a> {
    /// The bytes of a package, signed. Sections in ascending order of their names.
    ///
    /// # Errors
    /// [`PackageError`] if names are not in order, or the header gets too long.
    pub fn write(
        origin: &Origin,
        sections: &[(&str, &[u8])],
        publisher: &Identity,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, PackageError> {
        let header = Header { origin: origin.clone(), sections: sections.iter().map(Section::of).collect() };
        header.check_names()?;
        let header = canonical::to_bytes(&header);
        if header.len() > MOST_HEADER_BYTES {
            return Err(PackageError::HeaderBytes(header.len()));
        }
        let length = u32::try_from(header.len()).expect("MOST_HEADER_BYTES fits u32");
        let mut bytes = [&MAGIC[..], &length.to_le_bytes(), &[0; 4], &header].concat();
        for (_, section) in sections {
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            bytes.extend_from_slice(section);
        }
        bytes.extend(publisher.sign(Purpose::Package, &fingerprint(&header), rng).to_bytes());
        Ok(bytes)
    }

    /// Looks at a package, and checks everything in it.
    ///
    /// # Errors
    /// [`PackageError`] says what is wrong with it.
    pub fn open(bytes: &'a [u8], publisher: &PublicIdentity) -> Result<Self, PackageError> {
        let short = |expected| PackageError::Length { found: bytes.len(), expected };
        let (front, _) = bytes.split_first_chunk::<FRONT_LEN>().ok_or(short(FRONT_LEN + SIGNATURE_LEN))?;
        let [m0, m1, m2, m3, m4, m5, m6, m7, l0, l1, l2, l3, zeros @ ..] = *front;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != *MAGIC {
            return Err(PackageError::Magic);
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > MOST_HEADER_BYTES {
            return Err(PackageError::HeaderBytes(length));
        }
        let end = bytes.len().checked_sub(SIGNATURE_LEN).filter(|end| *end >= FRONT_LEN + length);
        let end = end.ok_or(short(FRONT_LEN + length + SIGNATURE_LEN))?;
        let (content, signature) = bytes.split_at(end);
        let header = &content[FRONT_LEN..FRONT_LEN + length];
        let fingerprint = fingerprint(header);
        let signature = Signature::from_bytes(signature).map_err(PackageError::Signature)?;
        // From here on the header is the publisher's own.
        publisher.verify(Purpose::Package, &fingerprint, &signature).map_err(PackageError::Signature)?;
        if zeros != [0; 4] {
            return Err(PackageError::Padding);
        }
        let header: Header = canonical::from_bytes(header).ok_or(PackageError::Header)?;
        header.check_names()?;
        let Header { origin, sections } = header;
        let sections = split(content, FRONT_LEN + length, sections)?;
        Ok(Self { origin, sections, fingerprint })
    }

    /// What it was made from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The bytes of a section.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.0 == name).map(|section| section.1)
    }

    /// All sections, by name.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &'a [u8])> {
        self.sections.iter().map(|(name, bytes)| (&name[..], *bytes))
    }

    /// Names everything in it: SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

fn fingerprint(header: &[u8]) -> [u8; 32] {
    digest_fields("package", &[MAGIC, header])
}

/// The sections that follow byte `at`, checked against the header; nothing may be left.
fn split(content: &[u8], mut at: usize, sections: Vec<Section>) -> Result<Vec<(String, &[u8])>, PackageError> {
    let mut views = Vec::new();
    for section in sections {
        let begin = at.next_multiple_of(ALIGNMENT);
        let end = usize::try_from(section.length).ok().and_then(|length| begin.checked_add(length));
        let length = PackageError::Length { found: content.len(), expected: end.unwrap_or(usize::MAX) };
        let (Some(padding), Some(bytes)) = (content.get(at..begin), end.and_then(|end| content.get(begin..end))) else {
            return Err(length);
        };
        if padding.iter().any(|byte| *byte != 0) {
            return Err(PackageError::Padding);
        }
        if Section::of(&(&section.name, bytes)).hash != section.hash {
            return Err(PackageError::Section(section.name));
        }
        at = begin + bytes.len();
        views.push((section.name, bytes));
    }
    if at != content.len() {
        return Err(PackageError::Length { found: content.len(), expected: at });
    }
    Ok(views)
}
