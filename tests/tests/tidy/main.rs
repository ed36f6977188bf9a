//! The repository's habits as an ordinary test. Each check says how to mend what it finds.
//!
//! Checks are functions from text to complaints, so that [`every_check_can_fail`] can feed them bad text.

mod checks;
mod source;
mod tree;

use checks::*;
use std::collections::BTreeSet;
use std::fs;
use tree::*;

/// Who may depend on whom, dev-dependencies included. Arrows point down only.
const LAYERS: &[(&str, &[&str])] = &[
    ("tensorguard-ntt", &[]),
    ("tensorguard-kernels", &["tensorguard-ntt"]),
    ("tensorguard-shaders", &["tensorguard-ntt", "tensorguard-kernels"]),
    ("tensorguard-cuda", &["tensorguard-ntt", "tensorguard-kernels"]),
    ("tensorguard-lwe", &["tensorguard-ntt", "tensorguard-kernels"]),
    ("tensorguard-folding", &["tensorguard-ntt", "tensorguard-kernels", "tensorguard-lwe"]),
    ("tensorguard-trust", &["tensorguard-ntt", "tensorguard-kernels", "tensorguard-lwe"]),
    ("tensorguard-workload", &[]),
    ("tensorguard-protocol", &["tensorguard-kernels", "tensorguard-folding"]),
    ("tensorguard-link", &["tensorguard-protocol"]),
    (
        "tensorguard-fleet-server",
        &["tensorguard-kernels", "tensorguard-folding", "tensorguard-protocol", "tensorguard-link"],
    ),
    (
        "tensorguard-fleet-client",
        &[
            "tensorguard-kernels",
            "tensorguard-folding",
            "tensorguard-trust",
            "tensorguard-protocol",
            "tensorguard-link",
        ],
    ),
    (
        "tensorguard-fleet-keyholder",
        &["tensorguard-kernels", "tensorguard-folding", "tensorguard-protocol", "tensorguard-link"],
    ),
    ("tensorguard-fleet-tests", &[ANY]),
    ("tensorguard", &[ANY]),
    ("tensorguard-tests", &[ANY]),
];
const ANY: &str = "any package but tensorguard-tests";

/// What a library takes from outside. One more needs a decision record; a GPU's comes with its own package.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("tensorguard-ntt", &[]),
    ("tensorguard-kernels", &["rayon", "zeroize"]),
    ("tensorguard-trust", &["ed25519-dalek", "minicbor", "ml-dsa", "rand_core", "sha2", "zeroize"]),
    (
        "tensorguard-workload",
        &["candle-core", "candle-nn", "libm", "rand", "safetensors", "serde", "serde_json", "sha2"],
    ),
];

/// Names that say nothing about what is there.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager"];

/// What comes before the version where somebody is told to install the instruction counter.
const COUNTER: &str = "gungraun-runner --version ";

/// The rooms. A new one needs a decision record in docs/adr.
const TOP_LEVEL: &[&str] = &[
    ".ci",
    "bench-harness",
    "cuda",
    "docs",
    "fleet",
    "folding",
    "kernels",
    "lwe",
    "ntt",
    "results",
    "scripts",
    "shaders",
    "tests",
    "trust",
];

/// Folders nobody commits, at any depth.
const SKIPPED: &[&str] = &[".git", ".cache", "target", "__pycache__"];

/// The only files that may say `unsafe`.
const UNSAFE_FILES: &[&str] = &[
    "cuda/src/calls.rs",
    "cuda/src/driver.rs",
    "cuda/src/launch.rs",
    "kernels/src/cpu/avx2.rs",
    "kernels/src/cpu/avx512.rs",
    "kernels/src/cpu/avx512/fused.rs",
    "kernels/src/cpu/avx512/rounds.rs",
    "kernels/src/cpu/memory.rs",
    "kernels/src/cpu/neon.rs",
    "tests/src/taint.rs",
];

