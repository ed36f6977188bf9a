//! Roll-outs: every transition, and what holds in all of them.

use lwe::RobotId;
use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng, seq::IndexedRandom};
use std::collections::BTreeMap;
use tensorguard_trust::rollout::*;

fn fleet(robots: u8) -> Vec<RobotId> {
    (0..robots).map(|number| RobotId([number; 32])).collect()
}

fn started(robots: u8) -> Rollout {
    Rollout::start(Plan::default(), &fleet(robots), &[7; 32]).unwrap()
}

/// Every robot that was offered the new version applies it and is healthy.
fn all_healthy(rollout: &mut Rollout) {
    for order in rollout.orders() {
        assert_eq!(order.version, Version::New);
        rollout.take(Event::Healthy(order.robot)).unwrap();
    }
}

/// Robots in the order in which they are reached.
fn order(rollout: &Rollout) -> Vec<RobotId> {
    let mut rollout = rollout.clone();
    let mut robots = vec![];
    while rollout.stage() != Stage::Deployed {
        robots.extend(rollout.orders().iter().map(|order| order.robot));
        all_healthy(&mut rollout);
        rollout.take(Event::SoakOver).unwrap();
    }
    robots
}

#[test]
fn a_good_version_passes_through_every_stage() {
    let mut rollout = started(40);
    let stages = [(Stage::Canary, 4), (Stage::Progressive(0), 20), (Stage::Full, 40)];
    for (stage, exposed) in stages {
        assert_eq!((rollout.stage(), rollout.tally().exposed(), rollout.limit(stage)), (stage, exposed, exposed));
        all_healthy(&mut rollout);
        assert_eq!(rollout.stage(), stage, "a stage lasts until its time is over");
        rollout.take(Event::SoakOver).unwrap();
    }
    assert_eq!(rollout.stage(), Stage::Deployed);
    assert_eq!(rollout.tally(), Tally { healthy: 40, ..Tally::default() });
    assert_eq!(rollout.orders(), []);
    assert_eq!(rollout.take(Event::SoakOver), Ok(Stage::Deployed));
}

#[test]
fn a_roll_out_goes_on_after_a_restart_where_its_log_says_it_was() {
    let mut rollout = started(40);
    let mut stages = vec![Stage::Canary];
    let resumed = |stages: &[Stage]| Rollout::resume(Plan::default(), &fleet(40), &[7; 32], stages).unwrap();
    for stage in [Stage::Progressive(0), Stage::Full] {
        all_healthy(&mut rollout);
        assert_eq!(rollout.take(Event::SoakOver), Ok(stage));
        stages.push(stage);
        let mut again = resumed(&stages);
        assert_eq!((again.stage(), again.tally().exposed()), (stage, rollout.tally().exposed()));
        // Robots of earlier stages say once more how they fare.
        all_healthy(&mut again);
        all_healthy(&mut rollout);
        assert_eq!(again, rollout);
    }
    stages.push(Stage::RollingBack(Reason::TooFew));
    let back = resumed(&stages);
    assert_eq!((back.stage(), back.tally().returning), (Stage::RollingBack(Reason::TooFew), 40));
    assert!(back.orders().iter().all(|order| order.version == Version::Old));
    assert_eq!(resumed(&[]), started(40));
    assert_eq!(resumed(&[Stage::Canary]), started(40));
}

#[test]
fn a_stage_without_steps_goes_from_canary_to_all() {
    let plan = Plan { steps_percent: vec![], ..Plan::default() };
    let mut rollout = Rollout::start(plan, &fleet(10), &[7; 32]).unwrap();
    all_healthy(&mut rollout);
    assert_eq!(rollout.take(Event::SoakOver), Ok(Stage::Full));
}

#[test]
fn a_sick_canary_sends_everything_back() {
    let mut rollout = started(40);
    all_healthy(&mut rollout);
    let robots = order(&started(40));
    assert_eq!(rollout.take(Event::Unhealthy(robots[2])), Ok(Stage::RollingBack(Reason::Unhealthy)));
    let back: Vec<_> = robots[..4].iter().map(|robot| Order { robot: *robot, version: Version::Old }).collect();
    assert_eq!(rollout.orders(), back);
    for robot in &robots[..3] {
        assert_eq!(rollout.take(Event::Restored(*robot)), Ok(Stage::RollingBack(Reason::Unhealthy)));
    }
    assert_eq!(rollout.take(Event::Restored(robots[3])), Ok(Stage::RolledBack(Reason::Unhealthy)));
    assert_eq!(rollout.tally(), Tally { untouched: 36, restored: 4, ..Tally::default() });
    for event in [Event::SoakOver, Event::Halt, Event::Healthy(robots[0]), Event::Unhealthy(robots[9])] {
        assert_eq!(rollout.take(event), Ok(Stage::RolledBack(Reason::Unhealthy)));
    }
}

