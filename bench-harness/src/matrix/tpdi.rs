//! Time per deployed improvement: the time of all attempts over the improvements that were deployed.

use crate::stats::{Random, SEED};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Resamples behind an interval.
const RESAMPLES: usize = 2000;

/// One candidate: rounds, gate, canary, roll-out, and whatever of it came to pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Computing and transfers.
    pub active_s: f64,
    /// With what policy makes everybody wait for.
    pub wall_s: f64,
    /// Federated rounds in it.
    pub rounds: u32,
    /// Whether the fleet runs it.
    pub deployed: bool,
    /// Whether it was rolled out, at least to the canary, and taken back.
    pub rolled_back: bool,
}

/// One seeded, independent replicate: attempts one after the other, from version 0.
pub type Campaign = Vec<Attempt>;

/// Which clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Computing and transfers.
    Active,
    /// And what policy waits for.
    Wall,
}

impl Attempt {
    fn seconds(&self, clock: Clock) -> f64 {
        match clock {
            Clock::Active => self.active_s,
            Clock::Wall => self.wall_s,
        }
    }
}

/// What the attempts showed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Figure {
    /// So many seconds for one.
    Improves {
        /// The time of all attempts over the improvements.
        seconds: f64,
        /// In 95 of 100 resamplings of whole campaigns it is at least this,
        low: f64,
        /// and at most this; none where some resampling has no improvement at all.
        high: Option<f64>,
    },
    /// No attempt was deployed. With 95 % confidence it takes at least this long.
    NoImprovement {
        /// The mean attempt over the largest success rate that so many failures leave plausible.
        at_least_s: f64,
    },
}

/// The headline of a cell, and what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tpdi {
    /// Independent replicates.
    pub campaigns: u32,
    /// Candidates in all of them.
    pub attempts: u32,
    /// Of them deployed.
    pub deployed: u32,
    /// Of them taken back.
    pub rolled_back: u32,
    /// Computing and transfers.
    pub active: Figure,
    /// With waiting.
    pub wall: Figure,
    /// Where the success rate lies (Wilson, 95 %).
    pub success_low: f64,
    /// Its upper end.
    pub success_high: f64,
    /// Mean active time of the attempts that were deployed.
    pub active_if_deployed_s: Option<f64>,
    /// Rounds of all attempts over improvements.
    pub rounds_per_improvement: Option<f64>,
}

impl Tpdi {
    /// The figures of these campaigns; none without an attempt.
    #[must_use]
    pub fn of(campaigns: &[Campaign]) -> Option<Self> {
        let attempts: Vec<&Attempt> = campaigns.iter().flatten().collect();
        if attempts.is_empty() {
            return None;
        }
        let deployed: Vec<&Attempt> = attempts.iter().copied().filter(|attempt| attempt.deployed).collect();
        let per_improvement = |total: f64| (!deployed.is_empty()).then(|| total / deployed.len() as f64);
        let (success_low, success_high) = wilson(deployed.len(), attempts.len());
        Some(Self {
            campaigns: campaigns.len() as u32,
            attempts: attempts.len() as u32,
            deployed: deployed.len() as u32,
            rolled_back: attempts.iter().filter(|attempt| attempt.rolled_back).count() as u32,
            active: figure(campaigns, Clock::Active),
            wall: figure(campaigns, Clock::Wall),
            success_low,
            success_high,
            active_if_deployed_s: per_improvement(deployed.iter().map(|attempt| attempt.active_s).sum()),
            rounds_per_improvement: per_improvement(attempts.iter().map(|attempt| f64::from(attempt.rounds)).sum()),
        })
    }
}

