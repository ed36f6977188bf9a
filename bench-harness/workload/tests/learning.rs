//! What the workload promises: robots learn, others profit, and the same configuration gives the same bytes.

use sha2::{Digest, Sha256};
use std::process::Command;
use std::sync::OnceLock;
use tensorguard_workload::{Base, Cohort, Config, Effort, Fault, Learner, Size, Task, apply, mean, pretrain};

const EFFORT: Effort = Effort { robots: 8, episodes: 20, draw: 0 };

fn learner(task: Task) -> Learner {
    static BASE: OnceLock<Base> = OnceLock::new();
    let config = Config { campaign: 2, ..Config::of(task, Size::Kb10, 1) };
    Learner::new(config, BASE.get_or_init(|| pretrain(&config).unwrap()).clone()).unwrap()
}

fn rounds(learner: &Learner, robots: u32, rounds: u32) -> Vec<f32> {
    let mut adapter = learner.initial_adapter();
    for round in 0..rounds {
        let updates: Result<Vec<_>, _> =
            (0..robots).map(|robot| learner.local_update(robot, &adapter, round)).collect();
        apply(&mut adapter, &mean(&updates.unwrap()));
    }
    adapter
}

/// Success on nominal and held-out robots.
fn success(learner: &Learner, adapter: &[f32]) -> [f64; 2] {
    [Cohort::Nominal, Cohort::HeldOut].map(|cohort| learner.evaluate(cohort, EFFORT, adapter).unwrap().success())
}

#[test]
fn the_base_is_good_where_it_was_made_and_imperfect_in_the_field() {
    let learner = learner(Task::Imitation);
    let [nominal, held_out] = success(&learner, &learner.initial_adapter());
    assert!(nominal >= 0.95 && (0.2..0.9).contains(&held_out), "{nominal} {held_out}");
}

#[test]
fn imitation_improves_robots_that_never_trained() {
    let learner = learner(Task::Imitation);
    let before = success(&learner, &learner.initial_adapter())[1];
    let after = success(&learner, &rounds(&learner, 4, 2))[1];
    assert!(after > before + 0.2, "{before} {after}");
}

#[test]
fn reinforcement_improves_robots_that_never_trained() {
    let learner = learner(Task::Reinforcement);
    let before = success(&learner, &learner.initial_adapter())[1];
    let after = success(&learner, &rounds(&learner, 6, 5))[1];
    assert!(after > before + 0.1, "{before} {after}");
}

#[test]
fn evaluations_pair_up_and_a_new_draw_has_new_episodes() {
    let learner = learner(Task::Imitation);
    let old = learner.initial_adapter();
    let new = rounds(&learner, 2, 1);
    let seeds = |effort, adapter: &[f32]| -> Vec<u64> {
        let found = learner.evaluate(Cohort::HeldOut, effort, adapter).unwrap();
        found.records.iter().flat_map(|record| record.episodes.iter().map(|episode| episode.seed)).collect()
    };
    assert_eq!(seeds(EFFORT, &old), seeds(EFFORT, &new));
    assert!(
        seeds(EFFORT, &old).iter().zip(seeds(Effort { draw: 1, ..EFFORT }, &old)).all(|(one, other)| *one != other)
    );
}

#[test]
fn a_divergence_is_zero_for_one_policy_and_grows_with_training() {
    let learner = learner(Task::Imitation);
    let (old, new) = (learner.initial_adapter(), rounds(&learner, 2, 1));
    let from = |new: &[f32]| learner.divergence(Cohort::HeldOut, EFFORT, &old, new).unwrap();
    assert!(from(&old).iter().all(|nats| *nats == 0.0));
    assert!(from(&new).iter().all(|nats| *nats > 0.01));
}

#[test]
fn an_adapter_of_another_shape_is_refused() {
    let learner = learner(Task::Imitation);
    let short = vec![0.0; learner.config().values() - 1];
    assert!(matches!(learner.local_update(0, &short, 0), Err(Fault::Length { .. })));
    assert!(matches!(learner.evaluate(Cohort::HeldOut, EFFORT, &short), Err(Fault::Length { .. })));
    let wider = Config::of(Task::Imitation, Size::Kb100, 1);
    assert!(matches!(Learner::new(wider, learner.base().clone()), Err(Fault::Config(_))));
}

#[test]
fn campaigns_share_the_base_and_nothing_else() {
    let first = learner(Task::Imitation);
    let second = Learner::new(Config { campaign: 1, ..*first.config() }, first.base().clone()).unwrap();
    let adapter = first.initial_adapter();
    assert_eq!(adapter, second.initial_adapter());
    assert_ne!(first.local_update(0, &adapter, 0).unwrap(), second.local_update(0, &adapter, 0).unwrap());
}

const PRINTS: &str = "prints_the_digest_of_a_run";

/// Not a claim of its own: the next test runs it in other processes.
#[test]
fn prints_the_digest_of_a_run() {
    if std::env::var_os("WORKLOAD_DIGEST").is_none() {
        return;
    }
    let mut hash = Sha256::new();
    for task in [Task::Imitation, Task::Reinforcement] {
        let learner = learner(task);
        hash.update(learner.base().to_safetensors().unwrap());
        let adapter = rounds(&learner, 2, 2);
        adapter.iter().for_each(|value| hash.update(value.to_le_bytes()));
        hash.update(serde_json::to_vec(&learner.evaluate(Cohort::HeldOut, EFFORT, &adapter).unwrap()).unwrap());
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("digest {digest} end");
}

#[test]
fn a_run_gives_the_same_bytes_whatever_the_number_of_threads() {
    let digest = |threads: &str| -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", PRINTS, "--nocapture"]).env("WORKLOAD_DIGEST", "1").env("RAYON_NUM_THREADS", threads);
        let out = String::from_utf8(child.output().unwrap().stdout).unwrap();
        out.split("digest ").nth(1).and_then(|rest| rest.split(" end").next()).expect("a digest").to_owned()
    };
    let one = digest("1");
    assert_eq!(one.len(), 64);
    assert_eq!(one, digest("3"));
}
