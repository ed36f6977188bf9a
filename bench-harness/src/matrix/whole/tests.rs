use super::super::link::transfer_s;
use super::super::pipeline::Times;
use super::super::trace::AttemptTrace;
use super::*;
use workload::{Size, Task};

const FLEET: Fleet = Fleet { task: Task::Imitation, clients: 4, size: Size::Kb10, profile: None };

fn ms(times: &[u64]) -> Vec<u64> {
    times.iter().map(|ms| ms * 1_000_000).collect()
}

/// Four robots of 100, 200, 100 and 300 ms.
fn trace() -> FleetTrace {
    let times = Times {
        clip_ns: ms(&[1, 1, 1, 1]),
        encrypt_ns: ms(&[8, 8, 8, 8]),
        sign_ns: ms(&[1, 1, 1, 1]),
        add_ns: ms(&[1, 2, 1, 1]),
        check_ns: 5_000_000,
        open_ns: 3_000_000,
        ..Times::default()
    };
    let round = RoundTrace {
        collect_ns: ms(&[10, 20, 10, 30]),
        train_ns: ms(&[80, 170, 80, 260]),
        collect_s: 30.0,
        times,
        upload_bytes: 10_000,
        sum_bytes: 50_000,
        plain_upload_bytes: 5_000,
        mean_bytes: 10_000,
        updates_sha256: None,
        error_max: 0.0,
    };
    let attempt = AttemptTrace {
        rounds: vec![round],
        gate_ns: 500_000_000,
        canary_ns: 0,
        soak_s: 60.0,
        soaking_ns: Some(4_000_000),
        waves: vec![1, 1, 2],
        package_bytes: 20_000,
        apply_ns: ms(&[2]),
        success: [0.5, 0.9],
        said: vec![],
        deployed: true,
        rolled_back: false,
    };
    FleetTrace { fleet: FLEET, trained: 4, campaigns: vec![vec![attempt]] }
}

/// 1 Mbit/s up, 2 down, 10 ms.
fn line(runs: Vec<WholeTrace>) -> WholeLine {
    let calibration = Calibration {
        rtt_ns: ms(&[10]),
        small_bytes: 10_000,
        small_ns: ms(&[90]),
        bulk_bytes: 100_000,
        bulk_ns: ms(&[810]),
        bulk_down_ns: ms(&[410]),
    };
    WholeLine { fleet: FLEET, shaping: Shaping::Loopback, link: None, note: None, calibration, cores: 2, runs }
}

fn run(parts_ms: &[u64], waves: &[u32]) -> WholeTrace {
    let parts_ns = ms(parts_ms).try_into().expect("four parts");
    let marks = AttemptMarks { parts_ns, waves: waves.to_vec(), deployed: !waves.is_empty() };
    WholeTrace { attempts: vec![marks], write_ns: ms(&[0, 2]), error_max: Some(1e-4), others_share: Some(0.25) }
}

#[test]
fn an_attempt_is_put_together_as_a_calculation_by_hand_gives() {
    let outcome = WholeOutcome::of(&line(vec![run(&[460, 10, 500, 330], &[1, 1, 2])]), Some(&trace())).expect("a run");
    let composed: Vec<f64> = outcome.parts.iter().filter_map(|part| part.composed_s).collect();
    // Robots take 700 ms of two cores; 2.5 round trips of 10 ms and 80 ms for the upload; a write takes 1 ms. Each stage: 20 ms
    // and 80 ms, 6 ms to apply and soak, 10 writes, one for each robot; the first has 5 more.
    let by_hand = [0.025 + 0.35 + 0.08 + 0.009, 0.002 + 0.008 + 0.004, 0.502, 0.3 + 0.018 + 0.03 + 0.004 + 0.005];
    composed.iter().zip(by_hand).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{composed:?} {by_hand:?}"));
    assert!((outcome.end_to_end_s - 1.3).abs() < 1e-12 && outcome.agrees == Some(true), "{outcome:?}");
    assert_eq!((outcome.label, outcome.deployed, outcome.error_max), (Label::M, 1, Some(1e-4)));
    assert_eq!(outcome.cell, "imitation-4x10kb-loopback");
}

