//! A robot's machine: what it does next.

use crate::coding::Id;
use crate::event::Attempted;
use crate::message::{Health, Refused, Reply, Request, Signed, Work};
use crate::terms::Terms;
use minicbor::{CborLen, Decode, Encode};

/// What a robot was given when it joined, from a source it trusts. Terms that differ are not acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Pins {
    /// Which fleet.
    pub fleet: String,
    /// Fingerprint of the key holder's key. Never the server's word.
    pub holder: Id,
    /// Values in an update.
    pub length: u64,
    /// The largest clip: beyond it, a value on the grid says too little.
    pub most_clip: f32,
    /// The fewest robots it wants to be added with.
    pub least: u64,
}

impl Pins {
    /// Whether a robot acts on these terms.
    ///
    /// # Errors
    /// What differs, and that it is the server's operator who can mend it.
    pub fn check(&self, terms: &Terms) -> Result<(), String> {
        let ask = "ask whoever runs the server, and do not change what this robot pins for it";
        if terms.fleet != self.fleet {
            return Err(format!("a round of fleet {:?}, this robot is of {:?}: {ask}", terms.fleet, self.fleet));
        }
        if terms.holder != self.holder {
            let (found, expected) = (terms.holder.short(), self.holder.short());
            return Err(format!("a round for key holder {found}, this robot pins {expected}: {ask}"));
        }
        if terms.length != self.length {
            return Err(format!("a round of {} values, this robot has {}: {ask}", terms.length, self.length));
        }
        // A clip that is no number is not below either.
        if terms.clip.is_nan() || terms.clip > self.most_clip {
            return Err(format!("a round with clip {}, this robot allows {}: {ask}", terms.clip, self.most_clip));
        }
        if terms.least < self.least {
            return Err(format!(
                "a round of as few as {} robots, this robot wants at least {}: {ask}",
                terms.least, self.least
            ));
        }
        terms.check().map_err(|error| error.to_string())
    }
}

/// What a robot signed and keeps until the server has it all.
#[derive(Clone, Debug, PartialEq, Encode, Decode, CborLen)]
pub struct Kept {
    /// What it is for.
    #[n(0)]
    pub attempted: Attempted,
    /// What was signed.
    #[n(1)]
    pub signed: Signed,
    /// The leaves under the signed root.
    #[n(2)]
    pub leaves: Vec<Id>,
}

/// What a robot does next.
#[derive(Clone, Debug, PartialEq)]
pub enum RobotStep {
    /// Asks the server this.
    Ask(Request),
    /// Trains, encrypts, signs, and keeps what came of it.
    Seal(Terms),
    /// Sends what it keeps, from this chunk on.
    Send {
        /// The first chunk.
        from: u64,
    },
    /// Throws away what it keeps: nobody wants it any more.
    Forget,
    /// Gets a package, checks and applies it.
    Apply {
        /// Its hash.
        package: Id,
        /// Its bytes; none if the robot has it from before.
        len: u64,
    },
    /// Waits a little; says this, if it is worth saying.
    Rest(Option<String>),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum RobotInput {
    /// The server's reply.
    Reply(Reply),
    /// The link broke, or the server did not answer.
    Lost,
    /// [`RobotStep::Seal`] is done.
    Sealed(Kept),
    /// A step could not be done here; why is told elsewhere.
    Failed,
    /// What is kept is gone.
    Forgotten,
    /// [`RobotStep::Apply`] is done.
    Applied(Health),
    /// [`RobotStep::Rest`] is over.
    Rested,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Joining,
    Asking,
    Sealing(Terms),
    Announcing,
    Sending(u64),
    Forgetting,
    Applying(Id, u64),
    Acknowledging(Id, Health),
    Resting(Option<String>, Box<State>),
}

/// A robot, as far as the server is concerned.
#[derive(Debug)]
pub struct Robot {
    pins: Pins,
    running: Id,
    kept: Option<Kept>,
    /// It has done what it can for this attempt.
    done: Option<Attempted>,
    state: State,
}

impl Robot {
    /// A robot that runs `running` and may have kept an upload.
    #[must_use]
    pub fn new(pins: Pins, running: Id, kept: Option<Kept>) -> Self {
        Self { pins, running, kept, done: None, state: State::Joining }
    }

