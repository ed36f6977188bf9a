//! Pages that promise numbers, against the code.

use folding::lwe::{
    CHUNK_LEN, DenseParams, ENVELOPE_LEN, HEADER_LEN, HOLDER_PUBLIC_LEN, Kind, LEAST_WORDS, Params, VERSION,
};
use std::fs;

fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[track_caller]
fn says(page: &str, what: &str) {
    assert!(page.contains(what), "the page does not say `{what}`: the code changed, or the page did");
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
