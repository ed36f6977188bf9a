//! What differs between suites: how words are planned, encrypted and opened. Keys, rounds, sums, manifests and answers are
//! the same for all of them, and so are their rules.

use crate::agreement::{Agreement, AgreementError};
use crate::ledger::{Budget, Weights};
use crate::message::Values;
use crate::params::{DenseParams, Params};
use crate::split::Split;
use core::fmt::Debug;
use kernels::{Backend, Fault, Noise, Secret, Shape};

/// A kind of suite: [`Params`] for ring sums, [`DenseParams`] for vectors of plain LWE. There are no others.
pub trait Suite: Kind {}

impl Suite for Params {}
impl Suite for DenseParams {}

/// A message's words, as planned.
#[derive(Clone, Debug)]
pub struct Words<L> {
    pub(crate) layout: L,
    pub(crate) shape: Shape,
    pub(crate) budget: Budget,
    pub(crate) values_per_coefficient: u32,
}

/// Which words of a message.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Those with the values.
    Body,
    /// The canary's zeros.
    Canary,
}

/// What a [`Suite`] does. Not exported, so there are no suites but ours.
pub trait Kind: Clone + Debug + Sized {
    /// How values become words.
    type Layout: Clone + Debug;

    fn name(&self) -> &'static str;

    fn id(&self) -> [u8; 16];

    /// Length of a secret.
    fn dimension(&self) -> usize;

    fn check_length(&self, length: usize) -> Result<(), AgreementError>;

    /// The smallest words for messages of `length` values, of which `most` are added. `None` if nothing fits.
    fn plan(&self, value_bits: u32, most: Weights, length: usize) -> Option<Words<Self::Layout>>;

    /// Digits of a message's values, without the zeros behind a short one.
    fn digits(layout: &Self::Layout, length: usize) -> usize;

    fn split(layout: &Self::Layout) -> Option<Split>;

    /// Encrypts the values to the packed words of a body.
    fn encrypt_body(
        agreement: &Agreement<Self>,
        seed: &Secret<[u8; 32]>,
        values: &(impl Values + ?Sized),
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault>
    where
        Self: Suite;

    /// Encrypts the canary's zeros.
    fn encrypt_canary(
        agreement: &Agreement<Self>,
        seed: &Secret<[u8; 32]>,
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault>
    where
        Self: Suite;

    /// Opens an accumulator under the sum of the secrets.
    fn open(
        agreement: &Agreement<Self>,
        place: Place,
        secret_sum: &Secret<Vec<i32>>,
        accumulator: &[u32],
        backend: &dyn Backend,
    ) -> Result<(Vec<u32>, Noise), Fault>
    where
        Self: Suite;
}
