//! A bundle: entries of results in one file that can be sent and verified, without being unpacked.
//!
//! It is a plain tar. `MANIFEST.json` comes first and names every file that follows, its length and its SHA-256; each entry
//! has its three files, in this order. A bundle of the same entries is the same bytes, so that every byte can be checked: there
//! is one way to write a header, a manifest and an end. Nothing is ever unpacked, so no name in a bundle becomes a path.

use super::journal::{MOST_BYTES, RESULT, SAMPLES, SUMMARY, read_limited};
use super::sha256;
use super::verify::{Files, Verified, verify_files};
use crate::failure::Failure;
use crate::whole_file::Target;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};

/// The manifest's name.
pub const MANIFEST: &str = "MANIFEST.json";
/// Raised when a reader must change.
const VERSION: u32 = 1;
/// The files of an entry, in their order.
const FILES: [&str; 3] = [RESULT, SAMPLES, SUMMARY];
/// No manifest is longer, which is some five thousand files.
const MOST_MANIFEST: u64 = 1 << 20;
/// A tar's unit.
const BLOCK: usize = 512;
/// Its end.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    bundle: u32,
    files: Vec<Listed>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: String,
    bytes: u64,
    sha256: String,
}

/// The header of a file: the only one that it can have.
fn header(path: &str, bytes: u64) -> std::io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_path(path)?;
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

fn padding(bytes: u64) -> usize {
    // Below a block.
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// An entry's name as it comes: letters, digits, dashes, dots and underscores, and no dot to begin with.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=100).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.')
}

/// Writes a bundle of these entries. Each is verified first: nobody should send what does not agree with its samples.
///
/// # Errors
/// [`Failure::Usage`] for a folder that is no finished entry; [`Failure::Wrong`] for one that was changed.
pub fn write(folders: &[PathBuf], out: &Path) -> Result<String, Failure> {
    let packed: Vec<PathBuf> = folders.iter().flat_map(|folder| FILES.map(|name| folder.join(name))).collect();
    let packed: Vec<&Path> = packed.iter().map(PathBuf::as_path).collect();
    let target = Target::new(out, &packed)?;
    let mut files = Vec::new();
    for folder in folders {
        let shown = folder.display();
        let absolute = std::path::absolute(folder).map_err(|error| Failure::Usage(format!("{shown}: {error}")))?;
        let id = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !is_plain(&id) {
            return Err(Failure::Usage(format!(
                "{shown}: the folder's name must be letters, digits, '-', '_' and '.'"
            )));
        }
        if files.iter().any(|(path, _): &(PathBuf, Listed)| path.starts_with(folder)) {
            return Err(Failure::Usage(format!("{shown} is there twice")));
        }
        let contents = FILES.map(|name| read_limited(&folder.join(name)));
        let [result, samples, summary] = contents.map(|content| content.map_err(|failure| unfinished(&failure)));
        let contents = [result?, samples?, summary?];
        let verified = verify_files(&shown.to_string(), entry(&id, &contents))?;
        if let Some(first) = verified.differences.first() {
            return Err(Failure::Wrong(format!("{shown} is not what its samples give: {first}")));
        }
        for (name, content) in FILES.into_iter().zip(&contents) {
            let (path, bytes) = (format!("{id}/{name}"), content.len() as u64);
            files.push((folder.join(name), Listed { path, bytes, sha256: sha256(content) }));
        }
    }
    let (paths, files): (Vec<PathBuf>, Vec<Listed>) = files.into_iter().unzip();
    let mut ids: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Failure::Usage("two folders have one name: rename one".to_owned()));
    }
    let manifest = Manifest { bundle: VERSION, files };
    let text = serde_json::to_vec(&manifest)?;
    target.write(|file| {
        let mut out = BufWriter::new(file);
        append(&mut out, MANIFEST, &text)?;
        for (path, listed) in paths.iter().zip(&manifest.files) {
            let content = read_limited(path).map_err(|failure| std::io::Error::other(failure.to_string()))?;
            if sha256(&content) != listed.sha256 {
                return Err(std::io::Error::other(format!("{} changed meanwhile", path.display())));
            }
            append(&mut out, &listed.path, &content)?;
        }
        out.write_all(&END)?;
        out.flush()
    })?;
    Ok(format!("{} files of {} entries", manifest.files.len(), folders.len()))
}

/// An entry's three files, in their order.
fn entry<'a>(id: &'a str, [result, samples, summary]: &'a [Vec<u8>; 3]) -> Files<'a> {
    Files { id, result, samples, summary: Some(summary) }
}

fn unfinished(failure: &Failure) -> Failure {
    Failure::Usage(format!("{failure}. Only what came to its end can be bundled: an interrupted run has no {RESULT}"))
}

fn append(out: &mut impl Write, path: &str, content: &[u8]) -> std::io::Result<()> {
    let bytes = content.len() as u64;
    out.write_all(header(path, bytes)?.as_bytes())?;
    out.write_all(content)?;
    out.write_all(&END[..padding(bytes)])
}

