//! Parameters, keys, the noise ledger and the wire format of TensorGuard's additive encryption.
//!
//! Values here are integers; `folding` turns floats into them. An [`Agreement`] is what all parties of one sum share. A robot
//! makes a [`MessageKey`] and [`encrypt`](Agreement::encrypt)s; a server [`read`](Ciphertext::read)s uploads and adds them to a
//! [`Sum`]; the key holder [`answer`]s, once per attempt, for the set of robots whose manifests it verified.
//!
//! Suites are of two kinds. Rings ([`Params`]) are the default. [`mod@dense`] has vectors of LWE without a ring, for short
//! messages whose owner does not want to rely on a ring's structure; everything around the words is the same.
//!
//! Three robots, a server and a key holder, whose policy is lowered for so few:
//!
//! ```
//! use kernels::cpu::Cpu;
//! use tensorguard_lwe::*;
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::ChaCha20Rng::from_seed([1; 32]);
//! /// Robots whose manifests came over channels that say who speaks: no signature is checked.
//! struct Enrolled;
//! impl Verifier for Enrolled {
//!     fn verify(&self, robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
//!         (robot.0[0] < 3).then_some(()).ok_or_else(|| NotVerified("not enrolled".into()))
//!     }
//! }
//! let (backend, holder) = (Cpu::best(1), HolderKey::generate(&mut rng));
//! let (mut seals, mut answers) = (ForgetfulLog::default(), ForgetfulLog::default());
//! let agreement = Agreement::new(&Terms {
//!     params: &Params::FL_1024_22,
//!     fleet: b"arms",
//!     model: [0; 32],
//!     round: 1,
//!     attempt: 0,
//!     class: b"",
//!     value_bits: 8,
//!     planned: 3,
//!     length: 4,
//!     keys: holder.public().model(),
//! })?;
//! let (mut sum, mut manifests) = (agreement.sum(), vec![]);
//! for number in 0..3 {
//!     let robot = RobotId([number; 32]);
//!     let key = MessageKey::new(&agreement, robot, &holder.public(), &mut rng)?;
//!     let values = [1, 2, 3, u32::from(number)];
//!     let upload = agreement.encrypt(key, UpdateId(robot.0), &values[..], vec![], &mut seals, &backend)?;
//!     sum.add(&[Ciphertext::read(&agreement, upload.bytes())?], &backend)?;
//!     manifests.push(VerifiedManifest::check(upload.manifest(), b"", &Enrolled)?);
//! }
//! let part = Part { agreement: &agreement, sum: &sum, manifests: &manifests };
//! let policy = Policy::lowered_to(3);
//! let opened = answer(Keys::Holder(&holder), policy, &[part], &mut answers, None, &backend)?;
//! assert_eq!(opened[0].values(), [3, 6, 9, 3]);
//! // Once.
//! assert!(matches!(
//!     answer(Keys::Holder(&holder), policy, &[part], &mut answers, None, &backend),
//!     Err(Refusal::Answered(_))
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Key models
//! * **One-message keys** ([`HolderKey`], the default). Each message has its own small secret, derived from a seed that is
//!   sealed to the key holder. The server learns nothing. The key holder alone sees only what it answers. **The key holder
//!   and the server together can read any update**: only a committee removes that, and there is none yet.
//! * **A fleet-shared key** ([`FleetSharedKey`]): **every robot can read every other's update**, and one stolen robot opens
//!   all that was ever sent under the key. Never the default.
//!
//! # What the types keep from happening
//! | Rule | Kept by |
//! |---|---|
//! | a key encrypts once | [`MessageKey`] and [`Pads`] are taken by value; the [`SealLog`] is marked first |
//! | an update enters one round | [`UpdateId`] in the [`SealLog`] and in the [`AnswerLog`] |
//! | one answer per attempt | [`answer`] appends to the [`AnswerLog`] before it opens anything |
//! | enough enrolled robots | [`Policy`], and [`VerifiedManifest`], which only a [`Verifier`] makes |
//! | `a` is not the server's choice | [`Agreement`] computes its [`Context`], and `a` from that |
//! | one weight per sum | the class is in the [`Context`]; [`Sum`] refuses another context; [`Sum::scale`] takes all of a sum |
#![forbid(unsafe_code)]

mod agreement;
mod answer;
mod buckets;
mod canary;
mod context;
pub mod dense;
mod hash;
mod keys;
mod ledger;
mod logs;
mod manifest;
mod message;
mod noise;
mod params;
mod ring;
mod split;
mod suite;
mod sum;
mod wire;

pub use agreement::{
    Agreement, AgreementError, Attempt, CANARY_COEFFICIENTS, CANARY_POLY, KeyModel, LEAST_WORDS, MOST_DENSE_VALUES,
    MOST_MESSAGES, MOST_VALUE_BITS, Terms,
};
pub use answer::{Keys, Opened, Part, Policy, Refusal, answer, close};
pub use buckets::{BucketError, draw_buckets, most_buckets};
pub use context::{Context, ContextFields, VERSION, model_hash};
pub use dense::{DenseAgreement, DenseLayout, DenseTerms};
pub use keys::{
    ENVELOPE_LEN, Envelope, FleetSharedKey, HOLDER_PUBLIC_LEN, HOLDER_SEED_LEN, HolderKey, HolderPublic, KeyError,
    MessageKey, RobotId,
};
pub use ledger::{Budget, Layout, Ledger, Overflow, Weights, next_smallest, smallest};
pub use logs::{AnswerLog, Created, Entry, ForgetfulLog, Head, LogError, SealLog};
pub use manifest::{
    CHUNK_LEN, Manifest, NotVerified, VerifiedManifest, Verifier, merkle_leaf, merkle_root, root_of_leaves,
};
pub use message::{Pads, SealError, UpdateId, Upload, Values};
pub use noise::Suspicion;
pub use params::{DenseParams, Estimate, INSECURE, LEAST_SECURITY, Params, ParamsError};
pub use split::Split;
pub use suite::Suite;
pub use sum::{AddError, StoredSumError, Sum};
pub use wire::{Ciphertext, HEADER_LEN, Kind, Malformed};
