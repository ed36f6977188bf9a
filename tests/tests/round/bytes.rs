//! Sizes to the byte, and bytes from outside that are wrong.

use crate::fleet::{Fleet, robot, shared_key, update_id};
use crate::pages::SIZES_OF;
use folding::lwe::{Ciphertext, HolderPublic, KeyError, KeyModel, Kind, Malformed, Manifest, Params, StoredSumError};
use folding::{Round, RoundTerms, Update};
use rand::rngs::ChaCha20Rng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

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
    assert_eq!(round.agreement().overhead_len(), 1536);
    assert!(round.agreement().upload_len() <= 7000, "{}", round.agreement().upload_len());
}

/// Header and sealed key, and a canary of 64 words, for every cell of the parameter page.
#[test]
fn overhead_is_what_the_wire_page_says() {
    let fleet = Fleet::new();
    let mut cells = 0;
    for ((params, bits), robots) in SIZES_OF.iter().flat_map(|row| [10, 100, 1000, 10_000].map(|robots| (row, robots)))
    {
        let Ok(round) = Round::new(&RoundTerms { params, bits: *bits, ..fleet.terms(2_500_000, robots) }) else {
            continue;
        };
        let l = round.agreement().encoding().bits() as usize;
        assert_eq!(round.agreement().overhead_len(), 1136 + 8 * l, "{}, {bits} bits, {robots} robots", params.name());
        assert!(l <= 55, "overhead is at most 1576");
        cells += 1;
    }
    assert_eq!(cells, 26);
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
    let refused = Err(StoredSumError::Malformed(Malformed::Count { messages: 6, factor: 1 }));
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

/// Every way to be malformed that the formats know, by name. Nothing behind a wrong length is looked at.
#[test]
fn each_way_to_be_malformed_is_told_apart() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(1001, 5)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let agreement = round.agreement();
    let sum = fleet.sum(&round, &uploads).to_bytes();
    let formats = [
        (Kind::Upload, uploads[0].bytes().to_vec()),
        (Kind::Manifest, uploads[0].manifest().to_bytes()),
        (Kind::Sum, sum),
    ];
    type Damage = fn(&mut Vec<u8>);
    type Expected = fn(Kind, usize) -> Malformed;
    const TABLE: &[(&str, &[Kind], Damage, Expected)] = &[
        ("empty", ALL, Vec::clear, |kind, expected| Malformed::Length { kind, found: 0, expected }),
        ("half a header", ALL, |b| b.truncate(15), |kind, expected| Malformed::Length { kind, found: 15, expected }),
        ("a header alone", ALL, |b| b.truncate(16), |kind, expected| Malformed::Length { kind, found: 16, expected }),
        (
            "truncated",
            ALL,
            |b| b.truncate(b.len() - 1),
            |kind, expected| Malformed::Length { kind, found: expected - 1, expected },
        ),
        ("extended", ALL, |b| b.push(0), |kind, expected| Malformed::Length { kind, found: expected + 1, expected }),
        ("version 0", ALL, |b| b[0] = 0, |_, _| Malformed::Version(0)),
        ("version 255, then nothing of ours", ALL, |b| b.fill(255), |_, _| Malformed::Version(255)),
        ("no kind", ALL, |b| b[1] = 0, |expected, _| Malformed::Kind { found: 0, expected }),
        ("the context's first byte", ALL, |b| b[2] ^= 1, |_, _| Malformed::OtherRound),
        ("the context's last byte in the header", ALL, |b| b[15] ^= 0x80, |_, _| Malformed::OtherRound),
        ("the context behind the header", &[Kind::Manifest], |b| b[47] ^= 1, |_, _| Malformed::OtherRound),
        (
            "a bit behind the last word",
            &[Kind::Upload, Kind::Sum],
            |b| *b.last_mut().unwrap() |= 0x80,
            |_, _| Malformed::Padding,
        ),
        ("one message too many", &[Kind::Sum], |b| b[16] = 6, |_, _| Malformed::Count { messages: 6, factor: 1 }),
        (
            "all messages there are",
            &[Kind::Sum],
            |b| b[16..20].fill(255),
            |_, _| Malformed::Count { messages: u32::MAX.into(), factor: 1 },
        ),
        ("multiplied by nothing", &[Kind::Sum], |b| b[20] = 0, |_, _| Malformed::Factor),
    ];
    const ALL: &[Kind] = &[Kind::Upload, Kind::Manifest, Kind::Sum];
    let read = |kind: Kind, bytes: &[u8]| match kind {
        Kind::Upload => Ciphertext::read(agreement, bytes).map(drop),
        Kind::Manifest => Manifest::from_bytes(agreement, bytes).map(drop),
        Kind::Sum => match agreement.read_sum(bytes, &fleet.backend) {
            Err(StoredSumError::Malformed(error)) => Err(error),
            other => other.map(drop).map_err(|_| unreachable!("a CPU has no faults")),
        },
    };
    for (kind, honest) in &formats {
        assert_eq!(read(*kind, honest), Ok(()));
        for (name, kinds, damage, expected) in TABLE.iter().filter(|(_, kinds, ..)| kinds.contains(kind)) {
            assert!(!kinds.is_empty());
            let mut bytes = honest.clone();
            damage(&mut bytes);
            assert_eq!(read(*kind, &bytes), Err(expected(*kind, honest.len())), "{kind:?}: {name}");
        }
        for (other, bytes) in formats.iter().filter(|(other, _)| other != kind) {
            let refused = Err(Malformed::Kind { found: *other as u8, expected: *kind });
            assert_eq!(read(*kind, bytes), refused);
        }
    }
}

