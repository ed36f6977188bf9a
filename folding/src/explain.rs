//! What a round chose and what it costs, in words.

use crate::round::Round;
use core::fmt;
use lwe::{Layout, Weights, next_smallest};

/// Prints as a few lines.
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    round: &'a Round,
}

impl<'a> Explanation<'a> {
    pub(crate) fn of(round: &'a Round) -> Self {
        Self { round }
    }

    /// Bytes on the wire per value, everything included.
    #[must_use]
    pub fn bytes_per_value(&self) -> f64 {
        let agreement = self.round.agreement();
        agreement.upload_len() as f64 / agreement.length() as f64
    }

    /// What is left of half a step when all planned robots are in and the noise is at its 2^-64 bound, in wire units.
    #[must_use]
    pub fn head_room(&self) -> f64 {
        let ledger = self.round.agreement().ledger();
        ledger.budget().head_room(Weights::equal(ledger.planned()))
    }
}

impl Explanation<'_> {
    /// The words that would be taken if there were none with as many values as were chosen, and what they would cost more.
    #[must_use]
    pub fn next_best(&self) -> Option<(Layout, usize)> {
        let agreement = self.round.agreement();
        let (chosen, length, planned) = (agreement.layout(), agreement.length(), agreement.ledger().planned());
        let next = next_smallest(agreement.params(), agreement.value_bits(), planned, length, chosen)?;
        let more = next.wire_len(length) - chosen.wire_len(length);
        Some((next, more))
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let agreement = self.round.agreement();
        let (params, encoding, ledger) = (agreement.params(), agreement.encoding(), agreement.ledger());
        let estimate = params.estimate();
        let planned = Weights::equal(ledger.planned());
        writeln!(
            f,
            "suite      {}: {} bits classical, {} quantum, {} with the sum of the secrets public",
            params.name(),
            estimate.classical,
            estimate.quantum,
            estimate.quantum_with_public_sum
        )?;
        writeln!(
            f,
            "values     {} of {} bits, from -{clip} to {clip} in steps of {:.3e}",
            agreement.length(),
            agreement.value_bits(),
            self.round.grid().step(),
            clip = self.round.clip()
        )?;
        writeln!(
            f,
            "words      {} values in a word of {} bits, {} words in {} polynomials",
            agreement.layout().values_per_coefficient(),
            encoding.bits(),
            agreement.shape().coefficients,
            encoding.polys(agreement.digits())
        )?;
        match self.next_best() {
            Some((next, more)) => writeln!(
                f,
                "           chosen for the smallest upload; next best: {} values in a word of {} bits, {more} bytes more",
                next.values_per_coefficient(),
                next.encoding.bits()
            )?,
            None => writeln!(f, "           no other number of values in a word fits")?,
        }
        writeln!(
            f,
            "upload     {} bytes, {} of them overhead: {:.3} bytes per value (fp32 has 4)",
            agreement.upload_len(),
            agreement.overhead_len(),
            self.bytes_per_value()
        )?;
        writeln!(
            f,
            "ledger     up to {} robots; then a step of {:.1} wire units stands against noise of {:.2} (standard deviation)",
            ledger.planned(),
            ledger.budget().step,
            ledger.budget().variance(planned).sqrt()
        )?;
        write!(
            f,
            "head-room  {:.1} wire units beyond what noise reaches with probability 2^-64 per word",
            self.head_room()
        )
    }
}
