//! What comes out of a round is the mean of what went in, whatever the suite, the bits, the order and the backend.

use crate::fleet::{Fleet, robot, update_id, verified};
use folding::lwe::{ForgetfulLog, KeyModel, Keys, MessageKey, Overflow, Params, Policy, Weights};
use folding::{EncryptError, Floats, Mean, OutOfRange, Question, Round, RoundTerms, Update, Weighting, bf16, f16};
use kernels::Backend;
use kernels::cpu::Cpu;
use kernels::reference::Reference;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The mean that the grid allows, in integers and one division.
fn mean_on_grid(bits: u32, clip: f64, updates: &[Vec<f32>]) -> Vec<f32> {
    let zero = f64::from((1u32 << (bits - 1)) - 1);
    let level = |x: f32| (f64::from(x) * (zero / clip) + zero).round_ties_even();
    let sum = |index: usize| updates.iter().map(|update| level(update[index])).sum::<f64>();
    let (count, step) = (updates.len() as f64, clip / zero);
    (0..updates[0].len()).map(|index| ((sum(index) - count * zero) * (step / count)) as f32).collect()
}

fn round_trip(params: &Params, bits: u32, robots: u64, present: u16, length: usize) {
    let mut fleet = Fleet::new();
    let round = Round::new(&RoundTerms { params, bits, ..fleet.terms(length, robots) }).unwrap();
    let (uploads, values) = fleet.uploads(&round, present);
    let sum = fleet.sum(&round, &uploads);
    let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
    let what = format!("{}, {bits} bits, {present} of {robots} robots, {length} values", params.name());
    assert_eq!(mean.values, mean_on_grid(bits, 1.0, &values), "{what}");
    assert_eq!(mean.robots, u64::from(present), "{what}");
}

#[test]
fn the_mean_is_exact_for_every_suite_and_width() {
    for (params, bits, robots) in [
        (Params::FL_4096_60, 4, 10_000),
        (Params::FL_4096_60, 8, 100),
        (Params::FL_4096_60, 12, 10),
        (Params::FL_4096_60, 16, 1000),
        (Params::FL_4096_60, 24, 200),
        (Params::FL_4096_60, 24, 10_000),
        (Params::FL_2048_30, 8, 1000),
        (Params::FL_2048_30, 5, 17),
        (Params::FL_1024_22, 4, 100),
        (Params::FL_1024_22, 8, 10),
    ] {
        round_trip(&params, bits, robots, 3, 1013);
    }
}

#[test]
fn a_sum_times_an_integer_has_the_same_mean() {
    for bits in [8, 24] {
        let mut fleet = Fleet::new();
        let round = Round::new(&RoundTerms { bits, ..fleet.terms(100, 1000) }).unwrap();
        let (uploads, values) = fleet.uploads(&round, 3);
        let mut sum = fleet.sum(&round, &uploads);
        sum.scale(7).unwrap();
        let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
        let expected = mean_on_grid(bits, 1.0, &values);
        assert!(mean.values.iter().zip(expected).all(|(mean, expected)| (mean - expected).abs() <= f32::EPSILON));
        assert_eq!(mean.robots, 3);
    }
}

#[test]
fn the_mean_is_exact_at_every_length_around_words_polynomials_and_blocks() {
    // Three values in a word, 4096 words in a polynomial, 32 polynomials in a block.
    for length in [1, 2, 3, 4, 24, 25, 12_287, 12_288, 12_289, 393_215, 393_216, 393_217] {
        round_trip(&Params::FL_4096_60, 8, 100, 2, length);
    }
    // A value of two digits.
    for length in [1, 2, 4096, 4097] {
        round_trip(&Params::FL_4096_60, 24, 1000, 2, length);
    }
}

#[test]
fn the_mean_is_exact_when_all_planned_robots_are_in() {
    round_trip(&Params::FL_4096_60, 8, 100, 100, 500);
    round_trip(&Params::FL_1024_22, 8, 10, 10, 2000);
}

