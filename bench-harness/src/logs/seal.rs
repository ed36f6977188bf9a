//! A robot's memory of what it has sealed: a folder with one file for each name.

use super::failed;
use crate::whole_file::{folder_of, sync_folder};
use lwe::{Created, LogError, SealLog};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Tells a seal folder from any other, and its version.
const MARKER: &str = "seal-log";
const VERSION: &[u8] = b"TensorGuard seal log 1\n";
/// Content, then its checksum.
const ENTRY_LEN: usize = 64;

/// A [`SealLog`] in a folder. An entry is a file, created exclusively: of several processes one makes it.
///
/// An entry that a crash left empty or short has lost its content, and the name still counts as used.
#[derive(Debug)]
pub struct SealFolder {
    path: PathBuf,
}

impl SealFolder {
    /// Makes an empty log where nothing is yet: once in a robot's life.
    ///
    /// # Errors
    /// [`LogError`] if something is there, or it cannot be made.
    pub fn create(path: &Path) -> Result<Self, LogError> {
        let make = || {
            DirBuilder::new().mode(0o700).create(path)?;
            let mut marker = create_new(&path.join(MARKER))?;
            marker.write_all(VERSION)?;
            marker.sync_all()?;
            sync_folder(path)?;
            sync_folder(folder_of(path))
        };
        make().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(path, "is there already: open it, a new seal log in its place would forget what was sealed")
            }
            _ => failed(path, format_args!("cannot make a seal log: {error}")),
        })?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens a log.
    ///
    /// # Errors
    /// [`LogError`] if there is none. It is not made anew: that would forget what was sealed.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let marker = read_up_to(&path.join(MARKER), VERSION.len() + 1);
        match marker {
            Ok(found) if found == VERSION => Ok(Self { path: path.to_owned() }),
            Ok(_) => Err(failed(path, "the seal log was made by another version, or making it was cut short")),
            Err(error) => Err(failed(
                path,
                format_args!(
                    "no seal log can be opened: {error}. If this robot has sealed before, do not make a new one: mount its disk, or let it join anew"
                ),
            )),
        }
    }
}

impl SealLog for SealFolder {
    fn create(&mut self, name: &[u8; 32], content: &[u8; 32]) -> Result<Created, LogError> {
        let path = self.path.join(hex(name));
        match create_new(&path) {
            Ok(mut file) => {
                let entry = [&content[..], &checksum(name, content)].concat();
                let written = file.write_all(&entry).and_then(|()| file.sync_all());
                written.and_then(|()| sync_folder(&self.path)).map_err(|error| {
                    failed(&path, format_args!("the mark cannot be made durable, so it counts as used: {error}"))
                })?;
                Ok(Created::New)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let content = read_entry(&path, name)?;
                // Whoever made it may not have come to the sync: the answer below must hold after a crash too.
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.and_then(|()| sync_folder(&self.path)).map_err(|error| failed(&path, error))?;
                Ok(Created::Exists(content))
            }
            Err(error) => Err(failed(&path, format_args!("the mark cannot be made: {error}"))),
        }
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_entry(path: &Path, name: &[u8; 32]) -> Result<[u8; 32], LogError> {
    let unreadable =
        |error| failed(path, format_args!("the mark is there but cannot be read, so it counts as used: {error}"));
    let bytes = read_up_to(path, ENTRY_LEN + 1).map_err(unreadable)?;
    let (content, sum) = bytes.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
    if sum == checksum(name, content) {
        return Ok(*content);
    }
    Err(failed(
        path,
        format_args!(
            "the mark is not whole ({} of {ENTRY_LEN} bytes, or damaged): a crash while it was made. It counts as used: take a new key, and train a new update if this was one's mark. Do not remove it",
            bytes.len()
        ),
    ))
}

fn checksum(name: &[u8; 32], content: &[u8; 32]) -> [u8; 32] {
    Sha256::digest([VERSION, name, content].concat()).into()
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file of an entry, for tests that damage it.
#[cfg(test)]
fn entry_path(folder: &Path, name: &[u8; 32]) -> PathBuf {
    folder.join(hex(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs;

    const NAME: [u8; 32] = [1; 32];
    const CONTENT: [u8; 32] = [2; 32];

    #[test]
    fn an_entry_is_new_once_and_keeps_its_content() {
        let scratch = Scratch::new("seal-once");
        let path = scratch.join("log");
        let mut log = SealFolder::create(&path).unwrap();
        assert_eq!(log.create(&NAME, &CONTENT), Ok(Created::New));
        assert_eq!(log.create(&NAME, &[3; 32]), Ok(Created::Exists(CONTENT)));
        let mut again = SealFolder::open(&path).unwrap();
        assert_eq!(again.create(&NAME, &[3; 32]), Ok(Created::Exists(CONTENT)));
        assert_eq!(again.create(&[9; 32], &[3; 32]), Ok(Created::New));
    }

    #[test]
    fn an_entry_that_is_not_whole_counts_as_used() {
        let scratch = Scratch::new("seal-torn");
        let path = scratch.join("log");
        let mut log = SealFolder::create(&path).unwrap();
        log.create(&NAME, &CONTENT).unwrap();
        let file = entry_path(&path, &NAME);
        let whole = fs::read(&file).unwrap();
        let damage = |at: usize| [&whole[..at], &[whole[at] ^ 1], &whole[at + 1..]].concat();
        let mut wrong: Vec<Vec<u8>> = (0..whole.len()).map(|len| whole[..len].to_vec()).collect();
        wrong.extend((0..whole.len()).map(damage));
        wrong.push([&whole[..], b"x"].concat());
        for bytes in wrong {
            fs::write(&file, &bytes).unwrap();
            let error = log.create(&NAME, &CONTENT).expect_err("not whole");
            assert!(error.0.contains("counts as used"), "{error}");
            assert_eq!(fs::read(&file).unwrap(), bytes, "the file is left as it was");
        }
        // The entry of another name does not pass for this one's.
        log.create(&[5; 32], &CONTENT).unwrap();
        fs::copy(entry_path(&path, &[5; 32]), &file).unwrap();
        assert!(log.create(&NAME, &CONTENT).is_err());
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(log.create(&NAME, &CONTENT).is_err());
    }

    #[test]
    fn of_many_threads_one_makes_the_entry() {
        let scratch = Scratch::new("seal-race");
        let path = scratch.join("log");
        SealFolder::create(&path).unwrap();
        for round in 0..20 {
            let make = || SealFolder::open(&path).unwrap().create(&[round; 32], &CONTENT);
            let created: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(created.iter().filter(|created| **created == Ok(Created::New)).count(), 1, "{created:?}");
        }
    }

    #[test]
    fn a_log_is_neither_made_over_another_nor_opened_where_none_is() {
        let scratch = Scratch::new("seal-open");
        let path = scratch.join("log");
        assert!(SealFolder::open(&path).unwrap_err().0.contains("no seal log"));
        SealFolder::create(&path).unwrap();
        assert!(SealFolder::create(&path).unwrap_err().0.contains("already"));
        fs::write(path.join(MARKER), b"TensorGuard seal log 2\n").unwrap();
        assert!(SealFolder::open(&path).unwrap_err().0.contains("another version"));
        assert!(SealFolder::create(&scratch.join("none/log")).is_err());
    }
}
