//! What a server, a robot or a crash could try beyond the rules' plain cases; and what the logs say of it.

use crate::fleet::{Fleet, Roster, robot, shared_key, update_id, verified};
use folding::lwe::{
    Agreement, AnswerLog, CANARY_POLY, Context, ContextFields, Created, Entry, ForgetfulLog, Head, HolderKey,
    HolderPublic, KeyError, Keys, LogError, Manifest, MessageKey, Policy, Refusal, SealError, SealLog, Suspicion,
    VerifiedManifest, merkle_root,
};
use folding::{EncryptError, Question, Round, RoundTerms, Update};
use kernels::cpu::Cpu;
use kernels::{Backend, DecryptJob, DenseJob, Direction, EncryptJob, Fault, Noise, PadJob, Plan, SealJob, Shape};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Adds to one of the packed words of `bits` bits, mod 2^bits.
fn add_to_word(packed: &mut [u8], bits: u32, index: usize, more: u64) {
    let places = || (index * bits as usize..).take(bits as usize).zip(0..);
    let word = places().fold(0, |word, (at, place)| word | u64::from(packed[at / 8] >> (at % 8) & 1) << place);
    let word = word.wrapping_add(more);
    for (at, place) in places() {
        packed[at / 8] &= !(1 << (at % 8));
        packed[at / 8] |= ((word >> place & 1) as u8) << (at % 8);
    }
}

/// Signed again by its robot, as a robot with bad intentions would.
fn signed(agreement: &Agreement, bytes: &[u8]) -> VerifiedManifest {
    let manifest = Manifest::from_bytes(agreement, bytes).unwrap();
    let signature = manifest.robot().0;
    VerifiedManifest::check(manifest, &signature[..2], &Roster).unwrap()
}

fn step(round: &Round) -> f64 {
    round.agreement().ledger().budget().step
}

// ---- What is written down, and when ------------------------------------------------------------------------------

/// Takes verdicts, but no answer.
#[derive(Default)]
struct NoAnswers(Vec<Entry>);

impl AnswerLog for NoAnswers {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        Ok(self.0.clone())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        if matches!(entry, Entry::Answered { .. }) {
            return Err(LogError("no space left".into()));
        }
        self.0.push(entry.clone());
        Ok(())
    }
}

/// Counts the sums that are opened.
#[derive(Debug)]
struct Watched {
    inner: Cpu,
    opened: AtomicUsize,
}

impl Backend for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn ntt(&self, plan: &Plan, direction: Direction, polys: &mut [u32]) -> Result<(), Fault> {
        self.inner.ntt(plan, direction, polys)
    }

    fn pad(&self, job: &PadJob<'_>, out: &mut [u32]) -> Result<(), Fault> {
        self.inner.pad(job, out)
    }

    fn seal(&self, job: &SealJob<'_>, pad: &mut [u32], digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.inner.seal(job, pad, digits, out)
    }

    fn encrypt(&self, job: &EncryptJob<'_>, digits: &[u32], out: &mut [u8]) -> Result<(), Fault> {
        self.inner.encrypt(job, digits, out)
    }

    fn sum(&self, shape: &Shape, rows: &[&[u8]], accumulator: &mut [u32]) -> Result<(), Fault> {
        self.inner.sum(shape, rows, accumulator)
    }

    fn decrypt(&self, job: &DecryptJob<'_>, accumulator: &[u32], digits: &mut [u32]) -> Result<Noise, Fault> {
        if job.first_poly != CANARY_POLY {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.decrypt(job, accumulator, digits)
    }

    fn dense(&self, job: &DenseJob<'_>, rows: &mut [u32]) -> Result<(), Fault> {
        self.inner.dense(job, rows)
    }
}

#[test]
fn no_sum_is_opened_before_the_answer_is_written_down() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(40, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (sum, manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let backend = Watched { inner: Cpu::best(1), opened: AtomicUsize::new(0) };
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let refused = round.open(&question, &sum, &manifests, &mut NoAnswers::default(), &backend);
    assert!(matches!(refused, Err(Refusal::Log(_))));
    assert_eq!(backend.opened.load(Ordering::Relaxed), 0);
    round.open(&question, &sum, &manifests, &mut fleet.answers, &backend).unwrap();
    assert_eq!(backend.opened.load(Ordering::Relaxed), 1, "the backend counts");
}

/// Remembers the order of what it is told, and has room for so many entries.
struct Paper(usize, Vec<[u8; 32]>);

impl SealLog for Paper {
    fn create(&mut self, _name: &[u8; 32], content: &[u8; 32]) -> Result<Created, LogError> {
        if self.1.len() == self.0 {
            return Err(LogError("no space left".into()));
        }
        self.1.push(*content);
        Ok(Created::New)
    }
}

#[test]
fn an_update_is_bound_to_its_round_before_a_key_is_used_up() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(10, 4)).unwrap();
    let update = update_id(1, 0);
    for room in 1..=2 {
        let (key, mut log) = (fleet.key(&round, 1), Paper(room, vec![]));
        let sealed = round.encrypt(key, Update::new(update, &[0.5; 10][..]), &mut log, &fleet.backend);
        assert_eq!(matches!(sealed, Err(EncryptError::Seal(SealError::Log(_)))), room == 1);
        assert_eq!(log.1, [round.agreement().attempt().round, update.0][..room]);
    }
}

