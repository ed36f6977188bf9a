//! The fleet's own authority: signs who is server, key holder and which robot. Nobody else signs, nobody else is believed.

use crate::credentials::{AUTHORITY, CERTIFICATE, KEY, private_file};
use crate::revocations::{REVOKED, Revocations, serial_of};
use crate::role::Role;
use protocol::Id;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SerialNumber,
};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// How long a party's certificate is good.
const PARTY_DAYS: i64 = 365;
/// How long the authority's own is.
const AUTHORITY_DAYS: i64 = 3650;

/// An authority's key and certificate. Keep the folder offline, or with the key holder; never on the server.
pub struct Authority {
    folder: PathBuf,
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
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            Ok((parameters.self_signed(&key)?.pem(), key.serialize_pem()))
        };
        let (certificate, key) = make().map_err(|error| failed(folder, error))?;
        new_folder(folder)?;
        write(&folder.join(AUTHORITY), &certificate)?;
        write(&folder.join(KEY), &key)?;
        let authority = Self::read(folder)?;
        authority.write_list(1, &BTreeMap::new())?;
        Ok(authority)
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
        Ok(Self { folder: folder.to_owned(), certificate, issuer })
    }

    /// Shuts a robot out: its name goes onto the list, for good. Where servers and key holders look for the list it must be copied to.
    ///
    /// # Errors
    /// [`AuthorityError`]; then the list is as it was.
    pub fn revoke(&self, robot: Id) -> Result<Revocations, AuthorityError> {
        let list = self.revocations()?;
        if list.names(robot) {
            return Ok(list);
        }
        let mut since = list.since.clone();
        since.insert(serial_of(robot).to_vec(), OffsetDateTime::now_utc());
        self.write_list(list.number() + 1, &since)?;
        self.revocations()
    }

    /// Puts the list as it stands into a party's folder.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn copy_list(&self, folder: &Path) -> Result<(), AuthorityError> {
        self.revocations()?;
        let text = fs::read(self.folder.join(REVOKED)).map_err(|error| failed(&self.folder.join(REVOKED), error))?;
        replace(folder, REVOKED, &text)
    }

    fn revocations(&self) -> Result<Revocations, AuthorityError> {
        Revocations::read(&self.folder).map_err(|error| AuthorityError(error.to_string()))
    }

    fn write_list(&self, number: u64, since: &BTreeMap<Vec<u8>, OffsetDateTime>) -> Result<(), AuthorityError> {
        let revoked = since.iter().map(|(serial, since)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: *since,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: OffsetDateTime::now_utc(),
            // The field must be there; nobody refuses a list for its age, or a forgotten copy would stop a fleet.
            next_update: OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer).and_then(|list| list.pem());
        let pem = pem.map_err(|error| failed(&self.folder.join(REVOKED), error))?;
        replace(&self.folder, REVOKED, pem.as_bytes())
    }

    /// Makes a party's folder: its key, its certificate, and the authority's.
    ///
    /// # Errors
    /// [`AuthorityError`], for instance where the folder has a key already.
    pub fn issue(&self, role: Role, folder: &Path) -> Result<(), AuthorityError> {
        let make = || -> Result<(String, String), rcgen::Error> {
            let mut parameters = parameters(&role.name(), PARTY_DAYS)?;
            parameters.use_authority_key_identifier_extension = true;
            if let Role::Robot(robot) = role {
                parameters.serial_number = Some(SerialNumber::from_slice(&serial_of(robot)));
            }
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
        write(&folder.join(AUTHORITY), &self.certificate)?;
        match role {
            Role::Server | Role::Holder => self.copy_list(folder),
            Role::Robot(_) => Ok(()),
        }
    }
}

fn new_folder(folder: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(|error| failed(folder, error))
}

fn write(path: &Path, content: &str) -> Result<(), AuthorityError> {
    private_file(path, content.as_bytes()).map_err(|error| failed(path, error))
}

/// In the place of another or of none, whole or not at all.
fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), AuthorityError> {
    let fresh = folder.join(format!("{name}.fresh"));
    let replace = || -> io::Result<()> {
        let mut file = File::create(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, folder.join(name))?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|error| failed(&folder.join(name), error))
}
