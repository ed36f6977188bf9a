//! The CUDA engine without a GPU: its real host path over a stand-in for the driver that runs the unmodified kernels on
//! the host (`cargo test -p tensorguard-tests --test cuda`). Needs bash and g++; without them every case is ignored,
//! with the reason. Each case is a process of its own, which finds the stand-in through LD_LIBRARY_PATH.

use libtest_mimic::{Arguments, Failed, Trial};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn main() {
    let arguments = Arguments::from_args();
    let driver = if arguments.list { Err("only listed".into()) } else { build() };
    type Check = fn(&Path) -> Result<(), Failed>;
    let checks: &[(&str, Check)] = &[
        ("the_whole_suite_passes", |driver| the_whole_suite_passes(driver, "suite", "0")),
        ("the_whole_suite_passes_as_on_a_jetson", |driver| the_whole_suite_passes(driver, "suite", "1")),
        ("the_whole_suite_passes_in_pieces", |driver| the_whole_suite_passes(driver, "pieces", "0")),
        ("the_whole_suite_passes_in_pieces_as_on_a_jetson", |driver| the_whole_suite_passes(driver, "pieces", "1")),
        ("every_image_has_every_kernel", every_image_has_every_kernel),
        ("large_polynomials_are_done_in_two_kernels", large_polynomials_are_done_in_two_kernels),
        ("what_stays_on_the_device_is_the_same", what_stays_on_the_device_is_the_same),
        ("what_is_absent_says_why", what_is_absent_says_why),
        ("a_failure_is_a_fault_and_changes_no_output", a_failure_is_a_fault_and_changes_no_output),
        ("an_image_that_is_refused_is_replaced_by_text", an_image_that_is_refused_is_replaced_by_text),
        ("little_memory_is_out_of_memory", little_memory_is_out_of_memory),
        ("a_missing_barrier_is_caught", a_missing_barrier_is_caught),
        ("nothing_leaks_and_no_secret_stays", nothing_leaks_and_no_secret_stays),
    ];
    let trials = checks.iter().map(|&(name, check)| match &driver {
        Ok(folder) => {
            let folder = folder.clone();
            Trial::test(name, move || check(&folder))
        }
        Err(reason) => Trial::test(format!("{name} ({reason})"), || Ok(())).with_ignored_flag(true),
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// The folder of the stand-in. A source that does not compile is a failure; a missing compiler is not.
fn build() -> Result<PathBuf, String> {
    for tool in ["bash", "g++"] {
        if Command::new(tool).arg("--version").output().is_err() {
            return Err(format!("{tool} is absent"));
        }
    }
    Ok(shim(&[]))
}

/// Runs scripts/cuda-shim with these options.
fn shim(options: &[&str]) -> PathBuf {
    let script = root().join("scripts/cuda-shim");
    let output = Command::new("bash").arg(script).args(options).output().expect("bash runs, as just seen");
    assert!(output.status.success(), "scripts/cuda-shim: {}", text(&output.stderr));
    text(&output.stdout).trim().into()
}

/// Runs the worker with the stand-in and these TENSORGUARD_SHIM_ settings.
fn worker(driver: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Result<Output, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cuda_worker"));
    command.args(arguments).env("LD_LIBRARY_PATH", driver);
    command.envs(settings.iter().map(|(name, value)| (format!("TENSORGUARD_SHIM_{name}"), value)));
    Ok(command.output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The worker's output, if it succeeded.
fn said(driver: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Result<String, Failed> {
    let output = worker(driver, arguments, settings)?;
    if !output.status.success() {
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        return Err(format!("{arguments:?} with {settings:?}: {}\n{out}{errors}", output.status).into());
    }
    Ok(text(&output.stdout))
}

fn expect(condition: bool, message: impl FnOnce() -> String) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(message().into()) }
}

/// Whole, or with every job of more than a polynomial in pieces, whose memory lies apart; on memory of its own, or on the
/// host's, as a Jetson does.
fn the_whole_suite_passes(driver: &Path, how: &str, integrated: &str) -> Result<(), Failed> {
    let said = said(driver, &[how], &[("INTEGRATED", integrated)])?;
    expect(said.contains(&format!("{0} of {0} cases passed", tensorguard_tests::SUITE.len())), || said)
}

fn every_image_has_every_kernel(driver: &Path) -> Result<(), Failed> {
    // 7.5 has no image of its own and gets the text that its driver compiles.
    for capability in ["75", "87", "90", "110"] {
        let said = said(driver, &["jobs"], &[("CAPABILITY", capability)])?;
        expect(said.lines().count() == 16 && said.lines().all(|line| line.contains(": Ok")), || said)?;
    }
    Ok(())
}

fn large_polynomials_are_done_in_two_kernels(driver: &Path) -> Result<(), Failed> {
    said(driver, &["large"], &[]).map(drop)
}

fn what_stays_on_the_device_is_the_same(driver: &Path) -> Result<(), Failed> {
    said(driver, &["resident"], &[]).map(drop)
}

fn what_is_absent_says_why(driver: &Path) -> Result<(), Failed> {
    let missing = "FAIL";
    for (settings, reason) in [
        (("DEVICES", "0"), "sees no device"),
        ((missing, "cuInit:1:100"), "does not start"),
        ((missing, "cuDeviceGetAttribute:1:1"), "does not describe itself"),
        ((missing, "cuDevicePrimaryCtxRetain:1:2"), "no CUDA context"),
        ((missing, "cuStreamCreate:1:2"), "gives no stream"),
    ] {
        let said = said(driver, &["look"], &[settings])?;
        expect(said.starts_with("absent (") && said.contains(reason), || format!("{settings:?}: {said}"))?;
    }
    let said = said(driver, &["look"], &[])?;
    expect(said.starts_with("present") && said.contains("host shim, no device"), || said)?;
    // An empty folder hides a driver only where there is none; elsewhere this machine's own answers.
    let nowhere = driver.join("nowhere");
    let output = worker(&nowhere, &["look"], &[])?;
    expect(output.status.success(), || text(&output.stderr))
}

/// Functions that a job calls, each made to fail once, at several of its calls. 719 is a kernel that crashed.
fn a_failure_is_a_fault_and_changes_no_output(driver: &Path) -> Result<(), Failed> {
    for (function, code, fault) in [
        ("cuMemAlloc_v2", 2, "OutOfMemory"),
        ("cuMemHostAlloc", 2, "OutOfMemory"),
        ("cuStreamCreate", 2, "OutOfMemory"),
        ("cuModuleGetFunction", 500, "Declined"),
        ("cuLaunchKernel", 701, "Declined"),
        ("cuLaunchKernel", 719, "DeviceLost"),
        // A code that CUDA 11.4 does not have.
        ("cuLaunchKernel", 721, "DeviceLost"),
        ("cuMemcpyHtoDAsync_v2", 700, "DeviceLost"),
        ("cuMemcpyDtoHAsync_v2", 700, "DeviceLost"),
        ("cuMemsetD8Async", 700, "DeviceLost"),
        ("cuStreamSynchronize", 719, "DeviceLost"),
        ("cuCtxSetCurrent", 201, "DeviceLost"),
    ] {
        for call in [2, 3, 5, 9] {
            let said = said(driver, &["jobs"], &[("FAIL", &format!("{function}:{call}:{code}"))])?;
            let wrong = |line: &str| !line.contains(": Ok") && !line.ends_with("outputs unchanged");
            let context = || format!("{function}, call {call}:\n{said}");
            expect(!said.lines().any(wrong), context)?;
            let faults = said.lines().filter(|line| !line.contains(": Ok")).count();
            // A lost device stays lost; anything else concerns one job. Not every function is called that often.
            let sticky = fault == "DeviceLost";
            expect(faults == 0 || (sticky || faults == 1) && said.contains(fault), context)?;
            expect(faults > 0 || call > 2, context)?;
        }
    }
    Ok(())
}

/// A driver older than the compiler refuses the device's own image, and gets text. A device without one has text only.
fn an_image_that_is_refused_is_replaced_by_text(driver: &Path) -> Result<(), Failed> {
    for (capability, is_replaced) in [("90", true), ("75", false)] {
        let settings = [("CAPABILITY", capability), ("FAIL", "cuModuleLoadData:1:200")];
        let said = said(driver, &["jobs"], &settings)?;
        let faults: Vec<&str> = said.lines().filter(|line| !line.contains(": Ok")).collect();
        let expected: &[&str] = if is_replaced { &[] } else { &["ntt: Declined outputs unchanged"] };
        expect(faults == expected, || said.clone())?;
    }
    Ok(())
}

fn little_memory_is_out_of_memory(driver: &Path) -> Result<(), Failed> {
    let said = said(driver, &["jobs"], &[("MEMORY", "400000")])?;
    let fine = |line: &str| line.contains(": Ok") || line.ends_with("OutOfMemory outputs unchanged");
    expect(said.lines().all(fine) && said.contains("OutOfMemory") && said.contains(": Ok"), || said)
}

/// Two of the mutants of scripts/cuda-mutants, which removes every barrier in turn.
fn a_missing_barrier_is_caught(driver: &Path) -> Result<(), Failed> {
    for (kernel, barrier) in [("ntt", "__syncwarp();"), ("sum", "__syncthreads();")] {
        let (folder, file) = (driver.join(format!("without-{kernel}")), format!("{kernel}.cu"));
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(root().join("cuda/kernels"))?.flatten() {
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        let whole = std::fs::read_to_string(folder.join(&file))?;
        expect(whole.contains(barrier), || format!("{file} has no {barrier}"))?;
        std::fs::write(folder.join(&file), whole.replacen(barrier, "", 1))?;
        let path = folder.to_str().expect("a plain path");
        let broken = shim(&["--kernels", path, "--into", path]);
        let said = text(&worker(&broken, &["suite", &format!("{kernel}::")], &[])?.stdout);
        expect(said.contains(&format!("failed {kernel}::")), || format!("{file} without {barrier} passes: {said}"))?;
    }
    Ok(())
}

fn nothing_leaks_and_no_secret_stays(driver: &Path) -> Result<(), Failed> {
    let log = std::env::temp_dir().join(format!("tensorguard-cuda-shim-{}", std::process::id()));
    for integrated in ["0", "1"] {
        let path = log.to_str().expect("a plain path");
        let said = said(driver, &["jobs"], &[("LOG", path), ("MARK", "30"), ("INTEGRATED", integrated)])?;
        let lines = std::fs::read_to_string(&log)?;
        std::fs::remove_file(&log)?;
        let frees: Vec<&str> = lines.lines().filter(|line| line.starts_with("free")).collect();
        expect(frees.len() > 4 && !lines.contains("leak"), || lines.clone())?;
        expect(frees.iter().all(|line| line.ends_with("marks 0")), || format!("{said}{lines}"))?;
    }
    Ok(())
}
