//! An error says what was found, and what to do about it.

use folding::lwe::{
    AddError, AgreementError, Attempt, BucketError, DenseParams, Estimate, KeyError, Kind, LogError, Malformed,
    NotVerified, Overflow, ParamsError, Refusal, RobotId, SealError, StoredSumError, Suspicion, Weights,
};
use folding::{EncryptError, OutOfRange, RoundError, TakeError};
use kernels::{EncodingError, Fault, RingError};
use ntt::{ModulusError, PlanError};

/// What a clause that tells the reader to do something begins with.
const ADVICE: &str = "add ask choose close compare create else fetch give have keep leave lower make mend must open pin plan refuse \
                      restore send so split start take train use wait";

/// One clause behind the first says what to do.
fn advises(text: &str) -> bool {
    let clauses = [": ", "; ", ". ", ", "].iter().flat_map(|mark| text.split(mark).skip(1));
    let mut first_words = clauses.filter_map(|clause| clause.split_whitespace().next()).map(str::to_lowercase);
    first_words.any(|word| ADVICE.split_whitespace().any(|verb| verb == word))
}

#[track_caller]
fn assert_advice(messages: &[String]) {
    let silent: Vec<_> = messages.iter().filter(|message| !advises(message)).collect();
    assert!(silent.is_empty(), "these errors do not say what to do: {silent:#?}");
}

/// Messages of all variants of an error: one that is missing here does not compile.
macro_rules! every {
    ($($pattern:pat => $error:expr,)*) => {{
        let _all = |error| match error { $($pattern => (),)* };
        vec![$($error.to_string()),*]
    }};
}

#[test]
fn refusals_of_a_key_holder_say_what_to_do() {
    let (robot, attempt) = (RobotId([7; 32]), Attempt { round: [0; 32], number: 3 });
    let log = || LogError("no space left".into());
    assert_advice(&every! {
        Refusal::Nothing => Refusal::Nothing,
        Refusal::MixedAttempts => Refusal::MixedAttempts,
        Refusal::OtherRound => Refusal::OtherRound,
        Refusal::TooFew { .. } => Refusal::TooFew { found: 1, needed: 2 },
        Refusal::Count { .. } => Refusal::Count { sum: 1, manifests: 2 },
        Refusal::Twice(_) => Refusal::Twice(robot),
        Refusal::Answered(_) => Refusal::Answered(attempt),
        Refusal::Open(_) => Refusal::Open(attempt),
        Refusal::UpdateAnswered(_) => Refusal::UpdateAnswered(vec![robot]),
        Refusal::OtherBuckets => Refusal::OtherBuckets,
        Refusal::Restored => Refusal::Restored,
        Refusal::Key(..) => Refusal::Key(robot, KeyError::WeakEnvelope),
        Refusal::Canary(_) => Refusal::Canary(vec![robot]),
        Refusal::Mismatch(_) => Refusal::Mismatch(Suspicion::Peak),
        Refusal::Log(_) => Refusal::Log(log()),
        Refusal::Backend(_) => Refusal::Backend(Fault::Declined),
    });
    assert_advice(&every! {
        Suspicion::Values => Suspicion::Values,
        Suspicion::Spread => Suspicion::Spread,
        Suspicion::Peak => Suspicion::Peak,
    });
    assert_advice(&every! {
        BucketError::TooFew { .. } => BucketError::TooFew { robots: 3, corrupt: 2 },
        BucketError::Drawn => BucketError::Drawn,
        BucketError::Refused(_) => BucketError::Refused(Refusal::Twice(robot)),
    });
    assert_advice(&every! {
        NotVerified(_) => NotVerified("no signature".into()),
    });
}

