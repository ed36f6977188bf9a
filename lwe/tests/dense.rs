//! Vectors of plain LWE, from values to the sum: exact up to the ledger's limit, refused beyond it, and under the same rules
//! as ring sums.

use kernels::cpu::Cpu;
use rand::rngs::ChaCha20Rng;
use rand::{Rng, RngExt, SeedableRng};
use tensorguard_lwe::{
    AddError, Agreement, AgreementError, Ciphertext, DenseAgreement, DenseParams, ForgetfulLog, HolderKey, Keys,
    Malformed, Manifest, MessageKey, NotVerified, Opened, Overflow, Params, Part, Policy, Refusal, RobotId, SealError,
    StoredSumError, Suite, Sum, Suspicion, Terms, UpdateId, Upload, VerifiedManifest, Verifier, answer, close,
};

struct Anyone;

impl Verifier for Anyone {
    fn verify(&self, _: RobotId, _: &[u8], _: &[u8]) -> Result<(), NotVerified> {
        Ok(())
    }
}

/// A key holder, robots and a server in one place.
struct Fleet {
    rng: ChaCha20Rng,
    backend: Cpu,
    holder: HolderKey,
    seals: ForgetfulLog,
    answers: ForgetfulLog,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let holder = HolderKey::generate(&mut rng);
        Self { rng, backend: Cpu::best(1), holder, seals: ForgetfulLog::default(), answers: ForgetfulLog::default() }
    }

    fn terms<'a, P>(&self, params: &'a P, value_bits: u32, planned: u64, length: usize) -> Terms<'a, P> {
        let (fleet, class, model, keys) = (&b"fleet"[..], &b""[..], [7; 32], self.holder.public().model());
        Terms { params, fleet, model, round: 3, attempt: 0, class, value_bits, planned, length, keys }
    }

    fn agree<P: Suite>(&self, params: &P, value_bits: u32, planned: u64, length: usize) -> Agreement<P> {
        Agreement::new(&self.terms(params, value_bits, planned, length)).unwrap()
    }

    fn upload<P: Suite>(&mut self, agreement: &Agreement<P>, robot: u16, values: &[u32]) -> Upload {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&robot.to_le_bytes());
        let key = MessageKey::new(agreement, RobotId(id), &self.holder.public(), &mut self.rng).unwrap();
        agreement.encrypt(key, UpdateId(id), values, vec![], &mut self.seals, &self.backend).unwrap()
    }

    /// Uploads of these messages, by robots with the numbers from `first` on.
    fn uploads<P: Suite>(&mut self, agreement: &Agreement<P>, first: u16, messages: &[Vec<u32>]) -> Vec<Upload> {
        (first..).zip(messages).map(|(robot, values)| self.upload(agreement, robot, values)).collect()
    }

    fn add<P: Suite>(&self, agreement: &Agreement<P>, uploads: &[Upload]) -> Sum {
        let mut sum = agreement.sum();
        let read: Vec<_> = uploads.iter().map(|upload| Ciphertext::read(agreement, upload.bytes()).unwrap()).collect();
        sum.add(&read, &self.backend).unwrap();
        sum
    }

    fn open<P: Suite>(
        &mut self,
        agreement: &Agreement<P>,
        sum: &Sum,
        manifests: &[VerifiedManifest],
    ) -> Result<Opened, Refusal> {
        let (keys, policy) = (Keys::Holder(&self.holder), Policy::lowered_to(2));
        let mut opened =
            answer(keys, policy, &[Part { agreement, sum, manifests }], &mut self.answers, None, &self.backend)?;
        Ok(opened.pop().unwrap())
    }

    fn random(&mut self, messages: u64, value_bits: u32, length: usize) -> Vec<Vec<u32>> {
        let mut one = || (0..length).map(|_| self.rng.random_range(0..1u32 << value_bits)).collect();
        (0..messages).map(|_| one()).collect()
    }
}

fn verified(uploads: &[Upload]) -> Vec<VerifiedManifest> {
    let check = |upload: &Upload| VerifiedManifest::check(upload.manifest(), b"", &Anyone).unwrap();
    uploads.iter().map(check).collect()
}

fn sums(messages: &[Vec<u32>], factor: u64) -> Vec<u64> {
    let column = |i: usize| factor * messages.iter().map(|values| u64::from(values[i])).sum::<u64>();
    (0..messages[0].len()).map(column).collect()
}

const LWE: DenseParams = DenseParams::LWE_1024_22;
const TOY: DenseParams = DenseParams::TOY_LWE_64_22_INSECURE;

