//! Memory that one run of every case of `tensorguard micro` asks for: how often, how much, and the most that it held at once. Counted,
//! not timed: the same on a busy machine as on an idle one.
//!
//! ```text
//! cargo bench -p tensorguard --bench allocations                                      the usual cases
//! cargo bench -p tensorguard --bench allocations -- --filter 'stage==add && size==1mb'
//! cargo bench -p tensorguard --bench allocations -- --out results                     kept, for `tensorguard report`
//! cargo bench -p tensorguard --bench allocations -- --test                            the smallest cases
//! ```
//!
//! The counting allocator is in this program only.

use clap::Parser;
use kernels::Backend;
use kernels::cpu::Cpu;
use std::path::PathBuf;
use tensorguard::failure::Failure;
use tensorguard::micro::allocations::{self, Counted};
use tensorguard::micro::case::{Case, HOST};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// What memory a run of each case asks for.
#[derive(Debug, Parser)]
struct Options {
    /// Only cases for which this holds, on the best CPU engine and one thread.
    #[arg(long, default_value = "")]
    filter: String,
    /// Folder in which a new folder <date>-<machine>-allocations is made.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only the smallest cases.
    #[arg(long)]
    test: bool,
    /// What cargo gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> std::process::ExitCode {
    match run(&Options::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("allocations: {failure}");
            failure.code().into()
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let cpu = Cpu::best(1);
    let mut cases = if options.test { Case::smoke(&options.filter, 1)? } else { Case::select(&options.filter, 1)? };
    cases.retain(|case| case.threads == 1 && [HOST, cpu.name()].contains(&case.backend));
    let counted = allocations::count(cases, cpu, &mut |work| {
        // Blocks from before are not seen, so the peak is what the run adds.
        let profiler = dhat::Profiler::builder().testing().build();
        work()?;
        let found = dhat::HeapStats::get();
        drop(profiler);
        let (allocations, bytes) = (found.total_blocks, found.total_bytes);
        Ok(Counted { allocations, allocated_bytes: bytes, heap_bytes: found.max_bytes as u64 })
    })?;
    print!("{}", allocations::summary(&counted));
    if let Some(out) = &options.out {
        let folder = allocations::write(out, &counted)?;
        eprintln!("wrote {}", folder.display());
    }
    Ok(())
}
