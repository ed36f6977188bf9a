//! The file: a greeting, then records, each with its kind, its length, its payload and the chain's hash so far.

use crate::Fault;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

const GREETING: &[u8; 20] = b"tensorguard corpus 1";
/// Payloads that are not updates are at most this long.
const LONGEST: u64 = 1 << 30;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Plan = 1,
    Base = 2,
    Update = 3,
    Outcome = 4,
    End = 5,
}

impl Kind {
    fn of(byte: u8) -> Result<Self, Fault> {
        [Self::Plan, Self::Base, Self::Update, Self::Outcome, Self::End]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or_else(|| Fault::Malformed(format!("a corpus has no record of kind {byte}")))
    }
}

/// The hash of all records so far.
pub(super) type Link = [u8; 32];

pub(super) fn begin() -> Link {
    Sha256::digest(GREETING).into()
}

/// The next hash.
pub(super) fn link(before: &Link, kind: Kind, payload: &[&[u8]]) -> Link {
    let bytes: u64 = payload.iter().map(|part| part.len() as u64).sum();
    let mut hash = Sha256::new_with_prefix(before);
    hash.update([kind as u8]);
    hash.update(bytes.to_le_bytes());
    payload.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

/// Writes the greeting.
pub(super) fn greet(file: &mut impl Write) -> io::Result<()> {
    file.write_all(GREETING)
}

/// Writes a record; gives the next hash.
pub(super) fn append(file: &mut impl Write, before: &Link, kind: Kind, payload: &[&[u8]]) -> io::Result<Link> {
    let bytes: u64 = payload.iter().map(|part| part.len() as u64).sum();
    let after = link(before, kind, payload);
    file.write_all(&[kind as u8])?;
    file.write_all(&bytes.to_le_bytes())?;
    for part in payload {
        file.write_all(part)?;
    }
    file.write_all(&after)?;
    Ok(after)
}

/// Reads the greeting.
pub(super) fn greeting(file: &mut impl Read) -> Result<(), Fault> {
    let mut found = [0; GREETING.len()];
    file.read_exact(&mut found).map_err(cut)?;
    if &found == GREETING { Ok(()) } else { Err(Fault::Malformed("this is no corpus of this version".into())) }
}

/// A record that was read.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) link: Link,
}

/// Reads and checks the next record. Memory grows with what is there, not with what a length claims.
pub(super) fn next(file: &mut impl Read, before: &Link) -> Result<Entry, Fault> {
    let (mut kind, mut length, mut claimed) = ([0; 1], [0; 8], [0; 32]);
    file.read_exact(&mut kind).map_err(cut)?;
    file.read_exact(&mut length).map_err(cut)?;
    let (kind, length) = (Kind::of(kind[0])?, u64::from_le_bytes(length));
    if length > LONGEST {
        return Err(Fault::Malformed(format!("a record claims {length} bytes, the longest allowed has {LONGEST}")));
    }
    let mut payload = Vec::new();
    file.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 != length {
        return Err(cut(io::ErrorKind::UnexpectedEof.into()));
    }
    file.read_exact(&mut claimed).map_err(cut)?;
    let found = link(before, kind, &[&payload]);
    if found != claimed {
        return Err(Fault::Malformed(format!(
            "the hash of a {kind:?} record is wrong: something before its end was changed"
        )));
    }
    Ok(Entry { kind, payload, link: found })
}

fn cut(error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::Malformed("the corpus ends in the middle: it was cut, or making it did not finish. Make it again".into())
    } else {
        Fault::File(error)
    }
}
