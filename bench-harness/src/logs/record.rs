//! An entry of the answer log as bytes: a [frame](super::frame) whose hash is [`Head`]'s. It covers every field of the entry and all
//! entries before, so it is the record's checksum too.

use super::frame::{self, Frame};
use lwe::{Attempt, Entry, Head};

const ANSWERED: u8 = b'A';
const CLOSED: u8 = b'C';
const JUDGED: u8 = b'J';
const DRAWN: u8 = b'D';

/// The record of `entry` after `before`; `None` past 4 GiB.
pub(super) fn to_bytes(entry: &Entry, before: &Head) -> Option<Vec<u8>> {
    frame::to_bytes(&payload(entry), &before.hash, &before.after(entry).hash)
}

/// What is at the front of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing.
    End,
    /// A record, this long.
    Record(Entry, usize),
    /// The beginning of a record, and no more bytes.
    Torn,
    /// Something that was never written.
    Damaged,
}

/// Looks at the front of `bytes`, which end where the file does.
pub(super) fn front(bytes: &[u8], before: &Head) -> Front {
    let (payload, hash, length) = match frame::front(bytes, &before.hash) {
        Frame::End => return Front::End,
        Frame::Torn => return Front::Torn,
        Frame::Damaged => return Front::Damaged,
        Frame::Whole { payload, hash, length } => (payload, hash, length),
    };
    match entry(payload) {
        Some(entry) if before.after(&entry).hash == hash => Front::Record(entry, length),
        _ => Front::Damaged,
    }
}

fn payload(entry: &Entry) -> Vec<u8> {
    let with = |kind: u8, attempt: &Attempt, rest: &[&[u8]]| {
        [&[kind][..], &attempt.number.to_le_bytes(), &attempt.round, &rest.concat()].concat()
    };
    match entry {
        Entry::Answered { attempt, set, updates } => with(ANSWERED, attempt, &[set, updates.as_flattened()]),
        Entry::Closed { attempt } => with(CLOSED, attempt, &[]),
        Entry::Judged { attempt, message, canary, good } => {
            with(JUDGED, attempt, &[message, canary, &[u8::from(*good)]])
        }
        Entry::Drawn { attempt, set, buckets, seed } => with(DRAWN, attempt, &[set, seed, &buckets.to_le_bytes()]),
    }
}

/// What [`payload`] wrote, and nothing else.
fn entry(payload: &[u8]) -> Option<Entry> {
    let (&kind, rest) = payload.split_first()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (round, rest) = rest.split_first_chunk::<32>()?;
    let attempt = Attempt { round: *round, number: u32::from_le_bytes(*number) };
    let (hashes, end) = rest.as_chunks::<32>();
    match (kind, hashes, end) {
        (ANSWERED, [set, updates @ ..], []) => Some(Entry::Answered { attempt, set: *set, updates: updates.to_vec() }),
        (CLOSED, [], []) => Some(Entry::Closed { attempt }),
        (JUDGED, [message, canary], [good @ 0..=1]) => {
            Some(Entry::Judged { attempt, message: *message, canary: *canary, good: *good == 1 })
        }
        (DRAWN, [set, seed], buckets) => {
            let buckets = u32::from_le_bytes(buckets.try_into().ok()?);
            Some(Entry::Drawn { attempt, set: *set, buckets, seed: *seed })
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn entries() -> Vec<Entry> {
        let attempt = |number| Attempt { round: [7; 32], number };
        vec![
            Entry::Judged { attempt: attempt(0), message: [1; 32], canary: [2; 32], good: true },
            Entry::Judged { attempt: attempt(0), message: [3; 32], canary: [4; 32], good: false },
            Entry::Answered { attempt: attempt(0), set: [5; 32], updates: vec![[6; 32], [8; 32]] },
            Entry::Closed { attempt: attempt(1) },
            Entry::Drawn { attempt: attempt(2), set: [10; 32], buckets: 3, seed: [11; 32] },
            Entry::Answered { attempt: attempt(u32::MAX), set: [9; 32], updates: vec![] },
        ]
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let mut before = Head::default();
        for entry in entries() {
            let bytes = to_bytes(&entry, &before).unwrap();
            assert_eq!(front(&bytes, &before), Front::Record(entry.clone(), bytes.len()));
            assert_eq!(front(&[&bytes[..], b"more"].concat(), &before), Front::Record(entry.clone(), bytes.len()));
            before = before.after(&entry);
        }
        assert_eq!(front(&[], &before), Front::End);
    }

    #[test]
    fn a_beginning_is_torn_and_any_changed_bit_is_damage() {
        let before = Head::default().after(&entries()[3]);
        for entry in entries() {
            let bytes = to_bytes(&entry, &before).unwrap();
            for len in 1..bytes.len() {
                assert_eq!(front(&bytes[..len], &before), Front::Torn, "{len} bytes");
            }
            for bit in 0..8 * bytes.len() {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(front(&changed, &before), Front::Damaged, "bit {bit}");
            }
            assert_eq!(front(&bytes, &Head::default()), Front::Damaged, "in another place of the chain");
        }
    }
}
