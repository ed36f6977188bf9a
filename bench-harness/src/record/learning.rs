//! How robots learned, round by round: what a recorded training's evaluations found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a round of a campaign led to, counted robot by robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningLine {
    /// Which campaign, from 1.
    pub campaign: u32,
    /// Which round, from 1.
    pub round: u32,
    /// Episodes of each robot, with either policy the same.
    pub episodes: u32,
    /// Robots that never train.
    pub held_out: Successes,
    /// Robots unlike any that trained.
    pub outside: Successes,
    /// SHA-256 of the adapter after the round.
    pub adapter: String,
}

/// Episodes that succeeded, of each robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Successes {
    /// With version 0.
    pub old: Vec<u32>,
    /// With the adapter after the round.
    pub new: Vec<u32>,
}

/// A round, over all campaigns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearnedRound {
    /// Which.
    pub round: u32,
    /// Campaigns.
    pub campaigns: u64,
    /// Robots that never train.
    pub held_out: Change,
    /// Robots unlike any that trained.
    pub outside: Change,
}

/// Shares of episodes that succeeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// With version 0, over all campaigns.
    pub old: f64,
    /// After the round, over all campaigns.
    pub new: f64,
    /// The difference in the campaign with the smallest.
    pub least: f64,
    /// The difference in the campaign with the largest.
    pub most: f64,
}

/// The rounds that these lines are about, in order.
///
/// # Errors
/// A line that is no evaluation.
pub fn learned(lines: &[&LearningLine]) -> Result<Vec<LearnedRound>, String> {
    let mut rounds: Vec<u32> = lines.iter().map(|line| line.round).collect();
    rounds.sort_unstable();
    rounds.dedup();
    let of_round = |round| {
        let lines: Vec<&LearningLine> = lines.iter().copied().filter(|line| line.round == round).collect();
        Ok(LearnedRound {
            round,
            campaigns: lines.len() as u64,
            held_out: change(&lines, |line| &line.held_out)?,
            outside: change(&lines, |line| &line.outside)?,
        })
    };
    rounds.into_iter().map(of_round).collect()
}

fn change(lines: &[&LearningLine], of: impl Fn(&LearningLine) -> &Successes) -> Result<Change, String> {
    let mut shares = Vec::new();
    for line in lines {
        let Successes { old, new } = of(line);
        let fits = |found: &[u32]| !found.is_empty() && found.iter().all(|count| *count <= line.episodes);
        if line.episodes == 0 || old.len() != new.len() || !fits(old) || !fits(new) {
            return Err(format!("campaign {}, round {}: no evaluation", line.campaign, line.round));
        }
        let share = |found: &[u32]| {
            let successes: u64 = found.iter().map(|count| u64::from(*count)).sum();
            successes as f64 / (found.len() as f64 * f64::from(line.episodes))
        };
        shares.push((share(old), share(new)));
    }
    let mean = |of: fn(&(f64, f64)) -> f64| shares.iter().map(of).sum::<f64>() / shares.len() as f64;
    let differences = || shares.iter().map(|(old, new)| new - old);
    Ok(Change {
        old: mean(|(old, _)| *old),
        new: mean(|(_, new)| *new),
        least: differences().fold(f64::INFINITY, f64::min),
        most: differences().fold(f64::NEG_INFINITY, f64::max),
    })
}

/// The rounds as a table.
#[must_use]
pub fn table(rounds: &[LearnedRound]) -> String {
    let row = |round: &LearnedRound| {
        let change = |change: &Change| {
            let Change { old, new, least, most } = change;
            format!("{:6.1} % -> {:5.1} %  {:+6.1} .. {:+5.1}", 100.0 * old, 100.0 * new, 100.0 * least, 100.0 * most)
        };
        let LearnedRound { round, campaigns, held_out, outside } = round;
        format!("{round:5}  {campaigns:9}  {}  {}\n", change(held_out), change(outside))
    };
    let head = "Success before any round -> after this one, and the least and the most that a campaign gained, in points.\n\n\
                round  campaigns  held out           gained           outside            gained\n";
    rounds.iter().map(row).fold(head.to_owned(), |text, row| text + &row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(campaign: u32, round: u32, old: [u32; 2], new: [u32; 2]) -> LearningLine {
        let successes = Successes { old: old.to_vec(), new: new.to_vec() };
        let (held_out, outside) = (successes.clone(), successes);
        LearningLine { campaign, round, episodes: 10, held_out, outside, adapter: String::new() }
    }

    #[test]
    fn rounds_are_averaged_over_campaigns_and_keep_the_worst_and_the_best() {
        let lines = [line(1, 2, [1, 3], [9, 9]), line(1, 1, [1, 3], [5, 5]), line(2, 1, [4, 4], [2, 4])];
        let rounds = learned(&lines.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(rounds.iter().map(|round| (round.round, round.campaigns)).collect::<Vec<_>>(), [(1, 2), (2, 1)]);
        let Change { old, new, least, most } = rounds[0].held_out;
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        assert!(close(old, 0.3) && close(new, 0.4) && close(least, -0.1) && close(most, 0.3), "{rounds:?}");
        assert!(table(&rounds).contains("  30.0 % ->  40.0 %   -10.0 .. +30.0"), "{}", table(&rounds));
    }

    #[test]
    fn what_is_no_evaluation_is_refused() {
        let good = line(1, 1, [0, 10], [10, 10]);
        assert!(learned(&[&good]).is_ok());
        let short = LearningLine { held_out: Successes { old: vec![1], new: vec![1, 2] }, ..good.clone() };
        let none = LearningLine { outside: Successes { old: vec![], new: vec![] }, ..good.clone() };
        for wrong in
            [short, none, line(1, 1, [11, 0], [0, 0]), LearningLine { episodes: 0, ..line(1, 1, [0, 0], [0, 0]) }]
        {
            assert!(learned(&[&wrong]).is_err(), "{wrong:?}");
        }
    }
}
