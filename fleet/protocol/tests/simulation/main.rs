//! All machines together, a thousand times, over a network that loses, delays and repeats, on machines that crash. Everything
//! follows from the seed: a failure names it, and `SIMULATION_SEED` runs that one alone.

mod parties;
mod uploads;

use parties::{Side, World};
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

/// Steps with faults, then steps without: by the end of those everything must be done.
const STORM: u32 = 400;
const CALM: u32 = 4000;
const SEEDS: u64 = 1000;

fn run(seed: u64) {
    let mut world = World::new(seed);
    for step in 0..STORM + CALM {
        world.faults = step < STORM;
        world.step();
        if !world.faults && world.is_done() {
            break;
        }
    }
    assert!(world.is_done(), "seed {seed}: not done: {}", world.told());
    world.check_end();
}

#[test]
fn a_thousand_fleets_finish_their_rounds_whatever_breaks() {
    if let Some(seed) = std::env::var("SIMULATION_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run(seed);
    }
    let (next, threads) = (AtomicU64::new(0), std::thread::available_parallelism().map_or(1, NonZero::get));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let seeds = || Some(next.fetch_add(1, Ordering::SeqCst)).filter(|seed| *seed < SEEDS);
                std::iter::from_fn(seeds).for_each(run);
            });
        }
    });
}

#[test]
fn the_same_seed_is_the_same_fleet() {
    let history = |seed| {
        let mut world = World::new(seed);
        world.faults = true;
        (0..STORM).for_each(|_| world.step());
        (world.journal.clone(), world.crashes)
    };
    assert_eq!(history(5), history(5));
    assert_ne!(history(5).0, history(6).0);
}

/// The storm must be one: otherwise the first test says little.
#[test]
fn faults_happen() {
    let (mut crashes, mut cuts, mut lost, mut spent, mut attempts) = (0, 0, 0, 0, 0);
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.faults = true;
        (0..STORM).for_each(|_| world.step());
        crashes += world.crashes.iter().sum::<u32>();
        cuts += world.cuts;
        lost += world.lost;
        spent += world.spent;
        attempts = attempts.max(world.attempts_seen());
        assert!(world.crashes[Side::Server as usize] > 0, "seed {seed}");
    }
    assert!(crashes > 100 && cuts > 20 && lost > 200 && attempts > 1, "{crashes} {cuts} {lost} {attempts}");
    assert!(spent > 0, "no answer was without a mean");
}
