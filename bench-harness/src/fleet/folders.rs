//! The folders of a fleet: the authority's, from which all others are made, and the parties'.

use super::charter::Charter;
use super::{decisions, failed};
use crate::failure::Failure;
use crate::logs::{AnswerFile, SealFolder};
use fleet_client::link::{Authority, Role, private_file};
use fleet_client::protocol::Id;
use folding::lwe::{HOLDER_SEED_LEN, HolderKey, HolderPublic};
use kernels::Secret;
use rand::TryRng;
use rand::rngs::SysRng;
use std::fs;
use std::path::{Path, PathBuf};
use trust::identity::{Identity, PublicIdentity, Registry, SEED_LEN};

const HOLDER_SEED: &str = "holder.seed";
const HOLDER_PUBLIC: &str = "holder.public";
const IDENTITY: &str = "identity.seed";
const PUBLISHER: &str = "publisher.public";
/// The robots that may sign, in the authority's folder.
pub const REGISTRY: &str = "registry";
/// A robot's memory of what it sealed.
pub const SEALS: &str = "seals";
/// The key holder's memory of what it answered.
pub const ANSWERS: &str = "answers";

fn secret<const LEN: usize>() -> Result<Secret<[u8; LEN]>, Failure> {
    let mut seed = Secret::new([0; LEN]);
    SysRng.try_fill_bytes(seed.expose_mut()).map_err(|error| failed(format_args!("no randomness: {error}")))?;
    Ok(seed)
}

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let path = folder.join(name);
    let hint = "`tensorguard authority` makes this party's folder";
    fs::read(&path).map_err(|error| Failure::Usage(format!("{}: {error}. {hint}", path.display())))
}

fn read_secret<const LEN: usize>(folder: &Path, name: &str) -> Result<Secret<[u8; LEN]>, Failure> {
    let bytes = Secret::new(read(folder, name)?);
    let seed = bytes.expose().as_slice().try_into().map(Secret::new);
    seed.map_err(|_| Failure::Usage(format!("{}: not {LEN} bytes: restore it", folder.join(name).display())))
}

fn write_secret(folder: &Path, name: &str, seed: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    private_file(&path, seed).map_err(|error| failed(format_args!("{}: {error}", path.display())))
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|error| failed(format_args!("{}: {error}", path.display())))
}

/// Makes a fleet: its authority in one new folder, its key holder in another. The charter's `holder` is filled in.
///
/// # Errors
/// [`Failure`].
pub fn create(authority: &Path, holder: &Path, mut charter: Charter) -> Result<Charter, Failure> {
    let seed = secret::<HOLDER_SEED_LEN>()?;
    let public = HolderKey::from_seed(&seed).public();
    charter.holder = Id(public.fingerprint()).to_string();
    charter.terms(charter.least, charter.least).round().map_err(|error| Failure::Usage(error.to_string()))?;
    let signer = Authority::create(authority).map_err(failed)?;
    signer.issue(Role::Holder, holder).map_err(failed)?;
    fs::create_dir_all(authority.join(REGISTRY)).map_err(failed)?;
    write_secret(holder, HOLDER_SEED, seed.expose())?;
    let publisher = Identity::from_seed(secret::<SEED_LEN>()?);
    write_secret(holder, IDENTITY, publisher.seed().expose())?;
    for folder in [authority, holder] {
        charter.write(folder)?;
        write(folder, HOLDER_PUBLIC, &public.to_bytes())?;
        write(folder, PUBLISHER, &publisher.public().to_bytes())?;
    }
    AnswerFile::create(&holder.join(ANSWERS)).map_err(failed)?;
    decisions::create(holder)?;
    Ok(charter)
}

/// Makes the server's folder.
///
/// # Errors
/// [`Failure`].
pub fn add_server(authority: &Path, folder: &Path) -> Result<(), Failure> {
    let charter = Charter::read(authority)?;
    Authority::read(authority).and_then(|signer| signer.issue(Role::Server, folder)).map_err(failed)?;
    charter.write(folder)
}

