//! Packages: what is written is read, and nothing else is.

use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng};
use std::sync::LazyLock;
use tensorguard_trust::identity::*;
use tensorguard_trust::package::*;

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([8; 32])
}

/// Made once: it takes longer than anything that is tried with it.
fn publisher() -> &'static Identity {
    static PUBLISHER: LazyLock<Identity> = LazyLock::new(|| Identity::generate(&mut ChaCha20Rng::from_seed([1; 32])));
    &PUBLISHER
}

fn origin() -> Origin {
    let round = |number: u8| RoundRecord { context: [number; 32], robots: 20, weight: 21 };
    Origin {
        fleet: b"fleet".to_vec(),
        version: 3,
        base: [1; 32],
        parent: Some([2; 32]),
        corpus: [3; 32],
        training: [4; 32],
        rounds: vec![round(5), round(6)],
    }
}

fn sections() -> [(&'static str, &'static [u8]); 3] {
    [
        (ADAPTER, &[7; 100]),
        ("empty", &[]),
        ("notes", b"of 64 bytes, so that the signature follows without any padding.."),
    ]
}

fn written(origin: &Origin, sections: &[(&str, &[u8])]) -> Vec<u8> {
    Package::write(origin, sections, publisher(), &mut rng()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_package_is_read_as_it_was_written() {
    let bytes = written(&origin(), &sections());
    let package = Package::open(&bytes, publisher().public()).unwrap();
    assert_eq!(package.origin(), &origin());
    assert_eq!(package.sections().collect::<Vec<_>>(), sections());
    assert_eq!((package.section("notes"), package.section("none")), (Some(sections()[2].1), None));
    for (_, section) in package.sections() {
        assert_eq!((section.as_ptr() as usize - bytes.as_ptr() as usize) % ALIGNMENT, 0);
    }
    let first = Origin { parent: None, version: 0, rounds: vec![], ..origin() };
    let bytes = written(&first, &[]);
    assert_eq!(Package::open(&bytes, publisher().public()).unwrap().origin(), &first);
}

#[test]
fn a_fingerprint_is_what_another_implementation_says() {
    let answers: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/signatures.json")).unwrap();
    let bytes = written(&origin(), &sections());
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    assert_eq!(hex(&bytes[16..16 + length]), answers["package"]["header"].as_str().unwrap());
    let package = Package::open(&bytes, publisher().public()).unwrap();
    assert_eq!(hex(package.fingerprint()), answers["package"]["fingerprint"].as_str().unwrap());
}

#[test]
fn a_fingerprint_is_over_everything() {
    let fingerprint = |origin: &Origin, sections: &[(&str, &[u8])]| {
        *Package::open(&written(origin, sections), publisher().public()).unwrap().fingerprint()
    };
    let [adapter, empty, notes] = sections();
    let mut all = vec![
        fingerprint(&origin(), &sections()),
        fingerprint(&Origin { fleet: b"other".to_vec(), ..origin() }, &sections()),
        fingerprint(&Origin { version: 4, ..origin() }, &sections()),
        fingerprint(&Origin { base: [9; 32], ..origin() }, &sections()),
        fingerprint(&Origin { parent: None, ..origin() }, &sections()),
        fingerprint(&Origin { corpus: [9; 32], ..origin() }, &sections()),
        fingerprint(&Origin { training: [9; 32], ..origin() }, &sections()),
        fingerprint(&Origin { rounds: origin().rounds[..1].to_vec(), ..origin() }, &sections()),
        fingerprint(&origin(), &[adapter, notes]),
        fingerprint(&origin(), &[adapter, empty, ("notes", b"others")]),
        fingerprint(&origin(), &[adapter, empty, ("other", notes.1)]),
    ];
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 11);
}

#[test]
fn every_changed_byte_is_refused() {
    let bytes = written(&origin(), &sections());
    for at in (0..bytes.len() - SIGNATURE_LEN + 64).chain(bytes.len() - 8..bytes.len()) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(Package::open(&changed, publisher().public()).is_err(), "byte {at}");
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let bytes = written(&origin(), &sections());
    for length in (0..bytes.len()).step_by(13).chain([bytes.len() - 1]) {
        assert!(Package::open(&bytes[..length], publisher().public()).is_err(), "{length} bytes");
    }
    assert!(Package::open(&[&bytes[..], &[0]].concat(), publisher().public()).is_err());
    // More content under a right header and signature.
    let (content, signature) = bytes.split_at(bytes.len() - SIGNATURE_LEN);
    for more in [1, 63, 64, 1000] {
        let added = [content, &vec![0; more][..], signature].concat();
        let length = PackageError::Length { found: content.len() + more, expected: content.len() };
        assert_eq!(Package::open(&added, publisher().public()), Err(length));
    }
    let cut = [&content[..content.len() - 1], signature].concat();
    assert!(matches!(Package::open(&cut, publisher().public()), Err(PackageError::Length { .. })));
}

#[test]
fn each_refusal_says_what_is_wrong() {
    let bytes = written(&origin(), &sections());
    let open = |bytes: &[u8]| Package::open(bytes, publisher().public()).map(|_| ());
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        open(&bytes).unwrap_err()
    };
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let adapter = (16 + length).next_multiple_of(ALIGNMENT);
    assert_eq!(with(0, b'X'), PackageError::Magic);
    assert_eq!(with(11, 1), PackageError::HeaderBytes(length | 1 << 24));
    assert_eq!(with(12, 1), PackageError::Padding);
    assert_eq!(with(20, 0xFF), PackageError::Signature(SignatureError::Ed25519));
    assert_eq!(with(16 + length, 1), PackageError::Padding);
    assert_eq!(with(adapter, 1), PackageError::Section(ADAPTER.into()));
    assert_eq!(with(adapter + 100, 1), PackageError::Padding);
    assert_eq!(with(bytes.len() - 1, 0xFF), PackageError::Signature(SignatureError::MlDsa));
    let stranger = Identity::generate(&mut rng());
    let refused = Package::open(&bytes, stranger.public());
    assert_eq!(refused, Err(PackageError::Signature(SignatureError::Ed25519)));
    assert_eq!(open(&[]), Err(PackageError::Length { found: 0, expected: 16 + SIGNATURE_LEN }));
}

