//! SHA-256 under this crate's labels.

use sha2::{Digest, Sha256};

/// Begins every hash and every signed message, so that no other protocol's are ours.
pub(crate) const SCHEME: &[u8] = b"TensorGuard trust 1|";

/// `SHA-256(SCHEME label "|" fields)`, each field with its length before it as a little-endian u64.
pub(crate) fn digest_fields(label: &str, fields: &[&[u8]]) -> [u8; 32] {
    let mut state = Sha256::new_with_prefix(SCHEME);
    state.update(label);
    state.update(b"|");
    for field in fields {
        state.update((field.len() as u64).to_le_bytes());
        state.update(field);
    }
    state.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_labels_cannot_flow_into_each_other() {
        assert_ne!(digest_fields("x", &[b"ab", b"c"]), digest_fields("x", &[b"a", b"bc"]));
        assert_ne!(digest_fields("x", &[b"ab"]), digest_fields("x", &[b"ab", b""]));
        assert_ne!(digest_fields("x", &[]), digest_fields("y", &[]));
    }
}
