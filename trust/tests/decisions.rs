//! The decision log: what was recorded is there, and every way of changing it is noticed.

use lwe::{Head, LogError};
use tensorguard_trust::decisions::*;
use tensorguard_trust::gate::*;
use tensorguard_trust::rollout::{Reason, Stage};

fn verdict(candidate: u8, new: impl Fn(u64) -> bool) -> Verdict {
    let outcome = |success| Outcome { success, violations: 0 };
    let episode = |seed| PairedEpisode { seed, old: outcome(seed % 2 == 0), new: outcome(new(seed)) };
    let robot = |number: u32| EvaluatedRobot {
        name: number.to_string(),
        group: "arms".into(),
        origin: if number < 16 { Distribution::Within } else { Distribution::Outside },
        kl_nats: 0.1,
        episodes: (0..50).map(episode).collect(),
    };
    let evaluation = Evaluation { old: [0; 32], new: [candidate; 32], robots: (0..24).map(robot).collect() };
    judge(&evaluation, &Thresholds::default()).unwrap()
}

fn passed(candidate: u8) -> Decision {
    Decision::Judged(verdict(candidate, |seed| seed % 10 > 0))
}

fn refused(candidate: u8) -> Decision {
    Decision::Judged(verdict(candidate, |seed| seed % 2 == 0))
}

fn registered() -> Decision {
    Decision::Registered { thresholds: Thresholds::default().hash() }
}

fn settled(candidate: u8, end: End) -> Decision {
    Decision::Settled { candidate: [candidate; 32], end }
}

fn reached(candidate: u8, stage: Stage) -> Decision {
    Decision::Reached { candidate: [candidate; 32], stage }
}

fn unjudged(candidate: u8) -> Decision {
    Decision::Unjudged { candidate: [candidate; 32] }
}

fn decisions() -> Vec<Decision> {
    vec![registered(), refused(1), passed(2), settled(2, End::Deployed), passed(3), settled(3, End::Unhealthy)]
}

/// At noon, whatever is decided: times are told, and no rule looks at them.
fn record(log: &mut dyn DecisionLog, anchor: Option<Head>, decision: Decision) -> Result<Head, DecisionError> {
    tensorguard_trust::decisions::record(log, anchor, NOON, decision)
}

const NOON: u64 = 1_795_348_800;

fn filled() -> (MemoryLog, Vec<Head>) {
    let mut log = MemoryLog::default();
    let heads = decisions().into_iter().map(|decision| record(&mut log, None, decision).unwrap()).collect();
    (log, heads)
}

#[test]
fn what_was_recorded_is_there() {
    let (mut log, heads) = filled();
    for anchor in heads.iter().copied().map(Some).chain([None, Some(Head::default())]) {
        let history = History::read(&mut log, anchor).unwrap();
        assert_eq!((history.decisions(), history.times_unix_s()), (&decisions()[..], &[NOON; 6][..]));
        assert_eq!(history.head(), heads[5]);
        assert_eq!(history.deployed(), Some([2; 32]));
    }
    assert_eq!(History::read(&mut MemoryLog::default(), None).unwrap().head(), Head::default());
}

#[test]
fn every_edited_byte_is_noticed() {
    let (log, _) = filled();
    for record in 0..log.0.len() {
        for at in 0..log.0[record].len() {
            let mut edited = log.clone();
            edited.0[record][at] ^= 1 << (at % 8);
            let verdict = History::read(&mut edited, None);
            assert_eq!(verdict, Err(DecisionError::Damaged(record as u64)), "record {record}, byte {at}");
        }
    }
}

#[test]
fn removed_and_reordered_records_are_noticed() {
    let (log, _) = filled();
    for record in 0..log.0.len() - 1 {
        let (mut removed, mut reordered) = (log.clone(), log.clone());
        removed.0.remove(record);
        reordered.0.swap(record, record + 1);
        for mut log in [removed, reordered] {
            assert_eq!(History::read(&mut log, None), Err(DecisionError::Damaged(record as u64)));
        }
    }
    let mut twice = log.clone();
    twice.0.push(log.0[5].clone());
    assert_eq!(History::read(&mut twice, None), Err(DecisionError::Damaged(6)));
}

#[test]
fn a_log_cut_off_is_noticed_against_its_anchor() {
    let (log, heads) = filled();
    for kept in 0..log.0.len() {
        let mut cut = MemoryLog(log.0[..kept].to_vec());
        let error = DecisionError::CutOff { found: kept as u64, anchored: 6 };
        assert_eq!(History::read(&mut cut, Some(heads[5])), Err(error.clone()));
        assert_eq!(record(&mut cut, Some(heads[5]), registered()), Err(error));
        assert_eq!(cut.0.len(), kept, "nothing is recorded on a log that is not believed");
        // Without an anchor nobody can tell.
        assert!(History::read(&mut cut, None).is_ok());
    }
}

#[test]
fn a_log_written_anew_is_noticed_against_its_anchor() {
    let (_, heads) = filled();
    let mut other = MemoryLog::default();
    for decision in
        [registered(), passed(1), settled(1, End::Deployed), passed(4), registered(), registered(), registered()]
    {
        record(&mut other, None, decision).unwrap();
    }
    for anchor in &heads[1..] {
        assert_eq!(History::read(&mut other, Some(*anchor)), Err(DecisionError::OtherHistory));
    }
    assert!(History::read(&mut other, Some(heads[0])).is_ok());
}

