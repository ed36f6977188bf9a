//! One-message keys, sealed to the key holder by X25519 and ML-KEM-768 together; and the fleet-shared key.
//!
//! A message key encrypts once: it is taken by value, and its use is marked durably first (see [`crate::SealLog`]).

use crate::agreement::{Agreement, KeyModel};
use crate::context::Context;
use crate::hash::{hash_fields, hash_secret_fields};
use crate::suite::Suite;
use core::fmt;
use kernels::Secret;
use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use libcrux_ml_kem::{ENCAPS_SEED_SIZE, KEY_GENERATION_SEED_SIZE};
use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroize;

/// Bytes of a sealed key: an X25519 public key and an ML-KEM-768 ciphertext.
pub const ENVELOPE_LEN: usize = 32 + ML_KEM_CIPHERTEXT_LEN;
const ML_KEM_CIPHERTEXT_LEN: usize = MlKem768Ciphertext::len();
/// Bytes of a key holder's public key: X25519's, then ML-KEM-768's.
pub const HOLDER_PUBLIC_LEN: usize = 32 + ML_KEM_PUBLIC_LEN;
const ML_KEM_PUBLIC_LEN: usize = MlKem768PublicKey::len();

/// Names a robot: the fingerprint of its long-lived identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RobotId(pub [u8; 32]);

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Bytes that are no public key.
    Malformed,
    /// Another key than the one the round names.
    OtherKey,
    /// The round uses the other key model.
    OtherModel,
    /// An envelope whose X25519 point is of low order: nobody honest sends one.
    WeakEnvelope,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "these bytes are no public key of a key holder; fetch it again",
            Self::OtherKey => "the round names another key: pin the key holder's key, and never take it from a server",
            Self::OtherModel => "the round uses the other key model: take the key that its terms name",
            Self::WeakEnvelope => "the sealed key is of low order; refuse this robot",
        })
    }
}

impl core::error::Error for KeyError {}

/// The key holder's secret key. One per round where the store allows: erased before the answer, it cannot be stolen later.
pub struct HolderKey {
    x25519: StaticSecret,
    ml_kem: Secret<MlKemSecret>,
    public: HolderPublic,
}

/// Erases what its library does not.
struct MlKemSecret(MlKem768PrivateKey);

impl Zeroize for MlKemSecret {
    fn zeroize(&mut self) {
        self.0[0..].zeroize();
    }
}

/// The key holder's public key. Robots must have it from a source they trust, never from the server.
#[derive(Clone, PartialEq, Eq)]
pub struct HolderPublic {
    x25519: PublicKey,
    ml_kem: [u8; ML_KEM_PUBLIC_LEN],
}

/// A sealed message key, as it travels. Public.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope([u8; ENVELOPE_LEN]);

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope")
    }
}

impl Envelope {
    /// From an upload or a manifest.
    #[must_use]
    pub fn from_bytes(bytes: [u8; ENVELOPE_LEN]) -> Self {
        Self(bytes)
    }

    /// As it travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8; ENVELOPE_LEN] {
        &self.0
    }

    fn split(&self) -> (&[u8; 32], &[u8; ML_KEM_CIPHERTEXT_LEN]) {
        let (x25519, ml_kem) = self.0.split_first_chunk().expect("ENVELOPE_LEN is past 32");
        (x25519, ml_kem.try_into().expect("ENVELOPE_LEN is the sum"))
    }
}

/// Bytes of the seed of a key holder's key: X25519's, then ML-KEM-768's.
pub const HOLDER_SEED_LEN: usize = 32 + KEY_GENERATION_SEED_SIZE;

impl HolderKey {
    /// The key of this seed: uniformly random bytes, kept where nobody else can read them.
    #[must_use]
    pub fn from_seed(seed: &Secret<[u8; HOLDER_SEED_LEN]>) -> Self {
        let (x25519, ml_kem) = seed.expose().split_first_chunk::<32>().expect("a seed is longer than 32 bytes");
        let ml_kem = Secret::new(ml_kem.try_into().expect("the rest is as long as ML-KEM's seed"));
        Self::of(StaticSecret::from(*x25519), &ml_kem)
    }

