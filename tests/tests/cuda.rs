//! The CUDA engine without a GPU: its real host path over a stand-in for the driver that runs the unmodified kernels on
//! the host (`cargo test -p tensorguard-tests --test cuda`). Needs bash and g++; without them every case is ignored,
//! with the reason. Each case is a process of its own, which finds the stand-in through LD_LIBRARY_PATH.

use libtest_mimic::{Arguments, Failed, Trial};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

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
        ("every_call_that_fails_is_a_fault", every_call_that_fails_is_a_fault),
        ("jobs_that_follow_allocate_nothing", jobs_that_follow_allocate_nothing),
        ("copies_overlap_with_kernels", copies_overlap_with_kernels),
        ("where_memory_is_shared_inputs_are_not_copied_again", where_memory_is_shared_inputs_are_not_copied_again),
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
    // 8.0 has no image of its own and gets the text that its driver compiles. So does 7.5, whose blocks are too small for the largest
    // polynomials.
    for (capability, declined) in [("75", 4), ("80", 0), ("87", 0), ("90", 0), ("110", 0)] {
        let (said, log) = logged(driver, &["jobs"], &[("CAPABILITY", capability)])?;
        let count = |end: &str| said.lines().filter(|line| line.ends_with(end)).count();
        let all = said.lines().filter(|line| line.contains(": Ok")).count() + count("Declined outputs unchanged");
        expect(all == 16 && count("Declined outputs unchanged") == declined, || format!("{capability}: {said}"))?;
        let is_text = ["75", "80"].contains(&capability);
        let loaded = if is_text { "load text" } else { "load image" };
        expect(log.lines().filter(|line| line.starts_with("load")).all(|line| line == loaded), || log.clone())?;
    }
    Ok(())
}

fn large_polynomials_are_done_in_two_kernels(driver: &Path) -> Result<(), Failed> {
    let declined = |settings: &[_]| Ok::<_, Failed>(said(driver, &["large"], settings)?.matches("declined").count());
    // 8.6 has blocks of 99 KiB: too few for 32768 words and their errors, enough for 16384.
    expect(declined(&[])? == 0 && declined(&[("CAPABILITY", "86")])? == 1, || {
        "what is declined is not as it was".into()
    })
}

fn what_stays_on_the_device_is_the_same(driver: &Path) -> Result<(), Failed> {
    said(driver, &["resident"], &[]).map(drop)
}

fn what_is_absent_says_why(driver: &Path) -> Result<(), Failed> {
    let missing = "FAIL";
    for (settings, reason) in [
        (("DRIVER", "11030"), "11040 or later is needed"),
        (("CAPABILITY", "61"), "compute capability 6.1: 7.0 or later is needed"),
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
    // What is called like a driver and is none, or is one that lacks what is asked for.
    let folder = driver.join("no-driver");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("empty.cpp"), "")?;
    let library = folder.join("libcuda.so");
    let built = Command::new("g++").arg("-shared").arg("-o").arg(&library).arg(folder.join("empty.cpp")).status()?;
    expect(built.success(), || "g++ does not make an empty library".to_owned())?;
    let output = worker(&folder, &["look"], &[])?;
    let said = text(&output.stdout);
    expect(said.contains("absent (the CUDA driver has no cuInit: update it)"), || said + &text(&output.stderr))?;
    std::fs::write(&library, "no library")?;
    // This one hides a driver only where there is none; elsewhere this machine's own answers.
    let output = worker(&folder, &["look"], &[])?;
    let said = text(&output.stdout);
    expect(said.starts_with("absent (no CUDA driver") || said.starts_with("present"), || said + &text(&output.stderr))?;
    // Whoever asks for work without a device must not take silence for success.
    let output = worker(driver, &["suite"], &[("DEVICES", "0")])?;
    expect(output.status.code() == Some(3), || text(&output.stdout))
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
            // A block of memory that is refused was perhaps larger than needed: then a smaller one does.
            expect(faults > 0 || call > 2 || code == 2, context)?;
        }
    }
    Ok(())
}

