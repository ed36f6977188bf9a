//! Several backends in turn: who is asked, who is counted, and that nothing shows of those that failed.

use kernels::cpu::Cpu;
use kernels::expand::{Domain, small};
use kernels::reference::Reference;
use kernels::{
    Backend, DecryptJob, DenseJob, DenseKey, Direction, Encoding, EncryptJob, Fault, JobKind, Ladder, Modulus, Noise,
    PadJob, Plan, Rung, SealJob, Secret, Served, Shape,
};
use std::sync::Mutex;
use tensorguard_tests::{Flaky, Rand, SUITE, encoding};

const FAULTS: [Fault; 3] = [Fault::Declined, Fault::DeviceLost, Fault::OutOfMemory];

/// What a job answered, and every word that it could have written.
type Outcome = (Result<Noise, Fault>, Vec<u32>);

/// A name, a size as [`Rung::from_size`] counts it, and a job on outputs that are always the same.
type Job = (&'static str, usize, fn(&dyn Backend) -> Outcome);

/// One of each kind.
const JOBS: [Job; 7] = [
    ("ntt", 768, ntt),
    ("pad", 1024, pad),
    ("seal", 300, seal),
    ("encrypt", 300, encrypt),
    ("sum", 3 * 1056 / 4, sum),
    ("decrypt", 600, decrypt),
    ("dense", 7 * 32, dense),
];

fn ring() -> Encoding {
    encoding(256, &[1_073_479_681, 1_071_513_601], 50, 25501, 2)
}

fn nothing((): ()) -> Noise {
    Noise::default()
}

fn ntt(backend: &dyn Backend) -> Outcome {
    let plan = Plan::new(Modulus::P1, 256).unwrap();
    let mut polys = Rand::new(1).words(768);
    (backend.ntt(&plan, Direction::Forward, &mut polys).map(nothing), polys)
}

fn pad(backend: &dyn Backend) -> Outcome {
    let (encoding, message_seed, mut out) = (&ring(), &Rand::new(2).secret(), Rand::new(3).words(1024));
    let job = PadJob { ring: encoding.ring(), a_seed: &[4; 32], message_seed, first_poly: 5 };
    (backend.pad(&job, &mut out).map(nothing), out)
}

fn seal(backend: &dyn Backend) -> Outcome {
    let (encoding, mut rand) = (&ring(), Rand::new(6));
    let mut pad: Vec<u32> = (0..512).map(|_| rand.next() as u32 % 1_071_513_601).collect();
    let mut out = rand.bytes(encoding.packed_len(300));
    let result = backend.seal(&SealJob { encoding }, &mut pad, &rand.words(300), &mut out);
    pad.extend(out.into_iter().map(u32::from));
    (result.map(nothing), pad)
}

fn encrypt(backend: &dyn Backend) -> Outcome {
    let (encoding, mut rand) = (&ring(), Rand::new(7));
    let message_seed = &rand.secret();
    let job = EncryptJob { encoding, a_seed: &[8; 32], message_seed, first_poly: 9 };
    let mut out = rand.bytes(encoding.packed_len(300));
    let result = backend.encrypt(&job, &rand.words(300), &mut out);
    (result.map(nothing), out.into_iter().map(u32::from).collect())
}

fn sum(backend: &dyn Backend) -> Outcome {
    let (shape, mut rand) = (Shape { bits: 21, coefficients: 402 }, Rand::new(10));
    // 402 words of 21 bits: 1055.25 bytes, so 1056 a row.
    let rows = [(); 3].map(|()| rand.bytes(shape.packed_len()));
    let mut accumulator = rand.words(shape.accumulator_len());
    (backend.sum(&shape, &rows.each_ref().map(Vec::as_slice), &mut accumulator).map(nothing), accumulator)
}

fn decrypt(backend: &dyn Backend) -> Outcome {
    let (encoding, mut rand) = (&ring(), Rand::new(11));
    let mut secret_sum = Secret::new(vec![0; 256]);
    small(&rand.seed(), Domain::S, 0, secret_sum.expose_mut());
    let job = DecryptJob { encoding, a_seed: &[12; 32], secret_sum: &secret_sum, first_poly: 13 };
    let (accumulator, mut digits) = (rand.words(encoding.shape(600).accumulator_len()), rand.words(600));
    (backend.decrypt(&job, &accumulator, &mut digits), digits)
}

fn dense(backend: &dyn Backend) -> Outcome {
    let (seed, mut rows) = (Rand::new(14).secret(), Rand::new(15).words(7));
    let job = DenseJob { a_seed: &[16; 32], dimension: 32, bits: 22, first_row: 17, key: DenseKey::Mask(&seed) };
    (backend.dense(&job, &mut rows).map(nothing), rows)
}

fn flaky(faults: &[Fault]) -> Box<dyn Backend> {
    Box::new(Flaky::new(Cpu::best(1), faults.to_vec()))
}

fn best() -> Box<dyn Backend> {
    Box::new(Cpu::best(1))
}

fn served(ladder: &Ladder) -> Vec<(u64, u64)> {
    ladder.served().iter().map(|served| (served.jobs, served.faults)).collect()
}

/// What stands in the outputs before the job.
fn untouched(run: fn(&dyn Backend) -> Outcome) -> Vec<u32> {
    run(&Flaky::new(Reference, vec![Fault::Declined])).1
}

#[test]
fn each_fault_falls_through_and_leaves_no_trace() {
    for (name, _, run) in JOBS {
        let expected = run(&Reference);
        assert!(expected.0.is_ok() && expected.1 != untouched(run), "{name} does something");
        for fault in FAULTS {
            let ladder = Ladder::new(vec![Rung::new(flaky(&[fault])), Rung::new(flaky(&FAULTS)), Rung::new(best())]);
            assert!(run(&ladder) == expected, "{name} after {fault:?} is not what the last rung computes");
            assert_eq!(served(&ladder), [(0, 1), (0, 1), (1, 0)], "{name} after {fault:?}");
        }
    }
}

#[test]
fn a_rung_that_recovers_is_asked_again() {
    let expected = encrypt(&Reference);
    let ladder = Ladder::new(vec![Rung::new(flaky(&FAULTS)), Rung::new(Box::new(Reference))]);
    for _ in 0..5 {
        assert!(encrypt(&ladder) == expected);
    }
    let served = ladder.served();
    assert_eq!(served[0], Served { backend: "flaky", jobs: 2, faults: 3 });
    assert_eq!(served[1], Served { backend: "reference", jobs: 3, faults: 0 });
}

#[test]
fn the_first_fault_of_each_rung_is_told() {
    static HEARD: Mutex<Vec<(&str, Fault)>> = Mutex::new(Vec::new());
    let rungs = vec![Rung::new(flaky(&FAULTS)), Rung::new(flaky(&[Fault::Declined])), Rung::new(best())];
    let ladder = Ladder::new(rungs).telling(|name, fault| HEARD.lock().unwrap().push((name, fault)));
    assert!(HEARD.lock().unwrap().is_empty());
    for _ in 0..5 {
        assert!(encrypt(&ladder) == encrypt(&Reference));
    }
    assert_eq!(*HEARD.lock().unwrap(), [("flaky", Fault::OutOfMemory), ("flaky", Fault::Declined)]);
}

#[test]
fn the_first_rung_that_works_is_the_only_one_asked() {
    for (name, _, run) in JOBS {
        let ladder = Ladder::new(vec![Rung::new(best()), Rung::new(flaky(&[Fault::DeviceLost]))]);
        assert!(run(&ladder) == run(&Reference), "{name}");
        assert_eq!(served(&ladder), [(1, 0), (0, 0)], "{name}");
    }
}

#[test]
fn a_rung_takes_jobs_from_its_size_on() {
    for (name, size, run) in JOBS {
        for (from, expected) in [(size, [(1, 0), (0, 0)]), (size + 1, [(0, 0), (1, 0)])] {
            let ladder = Ladder::new(vec![Rung::from_size(best(), from), Rung::new(Box::new(Reference))]);
            assert!(run(&ladder) == run(&Reference), "{name}");
            assert_eq!(served(&ladder), expected, "{name} of size {size}, the first rung from {from} on");
        }
    }
}

#[test]
fn each_kind_of_job_has_its_own_size() {
    for ((name, size, run), kind) in JOBS.into_iter().zip(JobKind::ALL) {
        // The first rung takes jobs of this kind only.
        let sizes = |of| if of == kind { size } else { usize::MAX };
        let ladder = Ladder::new(vec![Rung::from_sizes(best(), sizes), Rung::new(Box::new(Reference))]);
        for (other, _, run) in JOBS {
            run(&ladder).0.unwrap_or_else(|fault| panic!("{other}: {fault}"));
        }
        assert_eq!((name, served(&ladder)), (kind.name(), vec![(1, 0), (JOBS.len() as u64 - 1, 0)]));
        assert!(run(&ladder) == run(&Reference), "{name}");
    }
}

#[test]
fn the_last_fault_comes_back_and_outputs_stay() {
    for (name, _, run) in JOBS {
        for [first, second, third] in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
            let faults = [FAULTS[first], FAULTS[second], FAULTS[third]];
            let mut rungs: Vec<Rung> = faults.iter().map(|&fault| Rung::new(flaky(&[fault]))).collect();
            // Never asked, so it has no say in which fault is the last.
            rungs.push(Rung::from_size(best(), usize::MAX));
            let ladder = Ladder::new(rungs);
            assert!(run(&ladder) == (Err(faults[2]), untouched(run)), "{name}, {faults:?}");
            assert_eq!(served(&ladder), [(0, 1), (0, 1), (0, 1), (0, 0)], "{name}, {faults:?}");
        }
    }
}

