//! How events lie in a file: each behind its length, each chained to all before it.
//!
//! A record is `length (4) | check (4) | payload | chain (32)`. The check covers the length, so that the beginning of a record can be
//! told from damage: a crash cuts the last record short, it does not change bytes.

use sha2::{Digest, Sha256};

const CHECK_LEN: usize = 4;
const HEAD_LEN: usize = 4 + CHECK_LEN;

/// A hash over all records so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// Of a journal that begins with these bytes.
    #[must_use]
    pub fn new(version: &[u8]) -> Self {
        Self(Sha256::digest(version).into())
    }

    fn check(&self, length: [u8; 4]) -> [u8; CHECK_LEN] {
        let digest = Sha256::digest([&b"length"[..], &self.0, &length].concat());
        core::array::from_fn(|index| digest[index])
    }

    fn after(&self, payload: &[u8]) -> Self {
        Self(Sha256::digest([&b"record"[..], &self.0, payload].concat()).into())
    }
}

/// The record of a payload, and the chain behind it. `None` past 4 GiB.
#[must_use]
pub fn record(chain: &Chain, payload: &[u8]) -> Option<(Vec<u8>, Chain)> {
    let length = u32::try_from(payload.len()).ok()?.to_le_bytes();
    let after = chain.after(payload);
    Some(([&length[..], &chain.check(length), payload, &after.0].concat(), after))
}

/// What is at the front of some bytes, which end where the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// Nothing.
    End,
    /// A record of `len` bytes.
    Record {
        /// What is in it.
        payload: &'a [u8],
        /// Its bytes.
        len: usize,
        /// The chain behind it.
        chain: Chain,
    },
    /// The beginning of a record, and no more bytes.
    Torn,
    /// Something that was never written.
    Damaged,
}

/// Looks at the front of `bytes`.
#[must_use]
pub fn front<'a>(bytes: &'a [u8], chain: &Chain) -> Front<'a> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return if bytes.is_empty() { Front::End } else { Front::Torn };
    };
    let expected = chain.check(*length);
    let Some((check, rest)) = rest.split_first_chunk::<CHECK_LEN>() else {
        return if expected.starts_with(rest) { Front::Torn } else { Front::Damaged };
    };
    if *check != expected {
        return Front::Damaged;
    }
    let length = u32::from_le_bytes(*length) as usize;
    let Some((payload, found)) = rest.split_at_checked(length).filter(|(_, behind)| behind.len() >= 32) else {
        return Front::Torn;
    };
    let after = chain.after(payload);
    if found[..32] == after.0 {
        Front::Record { payload, len: HEAD_LEN + length + 32, chain: after }
    } else {
        Front::Damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_torn_any_changed_bit_is_damage_and_order_counts() {
        let start = Chain::new(b"a journal\n");
        let (first, chain) = record(&start, b"first").unwrap();
        let (second, after) = record(&chain, b"").unwrap();
        let both = [&first[..], &second].concat();
        assert_eq!(front(&both, &start), Front::Record { payload: b"first", len: first.len(), chain });
        assert_eq!(front(&second, &chain), Front::Record { payload: b"", len: second.len(), chain: after });
        assert_eq!(front(&[], &chain), Front::End);
        (1..first.len()).for_each(|len| assert_eq!(front(&first[..len], &start), Front::Torn, "{len}"));
        for bit in 0..8 * first.len() {
            let mut changed = first.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(front(&changed, &start), Front::Damaged, "bit {bit}");
        }
        assert_eq!(front(&second, &start), Front::Damaged);
    }
}
