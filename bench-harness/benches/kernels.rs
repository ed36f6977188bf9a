//! Every kernel under criterion, in CPU time of the process.
//!
//! ```text
//! cargo bench -p tensorguard --bench kernels                    all
//! cargo bench -p tensorguard --bench kernels -- inverse/4096    some
//! cargo bench -p tensorguard --bench kernels --features flamegraph -- --profile-time 5 inverse/4096
//! ```
//!
//! The last one draws a flame graph of five seconds: target/criterion/inverse/4096/profile/flamegraph.svg.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::cpu::Cpu;
use std::time::Duration;
use tensorguard::clock::cpu_ns;
use tensorguard::task::{Kernel, Scale, Task, cases, check};

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

fn every_kernel(criterion: &mut Criterion<CpuTime>) {
    let cpu = Cpu::best(1);
    for case in cases() {
        let mut group = criterion.benchmark_group(case.kernel.name());
        // Only made if the filter selects it: some tasks are large.
        let mut task = None;
        let bytes = case.kernel != Kernel::Dense;
        group.bench_with_input(BenchmarkId::from_parameter(case.n), &case, |bencher, &case| {
            let task = task.get_or_insert_with(|| {
                check(&cpu, case).expect("the engine equals the reference");
                Task::new(case, Scale::Full).expect("every case has a task")
            });
            bencher.iter(|| task.step(&cpu));
        });
        if let Some(task) = task {
            let per_run = if bytes { Throughput::Bytes(task.bytes) } else { Throughput::Elements(task.items) };
            group.throughput(per_run);
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

criterion_group! { name = benches; config = criterion(); targets = every_kernel }
criterion_main!(benches);
