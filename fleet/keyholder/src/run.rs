//! A key holder at work: its machine's steps, done.

use crate::means::Opened;
use crate::open::{Custody, NotNow};
use folding::Mean;
use link::{Link, LinkError, pause};
use protocol::{Answer, Attempted, Health, Holder, HolderInput, HolderStep, Id, Offer, Reply, Request, Terms};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};

/// A mean on its way to the robots.
#[derive(Debug)]
pub struct Deploying<'a> {
    /// Of which attempt; `terms.model` is what robots run.
    pub terms: &'a Terms,
    /// The mean of their updates.
    pub mean: &'a Mean,
    /// What it was made from: SHA-256 over the manifests of its robots, in the order of their names.
    pub manifests: Id,
    /// Robots that take part.
    pub enrolled: &'a [Id],
    /// How they fare: who, with what, how. `None` where nobody has been asked since this process began.
    pub healths: Option<&'a [(Id, Id, Health)]>,
}

/// What becomes of a mean, one move at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Move {
    /// Offer a package; its bytes, unless the server has it.
    Roll {
        /// What to whom.
        offer: Offer,
        /// The package.
        package: Option<Vec<u8>>,
    },
    /// See how robots fare, a little later.
    Watch,
    /// The round is over, and this is what robots run: a package that was offered, or what they ran before.
    Settle(Id),
}

/// Judges means and rolls out what passes. After a restart it is asked again from the beginning, with the same mean: what it has
/// decided before is for it to remember.
pub trait Deployer {
    /// The next move.
    ///
    /// # Errors
    /// What went wrong; asked again later.
    fn next(&mut self, deploying: &Deploying<'_>) -> Result<Move, String>;
}

/// What a key holder tells whoever watches it.
#[derive(Clone, Debug)]
pub enum News {
    /// A question was answered.
    Answered {
        /// Of which attempt.
        attempted: Attempted,
        /// How.
        answer: Answer,
    },
    /// A package is offered.
    Rolled(Offer),
    /// A round is over, and robots run this.
    Settled {
        /// Which.
        round: u64,
        /// What.
        model: Id,
    },
    /// The server has nothing to do for it.
    Idle,
    /// Something to know, or to mend.
    Note(String),
}

/// Whether to go on.
pub type Verdict = std::ops::ControlFlow<()>;

/// Works until `watch` says to stop. Rests `rest` where there is nothing to do.
pub async fn run(
    custody: &mut Custody<'_>,
    link: &mut Link,
    deployer: &mut dyn Deployer,
    rest: Duration,
    watch: &mut dyn FnMut(News) -> Verdict,
) {
    let mut holder = Holder::default();
    let mut asked = Instant::now();
    loop {
        let (input, news) = step(custody, link, deployer, (rest, &mut asked), &holder).await;
        holder.take(input);
        if news.into_iter().any(|news| watch(news).is_break()) {
            return;
        }
    }
}

async fn step(
    custody: &mut Custody<'_>,
    link: &mut Link,
    deployer: &mut dyn Deployer,
    (rest, asked): (Duration, &mut Instant),
    holder: &Holder,
) -> (HolderInput, Vec<News>) {
    match holder.step() {
        HolderStep::Ask(request) => {
            *asked = Instant::now();
            let wait = match request {
                Request::Ask | Request::Healths { .. } => rest,
                _ => Duration::ZERO,
            };
            let (input, mut news) = replied(link.ask(&request, wait).await);
            if input == HolderInput::Reply(Reply::Noted) {
                if let Request::Settle { round, .. } = request {
                    custody.means.forget(round);
                }
                news.extend(noted(request));
            }
            (input, news)
        }
        HolderStep::Open { terms, revision, manifests } => {
            answered(custody.open(link, &terms, revision, &manifests).await, &terms)
        }
        HolderStep::Close(terms) => answered(custody.close(&terms), &terms),
        HolderStep::Deploy { terms, enrolled, healths, .. } => {
            deploy(custody, link, deployer, (&terms, &enrolled, healths.as_deref())).await
        }
        HolderStep::Rest(why) => {
            tokio::time::sleep(pause(rest, *asked)).await;
            (HolderInput::Rested, vec![why.map_or(News::Idle, News::Note)])
        }
    }
}

fn noted(request: Request) -> Option<News> {
    match request {
        Request::Answer { round, attempt, answer, .. } => {
            Some(News::Answered { attempted: Attempted { round, attempt }, answer })
        }
        Request::Roll { offer, .. } => Some(News::Rolled(offer)),
        Request::Settle { round, model } => Some(News::Settled { round, model }),
        _ => None,
    }
}

fn replied(reply: Result<Reply, LinkError>) -> (HolderInput, Vec<News>) {
    match reply {
        Ok(reply) => (HolderInput::Reply(reply), vec![]),
        Err(error) => (HolderInput::Lost, vec![News::Note(error.to_string())]),
    }
}

fn answered(answer: Result<Answer, NotNow>, terms: &Terms) -> (HolderInput, Vec<News>) {
    match answer {
        Ok(answer) => (HolderInput::Answer(answer), vec![]),
        Err(NotNow::Lost(why)) => (HolderInput::Lost, vec![News::Note(why)]),
        Err(NotNow::Failed(why)) => {
            let note = format!("round {}, attempt {}: {why}", terms.round, terms.attempt);
            (HolderInput::Failed, vec![News::Note(note)])
        }
    }
}

/// What is due: the round, who is enrolled, and how robots do that have a package already.
type Due<'a> = (&'a Terms, &'a [Id], Option<&'a [(Id, Id, Health)]>);

async fn deploy(
    custody: &Custody<'_>,
    link: &mut Link,
    deployer: &mut dyn Deployer,
    (terms, enrolled, healths): Due<'_>,
) -> (HolderInput, Vec<News>) {
    let failed = |why: String| (HolderInput::Failed, vec![News::Note(why)]);
    let Opened { mean, manifests } = match custody.means.get(terms) {
        Ok(Some(opened)) => opened,
        // Robots stay with what they run.
        Ok(None) => {
            let note = News::Note(format!("the mean of round {} is gone: its folder was changed", terms.round));
            return (HolderInput::Settle(terms.model), vec![note]);
        }
        Err(error) => return failed(error.to_string()),
    };
    match deployer.next(&Deploying { terms, mean: &mean, manifests, enrolled, healths }) {
        Ok(Move::Watch) => (HolderInput::Watch, vec![]),
        Ok(Move::Settle(model)) => (HolderInput::Settle(model), vec![]),
        Ok(Move::Roll { offer, package: None }) => (HolderInput::Roll(offer), vec![]),
        Ok(Move::Roll { offer, package: Some(bytes) }) => {
            if Id(Sha256::digest(&bytes).into()) != offer.package {
                return failed("a package with another hash than its offer".into());
            }
            match link.publish(offer.package, bytes.into()).await {
                Ok(Reply::Noted) => (HolderInput::Roll(offer), vec![]),
                Ok(reply) => (HolderInput::Reply(reply), vec![]),
                Err(error) => (HolderInput::Lost, vec![News::Note(error.to_string())]),
            }
        }
        Err(why) => failed(why),
    }
}
