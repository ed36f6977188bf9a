//! Robots that are shut out: a list that the authority signs. A robot's certificate is numbered by its name, so the standard list of
//! certificates' numbers is a list of robots, and says the same to the server, at the TLS handshake, and to the key holder.

use crate::credentials::{AUTHORITY, CredentialsError};
use protocol::Id;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use time::OffsetDateTime;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// The list, in the folders of authority, server and key holder.
pub const REVOKED: &str = "revoked.pem";

/// A certificate's number, as a list names it.
pub(crate) type Serial = [u8; 20];

/// The number of a robot's certificate: its name as far as there is room, behind a byte that keeps it positive.
pub(crate) fn serial_of(robot: Id) -> Serial {
    let mut serial = [1; 20];
    serial[1..].copy_from_slice(&robot.0[..19]);
    serial
}

/// The robots that are shut out, in the authority's words.
#[derive(Clone, PartialEq, Eq)]
pub struct Revocations {
    pub(crate) der: CertificateRevocationListDer<'static>,
    pub(crate) since: BTreeMap<Vec<u8>, OffsetDateTime>,
    number: u64,
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "list {} of {} robots", self.number, self.since.len())
    }
}

impl Revocations {
    /// Reads the list in a party's folder, and checks that the authority there signed it.
    ///
    /// # Errors
    /// [`CredentialsError`] names the file and what is wrong with it.
    pub fn read(folder: &Path) -> Result<Self, CredentialsError> {
        let wrong = |name: &str, what: &dyn fmt::Display| {
            CredentialsError::new(format_args!("{}: {what}", folder.join(name).display()))
        };
        let read = |name: &str| {
            let hint = "the authority's folder has it: copy it";
            fs::read(folder.join(name)).map_err(|error| wrong(name, &format_args!("{error}; {hint}")))
        };
        let authority = CertificateDer::from_pem_slice(&read(AUTHORITY)?).map_err(|error| wrong(AUTHORITY, &error))?;
        Self::from_pem(&read(REVOKED)?, &authority).map_err(|what| wrong(REVOKED, &what))
    }

    pub(crate) fn from_pem(pem: &[u8], authority: &CertificateDer<'_>) -> Result<Self, String> {
        let broken = |what: &dyn fmt::Display| format!("no list of revoked certificates: {what}");
        let der = CertificateRevocationListDer::from_pem_slice(pem).map_err(|error| broken(&error))?;
        let (_, authority) = X509Certificate::from_der(authority).map_err(|error| broken(&error))?;
        let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|error| broken(&error))?;
        if !rest.is_empty() {
            return Err(broken(&"something follows it"));
        }
        list.verify_signature(authority.public_key())
            .map_err(|_| "another authority signed this list, or it was changed: copy this fleet's".to_owned())?;
        let number = list.crl_number().and_then(|number| u64::try_from(number).ok());
        let number = number.ok_or_else(|| broken(&"it has no number"))?;
        let revoked = list.iter_revoked_certificates();
        let since = revoked.map(|entry| (entry.raw_serial().to_vec(), entry.revocation_date.to_datetime())).collect();
        Ok(Self { since, number, der: der.clone() })
    }

    /// Whether this robot is shut out.
    #[must_use]
    pub fn names(&self, robot: Id) -> bool {
        self.since.contains_key(&serial_of(robot)[..])
    }

    /// How many robots are.
    #[must_use]
    pub fn robots(&self) -> usize {
        self.since.len()
    }

    /// Which list it is: a later one has a higher number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}
