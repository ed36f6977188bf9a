//! The fleet's own authority: signs who is server, key holder and which robot. Nobody else signs, nobody else is believed.

use crate::credentials::{AUTHORITY, CERTIFICATE, KEY, private_file};
use crate::role::Role;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use std::fmt;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// How long a party's certificate is good.
const PARTY_DAYS: i64 = 365;
/// How long the authority's own is.
const AUTHORITY_DAYS: i64 = 3650;

/// An authority's key and certificate. Keep the folder offline, or with the key holder; never on the server.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Why nothing was signed or written.
#[derive(Debug)]
pub struct AuthorityError(String);

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuthorityError {}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

fn failed(path: &Path, what: impl fmt::Display) -> AuthorityError {
    AuthorityError(format!("{}: {what}", path.display()))
}

fn parameters(name: &str, days: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name.push(DnType::CommonName, "TensorGuard");
    // Clocks differ.
    parameters.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    parameters.not_after = OffsetDateTime::now_utc() + Duration::days(days);
    Ok(parameters)
}

impl Authority {
    /// Makes an authority in a new folder.
    ///
    /// # Errors
    /// [`AuthorityError`], for instance where there is one already: another one would turn all parties away.
    pub fn create(folder: &Path) -> Result<Self, AuthorityError> {
        let make = || -> Result<(String, String), rcgen::Error> {
            let mut parameters = parameters("authority.tensorguard.internal", AUTHORITY_DAYS)?;
            parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = make().map_err(|error| failed(folder, error))?;
        new_folder(folder)?;
        write(&folder.join(AUTHORITY), &certificate)?;
        write(&folder.join(KEY), &key)?;
        Self::read(folder)
    }

    /// Reads an authority's folder.
    ///
    /// # Errors
    /// [`AuthorityError`] says what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, AuthorityError> {
        let read = |name: &str| {
            let hint = "`tensorguard authority create` makes one, once in the life of a fleet";
            fs::read_to_string(folder.join(name))
                .map_err(|error| failed(&folder.join(name), format_args!("{error}. {hint}")))
        };
        let (certificate, key) = (read(AUTHORITY)?, read(KEY)?);
        let key = KeyPair::from_pem(&key).map_err(|error| failed(&folder.join(KEY), error))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate, key).map_err(|error| failed(&folder.join(AUTHORITY), error))?;
        Ok(Self { certificate, issuer })
    }

    /// Makes a party's folder: its key, its certificate, and the authority's.
    ///
    /// # Errors
    /// [`AuthorityError`], for instance where the folder has a key already.
    pub fn issue(&self, role: Role, folder: &Path) -> Result<(), AuthorityError> {
        let make = || -> Result<(String, String), rcgen::Error> {
            let mut parameters = parameters(&role.name(), PARTY_DAYS)?;
            parameters.use_authority_key_identifier_extension = true;
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = vec![match role {
                Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
                Role::Holder | Role::Robot(_) => ExtendedKeyUsagePurpose::ClientAuth,
            }];
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            Ok((parameters.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = make().map_err(|error| failed(folder, error))?;
        if !folder.is_dir() {
            new_folder(folder)?;
        }
        write(&folder.join(KEY), &key)?;
        write(&folder.join(CERTIFICATE), &certificate)?;
        write(&folder.join(AUTHORITY), &self.certificate)
    }
}

fn new_folder(folder: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(|error| failed(folder, error))
}

fn write(path: &Path, content: &str) -> Result<(), AuthorityError> {
    private_file(path, content.as_bytes()).map_err(|error| failed(path, error))
}
