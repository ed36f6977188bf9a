//! Pages that promise numbers, against the code.

use folding::lwe::{
    self, AgreementError, CHUNK_LEN, DenseAgreement, DenseParams, DenseTerms, ENVELOPE_LEN, HEADER_LEN,
    HOLDER_PUBLIC_LEN, KeyModel, Kind, LEAST_WORDS, Params, VERSION, smallest,
};
use std::fs;

fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[track_caller]
fn says(page: &str, what: &str) {
    assert!(page.contains(what), "the page does not say `{what}`: the code changed, or the page did");
}

/// Suites and bits in the table of sizes.
pub(crate) const SIZES_OF: [(Params, u32); 8] = [
    (Params::FL_4096_60, 4),
    (Params::FL_4096_60, 8),
    (Params::FL_4096_60, 12),
    (Params::FL_4096_60, 16),
    (Params::FL_4096_60, 24),
    (Params::FL_2048_30, 8),
    (Params::FL_1024_22, 4),
    (Params::FL_1024_22, 8),
];

/// The most messages of so many bits that LWE-1024-22 adds, as it says itself when asked for more.
fn most_robots(value_bits: u32) -> u64 {
    let terms = DenseTerms {
        params: &DenseParams::LWE_1024_22,
        fleet: b"",
        model: [0; 32],
        round: 0,
        attempt: 0,
        class: b"",
        value_bits,
        planned: 10_000,
        length: 1,
        keys: KeyModel::OneMessage([0; 32]),
    };
    match DenseAgreement::new(&terms) {
        Err(AgreementError::NoRoom { most_messages, .. }) => most_messages,
        other => panic!("10,000 robots were to be too many: {other:?}"),
    }
}

#[test]
fn pages_say_what_the_code_says() {
    let parameters = page("PARAMETERS.md");
    for suite in Params::NAMED {
        let primes: Vec<_> = suite.primes().iter().map(u32::to_string).collect();
        let estimate = suite.estimate();
        let row = format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            suite.name(),
            suite.n(),
            primes.join(", "),
            suite.max_wire_bits(),
            estimate.classical,
            estimate.quantum,
            estimate.quantum_with_public_sum
        );
        says(&parameters, &row);
    }
    let dense = DenseParams::LWE_1024_22;
    let (name, dimension, bits, estimate) = (dense.name(), dense.dimension(), dense.bits(), dense.estimate());
    let [classical, quantum, public] = [estimate.classical, estimate.quantum, estimate.quantum_with_public_sum];
    says(&parameters, &format!("| {name} | {dimension} | {bits} | {classical} | {quantum} | {public} |"));
    for (params, bits) in SIZES_OF {
        let robots = [10, 100, 1000, 10_000];
        let cell = |layout: lwe::Layout| {
            let (rho, wire) = (layout.values_per_coefficient(), layout.encoding.bits());
            format!("{:.2} ({rho}, {wire})", f64::from(wire) / 8.0 / rho as f64)
        };
        let cells = robots.map(|robots| smallest(&params, bits, robots, 2_500_000).map_or("does not fit".into(), cell));
        says(&parameters, &format!("| {}, {bits} bits | {} |", params.name(), cells.join(" | ")));
    }
    let most = [1, 2, 4, 6, 8, 10, 12, 14].map(|bits| (bits, most_robots(bits)));
    says(&parameters, &format!("| bits of a value | {} |", most.map(|(bits, _)| bits.to_string()).join(" | ")));
    says(&parameters, &format!("| robots | {} |", most.map(|(_, robots)| robots.to_string()).join(" | ")));
    says(&parameters, Params::TOY_256_13_INSECURE.name());
    says(&parameters, DenseParams::TOY_LWE_64_22_INSECURE.name());

    let wire = page("WIRE.md");
    says(&wire, &format!("# Wire format, version {VERSION}"));
    says(&wire, &format!("## Header: {HEADER_LEN} bytes"));
    for (kind, name) in [(Kind::Upload, "upload"), (Kind::Manifest, "manifest"), (Kind::Sum, "sum")] {
        says(&wire, &format!("`{}` ({:#04x}) {name}", char::from(kind as u8), kind as u8));
    }
    says(&wire, &format!("| {ENVELOPE_LEN} | sealed key"));
    says(&wire, &format!("X25519 (32 bytes), ML-KEM-768 encapsulation key ({})", HOLDER_PUBLIC_LEN - 32));
    says(&wire, &format!("chunks of {CHUNK_LEN} bytes"));
    says(&wire, &format!("at least {LEAST_WORDS} (zeros"));
    says(&wire, &format!("Overhead is {} + 8 l bytes", HEADER_LEN + ENVELOPE_LEN));
}
