//! Identities against the standards' own answers, an independent program, and hostile bytes.

use kernels::Secret;
use kernels::cpu::Cpu;
use lwe::{
    DenseAgreement, DenseParams, DenseTerms, ForgetfulLog, HolderKey, MessageKey, RobotId, UpdateId, VerifiedManifest,
};
use ml_dsa::MlDsa65;
use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tensorguard_trust::identity::*;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// An rng that gives these bytes, once.
struct Given(Vec<u8>);

impl rand_core::TryRng for Given {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("bytes are filled")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("bytes are filled")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<_>>());
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

fn identity(number: u8) -> Identity {
    Identity::generate(&mut ChaCha20Rng::from_seed([number; 32]))
}

fn signed(identity: &Identity, purpose: Purpose, message: &[u8]) -> Signature {
    identity.sign(purpose, message, &mut ChaCha20Rng::from_seed([99; 32]))
}

#[test]
fn identities_and_signatures_are_what_another_implementation_makes() {
    let answers = json(include_str!("../../tests/vectors/signatures.json"));
    for case in answers["identities"].as_array().unwrap() {
        let text = |field: &str| case[field].as_str().unwrap();
        let purpose = match text("purpose") {
            "manifest" => Purpose::Manifest,
            "package" => Purpose::Package,
            other => panic!("no purpose is called {other}"),
        };
        let identity = Identity::from_seed(Secret::new(unhex(text("seed")).try_into().unwrap()));
        assert_eq!(hex(&Sha256::digest(identity.public().to_bytes())), text("public_sha256"));
        assert_eq!(hex(identity.public().fingerprint()), text("fingerprint"));
        let message = unhex(text("message"));
        let signature = identity.sign(purpose, &message, &mut Given(unhex(text("rnd"))));
        assert_eq!(hex(&signature.to_bytes()[..64]), text("ed25519"));
        assert_eq!(hex(&Sha256::digest(signature.to_bytes())), text("signature_sha256"));
        assert_eq!(identity.public().verify(purpose, &message, &signature), Ok(()));
    }
}

#[test]
fn ed25519_gives_the_answers_of_rfc_8032() {
    // Section 7.1, tests 1 to 3: secret key, public key, message, signature.
    let cases = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];
    for (secret, public, message, signature) in cases {
        use ed25519_dalek::Signer;
        let key = ed25519_dalek::SigningKey::from_bytes(&unhex(secret).try_into().unwrap());
        assert_eq!(hex(key.verifying_key().as_bytes()), public);
        assert_eq!(hex(&key.sign(&unhex(message)).to_bytes()), signature);
    }
}

#[test]
fn ml_dsa_65_judges_hostile_signatures_as_wycheproof_does() {
    let cases = json(include_str!("../../tests/vectors/mldsa65.json"));
    let (mut accepted, mut refused) = (0, 0);
    for group in cases["testGroups"].as_array().unwrap() {
        let key = unhex(group["publicKey"].as_str().unwrap());
        let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(&key[..].try_into().unwrap());
        for case in group["tests"].as_array().unwrap() {
            let bytes = |field: &str| unhex(case[field].as_str().unwrap_or(""));
            let valid = ml_dsa::Signature::<MlDsa65>::try_from(&bytes("sig")[..])
                .is_ok_and(|signature| key.verify_with_context(&bytes("msg"), &bytes("ctx"), &signature));
            assert_eq!(
                if valid { "valid" } else { "invalid" },
                case["result"],
                "{}: {}",
                case["tcId"],
                case["comment"]
            );
            *if valid { &mut accepted } else { &mut refused } += 1;
        }
    }
    assert_eq!((accepted, refused), (5, 11));
}

#[test]
fn a_signature_is_for_one_message_one_purpose_and_one_signer() {
    let (one, other) = (identity(1), identity(2));
    let signature = signed(&one, Purpose::Manifest, b"message");
    assert_eq!(one.public().verify(Purpose::Manifest, b"message", &signature), Ok(()));
    assert_eq!(one.public().verify(Purpose::Package, b"message", &signature), Err(SignatureError::Ed25519));
    assert_eq!(one.public().verify(Purpose::Manifest, b"massage", &signature), Err(SignatureError::Ed25519));
    assert_eq!(other.public().verify(Purpose::Manifest, b"message", &signature), Err(SignatureError::Ed25519));
}

#[test]
fn one_right_half_is_not_enough() {
    let (one, other) = (identity(1), identity(2));
    let (right, wrong) =
        (signed(&one, Purpose::Package, b"x").to_bytes(), signed(&other, Purpose::Package, b"x").to_bytes());
    let verify = |bytes: &[u8]| one.public().verify(Purpose::Package, b"x", &Signature::from_bytes(bytes).unwrap());
    assert_eq!(verify(&right), Ok(()));
    assert_eq!(verify(&[&right[..64], &wrong[64..]].concat()), Err(SignatureError::MlDsa));
    assert_eq!(verify(&[&wrong[..64], &right[64..]].concat()), Err(SignatureError::Ed25519));
    // An identity made of halves of two: its fingerprint is in what each half signs.
    let mixed = [&one.public().to_bytes()[..32], &other.public().to_bytes()[32..]].concat();
    let mixed = PublicIdentity::from_bytes(&mixed).unwrap();
    let halves = Signature::from_bytes(&[&right[..64], &wrong[64..]].concat()).unwrap();
    assert_eq!(mixed.verify(Purpose::Package, b"x", &halves), Err(SignatureError::Ed25519));
}

