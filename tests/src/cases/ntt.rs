use super::{POISON, same};
use crate::Rand;
use kernels::reference::Reference;
use kernels::{Backend, Direction, Modulus, Plan};

const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Inverse];

fn check(backend: &dyn Backend, plan: &Plan, words: &[u32]) {
    for direction in DIRECTIONS {
        let (mut got, mut expected) = (words.to_vec(), words.to_vec());
        backend.ntt(plan, direction, &mut got).unwrap();
        Reference.ntt(plan, direction, &mut expected).unwrap();
        same(&got, &expected, format_args!("{direction:?} {plan:?}"));
    }
}

pub fn every_size_and_prime(backend: &dyn Backend) {
    for modulus in [Modulus::P1, Modulus::P2, Modulus::P3, Modulus::P22, Modulus::new(7681).unwrap()] {
        for log in 8..=15 {
            // A prime has transforms up to some size; larger ones are errors, which is ntt's own test.
            let Ok(plan) = Plan::new(modulus, 1 << log) else { continue };
            check(backend, &plan, &Rand::new(log).words(plan.n()));
        }
    }
}

pub fn hostile_words(backend: &dyn Backend) {
    for modulus in [Modulus::P1, Modulus::P22] {
        let (plan, p) = (Plan::new(modulus, 1024).unwrap(), modulus.value());
        for word in [0, 1, p - 1, p, p + 1, 2 * p - 1, 2 * p, (1 << 31) - 1, 1 << 31, u32::MAX - 1, u32::MAX, POISON] {
            check(backend, &plan, &vec![word; plan.n()]);
            let mut alternating = vec![word; plan.n()];
            alternating.iter_mut().step_by(2).for_each(|word| *word = p - 1);
            check(backend, &plan, &alternating);
        }
    }
}

pub fn batches(backend: &dyn Backend) {
    let plan = Plan::new(Modulus::P2, 256).unwrap();
    for polys in [0, 1, 2, 3, 7, 8, 9, 31, 33, 65] {
        check(backend, &plan, &Rand::new(polys as u64).words(polys * plan.n()));
    }
}

pub fn inverse_undoes_forward(backend: &dyn Backend) {
    let plan = Plan::new(Modulus::P3, 2048).unwrap();
    let words = Rand::new(5).words(plan.n());
    let mut back = words.clone();
    backend.ntt(&plan, Direction::Forward, &mut back).unwrap();
    backend.ntt(&plan, Direction::Inverse, &mut back).unwrap();
    let expected: Vec<u32> = words.iter().map(|word| word % Modulus::P3.value()).collect();
    same(&back, &expected, format_args!("forward, then inverse"));
}
