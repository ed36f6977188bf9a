//! Whether the noise of an opened sum is that of an honest one.

use crate::ledger::{Budget, Weights};
use core::fmt;
use kernels::Noise;

/// What is wrong with the noise. Figures are not shown to whoever asked: they would tell about the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Coefficients beyond every honest sum's.
    Values,
    /// The root mean square is too large.
    Spread,
    /// One coefficient's noise is too large.
    Peak,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Values => "the sum holds values that no honest sum has: compare set, weights and words with the manifests",
            Self::Spread => "the sum's noise is larger than that of this set: compare set, weights and words with the manifests",
            Self::Peak => "a word of the sum is further off than honest noise reaches: compare set, weights and words with the manifests",
        })
    }
}

/// Compares noise with theory. With `V' = V + 1/3` (the roundings of the key's words and of the step) and N coefficients,
/// an honest sum fails with probability about 2^-40: the mean of N squares stays below `V' (1 + 2 sqrt(28/N) + 56/N)` (Laurent and
/// Massart's bound at 28 nats), and the largest of N below `sqrt(2 V' ln(N 2^41)) + 1`.
pub(crate) fn check_noise(budget: &Budget, weights: Weights, noise: &Noise) -> Result<(), Suspicion> {
    if noise.refused > 0 {
        return Err(Suspicion::Values);
    }
    if noise.coefficients == 0 {
        return Ok(());
    }
    let n = noise.coefficients as f64;
    let (variance, lean) = (budget.variance(weights) + 1.0 / 3.0, budget.lean(weights));
    let mean_square = noise.sum_squares as f64 / n;
    if mean_square > variance * (1.0 + 2.0 * (28.0 / n).sqrt() + 56.0 / n) + lean * lean {
        return Err(Suspicion::Spread);
    }
    let peak = (2.0 * variance * (n.ln() + 41.0 * core::f64::consts::LN_2)).sqrt() + 1.0 + lean;
    if noise.max_abs as f64 > peak.min(budget.step / 2.0 + 1.0) {
        return Err(Suspicion::Peak);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;
    use kernels::Encoding;

    /// The bounds of docs/SOUNDNESS.md in plain numbers: 12 messages under the default suite at 50 bits, and at 55, where
    /// the rounding leans.
    /// The volume of the ball that passes for quiet, in the cube that a wrong set's noise fills, at the fewest words.
    #[test]
    fn a_wrong_set_hardly_ever_looks_quiet() {
        use crate::agreement::LEAST_WORDS;
        use crate::smallest;
        let n = LEAST_WORDS as f64;
        for suite in Params::NAMED {
            for (bits, robots) in [(4, 2), (8, 2), (16, 2), (4, 16), (8, 16), (8, 100), (8, 1000), (8, 10_000)] {
                let Some(layout) = smallest(&suite, bits, robots, 1000) else { continue };
                let (budget, weights) = (Budget::of(&layout.encoding), Weights::equal(robots));
                let (variance, lean) = (budget.variance(weights) + 1.0 / 3.0, budget.lean(weights));
                let quiet = variance * (1.0 + 2.0 * (28.0 / n).sqrt() + 56.0 / n) + lean * lean;
                // pi^(n/2) / (n/2)! * r^n / step^n, as a logarithm.
                let factorial: f64 = (1..=LEAST_WORDS / 2).map(|i| (i as f64).log2()).sum();
                let ball = n / 2.0 * (core::f64::consts::PI * n * quiet).log2() - factorial;
                let chance = ball - n * budget.step.log2();
                let most = if robots < 16 { -70.0 } else { -90.0 };
                assert!(chance < most, "{}, {bits} bits, {robots} robots: 2^{chance:.1}", suite.name());
            }
        }
    }

    #[test]
    fn the_bounds_are_where_the_page_says() {
        for (bits, base) in [(50u32, 25_501), (55, 3001)] {
            let encoding = Encoding::new(Params::FL_4096_60.ring(), bits, base, 3).unwrap();
            let (budget, weights) = (Budget::of(&encoding), Weights::equal(12));
            let q = 1_073_479_681.0 * 1_071_513_601.0;
            let wire = f64::from(bits).exp2();
            let variance = 12.0 * (16.0 * (wire / q) * (wire / q) + 1.0 / 12.0) + 1.0 / 3.0;
            let lean = 1.25 * 2.0 * 13.0 * wire / 64f64.exp2();
            for coefficients in [64u64, 4096, 1_000_000] {
                let n = coefficients as f64;
                let mean_square = variance * (1.0 + 2.0 * (28.0 / n).sqrt() + 56.0 / n) + lean * lean;
                let half_step = (q / (base as f64).powi(3)).floor() * wire / q / 2.0 + 1.0;
                let peak = ((2.0 * variance * (n * 41f64.exp2()).ln()).sqrt() + 1.0 + lean).min(half_step);
                let judge = |share: f64, magnitude: f64| {
                    let noise = Noise {
                        coefficients,
                        max_abs: magnitude as u64,
                        sum_squares: (share * mean_square * n) as u128,
                        ..Noise::default()
                    };
                    check_noise(&budget, weights, &noise)
                };
                assert_eq!(judge(0.999, peak.floor()), Ok(()), "{bits} bits, {coefficients} coefficients");
                assert_eq!(judge(1.001, 0.0), Err(Suspicion::Spread), "{bits} bits, {coefficients} coefficients");
                assert_eq!(
                    judge(0.5, peak.floor() + 1.0),
                    Err(Suspicion::Peak),
                    "{bits} bits, {coefficients} coefficients"
                );
            }
            let refused = Noise { coefficients: 64, refused: 1, ..Noise::default() };
            assert_eq!(check_noise(&budget, weights, &refused), Err(Suspicion::Values));
        }
    }
}