#[test]
fn a_publisher_cannot_sign_what_nobody_could_read() {
    let write = |origin: &Origin, sections: &[(&str, &[u8])]| {
        Package::write(origin, sections, publisher(), &mut rng()).unwrap_err()
    };
    assert_eq!(write(&origin(), &[("b", b""), ("a", b"")]), PackageError::Names);
    assert_eq!(write(&origin(), &[("a", b""), ("a", b"")]), PackageError::Names);
    assert_eq!(write(&origin(), &[("", b"")]), PackageError::Names);
    assert_eq!(write(&origin(), &[(&"a".repeat(65), b"")]), PackageError::Names);
    let rounds = vec![RoundRecord { context: [0; 32], robots: 1, weight: 1 }; 2000];
    assert!(matches!(write(&Origin { rounds, ..origin() }, &[]), PackageError::HeaderBytes(_)));
}

#[test]
fn a_header_that_claims_too_much_is_refused_even_when_signed() {
    // A publisher with another program signs headers of its own making.
    let sign = |header: &[u8], sections: &[u8]| {
        let front = [&MAGIC[..], &(header.len() as u32).to_le_bytes(), &[0; 4], header].concat();
        let fingerprint = fingerprint(header);
        let signature = publisher().sign(Purpose::Package, &fingerprint, &mut rng());
        let bytes = [&front[..], sections, &signature.to_bytes()].concat();
        Package::open(&bytes, publisher().public()).map(|_| ())
    };
    let bytes = written(&origin(), &[("a", &[])]);
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let header = bytes[16..16 + length].to_vec();
    let padding = vec![0; (16 + length).next_multiple_of(ALIGNMENT) - 16 - length];
    assert_eq!(sign(&header, &padding), Ok(()));
    assert_eq!(sign(&[&header[..], &[0]].concat(), &padding), Err(PackageError::Header));
    // The section's length, the byte before its hash's two-byte head: as long as can be.
    let at = header.len() - 35;
    assert_eq!(header[at], 0);
    let claims = |spelling: &[u8]| [&header[..at], spelling, &header[at + 1..]].concat();
    let most = claims(&[0x1B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(sign(&most, &[0; 200]), Err(PackageError::Length { .. })));
    assert_eq!(sign(&claims(&[0x18, 0x00]), &[0; 200]), Err(PackageError::Header));
    // Four billion rounds.
    let at = header.windows(2).position(|pair| pair == [0x82, 0x83]).unwrap();
    let rounds = [&header[..at], &[0x9A, 0xFF, 0xFF, 0xFF, 0xFF], &header[at + 1..]].concat();
    assert_eq!(sign(&rounds, &padding), Err(PackageError::Header));
}

fn fingerprint(header: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut state = Sha256::new_with_prefix(b"TensorGuard trust 1|package|");
    for field in [&MAGIC[..], header] {
        state.update((field.len() as u64).to_le_bytes());
        state.update(field);
    }
    state.finalize().into()
}

#[test]
fn no_bytes_make_the_parser_panic() {
    let (mut rng, bytes) = (rng(), written(&origin(), &sections()));
    for _ in 0..300 {
        let mut changed = bytes.clone();
        for _ in 0..rng.random_range(1..20) {
            let at = rng.random_range(0..changed.len().min(500));
            changed[at] = rng.random();
        }
        changed.truncate(rng.random_range(0..=changed.len()));
        let _ = Package::open(&changed, publisher().public());
    }
}
