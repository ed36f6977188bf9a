//! Tells the program which commit it is built from, and whether tracked files that go into it differed from that. It runs again once one of
//! these files changes, or another commit is checked out; then this package alone is compiled anew.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What no program is made of, so that a change of it makes none anew.
const NO_PART: [&str; 6] = [
    ":(exclude)docs",
    ":(exclude)results",
    ":(exclude)scripts",
    ":(exclude).ci",
    ":(exclude,glob)**/*.md",
    ":(exclude,glob)**/tests/**/*.rs",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    // An archive knows no commit, and then the program knows none.
    let commit = package.parent().and_then(commit);
    if let Some(commit) = &commit {
        println!("cargo::rustc-env=TENSORGUARD_COMMIT={commit}");
    }
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=TENSORGUARD_VERSION={version}, commit {}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit of the checkout in `top`, and `+changes` where its files differ from it.
fn commit(top: &Path) -> Option<String> {
    // Not that of a checkout in which an archive was unpacked.
    let found = PathBuf::from(git(top, &["rev-parse", "--show-toplevel"])?);
    if found.canonicalize().ok()? != top.canonicalize().ok()? {
        return None;
    }
    let commit = git(top, &["rev-parse", "HEAD"])?;
    let files = git(top, &parts(&["ls-files", "-z"]))?;
    for file in files.split('\0').filter(|file| !file.is_empty()) {
        println!("cargo::rerun-if-changed={}", top.join(file).display());
    }
    watch_head(top);
    let changes = git(top, &parts(&["status", "--porcelain", "--untracked-files=no"]))?;
    Some(if changes.is_empty() { commit } else { commit + "+changes" })
}

/// A command about what a program is made of.
fn parts<'a>(command: &[&'a str]) -> Vec<&'a str> {
    command.iter().copied().chain(["--", "."]).chain(NO_PART).collect()
}

/// Each commit and checkout is a line in the log of HEAD; where there is none, the branches are watched.
fn watch_head(top: &Path) {
    let watch = |name: &str| {
        let path = git(top, &["rev-parse", "--git-path", name]).map(|path| top.join(path)).filter(|path| path.exists());
        path.iter().for_each(|path| println!("cargo::rerun-if-changed={}", path.display()));
        path.is_some()
    };
    if !watch("logs/HEAD") {
        for name in ["HEAD", "refs/heads", "packed-refs"] {
            watch(name);
        }
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    // It must not write to the index that others may be writing to.
    let output = Command::new("git").arg("--no-optional-locks").arg("-C").arg(folder).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
