//! The message enters mod q, before the rounding, and additively. Two tempting variants are wrong; on a toy suite, where q is
//! near 4 * 2^l, both would be seen by looking at every residue there is.

use folding::lwe::Params;
use kernels::cpu::Cpu;
use kernels::reference::Reference;
use kernels::{Backend, Encoding, SealJob};

const WIRE_BITS: u32 = 11;

fn toy() -> (Encoding, u32) {
    let params = Params::TOY_256_13_INSECURE;
    (Encoding::new(params.ring(), WIRE_BITS, 60, 1).unwrap(), params.primes()[0])
}

fn backends() -> Vec<Box<dyn Backend>> {
    let cpus = Cpu::present(1).into_iter().map(|cpu| Box::new(cpu) as Box<dyn Backend>);
    [Box::new(Reference) as Box<dyn Backend>].into_iter().chain(cpus).collect()
}

/// What `seal` makes of these residues and digits: one word each.
fn seal(backend: &dyn Backend, encoding: &Encoding, residues: &[u32], digits: &[u32]) -> Vec<u32> {
    let mut pad = residues.to_vec();
    pad.resize(encoding.pad_len(digits.len()), 0);
    let mut packed = vec![0; encoding.packed_len(digits.len())];
    backend.seal(&SealJob { encoding }, &mut pad, digits, &mut packed).unwrap();
    let mut words = vec![0; digits.len()];
    Reference.sum(&encoding.shape(digits.len()), &[&packed], &mut words).unwrap();
    words
}

/// Added after the rounding, a message would shift the uneven distribution of rounded words: some words have three residues,
/// some four, and which ones would depend on the message.
#[test]
fn the_distribution_of_a_word_does_not_depend_on_the_message() {
    let (encoding, q) = toy();
    let residues: Vec<u32> = (0..q).collect();
    for backend in backends() {
        let histogram = |message: u32| {
            let words = seal(backend.as_ref(), &encoding, &residues, &vec![message; residues.len()]);
            let mut counts = vec![0; 1 << WIRE_BITS];
            words.iter().for_each(|&word| counts[word as usize] += 1);
            counts
        };
        let nothing = histogram(0);
        assert!(nothing.contains(&3) && nothing.contains(&4), "the toy suite is uneven");
        for message in 1..60 {
            assert_eq!(histogram(message), nothing, "{}: message {message}", backend.name());
        }
    }
}

/// Rounded for itself, a message's embedding would not be additive: two of them would differ from that of their sum.
#[test]
fn a_message_is_embedded_additively() {
    let (encoding, q) = toy();
    let delta = encoding.delta() as u32;
    let residues: Vec<u32> = (0..q).collect();
    for backend in backends() {
        let plain = seal(backend.as_ref(), &encoding, &residues, &vec![0; residues.len()]);
        for message in 0..60 {
            let less: Vec<u32> = residues.iter().map(|r| (r + q - delta * message % q) % q).collect();
            let words = seal(backend.as_ref(), &encoding, &less, &vec![message; less.len()]);
            assert_eq!(words, plain, "{}: message {message}", backend.name());
        }
    }
}
