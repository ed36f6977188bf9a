//! The same episodes under two policies, for the gate: on robots that train neither, and on robots unlike any that did.

use trust::gate::{Distribution, EvaluatedRobot, Evaluation, Outcome, PairedEpisode};
use workload::{Cohort, Config, Effort, Episode, Fault, Learner, Record, Robot};

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
    for (cohort, count) in [(Cohort::HeldOut, held_out.robots), (Cohort::OutOfDistribution, outside)] {
        let effort = Effort { robots: count, ..held_out };
        let before = learner.evaluate(cohort, effort, old.adapter)?;
        let after = learner.evaluate(cohort, effort, new.adapter)?;
        let kl = learner.divergence(cohort, effort, old.adapter, new.adapter)?;
        robots.extend(table(learner.config(), [&before, &after], &kl));
    }
    Ok(Evaluation { old: old.fingerprint, new: new.fingerprint, robots })
}

/// A cohort's episodes in pairs, each robot in its group.
fn table(config: &Config, [before, after]: [&workload::Evaluation; 2], kl: &[f64]) -> Vec<EvaluatedRobot> {
    let cohort = before.cohort;
    let origin = if cohort == Cohort::OutOfDistribution { Distribution::Outside } else { Distribution::Within };
    let numbers: Vec<u32> = before.records.iter().map(|record| record.robot).collect();
    let groups = groups(config, cohort, &numbers);
    let robots = before.records.iter().zip(&after.records).zip(kl).zip(groups);
    let robot = |(((before, after), kl_nats), group): (((&Record, &Record), &f64), String)| {
        let pairs = before.episodes.iter().zip(&after.episodes);
        let paired =
            |(old, new): (&Episode, &Episode)| PairedEpisode { seed: old.seed, old: outcome(old), new: outcome(new) };
        EvaluatedRobot {
            name: format!("{}-{}", cohort.name(), before.robot),
            group,
            origin,
            kl_nats: *kl_nats,
            episodes: pairs.map(paired).collect(),
        }
    };
    robots.map(robot).collect()
}

/// Thirds of the held-out robots by the length of their tools, which the policy does not see: what helps most of a fleet may harm one of them.
const THIRDS: [&str; 3] = ["short tools", "middling tools", "long tools"];

/// The kind of each robot, by its dynamics alone. Those from outside the distribution are too few to be told apart.
fn groups(config: &Config, cohort: Cohort, robots: &[u32]) -> Vec<String> {
    if cohort == Cohort::OutOfDistribution {
        return vec![cohort.name().to_owned(); robots.len()];
    }
    let tool = |robot: &u32| Robot::of(cohort, config, *robot).dynamics.tool_m;
    let mut sorted: Vec<u32> = robots.to_vec();
    sorted.sort_by(|one, other| tool(one).total_cmp(&tool(other)));
    let third = |robot: &u32| {
        let place = sorted.iter().position(|other| other == robot).unwrap_or(0);
        format!("{}, {}", cohort.name(), THIRDS[place * THIRDS.len() / sorted.len()])
    };
    robots.iter().map(third).collect()
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
    use trust::gate::{Rule, Thresholds, judge};
    use workload::{Size, Task, pretrain};

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

    /// So many of fifty episodes succeed on each robot.
    fn episodes(cohort: Cohort, successes: impl Iterator<Item = u64>) -> workload::Evaluation {
        let episode = |seed, successes| Episode { seed, success: seed < successes, violations: 0 };
        let record = |(robot, successes)| {
            let episodes = (0..50).map(|seed| episode(seed, successes)).collect();
            Record { robot, episodes }
        };
        workload::Evaluation { cohort, records: (0..).zip(successes).map(record).collect() }
    }

    #[test]
    fn a_candidate_that_helps_most_robots_and_harms_those_with_long_tools_is_refused() {
        let config = Config::of(Task::Imitation, Size::Kb10, 1);
        let long = |robot| {
            let kinds = groups(&config, Cohort::HeldOut, &(0..18).collect::<Vec<_>>());
            kinds[robot as usize].contains("long")
        };
        let broken = |harmed: u64| {
            let within = |after: bool| {
                let successes = (0..18).map(|robot| match (after, long(robot)) {
                    (false, _) => 25,
                    (true, true) => 25 - harmed,
                    (true, false) => 45,
                });
                episodes(Cohort::HeldOut, successes)
            };
            let outside = |successes| episodes(Cohort::OutOfDistribution, (0..8).map(|_| successes));
            let mut robots = table(&config, [&within(false), &within(true)], &[0.1; 18]);
            robots.extend(table(&config, [&outside(20), &outside(30)], &[0.1; 8]));
            let evaluation = Evaluation { old: [1; 32], new: [2; 32], robots };
            let verdict = judge(&evaluation, &Thresholds::default()).expect("a verdict");
            let broken = verdict.findings().iter().filter(|finding| !finding.holds());
            broken.map(|finding| (finding.rule, finding.subject.clone())).collect::<Vec<_>>()
        };
        assert_eq!(broken(0), []);
        // Six robots of eighteen succeed less, twelve more: the fleet as a whole is better by 0.23.
        assert_eq!(broken(5), [(Rule::Regression, "held-out, long tools".to_owned())]);
    }

    #[test]
    fn thirds_are_by_tool_length_and_nearly_of_one_size() {
        let config = Config::of(Task::Imitation, Size::Kb10, 1);
        let numbers: Vec<u32> = (0..16).collect();
        let kinds = groups(&config, Cohort::HeldOut, &numbers);
        let tools = |kind: &str| {
            let of_kind = numbers.iter().zip(&kinds).filter(|(_, found)| found.contains(kind));
            of_kind.map(|(robot, _)| Robot::of(Cohort::HeldOut, &config, *robot).dynamics.tool_m).collect::<Vec<_>>()
        };
        let [short, middling, long] = ["short", "middling", "long"].map(tools);
        assert_eq!([short.len(), middling.len(), long.len()], [6, 5, 5]);
        let most = |tools: &[f32]| tools.iter().copied().fold(0.0, f32::max);
        assert!(middling.iter().all(|tool| *tool > most(&short)) && long.iter().all(|tool| *tool > most(&middling)));
    }
}