#[test]
fn errors_of_robots_and_servers_say_what_to_do() {
    let log = || LogError("no space left".into());
    assert_advice(&every! {
        KeyError::Malformed => KeyError::Malformed,
        KeyError::OtherKey => KeyError::OtherKey,
        KeyError::OtherModel => KeyError::OtherModel,
        KeyError::WeakEnvelope => KeyError::WeakEnvelope,
    });
    assert_advice(&every! {
        SealError::OtherRound => SealError::OtherRound,
        SealError::KeyUsed => SealError::KeyUsed,
        SealError::UpdateUsed => SealError::UpdateUsed,
        SealError::Log(_) => SealError::Log(log()),
        SealError::Backend(_) => SealError::Backend(Fault::DeviceLost),
    });
    assert_advice(&every! {
        EncryptError::Length { .. } => EncryptError::Length { found: 1, expected: 2 },
        EncryptError::OutOfRange(_) => EncryptError::OutOfRange(OutOfRange::default()),
        EncryptError::Seal(_) => EncryptError::Seal(SealError::UpdateUsed),
    });
    assert_advice(&every! {
        Malformed::Length { .. } => Malformed::Length { kind: Kind::Upload, found: 1, expected: 2 },
        Malformed::Version(_) => Malformed::Version(9),
        Malformed::Kind { .. } => Malformed::Kind { found: 0, expected: Kind::Sum },
        Malformed::OtherRound => Malformed::OtherRound,
        Malformed::Padding => Malformed::Padding,
        Malformed::Count { .. } => Malformed::Count { messages: 5, factor: 2 },
        Malformed::Factor => Malformed::Factor,
    });
    assert_advice(&every! {
        StoredSumError::Malformed(_) => StoredSumError::Malformed(Malformed::Factor),
        StoredSumError::Backend(_) => StoredSumError::Backend(Fault::OutOfMemory),
    });
    assert_advice(&every! {
        AddError::OtherRound => AddError::OtherRound,
        AddError::OtherFactor { .. } => AddError::OtherFactor { found: 2, expected: 1 },
        AddError::Zero => AddError::Zero,
        AddError::Overflow(Overflow::Planned { .. }) => AddError::Overflow(Overflow::Planned { sum: 9, planned: 8 }),
        AddError::Overflow(Overflow::Noise { .. }) => AddError::Overflow(Overflow::Noise { weights: Weights::equal(9) }),
        AddError::Backend(_) => AddError::Backend(Fault::Declined),
    });
    assert_advice(&every! {
        TakeError::Malformed(_) => TakeError::Malformed(Malformed::Padding),
        TakeError::Add(_) => TakeError::Add(AddError::Zero),
    });
}

#[test]
fn errors_of_terms_and_suites_say_what_to_do() {
    let estimate = Estimate { classical: 100, quantum: 90, quantum_with_public_sum: 80 };
    assert_advice(&every! {
        RoundError::Bits(_) => RoundError::Bits(3),
        RoundError::Clip(_) => RoundError::Clip(0.0),
        RoundError::Weight => RoundError::Weight,
        RoundError::Agreement(_) => RoundError::Agreement(AgreementError::Planned(0)),
    });
    assert_advice(&every! {
        AgreementError::Length(_) => AgreementError::Length(0),
        AgreementError::DenseLength(_) => AgreementError::DenseLength(20_000),
        AgreementError::ValueBits(_) => AgreementError::ValueBits(40),
        AgreementError::Planned(_) => AgreementError::Planned(0),
        AgreementError::NoRoom { .. } => AgreementError::NoRoom {
            suite: DenseParams::LWE_1024_22.name(),
            value_bits: 8,
            planned: 40,
            factor: 1,
            most_messages: 35,
            most_bits: 7,
        },
    });
    assert_advice(&every! {
        ParamsError::Ring(RingError::Plan(PlanError::Modulus(ModulusError::TooLarge(_)))) =>
            ParamsError::Ring(RingError::Plan(PlanError::Modulus(ModulusError::TooLarge(1 << 30)))),
        ParamsError::Ring(RingError::Plan(PlanError::Modulus(ModulusError::NotAnOddPrime(_)))) =>
            ParamsError::Ring(RingError::Plan(PlanError::Modulus(ModulusError::NotAnOddPrime(9)))),
        ParamsError::Ring(RingError::Plan(PlanError::Size(_))) => ParamsError::Ring(RingError::Plan(PlanError::Size(3))),
        ParamsError::Ring(RingError::Plan(PlanError::NoRoot { .. })) =>
            ParamsError::Ring(RingError::Plan(PlanError::NoRoot { p: 7681, n: 4096 })),
        ParamsError::Ring(RingError::Limbs(_)) => ParamsError::Ring(RingError::Limbs(3)),
        ParamsError::Ring(RingError::Repeated(_)) => ParamsError::Ring(RingError::Repeated(7681)),
        ParamsError::WireBits(_) => ParamsError::WireBits(60),
        ParamsError::Dense { .. } => ParamsError::Dense { dimension: 3, bits: 2 },
        ParamsError::Weak(_) => ParamsError::Weak(estimate),
    });
    assert_advice(&every! {
        EncodingError::Bits(_) => EncodingError::Bits(60),
        EncodingError::Base(_) => EncodingError::Base(1),
        EncodingError::Capacity { .. } => EncodingError::Capacity { base: 1 << 20, digits: 5 },
    });
}

#[test]
fn a_count_that_is_no_larger_than_planned_names_the_factor_that_makes_it_so() {
    let message = Malformed::Count { messages: 2, factor: u32::MAX }.to_string();
    assert!(message.starts_with("a sum of 2 messages times 4294967295, more than the round planned"), "{message}");
}
