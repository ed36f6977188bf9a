//! TensorGuard's front door: floats to wire bytes to a sum to the mean.
//!
//! A [`Round`] is what all parties agree on. A robot [`encrypt`](Round::encrypt)s its [`Update`]; the server
//! [`take`](Round::take)s uploads into a [`Sum`](lwe::Sum) without any key; the key holder [`open`](Round::open)s the [`Mean`], once,
//! for enough robots whose manifests it has verified. `examples/round.rs` is the whole of it, as the last example here.
//!
//! A round explains what it chose:
//!
//! ```
//! use tensorguard_folding::{Round, RoundTerms, lwe::KeyModel};
//! let key_holder = KeyModel::OneMessage([7; 32]); // the fingerprint that robots pin
//! let round = Round::new(&RoundTerms::new(2_500_000, 100, 0.5, key_holder))?;
//! assert_eq!(round.agreement().upload_len(), 5_209_874); // fp32 has 10,000,000
//! println!("{}", round.explain());
//! # Ok::<(), tensorguard_folding::RoundError>(())
//! ```
//!
//! A robot encrypts once, and says what of its update was out of range:
//!
//! ```
//! use tensorguard_folding::lwe::{ForgetfulLog, HolderKey, MessageKey, RobotId, UpdateId};
//! use tensorguard_folding::{Round, RoundTerms, Update};
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::ChaCha20Rng::from_seed([1; 32]);
//! let holder = HolderKey::generate(&mut rng);
//! let round = Round::new(&RoundTerms::new(4, 100, 1.0, holder.public().model()))?;
//! let key = MessageKey::new(round.agreement(), RobotId([1; 32]), &holder.public(), &mut rng)?;
//! let update = Update::new(UpdateId([2; 32]), &[0.25f32, -0.5, 3.0, f32::NAN][..]).clipping();
//! let backend = kernels::cpu::Cpu::best(1);
//! let (upload, out_of_range) = round.encrypt(key, update, &mut ForgetfulLog::default(), &backend)?;
//! assert_eq!((out_of_range.clipped, out_of_range.not_a_number), (1, 1));
//! assert_eq!(upload.bytes().len(), round.agreement().upload_len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The server looks before it adds; what it refuses leaves the sum as it was:
//!
//! ```
//! use tensorguard_folding::{Round, RoundTerms, TakeError, lwe::{KeyModel, Malformed}};
//! let round = Round::new(&RoundTerms::new(4, 100, 1.0, KeyModel::OneMessage([7; 32])))?;
//! let mut sum = round.sum();
//! let refused = round.take(&mut sum, b"no upload", &kernels::cpu::Cpu::best(1));
//! assert!(matches!(refused, Err(TakeError::Malformed(Malformed::Length { .. }))));
//! assert_eq!(sum.weights().messages, 0);
//! # Ok::<(), tensorguard_folding::RoundError>(())
//! ```
//!
//! A whole round: each robot encrypts, the server adds, and the key holder sees the mean alone:
//!
//! ```
//! use tensorguard_folding::lwe::{
//!     ForgetfulLog, HolderKey, Keys, MessageKey, NotVerified, RobotId, UpdateId, VerifiedManifest, Verifier,
//! };
//! use tensorguard_folding::{Question, Round, RoundTerms, Update};
//! # use rand::SeedableRng;
//! # let mut rng = rand::rngs::ChaCha20Rng::from_seed([1; 32]);
//! /// Robots whose manifests came over channels that say who speaks: no signature is checked.
//! struct Enrolled;
//! impl Verifier for Enrolled {
//!     fn verify(&self, robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
//!         (robot.0[0] < 16).then_some(()).ok_or_else(|| NotVerified("not enrolled".into()))
//!     }
//! }
//! let (backend, holder) = (kernels::cpu::Cpu::best(1), HolderKey::generate(&mut rng));
//! let (mut seals, mut answers) = (ForgetfulLog::default(), ForgetfulLog::default());
//! let round = Round::new(&RoundTerms::new(3, 16, 1.0, holder.public().model()))?;
//! let (mut sum, mut manifests) = (round.sum(), vec![]);
//! for number in 0..16 {
//!     let robot = RobotId([number; 32]);
//!     let key = MessageKey::new(round.agreement(), robot, &holder.public(), &mut rng)?;
//!     let values = [0.5, -1.0, f32::from(number) / 16.0];
//!     let (upload, _) = round.encrypt(key, Update::new(UpdateId(robot.0), &values[..]), &mut seals, &backend)?;
//!     round.take(&mut sum, upload.bytes(), &backend)?;
//!     manifests.push(VerifiedManifest::check(upload.manifest(), b"", &Enrolled)?);
//! }
//! let mean = round.open(&Question::new(Keys::Holder(&holder)), &sum, &manifests, &mut answers, &backend)?;
//! let expected = [0.5, -1.0, 7.5 / 16.0];
//! assert_eq!(mean.robots, 16);
//! assert!(mean.values.iter().zip(expected).all(|(mean, x)| f64::from((mean - x).abs()) <= round.grid().step()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod explain;
mod lanes;
mod round;
mod rounding;

pub use explain::Explanation;
pub use half::{bf16, f16};
pub use lanes::{Floats, Grid, OutOfRange};
pub use lwe;
pub use round::{EncryptError, Mean, Question, Round, RoundError, RoundTerms, TakeError, Update, Weighting};