/// A driver older than the compiler refuses the device's own image, and gets text. A device without one has text only.
fn an_image_that_is_refused_is_replaced_by_text(driver: &Path) -> Result<(), Failed> {
    for (capability, is_replaced) in [("90", true), ("80", false)] {
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

/// The worker's output, if it succeeded, and what the stand-in wrote down.
fn logged(driver: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Result<(String, String), Failed> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("tensorguard-cuda-shim-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let log = path.to_str().ok_or("the folder for temporary files has no plain name")?;
    let said = said(driver, arguments, &[settings, &[("LOG", log)]].concat())?;
    let lines = std::fs::read_to_string(&path)?;
    std::fs::remove_file(&path)?;
    Ok((said, lines))
}

fn nothing_leaks_and_no_secret_stays(driver: &Path) -> Result<(), Failed> {
    for job in ["jobs", "resident"] {
        for integrated in ["0", "1"] {
            let (said, lines) = logged(driver, &[job], &[("MARK", "30"), ("INTEGRATED", integrated)])?;
            let frees: Vec<&str> = lines.lines().filter(|line| line.starts_with("free")).collect();
            expect(frees.len() > 4 && !lines.contains("leak"), || lines.clone())?;
            expect(frees.iter().all(|line| line.ends_with("marks 0")), || format!("{job}: {said}{lines}"))?;
        }
    }
    Ok(())
}

/// Each call of the driver in turn, by every job; then each piece of work on a stream, which fails later, when somebody waits.
fn every_call_that_fails_is_a_fault(driver: &Path) -> Result<(), Failed> {
    let functions =
        ["cuLaunchKernel", "cuMemAlloc_v2", "cuMemHostAlloc", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"];
    for job in ["ntt", "pad", "seal", "encrypt", "sum", "decrypt", "mask", "unmask"] {
        for (setting, code, mark) in [("SWEEP", "2", "swept"), ("SWEEP", "719", "swept"), ("CRASH", "719", "crashed")] {
            let (said, log) = logged(driver, &["sweep", job], &[(setting, code)])?;
            let failures = count(&log, mark);
            let faults: usize = said.trim().strip_suffix(" faults").and_then(|faults| faults.parse().ok()).unwrap_or(0);
            let context = || format!("{job} with {setting} {code}: {failures} failures, {faults} faults");
            // Fewer than tries, so every call was made to fail. What fails when memory is given back has no consequence.
            expect((5..240).contains(&failures) && faults <= failures && 4 * faults > failures, context)?;
            let missing = functions.iter().find(|function| !log.contains(&format!("swept {function}")));
            let missing = missing.filter(|_| setting == "SWEEP");
            expect(missing.is_none(), || format!("{job}: {missing:?} was never made to fail"))?;
        }
    }
    Ok(())
}

fn count(log: &str, beginning: &str) -> usize {
    log.lines().filter(|line| line.starts_with(beginning)).count()
}

/// Memory is asked for by the first jobs. An allocation stops the device, and freeing does, so that copies would not overlap.
fn jobs_that_follow_allocate_nothing(driver: &Path) -> Result<(), Failed> {
    for job in ["ntt", "pad", "seal", "encrypt", "sum", "decrypt", "mask"] {
        let counts = |times: &str| -> Result<[usize; 2], Failed> {
            let (_, log) = logged(driver, &["repeat", job, times], &[])?;
            Ok([count(&log, "allocate"), count(&log, "free")])
        };
        let (few, many) = (counts("2")?, counts("6")?);
        expect(few == many && few[0] > 0, || format!("{job}: twice {few:?}, six times {many:?}"))?;
    }
    Ok(())
}

/// A job in pieces has work under way on one stream whenever it waits for the other, but for the last time.
fn copies_overlap_with_kernels(driver: &Path) -> Result<(), Failed> {
    for job in ["encrypt", "sum", "decrypt"] {
        let (_, log) = logged(driver, &["repeat", job, "1"], &[])?;
        let stream = |line: &str| line.rsplit_once(" on ").map(|(_, number)| number.to_owned());
        let working: BTreeSet<String> =
            log.lines().filter(|line| line.starts_with("launch")).filter_map(stream).collect();
        expect(working.len() == 2, || format!("{job} works on streams {working:?}\n{log}"))?;
        let (mut busy, mut alone) = (BTreeSet::new(), 0);
        for line in log.lines() {
            let Some(stream) = stream(line).filter(|stream| working.contains(stream)) else { continue };
            if !line.starts_with("wait") {
                busy.insert(stream);
            } else if busy.remove(&stream) {
                alone += usize::from(busy.is_empty());
            }
        }
        expect(alone == 1, || format!("{job} waits {alone} times with nothing else under way\n{log}"))?;
    }
    Ok(())
}

/// What is sent, in copies: rows of a sum go in one for each piece; and on Jetson what is read once goes in none.
fn where_memory_is_shared_inputs_are_not_copied_again(driver: &Path) -> Result<(), Failed> {
    // Two kinds of each: accumulator and rows; factors, pad and digits; factors, seed and digits; factors, secret and accumulator.
    for (job, pieces, own, shared) in [("sum", 2, 2, 1), ("seal", 1, 3, 1), ("encrypt", 6, 3, 2), ("decrypt", 6, 3, 2)]
    {
        for (integrated, sends) in [("0", own), ("1", shared)] {
            let (_, log) = logged(driver, &["repeat", job, "2"], &[("INTEGRATED", integrated)])?;
            let (_, less) = logged(driver, &["repeat", job, "1"], &[("INTEGRATED", integrated)])?;
            // Roots are sent by the first job only.
            let found = count(&log, "send") - count(&less, "send");
            expect(found == pieces * sends, || {
                format!("{job}, integrated {integrated}: {found} copies to the device")
            })?;
        }
    }
    Ok(())
}
