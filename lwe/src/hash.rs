//! SHAKE256 under this scheme's labels.

use shake::Shake256;
use shake::{ExtendableOutput, Update, XofReader};
use zeroize::Zeroize;

/// Begins every hash, so that no other protocol's hashes are ours.
const SCHEME: &[u8] = b"FLHE-v1|";

/// `SHAKE256("FLHE-v1|" label "|" fields)`, each field with its length before it as a little-endian u32.
///
/// # Panics
/// If a field has 2^32 bytes or more.
pub(crate) fn hash_fields<const N: usize>(label: &str, fields: &[&[u8]]) -> [u8; N] {
    let mut state = labelled(label);
    for field in fields {
        let length = u32::try_from(field.len()).expect("a hashed field is shorter than 4 GiB");
        state.update(&length.to_le_bytes());
        state.update(field);
    }
    finish(state)
}

/// A key for one purpose: `SHAKE256("FLHE-v1|" label "|" seed)`.
pub(crate) fn subkey(seed: &[u8; 32], label: &str) -> [u8; 32] {
    let mut state = labelled(label);
    state.update(seed);
    finish(state)
}

fn labelled(label: &str) -> Shake256 {
    let mut state = Shake256::default();
    state.update(SCHEME);
    state.update(label.as_bytes());
    state.update(b"|");
    state
}

fn finish<const N: usize>(state: Shake256) -> [u8; N] {
    let mut out = [0; N];
    state.finalize_xof().read(&mut out);
    out
}

/// As [`hash_fields`], for fields that are secret.
pub(crate) fn hash_secret_fields(label: &str, fields: &[&[u8]]) -> kernels::Secret<[u8; 32]> {
    let mut seed = hash_fields(label, fields);
    let secret = kernels::Secret::new(seed);
    seed.zeroize();
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_flow_into_each_other() {
        let split = |fields: &[&[u8]]| hash_fields::<32>("x", fields);
        assert_ne!(split(&[b"ab", b"c"]), split(&[b"a", b"bc"]));
        assert_ne!(split(&[b"ab"]), split(&[b"ab", b""]));
        assert_ne!(hash_fields::<32>("x", &[]), hash_fields::<32>("y", &[]));
    }

    #[test]
    fn a_subkey_is_what_another_implementation_says() {
        // Python: hashlib.shake_256(b"FLHE-v1|a|" + bytes(range(32))).hexdigest(32)
        let seed = core::array::from_fn(|i| i as u8);
        let expected = [
            0x5A, 0x80, 0x5D, 0x04, 0x03, 0x1B, 0x98, 0x83, 0x84, 0x94, 0x1B, 0x87, 0x5D, 0x1F, 0x4C, 0x5A, 0x03, 0x39,
            0x3F, 0xF2, 0x95, 0x4E, 0x37, 0xD5, 0x56, 0x60, 0xAB, 0xD1, 0xC1, 0xFD, 0xB1, 0xF7,
        ];
        assert_eq!(subkey(&seed, "a"), expected);
    }
}
