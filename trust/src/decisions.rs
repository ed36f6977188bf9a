//! The record of every decision: which thresholds were fixed, how each candidate was judged, how far it came, what became of it.
//!
//! The log only grows. Each record carries a hash over itself and all before it, so an edited, removed or reordered one is
//! noticed; a log cut off at its end is noticed by whoever kept its [`Head`] elsewhere, the *anchor*. Each carries the time too, as the
//! recorder's clock had it: what readers are told, and no rule believes. And it has rules: a verdict
//! counts only under thresholds registered before it, only a candidate that passed, or of a fleet that says it has no gate, can be
//! rolled out, and a roll-out enters each stage once.
//!
//! A library has no files: [`DecisionLog`] keeps the records, durably; `tensorguard::logs` does it in a file.
//!
//! ```
//! use tensorguard_trust::decisions::*;
//! use tensorguard_trust::gate::Thresholds;
//! let mut log = MemoryLog::default();
//! let anchor = record(&mut log, None, 1_790_000_000, Decision::Registered { thresholds: Thresholds::default().hash() })?;
//! // .. later: judge a candidate, record the verdict, roll it out, record its end.
//! let history = History::read(&mut log, Some(anchor))?;
//! assert_eq!(history.head(), anchor);
//! # Ok::<(), DecisionError>(())
//! ```

use crate::canonical;
use crate::digest::digest_fields;
use crate::gate::Verdict;
use crate::rollout::{Reason, Stage};
use core::fmt;
use lwe::{Head, LogError};
use minicbor::{Decode, Encode};

/// Something that was decided.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Decision {
    /// From now on candidates are held against these thresholds.
    #[n(0)]
    Registered {
        /// Their [hash](crate::gate::Thresholds::hash).
        #[cbor(n(0), with = "minicbor::bytes")]
        thresholds: [u8; 32],
    },
    /// A candidate was judged. The verdict names it, the thresholds and the evaluation.
    #[n(1)]
    Judged(#[n(0)] Verdict),
    /// A candidate's roll-out ended.
    #[n(2)]
    Settled {
        /// Its fingerprint.
        #[cbor(n(0), with = "minicbor::bytes")]
        candidate: [u8; 32],
        /// How.
        #[n(1)]
        end: End,
    },
    /// A candidate's roll-out came this far. What ends it is [`Settled`](Self::Settled).
    #[n(3)]
    Reached {
        /// Its fingerprint.
        #[cbor(n(0), with = "minicbor::bytes")]
        candidate: [u8; 32],
        /// The stage that it entered.
        #[n(1)]
        stage: Stage,
    },
    /// A candidate is rolled out without a verdict: its fleet has no gate. Nobody may take it for one that passed.
    #[n(4)]
    Unjudged {
        /// Its fingerprint.
        #[cbor(n(0), with = "minicbor::bytes")]
        candidate: [u8; 32],
    },
}

/// How a roll-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum End {
    /// Applied and healthy on enough of the fleet.
    #[n(0)]
    Deployed,
    /// Back on the old version: too many robots were unhealthy.
    #[n(1)]
    Unhealthy,
    /// Back on the old version: too few robots were healthy in time.
    #[n(2)]
    TooFew,
    /// Back on the old version: somebody stopped it.
    #[n(3)]
    Halted,
}

impl End {
    /// The end that a stage is, if it is one.
    #[must_use]
    pub fn of(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Deployed => Some(Self::Deployed),
            Stage::RolledBack(Reason::Unhealthy) => Some(Self::Unhealthy),
            Stage::RolledBack(Reason::TooFew) => Some(Self::TooFew),
            Stage::RolledBack(Reason::Halted) => Some(Self::Halted),
            Stage::Canary | Stage::Progressive(_) | Stage::Full | Stage::RollingBack(_) => None,
        }
    }
}

/// What was decided about a candidate before it meets the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It passed the gate.
    Passed,
    /// It did not.
    Refused,
    /// There was no gate to pass.
    Unjudged,
}

/// Keeps records. One process at a time.
pub trait DecisionLog {
    /// Everything ever appended, oldest first.
    ///
    /// # Errors
    /// [`LogError`] if it cannot be read whole.
    fn records(&mut self) -> Result<Vec<Vec<u8>>, LogError>;

    /// Appends, durably: the record is there after a crash.
    ///
    /// # Errors
    /// [`LogError`] if that cannot be promised.
    fn append(&mut self, record: &[u8]) -> Result<(), LogError>;
}

/// A log in memory, gone with the process: for tests, and for programs whose fleet lives no longer than they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLog(pub Vec<Vec<u8>>);

impl DecisionLog for MemoryLog {
    fn records(&mut self) -> Result<Vec<Vec<u8>>, LogError> {
        Ok(self.0.clone())
    }

