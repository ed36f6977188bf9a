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
use shaders::{Absent, Arithmetic, Choice, Kind, Options, Timing, Wgpu};
use std::process::Command;
use std::time::{Duration, Instant};
use tensorguard_tests::{Rand, rings};

fn main() {
    match std::env::var(STARVED).as_deref() {
        Ok("measure") => return print_peak(),
        Ok(_) => return starve(),
        Err(_) => {}
    }
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
    ("a_driver_without_memory_is_a_fault_and_breaks_nothing", a_driver_without_memory_is_a_fault_and_breaks_nothing),
    ("work_like_earlier_work_makes_nothing_new", work_like_earlier_work_makes_nothing_new),
    ("secrets_leave_only_zeros_behind", secrets_leave_only_zeros_behind),
    ("a_job_that_fails_before_it_is_sent_leaves_only_zeros", a_job_that_fails_before_it_is_sent_leaves_only_zeros),
    (
        "a_device_lost_while_it_works_gives_right_bytes_or_a_fault",
        a_device_lost_while_it_works_gives_right_bytes_or_a_fault,
    ),
    (
        "a_buffer_beyond_every_limit_is_a_fault_and_breaks_nothing",
        a_buffer_beyond_every_limit_is_a_fault_and_breaks_nothing,
    ),
    ("work_larger_than_a_binding_is_split", work_larger_than_a_binding_is_split),
    ("kernels_are_timed_by_the_devices_own_clock", kernels_are_timed_by_the_devices_own_clock),
    ("products_are_the_devices_own_where_it_has_them", products_are_the_devices_own_where_it_has_them),
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

/// Set for a process of its own that the driver refuses memory.
const STARVED: &str = "DEVICES_STARVED";
/// More address space than opening a device took: enough for a small job, too little for a large buffer.
const SPARE_KIB: u64 = 128 << 10;
const LARGE: u64 = 200 << 20;

/// Software on Linux takes a device's memory from the process, whose address space can be limited.
fn a_driver_without_memory_is_a_fault_and_breaks_nothing() {
    let engine = open(Options::default());
    if engine.adapter().kind != Kind::Software || !cfg!(target_os = "linux") {
        return println!("not checked: the memory of {} is not this process's", engine.adapter().name);
    }
    let program = std::env::current_exe().expect("this program");
    let run = |command: &mut Command, how: &str| {
        let output = command.env(STARVED, how).output().expect("it runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{}{}", said[0], said[1]);
        said[0].trim().to_owned()
    };
    let needed_kib: u64 = run(&mut Command::new(&program), "measure").parse().expect("a number");
    let limit = format!("ulimit -v {} && exec \"$0\"", needed_kib + SPARE_KIB);
    assert_eq!(run(Command::new("sh").arg("-c").arg(limit).arg(&program), "limited"), "starved");
}

/// One transform, which is checked.
fn small_job(engine: &Wgpu) {
    let plan = Plan::new(Modulus::P1, 1024).unwrap();
    let (mut got, mut expected) = (vec![3; 1024], vec![3; 1024]);
    engine.ntt(&plan, Direction::Forward, &mut got).unwrap();
    Reference.ntt(&plan, Direction::Forward, &mut expected).unwrap();
    assert!(got == expected, "the engine computes something else");
}

/// The most address space that a small job takes, in KiB.
fn print_peak() {
    small_job(&open(Options::default()));
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).expect("it has this line");
    println!("{}", peak.trim().trim_end_matches(" kB"));
}