/// One of tests/vectors/malformed.json.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    what: String,
    kind: String,
    hex: String,
    /// As `Malformed` prints itself for programmers; none where the bytes are fine.
    error: Option<String>,
}

/// Stored bytes, so that a change of a parser and of what makes its bytes cannot agree on something new.
#[test]
fn stored_bytes_are_refused_as_they_always_were() {
    let cases: Vec<Stored> = serde_json::from_str(include_str!("../../vectors/malformed.json")).expect("these fields");
    let terms = RoundTerms::new(65, 5, 1.0, KeyModel::FleetShared([7; 32]));
    let round = Round::new(&RoundTerms { params: &Params::FL_1024_22, bits: 4, ..terms }).unwrap();
    let (agreement, backend) = (round.agreement(), Fleet::new().backend);
    for Stored { what, kind, hex, error } in cases {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        let read = match kind.as_str() {
            "upload" => Ciphertext::read(agreement, &bytes).map(drop),
            "manifest" => Manifest::from_bytes(agreement, &bytes).map(drop),
            "sum" => agreement.read_sum(&bytes, &backend).map(drop).map_err(|error| match error {
                StoredSumError::Malformed(error) => error,
                StoredSumError::Backend(fault) => panic!("a CPU has no faults: {fault}"),
            }),
            other => panic!("no such kind: {other}"),
        };
        assert_eq!(read.err().map(|error| format!("{error:?}")), error, "{kind}: {what}");
    }
}

/// A round whose accumulator would be 16 GiB: its parsers compare lengths before they ask for memory.
#[test]
fn a_parser_asks_for_no_memory_before_all_bytes_are_there() {
    let mut fleet = Fleet::new();
    let round = Round::new(&RoundTerms { bits: 24, ..fleet.terms(1 << 31, 10_000) }).unwrap();
    let agreement = round.agreement();
    let small = Round::new(&fleet.terms(10, 5)).unwrap();
    let (uploads, _) = fleet.uploads(&small, 1);
    for (kind, expected) in [(b'U', agreement.upload_len()), (b'S', agreement.sum_len())] {
        assert!(expected > 8 << 30);
        let mut bytes = uploads[0].bytes().to_vec();
        bytes[1] = kind;
        bytes[2..16].copy_from_slice(&agreement.context().bytes()[..14]);
        let found = bytes.len();
        let length = |kind| Malformed::Length { kind, found, expected };
        match kind {
            b'U' => assert_eq!(round.read(&bytes).map(drop), Err(length(Kind::Upload))),
            _ => assert_eq!(agreement.read_sum(&bytes, &fleet.backend), Err(length(Kind::Sum).into())),
        }
    }
}

