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

/// The value below which that share of the values lies, the nearest one at or above; NaN of nothing.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The medians of resamples, in order; none of nothing.
///
/// A resample is how often each value was drawn: with the values in order, its median is found by counting.
#[must_use]
pub fn resampled_medians(values: &[f64], seed: u64) -> Vec<f64> {
    let len = values.len();
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|&one, &other| values[one].total_cmp(&values[other]));
    let mut places = vec![0; len];
    for (place, &index) in order.iter().enumerate() {
        places[index] = place;
    }
    let mut random = Random(seed);
    let mut drawn = vec![0; len];
    let mut resample = || {
        drawn.fill(0);
        for _ in 0..len {
            drawn[places[random.below(len)]] += 1;
        }
        let upper = values[order[place_of(len / 2, &drawn)]];
        if len % 2 == 1 { upper } else { (values[order[place_of(len / 2 - 1, &drawn)]] + upper) / 2.0 }
    };
    let mut medians: Vec<f64> = (0..if len == 0 { 0 } else { RESAMPLES }).map(|_| resample()).collect();
    medians.sort_by(f64::total_cmp);
    medians
}

/// Where number `rank` lies, from 0, if each place has so many.
fn place_of(rank: usize, counts: &[usize]) -> usize {
    let mut seen = 0;
    let holds = |count: &usize| {
        seen += count;
        seen > rank
    };
    counts.iter().position(holds).unwrap_or(counts.len() - 1)
}

/// A median with the interval that holds it in 95 of 100 resamplings; NaN of nothing.
#[must_use]
pub fn median_interval(values: &[f64], seed: u64) -> Interval {
    let medians = resampled_medians(values, seed);
    let at = |share: f64| medians.get((share * (RESAMPLES - 1) as f64).round() as usize).copied().unwrap_or(f64::NAN);
    Interval { ratio: median(values), low: at(0.025), high: at(0.975) }
}

/// The same for ratios, from their logarithms, so that swapping the two sides gives exactly the inverse.
#[must_use]
pub fn paired_interval(logs: &[f64], seed: u64) -> Interval {
    let Interval { ratio, low, high } = median_interval(logs, seed);
    Interval { ratio: ratio.exp(), low: low.exp(), high: high.exp() }
}

/// The median of `theirs / ours` over pairs, with a bootstrap interval over the pairs.
#[must_use]
pub fn paired_ratio(pairs: &[(u64, u64)]) -> Interval {
    let logs: Vec<f64> = pairs.iter().map(|&(ours, theirs)| (theirs as f64 / ours as f64).ln()).collect();
    paired_interval(&logs, SEED)
}

/// The chance of at least `above` heads in `count` throws of a fair coin: how surprising that many pairs above a threshold
/// are if the median is not.
#[must_use]
pub fn sign_test(above: u64, count: u64) -> f64 {
    // The logarithm of the binomial coefficient, term by term.
    let mut log_term = -(count as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for heads in 0..=count {
        if heads >= above {
            sum += log_term.exp();
        }
        log_term += ((count - heads) as f64 / (heads + 1) as f64).ln();
    }
    sum.min(1.0)
}

/// How often a standard normal variable is at least this: Abramowitz and Stegun, 7.1.26, off by at most 1e-7.
#[must_use]
pub fn normal_tail(deviations: f64) -> f64 {
    let x = deviations.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let powers = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = powers.iter().rev().fold(0.0, |sum, power| (sum + power) * t);
    let tail = 0.5 * sum * (-x * x).exp();
    if deviations < 0.0 { 1.0 - tail } else { tail }
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
    fn sign_tests_agree_with_an_independent_program() {
        // Python: sum(math.comb(n, k) for k in range(above, n + 1)) / 2 ** n
        let known = [
            (0, 7, 1.0),
            (20, 20, 9.5367431640625e-07),
            (15, 20, 0.020694732666015625),
            (92, 160, 0.03434114602060316),
        ];
        for (above, count, expected) in known {
            let got = sign_test(above, count);
            assert!((got - expected).abs() <= 1e-9 + 1e-9 * expected, "{above} of {count}: {got}, not {expected}");
        }
        assert_eq!(sign_test(0, 0), 1.0);
    }

    #[test]
    fn normal_tails_agree_with_an_independent_program() {
        // Python: 0.5 * math.erfc(z / math.sqrt(2))
        let known = [(0.0, 0.5), (1.0, 0.15865525393), (1.96, 0.02499789515), (-1.0, 0.84134474607), (4.0, 3.167e-5)];
        for (deviations, expected) in known {
            let got = normal_tail(deviations);
            assert!((got - expected).abs() <= 1e-7, "{deviations}: {got}, not {expected}");
        }
    }

    #[test]
    fn percentiles_are_values_that_occur() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            (percentile(&hundred, 0.95), percentile(&hundred, 0.0), percentile(&hundred, 1.0)),
            (95.0, 1.0, 100.0)
        );
        assert_eq!(percentile(&[3.0], 0.95), 3.0);
        assert!(percentile(&[], 0.95).is_nan());
    }

    #[test]
    fn a_median_of_a_resample_is_the_median() {
        // Resamples of one value, and of two: all there is between them.
        assert_eq!(resampled_medians(&[7.0], 1), vec![7.0; RESAMPLES]);
        let two = resampled_medians(&[1.0, 2.0], 1);
        assert!(
            two.iter().all(|median| [1.0, 1.5, 2.0].contains(median)) && two[0] == 1.0 && two[RESAMPLES - 1] == 2.0
        );
        assert!(resampled_medians(&[], 1).is_empty());
    }

    #[test]
    fn numbers_below_a_bound_cover_it() {
        let mut random = Random(1);
        let mut seen = [false; 7];
        (0..200).for_each(|_| seen[random.below(7)] = true);
        assert_eq!(seen, [true; 7]);
    }
}