    /// A new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let x25519 = StaticSecret::random_from_rng(rng);
        Self::of(x25519, &Secret::new(drawn::<KEY_GENERATION_SEED_SIZE>(rng)))
    }

    fn of(x25519: StaticSecret, seed: &Secret<[u8; KEY_GENERATION_SEED_SIZE]>) -> Self {
        let (ml_kem, public) = mlkem768::generate_key_pair(*seed.expose()).into_parts();
        let public = HolderPublic { x25519: PublicKey::from(&x25519), ml_kem: public.into() };
        Self { x25519, ml_kem: Secret::new(MlKemSecret(ml_kem)), public }
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> HolderPublic {
        self.public.clone()
    }

    /// The seed of the message key in an envelope.
    pub(crate) fn open(
        &self,
        context: &Context,
        robot: &RobotId,
        envelope: &Envelope,
    ) -> Result<Secret<[u8; 32]>, KeyError> {
        let (x25519, ml_kem) = envelope.split();
        let classical = self.x25519.diffie_hellman(&PublicKey::from(*x25519));
        if !classical.was_contributory() {
            return Err(KeyError::WeakEnvelope);
        }
        let quantum = Secret::new(mlkem768::decapsulate(&self.ml_kem.expose().0, &ml_kem.into()));
        Ok(message_seed(context, classical.as_bytes(), quantum.expose(), envelope, robot))
    }
}

impl fmt::Debug for HolderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HolderKey")
    }
}

impl HolderPublic {
    /// From bytes that a trusted source gave.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let (x25519, ml_kem) = bytes.split_first_chunk::<32>().ok_or(KeyError::Malformed)?;
        let ml_kem: [u8; ML_KEM_PUBLIC_LEN] = ml_kem.try_into().map_err(|_| KeyError::Malformed)?;
        if !mlkem768::validate_public_key(&ml_kem.into()) {
            return Err(KeyError::Malformed);
        }
        Ok(Self { x25519: PublicKey::from(*x25519), ml_kem })
    }

    /// As it is published: [`HOLDER_PUBLIC_LEN`] bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.x25519.as_bytes().as_slice(), &self.ml_kem].concat()
    }

    /// What robots pin and rounds name.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        hash_fields("holder", &[&self.to_bytes()])
    }

    /// The key model that names this key.
    #[must_use]
    pub fn model(&self) -> KeyModel {
        KeyModel::OneMessage(self.fingerprint())
    }
}

impl fmt::Debug for HolderPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let print = self.fingerprint();
        write!(f, "HolderPublic({:02x}{:02x}{:02x}{:02x}..)", print[0], print[1], print[2], print[3])
    }
}

/// A key for one message of one robot in one sum. Not `Clone`: it encrypts once.
///
/// ```compile_fail,E0277
/// fn copies<T: Clone>() {}
/// copies::<tensorguard_lwe::MessageKey>();
/// ```
pub struct MessageKey {
    pub(crate) seed: Secret<[u8; 32]>,
    pub(crate) envelope: Option<Envelope>,
    pub(crate) context: Context,
    pub(crate) robot: RobotId,
}

