//! Runs the suite on every backend: `cargo test -p tensorguard-tests --test backends [-- cpu-avx2::ntt]`.
//!
//! A backend this machine lacks is listed as ignored, with the reason. `REQUIRE_BACKENDS=cpu-avx512,wgpu` turns that into a
//! failure, for machines that are supposed to have it.

use cuda::{Allocation, Cuda};
use kernels::Backend;
use kernels::cpu::{Cpu, Isa};
use libtest_mimic::{Arguments, Trial};
#[cfg(feature = "wgpu")]
use shaders::{Arithmetic, Choice, Options, Wgpu};
use std::sync::Arc;
use tensorguard_tests::SUITE;

fn main() {
    let required = std::env::var("REQUIRE_BACKENDS").unwrap_or_default();
    let required: Vec<&str> = required.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut trials = Vec::new();
    let mut known = vec![];
    let mut add = |name: &'static str, backend: Result<Arc<dyn Backend>, String>| {
        known.push(name);
        trials.extend(match backend {
            Ok(backend) => cases(name, &backend),
            Err(reason) => vec![absent(name, &reason).with_ignored_flag(!required.contains(&name))],
        });
    };
    for isa in Isa::ALL {
        add(isa.name(), engine(isa, 1));
    }
    // Other thread counts on the best engine: the bits must not notice.
    add("cpu-best-2-threads", Ok(Arc::new(Cpu::best(2).with_least_words(1))));
    add("cpu-best-5-threads", Ok(Arc::new(Cpu::best(5).with_least_words(1))));
    #[cfg(feature = "wgpu")]
    {
        // The device's own 64-bit words where it has them, 16-bit limbs everywhere, and work cut into small pieces.
        let small = Options { piece_bytes: 4096, ..Options::default() };
        add("wgpu", device(Options::default()));
        add("wgpu-limbs", device(Options { arithmetic: Some(Arithmetic::Limbs), ..Options::default() }));
        add("wgpu-pieces", device(small));
    }
    // With the stand-in of scripts/cuda-shim on LD_LIBRARY_PATH this runs the kernels on the host.
    add("cuda", cuda(|cuda| cuda));
    // Every job of more than a polynomial in pieces, and memory that a checker can tell apart.
    add("cuda-pieces", cuda(|cuda| cuda.with_piece_bytes(1).with_allocation(Allocation::Separate)));
    for name in required.iter().filter(|name| !known.contains(name)) {
        let message = format!("REQUIRE_BACKENDS names {name}, which is none of {known:?}");
        trials.push(Trial::test(format!("{name}::is_known"), move || Err(message.into())));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn engine(isa: Isa, threads: usize) -> Result<Arc<dyn Backend>, String> {
    match Cpu::with(isa, threads) {
        Some(cpu) => Ok(Arc::new(cpu)),
        None => Err(isa.absent_reason().unwrap_or("no reason known").to_owned()),
    }
}

#[cfg(feature = "wgpu")]
fn device(options: Options) -> Result<Arc<dyn Backend>, String> {
    match Wgpu::open(Choice::Best, options) {
        Ok(engine) => Ok(Arc::new(engine)),
        Err(reason) => Err(reason.to_string()),
    }
}

fn cuda(change: fn(Cuda) -> Cuda) -> Result<Arc<dyn Backend>, String> {
    Cuda::new().map(|cuda| Arc::new(change(cuda)) as Arc<dyn Backend>).map_err(|absent| absent.to_string())
}

fn cases(name: &str, backend: &Arc<dyn Backend>) -> Vec<Trial> {
    let trial = |case: &tensorguard_tests::Case| {
        let (run, backend) = (case.run, Arc::clone(backend));
        Trial::test(format!("{name}::{}", case.name), move || {
            run(backend.as_ref());
            Ok(())
        })
    };
    SUITE.iter().map(trial).collect()
}

fn absent(name: &str, reason: &str) -> Trial {
    let message = format!("REQUIRE_BACKENDS wants this backend, but {reason}");
    Trial::test(format!("{name}::absent ({reason})"), move || Err(message.into()))
}
