//! One attempt after the other, and what a refusal uses up.

use crate::fleet::{Fleet, robot, verified};
use folding::lwe::{Refusal, close};
use folding::{Round, RoundTerms};

#[test]
fn attempts_are_closed_in_order() {
    let mut fleet = Fleet::new();
    let rounds = [0, 1, 2].map(|attempt| Round::new(&RoundTerms { attempt, ..fleet.terms(40, 4) }).unwrap());
    let [first, second, _] = [&rounds[0], &rounds[1], &rounds[2]].map(|round| round.agreement().attempt());
    // With 1 closed and 0 open, both 0 and 2 could be answered.
    assert_eq!(close(second, &mut fleet.answers), Err(Refusal::Open(first)));
    let (uploads, _) = fleet.uploads(&rounds[2], 3);
    let (sum, manifests) = (fleet.sum(&rounds[2], &uploads), verified(&uploads));
    assert_eq!(fleet.open(&rounds[2], &sum, &manifests), Err(Refusal::Open(second)));
    close(first, &mut fleet.answers).unwrap();
    close(second, &mut fleet.answers).unwrap();
    fleet.open(&rounds[2], &sum, &manifests).unwrap();
}

/// What was recorded as answered stays so, although nothing was told: of two sums of the same updates, the one that was refused
/// could show how the other was made.
#[test]
fn a_sum_that_does_not_open_uses_its_updates_up_and_says_so() {
    let mut fleet = Fleet::new();
    let rounds = [0, 1].map(|attempt| Round::new(&RoundTerms { attempt, ..fleet.terms(40, 4) }).unwrap());
    let (uploads, values) = fleet.uploads(&rounds[0], 4);
    let wrong = fleet.sum(&rounds[0], &uploads[1..]);
    let refused = fleet.open(&rounds[0], &wrong, &verified(&uploads[..3])).unwrap_err();
    assert!(matches!(refused, Refusal::Mismatch(_)));
    assert!(refused.to_string().contains("train new ones for the next attempt"), "{refused}");

    let next = |fleet: &mut Fleet, robots: [u16; 2], seed| {
        let upload = |number: u16| fleet.upload(&rounds[1], number, seed, &values[usize::from(number)]);
        let uploads = robots.map(upload);
        (fleet.sum(&rounds[1], &uploads), verified(&uploads))
    };
    let (sum, manifests) = next(&mut fleet, [1, 3], 0);
    let refused = fleet.open(&rounds[1], &sum, &manifests);
    assert_eq!(refused, Err(Refusal::UpdateAnswered(vec![robot(1)])));
    let advice = refused.unwrap_err().to_string();
    assert!(advice.contains("leave them out, or have these robots train new ones"), "{advice}");
    // Robots that do as they are told are opened.
    let (sum, manifests) = next(&mut fleet, [1, 2], 1);
    fleet.open(&rounds[1], &sum, &manifests).unwrap();
}