/// The folders that hold one file per kernel, and what else may lie there.
const KERNEL_FOLDERS: &[&str] = &["kernels/src/cpu", "shaders/wgsl", "cuda/kernels"];
const NOT_KERNELS: &[(&str, &str)] = &[
    ("avx2", "an instruction set, not a kernel"),
    ("avx512", "an instruction set, not a kernel"),
    ("neon", "an instruction set, not a kernel"),
    ("portable", "the plain lanes, not a kernel"),
    ("tail", "the last stages of ntt, within a register"),
    ("simd", "the trait the bodies are written over"),
    ("mod", "the engine itself"),
    ("memory", "aligned buffers"),
    ("threads", "spreading a batch over threads"),
    ("ceiling", "what a device can do, to hold kernels against"),
    ("words", "word helpers the GPU kernels include"),
    ("mul_limbs", "the high half of a product, from 16-bit limbs"),
    ("mul_native", "the high half of a product, from 64-bit integers"),
];

/// Clocks, files, the environment and the terminal belong to a binary.
const LIBRARY_ROOMS: &[&str] =
    &["ntt/src", "kernels/src", "lwe/src", "folding/src", "trust/src", "shaders/src", "cuda/src", "fleet/protocol/src"];
const NOT_IN_LIBRARIES: &[&str] = &[
    "println!",
    "eprintln!",
    "print!",
    "eprint!",
    "dbg!",
    "env::",
    "std::env",
    "fs::",
    "std::fs",
    "std::net",
    "std::process",
    "Instant",
    "SystemTime",
];

/// Rooms in which no key of an update can be: what they may not even name, nor import without naming it.
const KEYLESS_ROOMS: &[&str] = &["fleet/server/src", "fleet/protocol/src", "fleet/link/src"];
const KEYS: &[&str] = &["HolderKey", "MessageKey", "FleetSharedKey", "Secret", "Pads", "Keys", "lwe::*", "folding::*"];

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const ENTRY_BYTES: u64 = 5_000_000;
/// Path, or path::function; the lines allowed; and why it is better long.
const LONG: &[(&str, usize, &str)] = &[];

type Complaints = Vec<String>;

#[test]
fn layers_point_down() {
    let mut complaints = Vec::new();
    for (package, dependencies) in workspace_packages().iter().map(|p| (name(p), local_dependencies(p))) {
        complaints.extend(edges(&package, &dependencies));
    }
    report("Move the code down a layer, or pass what it needs as a parameter (docs/ARCHITECTURE.md).", &complaints);
}

#[test]
fn libraries_take_few_packages_from_outside() {
    let mut complaints = Vec::new();
    for package in workspace_packages() {
        complaints.extend(outside(&name(&package), &outside_dependencies(&package)));
    }
    report("Do without, or write a record in docs/adr and add it to OUTSIDE.", &complaints);
}

#[test]
fn the_instruction_counter_has_one_version() {
    let lock = read("Cargo.lock");
    let locked = lock.split("name = \"gungraun\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let complaints = over(&source_files(), |path, text| other_versions(path, text, locked.unwrap_or("none")));
    report("Name the version of gungraun that is in Cargo.lock.", &complaints);
}

#[test]
fn names_state_facts() {
    let complaints = over(&source_files(), empty_names);
    report("Call it by what it holds or does.", &complaints);
    let complaints = over(&rust_files(), bool_parameters);
    report("Take an enum, whose variants say what `true` would mean.", &complaints);
}

#[test]
fn packages_share_lints_and_minimum_rust_version() {
    let mut complaints = Vec::new();
    let clippy = read("clippy.toml");
    for package in workspace_packages() {
        let version = package["rust_version"].as_str().unwrap_or("none");
        if !clippy.contains(&format!("msrv = \"{}\"", version.trim_end_matches(".0"))) {
            complaints.push(format!("{}: rust-version {version} is not the msrv of clippy.toml", name(&package)));
        }
        let manifest = fs::read_to_string(package["manifest_path"].as_str().expect("a path")).expect("a manifest");
        if !manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{}: Cargo.toml lacks `[lints] workspace = true`", name(&package)));
        }
    }
    report("Write `rust-version.workspace = true` and `[lints]` / `workspace = true` in the manifest.", &complaints);
}

#[test]
fn unsafe_stays_in_its_rooms() {
    let complaints = over(&rust_files(), unsafe_words);
    report("Write it without `unsafe`, or move it behind a function of a file in UNSAFE_FILES.", &complaints);
    let complaints = over(&rust_files(), unsafe_promise);
    report("Open the file with a `//!` line that says who promises what to whom.", &complaints);
}

#[test]
fn the_neon_shell_divides_nothing() {
    // The other shells are looked at as machine code: tests/constant_time/divisions.rs.
    let complaints = over(&["kernels/src/cpu/neon.rs".into()], divisions);
    report("Divide by a multiplication: the operands may be secret.", &complaints);
}

