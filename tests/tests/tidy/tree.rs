//! Reading the tree.

use crate::{Complaints, NOT_KERNELS, SKIPPED};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}. Write it."))
}

pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
        } else if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// All files in the tree that are text, relative to the root, with forward slashes.
pub(crate) fn text_files() -> Vec<String> {
    let files = walk(&root()).into_iter().filter(|file| fs::read_to_string(file).is_ok());
    files.map(|file| file.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/")).collect()
}

pub(crate) fn rust_files() -> Vec<String> {
    text_files().into_iter().filter(|path| path.ends_with(".rs")).collect()
}

pub(crate) fn source_files() -> Vec<String> {
    let is_source = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_script = path.starts_with(".ci/") || path.starts_with("scripts/");
        is_script || [".rs", ".wgsl", ".cu", ".cuh", ".py", ".sh"].iter().any(|end| name.ends_with(end))
    };
    text_files().into_iter().filter(is_source).collect()
}

pub(crate) fn over(paths: &[String], check: impl Fn(&str, &str) -> Complaints) -> Complaints {
    paths.iter().flat_map(|path| check(path, &read(path))).collect()
}

/// The kernels of a folder; `None` where the folder does not exist yet.
pub(crate) fn stems(folder: &str) -> Option<BTreeSet<String>> {
    let entries = fs::read_dir(root().join(folder)).ok()?.flatten();
    let stems = entries.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()));
    Some(stems.filter(|stem| stem != "mod" && !NOT_KERNELS.iter().any(|(other, _)| other == stem)).collect())
}

pub(crate) fn results_ids() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("results")).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

pub(crate) fn workspace_packages() -> Vec<serde_json::Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version=1"];
    let output = std::process::Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

pub(crate) fn name(package: &serde_json::Value) -> String {
    package["name"].as_str().expect("a name").into()
}

/// Dependencies inside the repository, of any kind (normal, dev, build).
pub(crate) fn local_dependencies(package: &serde_json::Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("a list");
    let local: BTreeMap<_, _> = dependencies.iter().filter(|d| d["path"].is_string()).map(|d| (name(d), ())).collect();
    local.into_keys().collect()
}

/// Dependencies from outside the repository that the package itself is built with: no dev-dependencies.
pub(crate) fn outside_dependencies(package: &serde_json::Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().expect("a list");
    dependencies.iter().filter(|d| !d["path"].is_string() && d["kind"] != "dev").map(name).collect()
}