impl MessageKey {
    /// A fresh key, sealed to the round's key holder.
    ///
    /// # Errors
    /// [`KeyError`] if `holder` is not the key that the agreement names.
    pub fn new<P: Suite>(
        agreement: &Agreement<P>,
        robot: RobotId,
        holder: &HolderPublic,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyError> {
        match agreement.keys() {
            KeyModel::OneMessage(print) if print == holder.fingerprint() => {}
            KeyModel::OneMessage(_) => return Err(KeyError::OtherKey),
            KeyModel::FleetShared(_) => return Err(KeyError::OtherModel),
        }
        let ephemeral = StaticSecret::random_from_rng(rng);
        let classical = ephemeral.diffie_hellman(&holder.x25519);
        if !classical.was_contributory() {
            return Err(KeyError::Malformed);
        }
        let message = Secret::new(drawn::<ENCAPS_SEED_SIZE>(rng));
        let (ciphertext, quantum) = mlkem768::encapsulate(&holder.ml_kem.into(), *message.expose());
        let quantum = Secret::new(quantum);
        let mut bytes = [0; ENVELOPE_LEN];
        bytes[..32].copy_from_slice(PublicKey::from(&ephemeral).as_bytes());
        bytes[32..].copy_from_slice(ciphertext.as_slice());
        let (envelope, context) = (Envelope(bytes), *agreement.context());
        let seed = message_seed(&context, classical.as_bytes(), quantum.expose(), &envelope, &robot);
        Ok(Self { seed, envelope: Some(envelope), context, robot })
    }

    /// Names the message: whoever marks this name used cannot use the key again.
    #[must_use]
    pub fn message_id(&self) -> [u8; 32] {
        let envelope = self.envelope.as_ref().map_or(&[][..], |envelope| envelope.bytes());
        hash_fields("message id", &[self.context.bytes(), &self.robot.0, envelope])
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageKey")
    }
}

/// One long-lived key in every robot and at whoever decrypts.
///
/// **Every robot can read every other robot's update, and one stolen robot opens all that was ever sent.** It is here
/// because small fleets under one owner ask for it. The server still learns nothing. Prefer [`HolderKey`].
#[derive(Debug)]
pub struct FleetSharedKey(Secret<[u8; 32]>);

impl FleetSharedKey {
    /// A new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Secret::new([0; 32]);
        rng.fill_bytes(key.expose_mut());
        Self(key)
    }

    /// A key from the fleet's store.
    #[must_use]
    pub fn from_secret(key: Secret<[u8; 32]>) -> Self {
        Self(key)
    }

    /// What rounds name.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        hash_fields("fleet-shared fingerprint", &[self.0.expose()])
    }

    /// The key model that names this key.
    #[must_use]
    pub fn model(&self) -> KeyModel {
        KeyModel::FleetShared(self.fingerprint())
    }

    /// This robot's key for its one message in this sum. The same each time: only the robot's [`crate::SealLog`] keeps it
    /// from encrypting twice.
    ///
    /// # Errors
    /// [`KeyError`] if the agreement names another key.
    pub fn message_key<P: Suite>(&self, agreement: &Agreement<P>, robot: RobotId) -> Result<MessageKey, KeyError> {
        self.check(agreement)?;
        let context = *agreement.context();
        Ok(MessageKey { seed: self.seed(&context, &robot), envelope: None, context, robot })
    }

    pub(crate) fn check<P: Suite>(&self, agreement: &Agreement<P>) -> Result<(), KeyError> {
        match agreement.keys() {
            KeyModel::FleetShared(print) if print == self.fingerprint() => Ok(()),
            KeyModel::FleetShared(_) => Err(KeyError::OtherKey),
            KeyModel::OneMessage(_) => Err(KeyError::OtherModel),
        }
    }

    pub(crate) fn seed(&self, context: &Context, robot: &RobotId) -> Secret<[u8; 32]> {
        hash_secret_fields("fleet-shared message", &[context.bytes(), self.0.expose(), &robot.0])
    }
}

