//! The rules that keep keys from being misused, each attacked.

use crate::fleet::{Fleet, Roster, robot, shared_key, update_id, verified};
use folding::lwe::{
    AddError, AnswerLog, Attempt, BucketError, Created, Entry, Head, HolderKey, KeyError, Keys, LogError, Manifest,
    MessageKey, NotVerified, Params, Policy, Refusal, SealError, SealLog, Suspicion, Upload, VerifiedManifest, close,
    draw_buckets,
};
use folding::{EncryptError, Question, Round, RoundTerms, TakeError, Update, Weighting, lwe};

fn seal_error(result: Result<(Upload, folding::OutOfRange), EncryptError>) -> SealError {
    match result {
        Err(EncryptError::Seal(error)) => error,
        other => panic!("expected a sealing error, found {other:?}"),
    }
}

// ---- R1: a key encrypts once, an update enters one round ---------------------------------------------------------

#[test]
fn a_key_that_comes_back_after_a_restart_does_not_encrypt_again() {
    let mut fleet = Fleet::new();
    let shared = shared_key();
    let round = Round::new(&RoundTerms { keys: shared.model(), ..fleet.terms(10, 4) }).unwrap();
    let mut encrypt = |seed, values: [f32; 10]| {
        // The shared key gives the same message key each time: the log alone stands in the way.
        let key = shared.message_key(round.agreement(), robot(1)).unwrap();
        round.encrypt(key, Update::new(update_id(1, seed), &values[..]), &mut fleet.seals, &fleet.backend)
    };
    encrypt(0, [0.5; 10]).unwrap();
    assert!(matches!(seal_error(encrypt(0, [0.5; 10])), SealError::KeyUsed));
    assert!(matches!(seal_error(encrypt(1, [0.25; 10])), SealError::KeyUsed));
}

#[test]
fn pads_of_a_used_key_do_not_seal() {
    let mut fleet = Fleet::new();
    let shared = shared_key();
    let round = Round::new(&RoundTerms { keys: shared.model(), ..fleet.terms(10, 4) }).unwrap();
    let pads = || {
        let key = shared.message_key(round.agreement(), robot(1)).unwrap();
        round.prepare(key, &fleet.backend).unwrap()
    };
    // As in a forked child: two copies of the same pads.
    let (parent, child) = (pads(), pads());
    let update = || Update::new(update_id(1, 0), &[0.5; 10][..]);
    round.seal(parent, update(), &mut fleet.seals, &fleet.backend).unwrap();
    let again = round.seal(child, update(), &mut fleet.seals, &fleet.backend);
    assert!(matches!(seal_error(again), SealError::KeyUsed));
}

#[test]
fn an_update_is_sealed_for_one_round_only_but_for_every_attempt_at_it() {
    let mut fleet = Fleet::new();
    let terms = fleet.terms(10, 4);
    let rounds = [(1, 0), (1, 1), (2, 0)].map(|(round, attempt)| {
        let round = Round::new(&RoundTerms { round, attempt, ..terms }).unwrap();
        (fleet.key(&round, 1), round)
    });
    let [first, again, next] = rounds.map(|(key, round)| {
        round.encrypt(key, Update::new(update_id(1, 0), &[0.5; 10][..]), &mut fleet.seals, &fleet.backend)
    });
    assert!(first.is_ok() && again.is_ok());
    assert!(matches!(seal_error(next), SealError::UpdateUsed));
}

#[test]
fn keys_and_pads_of_another_round_are_refused() {
    let mut fleet = Fleet::new();
    let here = Round::new(&fleet.terms(10, 4)).unwrap();
    let there = Round::new(&RoundTerms { attempt: 1, ..fleet.terms(10, 4) }).unwrap();
    let (key, pads) = (fleet.key(&there, 1), fleet.key(&there, 1));
    let pads = there.prepare(pads, &fleet.backend).unwrap();
    let update = || Update::new(update_id(1, 0), &[0.5; 10][..]);
    let encrypted = here.encrypt(key, update(), &mut fleet.seals, &fleet.backend);
    assert!(matches!(seal_error(encrypted), SealError::OtherRound));
    let sealed = here.seal(pads, update(), &mut fleet.seals, &fleet.backend);
    assert!(matches!(seal_error(sealed), SealError::OtherRound));
}