#[test]
fn a_silent_canary_sends_everything_back_when_its_time_is_over() {
    let mut rollout = started(40);
    for robot in &order(&rollout)[..3] {
        rollout.take(Event::Healthy(*robot)).unwrap();
    }
    assert_eq!(rollout.take(Event::SoakOver), Ok(Stage::RollingBack(Reason::TooFew)));
    // The silent one may have installed it: it is ordered back too.
    assert_eq!(rollout.orders().len(), 4);
}

#[test]
fn deployed_is_ninety_five_of_a_hundred_and_not_one_fewer() {
    for (silent, end) in [(5, Stage::Deployed), (6, Stage::RollingBack(Reason::TooFew))] {
        let mut rollout = started(100);
        let robots = order(&rollout);
        for _ in 0..2 {
            all_healthy(&mut rollout);
            rollout.take(Event::SoakOver).unwrap();
        }
        for robot in &robots[..100 - silent] {
            rollout.take(Event::Healthy(*robot)).unwrap();
        }
        assert_eq!(rollout.take(Event::SoakOver), Ok(end));
    }
}

#[test]
fn a_few_sick_robots_go_back_alone_and_one_more_takes_all_with_it() {
    let mut rollout = started(100);
    let robots = order(&rollout);
    for _ in 0..2 {
        all_healthy(&mut rollout);
        rollout.take(Event::SoakOver).unwrap();
    }
    all_healthy(&mut rollout);
    for robot in &robots[..5] {
        assert_eq!(rollout.take(Event::Unhealthy(*robot)), Ok(Stage::Full));
        assert_eq!(rollout.orders(), [Order { robot: *robot, version: Version::Old }]);
        rollout.take(Event::Restored(*robot)).unwrap();
    }
    assert_eq!(rollout.take(Event::SoakOver), Ok(Stage::Deployed));
    // Also when it is deployed: somebody still looks.
    assert_eq!(rollout.take(Event::Unhealthy(robots[50])), Ok(Stage::RollingBack(Reason::Unhealthy)));
    assert_eq!(rollout.orders().len(), 95);
}

#[test]
fn a_halt_ends_every_stage() {
    for stages in 0..4 {
        let mut rollout = started(20);
        for _ in 0..stages {
            all_healthy(&mut rollout);
            rollout.take(Event::SoakOver).unwrap();
        }
        assert_eq!(rollout.take(Event::Halt), Ok(Stage::RollingBack(Reason::Halted)));
        assert_eq!(rollout.orders().len(), [2, 10, 20, 20][stages]);
    }
}

#[test]
fn what_comes_late_or_from_elsewhere_changes_nothing() {
    let mut rollout = started(20);
    let robots = order(&rollout);
    let before = rollout.clone();
    for event in [Event::Healthy(robots[5]), Event::Unhealthy(robots[5]), Event::Restored(robots[0])] {
        rollout.take(event).unwrap();
        assert_eq!(rollout, before, "{event:?}");
    }
    assert_eq!(rollout.take(Event::Healthy(RobotId([99; 32]))), Err(RolloutError::UnknownRobot));
    assert_eq!(rollout, before);
    // A robot that was ordered back is not healthy any more, whatever it says.
    rollout.take(Event::Halt).unwrap();
    rollout.take(Event::Healthy(robots[0])).unwrap();
    assert_eq!(rollout.tally().healthy, 0);
}

#[test]
fn the_canary_follows_from_seed_and_names_alone() {
    let mut shuffled = fleet(40);
    shuffled.reverse();
    let plan = Plan::default();
    let same = Rollout::start(plan.clone(), &shuffled, &[7; 32]).unwrap();
    assert_eq!(order(&same), order(&started(40)));
    let other = Rollout::start(plan, &fleet(40), &[8; 32]).unwrap();
    assert_ne!(order(&other)[..4], order(&same)[..4]);
    // One robot more leaves the order of the others as it is.
    let mut without: Vec<_> = order(&started(41));
    without.retain(|robot| *robot != RobotId([40; 32]));
    assert_eq!(without, order(&same));
}

#[test]
fn small_fleets_have_a_canary_of_one() {
    for robots in [2, 5, 19] {
        assert_eq!(started(robots).tally().exposed(), 1, "of {robots}");
    }
    for robots in [0, 1] {
        assert_eq!(Rollout::start(Plan::default(), &fleet(robots), &[0; 32]), Err(RolloutError::Fleet(robots.into())));
    }
    let twice = [RobotId([1; 32]), RobotId([1; 32])];
    assert_eq!(Rollout::start(Plan::default(), &twice, &[0; 32]), Err(RolloutError::RobotTwice));
}

