//! Builds the command as it was at another commit, in a worktree of its own below `target/`.

use crate::failure::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A base that can be run.
#[derive(Clone, Debug)]
pub struct Base {
    /// The program.
    pub program: PathBuf,
    /// Which commit it was built from, or that somebody gave it.
    pub what: String,
}

/// A program that is there already.
///
/// # Errors
/// [`Failure::Usage`] where it is not.
pub fn given(program: &Path) -> Result<Base, Failure> {
    let shown = program.display();
    let program = fs::canonicalize(program).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
    Ok(Base { program, what: format!("program {shown}") })
}

/// Builds the commit that `reference` names, unless it was built before.
///
/// # Errors
/// [`Failure::Usage`] where there is no checkout or no such commit; [`Failure::Internal`] where it does not build.
pub fn build(reference: &str) -> Result<Base, Failure> {
    let top = said(Command::new("git").args(["rev-parse", "--show-toplevel"]))
        .map_err(|why| Failure::Usage(format!("--base needs a checkout: {why}; or give --base-binary")))?;
    let commit = said(
        Command::new("git")
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(format!("{reference}^{{commit}}")),
    )
    .map_err(|_| Failure::Usage(format!("there is no commit {reference}; in CI, fetch the whole history")))?;
    let place = Path::new(&top).join("target/ab");
    let program = place.join("base").join(&commit).join("tensorguard");
    let base = Base { program, what: format!("commit {commit}") };
    if base.program.is_file() {
        return Ok(base);
    }
    let tree = place.join("tree");
    let outside = |error: std::io::Error| Failure::Internal(format!("{}: {error}", place.display()));
    fs::create_dir_all(&place).map_err(outside)?;
    // What an interrupted build left behind.
    remove(&tree);
    eprintln!("building {} (minutes, once for each commit)", base.what);
    let mut add = Command::new("git");
    said(add.args(["worktree", "add", "--detach", "--force"]).arg(&tree).arg(&commit)).map_err(Failure::Internal)?;
    let built = compile(&tree, &place.join("build"));
    let kept = built.and_then(|built| {
        fs::create_dir_all(base.program.parent().unwrap_or(&place)).map_err(outside)?;
        let beside = base.program.with_extension("part");
        fs::copy(built, &beside).and_then(|_| fs::rename(&beside, &base.program)).map_err(outside)
    });
    remove(&tree);
    kept.map(|()| base)
}

fn remove(tree: &Path) {
    // It may not be there; what cannot be removed is found by the next `worktree add`.
    let _ = said(Command::new("git").args(["worktree", "remove", "--force"]).arg(tree));
    let _ = said(Command::new("git").args(["worktree", "prune"]));
}

fn compile(tree: &Path, target: &Path) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(tree).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.args(["build", "--release", "--locked", "--quiet", "--package", "tensorguard", "--bin", "tensorguard"]);
    command.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(target);
    let output = command.output().map_err(|error| Failure::Internal(format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(Failure::Internal("the base does not build; see cargo's message above".to_owned()));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut programs = messages.lines().rev().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    programs.next().ok_or_else(|| Failure::Internal("cargo built no program".to_owned()))
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
