//! One-sided 95 % bounds on the mean of paired differences.
//!
//! *Robots drawn from a fleet.* What varies is robots, not only episodes, so the standard error comes from the spread of the
//! robots' own means, with Student's quantile for one degree of freedom less than robots (Cameron and Miller, Journal of Human
//! Resources 50(2), 2015). Few episodes can agree by chance and show no spread at all; therefore it is never taken below
//! what as many independent episodes would have by the adjusted variance of Agresti and Min (Statistics in Medicine 24, 2005),
//! which adds half an episode to each of the four outcomes of a pair.
//!
//! *Robots that are all there is*, such as a group: only episodes vary, and the adjusted variance alone counts.
//!
//! Nothing is drawn at random: whoever has the evaluation computes the same bound.

use core::f64::consts::FRAC_2_PI;

/// What came of one pair: the new one minus the old one, -1, 0 or 1.
pub(super) type Difference = i8;

/// A mean, and how far below (or above) it the truth may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Estimate {
    mean: f64,
    margin: f64,
}

impl Estimate {
    pub(super) fn low(self) -> f64 {
        self.mean - self.margin
    }

    pub(super) fn high(self) -> f64 {
        self.mean + self.margin
    }
}

/// Of the fleet that these robots were drawn from: at least two, each with at least one episode.
pub(super) fn of_fleet(robots: &[Vec<Difference>]) -> Estimate {
    let means: Vec<f64> = robots.iter().map(|robot| mean(robot)).collect();
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let spread = means.iter().map(|own| (own - mean).powi(2)).sum::<f64>() / (count - 1.0) / count;
    let error = spread.max(adjusted_variance(robots.iter().flatten())).sqrt();
    Estimate { mean, margin: student_95(means.len() as u32 - 1) * error }
}

/// Of exactly these robots: at least one, each with at least one episode.
pub(super) fn of_these(robots: &[Vec<Difference>]) -> Estimate {
    let episodes = robots.concat();
    let margin = student_95((episodes.len() as u32).saturating_sub(1).max(1)) * adjusted_variance(&episodes).sqrt();
    Estimate { mean: mean(&episodes), margin }
}

fn mean(differences: &[Difference]) -> f64 {
    differences.iter().map(|difference| f64::from(*difference)).sum::<f64>() / differences.len() as f64
}

/// The variance of the mean of independent pairs, after half a pair is added to each outcome.
fn adjusted_variance<'a>(differences: impl IntoIterator<Item = &'a Difference>) -> f64 {
    let (mut pairs, mut discordant, mut sum) = (2.0, 1.0, 0.0);
    for difference in differences {
        pairs += 1.0;
        discordant += f64::from(difference.abs());
        sum += f64::from(*difference);
    }
    (discordant - sum * sum / pairs) / (pairs * pairs)
}

/// The 95 % quantile of Student's distribution.
fn student_95(degrees: u32) -> f64 {
    // P(T <= t) grows with t, and the quantile is below 6.32, that of one degree.
    let (mut low, mut high) = (1.0, 7.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if student_inside(middle, degrees) < 0.90 { low = middle } else { high = middle }
    }
    high
}

/// P(|T| <= t), by the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
fn student_inside(t: f64, degrees: u32) -> f64 {
    let theta = (t / f64::from(degrees).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    // Each term is the one before times cosine^2 * k / (k + 1).
    let odd = degrees % 2;
    let (mut term, mut sum) = (if odd == 1 { cosine } else { 1.0 }, 0.0);
    for k in (1 + odd..degrees).step_by(2) {
        sum += term;
        term *= cosine * cosine * f64::from(k) / f64::from(k + 1);
    }
    if odd == 1 { (theta + sine * sum) * FRAC_2_PI } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng};

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.10, at 0.95; 1000: scipy.stats.t.ppf.
        let table =
            [(1, 6.314), (2, 2.920), (3, 2.353), (4, 2.132), (9, 1.833), (10, 1.812), (30, 1.697), (120, 1.658)];
        for (degrees, quantile) in table.into_iter().chain([(1000, 1.6464)]) {
            assert!((student_95(degrees) - quantile).abs() < 6e-4, "{degrees}: {}", student_95(degrees));
        }
    }

    #[test]
    fn margins_are_those_worked_out_by_hand() {
        // Means 0.5, 0, 0.25: mean 0.25, variance of the mean 1/48; by episodes (6 - 9/14)/196 = 0.02733, the larger.
        let robots = [vec![1, 0, 1, 0], vec![1, -1, 0, 0], vec![0, 0, 0, 1]];
        let fleet = of_fleet(&robots);
        assert_eq!(fleet.mean, 0.25);
        assert!((fleet.margin - 2.919_986 * 0.027_332_f64.sqrt()).abs() < 1e-4, "{fleet:?}");
        // More spread between robots than between episodes: means 1, 0, 0.5; variance of the mean 1/12.
        let robots = [vec![1; 8], vec![0; 8], vec![1, 0, 1, 0, 1, 0, 1, 0]];
        assert!((of_fleet(&robots).margin - 2.919_986 * (1.0_f64 / 12.0).sqrt()).abs() < 1e-4);
    }

    #[test]
    fn agreement_by_chance_is_no_certainty() {
        // Two robots, one episode each, both better now: the spread is zero, the margin is not.
        assert!(of_fleet(&[vec![1], vec![1]]).low() < 0.0);
        assert!(of_these(&[vec![1]]).low() < 0.0);
        assert!(of_these(&[vec![0; 50]]).low() < 0.0 && of_these(&[vec![0; 50]]).high() > 0.0);
    }

    /// How often the low bound lies above a true difference of 0.1. Robots differ by `spread`.
    fn misses(robots: u32, episodes: u32, spread: f64) -> f64 {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(robots) << 32 | u64::from(episodes));
        let evaluations = 4000;
        let missed = (0..evaluations).filter(|_| {
            let robots: Vec<Vec<_>> = (0..robots)
                .map(|_| {
                    let better = 0.2 + spread * rng.random_range(-1.0..1.0);
                    let pair = |draw: f64| if draw < better { 1 } else { -i8::from(draw > 0.9) };
                    (0..episodes).map(|_| pair(rng.random())).collect()
                })
                .collect();
            of_fleet(&robots).low() > 0.1
        });
        missed.count() as f64 / f64::from(evaluations)
    }

    #[test]
    fn a_bound_lies_above_the_truth_in_one_of_twenty_evaluations_at_most() {
        // Three standard errors of 4000 evaluations are 0.0103.
        for (robots, episodes, spread) in [(4, 25, 0.0), (8, 10, 0.2), (8, 50, 0.2), (20, 50, 0.2), (20, 3, 0.1)] {
            let share = misses(robots, episodes, spread);
            assert!(share < 0.05 + 0.0103, "{robots} robots, {episodes} episodes: {share}");
        }
        // And not because it says nothing: with much to see it comes close.
        assert!(misses(20, 50, 0.2) > 0.03);
    }
}
