//! Sums of some of the robots each, drawn by lot: a robust mean over buckets bounds what a poisoned update does.
//!
//! Fewer robots in a sum hide each other less, so buckets are as large as the declared corruption needs, and the key holder
//! draws them, once, after the set of robots is fixed: nobody can put a robot among its enemies.

use crate::agreement::Attempt;
use crate::answer::{Part, Policy, Refusal};
use crate::hash::hash_fields;
use crate::keys::RobotId;
use crate::logs::{AnswerLog, Entry};
use crate::manifest::VerifiedManifest;
use crate::suite::Suite;
use core::fmt;
use kernels::expand::{Domain, words};
use rand_core::CryptoRng;

/// How likely it may be that a bucket has fewer than two honest robots: 2 to this.
const RISK_LOG2: f64 = -40.0;

/// Why no buckets were drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum BucketError {
    /// Even one bucket of all robots is too small for the declared corruption or the policy.
    TooFew {
        /// Robots there are.
        robots: usize,
        /// Of them corrupt, as declared.
        corrupt: usize,
    },
    /// Buckets were drawn for another set in this attempt.
    Drawn,
    /// The attempt is over, a robot is there twice, or the log failed.
    Refused(Refusal),
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { robots, corrupt } => {
                write!(f, "{robots} robots, {corrupt} of them corrupt, are too few for one bucket: wait for more")
            }
            Self::Drawn => {
                f.write_str("buckets were drawn for another set in this attempt: use that set, or open the next")
            }
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl core::error::Error for BucketError {}

/// The most buckets of `robots`, of whom `corrupt` may be corrupt, such that one with fewer than two honest robots has
/// probability at most 2^-40 and none is smaller than the policy allows. `None` if not even one is.
#[must_use]
pub fn most_buckets(robots: usize, corrupt: usize, policy: Policy) -> Option<usize> {
    let enough = |buckets: usize| {
        let smallest = robots / buckets;
        smallest as u64 >= policy.min_clients()
            && exposed_log2(robots, corrupt, smallest) + (buckets as f64).log2() <= RISK_LOG2
    };
    // Fewer buckets are larger, and so safer.
    (1..=robots).take_while(|&buckets| enough(buckets)).last()
}

/// The probability, as a logarithm, that of `size` robots drawn at most one is honest.
fn exposed_log2(robots: usize, corrupt: usize, size: usize) -> f64 {
    let honest = robots.saturating_sub(corrupt);
    // log2 of "n choose k", minus infinity where there is none.
    let choose = |n: usize, k: usize| -> f64 {
        if k > n { f64::NEG_INFINITY } else { (0..k).map(|i| ((n - i) as f64 / (k - i) as f64).log2()).sum() }
    };
    let all = choose(robots, size);
    let none = choose(corrupt, size) - all;
    let one = if honest > 0 { (honest as f64).log2() + choose(corrupt, size - 1) - all } else { f64::NEG_INFINITY };
    (none.exp2() + one.exp2()).log2()
}

