//! Opened means, in files, as long as their round lasts.

use folding::Mean;
use protocol::{Attempted, Id, Terms};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const VERSION: &[u8] = b"TensorGuard mean 2\n";

/// A mean that was opened, and what it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The mean.
    pub mean: Mean,
    /// SHA-256 over the manifests of its robots, in the order of their names.
    pub manifests: Id,
}

/// A folder of means.
#[derive(Debug)]
pub struct Means {
    folder: PathBuf,
}

/// Why a mean was not kept or not found.
#[derive(Debug)]
pub struct MeansError(String);

impl fmt::Display for MeansError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MeansError {}

impl Means {
    /// In this folder, which exists.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, of: Attempted) -> PathBuf {
        self.folder.join(format!("mean-{}-{}", of.round, of.attempt))
    }

    /// Keeps a mean, durably.
    ///
    /// # Errors
    /// [`MeansError`]; then the attempt is used up without an answer.
    pub fn put(&self, of: Attempted, opened: &Opened) -> Result<(), MeansError> {
        let (path, fresh) = (self.path(of), self.folder.join("mean.fresh"));
        let Opened { mean, manifests } = opened;
        let put = || {
            let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&fresh)?;
            let mut bytes = VERSION.to_vec();
            bytes.extend(manifests.0);
            bytes.extend(mean.robots.to_le_bytes());
            bytes.extend(mean.values.iter().flat_map(|value| value.to_le_bytes()));
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        put().map_err(|error: io::Error| MeansError(format!("{}: the mean cannot be kept: {error}", path.display())))
    }

    /// The mean of an attempt, if it was opened and its round is not over.
    ///
    /// # Errors
    /// [`MeansError`] if it is there and is not that of these terms.
    pub fn get(&self, terms: &Terms) -> Result<Option<Opened>, MeansError> {
        let path = self.path(Attempted { round: terms.round, attempt: terms.attempt });
        let failed = |what: &dyn fmt::Display| MeansError(format!("{}: {what}", path.display()));
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => file.read_to_end(&mut bytes).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let parts = bytes.strip_prefix(VERSION).and_then(|rest| {
            let (manifests, rest) = rest.split_first_chunk::<32>()?;
            let (robots, values) = rest.split_first_chunk::<8>()?;
            Some((manifests, robots, values))
        });
        let fits = parts.filter(|(.., values)| values.len() as u64 == 4 * terms.length);
        let (manifests, robots, values) = fits.ok_or_else(|| failed(&"no mean of this round: move it away"))?;
        let values = values.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        let mean = Mean { values, robots: u64::from_le_bytes(*robots), weight: 1 };
        Ok(Some(Opened { mean, manifests: Id(*manifests) }))
    }

    /// Removes the means of a round that is over.
    pub fn forget(&self, round: u64) {
        let of_round = format!("mean-{round}-");
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for file in files.filter(|file| file.file_name().to_string_lossy().starts_with(&of_round)) {
            // One that stays is in nobody's way.
            let _ = fs::remove_file(file.path());
        }
    }
}