#[test]
fn a_verdict_counts_only_under_thresholds_registered_before_it_and_only_once() {
    let mut log = MemoryLog::default();
    assert_eq!(record(&mut log, None, passed(1)), Err(DecisionError::NotRegistered));
    let other = Thresholds { min_effect: 0.5, ..Thresholds::default() }.hash();
    record(&mut log, None, Decision::Registered { thresholds: other }).unwrap();
    assert_eq!(record(&mut log, None, passed(1)), Err(DecisionError::NotRegistered));
    record(&mut log, None, registered()).unwrap();
    record(&mut log, None, refused(1)).unwrap();
    assert_eq!(record(&mut log, None, passed(1)), Err(DecisionError::JudgedTwice));
    assert_eq!(log.0.len(), 3);
}

#[test]
fn only_what_passed_can_be_deployed_and_a_roll_out_ends_once() {
    let (mut log, _) = filled();
    let mut settle = |candidate, end| record(&mut log, None, settled(candidate, end)).map(|_| ());
    for never in [1, 9] {
        assert_eq!(settle(never, End::Deployed), Err(DecisionError::NotPassed));
    }
    assert_eq!(settle(2, End::Deployed), Err(DecisionError::SettledTwice));
    assert_eq!(settle(3, End::Deployed), Err(DecisionError::SettledTwice));
    // A deployed version can still go back; then the one before it, here none, is deployed.
    assert_eq!(settle(2, End::Halted), Ok(()));
    assert_eq!(settle(2, End::Halted), Err(DecisionError::SettledTwice));
    assert_eq!(History::read(&mut log, None).unwrap().deployed(), None);
}

#[test]
fn a_roll_out_enters_each_stage_once_and_only_of_what_may_spread() {
    use Stage::{Canary, Deployed, Full, Progressive, RollingBack};
    let mut log = MemoryLog::default();
    let mut put = |decision| record(&mut log, None, decision).map(|_| ());
    put(registered()).unwrap();
    put(refused(1)).unwrap();
    put(passed(2)).unwrap();
    for never in [1, 9] {
        assert_eq!(put(reached(never, Canary)), Err(DecisionError::NotPassed));
    }
    for first in [Progressive(0), Full, RollingBack(Reason::Halted), Deployed] {
        assert_eq!(put(reached(2, first)), Err(DecisionError::NotNext), "{first:?} first");
    }
    let way = [Canary, Progressive(0), Progressive(1), Full, RollingBack(Reason::Unhealthy)];
    for (count, stage) in way.into_iter().enumerate() {
        put(reached(2, stage)).unwrap();
        for before in &way[..=count] {
            assert_eq!(put(reached(2, *before)), Err(DecisionError::NotNext), "{before:?} after {stage:?}");
        }
    }
    assert_eq!(put(reached(2, Deployed)), Err(DecisionError::NotNext));
    put(settled(2, End::Unhealthy)).unwrap();
    assert_eq!(put(reached(2, Canary)), Err(DecisionError::NotNext));
    assert_eq!(History::read(&mut log, None).unwrap().stages(&[2; 32]), way);
}

#[test]
fn without_a_gate_a_candidate_is_told_as_unjudged_and_stays_so() {
    let mut log = MemoryLog::default();
    for decision in [registered(), unjudged(1), reached(1, Stage::Canary), settled(1, End::Deployed), refused(2)] {
        record(&mut log, None, decision).unwrap();
    }
    for again in [unjudged(1), passed(1), unjudged(2)] {
        assert_eq!(record(&mut log, None, again), Err(DecisionError::JudgedTwice));
    }
    let history = History::read(&mut log, None).unwrap();
    let admitted = [1, 2, 3].map(|candidate| history.admits(&[candidate; 32]));
    assert_eq!(admitted, [Some(Admission::Unjudged), Some(Admission::Refused), None]);
    assert_eq!(history.thresholds(), Some(Thresholds::default().hash()));
}

#[test]
fn a_roll_outs_last_stage_is_its_end() {
    assert_eq!(End::of(Stage::Deployed), Some(End::Deployed));
    assert_eq!(End::of(Stage::RolledBack(Reason::TooFew)), Some(End::TooFew));
    for stage in [Stage::Canary, Stage::Progressive(0), Stage::Full, Stage::RollingBack(Reason::Halted)] {
        assert_eq!(End::of(stage), None);
    }
}

#[test]
fn a_store_that_fails_is_an_error() {
    struct Broken;
    impl DecisionLog for Broken {
        fn records(&mut self) -> Result<Vec<Vec<u8>>, LogError> {
            Ok(vec![])
        }
        fn append(&mut self, _: &[u8]) -> Result<(), LogError> {
            Err(LogError("disk full".into()))
        }
    }
    assert_eq!(record(&mut Broken, None, registered()), Err(DecisionError::Log(LogError("disk full".into()))));
}

#[test]
fn no_bytes_make_the_log_panic() {
    use rand::{RngExt, SeedableRng, rngs::ChaCha20Rng};
    let (mut rng, (log, _)) = (ChaCha20Rng::from_seed([3; 32]), filled());
    for _ in 0..2000 {
        let mut record = log.0[rng.random_range(0..6)].clone();
        for _ in 0..rng.random_range(1..10) {
            let at = rng.random_range(0..record.len());
            record[at] = rng.random();
        }
        record.truncate(rng.random_range(0..=record.len()));
        assert!(History::read(&mut MemoryLog(vec![record]), None).is_err());
    }
}
