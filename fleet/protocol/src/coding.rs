//! Messages to bytes and back: CBOR, whole or not at all.

use core::fmt;
use folding::lwe::RobotId;
use minicbor::{CborLen, Decode, Encode};

/// Names something by 32 bytes: a robot, a package, a model, a leaf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode, CborLen)]
#[cbor(transparent)]
pub struct Id(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 32],
);

impl fmt::Display for Id {
    /// All of it, as lower-case digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.short())
    }
}

impl Id {
    /// Enough to tell a few apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What [`fmt::Display`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let digit = |byte: u8| (byte as char).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect();
        Some(Self(bytes?.try_into().ok()?))
    }
}

impl From<RobotId> for Id {
    fn from(robot: RobotId) -> Self {
        Self(robot.0)
    }
}

impl From<Id> for RobotId {
    fn from(id: Id) -> Self {
        Self(id.0)
    }
}

/// Bytes that are no such message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood(String);

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not understood ({}): both sides must be of one version, and nothing may change bytes between them",
            self.0
        )
    }
}

impl core::error::Error for NotUnderstood {}

/// As it travels.
///
/// # Panics
/// Never: memory takes any bytes.
#[must_use]
pub fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    minicbor::to_vec(message).expect("memory takes any bytes")
}

/// Reads one message that fills `bytes`.
///
/// # Errors
/// [`NotUnderstood`]. No more is allocated than a small multiple of what is there.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, NotUnderstood> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let message = decoder.decode().map_err(|error| NotUnderstood(error.to_string()))?;
    match bytes.len() - decoder.position() {
        0 => Ok(message),
        more => Err(NotUnderstood(format!("{more} bytes too many"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written_and_nothing_else_is() {
        let id = Id(core::array::from_fn(|index| index as u8 * 7));
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        let text = id.to_string();
        for wrong in [&text[1..], &text[2..], &format!("{text}00"), &text.to_uppercase(), "", &text.replace('0', "g")] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_behind_a_message_are_refused() {
        let bytes = encode(&Id([3; 32]));
        assert_eq!(decode::<Id>(&bytes), Ok(Id([3; 32])));
        assert!(decode::<Id>(&[&bytes[..], &[0]].concat()).is_err());
        assert!(decode::<Id>(&bytes[..bytes.len() - 1]).is_err());
        // A list that claims 2^60 entries.
        assert!(decode::<Vec<Id>>(&[0x9B, 0x10, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
