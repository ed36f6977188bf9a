//! The gate: each rule alone can refuse a candidate that all others let through.

use tensorguard_trust::gate::*;

const DONE: Outcome = Outcome { success: true, violations: 0 };
const MISSED: Outcome = Outcome { success: false, violations: 0 };

/// The old policy succeeds in half of all episodes, the new one in nine of ten.
fn robot(number: u32, origin: Distribution) -> EvaluatedRobot {
    let episode = |seed: u64| {
        let (old, new) =
            (if seed.is_multiple_of(2) { DONE } else { MISSED }, if !seed.is_multiple_of(10) { DONE } else { MISSED });
        PairedEpisode { seed, old, new }
    };
    let group = if number.is_multiple_of(2) { "short" } else { "long" };
    EvaluatedRobot {
        name: format!("{origin:?} {number}"),
        group: group.into(),
        origin,
        kl_nats: 0.1,
        episodes: (0..50).map(episode).collect(),
    }
}

fn good() -> Evaluation {
    let within = (0..16).map(|number| robot(number, Distribution::Within));
    let outside = (0..8).map(|number| robot(number, Distribution::Outside));
    Evaluation { old: [1; 32], new: [2; 32], robots: within.chain(outside).collect() }
}

/// The rules that refuse it, each once.
fn broken(evaluation: &Evaluation, thresholds: &Thresholds) -> Vec<Rule> {
    let verdict = judge(evaluation, thresholds).unwrap();
    let mut rules: Vec<_> = verdict.findings().iter().filter(|finding| !finding.holds()).map(|f| f.rule).collect();
    rules.dedup();
    assert_eq!(verdict.passed(), rules.is_empty());
    rules
}

fn changed(change: impl Fn(&mut EvaluatedRobot)) -> Evaluation {
    let mut evaluation = good();
    evaluation.robots.iter_mut().for_each(change);
    evaluation
}

/// From here to there, the new policy does as the old one: its bound is below any effect, but far from a drop.
fn even(robot: &mut EvaluatedRobot) {
    robot.episodes.iter_mut().for_each(|episode| episode.new = episode.old);
}

#[test]
fn a_better_candidate_passes_and_every_rule_says_why() {
    let verdict = judge(&good(), &Thresholds::default()).unwrap();
    assert!(verdict.passed(), "{verdict}");
    let rules: Vec<_> = verdict.findings().iter().map(|finding| (finding.rule, finding.subject.as_str())).collect();
    assert_eq!(
        rules,
        [
            (Rule::Evidence, "robots within"),
            (Rule::Evidence, "robots outside"),
            (Rule::Evidence, "episodes of a robot"),
            (Rule::Improvement, "robots within"),
            (Rule::Regression, "long"),
            (Rule::Safety, "long"),
            (Rule::Regression, "short"),
            (Rule::Safety, "short"),
            (Rule::Divergence, "Outside 7"),
            (Rule::Robustness, "robots outside"),
        ]
    );
    assert_eq!(verdict.candidate(), &good().new);
    assert_eq!(verdict.thresholds(), &Thresholds::default().hash());
    assert_eq!(verdict.evaluation(), &good().digest());
}

#[test]
fn no_improvement_is_refused() {
    let evaluation = changed(|robot| {
        if robot.origin == Distribution::Within {
            even(robot)
        }
    });
    assert_eq!(broken(&evaluation, &Thresholds::default()), [Rule::Improvement]);
}

#[test]
fn an_improvement_below_the_least_effect_is_refused() {
    // The mean difference is 0.4, the same on each robot, and its lower bound a little less.
    for (min_effect, rules) in [(0.3, &[][..]), (0.4, &[Rule::Improvement])] {
        assert_eq!(broken(&good(), &Thresholds { min_effect, ..Thresholds::default() }), rules);
    }
}

#[test]
fn an_improvement_on_a_few_robots_only_is_refused() {
    // A third of the robots much better: the mean is 0.13, but the next robots may be of the other two thirds.
    let evaluation = changed(|robot| {
        let number: u32 = robot.name.rsplit(' ').next().unwrap().parse().unwrap();
        if robot.origin == Distribution::Within && !number.is_multiple_of(3) {
            even(robot);
        }
    });
    let thresholds = Thresholds { min_effect: 0.08, ..Thresholds::default() };
    assert_eq!(broken(&evaluation, &thresholds), [Rule::Improvement]);
}

#[test]
fn a_group_that_gets_worse_is_refused() {
    let mut evaluation = good();
    // One long arm of a group of its own fails at everything; the fleet is still much better.
    evaluation.robots[1].group = "longest".into();
    evaluation.robots[1].episodes.iter_mut().for_each(|episode| episode.new.success = false);
    let verdict = judge(&evaluation, &Thresholds::default()).unwrap();
    let refusals: Vec<_> = verdict.findings().iter().filter(|finding| !finding.holds()).collect();
    assert_eq!(refusals.len(), 1, "{verdict}");
    assert_eq!((refusals[0].rule, refusals[0].subject.as_str()), (Rule::Regression, "longest"));
}

#[test]
fn a_group_that_breaks_safety_rules_more_often_is_refused() {
    let evaluation = changed(|robot| {
        if robot.group == "long" {
            robot.episodes.iter_mut().step_by(10).for_each(|episode| episode.new.violations = 1);
        }
    });
    assert_eq!(broken(&evaluation, &Thresholds::default()), [Rule::Safety]);
    // As many as before are no rise.
    let before = changed(|robot| {
        robot.episodes.iter_mut().for_each(|episode| (episode.old.violations, episode.new.violations) = (2, 1));
    });
    assert_eq!(broken(&before, &Thresholds::default()), []);
}