#[test]
fn sums_are_exact_at_the_ledgers_limit_and_one_more_robot_is_refused() {
    for (seed, params, value_bits, most) in [(1, &LWE, 8, 35), (2, &TOY, 4, 237), (3, &TOY, 12, 5)] {
        let (mut fleet, length) = (Fleet::new(seed), 97);
        let agreement = fleet.agree(params, value_bits, most, length);
        let mut messages = fleet.random(most, value_bits, length);
        // The largest sum there can be, and the smallest.
        messages.iter_mut().for_each(|values| (values[0], values[1]) = ((1 << value_bits) - 1, 0));
        let uploads = fleet.uploads(&agreement, 0, &messages);
        let mut sum = fleet.add(&agreement, &uploads);
        let extra = fleet.upload(&agreement, u16::MAX, &messages[0]);
        let extra = Ciphertext::read(&agreement, extra.bytes()).unwrap();
        let before = sum.clone();
        let refused = AddError::Overflow(Overflow::Planned { sum: most + 1, planned: most });
        assert_eq!(sum.add(&[extra], &fleet.backend), Err(refused));
        assert_eq!(sum, before);
        let opened = fleet.open(&agreement, &sum, &verified(&uploads)).unwrap();
        assert_eq!(opened.values(), sums(&messages, 1));
        let terms = fleet.terms(params, value_bits, most + 1, length);
        let (suite, planned, factor) = (params.name(), most + 1, 1);
        let no_room = Agreement::new(&terms).unwrap_err();
        let AgreementError::NoRoom { most_bits, .. } = no_room else { panic!("{no_room}") };
        assert_eq!(
            no_room,
            AgreementError::NoRoom { suite, value_bits, planned, factor, most_messages: most, most_bits }
        );
        assert!(most_bits < value_bits);
        if most_bits > 0 {
            fleet.agree(params, most_bits, planned, length);
        }
    }
}

/// (bits, robots): from the inequality in exact fractions, by another program.
const MOST: [(u32, u64); 15] = [
    (1, 1447),
    (2, 695),
    (3, 395),
    (4, 237),
    (5, 146),
    (6, 91),
    (7, 57),
    (8, 35),
    (9, 22),
    (10, 14),
    (11, 8),
    (12, 5),
    (13, 3),
    (14, 2),
    (15, 1),
];

#[test]
fn every_plan_that_fits_is_taken_and_no_other() {
    let fleet = Fleet::new(14);
    for (bits, most) in MOST {
        assert_eq!(fleet.agree(&LWE, bits, most, 1).ledger().planned(), most);
        let refused = Agreement::new(&fleet.terms(&LWE, bits, most + 1, 1)).unwrap_err();
        let AgreementError::NoRoom { most_messages, most_bits, .. } = refused else { panic!("{refused}") };
        assert_eq!(most_messages, most);
        let expected = MOST.iter().filter(|(_, robots)| *robots > most).map(|(bits, _)| *bits).max();
        assert_eq!(most_bits, expected.unwrap_or(0), "{refused}");
    }
    let refused = Agreement::new(&fleet.terms(&LWE, 16, 1, 1)).unwrap_err();
    assert!(matches!(refused, AgreementError::NoRoom { most_messages: 0, most_bits: 15, .. }), "{refused}");
}

#[test]
fn a_scaled_sum_opens_to_the_scaled_sums() {
    for (params, factor) in [(&LWE, 1), (&LWE, 3), (&TOY, 2), (&TOY, 7)] {
        let mut fleet = Fleet::new(factor.into());
        let agreement = Agreement::scaled_up_to(&fleet.terms(params, 5, 6, 50), factor).unwrap();
        let messages = fleet.random(6, 5, 50);
        let uploads = fleet.uploads(&agreement, 0, &messages);
        let mut sum = fleet.add(&agreement, &uploads[..2]);
        sum.merge(&fleet.add(&agreement, &uploads[2..])).unwrap();
        sum.scale(factor).unwrap();
        assert_eq!(sum.factor(), factor);
        // Stored and read again, it is the same sum.
        let sum = agreement.read_sum(&sum.to_bytes(), &fleet.backend).unwrap();
        let opened = fleet.open(&agreement, &sum, &verified(&uploads)).unwrap();
        assert_eq!(opened.values(), sums(&messages, factor.into()));
        assert_eq!((opened.weights.messages, opened.weights.sum), (6, 6 * u64::from(factor)));
        assert_eq!(opened.weights.squares, 6 * u64::from(factor * factor));
    }
}