#[test]
fn libraries_have_no_clock_terminal_or_files() {
    let complaints = over(&rust_files(), library_words);
    report("Take the value as a parameter, or move the line to a binary (bench-harness).", &complaints);
}

#[test]
fn the_server_cannot_name_a_key() {
    let complaints = over(&rust_files(), key_words);
    report("Move the line to the key holder or the robot: the server works on sealed uploads only.", &complaints);
}

#[test]
fn numbers_and_the_reference_have_no_floats() {
    let complaints = over(&rust_files(), float_words);
    report("Use integers: engines are compared bit for bit. Floats belong to folding and bench-harness.", &complaints);
}

#[test]
fn engines_have_the_same_kernel_files() {
    let folders: Vec<_> = KERNEL_FOLDERS.iter().filter_map(|folder| Some((*folder, stems(folder)?))).collect();
    report(
        "Add or rename the file so that each kernel has one name in every engine; if it is no kernel, list it in NOT_KERNELS.",
        &stem_differences(&folders),
    );
}

#[test]
fn files_and_functions_are_short() {
    let mut complaints = over(&source_files(), long_files);
    complaints.extend(over(&source_files(), long_functions));
    for (what, _, _) in LONG {
        let path = what.split("::").next().unwrap_or(what);
        if !root().join(path).is_file() {
            complaints.push(format!("LONG names {what}, which is gone"));
        }
    }
    report(
        "Split it where the subject changes. If it reads better whole, add it to LONG with the reason.",
        &complaints,
    );
}

#[test]
fn readme_figures_name_existing_results() {
    let ids = results_ids();
    report(
        "End the row with the `results/<id>` that holds its samples, or remove the figure.",
        &unsourced(&read("README.md"), &ids),
    );
    let pages = text_files().into_iter().filter(|path| path.ends_with(".md") && !path.starts_with("results/"));
    let complaints = over(&pages.collect::<Vec<_>>(), |path, text| unknown_results(path, text, &ids));
    report("Name a folder that exists under results/.", &complaints);
}

#[test]
fn results_are_complete_and_small() {
    let mut complaints = Vec::new();
    for id in results_ids() {
        let folder = root().join("results").join(&id);
        complaints.extend(result_name(&id));
        for file in ["samples.jsonl", "result.json", "summary.md"] {
            if !folder.join(file).is_file() {
                complaints.push(format!("results/{id}: {file} is missing"));
            }
        }
        let bytes: u64 = walk(&folder).iter().map(|file| fs::metadata(file).map_or(0, |data| data.len())).sum();
        if bytes > ENTRY_BYTES {
            complaints.push(format!("results/{id}: {bytes} bytes"));
        }
    }
    report(
        "An entry is <date>-<machine>-<what>/{samples.jsonl,result.json,summary.md}, at most 5 MB in all.",
        &complaints,
    );
}

#[test]
fn no_path_of_somebodys_machine() {
    let complaints = over(&text_files(), machine_paths);
    report("Write the path relative to the repository's root.", &complaints);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let pages: Vec<_> = text_files().into_iter().filter(|path| path.ends_with(".md")).collect();
    let complaints = over(&pages, dead_links);
    report("Correct the link, or write the page.", &complaints);
}

#[test]
fn no_room_without_a_decision() {
    let entries = fs::read_dir(root()).expect("the root is readable").flatten();
    let folders =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let complaints: Vec<_> = folders
        .filter(|folder| !TOP_LEVEL.contains(&folder.as_str()) && !SKIPPED.contains(&folder.as_str()))
        .map(|folder| format!("{folder}/ is not a room of docs/ARCHITECTURE.md"))
        .collect();
    report("Put it into an existing room; a new one needs a record in docs/adr and a line in TOP_LEVEL.", &complaints);
}