/// Fails from a certain entry on.
struct FullDisk(usize);

impl SealLog for FullDisk {
    fn create(&mut self, _name: &[u8; 32], _content: &[u8; 32]) -> Result<Created, LogError> {
        self.0 = self.0.checked_sub(1).ok_or_else(|| LogError("no space left".into()))?;
        Ok(Created::New)
    }
}

#[test]
fn nothing_is_sealed_unless_the_log_promises_to_remember() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(10, 4)).unwrap();
    for entries in 0..2 {
        let key = fleet.key(&round, 1);
        let update = Update::new(update_id(1, 0), &[0.5; 10][..]);
        let sealed = round.encrypt(key, update, &mut FullDisk(entries), &fleet.backend);
        assert!(matches!(seal_error(sealed), SealError::Log(_)));
    }
}

// ---- R2: one answer per attempt, one attempt per update ----------------------------------------------------------

#[test]
fn an_attempt_is_answered_once_whatever_the_set() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 4);
    let manifests = verified(&uploads);
    let (all, but_one) = (fleet.sum(&round, &uploads), fleet.sum(&round, &uploads[1..]));
    fleet.open(&round, &all, &manifests).unwrap();
    // The two answers together would be robot 0's update.
    let answered = Refusal::Answered(round.agreement().attempt());
    assert_eq!(fleet.open(&round, &but_one, &manifests[1..]), Err(answered.clone()));
    assert_eq!(fleet.open(&round, &all, &manifests), Err(answered));
}

#[test]
fn an_update_enters_one_answered_attempt_only() {
    let mut fleet = Fleet::new();
    let first = Round::new(&fleet.terms(40, 4)).unwrap();
    let second = Round::new(&RoundTerms { attempt: 1, ..fleet.terms(40, 4) }).unwrap();
    let (uploads, values) = fleet.uploads(&first, 3);
    let sum = fleet.sum(&first, &uploads);
    fleet.open(&first, &sum, &verified(&uploads)).unwrap();
    let again: Vec<_> = [0, 1].map(|number| fleet.upload(&second, number, 0, &values[usize::from(number)])).into();
    let sum = fleet.sum(&second, &again);
    assert_eq!(fleet.open(&second, &sum, &verified(&again)), Err(Refusal::UpdateAnswered(vec![robot(0), robot(1)])));
}

#[test]
fn the_next_attempt_waits_until_the_one_before_is_closed() {
    let mut fleet = Fleet::new();
    let first = Round::new(&fleet.terms(40, 4)).unwrap();
    let second = Round::new(&RoundTerms { attempt: 1, ..fleet.terms(40, 4) }).unwrap();
    let (uploads, _) = fleet.uploads(&second, 3);
    let (sum, manifests) = (fleet.sum(&second, &uploads), verified(&uploads));
    let open = first.agreement().attempt();
    assert_eq!(fleet.open(&second, &sum, &manifests), Err(Refusal::Open(open)));
    close(open, &mut fleet.answers).unwrap();
    assert_eq!(close(open, &mut fleet.answers), Err(Refusal::Answered(open)));
    fleet.open(&second, &sum, &manifests).unwrap();
    let (late, _) = fleet.uploads(&first, 0);
    assert!(late.is_empty());
    let sum = fleet.sum(&first, &[]);
    assert!(matches!(fleet.open(&first, &sum, &[]), Err(Refusal::TooFew { .. })));
}

#[test]
fn a_closed_attempt_is_never_answered() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (sum, attempt) = (fleet.sum(&round, &uploads), round.agreement().attempt());
    close(attempt, &mut fleet.answers).unwrap();
    assert_eq!(fleet.open(&round, &sum, &verified(&uploads)), Err(Refusal::Answered(attempt)));
}