#[test]
fn plans_out_of_range_are_refused() {
    let plan = |canary_percent, steps_percent: &[u8], healthy_percent| {
        let plan = Plan { canary_percent, steps_percent: steps_percent.to_vec(), healthy_percent };
        Rollout::start(plan, &fleet(20), &[0; 32]).map(|_| ())
    };
    assert_eq!(plan(5, &[25, 50, 99], 100), Ok(()));
    assert_eq!(plan(20, &[21], 50), Ok(()));
    for (canary, steps, healthy) in [
        (4, &[50][..], 95),
        (21, &[50], 95),
        (10, &[10], 95),
        (10, &[50, 50], 95),
        (10, &[50, 100], 95),
        (10, &[50], 101),
        (10, &[50], 49),
    ] {
        assert_eq!(plan(canary, steps, healthy), Err(RolloutError::Plan), "{canary} {steps:?} {healthy}");
    }
}

/// What the robots themselves run, as opposed to what the roll-out believes.
fn obey(robots: &mut BTreeMap<RobotId, Version>, order: &Order) {
    robots.insert(order.robot, order.version);
}

#[test]
fn a_thousand_random_runs_keep_every_share_and_end_on_one_version() {
    let (mut deployed, mut rolled_back) = (0, 0);
    for seed in 0..1000 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let names = fleet(rng.random_range(2..60));
        let sickness = [0.0, 0.002, 0.02, 0.2][rng.random_range(0..4)];
        let plan = Plan {
            canary_percent: rng.random_range(5..=20),
            steps_percent: [&[][..], &[50], &[25, 50, 75]][rng.random_range(0..3)].to_vec(),
            healthy_percent: rng.random_range(80..=100),
        };
        let mut rollout = Rollout::start(plan.clone(), &names, &[1; 32]).unwrap();
        let mut robots: BTreeMap<_, _> = names.iter().map(|robot| (*robot, Version::Old)).collect();
        let mut events = vec![];
        for step in 0..2000 {
            let event = match (rng.random_range(0..60), rollout.orders().choose(&mut rng)) {
                (0, _) => Event::SoakOver,
                (1, _) => Event::Healthy(*names.choose(&mut rng).unwrap()),
                // Robots do not lie about being back.
                (2, _) => match names.choose(&mut rng).unwrap() {
                    robot if robots[robot] == Version::Old => Event::Restored(*robot),
                    robot => Event::Healthy(*robot),
                },
                (3, _) if step < 1000 && rng.random_bool(0.01) => Event::Halt,
                (_, Some(order)) => {
                    obey(&mut robots, order);
                    match order.version {
                        _ if rng.random_bool(sickness) => Event::Unhealthy(order.robot),
                        Version::New => Event::Healthy(order.robot),
                        Version::Old => Event::Restored(order.robot),
                    }
                }
                (_, None) => Event::SoakOver,
            };
            let before = rollout.stage();
            let after = rollout.take(event).unwrap();
            events.push(event);
            check(&rollout, before, after, &robots);
        }
        // The same events lead to the same state.
        let mut again = Rollout::start(plan, &names, &[1; 32]).unwrap();
        for event in events {
            again.take(event).unwrap();
        }
        assert_eq!(again, rollout);
        match rollout.stage() {
            Stage::Deployed => deployed += 1,
            Stage::RolledBack(_) => rolled_back += 1,
            stage => panic!("run {seed} is still at {stage:?}: {:?}", rollout.tally()),
        }
    }
    assert!(deployed > 200 && rolled_back > 200, "{deployed} deployed, {rolled_back} rolled back");
}

fn check(rollout: &Rollout, before: Stage, after: Stage, robots: &BTreeMap<RobotId, Version>) {
    let on_new = robots.values().filter(|version| **version == Version::New).count();
    let tally = rollout.tally();
    assert!(on_new <= tally.exposed(), "{tally:?}");
    assert!(tally.exposed() <= rollout.limit(after), "{after:?}: {tally:?}");
    let place = |stage| match stage {
        Stage::Canary => 0,
        Stage::Progressive(step) => 1 + step,
        Stage::Full => 10,
        Stage::Deployed => 11,
        Stage::RollingBack(_) => 12,
        Stage::RolledBack(_) => 13,
    };
    assert!(place(before) <= place(after), "{before:?} to {after:?}");
    if let Stage::RolledBack(_) = after {
        assert_eq!((on_new, tally.healthy + tally.offered + tally.returning), (0, 0), "{tally:?}");
    }
    if after == Stage::Deployed && before != Stage::Deployed {
        assert!(tally.healthy * 100 >= robots.len() * 80, "{tally:?}");
    }
}
