//! The key holder's side: opens sums, each attempt once, and only for enough robots whose signatures were checked.
//!
//! Refusals come in an order that matters. What is public is compared first. Then the canaries are judged, each once in its
//! life, and the verdicts recorded. Then the attempt is recorded as answered, and only then is a sum opened: whatever happens
//! after that record, a refusal included, there is no second answer.

use crate::agreement::{Agreement, Attempt};
use crate::buckets::check_drawn;
use crate::canary::{Bench, Message, messages};
use crate::hash::hash_fields;
use crate::keys::{FleetSharedKey, HolderKey, KeyError, RobotId};
use crate::ledger::Weights;
use crate::logs::{AnswerLog, Entry, Head, LogError};
use crate::manifest::{Manifest, VerifiedManifest};
use crate::noise::{Suspicion, check_noise};
use crate::params::Params;
use crate::split::Split;
use crate::suite::{Place, Suite};
use crate::sum::Sum;
use core::fmt;
use kernels::{Backend, Fault, Secret};
use std::collections::BTreeSet;

/// With what a key holder opens.
#[derive(Clone, Copy, Debug)]
pub enum Keys<'a> {
    /// One-message keys.
    Holder(&'a HolderKey),
    /// The key that all robots share.
    FleetShared(&'a FleetSharedKey),
}

/// How few robots a sum may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    min_clients: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { min_clients: Self::MIN_CLIENTS }
    }
}

impl Policy {
    /// What a policy asks for unless it is lowered.
    pub const MIN_CLIENTS: u64 = 16;

    /// Fewer robots than [`Policy::MIN_CLIENTS`]: whoever controls all but one of them reads that one. At least two.
    #[must_use]
    pub fn lowered_to(min_clients: u64) -> Self {
        Self { min_clients: min_clients.max(2) }
    }

    /// More robots.
    #[must_use]
    pub fn raised_to(min_clients: u64) -> Self {
        Self { min_clients: min_clients.max(Self::MIN_CLIENTS) }
    }

    /// The fewest robots of every released sum.
    #[must_use]
    pub fn min_clients(&self) -> u64 {
        self.min_clients
    }

    /// Whether it asks for less than it should.
    #[must_use]
    pub fn is_lowered(&self) -> bool {
        self.min_clients < Self::MIN_CLIENTS
    }
}

/// One sum to open, and who is said to be in it.
#[derive(Debug)]
pub struct Part<'a, P: Suite = Params> {
    /// What it is about.
    pub agreement: &'a Agreement<P>,
    /// The sum.
    pub sum: &'a Sum,
    /// Whose uploads it holds: all of them and no other.
    pub manifests: &'a [VerifiedManifest],
}

impl<P: Suite> Clone for Part<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Suite> Copy for Part<'_, P> {}

/// An opened sum.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Digits of the sums of the values: one each, or two where `split` says so.
    pub digits: Vec<u32>,
    /// How two digits are one sum.
    pub split: Option<Split>,
    /// Of how many messages, each counted how often.
    pub weights: Weights,
}

