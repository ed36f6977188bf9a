//! What does not fit a message: uploads and packages, as their bytes come and go.

use super::Rounds;
use super::attempt::{Attempt, Stage, Upload};
use crate::coding::Id;
use crate::event::{Attempted, Event};
use crate::intake::Intake;
use crate::message::{MOST_PACKAGE_LEN, Peer, Refused};
use folding::Round;
use folding::lwe::RobotId;
use std::sync::Arc;

/// What is to be added for the open question.
#[derive(Clone, Debug)]
pub struct Summing {
    /// The round.
    pub round: Arc<Round>,
    /// Which attempt.
    pub attempted: Attempted,
    /// Which set.
    pub revision: u32,
    /// Robot, root, and the bytes of its upload that come before what lies under the root.
    pub members: Vec<(Id, Id, Vec<u8>)>,
}

impl Rounds {
    /// Hands out where a robot's upload stands, to go on with it. Nobody else gets it until it is [given back](Self::give_back).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn take_intake(&mut self, robot: RobotId, from: u64) -> Result<(Id, Intake), Refused> {
        let attempt = self.attempt.as_mut().ok_or(Refused::OtherRound)?;
        if attempt.stage != Stage::Gathering {
            return Err(Refused::Late);
        }
        let upload = attempt.uploads.get_mut(&robot.into()).ok_or(Refused::OtherRound)?;
        let root = Id(*upload.manifest.root());
        match upload.intake.take() {
            _ if upload.stored => Err(Refused::Second),
            None => Err(Refused::Busy),
            Some(intake) if intake.verified() == from => Ok((root, intake)),
            Some(intake) => {
                let verified = intake.verified();
                upload.intake = Some(intake);
                Err(Refused::malformed(format_args!("chunk {from}, but chunk {verified} is next")))
            }
        }
    }

    /// Takes back where an upload stands.
    pub fn give_back(&mut self, robot: RobotId, root: Id, mut intake: Intake) {
        intake.cut();
        let upload = self.attempt.as_mut().and_then(|attempt| attempt.uploads.get_mut(&robot.into()));
        if let Some(upload) = upload.filter(|upload| *upload.manifest.root() == root.0) {
            upload.intake = Some(intake);
        }
    }

    /// Uploads of which something may lie in files: root, whether it should be whole, and where it stands.
    pub fn uploads(&mut self) -> impl Iterator<Item = (Id, bool, &mut Option<Intake>)> {
        let uploads = self.attempt.iter_mut().flat_map(|attempt| attempt.uploads.values_mut());
        uploads.map(|upload| (Id(*upload.manifest.root()), upload.stored, &mut upload.intake))
    }

    /// What an upload that is whole and synced changes.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn stored(&self, robot: RobotId, root: Id) -> Result<Event, Refused> {
        let attempt = self.attempt.as_ref().ok_or(Refused::Late)?;
        let upload = attempt.uploads.get(&robot.into()).filter(|upload| *upload.manifest.root() == root.0);
        match upload {
            Some(_) if attempt.stage != Stage::Gathering => Err(Refused::Late),
            Some(upload) if !upload.stored => Ok(Event::Stored(robot.into())),
            _ => Err(Refused::OtherRound),
        }
    }

    /// Whether the key holder may store a package of so many bytes now.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn may_publish(&self, peer: Peer, len: u64) -> Result<(), Refused> {
        match (&self.attempt, peer) {
            (_, Peer::Robot(_)) => Err(Refused::NotYours),
            (Some(Attempt { stage: Stage::Deploying { .. }, .. }), Peer::Holder) => {
                let fits = (1..=MOST_PACKAGE_LEN as u64).contains(&len);
                fits.then_some(()).ok_or_else(|| Refused::malformed(format_args!("a package of {len} bytes")))
            }
            _ => Err(Refused::OtherRound),
        }
    }

    /// Whether this party may fetch this package.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn may_fetch(&self, peer: Peer, package: Id) -> Result<u64, Refused> {
        let offered = match peer {
            Peer::Robot(robot) => self.wanted(robot.into()) == Some(package),
            Peer::Holder => true,
        };
        self.packages.get(&package).copied().filter(|_| offered).ok_or(Refused::NoPackage)
    }

    /// The packages that are kept.
    pub fn packages(&self) -> impl Iterator<Item = Id> {
        self.packages.keys().copied()
    }

    /// What has been stored so far of the open attempt, in the set of its question if there is one.
    #[must_use]
    pub fn summing(&self) -> Option<Summing> {
        let attempt = self.attempt.as_ref()?;
        let revision = match attempt.stage {
            Stage::Gathering => 0,
            Stage::Asking { revision } => revision,
            Stage::Closing | Stage::Deploying { .. } => return None,
        };
        let member =
            |(robot, upload): (&Id, &Upload)| (*robot, Id(*upload.manifest.root()), upload.manifest.upload_head());
        let (round, attempted) = (attempt.round.clone(), attempt.attempted());
        Some(Summing { round, attempted, revision, members: attempt.set().map(member).collect() })
    }

    /// As [`summing`](Self::summing), for the question with this revision.
    #[must_use]
    pub fn asked(&self, revision: u32) -> Option<Summing> {
        let asking = self.attempt.as_ref().is_some_and(|attempt| attempt.stage == Stage::Asking { revision });
        if asking { self.summing() } else { None }
    }

    /// The bytes of a robot's upload that come before what lies under its root.
    #[must_use]
    pub fn head_of(&self, robot: RobotId) -> Option<Vec<u8>> {
        self.attempt.as_ref()?.uploads.get(&robot.into()).map(|upload| upload.manifest.upload_head())
    }
}