/// Verifies a bundle: every byte of the file, and every figure of its entries. Holds one entry in memory at a time.
///
/// # Errors
/// [`Failure::Usage`] for a file that is no bundle; [`Failure::Wrong`] where it was changed or cut off.
pub fn verify(path: &Path) -> Result<Vec<(String, Verified)>, Failure> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::Usage(format!("cannot read {shown}: {error}")))?;
    let mut reader = Reader { shown, file: BufReader::new(file) };
    let manifest = reader.manifest()?;
    let mut verified = Vec::new();
    let (entries, _) = manifest.files.as_chunks::<3>();
    for files in entries {
        let id = files[0].path.split('/').next().unwrap_or_default();
        let contents = [reader.content(&files[0])?, reader.content(&files[1])?, reader.content(&files[2])?];
        verified.push((id.to_owned(), verify_files(id, entry(id, &contents))?));
    }
    reader.end()?;
    Ok(verified)
}

struct Reader {
    shown: String,
    file: BufReader<File>,
}

impl Reader {
    fn no_bundle(&self, why: &str) -> Failure {
        Failure::Usage(format!("{}: no bundle that `tensorguard bundle` makes: {why}", self.shown))
    }

    fn changed(&self, why: &str) -> Failure {
        Failure::Wrong(format!("{} was changed: {why}", self.shown))
    }

    fn exactly<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| self.changed("it is cut off"))?;
        Ok(bytes)
    }

    /// So many bytes, which may be a lie: memory grows with what is really there.
    fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(count).read_to_end(&mut bytes);
        if read.ok() != usize::try_from(count).ok() {
            return Err(self.changed("it is cut off"));
        }
        let mut pad = [0; BLOCK];
        let pad = &mut pad[..padding(count)];
        self.file.read_exact(pad).map_err(|_| self.changed("it is cut off"))?;
        if pad.iter().any(|&byte| byte != 0) {
            return Err(self.changed("there is something between its files"));
        }
        Ok(bytes)
    }

    fn manifest(&mut self) -> Result<Manifest, Failure> {
        let block: [u8; BLOCK] = self.exactly().map_err(|_| self.no_bundle("it is too short"))?;
        let found = Header::from_byte_slice(&block);
        if found.path_bytes().as_ref() != MANIFEST.as_bytes() {
            return Err(self.no_bundle("it does not begin with a manifest"));
        }
        let bytes = found.size().map_err(|_| self.no_bundle("its first header has no length"))?;
        if bytes > MOST_MANIFEST {
            return Err(self.no_bundle(&format!("a manifest of {bytes} bytes, and {MOST_MANIFEST} is the most")));
        }
        self.is_header(&block, MANIFEST, bytes)?;
        let text = self.bytes(bytes)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| self.no_bundle(&format!("its manifest: {error}")))?;
        if manifest.bundle != VERSION {
            return Err(self.no_bundle(&format!("version {}, and this program knows {VERSION}", manifest.bundle)));
        }
        if serde_json::to_vec(&manifest)? != text {
            return Err(self.changed("its manifest is written otherwise"));
        }
        self.names(&manifest)?;
        Ok(manifest)
    }

    /// Names are what `bundle` gives, and nothing that could be a path elsewhere; lengths are possible ones.
    fn names(&self, manifest: &Manifest) -> Result<(), Failure> {
        let (entries, rest) = manifest.files.as_chunks::<3>();
        if entries.is_empty() || !rest.is_empty() {
            return Err(self.no_bundle("its manifest does not list three files for each entry"));
        }
        let mut ids = Vec::new();
        for files in entries {
            let id = files[0].path.split('/').next().unwrap_or_default();
            let are_named = files.iter().zip(FILES).all(|(file, name)| file.path == format!("{id}/{name}"));
            if !is_plain(id) || !are_named {
                return Err(self.no_bundle(&format!("{:?} is no file of an entry", files[0].path)));
            }
            if let Some(large) = files.iter().find(|file| file.bytes > MOST_BYTES) {
                let most = MOST_BYTES >> 20;
                return Err(
                    self.no_bundle(&format!("{} claims {} bytes, and {most} MiB is the most", large.path, large.bytes))
                );
            }
            ids.push(id);
        }
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(self.no_bundle(&format!("{} is there twice", pair[0]))),
            None => Ok(()),
        }
    }

    fn is_header(&self, block: &[u8; BLOCK], path: &str, bytes: u64) -> Result<(), Failure> {
        let expected = header(path, bytes).map_err(|error| self.no_bundle(&error.to_string()))?;
        if expected.as_bytes() == block { Ok(()) } else { Err(self.changed(&format!("the header of {path}"))) }
    }

    fn content(&mut self, listed: &Listed) -> Result<Vec<u8>, Failure> {
        let block = self.exactly()?;
        self.is_header(&block, &listed.path, listed.bytes)?;
        let content = self.bytes(listed.bytes)?;
        if sha256(&content) == listed.sha256 { Ok(content) } else { Err(self.changed(&listed.path)) }
    }

    fn end(&mut self) -> Result<(), Failure> {
        if self.exactly()? != END {
            return Err(self.changed("its end"));
        }
        let mut more = [0];
        match self.file.read(&mut more) {
            Ok(0) => Ok(()),
            _ => Err(self.changed("there is something behind its end")),
        }
    }
}
