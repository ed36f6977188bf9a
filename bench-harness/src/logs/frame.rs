//! A record in a file that only grows: length, a check of the length, the payload, and a hash chained over all records so far.
//!
//! The length has a check of its own: without it a damaged length would look like a record that was cut short.

use sha2::{Digest, Sha256};

/// Bytes of the length and its check.
const LENGTH_LEN: usize = 8;
const HASH_LEN: usize = 32;

/// The record of `payload` between two hashes of the chain; `None` past 4 GiB.
pub(super) fn to_bytes(payload: &[u8], before: &[u8; HASH_LEN], after: &[u8; HASH_LEN]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?;
    Some([&length.to_le_bytes()[..], &check(length, before), payload, after].concat())
}

/// What is at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// Nothing.
    End,
    /// A record. Whether the hash is that of the payload is for the reader to say.
    Whole {
        /// What it holds.
        payload: &'a [u8],
        /// The chain's hash after it.
        hash: [u8; HASH_LEN],
        /// Bytes of all of it.
        length: usize,
    },
    /// The beginning of a record, and no more bytes.
    Torn,
    /// Something that was never written.
    Damaged,
}

/// Looks at the front of `bytes`, which end where the file does.
pub(super) fn front<'a>(bytes: &'a [u8], before: &[u8; HASH_LEN]) -> Frame<'a> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return if bytes.is_empty() { Frame::End } else { Frame::Torn };
    };
    let length = u32::from_le_bytes(*length);
    let expected = check(length, before);
    let Some((found, rest)) = rest.split_first_chunk::<4>() else {
        return if expected.starts_with(rest) { Frame::Torn } else { Frame::Damaged };
    };
    if *found != expected {
        return Frame::Damaged;
    }
    let length = length as usize;
    let split = rest.split_at_checked(length).and_then(|(payload, rest)| Some((payload, rest.first_chunk()?)));
    let Some((payload, hash)) = split else { return Frame::Torn };
    Frame::Whole { payload, hash: *hash, length: LENGTH_LEN + length + HASH_LEN }
}

fn check(length: u32, before: &[u8; HASH_LEN]) -> [u8; 4] {
    let digest = Sha256::digest([&b"TensorGuard record"[..], before, &length.to_le_bytes()].concat());
    core::array::from_fn(|index| digest[index])
}
