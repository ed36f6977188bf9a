//! What a party shows and whom it believes: three files in a folder.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The authority's certificate.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// The party's own.
pub(crate) const CERTIFICATE: &str = "certificate.pem";
/// Its key: readable by its owner only.
pub(crate) const KEY: &str = "key.pem";

/// A party's certificate and key, and the authority it believes.
#[derive(Debug)]
pub struct Credentials {
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Why there are no credentials.
#[derive(Debug)]
pub struct CredentialsError(String);

impl CredentialsError {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CredentialsError {}

impl Credentials {
    /// Reads a party's folder.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, CredentialsError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|error| {
                CredentialsError(format!(
                    "{}: {error}. `tensorguard authority issue` makes this party's folder",
                    path.display()
                ))
            })
        };
        let broken = |name: &str, error: rustls::pki_types::pem::Error| {
            CredentialsError(format!("{}: no PEM file as expected: {error}", folder.join(name).display()))
        };
        let key_path = folder.join(KEY);
        if let Ok(data) = fs::metadata(&key_path)
            && data.permissions().mode() & 0o077 != 0
        {
            let path = key_path.display();
            return Err(CredentialsError(format!("{path}: others can read this key; run `chmod 600 {path}`")));
        }
        let certificate =
            |name: &str| CertificateDer::from_pem_slice(&read(name)?).map_err(|error| broken(name, error));
        Ok(Self {
            authority: certificate(AUTHORITY)?,
            certificate: certificate(CERTIFICATE)?,
            key: PrivateKeyDer::from_pem_slice(&read(KEY)?).map_err(|error| broken(KEY, error))?,
        })
    }
}

/// Writes a new file that its owner alone can read. Never over another.
///
/// # Errors
/// What the system says.
pub fn private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