impl Opened {
    /// The sums of the values.
    #[must_use]
    pub fn values(&self) -> Vec<u64> {
        match self.split {
            None => self.digits.iter().map(|&digit| digit.into()).collect(),
            Some(split) => self.digits.as_chunks::<2>().0.iter().map(|&pair| split.join(pair)).collect(),
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} digits of {} messages)", self.digits.len(), self.weights.messages)
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Nothing was asked.
    Nothing,
    /// Parts of different attempts.
    MixedAttempts,
    /// A sum or manifest of another round.
    OtherRound,
    /// A sum of fewer robots than the policy allows.
    TooFew {
        /// How many there are.
        found: u64,
        /// How many there must be.
        needed: u64,
    },
    /// The sum says it holds another number of messages than there are manifests.
    Count {
        /// In the sum.
        sum: u64,
        /// Manifests.
        manifests: u64,
    },
    /// A robot with two manifests.
    Twice(RobotId),
    /// The attempt was answered or closed.
    Answered(Attempt),
    /// The attempt before this one is neither answered nor closed.
    Open(Attempt),
    /// Updates of these robots that an answered attempt holds.
    UpdateAnswered(Vec<RobotId>),
    /// Not the buckets that were drawn for this attempt.
    OtherBuckets,
    /// The log is not the one it was: an older copy was restored.
    Restored,
    /// A key does not fit.
    Key(RobotId, KeyError),
    /// The key, suite or round of these robots is wrong: leave them out.
    Canary(Vec<RobotId>),
    /// The sum does not open under the secrets of this set: the answer is used up, and so are the updates that were said to be in it.
    Mismatch(Suspicion),
    /// The log failed.
    Log(LogError),
    /// No backend did the work.
    Backend(Fault),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no sum was given: give those of one attempt"),
            Self::MixedAttempts => f.write_str("the sums are of different attempts: ask for one attempt at a time"),
            Self::OtherRound => f.write_str("a sum or a manifest is of another round: give those of the round that is asked about"),
            Self::TooFew { found, needed } => {
                write!(f, "{found} robots where {needed} are needed: wait for more, or lower the policy where all can see it")
            }
            Self::Count { sum, manifests } => {
                write!(f, "the sum holds {sum} messages, but there are {manifests} manifests: send those of the set, no more, no less")
            }
            Self::Twice(robot) => write!(f, "robot {} has two manifests: keep one, and its upload alone in the sums", short(robot)),
            Self::Answered(attempt) => write!(f, "attempt {} was answered or closed: open the next one", attempt.number),
            Self::Open(attempt) => write!(f, "attempt {} is still open: close it first", attempt.number),
            Self::UpdateAnswered(robots) => write!(
                f,
                "updates of robots {} were in an answered attempt and may not enter another: leave them out, or have these robots \
                 train new ones",
                names(robots)
            ),
            Self::OtherBuckets => f.write_str("buckets were drawn for this attempt: ask for exactly those"),
            Self::Restored => f.write_str(
                "the answer log lacks entries it once had: an older copy was restored. Restore the newest, or use new keys",
            ),
            Self::Key(robot, error) => write!(f, "robot {}: {error}", short(robot)),
            Self::Canary(robots) => {
                write!(f, "the canaries of robots {} do not open: leave them out of the sum", names(robots))
            }
            Self::Mismatch(suspicion) => write!(
                f,
                "{suspicion}. This attempt and all updates in it are used up: train new ones for the next attempt"
            ),
            Self::Log(error) => write!(f, "the answer log failed, so nothing was opened; mend it and ask again: {error}"),
            Self::Backend(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for Refusal {}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Backend(fault)
    }
}

fn names(robots: &[RobotId]) -> String {
    robots.iter().map(short).collect::<Vec<_>>().join(", ")
}