    fn append(&mut self, record: &[u8]) -> Result<(), LogError> {
        self.0.push(record.to_vec());
        Ok(())
    }
}

/// Why a log is not believed, or a decision not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionError {
    /// The store failed.
    Log(LogError),
    /// A record was edited, or one before it was edited, removed or moved. Counted from 0.
    Damaged(u64),
    /// The log ends before its anchor: records were cut off, or an older copy was restored.
    CutOff {
        /// Records there are.
        found: u64,
        /// Records there were when the anchor was taken.
        anchored: u64,
    },
    /// The log has another history than its anchor.
    OtherHistory,
    /// A verdict under thresholds that were not registered before.
    NotRegistered,
    /// A candidate that has a verdict already, or goes without one.
    JudgedTwice,
    /// A roll-out of a candidate that never passed, and was not let through without a gate either.
    NotPassed,
    /// A stage that a roll-out cannot enter: it begins with the canary, enters each stage once, and none after its end.
    NotNext,
    /// The end of a roll-out that has ended, other than a deployed version going back.
    SettledTwice,
}

impl fmt::Display for DecisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(error) => write!(f, "the decision log failed: {error}"),
            Self::Damaged(record) => write!(
                f,
                "record {record} of the decision log does not follow from those before it: it was edited, or records were removed or moved. Keep the file, and restore the newest whole copy"
            ),
            Self::CutOff { found, anchored } => write!(
                f,
                "the decision log has {found} records, its anchor was taken after {anchored}: records were cut off, or an older copy was restored"
            ),
            Self::OtherHistory => {
                f.write_str("the decision log's history is not the one its anchor was taken of: it was written anew")
            }
            Self::NotRegistered => {
                f.write_str("these thresholds were not registered before the verdict: record them first, then evaluate")
            }
            Self::JudgedTwice => f.write_str(
                "this candidate has a verdict already: judging until one passes is no gate; make a new candidate",
            ),
            Self::NotPassed => {
                f.write_str("this candidate did not pass the gate, so there can be no roll-out of it")
            }
            Self::NotNext => f.write_str(
                "this candidate's roll-out cannot enter this stage now: it begins with the canary, enters each stage once, and none after its end",
            ),
            Self::SettledTwice => f.write_str("this candidate's roll-out has ended already"),
        }
    }
}

impl core::error::Error for DecisionError {}

/// A decision, when it was recorded, and the hash after it, as they are stored.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Record {
    #[n(0)]
    decision: Decision,
    #[n(1)]
    at_unix_s: u64,
    #[cbor(n(2), with = "minicbor::bytes")]
    hash: [u8; 32],
}

/// A log's decisions, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    decisions: Vec<Decision>,
    times_unix_s: Vec<u64>,
    head: Head,
}

impl History {
    /// Reads a log whole and checks its chain, its rules, and that `anchor`, if there is one, lies on it.
    ///
    /// # Errors
    /// [`DecisionError`] says what is wrong with it.
    pub fn read(log: &mut dyn DecisionLog, anchor: Option<Head>) -> Result<Self, DecisionError> {
        let mut history = Self::default();
        let mut anchored = anchor.is_none_or(|anchor| anchor == history.head);
        for bytes in log.records().map_err(DecisionError::Log)? {
            let damaged = DecisionError::Damaged(history.head.entries);
            let record: Record = canonical::from_bytes(&bytes).ok_or(damaged.clone())?;
            let head = after(history.head, record.at_unix_s, &record.decision);
            if head.hash != record.hash {
                return Err(damaged);
            }
            history.check(&record.decision)?;
            history.decisions.push(record.decision);
            history.times_unix_s.push(record.at_unix_s);
            history.head = head;
            anchored |= anchor == Some(head);
        }
        match anchor {
            Some(anchor) if anchor.entries > history.head.entries => {
                Err(DecisionError::CutOff { found: history.head.entries, anchored: anchor.entries })
            }
            Some(_) if !anchored => Err(DecisionError::OtherHistory),
            _ => Ok(history),
        }
    }

    /// Everything decided, oldest first.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// When each was recorded: seconds since 1970, as the recorder's clock had it.
    #[must_use]
    pub fn times_unix_s(&self) -> &[u64] {
        &self.times_unix_s
    }

    /// Where the log stands. Keep it where a change of the log does not reach: it is the anchor.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The candidate that was deployed last and has not gone back.
    #[must_use]
    pub fn deployed(&self) -> Option<[u8; 32]> {
        let mut deployed = vec![];
        for decision in &self.decisions {
            match decision {
                Decision::Settled { candidate, end: End::Deployed } => deployed.push(*candidate),
                Decision::Settled { candidate, .. } => deployed.retain(|other| other != candidate),
                _ => {}
            }
        }
        deployed.last().copied()
    }