#[test]
fn order_grouping_storing_and_trees_do_not_matter() {
    let mut fleet = Fleet::new();
    for params in [Params::FL_4096_60, Params::FL_2048_30] {
        let round = Round::new(&RoundTerms { params: &params, ..fleet.terms(999, 9) }).unwrap();
        let (uploads, _) = fleet.uploads(&round, 9);
        let one_by_one = fleet.sum(&round, &uploads);

        let mut backwards: Vec<_> = uploads.iter().map(|upload| round.read(upload.bytes()).unwrap()).collect();
        backwards.reverse();
        let mut in_groups = round.sum();
        backwards.chunks(4).for_each(|group| in_groups.add(group, &fleet.backend).unwrap());
        assert_eq!(in_groups, one_by_one);

        let (left, right) = uploads.split_at(5);
        let stored = fleet.sum(&round, left).to_bytes();
        assert_eq!(stored.len(), round.agreement().sum_len());
        let mut resumed = round.agreement().read_sum(&stored, &fleet.backend).unwrap();
        resumed.merge(&fleet.sum(&round, right)).unwrap();
        assert_eq!(resumed, one_by_one);
        assert_eq!(resumed.to_bytes(), one_by_one.to_bytes());
    }
}

#[test]
fn every_backend_and_pads_made_ahead_give_the_same_upload() {
    let mut fleet = Fleet::new();
    for bits in [8, 24] {
        let round = Round::new(&RoundTerms { bits, ..fleet.terms(15_000, 1000) }).unwrap();
        let values = fleet.values(15_000);
        let key = || {
            let rng = &mut ChaCha20Rng::from_seed([3; 32]);
            MessageKey::new(round.agreement(), robot(0), &fleet.holder.public(), rng).unwrap()
        };
        let update = || Update::new(update_id(0, 0), &values[..]);
        let mut backends: Vec<Box<dyn Backend>> = vec![Box::new(Reference), Box::new(Cpu::best(3))];
        backends.extend(Cpu::present(1).into_iter().map(|cpu| Box::new(cpu) as Box<dyn Backend>));
        let mut uploads = vec![];
        for backend in &backends {
            let mut log = ForgetfulLog::default();
            uploads.push(round.encrypt(key(), update(), &mut log, backend.as_ref()).unwrap().0);
            let pads = round.prepare(key(), backend.as_ref()).unwrap();
            let mut log = ForgetfulLog::default();
            uploads.push(round.seal(pads, update(), &mut log, backend.as_ref()).unwrap().0);
        }
        assert!(uploads.windows(2).all(|pair| pair[0] == pair[1]));
    }
}

/// So long that threads share it: blocks of both layouts, the last one short, and the look at what is out of range.
#[test]
fn threads_that_share_an_update_give_the_same_bytes() {
    let mut fleet = Fleet::new();
    for bits in [8, 24] {
        let round = Round::new(&RoundTerms { bits, ..fleet.terms(600_001, 1000) }).unwrap();
        let mut values = fleet.values(600_001);
        (values[3], values[599_999]) = (f32::NAN, 1e30);
        let seal = |threads, ahead| {
            let (rng, backend) = (&mut ChaCha20Rng::from_seed([3; 32]), Cpu::best(threads));
            let key = MessageKey::new(round.agreement(), robot(0), &fleet.holder.public(), rng).unwrap();
            let update = Update::new(update_id(0, 0), &values[..]).stochastic(rng).clipping();
            let mut log = ForgetfulLog::default();
            if ahead {
                let pads = round.prepare(key, &backend).unwrap();
                return round.seal(pads, update, &mut log, &backend).unwrap();
            }
            round.encrypt(key, update, &mut log, &backend).unwrap()
        };
        let (upload, told) = seal(1, false);
        assert!(told.clipped > 0 && told.not_a_number == 1, "{told}");
        for (threads, ahead) in [(1, true), (2, false), (2, true), (5, false), (5, true)] {
            assert!(seal(threads, ahead) == (upload.clone(), told), "{bits} bits, {threads} threads");
        }
    }
}

#[test]
fn half_floats_count_as_the_floats_they_are() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(3000, 4)).unwrap();
    let values = fleet.values(3000);
    let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
    let brains: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
    let (key, other) = (fleet.key(&round, 0), fleet.key(&round, 1));
    let (log, backend) = (&mut fleet.seals, &fleet.backend);
    let uploads = [
        round.encrypt(key, Update::new(update_id(0, 0), &halves), log, backend).unwrap().0,
        round.encrypt(other, Update::new(update_id(1, 0), &brains), log, backend).unwrap().0,
    ];
    let sum = fleet.sum(&round, &uploads);
    let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
    let back = [halves.iter().map(|x| x.to_f32()).collect(), brains.iter().map(|x| x.to_f32()).collect()];
    assert_eq!(mean.values, mean_on_grid(8, 1.0, &back));
}