#[test]
fn a_refusal_after_the_sum_was_opened_uses_the_attempt_up() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 4);
    let manifests = verified(&uploads);
    let (right, wrong) = (fleet.sum(&round, &uploads[..3]), fleet.sum(&round, &uploads[1..]));
    assert!(matches!(fleet.open(&round, &wrong, &manifests[..3]), Err(Refusal::Mismatch(_))));
    let used = Refusal::Answered(round.agreement().attempt());
    assert_eq!(fleet.open(&round, &right, &manifests[..3]), Err(used));
}

/// An answer log whose appends fail.
struct ReadOnly;

impl AnswerLog for ReadOnly {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        Ok(vec![])
    }

    fn append(&mut self, _entry: &Entry) -> Result<(), LogError> {
        Err(LogError("read-only file system".into()))
    }
}

#[test]
fn nothing_is_opened_unless_the_log_promises_to_remember() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (sum, manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let refused = round.open(&question, &sum, &manifests, &mut ReadOnly, &fleet.backend);
    assert!(matches!(refused, Err(Refusal::Log(_))));
}

#[test]
fn a_restored_log_is_noticed() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (sum, manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let backup = fleet.answers.clone();
    fleet.open(&round, &sum, &manifests).unwrap();
    let head = Head::of(&fleet.answers.entries().unwrap());
    fleet.answers = backup;
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2)).since(head);
    let refused = round.open(&question, &sum, &manifests, &mut fleet.answers, &fleet.backend);
    assert_eq!(refused, Err(Refusal::Restored));
}

// ---- R3: enough enrolled robots, each once -----------------------------------------------------------------------

#[test]
fn sixteen_robots_are_the_least_unless_lowered_where_it_shows() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 16)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 16);
    let manifests = verified(&uploads);
    let fifteen = fleet.sum(&round, &uploads[..15]);
    let question = Question::new(Keys::Holder(&fleet.holder));
    let refused = round.open(&question, &fifteen, &manifests[..15], &mut fleet.answers, &fleet.backend);
    assert_eq!(refused, Err(Refusal::TooFew { found: 15, needed: 16 }));
    let all = fleet.sum(&round, &uploads);
    assert!(round.open(&question, &all, &manifests, &mut fleet.answers, &fleet.backend).is_ok());
    assert!(!Policy::default().is_lowered() && Policy::lowered_to(15).is_lowered());
    assert_eq!(Policy::lowered_to(0).min_clients(), 2);
    assert_eq!(Policy::raised_to(3).min_clients(), 16);
}

#[test]
fn every_class_needs_enough_robots_of_its_own_and_no_robot_is_in_two() {
    let mut fleet = Fleet::new();
    let class = |index| Weighting::Class { index, weight: 1 };
    let rounds = [0, 1].map(|index| Round::new(&RoundTerms { weighting: class(index), ..fleet.terms(20, 4) }).unwrap());
    let values = fleet.values(20);
    let ours = [0, 1].map(|number| fleet.upload(&rounds[0], number, 0, &values));
    let theirs = [1, 2].map(|number| fleet.upload(&rounds[1], number, 1, &values));
    let sums = [fleet.sum(&rounds[0], &ours), fleet.sum(&rounds[1], &theirs)];
    let manifests = [verified(&ours), verified(&theirs)];
    let alone = fleet.sum(&rounds[1], &theirs[1..]);
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let parts = [(&rounds[0], &sums[0], &manifests[0][..]), (&rounds[1], &alone, &manifests[1][1..])];
    let refused = question.open(&parts, &mut fleet.answers, &fleet.backend);
    assert_eq!(refused, Err(Refusal::TooFew { found: 1, needed: 2 }));
    let parts = [(&rounds[0], &sums[0], &manifests[0][..]), (&rounds[1], &sums[1], &manifests[1][..])];
    assert_eq!(question.open(&parts, &mut fleet.answers, &fleet.backend), Err(Refusal::Twice(robot(1))));
}

#[test]
fn one_robot_cannot_stand_for_two() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let values = fleet.values(20);
    let uploads = [fleet.upload(&round, 1, 0, &values), fleet.upload(&round, 1, 1, &values)];
    let sum = fleet.sum(&round, &uploads);
    assert_eq!(fleet.open(&round, &sum, &verified(&uploads)), Err(Refusal::Twice(robot(1))));
}