    /// The thresholds that candidates are held against: those registered last.
    #[must_use]
    pub fn thresholds(&self) -> Option<[u8; 32]> {
        self.decisions.iter().rev().find_map(|decision| match decision {
            Decision::Registered { thresholds } => Some(*thresholds),
            _ => None,
        })
    }

    /// Whether a candidate may be rolled out, if that was decided.
    #[must_use]
    pub fn admits(&self, candidate: &[u8; 32]) -> Option<Admission> {
        self.decisions.iter().find_map(|decision| match decision {
            Decision::Judged(verdict) if verdict.candidate() == candidate => {
                Some(if verdict.passed() { Admission::Passed } else { Admission::Refused })
            }
            Decision::Unjudged { candidate: other } if other == candidate => Some(Admission::Unjudged),
            _ => None,
        })
    }

    /// The stages that a candidate's roll-out has entered, in order.
    #[must_use]
    pub fn stages(&self, of: &[u8; 32]) -> Vec<Stage> {
        let stage = |decision: &Decision| match decision {
            Decision::Reached { candidate, stage } if candidate == of => Some(*stage),
            _ => None,
        };
        self.decisions.iter().filter_map(stage).collect()
    }

    /// How a candidate's roll-out ended last.
    #[must_use]
    pub fn end(&self, of: &[u8; 32]) -> Option<End> {
        self.decisions.iter().rev().find_map(|decision| match decision {
            Decision::Settled { candidate, end } if candidate == of => Some(*end),
            _ => None,
        })
    }

    /// Whether a decision may follow.
    fn check(&self, decision: &Decision) -> Result<(), DecisionError> {
        match decision {
            Decision::Registered { .. } => Ok(()),
            Decision::Judged(verdict) => {
                let registered = Decision::Registered { thresholds: *verdict.thresholds() };
                if !self.decisions.contains(&registered) {
                    return Err(DecisionError::NotRegistered);
                }
                self.admits(verdict.candidate()).map_or(Ok(()), |_| Err(DecisionError::JudgedTwice))
            }
            Decision::Unjudged { candidate } => {
                self.admits(candidate).map_or(Ok(()), |_| Err(DecisionError::JudgedTwice))
            }
            Decision::Reached { candidate, stage } => {
                self.may_spread(candidate)?;
                let is_next = match (self.stages(candidate).last(), place(*stage)) {
                    (_, None) => false,
                    (None, _) => *stage == Stage::Canary,
                    (Some(last), next) => place(*last) < next,
                };
                let is_over = self.end(candidate).is_some();
                if is_next && !is_over { Ok(()) } else { Err(DecisionError::NotNext) }
            }
            Decision::Settled { candidate, end } => {
                self.may_spread(candidate)?;
                match (self.end(candidate), end) {
                    (None, _) | (Some(End::Deployed), End::Unhealthy | End::TooFew | End::Halted) => Ok(()),
                    (Some(_), _) => Err(DecisionError::SettledTwice),
                }
            }
        }
    }

    fn may_spread(&self, candidate: &[u8; 32]) -> Result<(), DecisionError> {
        match self.admits(candidate) {
            Some(Admission::Passed | Admission::Unjudged) => Ok(()),
            Some(Admission::Refused) | None => Err(DecisionError::NotPassed),
        }
    }
}

/// The order in which a roll-out enters stages. An end is no stage to enter.
fn place(stage: Stage) -> Option<(u8, usize)> {
    match stage {
        Stage::Canary => Some((0, 0)),
        Stage::Progressive(step) => Some((1, step)),
        Stage::Full => Some((2, 0)),
        Stage::RollingBack(_) => Some((3, 0)),
        Stage::Deployed | Stage::RolledBack(_) => None,
    }
}

/// Records a decision after the log was checked whole, and says where the log stands then. `at_unix_s` is the time: seconds since 1970.
///
/// # Errors
/// [`DecisionError`]; nothing was recorded then, unless the store says otherwise.
pub fn record(
    log: &mut dyn DecisionLog,
    anchor: Option<Head>,
    at_unix_s: u64,
    decision: Decision,
) -> Result<Head, DecisionError> {
    let history = History::read(log, anchor)?;
    history.check(&decision)?;
    let head = after(history.head, at_unix_s, &decision);
    log.append(&canonical::to_bytes(&Record { decision, at_unix_s, hash: head.hash })).map_err(DecisionError::Log)?;
    Ok(head)
}

fn after(head: Head, at_unix_s: u64, decision: &Decision) -> Head {
    let hash = digest_fields("decision", &[&head.hash, &at_unix_s.to_le_bytes(), &canonical::to_bytes(decision)]);
    Head { entries: head.entries + 1, hash }
}
