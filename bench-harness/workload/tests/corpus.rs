//! A corpus replays what was recorded, byte for byte, and finds what was changed.

use std::io::Cursor;
use std::sync::OnceLock;
use tensorguard_workload::corpus::{Corpus, Plan, record};
use tensorguard_workload::{Base, Config, Effort, Fault, Learner, Profile, Size, Task, pretrain};

fn plan() -> Plan {
    Plan {
        config: Config { width: 16, rank: 2, ..Config::of(Task::Imitation, Size::Kb10, 4) },
        profile: Profile::Int8 { clip: 0.1 },
        campaigns: 2,
        rounds: 2,
        robots: 3,
        effort: Effort { robots: 2, episodes: 3, draw: 0 },
        maker: "a test".into(),
    }
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| pretrain(&plan().config).unwrap())
}

/// The bytes of a corpus, and its hash.
fn recorded() -> &'static (Vec<u8>, [u8; 32]) {
    static BYTES: OnceLock<(Vec<u8>, [u8; 32])> = OnceLock::new();
    BYTES.get_or_init(|| {
        // A clock that only counts: what was measured is the caller's business.
        let mut ticks = 0;
        let mut clock = || {
            ticks += 1;
            ticks
        };
        record(&plan(), base(), Vec::new(), &mut clock, &mut |_, _| {}).unwrap()
    })
}

fn open(bytes: &[u8]) -> Result<Corpus<Cursor<Vec<u8>>>, Fault> {
    Corpus::open(Cursor::new(bytes.to_vec()))
}

#[test]
fn a_corpus_replays_what_the_robots_trained() {
    let (bytes, hash) = recorded();
    let mut corpus = open(bytes).unwrap();
    assert_eq!(corpus.plan(), &plan());
    assert_eq!(corpus.hash(), tensorguard_workload::corpus::hex(hash));
    assert_eq!(corpus.outcomes().len(), 4);
    for campaign in 0..2 {
        let learner = Learner::new(plan().campaign(campaign), base().clone()).unwrap();
        let trained = learner.local_update(1, &learner.initial_adapter(), 0).unwrap();
        assert_eq!(corpus.update(campaign, 0, 1).unwrap(), trained);
        // Three robots trained: the fifth client sends what the second sends.
        assert_eq!(corpus.update(campaign, 0, 4).unwrap(), trained);
        let last = corpus.replay(campaign).unwrap();
        assert_ne!(last, learner.initial_adapter());
    }
    assert!(corpus.cost(1, 1, 2).unwrap().train_cpu_ns > 0);
    assert!(matches!(corpus.update(2, 0, 0), Err(Fault::Config(_))));
    assert!(matches!(corpus.update(0, 2, 0), Err(Fault::Config(_))));
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let again = record(&plan(), base(), Vec::new(), &mut || 0, &mut |_, _| {}).unwrap();
    let still = record(&plan(), base(), Vec::new(), &mut || 0, &mut |_, _| {}).unwrap();
    assert_eq!(again, still);
}

#[test]
fn an_edit_anywhere_is_found() {
    let bytes = &recorded().0;
    for at in (0..bytes.len()).step_by(bytes.len() / 60).chain([bytes.len() - 1]) {
        let mut edited = bytes.clone();
        edited[at] ^= 1;
        assert!(open(&edited).is_err(), "byte {at} of {}", bytes.len());
    }
}

#[test]
fn a_cut_is_found() {
    let bytes = &recorded().0;
    for kept in (0..bytes.len()).step_by(bytes.len() / 40).chain([bytes.len() - 41]) {
        assert!(matches!(open(&bytes[..kept]), Err(Fault::Malformed(_))), "{kept} of {}", bytes.len());
    }
}

#[test]
fn a_record_that_claims_the_earth_takes_no_memory() {
    let mut bytes = recorded().0[..20].to_vec();
    bytes.push(1);
    bytes.extend(u64::MAX.to_le_bytes());
    assert!(matches!(open(&bytes), Err(Fault::Malformed(_))));
}

#[test]
fn a_file_that_changes_after_it_was_opened_is_found() {
    let folder = std::env::temp_dir().join(format!("workload-corpus-{}", std::process::id()));
    std::fs::write(&folder, &recorded().0).unwrap();
    let mut corpus = Corpus::open(std::fs::File::open(&folder).unwrap()).unwrap();
    assert!(corpus.update(1, 1, 2).is_ok());
    let mut edited = recorded().0.clone();
    for byte in edited.iter_mut().skip(20).step_by(97) {
        *byte ^= 4;
    }
    std::fs::write(&folder, &edited).unwrap();
    assert!(corpus.update(1, 1, 2).is_err());
    std::fs::remove_file(&folder).unwrap();
}

#[test]
fn a_plan_of_nothing_is_refused() {
    for plan in [
        Plan { rounds: 0, ..plan() },
        Plan { robots: 0, ..plan() },
        Plan { profile: Profile::Int8 { clip: 0.0 }, ..plan() },
    ] {
        let made = record(&plan, base(), Vec::new(), &mut || 0, &mut |_, _| {});
        assert!(matches!(made, Err(Fault::Config(_))), "{plan:?}");
    }
}