#[test]
fn buckets_are_drawn_once_and_only_they_are_opened() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 40)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 40);
    let (manifests, attempt) = (verified(&uploads), round.agreement().attempt());
    let draw = |fleet: &mut Fleet, manifests: &[VerifiedManifest]| {
        draw_buckets(attempt, manifests, 0, Policy::default(), &mut fleet.answers, &mut fleet.rng)
    };
    let buckets = draw(&mut fleet, &manifests).unwrap();
    assert_eq!(draw(&mut fleet, &manifests).as_ref(), Ok(&buckets), "asked again, the same");
    assert_eq!(draw(&mut fleet, &manifests[1..]), Err(BucketError::Drawn));
    assert_eq!(buckets.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20]);

    let part = |fleet: &Fleet, bucket: &[usize]| {
        let uploads: Vec<_> = bucket.iter().map(|&index| uploads[index].clone()).collect();
        (fleet.sum(&round, &uploads), verified(&uploads))
    };
    let ask = |fleet: &mut Fleet, buckets: &[Vec<usize>]| {
        let parts: Vec<_> = buckets.iter().map(|bucket| part(fleet, bucket)).collect();
        let parts: Vec<_> = parts.iter().map(|(sum, manifests)| (&round, sum, &manifests[..])).collect();
        Question::new(Keys::Holder(&fleet.holder)).open(&parts, &mut fleet.answers, &fleet.backend)
    };
    let mut swapped = buckets.clone();
    let (first, second) = (swapped[0][0], swapped[1][0]);
    (swapped[0][0], swapped[1][0]) = (second, first);
    assert_eq!(ask(&mut fleet, &swapped), Err(Refusal::OtherBuckets));
    assert_eq!(ask(&mut fleet, &buckets[..1]), Err(Refusal::OtherBuckets));
    assert_eq!(ask(&mut fleet, &buckets).map(|means| means.len()), Ok(2));
}

#[test]
fn a_manifest_counts_only_with_its_robots_signature() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 1);
    let forged = VerifiedManifest::check(uploads[0].manifest(), &[9, 9], &Roster);
    assert_eq!(forged, Err(NotVerified("not this robot's signature".into())));
}

#[test]
fn sum_and_manifests_must_speak_of_the_same_number_and_round() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let other = Round::new(&RoundTerms { attempt: 1, ..fleet.terms(20, 4) }).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let manifests = verified(&uploads);
    let sum = fleet.sum(&round, &uploads);
    assert_eq!(fleet.open(&round, &sum, &manifests[1..]), Err(Refusal::Count { sum: 3, manifests: 2 }));
    assert_eq!(fleet.open(&other, &sum, &manifests), Err(Refusal::OtherRound));
    assert_eq!(fleet.open(&other, &other.sum(), &manifests), Err(Refusal::OtherRound));
}

// ---- R4: `a` comes from what is agreed ---------------------------------------------------------------------------

#[test]
fn whatever_differs_in_the_terms_gives_another_context_and_another_a() {
    let fleet = Fleet::new();
    let (base, shared, other) = (fleet.terms(20, 4), shared_key(), Params::FL_2048_30);
    let terms = [
        base,
        RoundTerms { params: &other, ..base },
        RoundTerms { length: 21, ..base },
        RoundTerms { robots: 5, ..base },
        RoundTerms { bits: 9, ..base },
        RoundTerms { clip: 1.5, ..base },
        RoundTerms { keys: shared.model(), ..base },
        RoundTerms { fleet: b"x", ..base },
        RoundTerms { model: [1; 32], ..base },
        RoundTerms { round: 1, ..base },
        RoundTerms { attempt: 1, ..base },
        RoundTerms { weighting: Weighting::Class { index: 0, weight: 1 }, ..base },
        RoundTerms { weighting: Weighting::Class { index: 0, weight: 2 }, ..base },
        RoundTerms { weighting: Weighting::Class { index: 1, weight: 1 }, ..base },
    ];
    let mut seeds: Vec<_> = terms.iter().map(|terms| *Round::new(terms).unwrap().agreement().a_seed()).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), terms.len());
}

