//! Medians, and intervals by resampling.

/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// The seed of every interval: the same samples give the same interval.
pub const SEED: u64 = 0x7465_6E73_6F72;

/// A median and the interval that holds it in 95 of 100 resamplings.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The median.
    pub ratio: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// The median; NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The median of `theirs / ours` over pairs, with a bootstrap interval over the pairs.
///
/// Ratios are averaged as logarithms, so that swapping the two sides gives exactly the inverse.
#[must_use]
pub fn paired_ratio(pairs: &[(u64, u64)]) -> Interval {
    let logs: Vec<f64> = pairs.iter().map(|&(ours, theirs)| (theirs as f64 / ours as f64).ln()).collect();
    let mut random = Random(SEED);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample: Vec<f64> = logs.iter().map(|_| logs[random.below(logs.len())]).collect();
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |share: f64| medians[(share * (RESAMPLES - 1) as f64).round() as usize].exp();
    Interval { ratio: median(&logs).exp(), low: at(0.025), high: at(0.975) }
}

/// SplitMix64: small, seeded, the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.word()) * bound as u128) >> 64) as usize
    }
}

/// SplitMix64's mixer.
#[must_use]
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn swapping_the_sides_inverts_the_ratio() {
        let pairs: Vec<(u64, u64)> = (0..31).map(|i| (1000 + i * 7 % 50, 1400 + i * 13 % 90)).collect();
        let swapped: Vec<(u64, u64)> = pairs.iter().map(|&(a, b)| (b, a)).collect();
        let (there, back) = (paired_ratio(&pairs), paired_ratio(&swapped));
        assert!((there.ratio * back.ratio - 1.0).abs() < 1e-12);
        assert!(there.low <= there.ratio && there.ratio <= there.high);
        assert!(there.low > 1.3 && there.high < 1.5, "{there:?}");
    }

    #[test]
    fn an_interval_is_the_same_every_time_and_widens_with_noise() {
        let width = |spread: u64| {
            let pairs: Vec<(u64, u64)> = (0..30).map(|i| (1000, 1000 + (i * 17 % 31) * spread)).collect();
            assert_eq!(paired_ratio(&pairs), paired_ratio(&pairs));
            paired_ratio(&pairs).high - paired_ratio(&pairs).low
        };
        assert!(width(1) < width(20));
    }

    #[test]
    fn numbers_below_a_bound_cover_it() {
        let mut random = Random(1);
        let mut seen = [false; 7];
        (0..200).for_each(|_| seen[random.below(7)] = true);
        assert_eq!(seen, [true; 7]);
    }
}