    /// What it runs.
    #[must_use]
    pub fn running(&self) -> Id {
        self.running
    }

    /// What to do next; the same until [`take`](Self::take) is told what came of it.
    #[must_use]
    pub fn step(&self) -> RobotStep {
        match (&self.state, &self.kept) {
            (State::Joining, _) => RobotStep::Ask(Request::Enrol),
            (State::Announcing, Some(kept)) => {
                let (signed, leaves) = (kept.signed.clone(), kept.leaves.clone());
                RobotStep::Ask(Request::Announce { signed, leaves })
            }
            (State::Asking | State::Announcing, _) => RobotStep::Ask(Request::Next { running: self.running }),
            (State::Sealing(terms), _) => RobotStep::Seal(terms.clone()),
            (State::Sending(from), _) => RobotStep::Send { from: *from },
            (State::Forgetting, _) => RobotStep::Forget,
            (State::Applying(package, len), _) => RobotStep::Apply { package: *package, len: *len },
            (State::Acknowledging(package, health), _) => {
                RobotStep::Ask(Request::Acknowledge { package: *package, health: *health })
            }
            (State::Resting(why, _), _) => RobotStep::Rest(why.clone()),
        }
    }

    /// What came of the step.
    pub fn take(&mut self, input: RobotInput) {
        let state = core::mem::replace(&mut self.state, State::Asking);
        self.state = match (state, input) {
            (State::Joining, RobotInput::Reply(Reply::Noted)) => State::Asking,
            (State::Asking, RobotInput::Reply(Reply::Work(work))) => self.begin(work),
            (State::Sealing(terms), RobotInput::Sealed(kept)) => {
                let fits = (kept.attempted.round, kept.attempted.attempt) == (terms.round, terms.attempt);
                self.kept = fits.then_some(kept);
                State::Announcing
            }
            (State::Announcing, RobotInput::Reply(Reply::SendFrom(from))) => match &self.kept {
                // All of it may be there, and not yet be called whole: then what is sent is empty.
                Some(kept) if from <= kept.leaves.len() as u64 => State::Sending(from),
                _ => State::Forgetting,
            },
            (State::Announcing | State::Sending(_), RobotInput::Reply(Reply::Stored)) => State::Forgetting,
            // Fewer bytes arrived than were sent.
            (State::Sending(_), RobotInput::Reply(Reply::SendFrom(_))) => State::Announcing,
            (State::Forgetting, RobotInput::Forgotten) => {
                self.done = self.kept.take().map(|kept| kept.attempted).or(self.done);
                State::Asking
            }
            (State::Applying(package, _), RobotInput::Applied(health)) => {
                if health != Health::Rejected {
                    self.running = package;
                }
                State::Acknowledging(package, health)
            }
            (State::Acknowledging(..), RobotInput::Reply(Reply::Noted)) => State::Asking,
            (State::Resting(_, then), RobotInput::Rested) => *then,
            (state, input) => self.without_success(state, input),
        };
    }

    fn begin(&self, work: Work) -> State {
        match work {
            Work::Nothing => State::Resting(None, Box::new(State::Asking)),
            Work::Apply { package, len } => State::Applying(package, len),
            Work::Update(terms) => {
                let attempted = Attempted { round: terms.round, attempt: terms.attempt };
                match self.pins.check(&terms) {
                    // Another upload for it would be refused.
                    Ok(()) if self.done == Some(attempted) => State::Resting(None, Box::new(State::Asking)),
                    Ok(()) if self.kept.as_ref().is_some_and(|kept| kept.attempted == attempted) => State::Announcing,
                    Ok(()) if terms.model == self.running => State::Sealing(terms),
                    Ok(()) => State::Resting(Some("a round on another model".into()), Box::new(State::Asking)),
                    Err(why) => State::Resting(Some(why), Box::new(State::Asking)),
                }
            }
        }
    }

