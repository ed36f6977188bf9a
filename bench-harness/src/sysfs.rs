//! Small files in which a kernel says how things stand, read below a root: `/`, or a tree that a test made.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// No such file is longer.
const MOST_BYTES: u64 = 64 << 10;

/// A file's text, trimmed.
///
/// # Errors
/// What the system says.
pub fn text(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    // Strings of a device tree end with a zero byte.
    Ok(String::from_utf8_lossy(&bytes).trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned())
}

/// A file's text, if it has any.
#[must_use]
pub fn some_text(file: &Path) -> Option<String> {
    text(file).ok().filter(|text| !text.is_empty())
}

/// A file's number.
#[must_use]
pub fn number(file: &Path) -> Option<f64> {
    text(file).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// What lies in a folder and begins so, in the order of its names; nothing where there is no folder.
#[must_use]
pub fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let paths = found.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let mut paths: Vec<PathBuf> = paths.filter(named).collect();
    // cpu2 before cpu10.
    paths.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    paths
}

/// A board that is made up as text, for tests.
#[cfg(test)]
pub mod board {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A folder with the files of a board. It goes with its owner.
    #[derive(Debug)]
    pub struct Board(PathBuf);

    impl Board {
        /// Writes the files that `tree` names: `path = content` in each line, `|` for the end of a line in a file.
        pub fn new(name: &str, tree: &str) -> Self {
            let root = std::env::temp_dir().join(format!("tensorguard-board-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).expect("a temporary folder");
            let board = Self(root);
            for (path, content) in tree.lines().filter_map(|line| line.split_once(" =")) {
                board.write(path, &content.trim().replace('|', "\n"));
            }
            board
        }

        /// The folder.
        pub fn root(&self) -> &Path {
            &self.0
        }

        /// Writes one file, or writes it anew.
        pub fn write(&self, path: &str, content: &str) {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().expect("a file lies in a folder")).expect("a folder");
            fs::write(file, format!("{content}\n")).expect("a file");
        }
    }

    impl Drop for Board {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
