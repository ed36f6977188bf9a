//! Numbers: prime moduli below 2^30, lazy 32-bit arithmetic, and the negacyclic number-theoretic transform.
//!
//! This is the bottom layer: no threads, no `unsafe`, no allocation besides a [`Plan`]'s tables. The vector engines in
//! `kernels` run the same plans; [`naive`] is the definition both are tested against.
//!
//! ```
//! use tensorguard_ntt::{Modulus, Plan, inverse, forward, multiply};
//! let plan = Plan::new(Modulus::P1, 256)?;
//! let (mut x, mut y) = (vec![0; 256], vec![0; 256]);
//! (x[255], y[1]) = (1, 1); // X^255 * X = X^256 = -1
//! forward(&plan, &mut x);
//! forward(&plan, &mut y);
//! multiply(&plan, &mut x, &y);
//! inverse(&plan, &mut x);
//! assert_eq!(x[0], plan.modulus().value() - 1);
//! # Ok::<(), tensorguard_ntt::PlanError>(())
//! ```
#![forbid(unsafe_code)]

mod modulus;
pub mod naive;
mod plan;
mod reduce;
mod transform;

pub use modulus::{Modulus, ModulusError};
pub use plan::{Plan, PlanError};
pub use reduce::{Shoup, reduce_any, reduce_once};
pub use transform::{forward, inverse, multiply, multiply_add};