#[test]
fn a_candidate_that_acts_all_too_differently_is_refused_and_so_is_one_nobody_measured() {
    for kl_nats in [5.1, f64::INFINITY, f64::NAN, -1.0] {
        let mut evaluation = good();
        evaluation.robots[3].kl_nats = kl_nats;
        assert_eq!(broken(&evaluation, &Thresholds::default()), [Rule::Divergence], "{kl_nats}");
    }
}

#[test]
fn a_candidate_that_is_worse_outside_the_distribution_is_refused() {
    // A tenth of its successes lost there; in each group the fleet's own robots make up for it.
    let evaluation = changed(|robot| {
        if robot.origin == Distribution::Outside {
            even(robot);
            robot.episodes.iter_mut().step_by(10).for_each(|episode| episode.new.success = false);
        }
    });
    assert_eq!(broken(&evaluation, &Thresholds::default()), [Rule::Robustness]);
}

#[test]
fn too_few_robots_or_episodes_are_refused() {
    let fewer = |keep: fn(&EvaluatedRobot) -> bool| {
        let mut evaluation = good();
        evaluation.robots.retain(keep);
        evaluation
    };
    let thresholds = Thresholds::default();
    assert_eq!(broken(&fewer(|robot| robot.name != "Within 0"), &thresholds), [Rule::Evidence]);
    assert_eq!(broken(&fewer(|robot| robot.name != "Outside 0"), &thresholds), [Rule::Evidence]);
    let mut evaluation = good();
    evaluation.robots[0].episodes.pop();
    assert_eq!(broken(&evaluation, &thresholds), [Rule::Evidence]);
    evaluation.robots[0].episodes.clear();
    assert_eq!(broken(&evaluation, &thresholds), [Rule::Evidence]);
}

#[test]
fn an_empty_evaluation_is_refused() {
    let nobody = Evaluation { robots: vec![], ..good() };
    let rules = [Rule::Evidence, Rule::Improvement, Rule::Divergence, Rule::Robustness];
    assert_eq!(broken(&nobody, &Thresholds::default()), rules);
    let mut idle = good();
    idle.robots.iter_mut().for_each(|robot| robot.episodes.clear());
    let rules = [
        Rule::Evidence,
        Rule::Improvement,
        Rule::Regression,
        Rule::Safety,
        Rule::Regression,
        Rule::Safety,
        Rule::Robustness,
    ];
    assert_eq!(broken(&idle, &Thresholds::default()), rules);
}

#[test]
fn an_evaluation_that_counts_something_twice_gets_no_verdict() {
    let judged = |evaluation: &Evaluation| judge(evaluation, &Thresholds::default()).map(|_| ());
    let mut evaluation = good();
    evaluation.robots[1].name = evaluation.robots[0].name.clone();
    assert_eq!(judged(&evaluation), Err(GateError::RobotTwice("Within 0".into())));
    let mut evaluation = good();
    evaluation.robots[2].episodes[7].seed = 3;
    assert_eq!(judged(&evaluation), Err(GateError::EpisodeTwice { robot: "Within 2".into(), seed: 3 }));
    assert_eq!(judged(&Evaluation { new: [1; 32], ..good() }), Err(GateError::Same));
}

#[test]
fn thresholds_that_are_no_limits_get_no_verdict() {
    let sound = Thresholds::default();
    let unsound = [
        Thresholds { min_effect: f64::NAN, ..sound },
        Thresholds { min_effect: -0.1, ..sound },
        Thresholds { max_group_drop: 1.0, ..sound },
        Thresholds { max_violation_rise: f64::INFINITY, ..sound },
        Thresholds { max_outside_drop: 2.0, ..sound },
        Thresholds { max_kl_nats: f64::INFINITY, ..sound },
        Thresholds { min_robots: 1, ..sound },
        Thresholds { min_outside_robots: 0, ..sound },
        Thresholds { min_episodes: 0, ..sound },
    ];
    for thresholds in unsound {
        assert!(matches!(judge(&good(), &thresholds), Err(GateError::Threshold { .. })), "{thresholds:?}");
    }
}

#[test]
fn hashes_are_over_every_threshold_and_every_episode() {
    let sound = Thresholds::default();
    let mut hashes = vec![
        sound.hash(),
        Thresholds { min_effect: 0.021, ..sound }.hash(),
        Thresholds { min_robots: 17, ..sound }.hash(),
        Thresholds { min_outside_robots: 9, ..sound }.hash(),
        Thresholds { min_episodes: 51, ..sound }.hash(),
        Thresholds { max_group_drop: 0.2, ..sound }.hash(),
        Thresholds { max_violation_rise: 0.2, ..sound }.hash(),
        Thresholds { max_kl_nats: 0.2, ..sound }.hash(),
        Thresholds { max_outside_drop: 0.2, ..sound }.hash(),
        good().digest(),
        Evaluation { old: [9; 32], ..good() }.digest(),
        Evaluation { new: [9; 32], ..good() }.digest(),
    ];
    let changes: [fn(&mut EvaluatedRobot); 8] = [
        |robot| robot.name.push('x'),
        |robot| robot.group.push('x'),
        |robot| robot.origin = Distribution::Outside,
        |robot| robot.kl_nats = 0.2,
        |robot| robot.episodes[5].seed = 99,
        |robot| robot.episodes[5].old.success = true,
        |robot| robot.episodes[5].new.success = false,
        |robot| robot.episodes[5].new.violations = 1,
    ];
    for change in changes {
        let mut evaluation = good();
        change(&mut evaluation.robots[0]);
        hashes.push(evaluation.digest());
    }
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}