/// A small job, a buffer that is too large, and a small job again.
fn starve() {
    let engine = open(Options::default());
    small_job(&engine);
    assert_eq!(engine.copy(LARGE, 1), Err(Fault::OutOfMemory));
    assert_eq!(engine.trouble(), None, "lack of memory breaks nothing");
    small_job(&engine);
    println!("starved");
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

/// Every job on secrets.
fn secret_jobs(engine: &Wgpu) {
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
}

/// The one job that has none.
fn public_job(engine: &Wgpu) {
    engine.sum(&Shape { bits: 8, coefficients: 64 }, &[&[7; 64]], &mut [1; 64]).unwrap();
}

fn work_like_earlier_work_makes_nothing_new() {
    let engine = open(Options::default());
    let mut made = Vec::new();
    for _ in 0..3 {
        secret_jobs(&engine);
        public_job(&engine);
        made.push(engine.made());
    }
    assert!(made[0] > 0 && made[1..] == [made[0]; 2], "buffers, shaders or pipelines are made again: {made:?}");
}

fn secrets_leave_only_zeros_behind() {
    let engine = open(Options::default());
    secret_jobs(&engine);
    assert_eq!(engine.leftovers(), Ok(0));
    // The audit can fail: a sum is public, and nobody clears it.
    public_job(&engine);
    assert!(engine.leftovers().unwrap() > 0);
}

fn a_job_that_fails_before_it_is_sent_leaves_only_zeros() {
    let encoding = &rings()[2];
    let seed = Rand::new(1).secret();
    let job = EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let digits = vec![5; 3000];
    let mut out = vec![0; encoding.packed_len(digits.len())];
    let mut failed = 0;
    // A little more memory each time: the job fails at each of its buffers in turn, until it works.
    for memory_bytes in (1..).map(|step| step << 13) {
        let engine = open(Options { memory_bytes, ..Options::default() });
        let done = engine.encrypt(&job, &digits, &mut out);
        assert_eq!(engine.leftovers(), Ok(0), "with {memory_bytes} bytes");
        match done {
            Ok(()) => break,
            Err(fault) => assert_eq!(fault, Fault::OutOfMemory),
        }
        failed += 1;
    }
    assert!(failed > 4, "it failed at {failed} places only");
}

fn a_device_lost_while_it_works_gives_right_bytes_or_a_fault() {
    let encoding = &rings()[2];
    let seed = Rand::new(1).secret();
    let job = &EncryptJob { encoding, a_seed: &[1; 32], message_seed: &seed, first_poly: 0 };
    let digits = &vec![5; 3000];
    let mut expected = vec![0; encoding.packed_len(digits.len())];
    Reference.encrypt(job, digits, &mut expected).unwrap();
    let expected = &expected;
    for round in 0..8 {
        let engine = &open(Options::default());
        let until_lost = move || {
            loop {
                let mut out = vec![0x5A; expected.len()];
                match engine.encrypt(job, digits, &mut out) {
                    Ok(()) => assert!(out == *expected, "wrong bytes passed for an answer"),
                    Err(fault) => break (fault, out.iter().all(|&byte| byte == 0x5A)),
                }
            }
        };
        std::thread::scope(|scope| {
            let workers = [(); 3].map(|()| scope.spawn(until_lost));
            engine.encrypt(job, digits, &mut vec![0; expected.len()]).unwrap();
            std::thread::sleep(Duration::from_millis(round));
            engine.close();
            for worker in workers {
                let (fault, unchanged) = worker.join().expect("a lost device is no panic");
                assert!(fault == Fault::DeviceLost && unchanged, "{fault:?}, output unchanged: {unchanged}");
            }
        });
    }
}

fn a_buffer_beyond_every_limit_is_a_fault_and_breaks_nothing() {
    let engine = open(Options::default());
    for bytes in [1 << 40, u64::MAX] {
        engine.copy(bytes, 1).expect_err("no device has such a buffer");
    }
    assert_eq!(engine.trouble(), None);
    // A row of plain LWE is not cut: one that is longer than a buffer goes to the next rung.
    let ladder = Ladder::new(vec![Rung::new(Box::new(engine)), Rung::new(Box::new(Cpu::best(1)))]);
    let seed = Rand::new(1).secret();
    let job = DenseJob { a_seed: &[1; 32], dimension: 1 << 25, bits: 22, first_row: 0, key: DenseKey::Mask(&seed) };
    let (mut got, mut expected) = ([3], [3]);
    ladder.dense(&job, &mut got).unwrap();
    Cpu::best(1).dense(&job, &mut expected).unwrap();
    assert_eq!(got, expected);
    let served: Vec<(u64, u64)> = ladder.served().iter().map(|rung| (rung.jobs, rung.faults)).collect();
    assert_eq!(served, [(0, 1), (1, 0)]);
}

fn work_larger_than_a_binding_is_split() {
    // A device's default binding holds 128 MiB; the row has more, and so has the accumulator.
    let shape = Shape { bits: 57, coefficients: 20_000_011 };
    assert!(shape.packed_len() > 128 << 20 && 4 * shape.accumulator_len() > 128 << 20);
    let row: Vec<u8> = (0..shape.packed_len()).map(|at| (at % 251) as u8).collect();
    let mut got = vec![0x5A5A_5A5A; shape.accumulator_len()];
    let mut expected = got.clone();
    // As large as the device allows.
    open(Options { piece_bytes: usize::MAX, ..Options::default() }).sum(&shape, &[&row], &mut got).unwrap();
    Cpu::best(1).sum(&shape, &[&row], &mut expected).unwrap();
    assert!(got == expected, "a sum of more than a binding is wrong");
}

fn kernels_are_timed_by_the_devices_own_clock() {
    assert_eq!(open(Options::default()).kernel_ns(), None, "nobody asked");
    let engine = open(Options { timing: Timing::Kernels, ..Options::default() });
    if engine.kernel_ns().is_none() {
        return println!("not checked: {} has no time stamps", engine.adapter().name);
    }
    let plan = Plan::new(Modulus::P1, 4096).unwrap();
    let mut before = 0;
    for polys in [1, 64] {
        let begin = Instant::now();
        engine.ntt(&plan, Direction::Forward, &mut vec![3; polys * 4096]).unwrap();
        let (spent, elapsed) = (engine.kernel_ns().unwrap() - before, begin.elapsed().as_nanos() as u64);
        assert!(0 < spent && spent < elapsed, "{spent} ns in kernels of {elapsed}");
        before += spent;
    }
}

fn products_are_the_devices_own_where_it_has_them() {
    let with = |arithmetic| Wgpu::open(Choice::Best, Options { arithmetic, ..Options::default() });
    let chosen = open(Options::default()).arithmetic();
    match with(Some(Arithmetic::Native)) {
        Ok(engine) => assert_eq!([engine.arithmetic(), chosen], [Arithmetic::Native; 2]),
        Err(why) => assert!(matches!(why, Absent::Unfit(_)) && chosen == Arithmetic::Limbs, "{why}, but {chosen:?}"),
    }
    assert_eq!(with(Some(Arithmetic::Limbs)).unwrap().arithmetic(), Arithmetic::Limbs);
}

fn a_name_that_no_adapter_has_is_said() {
    let refused = Wgpu::open(Choice::Named("no such adapter"), Options::default()).expect_err("there is none");
    assert_eq!(refused, Absent::NoneNamed("no such adapter".into()));
    assert!(shaders::adapters(Choice::Named("no such adapter")).iter().all(|found| !found.taken));
    assert_eq!(shaders::adapters(Choice::Best).iter().filter(|found| found.taken).count(), 1);
}
