//! What holds for the engine as a whole.

use super::{POISON, same};
use crate::{Rand, rings};
use kernels::reference::Reference;
use kernels::{Backend, Direction, EncryptJob, Modulus, PadJob, Plan, SealJob, Shape};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn encrypt_once(backend: &dyn Backend, fill: u8, robot: u64) -> Vec<u8> {
    let encoding = &rings()[2];
    let seed = Rand::new(robot).secret();
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let digits = Rand::new(3).words(5000);
    let mut out = vec![fill; encoding.packed_len(digits.len())];
    backend.encrypt(&job, &digits, &mut out).unwrap();
    out
}

pub fn same_call_twice(backend: &dyn Backend) {
    assert!(encrypt_once(backend, 0, 1) == encrypt_once(backend, 0, 1), "the second call gave other bytes");
}

pub fn two_threads_at_once(backend: &dyn Backend) {
    let expected = [encrypt_once(&Reference, 0, 1), encrypt_once(&Reference, 0, 2)];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || (0..3).map(|_| encrypt_once(backend, 0, 1 + thread % 2)).collect::<Vec<_>>())
            })
            .collect();
        for (index, thread) in threads.into_iter().enumerate() {
            for bytes in thread.join().expect("no thread panics") {
                assert!(bytes == expected[index % 2], "two threads disturbed each other");
            }
        }
    });
}

pub fn poisoned_outputs_are_overwritten(backend: &dyn Backend) {
    assert!(encrypt_once(backend, 0xFF, 1) == encrypt_once(backend, 0, 1), "old output shines through");
    let encoding = &rings()[2];
    let seed = Rand::new(1).secret();
    let job = PadJob { ring: encoding.ring(), a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let (mut clean, mut poisoned) = (vec![0; 1024], vec![POISON; 1024]);
    backend.pad(&job, &mut clean).unwrap();
    backend.pad(&job, &mut poisoned).unwrap();
    same(&poisoned, &clean, format_args!("a poisoned pad"));
}

fn ok(done: Result<(), kernels::Fault>) {
    done.expect("misuse is no fault");
}

/// Lengths that do not fit are misuse, and caught before anything is written.
pub fn misuse_panics(backend: &dyn Backend) {
    let encoding = &rings()[2];
    let seed = Rand::new(1).secret();
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: u32::MAX };
    let plan = Plan::new(Modulus::P1, 256).unwrap();
    let attempts: [(&str, &dyn Fn()); 6] = [
        ("half a polynomial", &|| ok(backend.ntt(&plan, Direction::Forward, &mut [0; 128]))),
        ("a pad of no whole polynomial", &|| ok(backend.pad(&job.pad_job(), &mut [0; 1000]))),
        ("polynomials past the last", &|| ok(backend.pad(&job.pad_job(), &mut [0; 2048]))),
        ("a short output", &|| ok(backend.encrypt(&job, &[1, 2], &mut [0; 4]))),
        ("a pad of another length", &|| ok(backend.seal(&SealJob { encoding }, &mut [], &[1], &mut [0; 3]))),
        ("a short row", &|| ok(backend.sum(&Shape { bits: 8, coefficients: 4 }, &[&[0; 3]], &mut [0; 4]))),
    ];
    for (what, attempt) in attempts {
        assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err(), "{what} was accepted");
    }
}