#[test]
fn the_slowest_robot_counts_where_cores_are_plenty() {
    let many = WholeLine { cores: 64, ..line(vec![run(&[400, 10, 500, 90], &[4])]) };
    let outcome = WholeOutcome::of(&many, Some(&trace())).expect("a run");
    let uploads = outcome.parts[0].composed_s.expect("it was measured");
    assert!((uploads - (0.025 + 0.3 + 0.08 + 0.009)).abs() < 1e-12, "{uploads}");
}

#[test]
fn what_is_farther_apart_than_allowed_does_not_agree_either_way() {
    for (gate_ms, agrees) in [(300, false), (430, true), (560, true), (700, false)] {
        let outcome = WholeOutcome::of(&line(vec![run(&[460, 10, gate_ms, 330], &[1, 1, 2])]), Some(&trace()));
        let outcome = outcome.expect("a run");
        assert_eq!(outcome.agrees, Some(agrees), "{} {:?}", gate_ms, outcome.ratio);
    }
}

#[test]
fn failures_are_charged_and_the_middle_run_counts() {
    let mut unlucky = run(&[460, 10, 500, 0], &[]);
    unlucky.attempts.extend(run(&[460, 10, 500, 330], &[1, 1, 2]).attempts);
    let calm = || run(&[460, 10, 500, 330], &[1, 1, 2]);
    let outcome = WholeOutcome::of(&line(vec![calm(), unlucky, calm()]), Some(&trace())).expect("runs");
    assert_eq!((outcome.runs, outcome.attempts, outcome.deployed), (3, 4, 3));
    assert!((outcome.end_to_end_s - 1.3).abs() < 1e-12);
}

#[test]
fn without_measured_parts_nothing_is_put_together() {
    let outcome = WholeOutcome::of(&line(vec![run(&[1, 1, 1, 1], &[4])]), None).expect("a run");
    assert_eq!((outcome.composed_s, outcome.ratio, outcome.agrees), (None, None, None));
    assert!(WholeOutcome::of(&line(vec![]), Some(&trace())).is_none());
}

#[test]
fn the_formula_of_composed_cells_is_held_against_a_shaped_link() {
    let link = Link { mbit_per_s: 100, rtt_ms: 20 };
    let shaped =
        WholeLine { shaping: Shaping::Paced, link: Some(link), ..line(vec![run(&[460, 10, 500, 330], &[1, 1, 2])]) };
    let outcome = WholeOutcome::of(&shaped, Some(&trace())).expect("a run");
    let by_formula = outcome.by_formula.expect("a link and measured parts");
    let [uploads, rollout] = &by_formula.parts[..] else { panic!("{by_formula:?}") };
    // 700 ms of two cores and 9 writes of 1 ms; then three stages of 6 ms for each robot beyond the cores, 10 writes and one for each robot, 5 once.
    let by_hand =
        [0.35 + 0.009 + transfer_s(link, 10_000), 3.0 * transfer_s(link, 20_000) + 0.018 + 0.03 + 0.004 + 0.005];
    for (part, by_hand) in [uploads, rollout].into_iter().zip(by_hand) {
        assert!((part.formula_s - by_hand).abs() < 1e-12, "{part:?} {by_hand}");
        assert!((part.error - (part.formula_s / part.emulated_s - 1.0)).abs() < 1e-12);
    }
    assert_eq!((uploads.emulated_s, rollout.emulated_s), (0.46, 0.33));
    let bare = line(vec![run(&[460, 10, 500, 330], &[1, 1, 2])]);
    assert!(WholeOutcome::of(&bare, Some(&trace())).expect("a run").by_formula.is_none(), "no link was asked for");
    assert!(WholeOutcome::of(&shaped, None).expect("a run").by_formula.is_none(), "nothing was measured of its parts");
}