#[test]
fn values_out_of_range_are_refused_or_clipped_and_counted() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(6, 2)).unwrap();
    let wild = [f32::NAN, f32::INFINITY, -1.5, 1.0, -1.0, f32::NEG_INFINITY];
    let found = OutOfRange { clipped: 3, not_a_number: 1 };
    let key = fleet.key(&round, 0);
    let refused = round.encrypt(key, Update::new(update_id(0, 0), &wild[..]), &mut fleet.seals, &fleet.backend);
    assert!(matches!(refused, Err(EncryptError::OutOfRange(what)) if what == found));

    let mut uploads = vec![];
    for number in 0..2 {
        let key = fleet.key(&round, number);
        let update = Update::new(update_id(number, 0), &wild[..]).clipping();
        let (upload, told) = round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap();
        assert_eq!(told, found);
        uploads.push(upload);
    }
    let sum = fleet.sum(&round, &uploads);
    let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
    assert_eq!(mean.values, [0.0, 1.0, -1.0, 1.0, -1.0, -1.0]);
}

/// Values that count how often they are read.
struct Counted(Vec<f32>, AtomicUsize);

impl Floats for Counted {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, start: usize, out: &mut [f32]) {
        self.1.fetch_add(out.len(), Ordering::Relaxed);
        self.0.read(start, out);
    }
}

#[test]
fn an_update_is_surveyed_before_pads_are_spent_and_only_once() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(3, 2)).unwrap();
    let pads = round.prepare(fleet.key(&round, 0), &fleet.backend).unwrap();
    let mut spoiled = Update::new(update_id(0, 0), &[0.5, f32::NAN, 2.0][..]);
    let found = OutOfRange { clipped: 1, not_a_number: 1 };
    let refused = round.survey(&mut spoiled, &fleet.backend);
    assert!(matches!(refused, Err(EncryptError::OutOfRange(what)) if what == found));
    assert_eq!(round.survey(&mut spoiled.clipping(), &fleet.backend).unwrap(), found);
    let short = round.survey(&mut Update::new(update_id(0, 0), &[0.5; 2][..]), &fleet.backend);
    assert!(matches!(short, Err(EncryptError::Length { found: 2, expected: 3 })));

    // Mended, it is sealed with the pads that are still there; and read twice: to be surveyed, and to be sealed.
    let mended = Counted(vec![0.5, 0.0, 1.0], AtomicUsize::new(0));
    let mut update = Update::new(update_id(0, 0), &mended);
    assert!(round.survey(&mut update, &fleet.backend).unwrap().is_none());
    round.seal(pads, update, &mut fleet.seals, &fleet.backend).unwrap();
    assert_eq!(mended.1.load(Ordering::Relaxed), 2 * 3);

    // What one round's grid found says nothing about another's.
    let narrow = Round::new(&RoundTerms { clip: 0.25, ..fleet.terms(3, 2) }).unwrap();
    let mut update = Update::new(update_id(0, 1), &mended);
    assert!(round.survey(&mut update, &fleet.backend).is_ok());
    assert!(matches!(narrow.survey(&mut update, &fleet.backend), Err(EncryptError::OutOfRange(_))));
}

#[test]
fn an_update_of_another_length_is_refused() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(6, 2)).unwrap();
    let key = fleet.key(&round, 0);
    let short = round.encrypt(key, Update::new(update_id(0, 0), &[0.0; 5][..]), &mut fleet.seals, &fleet.backend);
    assert!(matches!(short, Err(EncryptError::Length { found: 5, expected: 6 })));
}

