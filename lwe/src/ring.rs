//! Ring sums: many values in the coefficients of a few polynomials.

use crate::Params;
use crate::agreement::{Agreement, AgreementError, CANARY_COEFFICIENTS, CANARY_POLY};
use crate::ledger::{Budget, Layout, Weights, smallest_for};
use crate::message::Values;
use crate::split::Split;
use crate::suite::{Kind, Place, Words};
use kernels::{Backend, DecryptJob, EncryptJob, Fault, Noise, Secret};

/// The most values of a message.
const MOST_VALUES: usize = 1 << 31;

impl Kind for Params {
    type Layout = Layout;

    fn name(&self) -> &'static str {
        self.name()
    }

    fn id(&self) -> [u8; 16] {
        self.id()
    }

    fn dimension(&self) -> usize {
        self.n()
    }

    fn check_length(&self, length: usize) -> Result<(), AgreementError> {
        if (1..=MOST_VALUES).contains(&length) { Ok(()) } else { Err(AgreementError::Length(length)) }
    }

    fn plan(&self, value_bits: u32, most: Weights, length: usize) -> Option<Words<Layout>> {
        let layout = smallest_for(self, value_bits, most, length)?;
        let (shape, budget) = (layout.encoding.shape(layout.padded_digits(length)), Budget::of(&layout.encoding));
        // At most 60: a digit has at least one bit.
        let values_per_coefficient = layout.values_per_coefficient() as u32;
        Some(Words { layout, shape, budget, values_per_coefficient })
    }

    fn digits(layout: &Layout, length: usize) -> usize {
        layout.digits(length)
    }

    fn split(layout: &Layout) -> Option<Split> {
        layout.split
    }

    fn encrypt_body(
        agreement: &Agreement,
        message_seed: &Secret<[u8; 32]>,
        values: &(impl Values + ?Sized),
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault> {
        let (encoding, a_seed) = (agreement.encoding(), agreement.a_seed());
        let blocks = agreement.blocks(agreement.encrypted_digits(backend.threads()), out, &mut []);
        agreement.in_blocks(backend.threads(), blocks, values, |block, digits| {
            let job = EncryptJob { encoding, a_seed, message_seed, first_poly: block.first_poly };
            backend.encrypt(&job, digits, block.out)
        })
    }

    fn encrypt_canary(
        agreement: &Agreement,
        message_seed: &Secret<[u8; 32]>,
        out: &mut [u8],
        backend: &dyn Backend,
    ) -> Result<(), Fault> {
        let (encoding, a_seed) = (agreement.encoding(), agreement.a_seed());
        let zeros = vec![0; CANARY_COEFFICIENTS * encoding.digits_per_coefficient()];
        backend.encrypt(&EncryptJob { encoding, a_seed, message_seed, first_poly: CANARY_POLY }, &zeros, out)
    }

    fn open(
        agreement: &Agreement,
        place: Place,
        secret_sum: &Secret<Vec<i32>>,
        accumulator: &[u32],
        backend: &dyn Backend,
    ) -> Result<(Vec<u32>, Noise), Fault> {
        let (encoding, a_seed) = (agreement.encoding(), agreement.a_seed());
        let (first_poly, count) = match place {
            Place::Body => (0, agreement.digits()),
            Place::Canary => (CANARY_POLY, CANARY_COEFFICIENTS * encoding.digits_per_coefficient()),
        };
        let mut digits = vec![0; count];
        let noise =
            backend.decrypt(&DecryptJob { encoding, a_seed, secret_sum, first_poly }, accumulator, &mut digits)?;
        Ok((digits, noise))
    }
}
