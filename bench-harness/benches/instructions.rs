//! Instructions that one step of each kernel executes, counted by valgrind: the same on a busy machine as on an idle one.
//!
//! ```text
//! cargo bench -p tensorguard --bench instructions                all
//! cargo bench -p tensorguard --bench instructions -- --test      each kernel once, without valgrind
//! ```
//!
//! Valgrind knows no AVX-512, so what is counted on x86-64 is the AVX2 engine.

use gungraun_or_reason::reason_to_skip;
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use tensorguard::task::{Case, Kernel, Scale, Task, check};

const CASES: [Case; 10] = [
    Case { kernel: Kernel::Forward, n: 1024 },
    Case { kernel: Kernel::Forward, n: 4096 },
    Case { kernel: Kernel::Inverse, n: 4096 },
    Case { kernel: Kernel::Expand, n: 4096 },
    Case { kernel: Kernel::Pad, n: 4096 },
    Case { kernel: Kernel::Seal, n: 4096 },
    Case { kernel: Kernel::Encrypt, n: 4096 },
    Case { kernel: Kernel::Sum, n: 4096 },
    Case { kernel: Kernel::Decrypt, n: 4096 },
    Case { kernel: Kernel::Dense, n: 2048 },
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
        let cpu = engine();
        for case in CASES {
            check(&cpu, case).expect("the engine equals the reference");
            println!("Testing instructions/{}/{} on {}: ok", case.kernel.name(), case.n, cpu.name());
        }
    } else if let Some(reason) = reason_to_skip() {
        println!("instructions: ignored: {reason}");
    } else {
        println!("instructions of {}, one step each", engine().name());
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

    use super::{CASES, Cpu, Scale, Task, engine};
    use gungraun::{library_benchmark, library_benchmark_group, main};

    fn work(index: usize) -> (Cpu, Task) {
        (engine(), Task::new(CASES[index], Scale::Small).expect("every case has a task"))
    }

    #[library_benchmark]
    #[bench::forward_1024(work(0))]
    #[bench::forward_4096(work(1))]
    #[bench::inverse_4096(work(2))]
    #[bench::expand_4096(work(3))]
    #[bench::pad_4096(work(4))]
    #[bench::seal_4096(work(5))]
    #[bench::encrypt_4096(work(6))]
    #[bench::sum_4096(work(7))]
    #[bench::decrypt_4096(work(8))]
    #[bench::dense_2048(work(9))]
    fn step((cpu, mut task): (Cpu, Task)) -> (Cpu, Task) {
        task.step(&cpu).expect("a CPU does every job");
        // Returned, so that giving memory back is not counted.
        (cpu, task)
    }

    library_benchmark_group!(name = kernels, benchmarks = step);
    main!(library_benchmark_groups = kernels);

    pub(super) fn run() {
        main();
    }
}