#[test]
fn stochastic_rounding_is_right_on_average_and_nearest_is_not() {
    let mut fleet = Fleet::new();
    let length = 100_000;
    let round = Round::new(&fleet.terms(length, 2)).unwrap();
    let step = round.grid().step();
    // A quarter of a step above a level.
    let values = vec![(10.25 * step) as f32; length];
    let mut average = |stochastic: bool, attempt: u32| {
        let round = Round::new(&RoundTerms { attempt, ..fleet.terms(length, 2) }).unwrap();
        let mut uploads = vec![];
        for number in 0..2 {
            let key = fleet.key(&round, number);
            let update = Update::new(update_id(number, attempt as u8), &values[..]);
            let update = if stochastic { update.stochastic(&mut fleet.rng) } else { update };
            uploads.push(round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0);
        }
        let sum = fleet.sum(&round, &uploads);
        let mean = fleet.open(&round, &sum, &verified(&uploads)).unwrap();
        mean.values.iter().map(|&x| f64::from(x)).sum::<f64>() / length as f64 / step
    };
    assert!((average(false, 0) - 10.0).abs() < 1e-4);
    // Standard deviation of one: sqrt(3)/4; of the mean of 200,000 of them: 0.001.
    assert!((average(true, 1) - 10.25).abs() < 0.006);
}

#[test]
fn classes_are_weighed_after_they_are_opened() {
    let mut fleet = Fleet::new();
    let (mut rounds, mut sums, mut manifests, mut all) = (vec![], vec![], vec![], vec![]);
    for (index, weight) in [(0, 1), (1, 5)] {
        let weighting = Weighting::Class { index, weight };
        let round = Round::new(&RoundTerms { weighting, ..fleet.terms(50, 4) }).unwrap();
        let values: Vec<_> = (0..2).map(|_| fleet.values(50)).collect();
        let numbers = [2 * index as u16, 2 * index as u16 + 1];
        let uploads: Vec<_> =
            numbers.iter().zip(&values).map(|(&number, values)| fleet.upload(&round, number, 0, values)).collect();
        sums.push(fleet.sum(&round, &uploads));
        manifests.push(verified(&uploads));
        rounds.push(round);
        all.push((f64::from(weight), mean_on_grid(8, 1.0, &values)));
    }
    let parts: Vec<_> =
        rounds.iter().zip(&sums).zip(&manifests).map(|((round, sum), set)| (round, sum, &set[..])).collect();
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let means = question.open(&parts, &mut fleet.answers, &fleet.backend).unwrap();
    let combined = Mean::combine(&means).unwrap();
    for (index, value) in combined.iter().enumerate() {
        let expected = all.iter().map(|(weight, mean)| weight * f64::from(mean[index])).sum::<f64>() / 6.0;
        assert!((f64::from(*value) - expected).abs() < 1e-6);
    }
}

#[test]
fn a_sum_refuses_more_than_was_planned_and_is_unchanged() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(100, 3)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let mut sum = fleet.sum(&round, &uploads);
    let before = sum.clone();
    let more = round.read(uploads[0].bytes()).unwrap();
    let refused = sum.add(&[more], &fleet.backend);
    assert_eq!(refused, Err(folding::lwe::AddError::Overflow(Overflow::Planned { sum: 4, planned: 3 })));
    assert_eq!(sum.merge(&before), Err(folding::lwe::AddError::Overflow(Overflow::Planned { sum: 6, planned: 3 })));
    assert_eq!(sum, before);
    assert_eq!(sum.weights(), Weights::equal(3));
}

#[test]
fn a_fleet_shared_key_opens_too_and_costs_no_sealed_key() {
    let mut fleet = Fleet::new();
    let shared = crate::fleet::shared_key();
    let round = Round::new(&RoundTerms { keys: shared.model(), ..fleet.terms(700, 5) }).unwrap();
    assert!(matches!(round.agreement().keys(), KeyModel::FleetShared(_)));
    let values: Vec<_> = (0..5).map(|_| fleet.values(700)).collect();
    let mut uploads = vec![];
    for (number, values) in (0..).zip(&values) {
        let key = shared.message_key(round.agreement(), robot(number)).unwrap();
        let update = Update::new(update_id(number, 0), values);
        uploads.push(round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0);
    }
    let sum = fleet.sum(&round, &uploads);
    let question = Question::new(Keys::FleetShared(&shared)).under(Policy::lowered_to(2));
    let mean = round.open(&question, &sum, &verified(&uploads), &mut fleet.answers, &fleet.backend).unwrap();
    assert_eq!(mean.values, mean_on_grid(8, 1.0, &values));
    let sealed = Round::new(&fleet.terms(700, 5)).unwrap();
    assert_eq!(sealed.agreement().upload_len() - round.agreement().upload_len(), 1120);
}
