//! One attempt at a round: its uploads, and how far it has come.

use super::{read_manifest, whole_stream};
use crate::Millis;
use crate::coding::Id;
use crate::event::{Attempted, Event};
use crate::intake::Intake;
use crate::message::{Refused, Signed};
use crate::terms::{Terms, TermsError};
use folding::Round;
use folding::lwe::Manifest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Uploads are taken.
    Gathering,
    /// The key holder is asked to open the sum over the set.
    Asking { revision: u32 },
    /// The key holder is asked to record that there is no answer.
    Closing,
    /// The mean is open, and on its way to the robots.
    Deploying { robots: u64 },
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) manifest: Manifest,
    pub(super) signed: Signed,
    pub(super) stored: bool,
    /// `None` while a connection has it.
    pub(super) intake: Option<Intake>,
}

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) terms: Terms,
    pub(super) round: Arc<Round>,
    pub(super) deadline: Millis,
    pub(super) uploads: BTreeMap<Id, Upload>,
    pub(super) stage: Stage,
    left_out: BTreeSet<Id>,
}

impl Attempt {
    pub(super) fn new(terms: Terms, deadline: Millis) -> Result<Self, TermsError> {
        let round = Arc::new(terms.round()?);
        let (uploads, left_out) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { terms, round, deadline, uploads, stage: Stage::Gathering, left_out })
    }

    pub(super) fn attempted(&self) -> Attempted {
        Attempted { round: self.terms.round, attempt: self.terms.attempt }
    }

    /// Whether it wants an upload of this robot.
    pub(super) fn takes(&self, robot: Id) -> bool {
        let known = self.uploads.get(&robot);
        let room = known.is_some() || (self.uploads.len() as u64) < self.terms.planned;
        self.stage == Stage::Gathering && room && known.is_none_or(|upload| !upload.stored)
    }

    pub(super) fn read(&self, manifest: &[u8]) -> Result<Manifest, Refused> {
        read_manifest(&self.round, manifest)
    }

    /// Those whose uploads are in the sum.
    pub(super) fn set(&self) -> impl Iterator<Item = (&Id, &Upload)> {
        self.uploads.iter().filter(|(robot, upload)| upload.stored && !self.left_out.contains(robot))
    }

    pub(super) fn apply(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Announced { robot, signed, leaves } => {
                let manifest = self.read(&signed.manifest).map_err(|error| error.to_string())?;
                let intake = Some(whole_stream(&self.round, leaves));
                self.uploads.insert(*robot, Upload { manifest, signed: signed.clone(), stored: false, intake });
            }
            Event::Stored(robot) => {
                let upload = self.uploads.get_mut(robot).ok_or("an upload is stored that nobody announced")?;
                (upload.stored, upload.intake) = (true, None);
            }
            Event::Closed => self.stage = Stage::Asking { revision: 0 },
            Event::Abandoned => self.stage = Stage::Closing,
            Event::LeftOut(robots) => {
                let Stage::Asking { revision } = self.stage else {
                    return Err("robots left out of no question".into());
                };
                self.stage = Stage::Asking { revision: revision + 1 };
                self.left_out.extend(robots.iter().copied());
            }
            Event::Answered => self.stage = Stage::Deploying { robots: self.set().count() as u64 },
            _ => return Err("an event that is no round's".into()),
        }
        Ok(())
    }

    pub(super) fn told(&self) -> String {
        let (stored, Terms { round, attempt, quorum, .. }) = (self.set().count(), &self.terms);
        let stage = match self.stage {
            Stage::Gathering => format!("{stored} of {quorum} uploads"),
            Stage::Asking { revision } => {
                format!("closed with {stored} uploads; the key holder is asked (question {revision})")
            }
            Stage::Closing => format!("{stored} uploads are too few; the key holder is asked to close it"),
            Stage::Deploying { robots } => format!("the mean of {robots} robots is open"),
        };
        format!("round {round}, attempt {attempt}: {stage}")
    }

    /// What two servers that remember the same have in common.
    #[expect(clippy::type_complexity, reason = "a row of facts, to be hashed")]
    pub(super) fn facts(&self) -> (&Terms, Millis, (u32, u64), Vec<(&Id, &Signed, bool)>, Vec<&Id>) {
        let stage = match self.stage {
            Stage::Gathering => (0, 0),
            Stage::Asking { revision } => (1, revision.into()),
            Stage::Closing => (2, 0),
            Stage::Deploying { robots } => (3, robots),
        };
        let uploads = self.uploads.iter().map(|(robot, upload)| (robot, &upload.signed, upload.stored)).collect();
        (&self.terms, self.deadline, stage, uploads, self.left_out.iter().collect())
    }
}
