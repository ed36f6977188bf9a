//! Every case of `tensorguard micro` under criterion, on the best CPU engine and one thread, in CPU time of the process.
//!
//! ```text
//! cargo bench -p tensorguard --bench micro                      the usual cases
//! cargo bench -p tensorguard --bench micro -- stage-add/1mb     those of all cases with this in their name
//! cargo bench -p tensorguard --bench micro -- --list
//! cargo bench -p tensorguard --bench micro --features flamegraph -- --profile-time 5 stage-encrypt/1mb/20
//! ```
//!
//! The last one draws a flame graph of five seconds: target/criterion/stage-encrypt/1mb_20/profile/flamegraph.svg.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::Backend;
use kernels::cpu::Cpu;
use std::time::Duration;
use tensorguard::clock::{Clock, cpu_ns};
use tensorguard::micro::case::{Case, HOST};
use tensorguard::micro::work::{Data, Engine, Facts};

/// CPU time: less disturbed by other processes than elapsed time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = Duration;

    fn start(&self) -> u64 {
        cpu_ns()
    }

    fn end(&self, begin: u64) -> Duration {
        Duration::from_nanos(cpu_ns() - begin)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// What criterion may choose from: all cases where it is told which, else the usual ones, and the smallest where they are only tried.
fn cases() -> Vec<Case> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let all = |filter: &str| Case::select(filter, 1).expect("there are cases");
    if args.iter().any(|arg| arg == "--test") {
        return Case::smoke("", 1).expect("there are cases");
    }
    // An option's value looks like a name, which only makes the list longer.
    let is_named = args.iter().any(|arg| !arg.starts_with('-'));
    let best = Cpu::best(1);
    let mut cases = if is_named { all("threads==1") } else { all("") };
    cases.retain(|case| [HOST, best.name()].contains(&case.backend));
    cases
}

fn every_case(criterion: &mut Criterion<CpuTime>) {
    let engine = Engine::Cpu(Cpu::best(1));
    let mut data = Data::default();
    for Case { job, .. } in cases() {
        let name = job.to_string();
        let (group, size) = name.split_once('/').unwrap_or((&name, ""));
        let mut group = criterion.benchmark_group(group);
        // Only made if it is selected: some are large.
        let mut facts = None;
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            facts.get_or_insert_with(|| {
                let facts = data.prepare(job).expect("every case has data");
                data.check(job, &engine).expect("the output is right");
                facts
            });
            // What a run needs beforehand is left out of its time.
            bencher.iter_custom(|runs| {
                Duration::from_nanos(data.run(job, &engine, runs).expect("it worked a moment ago").by(Clock::Cpu))
            });
        });
        if let Some(Facts { items, needs, .. }) = facts {
            group.throughput(needs.map_or(Throughput::Elements(items), |needs| Throughput::Bytes(needs.bytes)));
        }
        group.finish();
    }
}

fn criterion() -> Criterion<CpuTime> {
    let criterion = Criterion::default().with_measurement(CpuTime).sample_size(30);
    let criterion = criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    #[cfg(feature = "flamegraph")]
    let criterion = criterion.with_profiler(flames::Flames::default());
    criterion
}

#[cfg(feature = "flamegraph")]
mod flames {
    use criterion::profiler::Profiler;
    use std::fs::{File, create_dir_all};
    use std::path::Path;

    /// Draws what the samples of one benchmark saw. Says why where it cannot.
    #[derive(Default)]
    pub(super) struct Flames {
        guard: Option<pprof::ProfilerGuard<'static>>,
    }

    impl Profiler for Flames {
        fn start_profiling(&mut self, id: &str, _folder: &Path) {
            match pprof::ProfilerGuardBuilder::default().frequency(997).build() {
                Ok(guard) => self.guard = Some(guard),
                Err(error) => eprintln!("no flame graph of {id}: {error}"),
            }
        }

        fn stop_profiling(&mut self, id: &str, folder: &Path) {
            let Some(guard) = self.guard.take() else { return };
            let file = folder.join("flamegraph.svg");
            let drawn =
                create_dir_all(folder).and_then(|()| File::create(&file)).map_err(|error| error.to_string()).and_then(
                    |to| guard.report().build().and_then(|r| r.flamegraph(to)).map_err(|error| error.to_string()),
                );
            match drawn {
                Ok(()) => println!("flame graph: {}", file.display()),
                Err(error) => eprintln!("no flame graph of {id}: {error}"),
            }
        }
    }
}

criterion_group! { name = benches; config = criterion(); targets = every_case }
criterion_main!(benches);