/// Draws buckets for this set of robots: for each, the positions of its manifests. Asked again for the same set, it gives the
/// same buckets; [`crate::answer`] then opens this attempt in these buckets only.
///
/// # Errors
/// [`BucketError`] says why not.
pub fn draw_buckets(
    attempt: Attempt,
    manifests: &[VerifiedManifest],
    corrupt: usize,
    policy: Policy,
    log: &mut dyn AnswerLog,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Vec<usize>>, BucketError> {
    let refused = |refusal| BucketError::Refused(refusal);
    let robots: Vec<_> = manifests.iter().map(|manifest| manifest.manifest().robot()).collect();
    let count =
        most_buckets(robots.len(), corrupt, policy).ok_or(BucketError::TooFew { robots: robots.len(), corrupt })?;
    let order = sorted(&robots).map_err(|robot| refused(Refusal::Twice(robot)))?;
    let set = set_hash(&order, &robots);
    let entries = log.entries().map_err(|error| refused(error.into()))?;
    if entries.iter().any(|entry| entry.settles() == Some(attempt)) {
        return Err(refused(Refusal::Answered(attempt)));
    }
    let (seed, count) = match entries.iter().find_map(|entry| entry.drawn(attempt)) {
        Some(drawn) if drawn.set == set => (drawn.seed, drawn.buckets as usize),
        Some(_) => return Err(BucketError::Drawn),
        None => {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            // At most the number of robots, which is at most the messages of a round.
            let entry = Entry::Drawn { attempt, set, buckets: count as u32, seed };
            log.append(&entry).map_err(|error| refused(error.into()))?;
            (seed, count)
        }
    };
    Ok(deal(&seed, count, &order))
}

/// Whether the parts are the buckets that were drawn.
pub(crate) fn check_drawn<P: Suite>(parts: &[Part<'_, P>], drawn: &Drawn) -> bool {
    let robots: Vec<_> =
        parts.iter().flat_map(|part| part.manifests).map(|manifest| manifest.manifest().robot()).collect();
    let Ok(order) = sorted(&robots) else { return false };
    if set_hash(&order, &robots) != drawn.set || parts.len() != drawn.buckets as usize {
        return false;
    }
    let mut dealt: Vec<Vec<RobotId>> = deal(&drawn.seed, parts.len(), &order)
        .into_iter()
        .map(|bucket| bucket.into_iter().map(|index| robots[index]).collect())
        .collect();
    let mut asked: Vec<Vec<RobotId>> =
        parts.iter().map(|part| part.manifests.iter().map(|m| m.manifest().robot()).collect()).collect();
    for buckets in [&mut dealt, &mut asked] {
        buckets.iter_mut().for_each(|bucket| bucket.sort_unstable());
        buckets.sort_unstable();
    }
    dealt == asked
}

/// What a log says was drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) set: [u8; 32],
    pub(crate) buckets: u32,
    pub(crate) seed: [u8; 32],
}

/// Positions in the order of the robots' names; a robot that is there twice.
fn sorted(robots: &[RobotId]) -> Result<Vec<usize>, RobotId> {
    let mut order: Vec<usize> = (0..robots.len()).collect();
    order.sort_by_key(|&index| robots[index]);
    match order.windows(2).find(|pair| robots[pair[0]] == robots[pair[1]]) {
        Some(pair) => Err(robots[pair[0]]),
        None => Ok(order),
    }
}

fn set_hash(order: &[usize], robots: &[RobotId]) -> [u8; 32] {
    hash_fields("bucket set", &order.iter().map(|&index| &robots[index].0[..]).collect::<Vec<_>>())
}

/// Shuffles by the seed's stream, and deals into buckets whose sizes differ by one at most.
fn deal(seed: &[u8; 32], buckets: usize, order: &[usize]) -> Vec<Vec<usize>> {
    let mut order = order.to_vec();
    let mut stream = words(seed, Domain::A, 0, 0);
    for last in (1..order.len()).rev() {
        // 64 bits against at most 10,000: the bias is below 2^-50.
        let word = stream.next().zip(stream.next()).map_or(0, |(low, high)| u64::from(low) | u64::from(high) << 32);
        let other = ((u128::from(word) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, other);
    }
    let mut dealt = vec![Vec::new(); buckets];
    order.into_iter().enumerate().for_each(|(turn, index)| dealt[turn % buckets].push(index));
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposure_is_the_hypergeometric_one() {
        // Of 10 robots 6 corrupt, 3 drawn: (C(6,3) + 4 C(6,2)) / C(10,3) = (20 + 60) / 120.
        assert!((exposed_log2(10, 6, 3) - (80.0f64 / 120.0).log2()).abs() < 1e-12);
        assert_eq!(exposed_log2(10, 0, 3), f64::NEG_INFINITY);
    }

    #[test]
    fn buckets_grow_with_the_corruption() {
        let policy = Policy::default();
        assert_eq!(most_buckets(100, 0, policy), Some(6));
        let some = most_buckets(100, 20, policy).unwrap();
        let more = most_buckets(100, 50, policy).unwrap();
        assert!((1..6).contains(&some) && more < some, "{some}, {more}");
        assert_eq!(most_buckets(100, 99, policy), None);
        assert_eq!(most_buckets(15, 0, policy), None);
    }

    #[test]
    fn everybody_is_dealt_once_into_even_buckets() {
        let order: Vec<usize> = (0..101).collect();
        let dealt = deal(&[5; 32], 4, &order);
        let mut all = dealt.concat();
        all.sort_unstable();
        assert_eq!(all, order);
        assert!(dealt.iter().all(|bucket| (25..=26).contains(&bucket.len())));
        assert_ne!(dealt, deal(&[6; 32], 4, &order));
    }
}
