//! Who signs: an [`Identity`] has an Ed25519 and an ML-DSA-65 key, and signs everything with both. A signature counts only if
//! both halves verify, so it holds as long as one of the two schemes does.
//!
//! Both halves sign the same bytes: this crate's label, the [`Purpose`], the signer's fingerprint, the message. So a signature
//! for one purpose is none for another, and halves of two signers cannot be combined.
//!
//! ```
//! use tensorguard_trust::identity::{Identity, Purpose, Registry};
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::ChaCha20Rng::from_seed([1; 32]);
//! let robot = Identity::generate(&mut rng);
//! let signature = robot.sign(Purpose::Manifest, b"what I uploaded", &mut rng);
//!
//! let mut registry = Registry::default();
//! let id = registry.enrol(robot.public().clone())?;
//! registry.check(id, b"what I uploaded", &signature.to_bytes())?;
//! assert!(registry.check(id, b"something else", &signature.to_bytes()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod registry;

pub use registry::{EnrolError, Registry, RegistryError, Standing};

use crate::digest::{SCHEME, digest_fields};
use core::fmt;
use ed25519_dalek::{Signer, VerifyingKey};
use kernels::Secret;
use lwe::RobotId;
use ml_dsa::{MlDsa65, SignatureEncoding};
use rand_core::CryptoRng;
use zeroize::Zeroize;

/// Bytes of the seed of an identity: Ed25519's, then ML-DSA's.
pub const SEED_LEN: usize = 64;
/// Bytes of a public identity: Ed25519's key, then ML-DSA-65's.
pub const PUBLIC_LEN: usize = 32 + ML_DSA_PUBLIC_LEN;
/// Bytes of a signature: Ed25519's, then ML-DSA-65's.
pub const SIGNATURE_LEN: usize = 64 + ML_DSA_SIGNATURE_LEN;
const ML_DSA_PUBLIC_LEN: usize = 1952;
const ML_DSA_SIGNATURE_LEN: usize = 3309;

/// What a signature is for. One made for a purpose is refused for every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A robot vouches for an upload.
    Manifest,
    /// A publisher vouches for a policy package.
    Package,
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"manifest",
            Self::Package => b"package",
        }
    }
}

/// Why an identity or a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A public identity of another length.
    PublicLength(usize),
    /// An Ed25519 key that is no point, or one of low order.
    PublicKey,
    /// A signature of another length.
    Length(usize),
    /// The Ed25519 half is wrong.
    Ed25519,
    /// The ML-DSA-65 half is wrong.
    MlDsa,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicLength(found) => {
                write!(f, "{found} bytes, a public identity has {PUBLIC_LEN}: it was cut off, or is something else")
            }
            Self::PublicKey => f.write_str("its Ed25519 key is no usable point: ask its owner for the public identity again"),
            Self::Length(found) => {
                write!(f, "{found} bytes, a signature has {SIGNATURE_LEN}: it was cut off, or has one half only")
            }
            Self::Ed25519 => f.write_str(
                "the Ed25519 half does not verify: another signer, another purpose, or the bytes changed after signing",
            ),
            Self::MlDsa => f.write_str(
                "the ML-DSA-65 half does not verify: another signer, another purpose, or the bytes changed after signing",
            ),
        }
    }
}

impl core::error::Error for SignatureError {}

/// The secret half of an identity. Erased when dropped, never printed.
pub struct Identity {
    seed: Secret<[u8; SEED_LEN]>,
    ed25519: ed25519_dalek::SigningKey,
    ml_dsa: Box<ml_dsa::ExpandedSigningKey<MlDsa65>>,
    public: PublicIdentity,
}

