//! Whole rounds of vectors of plain LWE on every backend: see tests/vectors/README.md.

use crate::files::{Rule, Seed};
use crate::{hex, on_every_backend, sha, sha_u64};
use lwe::{
    Ciphertext, DenseAgreement, DenseParams, DenseTerms, FleetSharedKey, ForgetfulLog, Keys, NotVerified, Part, Policy,
    RobotId, UpdateId, VerifiedManifest, Verifier, answer,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoundCase {
    suite: String,
    dimension: usize,
    bits: u32,
    fleet: String,
    model: Seed,
    round: u64,
    attempt: u32,
    class: String,
    value_bits: u32,
    planned: u64,
    factor: u32,
    length: usize,
    key: Seed,
    context: String,
    a_seed: String,
    limit: u64,
    step: u32,
    robots: Vec<Robot>,
    sum_sha256: String,
    sum_first32: String,
    values_sha256: String,
    values_first8: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Robot {
    id: Seed,
    values: Rule,
    upload_len: usize,
    upload_sha256: String,
    upload_first32: String,
}

struct Anyone;

impl Verifier for Anyone {
    fn verify(&self, _: RobotId, _: &[u8], _: &[u8]) -> Result<(), NotVerified> {
        Ok(())
    }
}

fn rounds() -> Vec<RoundCase> {
    serde_json::from_str(include_str!("../../vectors/rounds.json")).expect("rounds.json has these fields")
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn agreement(case: &RoundCase, key: &FleetSharedKey, what: &str) -> DenseAgreement {
    let suites = [DenseParams::LWE_1024_22, DenseParams::TOY_LWE_64_22_INSECURE];
    let params = suites.iter().find(|suite| suite.name() == case.suite).expect("a suite of ours");
    assert_eq!((params.dimension(), params.bits()), (case.dimension, case.bits), "{what}");
    let RoundCase { round, attempt, value_bits, planned, length, .. } = *case;
    let (fleet, class, model, keys) = (&unhex(&case.fleet)[..], &unhex(&case.class)[..], case.model.0, key.model());
    let terms = DenseTerms { params, fleet, model, round, attempt, class, value_bits, planned, length, keys };
    let agreement = DenseAgreement::scaled_up_to(&terms, case.factor).unwrap();
    assert_eq!(hex(agreement.context().bytes()), case.context, "{what}: the context");
    assert_eq!(hex(agreement.a_seed()), case.a_seed, "{what}: the seed of A");
    let layout = agreement.layout();
    assert_eq!((layout.limit(), layout.step()), (case.limit, case.step), "{what}: the plaintexts");
    agreement
}

#[test]
fn rounds_of_plain_lwe() {
    on_every_backend(&rounds(), |backend, name, case| {
        let what = format!("{name}: round {} of {}", case.round, case.suite);
        let key = FleetSharedKey::from_secret(case.key.secret());
        let agreement = &agreement(case, &key, &what);
        let (mut sum, mut manifests) = (agreement.sum(), vec![]);
        let (mut seals, mut answers) = (ForgetfulLog::default(), ForgetfulLog::default());
        for robot in &case.robots {
            let message_key = key.message_key(agreement, RobotId(robot.id.0)).unwrap();
            let values = robot.values.digits(case.length);
            let update = UpdateId(robot.id.0);
            let upload = agreement.encrypt(message_key, update, &values[..], vec![], &mut seals, backend).unwrap();
            assert_eq!(upload.bytes().len(), robot.upload_len, "{what}");
            assert_eq!(hex(&upload.bytes()[..32]), robot.upload_first32, "{what}: the upload's first bytes");
            assert_eq!(sha(upload.bytes()), robot.upload_sha256, "{what}: the upload");
            sum.add(&[Ciphertext::read(agreement, upload.bytes()).unwrap()], backend).unwrap();
            manifests.push(VerifiedManifest::check(upload.manifest(), b"", &Anyone).unwrap());
        }
        sum.scale(case.factor).unwrap();
        let stored = sum.to_bytes();
        assert_eq!(hex(&stored[..32]), case.sum_first32, "{what}: the sum's first bytes");
        assert_eq!(sha(&stored), case.sum_sha256, "{what}: the sum");
        let parts = [Part { agreement, sum: &sum, manifests: &manifests }];
        let (keys, policy) = (Keys::FleetShared(&key), Policy::lowered_to(2));
        let values = answer(keys, policy, &parts, &mut answers, None, backend).unwrap()[0].values();
        assert_eq!(values[..8], case.values_first8, "{what}: the first values");
        assert_eq!(sha_u64(&values), case.values_sha256, "{what}: the values");
    });
}