/// Makes a robot's folder, and notes in the registry that it may sign.
///
/// # Errors
/// [`Failure`].
pub fn add_robot(authority: &Path, folder: &Path) -> Result<Id, Failure> {
    let charter = Charter::read(authority)?;
    let identity = Identity::from_seed(secret::<SEED_LEN>()?);
    let id = Id::from(identity.public().robot());
    Authority::read(authority).and_then(|signer| signer.issue(Role::Robot(id), folder)).map_err(failed)?;
    charter.write(folder)?;
    write_secret(folder, IDENTITY, identity.seed().expose())?;
    for name in [HOLDER_PUBLIC, PUBLISHER] {
        write(folder, name, &read(authority, name)?)?;
    }
    SealFolder::create(&folder.join(SEALS)).map_err(failed)?;
    write(&authority.join(REGISTRY), &id.to_string(), &identity.public().to_bytes())?;
    Ok(id)
}

/// Shuts a robot out: puts it on the authority's list, and copies the list into the folders of server and key holder that are given.
/// `robot` is the beginning of its name, as everybody prints it. Gives its name, and how many robots are on the list.
///
/// # Errors
/// [`Failure::Usage`] where no robot, or more than one, has such a name.
pub fn revoke(authority: &Path, robot: &str, copy_to: &[PathBuf]) -> Result<(Id, usize), Failure> {
    let id = known(&authority.join(REGISTRY), robot)?;
    let signer = Authority::read(authority).map_err(failed)?;
    let list = signer.revoke(id).map_err(failed)?;
    copy_to.iter().try_for_each(|folder| signer.copy_list(folder)).map_err(failed)?;
    Ok((id, list.robots()))
}

/// The one robot in a registry whose name begins so.
fn known(registry: &Path, beginning: &str) -> Result<Id, Failure> {
    let wrong = |what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", registry.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(registry).map_err(|error| wrong(&error))? {
        let name = entry.map_err(|error| wrong(&error))?.file_name().to_string_lossy().into_owned();
        found.extend(Id::parse(&name).filter(|_| name.starts_with(beginning)));
    }
    match found[..] {
        [robot] => Ok(robot),
        [] => Err(wrong(&format_args!("no robot's name begins with {beginning}; its files are named by robots"))),
        _ => Err(wrong(&format_args!("{} robots' names begin with {beginning}: give more of it", found.len()))),
    }
}

/// The key holder's key, compared with the charter's.
///
/// # Errors
/// [`Failure::Usage`] says what is wrong with the folder.
pub fn holder_key(folder: &Path, charter: &Charter) -> Result<HolderKey, Failure> {
    let key = HolderKey::from_seed(&read_secret(folder, HOLDER_SEED)?);
    if Id(key.public().fingerprint()).to_string() != charter.holder {
        return Err(Failure::Usage("the key holder's key is another than the fleet's: restore its folder".into()));
    }
    Ok(key)
}

/// The key holder's public key, compared with the charter's.
///
/// # Errors
/// [`Failure::Usage`] says what is wrong with the folder.
pub fn holder_public(folder: &Path) -> Result<HolderPublic, Failure> {
    HolderPublic::from_bytes(&read(folder, HOLDER_PUBLIC)?).map_err(|error| Failure::Usage(error.to_string()))
}

/// A party's signing keys.
///
/// # Errors
/// [`Failure::Usage`].
pub fn identity(folder: &Path) -> Result<Identity, Failure> {
    read_secret(folder, IDENTITY).map(Identity::from_seed)
}

/// Who signs packages.
///
/// # Errors
/// [`Failure::Usage`].
pub fn publisher(folder: &Path) -> Result<PublicIdentity, Failure> {
    let bytes = read(folder, PUBLISHER)?;
    PublicIdentity::from_bytes(&bytes).map_err(|error| Failure::Usage(format!("{PUBLISHER}: {error}")))
}

/// Who may sign as which robot: every file in the folder.
///
/// # Errors
/// [`Failure::Usage`] names a file that is no public identity.
pub fn registry(folder: &Path) -> Result<Registry, Failure> {
    let wrong = |path: &Path, what: &dyn std::fmt::Display| Failure::Usage(format!("{}: {what}", path.display()));
    let mut registry = Registry::default();
    for entry in fs::read_dir(folder).map_err(|error| wrong(folder, &error))? {
        let path = entry.map_err(|error| wrong(folder, &error))?.path();
        let bytes = fs::read(&path).map_err(|error| wrong(&path, &error))?;
        let public = PublicIdentity::from_bytes(&bytes).map_err(|error| wrong(&path, &error))?;
        registry.enrol(public).map_err(|error| wrong(&path, &error))?;
    }
    Ok(registry)
}
