//! What a robot keeps until the server has it: an upload cannot be made again.

use protocol::{Kept, decode, encode};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const NAME: &str = "upload";
const FRESH: &str = "upload.fresh";

/// A place for one upload, in a robot's folder.
#[derive(Debug)]
pub struct Keep {
    folder: PathBuf,
}

/// Why an upload was not kept or not found.
#[derive(Debug)]
pub struct KeepError(String);

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeepError {}

impl Keep {
    /// In this folder, which exists.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn failed(&self, what: impl fmt::Display) -> KeepError {
        KeepError(format!("{}: {what}", self.folder.join(NAME).display()))
    }

    /// Keeps an upload, durably, in the place of an earlier one.
    ///
    /// # Errors
    /// [`KeepError`]; then nothing may be sent, because a crash could lose it.
    pub fn put(&self, kept: &Kept, bytes: &[u8]) -> Result<(), KeepError> {
        let head = encode(kept);
        let put = || {
            let fresh = self.folder.join(FRESH);
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(&(head.len() as u64).to_le_bytes())?;
            file.write_all(&head)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(fresh, self.folder.join(NAME))?;
            File::open(&self.folder)?.sync_all()
        };
        put().map_err(|error: io::Error| {
            self.failed(format_args!("the upload cannot be kept, so it is not sent: {error}"))
        })
    }

    /// What is kept, if anything.
    ///
    /// # Errors
    /// [`KeepError`] if it is there and cannot be read.
    pub fn get(&self) -> Result<Option<(Kept, Vec<u8>)>, KeepError> {
        let mut bytes = Vec::new();
        match File::open(self.folder.join(NAME)) {
            Ok(mut file) => file.read_to_end(&mut bytes).map_err(|error| self.failed(error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(error)),
        };
        let broken =
            || self.failed("the kept upload is damaged: remove it; the robot takes part again from the next round on");
        let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(broken)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| broken())?;
        let (head, bytes) = rest.split_at_checked(len).ok_or_else(broken)?;
        let kept: Kept = decode(head).map_err(|_| broken())?;
        Ok(Some((kept, bytes.to_vec())))
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn forget(&self) -> Result<(), KeepError> {
        match fs::remove_file(self.folder.join(NAME)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }
}
