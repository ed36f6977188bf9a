//! TLS 1.3, one key agreement, certificates of one authority on both ends.

use crate::credentials::Credentials;
use crate::revocations::Revocations;
use crate::role::Role;
use protocol::Peer;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// X25519 with ML-KEM-768 and nothing else: what is recorded today stays closed to tomorrow's quantum computer.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![kx_group::X25519MLKEM768], ..aws_lc_rs::default_provider() })
}

fn roots(credentials: &Credentials) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(credentials.authority.clone())?;
    Ok(Arc::new(roots))
}

/// The server's end. Whoever shows no certificate of the authority, or one that it has revoked, is turned away before a byte of
/// HTTP is read.
///
/// # Errors
/// What is wrong with the credentials.
pub fn acceptor(credentials: &Credentials, revoked: &Revocations) -> Result<TlsAcceptor, rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(credentials)?, provider())
        .with_crls([revoked.der.clone()])
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![credentials.certificate.clone()], credentials.key.clone_key())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A robot's or the key holder's end.
///
/// # Errors
/// What is wrong with the credentials.
pub fn connector(credentials: &Credentials) -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])?
        .with_root_certificates(roots(credentials)?)
        .with_client_auth_cert(vec![credentials.certificate.clone()], credentials.key.clone_key())?;
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Who is at the other end of a server's connection.
#[must_use]
pub fn peer_of(connection: &rustls::ServerConnection) -> Option<Peer> {
    let certificate = connection.peer_certificates()?.first()?;
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    match (Role::of(names.next()?)?, names.next()) {
        (Role::Robot(id), None) => Some(Peer::Robot(id.into())),
        (Role::Holder, None) => Some(Peer::Holder),
        _ => None,
    }
}