#[test]
fn no_rung_for_a_job_declines_it() {
    for (name, size, run) in JOBS {
        let declined = (Err(Fault::Declined), untouched(run));
        let empty = Ladder::new(Vec::new());
        assert!(run(&empty) == declined, "{name} on an empty ladder");
        assert_eq!(empty.served(), []);
        let too_large = Ladder::new(vec![Rung::from_size(best(), size + 1)]);
        assert!(run(&too_large) == declined, "{name} below every rung");
        assert_eq!(served(&too_large), [(0, 0)]);
    }
}

#[test]
fn a_ladder_is_a_rung() {
    let inner = Ladder::new(vec![Rung::new(flaky(&[Fault::OutOfMemory])), Rung::from_size(best(), usize::MAX)]);
    let ladder = Ladder::new(vec![Rung::new(Box::new(inner)), Rung::new(best())]);
    assert!(decrypt(&ladder) == decrypt(&Reference));
    assert_eq!(ladder.served()[0], Served { backend: "ladder", jobs: 0, faults: 1 });
}

#[test]
fn the_suite_passes_on_a_failing_ladder() {
    let mut totals = [(0, 0); 2];
    for case in SUITE {
        // Each fault five times, then it works: the suite's jobs go now to one rung, now to the other.
        let ladder = Ladder::new(vec![Rung::new(flaky(&FAULTS.repeat(5))), Rung::new(best())]);
        (case.run)(&ladder);
        for (total, (jobs, faults)) in totals.iter_mut().zip(served(&ladder)) {
            *total = (total.0 + jobs, total.1 + faults);
        }
    }
    let [(flaky_jobs, flaky_faults), (best_jobs, best_faults)] = totals;
    assert!(flaky_jobs > 100 && flaky_faults > 100, "the suite asked the first rung: {totals:?}");
    // A job that panics, as misuse does, is no rung's success.
    assert!(best_jobs <= flaky_faults && best_jobs > flaky_faults - 10 && best_faults == 0, "{totals:?}");
}