#[test]
fn the_log_names_messages_sets_and_updates_as_the_robots_do() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(10, 4)).unwrap();
    let keys = [0, 1, 2].map(|number| fleet.key(&round, number));
    let ids = keys.each_ref().map(MessageKey::message_id);
    let uploads: Vec<_> = (0..)
        .zip(keys)
        .map(|(number, key)| {
            let update = Update::new(update_id(number, 0), &[0.5; 10][..]);
            round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0
        })
        .collect();
    let mut sets = vec![];
    for present in [2, 3] {
        fleet.answers = ForgetfulLog::default();
        let (sum, manifests) = (fleet.sum(&round, &uploads[..present]), verified(&uploads[..present]));
        fleet.open(&round, &sum, &manifests).unwrap();
        let entries = fleet.answers.entries().unwrap();
        let judged = entries.iter().filter_map(|entry| match entry {
            Entry::Judged { message, canary, good: true, .. } => Some((*message, *canary)),
            _ => None,
        });
        let (messages, mut canaries): (Vec<_>, Vec<_>) = judged.unzip();
        assert_eq!(messages, ids[..present]);
        canaries.sort_unstable();
        canaries.dedup();
        assert_eq!(canaries.len(), present);
        let Some(Entry::Answered { attempt, set, updates }) = entries.last() else {
            panic!("no answer in {entries:?}")
        };
        assert_eq!(*attempt, round.agreement().attempt());
        assert_eq!(*updates, manifests.iter().map(|m| m.manifest().update().0).collect::<Vec<_>>());
        sets.push(*set);
    }
    assert_ne!(sets[0], sets[1]);
}

#[test]
fn a_head_depends_on_every_field_of_every_entry() {
    let mut fleet = Fleet::new();
    let attempt = |fleet: &Fleet, round, attempt| {
        Round::new(&RoundTerms { round, attempt, ..fleet.terms(10, 4) }).unwrap().agreement().attempt()
    };
    let attempts = [(0, 0), (0, 1), (1, 0)].map(|(round, number)| attempt(&fleet, round, number));
    let [one, two] = [[1; 32], [2; 32]];
    let mut entries = vec![];
    for attempt in attempts {
        entries.push(Entry::Closed { attempt });
        entries.push(Entry::Answered { attempt, set: one, updates: vec![one] });
        entries.push(Entry::Judged { attempt, message: one, canary: one, good: true });
        entries.push(Entry::Drawn { attempt, set: one, buckets: 1, seed: one });
    }
    let attempt = attempts[0];
    entries.push(Entry::Answered { attempt, set: two, updates: vec![one] });
    entries.push(Entry::Answered { attempt, set: one, updates: vec![two] });
    entries.push(Entry::Answered { attempt, set: one, updates: vec![one, two] });
    entries.push(Entry::Judged { attempt, message: two, canary: one, good: true });
    entries.push(Entry::Judged { attempt, message: one, canary: two, good: true });
    entries.push(Entry::Judged { attempt, message: one, canary: one, good: false });
    entries.push(Entry::Drawn { attempt, set: two, buckets: 1, seed: one });
    entries.push(Entry::Drawn { attempt, set: one, buckets: 2, seed: one });
    entries.push(Entry::Drawn { attempt, set: one, buckets: 1, seed: two });
    let mut heads: Vec<_> = entries.iter().map(|entry| Head::of(std::slice::from_ref(entry)).hash).collect();
    heads.push(Head::default().hash);
    heads.push(Head::of(&entries[..2]).hash);
    heads.push(Head::of(&[entries[1].clone(), entries[0].clone()]).hash);
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len(), entries.len() + 3);
    fleet.answers.append(&entries[0]).unwrap();
    assert_eq!(Head::of(&fleet.answers.entries().unwrap()), Head::default().after(&entries[0]));
}

// ---- Words changed on purpose ------------------------------------------------------------------------------------

