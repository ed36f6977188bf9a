//! Every kernel of `tensorguard micro` on the GPU under criterion, in elapsed time, transfers and synchronisation included. After each, the time in
//! kernels by the device's own clock, held against the device's own copy rate.
//!
//! ```text
//! cargo bench -p tensorguard --bench devices               all
//! cargo bench -p tensorguard --bench devices -- pad        some
//! TENSORGUARD_ADAPTER=llvmpipe cargo bench ...             on another adapter
//! ```
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use shaders::{Kind, Options, Wgpu};
use std::hint::black_box;
use std::time::Duration;
use tensorguard::device::{self, Copies};
use tensorguard::micro::case::{Case, Work};
use tensorguard::task::{Kernel, Scale, Task, check_on};

/// What an update of 10 MB brings, from 20 robots; a hundredth where a processor plays the device.
const CASES: &str = "backend==wgpu && size==10mb";
const CASES_SOFTWARE: &str = "backend==wgpu && size==100kb";
const ROBOTS: u32 = 20;
/// Runs over which the kernels' time is averaged.
const RUNS: u32 = 5;
/// The copies that give the device's copy rate.
const COPIES_NS: u64 = 20_000_000;

fn every_job(criterion: &mut Criterion) {
    device::choose(std::env::var(device::ADAPTER).ok());
    let both = device::open(Options::default()).and_then(|opened| Ok((opened, device::open_stamped()?)));
    let ((engine, device), stamped) = match both {
        Ok(both) => both,
        Err(reason) => return println!("wgpu: ignored ({reason})"),
    };
    let rate = Copies::new(&engine, COPIES_NS).and_then(|copies| copies.rate()).expect("the device copies");
    let filter = if engine.adapter().kind == Kind::Software { CASES_SOFTWARE } else { CASES };
    let jobs = Case::select(filter, 1).expect("there are cases").into_iter().map(|case| case.job);
    println!("{device}: copies at {rate:.1} GB/s, read and written");
    for job in jobs.filter(|job| job.robots() == ROBOTS) {
        let Work::Kernel(case) = job.work else { continue };
        // A product for each value and dimension: a small update says as much.
        let values = if case.kernel == Kernel::Dense { 2500 } else { job.length() };
        let mut group = criterion.benchmark_group(format!("wgpu-{}", case.kernel.name()));
        let mut task = None;
        group.bench_with_input(BenchmarkId::from_parameter(case.n), &case, |bencher, &case| {
            let task = task.get_or_insert_with(|| {
                check_on(&engine, case).expect("the engine equals the reference");
                Task::new(case, Scale::Update { values, rows: ROBOTS as usize }).expect("every case has a task")
            });
            // A lost device answers at once: that is no time.
            bencher.iter(|| task.step_on(&engine).expect("the device works"));
        });
        if let Some(task) = &mut task {
            report(&stamped, task, rate);
        }
        group.finish();
    }
}

/// What the device itself says about the kernels.
fn report(engine: &Wgpu, task: &mut Task, rate: f64) {
    // The first run compiles and allocates.
    task.step_on(engine).expect("it worked a moment ago");
    let Some(before) = engine.kernel_ns() else { return println!("  the device has no time stamps") };
    for _ in 0..RUNS {
        task.step_on(engine).expect("it worked a moment ago");
    }
    let spent = black_box(engine.kernel_ns()).unwrap_or(before) - before;
    let each = spent as f64 / f64::from(RUNS) / task.items as f64;
    let share = task.bytes as f64 * f64::from(RUNS) / spent as f64 / rate;
    println!("  in kernels: {each:.2} ns per {}, {:.1} % of the copy rate", task.case.kernel.item(), 100.0 * share);
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500));
    targets = every_job
}
criterion_main!(benches);