/// Honest bytes, damaged: cut, grown, overwritten, bits turned, stretches copied from elsewhere.
fn damage(rng: &mut ChaCha20Rng, honest: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = honest[rng.random_range(0..honest.len())].clone();
    match rng.random_range(0..8) {
        0 => bytes.truncate(rng.random_range(0..=bytes.len())),
        1 => bytes.extend((0..rng.random_range(0..40)).map(|i| i as u8)),
        2 => rng.fill(&mut bytes[..]),
        _ => {}
    }
    for _ in 0..rng.random_range(0..4) {
        if bytes.is_empty() {
            break;
        }
        // Half of all damage at the ends, where headers, counts and paddings are.
        let at = match rng.random_range(0..4) {
            0 => rng.random_range(0..bytes.len().min(48)),
            1 => bytes.len() - 1 - rng.random_range(0..bytes.len().min(4)),
            _ => rng.random_range(0..bytes.len()),
        };
        match rng.random_range(0..4) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes[at..].fill([0, 255][rng.random_range(0..2)]),
            2 => {
                let other = &honest[rng.random_range(0..honest.len())];
                let count = rng.random_range(0..=other.len().min(bytes.len() - at));
                bytes[at..at + count].copy_from_slice(&other[..count]);
            }
            _ => bytes[at] = rng.random(),
        }
    }
    bytes
}

/// Damaged bytes never make a parser panic, and what it does take it gives back byte for byte. 3000 times, or as long as
/// `FUZZ_SECONDS` says.
#[test]
fn no_bytes_make_a_parser_panic_or_change() {
    let mut fleet = Fleet::new();
    let shared = shared_key();
    let rounds = [
        RoundTerms { bits: 9, ..fleet.terms(331, 5) },
        RoundTerms { keys: shared.model(), params: &Params::FL_1024_22, ..fleet.terms(331, 5) },
    ];
    let rounds = rounds.map(|terms| Round::new(&terms).unwrap());
    let key = shared.message_key(rounds[1].agreement(), robot(0)).unwrap();
    let update = Update::new(update_id(0, 1), &[0.5; 331][..]);
    let other = rounds[1].encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0;
    let uploads = [fleet.uploads(&rounds[0], 1).0.remove(0), other];
    let mut honest = vec![fleet.holder.public().to_bytes()];
    for (round, upload) in rounds.iter().zip(uploads) {
        let sum = fleet.sum(round, std::slice::from_ref(&upload)).to_bytes();
        honest.extend([upload.manifest().to_bytes(), sum, upload.into_bytes()]);
    }
    let number = |text: String| text.parse().expect("FUZZ_SECONDS and FUZZ_SEED are whole numbers");
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(number);
    let seed = std::env::var("FUZZ_SEED").ok().map(number);
    let seed = seed.unwrap_or(if seconds.is_some() { fleet.rng.random() } else { 1 });
    let (begin, mut turns, mut taken) = (Instant::now(), 0u64, 0);
    let going = |turns: u64| match seconds {
        None => turns < 3000,
        Some(seconds) => turns == 0 || begin.elapsed() < Duration::from_secs(seconds),
    };
    while going(turns) {
        let bytes = damage(&mut ChaCha20Rng::seed_from_u64(seed.wrapping_add(turns)), &honest);
        turns += 1;
        for round in &rounds {
            let agreement = round.agreement();
            let upload = Ciphertext::read(agreement, &bytes).ok().map(|upload| {
                let envelope = upload.envelope().map_or(vec![], |envelope| envelope.bytes().to_vec());
                [&bytes[..16], &envelope, upload.canary(), upload.body()].concat()
            });
            let manifest = Manifest::from_bytes(agreement, &bytes).ok().map(|manifest| manifest.to_bytes());
            let sum = agreement.read_sum(&bytes, &fleet.backend).ok().map(|sum| sum.to_bytes());
            let public = HolderPublic::from_bytes(&bytes).ok().map(|public| public.to_bytes());
            for again in [upload, manifest, sum, public].into_iter().flatten() {
                taken += 1;
                assert!(
                    again == bytes,
                    "other bytes came back. Again: FUZZ_SEED={} FUZZ_SECONDS=0",
                    seed.wrapping_add(turns - 1)
                );
            }
        }
    }
    println!("{turns} damaged pieces from FUZZ_SEED={seed}, {taken} of them taken");
    assert!(turns < 3000 || taken > turns / 20, "too much damage to get past the headers: {taken} of {turns}");
}
