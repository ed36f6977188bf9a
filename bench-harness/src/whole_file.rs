//! Files that are there whole or not at all: written beside their place, synced, then renamed into it.

use crate::failure::Failure;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A place for a file: free, or held by a file that may be replaced.
#[derive(Clone, Debug)]
pub struct Target {
    path: PathBuf,
}

impl Target {
    /// Looks at the place before any work is done for it. `inputs` are never replaced.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is one of the inputs, or something else than a file; [`Failure::Internal`] if it cannot be
    /// looked at.
    pub fn new(path: &Path, inputs: &[&Path]) -> Result<Self, Failure> {
        let shown = path.display();
        let failed = |error| Failure::Internal(format!("cannot look at {shown}: {error}"));
        if path.file_name().is_none() {
            return Err(Failure::Usage(format!("{shown} is no name of a file")));
        }
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let folder = folder_of(path);
            return if folder.is_dir() {
                Ok(Self { path: path.to_owned() })
            } else {
                Err(Failure::Usage(format!("{shown}: there is no folder {}; make it first", folder.display())))
            };
        }
        // A link is followed, so that the rename replaces the file and not the link.
        let path = fs::canonicalize(path).map_err(failed)?;
        let there = fs::metadata(&path).map_err(failed)?;
        if !there.is_file() {
            return Err(Failure::Usage(format!("{shown} is no regular file: give a new name, or a file to replace")));
        }
        for input in inputs {
            let same = |input: fs::Metadata| (input.dev(), input.ino()) == (there.dev(), there.ino());
            if fs::metadata(input).is_ok_and(same) {
                return Err(Failure::Usage(format!(
                    "{shown} is the input: give another name, or the input would be lost"
                )));
            }
        }
        Ok(Self { path })
    }

    /// Whether no two of them are one place, where the later would replace the earlier.
    ///
    /// # Errors
    /// [`Failure::Usage`] where they are.
    pub fn distinct<'a>(targets: impl IntoIterator<Item = &'a Self>) -> Result<(), Failure> {
        let mut places = Vec::new();
        for Self { path } in targets {
            let folder = folder_of(path);
            let place =
                fs::canonicalize(folder).unwrap_or(folder.to_owned()).join(path.file_name().unwrap_or_default());
            if places.contains(&place) {
                return Err(Failure::Usage(format!("{} would be written twice: give two names", path.display())));
            }
            places.push(place);
        }
        Ok(())
    }

    /// Removes what is there, so that nobody takes an earlier run's for this one's.
    ///
    /// # Errors
    /// [`Failure::Internal`] where the system refuses.
    pub fn clear(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::Internal(format!("cannot remove {}: {error}", self.path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Writes the file. Whatever fails, the place is as it was.
    ///
    /// # Errors
    /// [`Failure::Internal`] with the reason.
    pub fn write(&self, content: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Failure> {
        let failed = |error| Failure::Internal(format!("cannot write {}: {error}", self.path.display()));
        let (beside, mut file) = self.beside().map_err(failed)?;
        let written = content(&mut file).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, &self.path));
        if let Err(error) = written {
            // What cannot be removed either is left under its own name.
            let _ = fs::remove_file(&beside);
            return Err(failed(error));
        }
        sync_folder(folder_of(&self.path)).map_err(failed)
    }

    fn beside(&self) -> io::Result<(PathBuf, File)> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let process = std::process::id();
        for attempt in 0..100 {
            let path = self.path.with_file_name(format!(".{name}.{process}-{attempt}.part"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| (path, file)),
            }
        }
        Err(io::Error::other("a hundred unfinished files lie beside it: remove those that end in .part"))
    }
}

/// The folder that a path's last name lies in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
