//! Where files lie. A trait, so that a test can have a disk that is full.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is being written.
pub trait Writer: Write + Send {
    /// What was written is there after a crash.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to this length and goes on there.
    ///
    /// # Errors
    /// What the system says.
    fn cut(&mut self, len: u64) -> io::Result<()>;
}

/// The files of one server. Names have at most one folder in them, made by the server itself and never by a request.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file behind its first `len` bytes, or makes it. What came after them is gone.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, name: &str, len: u64) -> io::Result<Box<dyn Writer>>;

    /// Opens a file to read it; none if there is none.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, name: &str) -> io::Result<Option<Box<dyn Read + Send>>>;

    /// Gives a file another name, in the place of whatever has it, durably.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, name: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The files in a folder.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;
}

/// A folder on a local disk, for its owner only, locked as long as it is open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// The folders a server keeps.
pub(crate) const UPLOADS: &str = "uploads";
pub(crate) const PACKAGES: &str = "packages";

impl Folder {
    /// Opens a server's folder, or makes it.
    ///
    /// # Errors
    /// What the system says, or that another server has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        for folder in [path, &path.join(UPLOADS), &path.join(PACKAGES)] {
            DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                io::Error::other(format!("another server has {}: stop it, or give a folder of its own", path.display()))
            }
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        File::open(path.parent().unwrap_or(&self.path))?.sync_all()
    }
}

impl Writer for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(|_| ())
    }
}

impl Disk for Folder {
    fn write_at(&self, name: &str, len: u64) -> io::Result<Box<dyn Writer>> {
        let path = self.path.join(name);
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        if file.metadata()?.len() < len {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{name} has lost its end")));
        }
        file.cut(len)?;
        self.sync_folder_of(name)?;
        Ok(Box::new(file))
    }

    fn read(&self, name: &str) -> io::Result<Option<Box<dyn Read + Send>>> {
        match File::open(self.path.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(name), self.path.join(to))?;
        self.sync_folder_of(to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let names = fs::read_dir(self.path.join(folder))?;
        names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }
}