#[test]
fn a_robot_encrypts_only_to_the_key_that_the_round_names() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let impostor = HolderKey::generate(&mut fleet.rng).public();
    let key = MessageKey::new(round.agreement(), robot(0), &impostor, &mut fleet.rng);
    assert_eq!(key.err(), Some(KeyError::OtherKey));
    let shared = shared_key().message_key(round.agreement(), robot(0));
    assert_eq!(shared.err(), Some(KeyError::OtherModel));
}

// ---- R5: one weight in a sum -------------------------------------------------------------------------------------

#[test]
fn uploads_of_two_weights_do_not_enter_one_sum() {
    let mut fleet = Fleet::new();
    let class = |weight| Weighting::Class { index: 0, weight };
    let rounds =
        [1, 255].map(|weight| Round::new(&RoundTerms { weighting: class(weight), ..fleet.terms(20, 4) }).unwrap());
    let values = fleet.values(20);
    let upload = fleet.upload(&rounds[1], 0, 0, &values);
    let mut sum = rounds[0].sum();
    assert_eq!(
        rounds[0].take(&mut sum, upload.bytes(), &fleet.backend),
        Err(TakeError::Malformed(lwe::Malformed::OtherRound))
    );
    // Even if the server reads it as what it is.
    let heavy = rounds[1].read(upload.bytes()).unwrap();
    assert_eq!(sum.add(&[heavy], &fleet.backend), Err(AddError::OtherRound));
    assert_eq!(sum.merge(&fleet.sum(&rounds[1], &[upload])), Err(AddError::OtherRound));
}

#[test]
fn adding_one_upload_twice_does_not_open() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let mut sum = fleet.sum(&round, &uploads[..1]);
    round.take(&mut sum, uploads[0].bytes(), &fleet.backend).unwrap();
    assert!(matches!(fleet.open(&round, &sum, &verified(&uploads)), Err(Refusal::Mismatch(_))));
}

// ---- What the noise and the canary show --------------------------------------------------------------------------

#[test]
fn another_set_does_not_open_however_short_the_message() {
    for length in [1, 5, 300] {
        let mut fleet = Fleet::new();
        for number in 0..20 {
            let round = Round::new(&RoundTerms { round: number, ..fleet.terms(length, 4) }).unwrap();
            let values = fleet.values(length);
            let uploads = [0, 1, 2].map(|robot| fleet.upload(&round, robot, number as u8, &values));
            let wrong_set = fleet.sum(&round, &uploads[..2]);
            let refused = fleet.open(&round, &wrong_set, &verified(&uploads)[1..]);
            assert!(matches!(refused, Err(Refusal::Mismatch(_))), "{length} values: {refused:?}");
        }
    }
}