impl Identity {
    /// A new identity.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Secret::new([0; SEED_LEN]);
        rng.fill_bytes(seed.expose_mut());
        Self::from_seed(seed)
    }

    /// The identity of this seed: uniformly random bytes, or what [`seed`](Self::seed) gave.
    #[must_use]
    pub fn from_seed(seed: Secret<[u8; SEED_LEN]>) -> Self {
        let halves = seed.expose().as_chunks::<32>().0;
        let ed25519 = ed25519_dalek::SigningKey::from_bytes(&halves[0]);
        let mut ml_dsa_seed = ml_dsa::Seed::from(halves[1]);
        let ml_dsa = Box::new(ml_dsa::ExpandedSigningKey::<MlDsa65>::from_seed(&ml_dsa_seed));
        ml_dsa_seed.zeroize();
        let mut public = Box::new([0; PUBLIC_LEN]);
        public[..32].copy_from_slice(ed25519.verifying_key().as_bytes());
        public[32..].copy_from_slice(&ml_dsa.verifying_key().encode());
        Self { seed, ed25519, ml_dsa, public: PublicIdentity::named(public) }
    }

    /// What to store so that [`from_seed`](Self::from_seed) makes this identity again.
    #[must_use]
    pub fn seed(&self) -> &Secret<[u8; SEED_LEN]> {
        &self.seed
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &PublicIdentity {
        &self.public
    }

    /// Signs. `rng` hedges ML-DSA, as FIPS 204 recommends; a poor one does not give the key away.
    ///
    /// # Panics
    /// If ML-DSA's rejection sampling finds no signature in the number of attempts that FIPS 204 allows: never, in practice.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, message: &[u8], rng: &mut impl CryptoRng) -> Signature {
        let signed = signed_bytes(purpose, &self.public.fingerprint, message);
        let mut bytes = Box::new([0; SIGNATURE_LEN]);
        bytes[..64].copy_from_slice(&self.ed25519.sign(&signed).to_bytes());
        let ml_dsa = self.ml_dsa.sign_randomized(&signed, purpose.label(), rng);
        bytes[64..].copy_from_slice(&ml_dsa.expect("the label is short, and an attempt succeeds").to_bytes());
        Signature(bytes)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {:?}", self.public)
    }
}

/// The public half of an identity.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicIdentity {
    // Kept as bytes: expanded, ML-DSA's key takes fifteen times the room, and a registry has thousands.
    bytes: Box<[u8; PUBLIC_LEN]>,
    fingerprint: [u8; 32],
}

impl PublicIdentity {
    /// From bytes of a source that is trusted to name its owner.
    ///
    /// # Errors
    /// [`SignatureError`] if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let bytes: &[u8; PUBLIC_LEN] = bytes.try_into().map_err(|_| SignatureError::PublicLength(bytes.len()))?;
        let public = Self::named(Box::new(*bytes));
        public.ed25519()?;
        Ok(public)
    }

    fn named(bytes: Box<[u8; PUBLIC_LEN]>) -> Self {
        let fingerprint = digest_fields("identity", &[bytes.as_slice()]);
        Self { bytes, fingerprint }
    }

    /// As it is published.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PUBLIC_LEN] {
        *self.bytes
    }

    /// SHA-256 over both keys.
    #[must_use]
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// What a robot with this identity is called.
    #[must_use]
    pub fn robot(&self) -> RobotId {
        RobotId(self.fingerprint)
    }

    /// Whether this identity signed `message` for `purpose`.
    ///
    /// # Errors
    /// [`SignatureError`] says which half is wrong.
    pub fn verify(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let signed = signed_bytes(purpose, &self.fingerprint, message);
        let (ed25519, ml_dsa) = signature.0.split_at(64);
        let ed25519 = ed25519_dalek::Signature::from_slice(ed25519).map_err(|_| SignatureError::Ed25519)?;
        self.ed25519()?.verify_strict(&signed, &ed25519).map_err(|_| SignatureError::Ed25519)?;
        let ml_dsa = ml_dsa::Signature::<MlDsa65>::try_from(ml_dsa).map_err(|_| SignatureError::MlDsa)?;
        let key = self.bytes[32..].try_into().map_err(|_| SignatureError::PublicLength(PUBLIC_LEN))?;
        let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(&key);
        key.verify_with_context(&signed, purpose.label(), &ml_dsa).then_some(()).ok_or(SignatureError::MlDsa)
    }

    fn ed25519(&self) -> Result<VerifyingKey, SignatureError> {
        let bytes = self.bytes.first_chunk().ok_or(SignatureError::PublicKey)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| SignatureError::PublicKey)?;
        if key.is_weak() { Err(SignatureError::PublicKey) } else { Ok(key) }
    }
}

impl fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let print = &self.fingerprint;
        write!(f, "PublicIdentity({:02x}{:02x}{:02x}{:02x}..)", print[0], print[1], print[2], print[3])
    }
}

/// Both halves of a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Box<[u8; SIGNATURE_LEN]>);

impl Signature {
    /// From bytes as they travel. Whether it is anybody's is [`PublicIdentity::verify`]'s question.
    ///
    /// # Errors
    /// [`SignatureError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        let bytes: &[u8; SIGNATURE_LEN] = bytes.try_into().map_err(|_| SignatureError::Length(bytes.len()))?;
        Ok(Self(Box::new(*bytes)))
    }

    /// As it travels.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SIGNATURE_LEN] {
        *self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature")
    }
}

/// What both halves sign. No label has a `|`, and a fingerprint has 32 bytes: nothing can flow from one field into the next.
fn signed_bytes(purpose: Purpose, signer: &[u8; 32], message: &[u8]) -> Vec<u8> {
    [SCHEME, purpose.label(), b"|", signer, message].concat()
}