    fn without_success(&self, state: State, input: RobotInput) -> State {
        let rest = |why: Option<String>, then: State| State::Resting(why, Box::new(then));
        // Where an upload stands is asked again: what was sent last may have arrived or not.
        let again = |state| if matches!(state, State::Sending(..)) { State::Announcing } else { state };
        match input {
            RobotInput::Reply(Reply::Refused(refused)) => {
                let then = match (&state, &refused) {
                    (_, Refused::NotEnrolled) => State::Joining,
                    (State::Announcing | State::Sending(..), refused) if refused.is_passing() => State::Announcing,
                    (State::Sending(..), Refused::Malformed(_)) => State::Announcing,
                    (State::Announcing | State::Sending(..), _) => State::Forgetting,
                    (State::Joining, _) => State::Joining,
                    (state @ State::Acknowledging(..), refused) if refused.is_passing() => state.clone(),
                    _ => State::Asking,
                };
                rest(Some(refused.to_string()), then)
            }
            RobotInput::Lost => rest(None, again(state)),
            RobotInput::Failed => rest(None, State::Asking),
            _ => rest(Some("the server answered something else than was asked".into()), again(state)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> Pins {
        Pins { fleet: "arms".into(), holder: Id([2; 32]), length: 100, most_clip: 1.0, least: 16 }
    }

    #[test]
    fn a_robot_acts_on_the_terms_it_pins_and_on_no_others() {
        let seals = |terms: Terms| {
            let mut robot = Robot::new(pins(), Id([1; 32]), None);
            robot.take(RobotInput::Reply(Reply::Noted));
            robot.take(RobotInput::Reply(Reply::Work(Work::Update(terms))));
            matches!(robot.step(), RobotStep::Seal(_))
        };
        assert!(seals(Terms::of_a_test()));
        for wrong in [
            Terms { fleet: "legs".into(), ..Terms::of_a_test() },
            Terms { holder: Id([9; 32]), ..Terms::of_a_test() },
            Terms { length: 101, ..Terms::of_a_test() },
            Terms { clip: 1.5, ..Terms::of_a_test() },
            Terms { clip: f32::NAN, ..Terms::of_a_test() },
            Terms { least: 2, ..Terms::of_a_test() },
            Terms { model: Id([9; 32]), ..Terms::of_a_test() },
            Terms { planned: u64::MAX, ..Terms::of_a_test() },
        ] {
            assert!(!seals(wrong.clone()), "{wrong:?}");
        }
    }

    #[test]
    fn a_broken_link_makes_it_ask_where_to_go_on() {
        let mut robot = Robot::new(pins(), Id([1; 32]), None);
        robot.take(RobotInput::Reply(Reply::Noted));
        robot.take(RobotInput::Reply(Reply::Work(Work::Update(Terms::of_a_test()))));
        let signed = Signed { manifest: vec![1].into(), signature: vec![2].into() };
        let attempted = Attempted { round: 3, attempt: 0 };
        robot.take(RobotInput::Sealed(Kept { attempted, signed, leaves: vec![Id([0; 32]); 5] }));
        robot.take(RobotInput::Reply(Reply::SendFrom(0)));
        assert_eq!(robot.step(), RobotStep::Send { from: 0 });
        robot.take(RobotInput::Lost);
        robot.take(RobotInput::Rested);
        assert!(matches!(robot.step(), RobotStep::Ask(Request::Announce { .. })), "{:?}", robot.step());
        robot.take(RobotInput::Reply(Reply::SendFrom(3)));
        assert_eq!(robot.step(), RobotStep::Send { from: 3 });
        // A server that asks for chunks that are not there gets nothing.
        robot.take(RobotInput::Lost);
        robot.take(RobotInput::Rested);
        robot.take(RobotInput::Reply(Reply::SendFrom(5)));
        assert_eq!(robot.step(), RobotStep::Send { from: 5 });
        robot.take(RobotInput::Lost);
        robot.take(RobotInput::Rested);
        robot.take(RobotInput::Reply(Reply::SendFrom(6)));
        assert_eq!(robot.step(), RobotStep::Forget);
    }
}
