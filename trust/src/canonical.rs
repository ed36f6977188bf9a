//! Deterministic CBOR (RFC 8949, section 4.2.1): one spelling for one meaning, so that a hash over the bytes is a hash over
//! the meaning.

use minicbor::{Decode, Encode};

/// The one spelling of `value`.
pub(crate) fn to_bytes<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).unwrap_or_else(|_| unreachable!("a Vec takes every byte"))
}

/// What [`to_bytes`] wrote, and nothing else: no other spelling, nothing behind it.
pub(crate) fn from_bytes<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    let value = minicbor::decode(bytes).ok()?;
    (to_bytes(&value) == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meaning_has_one_spelling() {
        assert_eq!(from_bytes::<(u8, u64)>(&[0x82, 0x01, 0x02]), Some((1, 2)));
        // A longer integer, an array without a length, bytes left over, bytes missing.
        let others: [&[u8]; 4] =
            [&[0x82, 0x18, 0x01, 0x02], &[0x9F, 0x01, 0x02, 0xFF], &[0x82, 0x01, 0x02, 0x00], &[0x82, 0x01]];
        for other in others {
            assert_eq!(from_bytes::<(u8, u64)>(other), None, "{other:x?}");
        }
    }
}
