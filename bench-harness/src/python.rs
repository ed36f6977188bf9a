//! The peers that are Python packages: each family in a virtual environment of its own, outside git.

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A family of packages, at the versions of its requirements file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// TenSEAL, with SEAL.
    Tenseal,
    /// OpenFHE. Its wheels are for one Python of one system each.
    Openfhe,
    /// Flower.
    Flower,
}

impl Environment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tenseal, Self::Openfhe, Self::Flower];

    fn folder(self) -> &'static str {
        match self {
            Self::Tenseal => "target/python",
            Self::Openfhe => "target/python-openfhe",
            Self::Flower => "target/python-flower",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::Tenseal => "python/requirements.txt",
            Self::Openfhe => "python/requirements-openfhe.txt",
            Self::Flower => "python/requirements-flower.txt",
        }
    }

    /// The module whose import shows that it works.
    fn module(self) -> &'static str {
        match self {
            Self::Tenseal => "tenseal",
            Self::Openfhe => "openfhe",
            Self::Flower => "flwr",
        }
    }

    /// Programs to make it with, the first that works.
    fn pythons(self) -> Vec<PathBuf> {
        match self {
            Self::Tenseal | Self::Flower => vec!["python3".into()],
            Self::Openfhe => ["3.10", "3.12"].iter().flat_map(|version| versions(version)).collect(),
        }
    }

    /// Its interpreter, in the folder of the peers' sources.
    #[must_use]
    pub fn interpreter(self, peers: &Path) -> PathBuf {
        peers.join(self.folder()).join("bin/python")
    }

    /// Fetches it from PyPI.
    ///
    /// # Errors
    /// [`Failure::Internal`] where no Python here has it; it says why for each.
    pub fn install(self, peers: &Path) -> Result<(), Failure> {
        let mut reasons = Vec::new();
        for python in self.pythons() {
            match self.install_with(&python, peers) {
                Ok(()) => return Ok(()),
                Err(why) => reasons.push(format!("{}: {why}", python.display())),
            }
        }
        // Half an environment would look like one.
        let _ = std::fs::remove_dir_all(peers.join(self.folder()));
        if reasons.is_empty() {
            reasons.push("its wheels need Python 3.10 or 3.12, and neither is here".to_owned());
        }
        Err(Failure::Internal(format!("{} cannot be installed here: {}", self.module(), reasons.join("; "))))
    }

    fn install_with(self, python: &Path, peers: &Path) -> Result<(), String> {
        let interpreter = self.interpreter(peers);
        run(Command::new(python).args(["-m", "venv", "--clear"]).arg(peers.join(self.folder())))?;
        let requirements = peers.join(self.requirements());
        run(Command::new(&interpreter)
            .args(["-m", "pip", "install", "--only-binary", ":all:", "-r"])
            .arg(requirements))?;
        run(Command::new(&interpreter).args(["-c", &format!("import {}", self.module())]))
    }
}

/// Where a version of Python may be: on the path, or under pyenv.
fn versions(version: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(format!("python{version}"))];
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv"));
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or(home).unwrap_or_default();
    let folders = std::fs::read_dir(root.join("versions")).into_iter().flatten().flatten();
    let prefix = format!("{version}.");
    let folders = folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(&prefix));
    found.extend(folders.map(|folder| folder.path().join("bin/python")));
    found.retain(|python| works(python));
    found
}

fn works(python: &Path) -> bool {
    let status = Command::new(python).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr())).status();
    let done = done.map_err(|error| format!("cannot run {command:?}: {error}"))?;
    done.success().then_some(()).ok_or_else(|| format!("{command:?} failed; see its message above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_installation_leaves_nothing_and_says_why() {
        let peers = std::env::temp_dir().join(format!("tensorguard-python-{}", std::process::id()));
        std::fs::create_dir_all(&peers).expect("a temporary folder");
        // There are no requirements in it.
        let failure = Environment::Tenseal.install(&peers).expect_err("nothing to install");
        assert!(failure.to_string().contains("tenseal cannot be installed here"), "{failure}");
        assert!(!Environment::Tenseal.interpreter(&peers).exists());
        std::fs::remove_dir_all(&peers).expect("it was just made");
    }

    #[test]
    fn a_python_that_is_not_here_is_not_tried() {
        assert_eq!(versions("2.99"), Vec::<PathBuf>::new());
    }
}