#[test]
fn another_set_or_changed_words_do_not_open() {
    let mut fleet = Fleet::new();
    let length = 30_000;
    let round = Round::new(&fleet.terms(length, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let wrong_set = fleet.sum(&round, &uploads[..2]);
    let refused = fleet.open(&round, &wrong_set, &verified(&uploads)[1..]);
    assert_eq!(refused, Err(Refusal::Mismatch(Suspicion::Values)));

    // One in eight words is moved by a quarter of a step: too little to reach another value, too much for noise.
    let next = Round::new(&RoundTerms { round: 1, ..fleet.terms(length, 4) }).unwrap();
    let values = fleet.values(length);
    let uploads = [0, 1].map(|number| fleet.upload(&next, number, 9, &values));
    let mut bytes = fleet.sum(&next, &uploads).to_bytes();
    let bits = next.agreement().encoding().bits() as usize;
    let quarter = (next.agreement().ledger().budget().step / 4.0).log2() as usize;
    bytes[24..].chunks_exact_mut(bits).for_each(|eight| eight[quarter / 8] ^= 1 << (quarter % 8));
    let changed = next.agreement().read_sum(&bytes, &fleet.backend).unwrap();
    let refused = fleet.open(&next, &changed, &verified(&uploads));
    assert_eq!(refused, Err(Refusal::Mismatch(Suspicion::Spread)));
}

#[test]
fn a_bad_canary_names_its_robot_once_and_the_rest_can_be_opened() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 4);
    let mut manifests = verified(&uploads);
    // Robot 2 signs an envelope that is not its upload's.
    let mut bytes = uploads[2].manifest().to_bytes();
    bytes[16 + 4 * 32 + 100] ^= 1;
    let spoiled = Manifest::from_bytes(round.agreement(), &bytes).unwrap();
    manifests[2] = VerifiedManifest::check(spoiled, &robot(2).0[..2], &Roster).unwrap();
    let all = fleet.sum(&round, &uploads);
    assert_eq!(fleet.open(&round, &all, &manifests), Err(Refusal::Canary(vec![robot(2)])));
    let judged = |fleet: &mut Fleet| fleet.answers.entries().unwrap().len();
    assert_eq!(judged(&mut fleet), 4);
    assert_eq!(fleet.open(&round, &all, &manifests), Err(Refusal::Canary(vec![robot(2)])));
    assert_eq!(judged(&mut fleet), 4, "a verdict is given once");
    let (good, _): (Vec<_>, Vec<_>) = uploads.iter().cloned().partition(|u| u.manifest().robot() != robot(2));
    let rest = fleet.sum(&round, &good);
    fleet.open(&round, &rest, &verified(&good)).unwrap();
}

#[test]
fn a_canary_that_changed_after_its_verdict_is_bad() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let manifests = verified(&uploads);
    // First seen with too few uploads in the sum, then again with other canary bytes under the same key.
    let mut bytes = uploads[0].manifest().to_bytes();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x80;
    let changed = Manifest::from_bytes(round.agreement(), &bytes).unwrap();
    let changed = VerifiedManifest::check(changed, &robot(0).0[..2], &Roster).unwrap();
    let sum = fleet.sum(&round, &uploads);
    let swapped = [changed, manifests[1].clone()];
    assert_eq!(fleet.open(&round, &sum, &swapped), Err(Refusal::Canary(vec![robot(0)])));
    // The right bytes come too late: the key was judged.
    assert_eq!(fleet.open(&round, &sum, &manifests), Err(Refusal::Canary(vec![robot(0)])));
}

#[test]
fn the_other_key_model_and_the_other_holder_are_refused() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let (sum, manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let (stranger, shared) = (HolderKey::generate(&mut fleet.rng), shared_key());
    let mut open = |keys| {
        let question = Question::new(keys).under(Policy::lowered_to(2));
        round.open(&question, &sum, &manifests, &mut fleet.answers, &fleet.backend)
    };
    assert_eq!(open(Keys::Holder(&stranger)), Err(Refusal::Key(robot(0), KeyError::OtherKey)));
    assert_eq!(open(Keys::FleetShared(&shared)), Err(Refusal::Key(robot(0), KeyError::OtherModel)));
    assert!(open(Keys::Holder(&fleet.holder)).is_ok());
}

#[test]
fn secrets_print_their_names_only() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let key = fleet.key(&round, 0);
    assert_eq!(format!("{key:?}"), "MessageKey");
    assert_eq!(format!("{:?}", round.prepare(key, &fleet.backend).unwrap()), "Pads");
    assert_eq!(format!("{:?}", fleet.holder), "HolderKey");
    assert_eq!(format!("{:?}", shared_key()), "FleetSharedKey(Secret)");
}

#[test]
fn an_attempt_is_named_by_fleet_round_and_number_alone() {
    let fleet = Fleet::new();
    let base = fleet.terms(20, 4);
    let attempt = |terms: RoundTerms<'_>| -> Attempt { Round::new(&terms).unwrap().agreement().attempt() };
    // Another model in the same round is the same attempt: two answers about one round would be one too many.
    assert_eq!(attempt(base), attempt(RoundTerms { model: [9; 32], bits: 12, ..base }));
    assert_ne!(attempt(base), attempt(RoundTerms { fleet: b"x", ..base }));
    assert_ne!(attempt(base), attempt(RoundTerms { round: 1, ..base }));
}
