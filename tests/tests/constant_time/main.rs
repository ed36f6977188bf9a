//! Runs the engines' kernels under valgrind with their secrets marked undefined: a jump or an address that depends on
//! one is an error (`cargo test --release -p tensorguard-tests --test constant_time`). What this cannot see:
//! docs/SOUNDNESS.md. Divisions, which valgrind does not report, are looked for in the compiled program.
//!
//! Two controls leak a kernel's output on purpose and must be reported. Where a word of an output does not depend on
//! the marked secrets, the watched program itself fails: a run in which nothing was marked does not pass.

mod divisions;

use kernels::cpu::Isa;
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::Command;
use tensorguard_tests::taint;

const KERNELS: &[&str] = &["expand", "draw", "pad", "seal", "encrypt", "decrypt", "mask", "unmask"];
/// The leak, and what valgrind says about it.
const LEAKS: &[(&str, &str)] =
    &[("branch", "Conditional jump or move depends on uninitialised"), ("index", "Use of uninitialised value")];
/// What valgrind exits with where it found something.
const REPORTED: i32 = 99;

fn main() {
    let mut trials = Vec::new();
    for isa in [Isa::Portable, Isa::Avx2] {
        let absent = taint::absent_reason().or_else(valgrind_absent).or(isa.absent_reason());
        // Overflow checks jump, and unoptimised code is not what anybody runs with real secrets.
        let unfit = cfg!(debug_assertions).then_some("overflow checks and unoptimised code branch: use --release");
        for kernel in KERNELS {
            trials.push(trial(format!("{}::{kernel}", isa.name()), absent.or(unfit), move || silent(kernel, isa)));
        }
        for (leak, complaint) in LEAKS {
            let name = format!("{}::a_leak_by_{leak}_is_reported", isa.name());
            trials.push(trial(name, absent, move || reported(isa, leak, complaint)));
        }
    }
    // Checked arithmetic and shared code are what the release build has not.
    let unfit = cfg!(debug_assertions).then_some("only the optimised build counts: use --release");
    trials.push(trial("divisions::are_public".into(), divisions::absent().or(unfit), divisions::are_public));
    let reason = "valgrind 3.19 knows no AVX-512; the bodies are those that run on the others";
    trials.push(trial(format!("{}::all", Isa::Avx512.name()), Some(reason), || Ok(())));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: String, ignored: Option<&str>, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Trial {
    match ignored {
        Some(reason) => Trial::test(format!("{name} ({reason})"), run).with_ignored_flag(true),
        None => Trial::test(name, run),
    }
}

fn valgrind_absent() -> Option<&'static str> {
    let version = Command::new("valgrind").arg("--version").output();
    let present = version.is_ok_and(|output| output.status.success());
    (!present).then_some("valgrind is absent: install the package `valgrind`")
}

/// Valgrind's exit status, and what it and the kernel said.
fn watch(kernel: &str, isa: Isa, options: &[String]) -> Result<(Option<i32>, String), Failed> {
    let valgrind = ["--quiet", "--error-exitcode=99", "--track-origins=no"];
    let mut command = Command::new("valgrind");
    command.args(valgrind).args([env!("CARGO_BIN_EXE_taint"), kernel, isa.name()]).args(options);
    let output = command.output()?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn silent(kernel: &str, isa: Isa) -> Result<(), Failed> {
    match watch(kernel, isa, &[])? {
        (Some(0), _) => Ok(()),
        (status, said) => Err(format!("valgrind ended with {status:?}:\n{said}").into()),
    }
}

fn reported(isa: Isa, leak: &str, complaint: &str) -> Result<(), Failed> {
    match watch("expand", isa, &[format!("--leaky={leak}")])? {
        (Some(REPORTED), said) if said.contains(complaint) => Ok(()),
        (status, said) => Err(format!("the leak was not reported; valgrind ended with {status:?}:\n{said}").into()),
    }
}