fn drawn<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Binds everything that makes the message this one: another round, robot or envelope gives another seed.
fn message_seed(
    context: &Context,
    classical: &[u8; 32],
    quantum: &[u8],
    envelope: &Envelope,
    robot: &RobotId,
) -> Secret<[u8; 32]> {
    let (x25519, ml_kem) = envelope.split();
    hash_secret_fields("message", &[context.bytes(), classical, quantum, x25519, ml_kem, &robot.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ContextFields;

    fn context(round: u64) -> Context {
        Context::new(&ContextFields {
            suite: [6; 16],
            fleet: b"fleet",
            model: [7; 32],
            round,
            attempt: 9,
            wire_bits: 50,
            value_bits: 10,
            values_per_coefficient: 3,
            planned: 100,
            length: 1000,
            class: b"class",
            key: [11; 32],
        })
    }

    /// Another library makes the same keys from the same randomness, and opens what ours seals; and ours what it does.
    #[test]
    fn ml_kem_is_what_another_library_takes_it_for() {
        use ml_kem::kem::{Decapsulate, Encapsulate};
        use ml_kem::{Generate, KeyExport, ml_kem_768};
        use rand::{SeedableRng, rngs::ChaCha20Rng};
        for seed in 0..8 {
            let fresh = || ChaCha20Rng::seed_from_u64(seed);
            let ours = HolderKey::generate(&mut fresh());
            let mut rng = fresh();
            let _ = StaticSecret::random_from_rng(&mut rng);
            let theirs = ml_kem_768::DecapsulationKey::generate_from_rng(&mut rng);
            assert_eq!(ours.public.ml_kem[..], theirs.encapsulation_key().to_bytes()[..]);

            let (sealed, secret) = theirs.encapsulation_key().encapsulate_with_rng(&mut fresh());
            let sealed: [u8; ML_KEM_CIPHERTEXT_LEN] = sealed.into();
            let (same, ours_sealed) = mlkem768::encapsulate(&ours.public.ml_kem.into(), drawn(&mut fresh()));
            assert_eq!((same.as_slice(), ours_sealed.as_slice()), (&sealed, &secret[..]));
            let opened =
                |sealed: &[u8; ML_KEM_CIPHERTEXT_LEN]| mlkem768::decapsulate(&ours.ml_kem.expose().0, &sealed.into());
            assert_eq!(opened(&sealed)[..], secret[..]);
            // What nobody sealed opens to something, on both sides to the same.
            let mut forged = sealed;
            forged[seed as usize * 135] ^= 1;
            assert_eq!(opened(&forged)[..], theirs.decapsulate(&forged.into())[..]);
            assert_ne!(opened(&forged)[..], secret[..]);
        }
    }

    #[test]
    fn a_seed_gives_one_key_and_every_byte_of_it_counts() {
        let key = |changed: Option<usize>| {
            let mut seed: [u8; HOLDER_SEED_LEN] = core::array::from_fn(|index| index as u8);
            changed.into_iter().for_each(|at| seed[at] ^= 0x40);
            HolderKey::from_seed(&Secret::new(seed)).public().fingerprint()
        };
        assert_eq!(key(None), key(None));
        // The last 32 bytes are what ML-KEM answers a false ciphertext from: they are in no public key.
        (0..64).step_by(7).for_each(|at| assert_ne!(key(Some(at)), key(None), "byte {at}"));
    }

    fn hex(seed: &Secret<[u8; 32]>) -> String {
        seed.expose().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A seed without one of these would still open: nothing else sees that it is missing.
    #[test]
    fn a_message_seed_is_what_another_implementation_says_and_binds_every_part() {
        let seed = |round, classical, quantum, x25519, ml_kem, robot| {
            let mut envelope = [ml_kem; ENVELOPE_LEN];
            envelope[..32].fill(x25519);
            let (envelope, robot) = (Envelope(envelope), RobotId([robot; 32]));
            hex(&message_seed(&context(round), &[classical; 32], &[quantum; 32], &envelope, &robot))
        };
        // Python's hashlib, by docs/WIRE.md; the context is the first case of its own test.
        assert_eq!(seed(8, 1, 2, 3, 4, 5), "ee8610fdb884e90d684b07be6097bfe63be26b3ba620bf67a203e8d5429e0b43");
        let mut seeds = vec![
            seed(8, 1, 2, 3, 4, 5),
            seed(9, 1, 2, 3, 4, 5),
            seed(8, 9, 2, 3, 4, 5),
            seed(8, 1, 9, 3, 4, 5),
            seed(8, 1, 2, 9, 4, 5),
            seed(8, 1, 2, 3, 9, 5),
            seed(8, 1, 2, 3, 4, 9),
        ];
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 7);
        let shared = FleetSharedKey(Secret::new([8; 32]));
        assert_eq!(
            hex(&shared.seed(&context(8), &RobotId([5; 32]))),
            "e32ffbfded5563456f704fc5aea70543ed31c7a72b1750a8d4c0f123387b9437"
        );
    }
}