#[test]
fn ring_sums_scale_too() {
    for params in [&Params::FL_1024_22, &Params::FL_4096_60] {
        let mut fleet = Fleet::new(5);
        let agreement = Agreement::scaled_up_to(&fleet.terms(params, 4, 3, 1500), 5).unwrap();
        let messages = fleet.random(3, 4, 1500);
        let uploads = fleet.uploads(&agreement, 0, &messages);
        let mut sum = fleet.add(&agreement, &uploads);
        sum.scale(5).unwrap();
        let opened = fleet.open(&agreement, &sum, &verified(&uploads)).unwrap();
        assert_eq!(opened.values(), sums(&messages, 5));
    }
}

#[test]
fn sums_of_different_factors_refuse_to_merge() {
    let mut fleet = Fleet::new(6);
    let agreement = Agreement::scaled_up_to(&fleet.terms(&TOY, 4, 4, 20), 4).unwrap();
    let messages = fleet.random(4, 4, 20);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let (mut scaled, mut plain) = (fleet.add(&agreement, &uploads[..1]), fleet.add(&agreement, &uploads[1..2]));
    scaled.scale(2).unwrap();
    let (before, late) = (scaled.clone(), Ciphertext::read(&agreement, uploads[2].bytes()).unwrap());
    assert_eq!(scaled.merge(&plain), Err(AddError::OtherFactor { found: 1, expected: 2 }));
    assert_eq!(scaled.add(&[late], &fleet.backend), Err(AddError::OtherFactor { found: 1, expected: 2 }));
    assert_eq!(scaled.scale(0), Err(AddError::Zero));
    let beyond = scaled.scale(9);
    assert!(matches!(beyond, Err(AddError::Overflow(Overflow::Planned { sum: 18, planned: 16 }))), "{beyond:?}");
    assert!(matches!(scaled.scale(u32::MAX), Err(AddError::Overflow(_))));
    assert_eq!(scaled, before);
    plain.scale(2).unwrap();
    scaled.merge(&plain).unwrap();
    let opened = fleet.open(&agreement, &scaled, &verified(&uploads[..2])).unwrap();
    assert_eq!(opened.values(), sums(&messages[..2], 2));
}

#[test]
fn a_factor_that_noise_does_not_allow_is_refused() {
    let fleet = Fleet::new(7);
    // The values have room for it, the noise has not: its square grows with the square of the factor.
    let terms = fleet.terms(&LWE, 1, 2, 4);
    let refused = Agreement::scaled_up_to(&terms, 200).unwrap_err();
    assert!(matches!(refused, AgreementError::NoRoom { factor: 200, .. }), "{refused:?}");
    assert!(refused.to_string().contains("times 200"), "{refused}");
    let agreement = Agreement::scaled_up_to(&terms, 100).unwrap();
    assert_eq!(agreement.ledger().planned(), 200);
    assert_eq!(Agreement::scaled_up_to(&terms, 0).unwrap_err(), AgreementError::Planned(0));
    assert_eq!(Agreement::scaled_up_to(&terms, 5001).unwrap_err(), AgreementError::Planned(10_002));
}

#[test]
fn another_set_is_refused_by_the_noise_and_uses_the_attempt_up() {
    for count in [2, 5, 30] {
        let mut fleet = Fleet::new(100 + count);
        let agreement = fleet.agree(&LWE, 8, 35, 200);
        let messages = fleet.random(count + 1, 8, 200);
        let uploads = fleet.uploads(&agreement, 0, &messages);
        let sum = fleet.add(&agreement, &uploads[1..]);
        let refused = fleet.open(&agreement, &sum, &verified(&uploads[..uploads.len() - 1]));
        assert!(matches!(refused, Err(Refusal::Mismatch(_))), "{refused:?}");
        let refused = fleet.open(&agreement, &sum, &verified(&uploads[1..]));
        assert_eq!(refused, Err(Refusal::Answered(agreement.attempt())));
    }
}

#[test]
fn another_factor_than_the_words_have_is_refused_by_the_noise() {
    let mut fleet = Fleet::new(8);
    let agreement = Agreement::scaled_up_to(&fleet.terms(&LWE, 4, 4, 200), 3).unwrap();
    let messages = fleet.random(4, 4, 200);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let mut stored = fleet.add(&agreement, &uploads).to_bytes();
    stored[20] = 3;
    let sum = agreement.read_sum(&stored, &fleet.backend).unwrap();
    assert_eq!(sum.factor(), 3);
    let refused = fleet.open(&agreement, &sum, &verified(&uploads));
    assert!(matches!(refused, Err(Refusal::Mismatch(Suspicion::Spread | Suspicion::Values))), "{refused:?}");
}