#[test]
fn words_behind_a_short_message_must_be_zero() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(5, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let mut bytes = fleet.sum(&round, &uploads).to_bytes();
    // A whole step: another integer, and no more noise than before.
    add_to_word(&mut bytes[24..], round.agreement().encoding().bits(), 40, step(&round).round() as u64);
    let changed = round.agreement().read_sum(&bytes, &fleet.backend).unwrap();
    let refused = fleet.open(&round, &changed, &verified(&uploads));
    assert_eq!(refused, Err(Refusal::Mismatch(Suspicion::Values)));
}

#[test]
fn a_canary_that_is_not_zero_or_not_quiet_is_bad() {
    // One word by a whole step: quiet, but not zero. Every word by a quarter: zero, but not quiet.
    for (words, steps) in [(1, 1.0), (64, 0.25)] {
        let mut fleet = Fleet::new();
        let round = Round::new(&fleet.terms(20, 4)).unwrap();
        let (uploads, _) = fleet.uploads(&round, 3);
        let (agreement, sum) = (round.agreement(), fleet.sum(&round, &uploads));
        let mut manifests = verified(&uploads);
        let mut bytes = manifests[1].manifest().to_bytes();
        let canary = bytes.len() - agreement.canary_shape().packed_len();
        let more = (step(&round) * steps).round() as u64;
        (0..words).for_each(|index| add_to_word(&mut bytes[canary..], agreement.encoding().bits(), index, more));
        manifests[1] = signed(agreement, &bytes);
        assert_eq!(fleet.open(&round, &sum, &manifests), Err(Refusal::Canary(vec![robot(1)])));
    }
}

#[test]
fn a_good_verdict_is_about_the_bytes_it_was_given_for() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 3);
    let (sum, honest) = (fleet.sum(&round, &uploads), verified(&uploads));
    let spoil = |manifest: &VerifiedManifest| {
        let mut bytes = manifest.manifest().to_bytes();
        *bytes.last_mut().unwrap() ^= 0x80;
        signed(round.agreement(), &bytes)
    };
    // Robot 2 spoils the first attempt at an answer: the others were judged good.
    let first = [honest[0].clone(), honest[1].clone(), spoil(&honest[2])];
    assert_eq!(fleet.open(&round, &sum, &first), Err(Refusal::Canary(vec![robot(2)])));
    let next = [spoil(&honest[0]), honest[1].clone()];
    let two = fleet.sum(&round, &uploads[..2]);
    assert_eq!(fleet.open(&round, &two, &next), Err(Refusal::Canary(vec![robot(0)])));
    fleet.open(&round, &two, &honest[..2]).unwrap();
}

#[test]
fn robots_that_come_later_open_with_those_judged_before_on_any_number_of_threads() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 5)).unwrap();
    let (mut uploads, _) = fleet.uploads(&round, 5);
    let mut early = verified(&uploads[..3]);
    let mut bytes = early[1].manifest().to_bytes();
    *bytes.last_mut().unwrap() ^= 0x80;
    early[1] = signed(round.agreement(), &bytes);
    let sum = fleet.sum(&round, &uploads[..3]);
    assert_eq!(fleet.open(&round, &sum, &early), Err(Refusal::Canary(vec![robot(1)])));
    uploads.remove(1);
    let (sum, manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let open = |threads| round.open(&question, &sum, &manifests, &mut fleet.answers.clone(), &Cpu::best(threads));
    let mean = open(1).unwrap();
    assert!([2, 3, 9].into_iter().all(|threads| open(threads).as_ref() == Ok(&mean)));
}

// ---- Keys --------------------------------------------------------------------------------------------------------

#[test]
fn points_of_low_order_are_refused_on_both_sides() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(20, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 2);
    let (sum, mut manifests) = (fleet.sum(&round, &uploads), verified(&uploads));
    let mut bytes = manifests[1].manifest().to_bytes();
    bytes[16 + 4 * 32..][..32].fill(0);
    manifests[1] = signed(round.agreement(), &bytes);
    assert_eq!(fleet.open(&round, &sum, &manifests), Err(Refusal::Key(robot(1), KeyError::WeakEnvelope)));

    let mut bytes = fleet.holder.public().to_bytes();
    bytes[..32].fill(0);
    let weak = HolderPublic::from_bytes(&bytes).unwrap();
    let round = Round::new(&RoundTerms { keys: weak.model(), ..fleet.terms(20, 4) }).unwrap();
    let key = MessageKey::new(round.agreement(), robot(0), &weak, &mut fleet.rng);
    assert_eq!(key.err(), Some(KeyError::Malformed));
}

