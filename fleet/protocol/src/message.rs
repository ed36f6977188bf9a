//! What is said. A message is asked by one party and answered by the server; the bulk (uploads, sums, packages) travels beside
//! them as plain bytes, under hashes that a message named.

use crate::coding::Id;
use crate::terms::Terms;
use core::fmt;
use folding::lwe::RobotId;
use minicbor::bytes::ByteVec;
use minicbor::{CborLen, Decode, Encode};

/// The longest message anyone reads: how ten thousand robots fare, with room.
pub const MOST_MESSAGE_LEN: usize = 1 << 20;
/// The longest package: a policy's base and adapter.
pub const MOST_PACKAGE_LEN: usize = 256 << 20;
/// The most manifests in one reply.
pub const PAGE: usize = 16;
/// The longest text in a message.
const MOST_TEXT_LEN: usize = 300;

/// Who asks. The transport says it, from the certificate; a message never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A robot.
    Robot(RobotId),
    /// The key holder.
    Holder,
}

/// A manifest and its signature, as the robot made them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct Signed {
    /// The signed bytes.
    #[n(0)]
    pub manifest: ByteVec,
    /// Its signature.
    #[n(1)]
    pub signature: ByteVec,
}

/// What a party asks of the server.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum Request {
    /// Robot: takes part from now on. Asked again, it changes nothing.
    #[n(0)]
    Enrol,
    /// Robot: what is there to do?
    #[n(1)]
    Next {
        /// The package it runs, or the model it started with.
        #[n(0)]
        running: Id,
    },
    /// Robot: this is what I will upload. Asked again, it says where to go on.
    #[n(2)]
    Announce {
        /// What it signed.
        #[n(0)]
        signed: Signed,
        /// The leaves under the signed root.
        #[n(1)]
        leaves: Vec<Id>,
    },
    /// Robot: what came of a package.
    #[n(3)]
    Acknowledge {
        /// Which.
        #[n(0)]
        package: Id,
        /// What came of it.
        #[n(1)]
        health: Health,
    },
    /// Key holder: what is there to do?
    #[n(4)]
    Ask,
    /// Key holder: the manifests of the question, from this one on.
    #[n(5)]
    Manifests {
        /// Of the question with this revision.
        #[n(0)]
        revision: u32,
        /// From this one on.
        #[n(1)]
        from: u64,
    },
    /// Key holder: what came of a question.
    #[n(6)]
    Answer {
        /// Of which round.
        #[n(0)]
        round: u64,
        /// Of which attempt.
        #[n(1)]
        attempt: u32,
        /// Of the question with this revision.
        #[n(2)]
        revision: u32,
        /// What came of it.
        #[n(3)]
        answer: Answer,
    },
    /// Key holder: give these robots this package, which the server has.
    #[n(7)]
    Roll {
        /// For which round's mean.
        #[n(0)]
        round: u64,
        /// What to whom.
        #[n(1)]
        offer: Offer,
    },
    /// Key holder: how robots fare with what they were offered.
    #[n(8)]
    Healths {
        /// What the last reply said about itself: until there is more to say, the server may hold the next one back.
        #[n(0)]
        seen: u64,
    },
    /// Key holder: the round is over, and this is what robots train on next.
    #[n(9)]
    Settle {
        /// Which round.
        #[n(0)]
        round: u64,
        /// What robots run now.
        #[n(1)]
        model: Id,
    },
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum Reply {
    /// To [`Request::Enrol`] and others that need no more.
    #[n(0)]
    Noted,
    /// To [`Request::Next`].
    #[n(1)]
    Work(#[n(0)] Work),
    /// To [`Request::Announce`]: send from this chunk on.
    #[n(2)]
    SendFrom(#[n(0)] u64),
    /// To [`Request::Announce`] and to the last chunk: all of it is stored.
    #[n(3)]
    Stored,
    /// To [`Request::Ask`].
    #[n(4)]
    Question(#[n(0)] Question),
    /// To [`Request::Manifests`].
    #[n(5)]
    Manifests(#[n(0)] Vec<Signed>),
    /// To [`Request::Healths`].
    #[n(6)]
    Healths {
        /// How often robots have said something in this round.
        #[n(0)]
        said: u64,
        /// Of whom, running what, how it fares.
        #[n(1)]
        healths: Vec<(Id, Id, Health)>,
    },
    /// No, and why.
    #[n(7)]
    Refused(#[n(0)] Refused),
}

/// What a robot may do.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum Work {
    /// Nothing: ask again.
    #[n(0)]
    Nothing,
    /// Train, encrypt and upload.
    #[n(1)]
    Update(#[n(0)] Terms),
    /// Fetch a package, apply it, acknowledge it.
    #[n(2)]
    Apply {
        /// Its hash.
        #[n(0)]
        package: Id,
        /// Its bytes.
        #[n(1)]
        len: u64,
    },
}

/// What the key holder may do.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub enum Question {
    /// Nothing: ask again.
    #[n(0)]
    Nothing,
    /// Open this sum.
    #[n(1)]
    Open {
        /// Of which attempt.
        #[n(0)]
        terms: Terms,
        /// Which set: it changes when robots are left out.
        #[n(1)]
        revision: u32,
        /// Robots in it.
        #[n(2)]
        robots: u64,
    },
    /// This attempt had too few robots: record that it gets no answer.
    #[n(2)]
    Close {
        /// Which.
        #[n(0)]
        terms: Terms,
    },
    /// The mean is open: judge it, and roll out what passes.
    #[n(3)]
    Deploy {
        /// Of which attempt.
        #[n(0)]
        terms: Terms,
        /// Robots in the mean.
        #[n(1)]
        robots: u64,
        /// Robots that take part, for the roll-out.
        #[n(2)]
        enrolled: Vec<Id>,
    },
}

/// What came of a question. The mean itself stays with the key holder until it is part of a package.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum Answer {
    /// The mean is open.
    #[n(0)]
    Opened,
    /// These robots' uploads do not open: leave them out.
    #[n(1)]
    LeaveOut(#[n(0)] Vec<Id>),
    /// The attempt has no answer and will get none. Its updates may enter the next one.
    #[n(2)]
    UsedUp(#[n(0)] String),
    /// The attempt was answered, and there is no mean: its updates may enter no other attempt.
    #[n(3)]
    Spent(#[n(0)] String),
}

/// Who gets what.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub struct Offer {
    /// The package's hash.
    #[n(0)]
    pub package: Id,
    /// Who may have it.
    #[n(1)]
    pub audience: Audience,
}

/// The robots of an offer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum Audience {
    /// Every robot.
    #[n(0)]
    All,
    /// These.
    #[n(1)]
    Only(#[n(0)] Vec<Id>),
}

/// How a robot fares with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(index_only)]
pub enum Health {
    /// Applied, and well.
    #[n(0)]
    Healthy,
    /// Applied, and worse than before; or gone back.
    #[n(1)]
    Unhealthy,
    /// Not applied: its signature or content was refused.
    #[n(2)]
    Rejected,
}

/// Why the server does not do what was asked. What the asker can do about it is in the text.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum Refused {
    /// Not this party's to ask.
    #[n(0)]
    NotYours,
    /// The robot is not enrolled.
    #[n(1)]
    NotEnrolled,
    /// The fleet is full.
    #[n(2)]
    Full,
    /// It is for another round, attempt or question than the one that is open.
    #[n(3)]
    OtherRound,
    /// The round has closed.
    #[n(4)]
    Late,
    /// Another upload of this robot is known for this attempt.
    #[n(5)]
    Second,
    /// Another robot sent these bytes, or this update.
    #[n(6)]
    Replayed,
    /// Something in it is wrong.
    #[n(7)]
    Malformed(#[n(0)] String),
    /// No such package, or not for this robot.
    #[n(8)]
    NoPackage,
    /// The server could not keep it.
    #[n(9)]
    NotKept(#[n(0)] String),
    /// Too many at once.
    #[n(10)]
    Busy,
}

impl Refused {
    /// With a text of bounded length.
    pub fn malformed(what: impl fmt::Display) -> Self {
        Self::Malformed(bounded(what))
    }

    /// With a text of bounded length.
    pub fn not_kept(what: impl fmt::Display) -> Self {
        Self::NotKept(bounded(what))
    }

    /// Whether the same request may be granted later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::NotKept(_) | Self::Busy)
    }
}

/// A text for a message.
pub(crate) fn bounded(what: impl fmt::Display) -> String {
    what.to_string().chars().take(MOST_TEXT_LEN).collect()
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYours => f.write_str("not this party's to ask: the certificate says another role"),
            Self::NotEnrolled => f.write_str("this robot is not enrolled: enrol first"),
            Self::Full => f.write_str("the fleet is full: start the server with a larger --most-robots"),
            Self::OtherRound => {
                f.write_str("for another round, attempt or question than the open one: ask what is next")
            }
            Self::Late => f.write_str("the round has closed: this update may enter its next attempt, if there is one"),
            Self::Second => f.write_str("another upload of this robot is known for this attempt: send that one"),
            Self::Replayed => f.write_str("another robot sent these bytes or this update"),
            Self::Malformed(what) => write!(f, "wrong: {what}"),
            Self::NoPackage => f.write_str("no such package here, or it is not offered to this robot"),
            Self::NotKept(what) => write!(f, "the server could not keep it: {what}; it is asked for again later"),
            Self::Busy => f.write_str("too many at once: try again later"),
        }
    }
}

impl core::error::Error for Refused {}