#[test]
fn every_check_can_fail() {
    assert!(!edges("tensorguard-ntt", &["tensorguard-kernels".into()]).is_empty());
    assert!(!edges("tensorguard", &["tensorguard-tests".into()]).is_empty());
    assert!(!edges("tensorguard-new", &[]).is_empty());
    assert!(edges("tensorguard-kernels", &["tensorguard-ntt".into()]).is_empty());
    assert!(!outside("tensorguard-kernels", &["wgpu".into()]).is_empty());
    assert!(outside("tensorguard", &["clap".into()]).is_empty());
    assert!(!other_versions("a.rs", &format!("{COUNTER}0.1.0"), "0.2.0").is_empty());
    assert!(!empty_names("kernels/src/utils.rs", "").is_empty());
    assert!(!empty_names("kernels/src/lib.rs", "pub mod helpers;").is_empty());
    assert!(!empty_names("kernels/src/lib.rs", "struct KeyManager;").is_empty());
    assert!(empty_names("kernels/src/lib.rs", "// common\nfn commonly() {}").is_empty());
    assert!(!bool_parameters("a.rs", "fn f(x: u8, fast: bool) {}").is_empty());
    assert!(bool_parameters("a.rs", "fn f<const WIDE: bool>(x: u8) {}").is_empty());
    assert!(bool_parameters("a.rs", "fn f(x: u8) -> bool { let y: bool = g(); y }").is_empty());
    assert!(!unsafe_words("ntt/src/plan.rs", "fn f() { unsafe { g() } }").is_empty());
    assert!(unsafe_words("ntt/src/plan.rs", "// unsafe\nconst S: &str = \"unsafe\";").is_empty());
    assert!(!unsafe_promise("kernels/src/cpu/avx2.rs", "//! Fast.\nfn f() {}").is_empty());
    assert_eq!(divisions("a.rs", "// 1 / 2\nfn f(x: u32) -> u32 { x / 3 % 2 }").len(), 2);
    assert!(!library_words("kernels/src/lib.rs", "fn f() { println!(\"x\"); }").is_empty());
    assert!(library_words("kernels/src/lib.rs", "#[cfg(test)]\nmod tests { fn f() { println!(\"x\"); } }").is_empty());
    assert!(!key_words("fleet/server/src/desk.rs", "use lwe::HolderKey;").is_empty());
    assert!(!key_words("fleet/server/src/desk.rs", "use lwe::*;").is_empty());
    assert!(key_words("fleet/keyholder/src/open.rs", "use lwe::HolderKey;").is_empty());
    assert!(!float_words("ntt/src/plan.rs", "fn f(x: f64) {}").is_empty());
    assert!(!float_words("kernels/src/reference.rs", "fn f() { g(0.5); }").is_empty());
    assert!(float_words("ntt/src/plan.rs", "fn f() { for i in 0..2 { g(pair.0.1); } }").is_empty());
    let folders = [("a", BTreeSet::from(["ntt".to_string()])), ("b", BTreeSet::from(["nnt".to_string()]))];
    assert_eq!(stem_differences(&folders).len(), 2);
    assert!(!long_files("ntt/src/plan.rs", &"\n".repeat(FILE_LINES + 1)).is_empty());
    let long =
        format!("fn f<'a>(x: &'a [u8; 3]) -> char {{ '{{' }}\nfn g() {{\n{}}}", "    h();\n".repeat(FUNCTION_LINES));
    assert_eq!(
        long_functions("ntt/src/plan.rs", &long),
        [format!("ntt/src/plan.rs::g has {} lines", FUNCTION_LINES + 2)]
    );
    let ids = BTreeSet::from(["2026-01-02-box-ntt".to_string()]);
    assert!(!unsourced("| ntt | 1.31 x | no source |", &ids).is_empty());
    assert!(!unsourced("| ntt | 1.31 x | results/2026-01-02-gone |", &ids).is_empty());
    assert!(unsourced("| ntt | 1.31 x | `results/2026-01-02-box-ntt` |", &ids).is_empty());
    assert!(!unsourced("Ours is 1.31 x\nfaster.\n\nSee `results/2026-01-02-box-ntt`.", &ids).is_empty());
    assert!(!unsourced("It reads 7.5 GB/s.", &ids).is_empty());
    assert!(unsourced("Ours is 1.31 x\nfaster: `results/2026-01-02-box-ntt`.", &ids).is_empty());
    assert!(!unknown_results("a.md", "see results/2026-01-02-gone.", &ids).is_empty());
    assert!(!result_name("today").is_empty());
    assert!(!machine_paths("a.md", concat!("in /ho", "me/me/x")).is_empty());
    assert!(machine_paths("a.md", concat!("https://x.org/ho", "me/me")).is_empty());
    assert!(!dead_links("README.md", "[x](docs/NOWHERE.md)").is_empty());
}

fn report(mend: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n\n{mend}\n", complaints.join("\n"));
}