fn figure(campaigns: &[Campaign], clock: Clock) -> Figure {
    let totals: Vec<(f64, u32)> = campaigns.iter().map(|campaign| total(campaign, clock)).collect();
    let add = |(time, count): (f64, u32), &(more, others): &(f64, u32)| (time + more, count + others);
    let (time, count) = totals.iter().fold((0.0, 0), add);
    if count == 0 {
        let attempts = campaigns.iter().map(Vec::len).sum::<usize>();
        // Below this rate, so many failures in a row are less likely than 5 %.
        let plausible = 1.0 - 0.05f64.powf(1.0 / attempts as f64);
        return Figure::NoImprovement { at_least_s: time / attempts as f64 / plausible };
    }
    let mut random = Random(SEED);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = totals.iter().map(|_| &totals[random.below(totals.len())]);
            let (time, count) = drawn.fold((0.0, 0), add);
            if count == 0 { f64::INFINITY } else { time / f64::from(count) }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[(share * (RESAMPLES - 1) as f64).round() as usize];
    let high = at(0.975);
    Figure::Improves { seconds: time / f64::from(count), low: at(0.025), high: high.is_finite().then_some(high) }
}

fn total(campaign: &Campaign, clock: Clock) -> (f64, u32) {
    let time = campaign.iter().map(|attempt| attempt.seconds(clock)).sum();
    (time, campaign.iter().filter(|attempt| attempt.deployed).count() as u32)
}

/// Wilson's interval for a share, 95 %.
fn wilson(successes: usize, trials: usize) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    let (n, p) = (trials as f64, successes as f64 / trials as f64);
    let (middle, scale) = (p + Z * Z / (2.0 * n), 1.0 + Z * Z / n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployed(active_s: f64) -> Attempt {
        Attempt { active_s, wall_s: active_s + 10.0, rounds: 2, deployed: true, rolled_back: false }
    }

    fn refused(active_s: f64) -> Attempt {
        Attempt { deployed: false, ..deployed(active_s) }
    }

    #[test]
    fn failures_are_charged() {
        let campaigns = [vec![deployed(1.0)], vec![refused(3.0), deployed(2.0)]];
        let tpdi = Tpdi::of(&campaigns).expect("attempts");
        assert!(matches!(tpdi.active, Figure::Improves { seconds, low, high: Some(high) }
            if seconds == 3.0 && low == 1.0 && high == 5.0));
        assert!(matches!(tpdi.wall, Figure::Improves { seconds, .. } if seconds == 18.0));
        assert_eq!((tpdi.attempts, tpdi.deployed, tpdi.rounds_per_improvement), (3, 2, Some(3.0)));
        assert_eq!(tpdi.active_if_deployed_s, Some(1.5));
    }

    #[test]
    fn a_campaign_without_improvement_leaves_the_interval_open() {
        let campaigns = [vec![deployed(1.0)], vec![refused(3.0)]];
        let tpdi = Tpdi::of(&campaigns).expect("attempts");
        assert!(matches!(tpdi.active, Figure::Improves { seconds, high: None, .. } if seconds == 4.0));
    }

    #[test]
    fn without_any_improvement_there_is_a_bound_and_the_row_stays() {
        let campaigns = [vec![refused(2.0)], vec![refused(4.0)]];
        let tpdi = Tpdi::of(&campaigns).expect("attempts");
        // Two failures in a row leave success rates up to 1 - sqrt(0.05) plausible.
        let bound = 3.0 / (1.0 - 0.05f64.sqrt());
        assert!(matches!(tpdi.active, Figure::NoImprovement { at_least_s } if (at_least_s - bound).abs() < 1e-12));
        assert_eq!((tpdi.success_low, tpdi.rounds_per_improvement), (0.0, None));
        assert!(Tpdi::of(&[vec![], vec![]]).is_none());
    }

    /// Agresti and Coull (1998) and any table: 8 of 10 lies between 0.4902 and 0.9433.
    #[test]
    fn wilson_agrees_with_a_table() {
        let (low, high) = wilson(8, 10);
        assert!((low - 0.4902).abs() < 1e-4 && (high - 0.9433).abs() < 1e-4, "{low} {high}");
    }
}
