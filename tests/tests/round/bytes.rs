//! Sizes to the byte, and bytes from outside that are wrong.

use crate::fleet::{Fleet, verified};
use folding::lwe::{Ciphertext, HolderPublic, KeyError, Kind, Malformed, Manifest, Params, StoredSumError};
use folding::{Round, RoundTerms};
use rand::RngExt;

/// Bytes per parameter of the body: l / (8 rho), to the last byte of a long message.
#[test]
fn bodies_have_the_sizes_of_the_parameter_page() {
    let fleet = Fleet::new();
    let values = 2_500_000;
    for (params, bits, robots, rho, wire) in [
        (Params::FL_4096_60, 8, 10, 4, 50),
        (Params::FL_4096_60, 8, 100, 3, 50),
        (Params::FL_4096_60, 8, 1000, 2, 44),
        (Params::FL_4096_60, 24, 10_000, 1, 47),
        (Params::FL_2048_30, 8, 100, 1, 21),
        (Params::FL_1024_22, 4, 100, 1, 17),
    ] {
        let round = Round::new(&RoundTerms { params: &params, bits, ..fleet.terms(values, robots) }).unwrap();
        let agreement = round.agreement();
        let body = (values.div_ceil(rho) * wire).div_ceil(8);
        assert_eq!(agreement.upload_len() - agreement.overhead_len(), body, "{}", params.name());
    }
}

#[test]
fn a_small_update_stays_small() {
    let fleet = Fleet::new();
    let round = Round::new(&fleet.terms(2500, 100)).unwrap();
    assert!(round.agreement().overhead_len() <= 1536, "{}", round.agreement().overhead_len());
    assert!(round.agreement().upload_len() <= 7000, "{}", round.agreement().upload_len());
}

#[test]
fn uploads_that_are_wrong_say_what_is_wrong() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(1001, 5)).unwrap();
    let other = Round::new(&RoundTerms { attempt: 1, ..fleet.terms(1001, 5) }).unwrap();
    let (uploads, _) = fleet.uploads(&round, 1);
    let bytes = uploads[0].bytes();
    let read = |bytes: &[u8]| round.read(bytes).map(|_| ());
    assert_eq!(read(bytes), Ok(()));
    let length = |found| Err(Malformed::Length { kind: Kind::Upload, found, expected: bytes.len() });
    for cut in [0, 1, 15] {
        assert_eq!(read(&bytes[..cut]), length(cut));
    }
    assert_eq!(read(&bytes[..bytes.len() - 1]), length(bytes.len() - 1));
    assert_eq!(read(&[bytes, &[0]].concat()), length(bytes.len() + 1));
    let with = |at: usize, value: u8| {
        let mut changed = bytes.to_vec();
        changed[at] = value;
        changed
    };
    assert_eq!(read(&with(0, 2)), Err(Malformed::Version(2)));
    assert_eq!(read(&with(1, b'S')), Err(Malformed::Kind { found: b'S', expected: Kind::Upload }));
    assert_eq!(read(&with(15, bytes[15] ^ 1)), Err(Malformed::OtherRound));
    assert_eq!(other.read(bytes).map(|_| ()), Err(Malformed::OtherRound));
    // Words that end within a byte: the bits behind them must be zero.
    let used = round.agreement().shape().coefficients * round.agreement().encoding().bits() as usize % 8;
    assert_ne!(used, 0, "this length leaves bits over");
    assert_eq!(read(&with(bytes.len() - 1, bytes[bytes.len() - 1] | 0x80)), Err(Malformed::Padding));
}

#[test]
fn manifests_and_stored_sums_come_back_or_are_refused() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(10, 5)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (agreement, manifest) = (round.agreement(), uploads[0].manifest());
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::from_bytes(agreement, &bytes), Ok(manifest));
    let mut changed = bytes.clone();
    changed[20] ^= 1;
    assert_eq!(Manifest::from_bytes(agreement, &changed), Err(Malformed::OtherRound));
    assert!(Manifest::from_bytes(agreement, &bytes[1..]).is_err());
    assert!(Manifest::from_bytes(agreement, &bytes[..bytes.len() - 1]).is_err());

    let sum = fleet.sum(&round, &uploads);
    let stored = sum.to_bytes();
    assert_eq!(agreement.read_sum(&stored, &fleet.backend), Ok(sum));
    let mut crowded = stored.clone();
    crowded[16..20].copy_from_slice(&6u32.to_le_bytes());
    let refused = Err(StoredSumError::Malformed(Malformed::Count(6)));
    assert_eq!(agreement.read_sum(&crowded, &fleet.backend), refused);
    crowded[16..20].fill(0xFF);
    assert!(agreement.read_sum(&crowded, &fleet.backend).is_err());
    assert!(agreement.read_sum(&stored[..stored.len() - 1], &fleet.backend).is_err());
    assert!(agreement.read_sum(uploads[0].bytes(), &fleet.backend).is_err());
}

#[test]
fn a_holders_public_key_comes_back_or_is_refused() {
    let fleet = Fleet::new();
    let public = fleet.holder.public();
    let bytes = public.to_bytes();
    assert_eq!(HolderPublic::from_bytes(&bytes), Ok(public));
    for wrong in [&bytes[..0], &bytes[..31], &bytes[1..], &[&bytes[..], &[0]].concat()[..]] {
        assert_eq!(HolderPublic::from_bytes(wrong), Err(KeyError::Malformed));
    }
    // Coefficients that are not reduced.
    let mut unreduced = bytes;
    unreduced[32..40].fill(0xFF);
    assert_eq!(HolderPublic::from_bytes(&unreduced), Err(KeyError::Malformed));
}

/// Random damage to honest bytes, and bytes out of the air: never a panic.
#[test]
fn no_bytes_make_a_parser_panic() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(30, 5)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 1);
    let agreement = round.agreement();
    let manifest = verified(&uploads)[0].manifest().to_bytes();
    let honest = [uploads[0].bytes().to_vec(), manifest, fleet.sum(&round, &uploads).to_bytes()];
    for turn in 0..3000 {
        let mut bytes = honest[turn % 3].clone();
        match fleet.rng.random_range(0..4) {
            0 => bytes.truncate(fleet.rng.random_range(0..=bytes.len())),
            1 => bytes.extend((0..fleet.rng.random_range(0..40)).map(|i| i as u8)),
            2 => fleet.rng.fill(&mut bytes[..]),
            _ => {}
        }
        for _ in 0..fleet.rng.random_range(0..3) {
            if !bytes.is_empty() {
                let at = fleet.rng.random_range(0..bytes.len());
                bytes[at] = fleet.rng.random();
            }
        }
        let _ = Ciphertext::read(agreement, &bytes);
        let _ = Manifest::from_bytes(agreement, &bytes);
        let _ = agreement.read_sum(&bytes, &fleet.backend);
        let _ = HolderPublic::from_bytes(&bytes);
    }
}
