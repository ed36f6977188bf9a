//! What happened to a fleet, as its server remembers it.

use crate::coding::Id;
use crate::message::{Health, Offer, Signed};
use crate::terms::Terms;
use minicbor::{CborLen, Decode, Encode};

/// An attempt, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, CborLen)]
pub struct Attempted {
    /// The round.
    #[n(0)]
    pub round: u64,
    /// The attempt at it.
    #[n(1)]
    pub attempt: u32,
}

/// One entry of the journal. Durable before anybody is told; applied in order, they are the state.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum Event {
    /// Everything before, in short. Written between rounds, where a new journal begins.
    #[n(0)]
    Condensed {
        /// Robots that take part.
        #[n(0)]
        enrolled: Vec<Id>,
        /// The attempt that comes next.
        #[n(1)]
        next: Attempted,
        /// What robots run.
        #[n(2)]
        model: Id,
        /// Packages that are kept, and their bytes.
        #[n(3)]
        packages: Vec<(Id, u64)>,
        /// How many rounds ended with something new for the robots.
        #[n(4)]
        settled: u64,
    },
    /// A robot takes part.
    #[n(1)]
    Enrolled(#[n(0)] Id),
    /// Uploads are taken, up to this time.
    #[n(2)]
    Opened {
        /// What was agreed on.
        #[n(0)]
        terms: Terms,
        /// By the server's clock.
        #[n(1)]
        deadline_ms: u64,
    },
    /// A robot said what it will upload.
    #[n(3)]
    Announced {
        /// Who.
        #[n(0)]
        robot: Id,
        /// What it signed.
        #[n(1)]
        signed: Signed,
        /// The leaves under its root.
        #[n(2)]
        leaves: Vec<Id>,
    },
    /// All of a robot's upload is in its file, synced.
    #[n(4)]
    Stored(#[n(0)] Id),
    /// No more uploads; what is stored is the set.
    #[n(5)]
    Closed,
    /// Too few uploads: the attempt gets no answer.
    #[n(6)]
    Abandoned,
    /// These are not in the set any more.
    #[n(7)]
    LeftOut(#[n(0)] Vec<Id>),
    /// The attempt is over without a mean.
    #[n(8)]
    Ended {
        /// What comes next.
        #[n(0)]
        next: Attempted,
    },
    /// The key holder has the mean.
    #[n(9)]
    Answered,
    /// A package is stored, synced.
    #[n(10)]
    Published {
        /// Its hash.
        #[n(0)]
        package: Id,
        /// Its bytes.
        #[n(1)]
        len: u64,
    },
    /// A package is offered.
    #[n(11)]
    Offered(#[n(0)] Offer),
    /// A robot said how it fares.
    #[n(12)]
    Acknowledged {
        /// Who.
        #[n(0)]
        robot: Id,
        /// With what.
        #[n(1)]
        package: Id,
        /// How.
        #[n(2)]
        health: Health,
    },
    /// The round is over.
    #[n(13)]
    Settled {
        /// What robots run from now on.
        #[n(0)]
        model: Id,
        /// What comes next.
        #[n(1)]
        next: Attempted,
    },
}
