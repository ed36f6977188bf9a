//! The same episodes under two policies, for the gate: on robots that train neither, and on robots unlike any that did.

use trust::gate::{Distribution, EvaluatedRobot, Evaluation, Outcome, PairedEpisode};
use workload::{Cohort, Effort, Episode, Fault, Learner};

/// A policy: its package's fingerprint (of version 0, its base's), and its adapter.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// What the gate calls it.
    pub fingerprint: [u8; 32],
    /// What it adds to the base.
    pub adapter: &'a [f32],
}

/// Runs both policies. `held_out` says how many robots of the fleet's distribution, which episodes and how many of each; outside of
/// it there are `outside` robots, with as many episodes.
///
/// # Errors
/// [`Fault::Length`] for an adapter of another shape.
pub fn evaluate(
    learner: &Learner,
    [old, new]: [Policy<'_>; 2],
    held_out: Effort,
    outside: u32,
) -> Result<Evaluation, Fault> {
    let mut robots = Vec::new();
    for (cohort, origin, count) in [
        (Cohort::HeldOut, Distribution::Within, held_out.robots),
        (Cohort::OutOfDistribution, Distribution::Outside, outside),
    ] {
        let effort = Effort { robots: count, ..held_out };
        let before = learner.evaluate(cohort, effort, old.adapter)?;
        let after = learner.evaluate(cohort, effort, new.adapter)?;
        let kl = learner.divergence(cohort, effort, old.adapter, new.adapter)?;
        for ((before, after), kl_nats) in before.records.iter().zip(&after.records).zip(kl) {
            let pairs = before.episodes.iter().zip(&after.episodes);
            let paired = |(old, new): (&Episode, &Episode)| PairedEpisode {
                seed: old.seed,
                old: outcome(old),
                new: outcome(new),
            };
            robots.push(EvaluatedRobot {
                name: format!("{}-{}", cohort.name(), before.robot),
                group: cohort.name().to_owned(),
                origin,
                kl_nats,
                episodes: pairs.map(paired).collect(),
            });
        }
    }
    Ok(Evaluation { old: old.fingerprint, new: new.fingerprint, robots })
}

/// The share of held-out episodes that succeed, under the old policy and the new; 0 of none.
#[must_use]
pub fn success(evaluation: &Evaluation) -> [f64; 2] {
    let held_out = evaluation.robots.iter().filter(|robot| robot.origin == Distribution::Within);
    let episodes: Vec<&PairedEpisode> = held_out.flat_map(|robot| &robot.episodes).collect();
    let share = |of: fn(&PairedEpisode) -> Outcome| {
        episodes.iter().filter(|episode| of(episode).success).count() as f64 / episodes.len().max(1) as f64
    };
    [share(|episode| episode.old), share(|episode| episode.new)]
}

fn outcome(episode: &Episode) -> Outcome {
    Outcome { success: episode.success, violations: episode.violations }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workload::{Config, Size, Task, pretrain};

    #[test]
    fn both_policies_meet_the_same_episodes_and_another_draw_has_others() {
        let config = Config::of(Task::Imitation, Size::Kb10, 1);
        let learner = Learner::new(config, pretrain(&config).expect("a base")).expect("a learner");
        let (zero, mut other) = (learner.initial_adapter(), learner.initial_adapter());
        other.iter_mut().for_each(|value| *value += 0.5);
        let policy = |byte: u8, adapter| Policy { fingerprint: [byte; 32], adapter };
        let run = |draw| {
            let held_out = Effort { robots: 2, episodes: 5, draw };
            evaluate(&learner, [policy(1, &zero), policy(2, &other)], held_out, 1).expect("an evaluation")
        };
        let first = run(0);
        assert_eq!((first.old, first.new), ([1; 32], [2; 32]));
        let origins: Vec<Distribution> = first.robots.iter().map(|robot| robot.origin).collect();
        assert_eq!(origins, [Distribution::Within, Distribution::Within, Distribution::Outside]);
        assert!(first.robots.iter().all(|robot| robot.episodes.len() == 5 && robot.kl_nats > 0.0));
        let [before, after] = success(&first);
        assert!(before > after, "an adapter of nonsense is no improvement: {before} {after}");
        let seeds = |evaluation: &Evaluation| evaluation.robots[0].episodes.iter().map(|e| e.seed).collect::<Vec<_>>();
        assert_eq!(first, run(0));
        assert_ne!(seeds(&first), seeds(&run(1)));
    }
}
