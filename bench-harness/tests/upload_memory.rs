//! One allocation as long as the upload, and little besides, however long the update. Counted for the whole process: so one test, and a
//! program of its own.

use folding::lwe::{ForgetfulLog, HolderKey, MessageKey, RobotId, UpdateId, Upload};
use folding::{Round, RoundTerms, Update};
use kernels::cpu::Cpu;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// What `Round::encrypt` promises for each thread: digits (two for a value of 24 bits), engine's buffers, canary.
const BESIDES: usize = 3 << 20;

/// The upload, all bytes that were asked for meanwhile, and the most that were held at once.
fn counted(work: impl FnOnce() -> Upload) -> (Upload, u64, usize) {
    let profiler = dhat::Profiler::builder().testing().build();
    let upload = work();
    let found = dhat::HeapStats::get();
    drop(profiler);
    (upload, found.total_bytes, found.max_bytes)
}

#[test]
fn one_allocation_is_as_long_as_the_upload_and_the_rest_does_not_grow() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (holder, backend, mut log) = (HolderKey::generate(&mut rng), Cpu::best(1), ForgetfulLog::default());
    for (bits, robots) in [(8, 100), (24, 1000)] {
        let mut besides = Vec::new();
        for length in [2_500_000, 5_000_000] {
            let terms = RoundTerms { bits, ..RoundTerms::new(length, robots, 1.0, holder.public().model()) };
            let (round, values) = (Round::new(&terms).unwrap(), vec![0.5; length]);
            let update = || Update::new(UpdateId([2; 32]), &values);
            let mut key = || MessageKey::new(round.agreement(), RobotId([1; 32]), &holder.public(), &mut rng).unwrap();

            let (first, sealed) = (key(), key());
            let (upload, all, most) = counted(|| round.encrypt(first, update(), &mut log, &backend).unwrap().0);
            let len = upload.bytes().len();
            assert!(all < 2 * len as u64, "{length} values of {bits} bits: {all} bytes for {len}: a second upload");
            let pads = round.prepare(sealed, &backend).unwrap();
            let (upload, of_seal, of_seal_at_once) =
                counted(|| round.seal(pads, update(), &mut log, &backend).unwrap().0);
            assert!(
                of_seal < 2 * len as u64,
                "{length} values of {bits} bits: {of_seal} bytes for {len}: a second upload"
            );
            besides.push([most - len, of_seal_at_once - len]);

            let (memory, third) = (upload.into_bytes(), key());
            let again = || round.encrypt(third, update().in_memory_of(memory), &mut log, &backend).unwrap().0;
            let (_, none, _) = counted(again);
            assert!(
                none < len as u64,
                "{length} values of {bits} bits: {none} bytes beside an earlier upload's memory"
            );
        }
        // The first time, an engine makes its tables.
        assert!(besides.as_flattened().iter().all(|&bytes| bytes <= BESIDES), "{bits} bits: {besides:?}");
        assert!(
            besides[1].iter().zip(besides[0]).all(|(long, short)| *long <= short + 4096),
            "{bits} bits: {besides:?}"
        );
    }
}
