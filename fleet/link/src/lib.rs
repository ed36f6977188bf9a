//! How a fleet's parties reach each other: TLS 1.3 under a private authority, both ends with a certificate, keys agreed on by
//! X25519 and ML-KEM-768 together.
//!
//! A party is who its certificate says it is; no message says it again. The authority's key stays with whoever owns the fleet:
//! the server has none of it.
#![forbid(unsafe_code)]

mod authority;
mod call;
mod credentials;
mod revocations;
mod role;
mod tls;

pub use authority::{Authority, AuthorityError};
pub use call::{Link, LinkError, Timeouts, pause};
pub use credentials::{Credentials, CredentialsError, private_file};
pub use protocol;
pub use revocations::{REVOKED, Revocations};
pub use role::{Role, SERVER_NAME};
pub use tls::{acceptor, connector, peer_of};
pub use tokio_rustls::TlsAcceptor;
