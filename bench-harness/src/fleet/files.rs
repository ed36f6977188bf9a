//! A robot whose trainer is another program: updates come from a file, policies go into a folder.

use super::failed;
use crate::failure::Failure;
use crate::whole_file::Target;
use fleet_client::Learner;
use fleet_client::protocol::{Health, Id, Terms};
use folding::lwe::UpdateId;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use trust::identity::PublicIdentity;
use trust::package::{ADAPTER, Package};

/// The longest update file that is read: 100 million values.
const MOST_FILE_LEN: u64 = 400_000_000 + (1 << 20);

/// The floats of a file: safetensors by its name, with all its tensors in the order of their names; else plain
/// little-endian fp32.
///
/// # Errors
/// What is wrong with the file.
pub fn read_floats(path: &Path) -> Result<Vec<f32>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let len = fs::metadata(path).map_err(|error| wrong(&error))?.len();
    if len > MOST_FILE_LEN {
        return Err(wrong(&format_args!("{len} bytes, an update has at most {MOST_FILE_LEN}")));
    }
    let bytes = fs::read(path).map_err(|error| wrong(&error))?;
    if path.extension().is_none_or(|extension| extension != "safetensors") {
        let (values, rest) = bytes.as_chunks::<4>();
        let whole = rest.is_empty().then(|| values.iter().map(|value| f32::from_le_bytes(*value)).collect());
        return whole.ok_or_else(|| wrong(&format_args!("{len} bytes are no fp32 values; is it a .safetensors file?")));
    }
    adapter_values(&bytes).map_err(|error| wrong(&error))
}

/// The values of all tensors, in the order of their names.
///
/// # Errors
/// What is wrong with the bytes.
pub fn adapter_values(safetensors: &[u8]) -> Result<Vec<f32>, String> {
    let tensors = SafeTensors::deserialize(safetensors).map_err(|error| format!("no safetensors file: {error}"))?;
    let mut tensors = tensors.tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut values = Vec::new();
    for (name, tensor) in tensors {
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("tensor {name} is {:?}, must be F32", tensor.dtype()));
        }
        values.extend(tensor.data().as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)));
    }
    Ok(values)
}

/// One tensor, as a safetensors file.
///
/// # Errors
/// What the library says.
pub fn adapter_bytes(values: &[f32]) -> Result<Vec<u8>, String> {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = safetensors::tensor::TensorView::new(Dtype::F32, vec![values.len()], &data);
    let tensor = tensor.map_err(|error| error.to_string())?;
    safetensors::serialize([(ADAPTER, tensor)], None).map_err(|error| error.to_string())
}

/// Trains in another process.
#[derive(Debug)]
pub struct FileLearner {
    update: PathBuf,
    policies: PathBuf,
    publisher: PublicIdentity,
    fleet: String,
    base: Id,
    running: Id,
}

/// Names the package that runs, in the folder of policies.
const RUNNING: &str = "running";
/// What its trainer reads: the adapter of the package that runs, and no file where that is what it started with.
const ADAPTER_FILE: &str = "adapter.safetensors";

impl FileLearner {
    /// Updates from this file; policies into this folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`Failure`] if the folder cannot be used.
    pub fn new(
        update: &Path,
        policies: &Path,
        publisher: PublicIdentity,
        fleet: &str,
        base: Id,
    ) -> Result<Self, Failure> {
        fs::create_dir_all(policies).map_err(failed)?;
        let running = match fs::read_to_string(policies.join(RUNNING)) {
            Ok(text) => Id::parse(text.trim()).ok_or_else(|| failed("the file `running` names no package"))?,
            Err(_) => base,
        };
        let (update, policies, fleet) = (update.to_owned(), policies.to_owned(), fleet.to_owned());
        Ok(Self { update, policies, publisher, fleet, base, running })
    }

    /// The adapter in a package that it keeps; none if that is what it started with.
    pub(super) fn adapter(&self, package: Id) -> Result<Option<Vec<f32>>, String> {
        if package == self.base {
            return Ok(None);
        }
        adapter_values(&self.section(package)?).map(Some)
    }

    fn section(&self, package: Id) -> Result<Vec<u8>, String> {
        let path = self.policies.join(package.to_string());
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let opened = Package::open(&bytes, &self.publisher).map_err(|error| error.to_string())?;
        Ok(opened.section(ADAPTER).ok_or("a package without an adapter")?.to_vec())
    }

    /// Where it may note something about a package.
    pub(super) fn note(&self, package: Id, what: &str) -> PathBuf {
        self.policies.join(format!("{package}.{what}"))
    }

    /// Keeps a package that is its fleet's. It does not run it yet.
    pub(super) fn keep(&self, package: Id, bytes: Option<&[u8]>) -> Result<(), String> {
        if let Some(bytes) = bytes {
            let opened = Package::open(bytes, &self.publisher).map_err(|error| error.to_string())?;
            if opened.origin().fleet != self.fleet.as_bytes() {
                return Err("a package of another fleet".into());
            }
            let section = opened.section(ADAPTER).ok_or("a package without an adapter")?;
            adapter_values(section)?;
            whole(&self.policies.join(package.to_string()), bytes)?;
        }
        Ok(())
    }

    /// Runs this from now on: what it keeps, or what it started with.
    pub(super) fn run(&mut self, package: Id) -> Result<(), String> {
        let adapter = self.policies.join(ADAPTER_FILE);
        if package == self.base {
            match fs::remove_file(&adapter) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(format!("{}: {error}", adapter.display()));
                }
                _ => {}
            }
        } else {
            whole(&adapter, &self.section(package)?)?;
        }
        whole(&self.policies.join(RUNNING), package.to_string().as_bytes())?;
        self.running = package;
        Ok(())
    }
}

pub(super) fn whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let target = Target::new(path, &[]).map_err(|error| error.to_string())?;
    target.write(|file| file.write_all(bytes)).map_err(|error| error.to_string())
}

/// Says why a package does not run.
pub(super) fn rejected(package: Id, why: &str) -> Health {
    super::say(format_args!("package {} is not applied: {why}", package.short()));
    Health::Rejected
}

impl Learner for FileLearner {
    fn running(&self) -> Id {
        self.running
    }

    fn update(&mut self, _terms: &Terms) -> Result<(UpdateId, Vec<f32>), String> {
        let values = read_floats(&self.update)?;
        let mut hash = Sha256::new_with_prefix(b"TensorGuard update file|");
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        Ok((UpdateId(hash.finalize().into()), values))
    }

    fn has(&self, package: Id) -> bool {
        package == self.base || self.policies.join(package.to_string()).is_file()
    }

    fn apply(&mut self, package: Id, bytes: Option<&[u8]>) -> Health {
        let applied = self.keep(package, bytes).and_then(|()| self.run(package));
        applied.map_or_else(|why| rejected(package, &why), |()| Health::Healthy)
    }
}