#[test]
fn a_wrong_key_is_caught_by_its_canary_before_anything_is_opened() {
    let mut fleet = Fleet::new(9);
    let agreement = fleet.agree(&LWE, 8, 20, 30);
    let messages = fleet.random(3, 8, 30);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let (sum, mut manifests) = (fleet.add(&agreement, &uploads), verified(&uploads));
    let mut bytes = uploads[1].manifest().to_bytes();
    // A bit of the ML-KEM ciphertext: decapsulation answers with another key.
    bytes[16 + 4 * 32 + 32 + 5] ^= 1;
    let forged = Manifest::from_bytes(&agreement, &bytes).unwrap();
    manifests[1] = VerifiedManifest::check(forged, b"", &Anyone).unwrap();
    let robot = uploads[1].manifest().robot();
    assert_eq!(fleet.open(&agreement, &sum, &manifests), Err(Refusal::Canary(vec![robot])));
    // The attempt is not used up: without the forgery it is answered.
    let opened = fleet.open(&agreement, &sum, &verified(&uploads)).unwrap();
    assert_eq!(opened.values(), sums(&messages, 1));
}

#[test]
fn the_rules_of_ring_sums_hold() {
    let mut fleet = Fleet::new(10);
    let agreement = fleet.agree(&TOY, 8, 20, 30);
    let messages = fleet.random(2, 8, 30);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let (sum, manifests) = (fleet.add(&agreement, &uploads), verified(&uploads));
    // An update enters one round.
    let other = Agreement::new(&Terms { round: 4, ..fleet.terms(&TOY, 8, 20, 30) }).unwrap();
    let (robot, update) = (uploads[0].manifest().robot(), uploads[0].manifest().update());
    let key = |fleet: &mut Fleet, agreement: &DenseAgreement| {
        MessageKey::new(agreement, robot, &fleet.holder.public(), &mut fleet.rng).unwrap()
    };
    let late = key(&mut fleet, &other);
    let sealed = other.encrypt(late, update, &messages[0][..], vec![], &mut fleet.seals, &fleet.backend);
    assert!(matches!(sealed, Err(SealError::UpdateUsed)));
    // A key is for one round.
    let foreign = key(&mut fleet, &other);
    let sealed =
        agreement.encrypt(foreign, UpdateId([9; 32]), &messages[0][..], vec![], &mut fleet.seals, &fleet.backend);
    assert!(matches!(sealed, Err(SealError::OtherRound)));
    // Enough robots, each once, and no more messages than manifests.
    let ask = |fleet: &mut Fleet, policy, manifests: &[VerifiedManifest]| {
        let parts = [Part { agreement: &agreement, sum: &sum, manifests }];
        answer(Keys::Holder(&fleet.holder), policy, &parts, &mut fleet.answers, None, &fleet.backend)
    };
    let refused = ask(&mut fleet, Policy::default(), &manifests);
    assert_eq!(refused, Err(Refusal::TooFew { found: 2, needed: 16 }));
    let two = Policy::lowered_to(2);
    let refused = ask(&mut fleet, two, &manifests[..1]);
    assert_eq!(refused, Err(Refusal::Count { sum: 2, manifests: 1 }));
    let refused = ask(&mut fleet, two, &[manifests[0].clone(), manifests[0].clone()]);
    assert_eq!(refused, Err(Refusal::Twice(robot)));
    // One answer, and none after closing.
    assert!(ask(&mut fleet, two, &manifests).is_ok());
    assert_eq!(ask(&mut fleet, two, &manifests), Err(Refusal::Answered(agreement.attempt())));
    assert_eq!(close(agreement.attempt(), &mut fleet.answers), Err(Refusal::Answered(agreement.attempt())));
}

#[test]
fn long_messages_are_sent_to_a_ring_suite() {
    let fleet = Fleet::new(11);
    let refuse = |length| Agreement::new(&fleet.terms(&LWE, 8, 20, length)).unwrap_err();
    assert_eq!(refuse(0), AgreementError::Length(0));
    assert_eq!(refuse(10_001), AgreementError::DenseLength(10_001));
    assert!(refuse(usize::MAX).to_string().contains("use a ring suite"));
    assert_eq!(fleet.agree(&LWE, 8, 20, 10_000).shape().packed_len(), 10_000 * 22 / 8);
}