#[test]
fn a_fingerprint_covers_both_halves_of_a_key() {
    let mut fleet = Fleet::new();
    let [ours, theirs] =
        [fleet.holder.public(), HolderKey::generate(&mut fleet.rng).public()].map(|key| key.to_bytes());
    let mixed = |x25519: &[u8], ml_kem: &[u8]| {
        HolderPublic::from_bytes(&[&x25519[..32], &ml_kem[32..]].concat()).unwrap().fingerprint()
    };
    let prints = [mixed(&ours, &ours), mixed(&ours, &theirs), mixed(&theirs, &ours), mixed(&theirs, &theirs)];
    assert_eq!(prints[0], fleet.holder.public().fingerprint());
    assert!((0..4).all(|one| (0..one).all(|other| prints[one] != prints[other])));
}

#[test]
fn robots_under_a_shared_key_have_keys_of_their_own() {
    let mut fleet = Fleet::new();
    let shared = shared_key();
    let round = Round::new(&RoundTerms { keys: shared.model(), ..fleet.terms(100, 4) }).unwrap();
    let uploads = [0, 1].map(|number| {
        let key = shared.message_key(round.agreement(), robot(number)).unwrap();
        let update = Update::new(update_id(number, 0), &[0.5; 100][..]);
        round.encrypt(key, update, &mut fleet.seals, &fleet.backend).unwrap().0
    });
    // The same values: only another key gives another body.
    let body = |index: usize| round.read(uploads[index].bytes()).unwrap().body().to_vec();
    assert_ne!(body(0), body(1));
}

// ---- One attempt, one context ------------------------------------------------------------------------------------

#[test]
fn sums_of_two_attempts_or_of_another_round_than_their_manifests_are_refused() {
    let mut fleet = Fleet::new();
    let rounds = [0, 1].map(|attempt| Round::new(&RoundTerms { attempt, ..fleet.terms(20, 4) }).unwrap());
    let uploads = [0, 1].map(|index| fleet.uploads(&rounds[index], 2).0);
    let sums = [0, 1].map(|index| fleet.sum(&rounds[index], &uploads[index]));
    let manifests = uploads.each_ref().map(|uploads| verified(uploads));
    let question = Question::new(Keys::Holder(&fleet.holder)).under(Policy::lowered_to(2));
    let mut ask = |parts: &[(usize, usize, usize)]| {
        let parts: Vec<_> = parts.iter().map(|&(r, s, m)| (&rounds[r], &sums[s], &manifests[m][..])).collect();
        question.open(&parts, &mut fleet.answers, &fleet.backend).map(drop)
    };
    assert_eq!(ask(&[(0, 0, 0), (1, 1, 1)]), Err(Refusal::MixedAttempts));
    assert_eq!(ask(&[(0, 1, 0)]), Err(Refusal::OtherRound));
    assert_eq!(ask(&[(0, 0, 1)]), Err(Refusal::OtherRound));
    assert_eq!(ask(&[]), Err(Refusal::Nothing));
    assert_eq!(ask(&[(0, 0, 0)]), Ok(()));
}

// ---- docs/WIRE.md, computed by another program -------------------------------------------------------------------

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Python's hashlib, field by field as the page lists them.
#[test]
fn contexts_and_roots_are_what_another_implementation_says() {
    let context = Context::new(&ContextFields {
        suite: [6; 16],
        fleet: b"fleet",
        model: [7; 32],
        round: 8,
        attempt: 9,
        wire_bits: 50,
        value_bits: 10,
        values_per_coefficient: 3,
        planned: 100,
        length: 1000,
        class: b"class",
        key: [11; 32],
    });
    assert_eq!(hex(context.bytes()), "24e0662e6fceba7a5a5cc05d858111f89d5a8401144e78ed62151cb1959f5f92");
    assert_eq!(hex(&context.a_seed()), "8e348d296f5f713620b23a2f6a78060ff579bde4412b25c681ef406690aa13c8");
    // Two whole chunks and a part: bytes i * i / 7 mod 251.
    let bytes: Vec<u8> = (0..2 * 65_536 + 100u64).map(|i| (i * i / 7 % 251) as u8).collect();
    assert_eq!(hex(&merkle_root(&bytes)), "2fce04d8fb66cfd313ae5a20b2e3c8a8835dd76c38de558d03707d06b64819b2");
    assert_eq!(hex(&merkle_root(&[])), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

#[test]
fn a_manifest_roots_canary_and_body() {
    let mut fleet = Fleet::new();
    let round = Round::new(&fleet.terms(50_000, 4)).unwrap();
    let (uploads, _) = fleet.uploads(&round, 1);
    let upload = round.read(uploads[0].bytes()).unwrap();
    let root = merkle_root(&[upload.canary(), upload.body()].concat());
    assert_eq!(uploads[0].manifest().root(), &root);
}
