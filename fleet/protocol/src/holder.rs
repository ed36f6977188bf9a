//! The key holder's machine: what it does next.

use crate::coding::Id;
use crate::message::{Answer, Health, Offer, Question, Refused, Reply, Request, Signed};
use crate::terms::Terms;

/// What the key holder does next.
#[derive(Clone, Debug, PartialEq)]
pub enum HolderStep {
    /// Asks the server this.
    Ask(Request),
    /// Fetches the sum, checks the signatures, opens the mean and keeps it; or says why not.
    Open {
        /// Of which attempt.
        terms: Terms,
        /// Which set.
        revision: u32,
        /// Who is in it.
        manifests: Vec<Signed>,
    },
    /// Records that an attempt gets no answer.
    Close(Terms),
    /// Judges the mean, or goes on with the roll-out it has begun.
    Deploy {
        /// Of which attempt.
        terms: Terms,
        /// Robots in the mean.
        robots: u64,
        /// Robots that take part.
        enrolled: Vec<Id>,
        /// How robots fare: who, with what, how. `None` where nobody has been asked yet.
        healths: Option<Vec<(Id, Id, Health)>>,
    },
    /// Waits a little; says this, if it is worth saying.
    Rest(Option<String>),
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum HolderInput {
    /// The server's reply.
    Reply(Reply),
    /// The link broke, or the server did not answer.
    Lost,
    /// What came of [`HolderStep::Open`] or [`HolderStep::Close`].
    Answer(Answer),
    /// A step could not be done here; why is told elsewhere. It is tried again.
    Failed,
    /// Offer this.
    Roll(Offer),
    /// See how robots fare.
    Watch,
    /// The round is over, and this is what robots run.
    Settle(Id),
    /// [`HolderStep::Rest`] is over.
    Rested,
}

#[derive(Clone, Debug, PartialEq)]
struct Asked {
    terms: Terms,
    revision: u32,
    robots: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Asking,
    Collecting(Asked, Vec<Signed>),
    Opening(Asked, Vec<Signed>),
    Closing(Terms),
    Answering(Asked, Answer),
    Deploying(Deploying, Phase),
    Resting(Option<String>, Box<State>),
}

#[derive(Clone, Debug, PartialEq)]
struct Deploying {
    terms: Terms,
    robots: u64,
    enrolled: Vec<Id>,
    /// What it was told last about how robots fare: see [`Request::Healths`].
    seen: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Judging(Option<Vec<(Id, Id, Health)>>),
    Rolling(Offer),
    Watching,
    Settling(Id),
}

/// A key holder, as far as the server is concerned.
#[derive(Debug)]
pub struct Holder {
    state: State,
}

impl Default for Holder {
    fn default() -> Self {
        Self { state: State::Asking }
    }
}

impl Holder {
    /// What to do next; the same until [`take`](Self::take) is told what came of it.
    #[must_use]
    pub fn step(&self) -> HolderStep {
        match &self.state {
            State::Asking => HolderStep::Ask(Request::Ask),
            State::Collecting(asked, so_far) => {
                HolderStep::Ask(Request::Manifests { revision: asked.revision, from: so_far.len() as u64 })
            }
            State::Opening(Asked { terms, revision, .. }, manifests) => {
                HolderStep::Open { terms: terms.clone(), revision: *revision, manifests: manifests.clone() }
            }
            State::Closing(terms) => HolderStep::Close(terms.clone()),
            State::Answering(Asked { terms, revision, .. }, answer) => {
                let (round, attempt, revision, answer) = (terms.round, terms.attempt, *revision, answer.clone());
                HolderStep::Ask(Request::Answer { round, attempt, revision, answer })
            }
            State::Deploying(deploying, phase) => match phase {
                Phase::Judging(healths) => {
                    let Deploying { terms, robots, enrolled, .. } = deploying.clone();
                    HolderStep::Deploy { terms, robots, enrolled, healths: healths.clone() }
                }
                Phase::Rolling(offer) => {
                    HolderStep::Ask(Request::Roll { round: deploying.terms.round, offer: offer.clone() })
                }
                Phase::Watching => HolderStep::Ask(Request::Healths { seen: deploying.seen }),
                Phase::Settling(model) => {
                    HolderStep::Ask(Request::Settle { round: deploying.terms.round, model: *model })
                }
            },
            State::Resting(why, _) => HolderStep::Rest(why.clone()),
        }
    }