#[test]
fn damaged_bytes_are_refused_and_never_panic() {
    let mut fleet = Fleet::new(12);
    let agreement = fleet.agree(&TOY, 8, 20, 65);
    let messages = fleet.random(2, 8, 65);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let (good, sum) = (uploads[0].bytes(), fleet.add(&agreement, &uploads));
    assert_eq!(good.len(), agreement.upload_len());
    // 65 words of 22 bits end six bits into a byte.
    let mut padded = good.to_vec();
    *padded.last_mut().unwrap() |= 0x80;
    assert_eq!(Ciphertext::read(&agreement, &padded).unwrap_err(), Malformed::Padding);
    for at in 0..16 {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x10;
        assert!(Ciphertext::read(&agreement, &bytes).is_err(), "byte {at}");
    }
    let (stored, signed) = (sum.to_bytes(), uploads[0].manifest().to_bytes());
    for len in 0..good.len().max(stored.len()) + 3 {
        let mut cut = good.to_vec();
        cut.resize(len, 0);
        assert_eq!(Ciphertext::read(&agreement, &cut).is_ok(), len == good.len());
        let mut cut = stored.clone();
        cut.resize(len, 0);
        assert_eq!(agreement.read_sum(&cut, &fleet.backend).is_ok(), len == stored.len());
        let mut cut = signed.clone();
        cut.resize(len, 0);
        assert_eq!(Manifest::from_bytes(&agreement, &cut).is_ok(), len == signed.len());
    }
    let damaged = |at: usize, byte: u8| {
        let mut bytes = stored.clone();
        bytes[at] = byte;
        agreement.read_sum(&bytes, &fleet.backend).map(|_| ())
    };
    assert_eq!(damaged(16, 21), Err(StoredSumError::Malformed(Malformed::Count { messages: 21, factor: 1 })));
    assert_eq!(
        damaged(19, 255),
        Err(StoredSumError::Malformed(Malformed::Count { messages: 255 << 24 | 2, factor: 1 }))
    );
    assert_eq!(damaged(20, 0), Err(StoredSumError::Malformed(Malformed::Factor)));
    assert_eq!(
        damaged(23, 255),
        Err(StoredSumError::Malformed(Malformed::Count { messages: 2, factor: 255 << 24 | 1 }))
    );
    // A ring upload of the same fleet and round is another round's.
    let ring = fleet.agree(&Params::FL_1024_22, 8, 10, 65);
    assert_eq!(Ciphertext::read(&ring, good).unwrap_err(), Malformed::OtherRound);
    for len in [0, 15, 16, good.len(), stored.len()] {
        let mut noise = vec![0; len];
        fleet.rng.fill_bytes(&mut noise);
        assert!(Ciphertext::read(&agreement, &noise).is_err());
        assert!(Manifest::from_bytes(&agreement, &noise).is_err());
    }
}

#[test]
fn a_value_behind_a_short_message_is_refused() {
    let mut fleet = Fleet::new(15);
    let agreement = fleet.agree(&LWE, 8, 20, 3);
    assert_eq!(agreement.shape().coefficients, 64);
    let messages = fleet.random(2, 8, 3);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let mut sum = fleet.add(&agreement, &uploads[..1]);
    let mut edited = uploads[1].bytes().to_vec();
    // Word 40 begins at a whole byte; a step is one more of whatever it encrypts.
    let at = agreement.overhead_len() + 40 * 22 / 8;
    let word = u32::from_le_bytes(edited[at..at + 4].try_into().unwrap());
    let more = (word & !0x3F_FFFF) | (word.wrapping_add(agreement.layout().step()) & 0x3F_FFFF);
    edited[at..at + 4].copy_from_slice(&more.to_le_bytes());
    sum.add(&[Ciphertext::read(&agreement, &edited).unwrap()], &fleet.backend).unwrap();
    let refused = fleet.open(&agreement, &sum, &verified(&uploads));
    assert_eq!(refused, Err(Refusal::Mismatch(Suspicion::Values)));
}

#[test]
fn a_random_body_is_refused_by_the_noise() {
    let mut fleet = Fleet::new(13);
    let agreement = fleet.agree(&LWE, 8, 20, 128);
    let messages = fleet.random(3, 8, 128);
    let uploads = fleet.uploads(&agreement, 0, &messages);
    let mut spoilt = uploads[2].bytes().to_vec();
    let start = agreement.overhead_len();
    fleet.rng.fill_bytes(&mut spoilt[start..]);
    let mut sum = fleet.add(&agreement, &uploads[..2]);
    sum.add(&[Ciphertext::read(&agreement, &spoilt).unwrap()], &fleet.backend).unwrap();
    let refused = fleet.open(&agreement, &sum, &verified(&uploads));
    assert!(matches!(refused, Err(Refusal::Mismatch(_))), "{refused:?}");
}