#[test]
fn every_changed_bit_of_a_signature_is_refused() {
    let robot = identity(3);
    let bytes = signed(&robot, Purpose::Manifest, b"m").to_bytes();
    // All bits would take half a minute: all bytes at the seams, every 50th between them.
    let seams = (0..70).chain((70..SIGNATURE_LEN - 70).step_by(50)).chain(SIGNATURE_LEN - 70..SIGNATURE_LEN);
    for at in seams {
        let mut changed = bytes;
        changed[at] ^= 1 << (at % 8);
        let expected = if at < 64 { SignatureError::Ed25519 } else { SignatureError::MlDsa };
        let verdict = robot.public().verify(Purpose::Manifest, b"m", &Signature::from_bytes(&changed).unwrap());
        assert_eq!(verdict, Err(expected), "byte {at}");
    }
}

#[test]
fn no_bytes_make_a_parser_panic_or_verify() {
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    let robot = identity(5);
    for _ in 0..200 {
        let mut bytes = vec![0; rng.random_range(0..SIGNATURE_LEN + 2)];
        rng.fill(&mut bytes[..]);
        assert_eq!(Signature::from_bytes(&bytes).is_ok(), bytes.len() == SIGNATURE_LEN);
        assert!(PublicIdentity::from_bytes(&bytes).is_err() || bytes.len() == PUBLIC_LEN);
        bytes.resize(SIGNATURE_LEN, 0);
        assert!(robot.public().verify(Purpose::Manifest, b"", &Signature::from_bytes(&bytes).unwrap()).is_err());
        let _ = PublicIdentity::from_bytes(&bytes[..PUBLIC_LEN]);
    }
}

#[test]
fn a_key_of_low_order_is_refused() {
    // The neutral element would verify a signature of every message.
    let mut public = identity(1).public().to_bytes();
    public[..32].fill(0);
    public[0] = 1;
    assert_eq!(PublicIdentity::from_bytes(&public), Err(SignatureError::PublicKey));
}

#[test]
fn a_seed_makes_the_identity_again_and_nothing_prints_it() {
    let one = identity(6);
    let again = Identity::from_seed(Secret::new(*one.seed().expose()));
    assert_eq!(one.public(), again.public());
    assert_eq!(PublicIdentity::from_bytes(&one.public().to_bytes()).as_ref(), Ok(one.public()));
    let print = hex(&one.public().fingerprint()[..4]);
    assert_eq!(format!("{one:?}"), format!("Identity of PublicIdentity({print}..)"));
}

#[test]
fn only_the_enrolled_may_sign_and_only_as_themselves() {
    let (robot, other, stranger) = (identity(1), identity(2), identity(3));
    let mut registry = Registry::default();
    let name = registry.enrol(robot.public().clone()).unwrap();
    assert_eq!(registry.enrol(robot.public().clone()), Ok(name));
    let others = registry.enrol(other.public().clone()).unwrap();
    let check = |registry: &Registry, name, by: &Identity| {
        registry.check(name, b"m", &signed(by, Purpose::Manifest, b"m").to_bytes())
    };
    assert_eq!(check(&registry, name, &robot), Ok(()));
    let wrong = Err(RegistryError::Signature(SignatureError::Ed25519));
    assert_eq!(check(&registry, others, &robot), wrong);
    assert_eq!(check(&registry, stranger.public().robot(), &stranger), Err(RegistryError::Unknown));
    let package = signed(&robot, Purpose::Package, b"m").to_bytes();
    assert_eq!(registry.check(name, b"m", &package), wrong);
    assert_eq!(registry.check(name, b"m", b""), Err(RegistryError::Signature(SignatureError::Length(0))));

    registry.revoke(name).unwrap();
    assert_eq!(check(&registry, name, &robot), Err(RegistryError::Revoked));
    assert_eq!(registry.enrol(robot.public().clone()), Err(EnrolError::Revoked));
    assert_eq!(registry.revoke(stranger.public().robot()), Err(RegistryError::Unknown));
    let standings: Vec<_> = registry.robots().map(|(robot, _, standing)| (robot == name, standing)).collect();
    assert!(standings.contains(&(true, Standing::Revoked)) && standings.contains(&(false, Standing::Enrolled)));
}

#[test]
fn a_signed_manifest_is_verified_and_another_robots_is_not() {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let (robot, holder) = (identity(1), HolderKey::generate(&mut rng));
    let mut registry = Registry::default();
    let name = registry.enrol(robot.public().clone()).unwrap();
    let keys = holder.public().model();
    let agreement = DenseAgreement::new(&DenseTerms {
        params: &DenseParams::LWE_1024_22,
        fleet: b"fleet",
        model: [0; 32],
        round: 0,
        attempt: 0,
        class: b"",
        value_bits: 5,
        planned: 20,
        length: 10,
        keys,
    })
    .unwrap();
    let mut upload = |robot: RobotId, update| {
        let key = MessageKey::new(&agreement, robot, &holder.public(), &mut rng).unwrap();
        let (values, mut log) = ([1_u32; 10], ForgetfulLog::default());
        agreement.encrypt(key, UpdateId(update), &values[..], vec![], &mut log, &Cpu::best(1)).unwrap()
    };
    let manifest = upload(name, [1; 32]).manifest();
    let signature = signed(&robot, Purpose::Manifest, &manifest.to_bytes()).to_bytes();
    assert!(VerifiedManifest::check(manifest, &signature, &registry).is_ok());
    // Another upload under the same signature, and a robot that names another.
    let error = VerifiedManifest::check(upload(name, [2; 32]).manifest(), &signature, &registry).unwrap_err();
    assert!(error.0.contains("does not verify"), "{error}");
    let lie = upload(RobotId([9; 32]), [3; 32]).manifest();
    let signature = signed(&robot, Purpose::Manifest, &lie.to_bytes()).to_bytes();
    assert!(VerifiedManifest::check(lie, &signature, &registry).unwrap_err().0.contains("no such robot"));
}
