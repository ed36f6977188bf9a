//! What a key holder makes of messages before it opens their sum: their seeds, the sum of their secrets, and verdicts on their
//! canaries.
//!
//! The canaries of one question are opened together: the words add up like any others, and the sum of the secrets is needed
//! anyway. Only where they do not open is each opened alone, to find whose is bad.

use crate::agreement::{Agreement, KeyModel};
use crate::answer::{Keys, Part, Refusal};
use crate::hash::hash_fields;
use crate::keys::{KeyError, RobotId};
use crate::ledger::Weights;
use crate::logs::Entry;
use crate::manifest::VerifiedManifest;
use crate::noise::check_noise;
use crate::suite::{Place, Suite};
use kernels::cpu::Cpu;
use kernels::crew::shares;
use kernels::expand::Domain;
use kernels::{Backend, Fault, Secret};
use std::collections::HashMap;

/// A message of a question, as its manifest and its envelope have it.
pub(crate) struct Message<'a> {
    pub(crate) id: [u8; 32],
    robot: RobotId,
    seed: Secret<[u8; 32]>,
    canary: &'a [u8],
    /// Of the canary's bytes.
    print: [u8; 32],
}

/// Opens the envelopes of a part's robots.
pub(crate) fn messages<'a, P: Suite>(
    keys: Keys<'_>,
    part: &Part<'a, P>,
    threads: usize,
) -> Result<Vec<Message<'a>>, Refusal> {
    let Some(first) = part.manifests.first() else { return Ok(vec![]) };
    check_key(keys, part.agreement).map_err(|error| Refusal::Key(first.manifest().robot(), error))?;
    let context = part.agreement.context();
    let one = |manifest: &'a VerifiedManifest| {
        let manifest = manifest.manifest();
        let robot = manifest.robot();
        let seed = match keys {
            Keys::Holder(key) => {
                manifest.envelope().ok_or(KeyError::OtherModel).and_then(|sealed| key.open(context, &robot, sealed))
            }
            Keys::FleetShared(key) => Ok(key.seed(context, &robot)),
        };
        let seed = seed.map_err(|error| Refusal::Key(robot, error))?;
        let (canary, id) = (manifest.canary(), manifest.message_id());
        Ok(Message { id, robot, seed, canary, print: hash_fields("canary", &[canary]) })
    };
    let manifests: Vec<_> = part.manifests.iter().collect();
    let shares = shares(threads, &manifests, |share| share.iter().map(|manifest| one(manifest)).collect::<Vec<_>>());
    shares.into_iter().flatten().collect()
}

/// Whether these are the keys that the agreement names.
fn check_key<P: Suite>(keys: Keys<'_>, agreement: &Agreement<P>) -> Result<(), KeyError> {
    match (keys, agreement.keys()) {
        (Keys::Holder(key), KeyModel::OneMessage(print)) if key.public().fingerprint() == print => Ok(()),
        (Keys::Holder(_), KeyModel::OneMessage(_)) => Err(KeyError::OtherKey),
        (Keys::Holder(_), KeyModel::FleetShared(_)) => Err(KeyError::OtherModel),
        (Keys::FleetShared(key), _) => key.check(agreement),
    }
}

/// Judges canaries, none of them a second time.
pub(crate) struct Bench {
    /// By message: the canary it was given for, and whether it was good.
    known: HashMap<[u8; 32], ([u8; 32], bool)>,
    verdicts: Vec<Entry>,
    bad: Vec<RobotId>,
}

impl Bench {
    /// Knows the verdicts in these entries.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let mut known = HashMap::new();
        for (message, verdict) in entries.iter().filter_map(Entry::verdict) {
            known.entry(message).or_insert(verdict);
        }
        Self { known, verdicts: Vec::new(), bad: Vec::new() }
    }

    /// Judges the canaries of one sum that have no verdict yet. The sum of all the secrets comes with it.
    pub(crate) fn judge<P: Suite>(
        &mut self,
        agreement: &Agreement<P>,
        messages: &[Message<'_>],
        backend: &dyn Backend,
    ) -> Result<Secret<Vec<i32>>, Fault> {
        let (dimension, threads) = (agreement.params().dimension(), backend.threads());
        let (judged, new): (Vec<_>, Vec<_>) = messages.iter().partition(|message| self.known.contains_key(&message.id));
        let mut secrets = secret_sum(dimension, &new, threads);
        let is_quiet = new.is_empty() || canaries_open(agreement, &new, &secrets, backend)?;
        for message in messages {
            let &Message { id, robot, print, .. } = message;
            // The verdict is about these canary bytes: others under the same key were never judged, and never will be.
            let good = match self.known.get(&id) {
                Some(&(judged, good)) => good && judged == print,
                None => {
                    let alone = &[message];
                    let good = is_quiet || canaries_open(agreement, alone, &secret_sum(dimension, alone, 1), backend)?;
                    let attempt = agreement.attempt();
                    self.verdicts.push(Entry::Judged { attempt, message: id, canary: print, good });
                    good
                }
            };
            if !good {
                self.bad.push(robot);
            }
        }
        if !judged.is_empty() {
            add(&mut secrets, &secret_sum(dimension, &judged, threads));
        }
        Ok(secrets)
    }

    /// The new verdicts, to be recorded before anybody hears of them; and all robots whose canary is bad.
    pub(crate) fn rise(self) -> (Vec<Entry>, Vec<RobotId>) {
        (self.verdicts, self.bad)
    }
}

/// Whether the sum of these canaries opens to zeros, as quietly as so many messages should.
fn canaries_open<P: Suite>(
    agreement: &Agreement<P>,
    messages: &[&Message<'_>],
    secrets: &Secret<Vec<i32>>,
    backend: &dyn Backend,
) -> Result<bool, Fault> {
    let shape = agreement.canary_shape();
    let mut accumulator = vec![0; shape.accumulator_len()];
    let rows: Vec<_> = messages.iter().map(|message| message.canary).collect();
    backend.sum(&shape, &rows, &mut accumulator)?;
    let (digits, noise) = P::open(agreement, Place::Canary, secrets, &accumulator, backend)?;
    let weights = Weights::equal(messages.len() as u64);
    let is_quiet = check_noise(agreement.ledger().budget(), weights, &noise).is_ok();
    Ok(is_quiet && digits.iter().all(|&digit| digit == 0))
}

/// `S`: the sum of the messages' secrets. At most 10,000 of magnitude 32, so an `i32` holds it.
fn secret_sum(dimension: usize, messages: &[&Message<'_>], threads: usize) -> Secret<Vec<i32>> {
    let cpu = Cpu::best(1);
    let draw = |messages: &[&Message<'_>]| {
        let mut sum = Secret::new(vec![0; dimension]);
        for message in messages {
            cpu.small_add(message.seed.expose(), Domain::S, 0, sum.expose_mut());
        }
        sum
    };
    let mut parts = shares(threads, messages, draw).into_iter();
    let mut sum = parts.next().unwrap_or_else(|| Secret::new(vec![0; dimension]));
    parts.for_each(|part| add(&mut sum, &part));
    sum
}

fn add(sum: &mut Secret<Vec<i32>>, more: &Secret<Vec<i32>>) {
    sum.expose_mut().iter_mut().zip(more.expose()).for_each(|(sum, more)| *sum += more);
}
