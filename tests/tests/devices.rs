//! What the GPU engines do when a device does not: `cargo test -p tensorguard-tests --test devices`.
//!
//! Without a device these are listed as ignored, with the reason. `REQUIRE_BACKENDS=wgpu` turns that into a failure.

use kernels::cpu::Cpu;
use kernels::reference::Reference;
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, EncryptJob, Fault, Ladder, Modulus, PadJob, Plan, Rung, Secret,
    Shape,
};
use libtest_mimic::{Arguments, Trial};
use shaders::{Absent, Choice, Options, Wgpu};
use tensorguard_tests::{Rand, rings};

fn main() {
    let required = std::env::var("REQUIRE_BACKENDS").unwrap_or_default().split(',').any(|name| name.trim() == "wgpu");
    let absent = Wgpu::open(Choice::Best, Options::default()).err().map(|reason| reason.to_string());
    let trials = CASES.iter().map(|&(name, case)| match absent.clone() {
        None => Trial::test(format!("wgpu::{name}"), move || {
            case();
            Ok(())
        }),
        Some(reason) => Trial::test(format!("wgpu::{name} ({reason})"), move || {
            Err(format!("REQUIRE_BACKENDS wants this backend, but {reason}").into())
        })
        .with_ignored_flag(!required),
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

const CASES: &[(&str, fn())] = &[
    ("a_closed_device_is_lost_and_outputs_stay", a_closed_device_is_lost_and_outputs_stay),
    ("too_little_memory_is_a_fault_and_outputs_stay", too_little_memory_is_a_fault_and_outputs_stay),
    ("a_ladder_goes_on_where_a_device_fails", a_ladder_goes_on_where_a_device_fails),
    ("more_memory_is_not_held_after_many_jobs", more_memory_is_not_held_after_many_jobs),
    ("secrets_leave_only_zeros_behind", secrets_leave_only_zeros_behind),
    ("a_name_that_no_adapter_has_is_said", a_name_that_no_adapter_has_is_said),
];

fn open(options: Options) -> Wgpu {
    Wgpu::open(Choice::Best, options).expect("the device was there a moment ago")
}

/// Every job, with outputs that are checked to be untouched.
fn fails_with(engine: &Wgpu, fault: Fault) {
    let encoding = &rings()[2];
    let (plan, seed) = (&encoding.ring().plans()[0], Rand::new(1).secret());
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let mut words = Rand::new(2).words(1024);
    let before = words.clone();
    assert_eq!(engine.ntt(plan, Direction::Forward, &mut words), Err(fault));
    assert_eq!(engine.pad(&job.pad_job(), &mut words), Err(fault));
    let mut bytes = vec![0x5A; encoding.packed_len(500)];
    assert_eq!(engine.encrypt(&job, &words[..500], &mut bytes), Err(fault));
    assert!(bytes.iter().all(|&byte| byte == 0x5A));
    let mut digits = vec![0; 1000];
    digits.copy_from_slice(&words[..1000]);
    let mut bytes = vec![0x5A; encoding.packed_len(1000)];
    assert_eq!(engine.seal(&job.seal_job(), &mut words, &digits, &mut bytes), Err(fault));
    assert!(bytes.iter().all(|&byte| byte == 0x5A));
    let row = vec![1; Shape { bits: 9, coefficients: 1024 }.packed_len()];
    assert_eq!(engine.sum(&Shape { bits: 9, coefficients: 1024 }, &[&row], &mut words), Err(fault));
    let secret_sum = Secret::new(vec![1; 1024]);
    let opening = DecryptJob { encoding, a_seed: &[1; 32], secret_sum: &secret_sum, first_poly: 0 };
    assert_eq!(engine.decrypt(&opening, &before, &mut words), Err(fault));
    let key = DenseKey::Mask(&seed);
    let dense = DenseJob { a_seed: &[1; 32], dimension: 1024, bits: 22, first_row: 0, key };
    assert_eq!(engine.dense(&dense, &mut words), Err(fault));
    assert_eq!(words, before, "a job that failed changed its output");
}

fn a_closed_device_is_lost_and_outputs_stay() {
    let engine = open(Options::default());
    engine.ntt(&Plan::new(Modulus::P1, 1024).unwrap(), Direction::Forward, &mut [3; 1024]).unwrap();
    assert_eq!(engine.trouble(), None);
    engine.close();
    fails_with(&engine, Fault::DeviceLost);
    assert!(engine.trouble().is_some());
}

fn too_little_memory_is_a_fault_and_outputs_stay() {
    // Enough for tables and numbers, too little for a polynomial's upload, scratch and download.
    let engine = open(Options { memory_bytes: 4096, ..Options::default() });
    fails_with(&engine, Fault::OutOfMemory);
    assert_eq!(engine.trouble(), None, "a job that was too large breaks nothing");
}

fn a_ladder_goes_on_where_a_device_fails() {
    let (closed, small) = (open(Options::default()), open(Options { memory_bytes: 4096, ..Options::default() }));
    closed.close();
    let engines: [Box<dyn Backend>; 3] = [Box::new(closed), Box::new(small), Box::new(Cpu::best(1))];
    let ladder = Ladder::new(engines.into_iter().map(Rung::new).collect());
    let encoding = &rings()[1];
    let seed = Rand::new(1).secret();
    let job = PadJob { ring: encoding.ring(), a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let (mut got, mut expected) = (vec![7; 4096], vec![0; 4096]);
    ladder.pad(&job, &mut got).unwrap();
    Reference.pad(&job, &mut expected).unwrap();
    assert!(got == expected, "the last rung's words are wrong");
    let faults: Vec<u64> = ladder.served().iter().map(|rung| rung.faults).collect();
    assert_eq!(faults, [1, 1, 0]);
}

fn more_memory_is_not_held_after_many_jobs() {
    // A leak of one buffer per job would be out of memory long before the last.
    let engine = open(Options { memory_bytes: 1 << 20, ..Options::default() });
    let encoding = &rings()[2];
    let seed = Rand::new(1).secret();
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let digits = vec![5; 3000];
    let mut out = vec![0; encoding.packed_len(digits.len())];
    for _ in 0..200 {
        engine.encrypt(&job, &digits, &mut out).unwrap();
    }
}

fn secrets_leave_only_zeros_behind() {
    let engine = open(Options::default());
    let encoding = &rings()[0];
    let (seed, n) = (Rand::new(1).secret(), encoding.ring().n());
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let digits = vec![5; 2 * n];
    let mut out = vec![0; encoding.packed_len(digits.len())];
    engine.encrypt(&job, &digits, &mut out).unwrap();
    let mut pad = vec![0; encoding.pad_len(digits.len())];
    engine.pad(&job.pad_job(), &mut pad).unwrap();
    engine.ntt(&encoding.ring().plans()[0], Direction::Inverse, &mut pad.clone()).unwrap();
    engine.seal(&job.seal_job(), &mut pad, &digits, &mut out).unwrap();
    let secret_sum = Secret::new(vec![1; n]);
    let opening = DecryptJob { encoding, a_seed: &[1; 32], secret_sum: &secret_sum, first_poly: 0 };
    engine.decrypt(&opening, &vec![9; encoding.shape(2 * n).accumulator_len()], &mut vec![0; 2 * n]).unwrap();
    let dense = |key| DenseJob { a_seed: &[1; 32], dimension: n, bits: 22, first_row: 0, key };
    engine.dense(&dense(DenseKey::Mask(&seed)), &mut [4; 100]).unwrap();
    engine.dense(&dense(DenseKey::Unmask(&secret_sum)), &mut [4; 100]).unwrap();
    assert_eq!(engine.leftovers(), Ok(0));
    // The audit can fail: a sum is public, and nobody clears it.
    engine.sum(&Shape { bits: 8, coefficients: 64 }, &[&[7; 64]], &mut [1; 64]).unwrap();
    assert!(engine.leftovers().unwrap() > 0);
}

fn a_name_that_no_adapter_has_is_said() {
    let refused = Wgpu::open(Choice::Named("no such adapter"), Options::default()).expect_err("there is none");
    assert_eq!(refused, Absent::NoneNamed("no such adapter".into()));
    assert!(shaders::adapters(Choice::Named("no such adapter")).iter().all(|found| !found.taken));
    assert_eq!(shaders::adapters(Choice::Best).iter().filter(|found| found.taken).count(), 1);
}
