//! Instructions that one run of kernels and stages executes, counted by valgrind: the same on a busy machine as on an idle one.
//!
//! ```text
//! cargo bench -p tensorguard --bench instructions                all
//! cargo bench -p tensorguard --bench instructions -- --test      each case once, without valgrind
//! ```
//!
//! Valgrind knows no AVX-512, so what is counted on x86-64 is the AVX2 engine.

use gungraun_or_reason::reason_to_skip;
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use tensorguard::micro::case::Job;
use tensorguard::micro::work::{Data, Engine};

/// Names of cases of `tensorguard micro`.
const CASES: [&str; 20] = [
    "kernel-forward-1024/10kb",
    "kernel-forward-4096/10kb",
    "kernel-inverse-4096/10kb",
    "kernel-expand/10kb",
    "kernel-pad/10kb",
    "kernel-seal/10kb",
    "kernel-encrypt/10kb",
    "kernel-sum/10kb/20",
    "kernel-decrypt/10kb",
    "kernel-dense/10kb",
    "stage-quantize/10kb",
    "stage-encrypt/10kb/20",
    "stage-seal/10kb/20",
    "stage-add/10kb/20",
    "stage-merge/10kb/20",
    "stage-parse/10kb/20",
    "stage-pad/10kb/20",
    "stage-read/10kb/20",
    "stage-serialize/10kb/20",
    "stage-decrypt/10kb/20",
];

/// The engine that valgrind can run.
fn engine() -> Cpu {
    let known = Cpu::present(1).into_iter().rfind(|cpu| cpu.isa() != Isa::Avx512);
    known.unwrap_or_else(|| Cpu::best(1))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "--gungraun-run") {
        counted::run();
    } else if args.iter().any(|arg| arg == "--test") {
        let (engine, mut data) = (Engine::Cpu(engine()), Data::default());
        for name in CASES {
            let job = Job::named(name).expect("a case of the list");
            data.prepare(job).expect("every case has data");
            data.check(job, &engine).expect("the output is right");
            println!("Testing instructions/{name} on {}: ok", engine.backend().name());
        }
    } else if let Some(reason) = reason_to_skip() {
        println!("instructions: ignored: {reason}");
    } else {
        println!("instructions of {}, one run each", engine().name());
        counted::run();
    }
}

mod gungraun_or_reason {
    use tensorguard::machine::program;

    /// Without these two there is nothing to count with.
    pub(super) fn reason_to_skip() -> Option<&'static str> {
        if program("valgrind").is_none() {
            return Some("valgrind is absent; install the package `valgrind`");
        }
        if program("gungraun-runner").is_none() && option_env!("GUNGRAUN_RUNNER").is_none() {
            return Some("gungraun-runner is absent; cargo install --locked gungraun-runner --version 0.20.0");
        }
        None
    }
}

mod counted {
    #![allow(missing_docs, reason = "gungraun's macros make undocumented items")]

    use super::{CASES, Data, Engine, Job, engine};
    use gungraun::{library_benchmark, library_benchmark_group, main};

    type Work = (Engine, Data, Job);

    fn work(index: usize) -> Work {
        let (engine, mut data) = (Engine::Cpu(engine()), Data::default());
        let job = Job::named(CASES[index]).expect("a case of the list");
        data.prepare(job).expect("every case has data");
        // The first run takes memory that later ones find.
        data.run(job, &engine, 1).expect("a CPU does every job");
        (engine, data, job)
    }

    #[library_benchmark]
    #[bench::kernel_forward_1024(work(0))]
    #[bench::kernel_forward_4096(work(1))]
    #[bench::kernel_inverse_4096(work(2))]
    #[bench::kernel_expand(work(3))]
    #[bench::kernel_pad(work(4))]
    #[bench::kernel_seal(work(5))]
    #[bench::kernel_encrypt(work(6))]
    #[bench::kernel_sum(work(7))]
    #[bench::kernel_decrypt(work(8))]
    #[bench::kernel_dense(work(9))]
    #[bench::stage_quantize(work(10))]
    #[bench::stage_encrypt(work(11))]
    #[bench::stage_seal(work(12))]
    #[bench::stage_add(work(13))]
    #[bench::stage_merge(work(14))]
    #[bench::stage_parse(work(15))]
    #[bench::stage_pad(work(16))]
    #[bench::stage_read(work(17))]
    #[bench::stage_serialize(work(18))]
    #[bench::stage_decrypt(work(19))]
    fn run_once((engine, mut data, job): Work) -> Work {
        data.run(job, &engine, 1).expect("a CPU does every job");
        // Returned, so that giving memory back is not counted.
        (engine, data, job)
    }

    library_benchmark_group!(name = micro, benchmarks = run_once);
    main!(library_benchmark_groups = micro);

    pub(super) fn run() {
        main();
    }
}