    /// What came of the step.
    pub fn take(&mut self, input: HolderInput) {
        let state = core::mem::replace(&mut self.state, State::Asking);
        self.state = match (state, input) {
            (State::Asking, HolderInput::Reply(Reply::Question(question))) => begin(question),
            (State::Collecting(asked, so_far), HolderInput::Reply(Reply::Manifests(more))) => {
                collect(asked, so_far, more)
            }
            (State::Opening(asked, _), HolderInput::Answer(answer)) => State::Answering(asked, answer),
            (State::Closing(terms), HolderInput::Answer(answer)) => {
                State::Answering(Asked { terms, revision: 0, robots: 0 }, answer)
            }
            (State::Answering(..), HolderInput::Reply(Reply::Noted)) => State::Asking,
            (State::Deploying(deploying, phase), input) => deploy(deploying, phase, input),
            (State::Resting(_, then), HolderInput::Rested) => *then,
            (state, input) => without_success(state, input),
        };
    }
}

fn rest(why: Option<String>, then: State) -> State {
    State::Resting(why, Box::new(then))
}

fn begin(question: Question) -> State {
    match question {
        Question::Nothing => rest(None, State::Asking),
        Question::Open { terms, revision, robots } if robots <= terms.planned => {
            State::Collecting(Asked { terms, revision, robots }, vec![])
        }
        Question::Open { .. } => {
            rest(Some("the server speaks of more robots than it planned for".into()), State::Asking)
        }
        Question::Close { terms } => State::Closing(terms),
        Question::Deploy { terms, robots, enrolled } => {
            State::Deploying(Deploying { terms, robots, enrolled, seen: 0 }, Phase::Judging(None))
        }
    }
}

fn collect(asked: Asked, mut so_far: Vec<Signed>, more: Vec<Signed>) -> State {
    let is_last = more.is_empty();
    so_far.extend(more);
    let (found, expected) = (so_far.len() as u64, asked.robots);
    if found == expected {
        State::Opening(asked, so_far)
    } else if is_last || found > expected {
        rest(Some(format!("the server speaks of {expected} robots and shows {found} manifests")), State::Asking)
    } else {
        State::Collecting(asked, so_far)
    }
}

fn deploy(deploying: Deploying, phase: Phase, input: HolderInput) -> State {
    let then = |phase| State::Deploying(deploying.clone(), phase);
    match (phase, input) {
        (Phase::Judging(_), HolderInput::Roll(offer)) => then(Phase::Rolling(offer)),
        (Phase::Judging(_), HolderInput::Settle(model)) => then(Phase::Settling(model)),
        (Phase::Judging(_), HolderInput::Watch) => then(Phase::Watching),
        (Phase::Rolling(_), HolderInput::Reply(Reply::Noted)) => then(Phase::Watching),
        // The server held this back as long as it would; one that does not is not asked without end.
        (Phase::Watching, HolderInput::Reply(Reply::Healths { said, healths })) if said == deploying.seen => {
            rest(None, then(Phase::Judging(Some(healths))))
        }
        (Phase::Watching, HolderInput::Reply(Reply::Healths { said, healths })) => {
            State::Deploying(Deploying { seen: said, ..deploying }, Phase::Judging(Some(healths)))
        }
        (Phase::Settling(_), HolderInput::Reply(Reply::Noted)) => State::Asking,
        (phase, input) => without_success(then(phase), input),
    }
}

fn without_success(state: State, input: HolderInput) -> State {
    match input {
        HolderInput::Reply(Reply::Refused(refused)) => {
            let then = if refused.is_passing() { state } else { State::Asking };
            // It was noted before, and the answer got lost.
            let known = matches!((&then, &refused), (State::Asking, Refused::OtherRound));
            rest((!known).then(|| refused.to_string()), then)
        }
        HolderInput::Lost => rest(None, state),
        HolderInput::Failed => rest(None, State::Asking),
        _ => rest(Some("the server answered something else than was asked".into()), State::Asking),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_robots_are_acted_on_at_once_and_none_are_waited_for() {
        let terms = Terms::of_a_test();
        let mut holder = Holder::default();
        holder.take(HolderInput::Reply(Reply::Question(Question::Deploy { terms, robots: 18, enrolled: vec![] })));
        holder.take(HolderInput::Watch);
        assert_eq!(holder.step(), HolderStep::Ask(Request::Healths { seen: 0 }));
        holder.take(HolderInput::Reply(Reply::Healths { said: 2, healths: vec![] }));
        assert!(matches!(holder.step(), HolderStep::Deploy { .. }), "{:?}", holder.step());
        holder.take(HolderInput::Watch);
        assert_eq!(holder.step(), HolderStep::Ask(Request::Healths { seen: 2 }));
        // A server that has no more to say and does not hold its answer back is not asked without end.
        holder.take(HolderInput::Reply(Reply::Healths { said: 2, healths: vec![] }));
        assert_eq!(holder.step(), HolderStep::Rest(None));
    }
}