fn short(robot: &RobotId) -> String {
    robot.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens all sums of one attempt.
///
/// `witness` is where the log stood when last seen, kept outside the log's own store; with it a restored log is noticed.
///
/// # Errors
/// [`Refusal`] says why not, and whether the attempt is used up.
pub fn answer<P: Suite>(
    keys: Keys<'_>,
    policy: Policy,
    parts: &[Part<'_, P>],
    log: &mut dyn AnswerLog,
    witness: Option<Head>,
    backend: &dyn Backend,
) -> Result<Vec<Opened>, Refusal> {
    let attempt = check_parts(policy, parts)?;
    let entries = log.entries()?;
    check_history(attempt, parts, &entries, witness)?;
    let messages = parts.iter().map(|part| messages(keys, part, backend.threads()));
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    let mut bench = Bench::new(&entries);
    let judge = |(part, messages): (&Part<'_, P>, &Vec<Message<'_>>)| bench.judge(part.agreement, messages, backend);
    let secrets = parts.iter().zip(&messages).map(judge).collect::<Result<Vec<_>, _>>()?;
    let (verdicts, bad) = bench.rise();
    log.append_all(&verdicts)?;
    if !bad.is_empty() {
        return Err(Refusal::Canary(bad));
    }
    let manifests = || parts.iter().flat_map(|part| part.manifests);
    let set = hash_fields("set", &[&messages.iter().flatten().flat_map(|message| message.id).collect::<Vec<_>>()]);
    let updates = manifests().map(|manifest| manifest.manifest().update().0).collect();
    log.append(&Entry::Answered { attempt, set, updates })?;
    parts.iter().zip(secrets).map(|(part, secret_sum)| open(part, secret_sum, backend)).collect()
}

/// Records that an attempt gets no answer, so that the next may be opened. In order too: closing 1 would let 2 be answered
/// while 0 still could be.
///
/// # Errors
/// [`Refusal`] if it was answered or closed, if the one before it is open, or if the log failed.
pub fn close(attempt: Attempt, log: &mut dyn AnswerLog) -> Result<(), Refusal> {
    check_turn(attempt, &log.entries()?)?;
    Ok(log.append(&Entry::Closed { attempt })?)
}

/// Attempts are settled one after the other, so of all that may still be answered there is one at a time.
fn check_turn(attempt: Attempt, entries: &[Entry]) -> Result<(), Refusal> {
    let settled: BTreeSet<_> = entries.iter().filter_map(Entry::settles).map(|a| (a.round, a.number)).collect();
    if settled.contains(&(attempt.round, attempt.number)) {
        return Err(Refusal::Answered(attempt));
    }
    match attempt.number.checked_sub(1) {
        Some(before) if !settled.contains(&(attempt.round, before)) => {
            Err(Refusal::Open(Attempt { number: before, ..attempt }))
        }
        _ => Ok(()),
    }
}

/// What can be seen without any key.
fn check_parts<P: Suite>(policy: Policy, parts: &[Part<'_, P>]) -> Result<Attempt, Refusal> {
    let attempt = parts.first().ok_or(Refusal::Nothing)?.agreement.attempt();
    let mut robots = BTreeSet::new();
    for part in parts {
        if part.agreement.attempt() != attempt {
            return Err(Refusal::MixedAttempts);
        }
        let context = part.agreement.context();
        if part.sum.context() != context || part.manifests.iter().any(|m| m.manifest().context() != context) {
            return Err(Refusal::OtherRound);
        }
        let (sum, manifests) = (part.sum.weights().messages, part.manifests.len() as u64);
        if sum != manifests {
            return Err(Refusal::Count { sum, manifests });
        }
        if manifests < policy.min_clients {
            return Err(Refusal::TooFew { found: manifests, needed: policy.min_clients });
        }
        for manifest in part.manifests {
            let robot = manifest.manifest().robot();
            if !robots.insert(robot) {
                return Err(Refusal::Twice(robot));
            }
        }
    }
    Ok(attempt)
}

/// What was answered before.
fn check_history<P: Suite>(
    attempt: Attempt,
    parts: &[Part<'_, P>],
    entries: &[Entry],
    witness: Option<Head>,
) -> Result<(), Refusal> {
    if let Some(witness) = witness {
        let known = usize::try_from(witness.entries).ok().and_then(|count| entries.get(..count));
        if known.map(Head::of) != Some(witness) {
            return Err(Refusal::Restored);
        }
    }
    check_turn(attempt, entries)?;
    if let Some(drawn) = entries.iter().find_map(|entry| entry.drawn(attempt))
        && !check_drawn(parts, &drawn)
    {
        return Err(Refusal::OtherBuckets);
    }
    let answered: BTreeSet<_> = entries.iter().flat_map(Entry::updates).collect();
    let manifests = parts.iter().flat_map(|part| part.manifests).map(VerifiedManifest::manifest);
    let again = manifests.filter(|manifest| answered.contains(&manifest.update().0));
    let again: Vec<_> = again.map(Manifest::robot).collect();
    if again.is_empty() { Ok(()) } else { Err(Refusal::UpdateAnswered(again)) }
}

/// Opens a sum whose answer is written down.
fn open<P: Suite>(
    part: &Part<'_, P>,
    mut secret_sum: Secret<Vec<i32>>,
    backend: &dyn Backend,
) -> Result<Opened, Refusal> {
    let (agreement, weights) = (part.agreement, part.sum.weights());
    // At most 10,000 of magnitude 32, each counted as often as the factor says, and the ledger has no more than 10,000 in all.
    secret_sum.expose_mut().iter_mut().for_each(|sum| *sum *= part.sum.factor() as i32);
    let (mut digits, noise) = P::open(agreement, Place::Body, &secret_sum, part.sum.accumulator(), backend)?;
    check_noise(agreement.ledger().budget(), weights, &noise).map_err(Refusal::Mismatch)?;
    let behind = digits.split_off(P::digits(agreement.layout(), agreement.length()));
    if behind.iter().any(|&digit| digit != 0) {
        return Err(Refusal::Mismatch(Suspicion::Values));
    }
    Ok(Opened { digits, split: P::split(agreement.layout()), weights })
}
