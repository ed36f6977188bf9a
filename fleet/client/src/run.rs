//! A robot at work: its machine's steps, done.

use crate::kept::Keep;
use crate::pipeline::{Stage, Timing, prepare};
use folding::lwe::{CHUNK_LEN, HolderPublic, SealLog, UpdateId};
use kernels::Backend;
use link::{Link, LinkError, pause};
use protocol::{Health, Id, Pins, Request, Robot, RobotInput, RobotStep, Terms};
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use trust::identity::Identity;

/// Who learns, and what a package is to it.
pub trait Learner {
    /// What it runs: the hash of a package, or of the model it started with.
    fn running(&self) -> Id;

    /// An update of what it runs, and a name that no other update ever has.
    ///
    /// # Errors
    /// What went wrong; asked again later.
    fn update(&mut self, terms: &Terms) -> Result<(UpdateId, Vec<f32>), String>;

    /// Whether it can run this without fetching it: what it started with, or ran before.
    fn has(&self, package: Id) -> bool;

    /// Runs this from now on; `bytes` unless it [`has`](Self::has) it. The bytes have the hash; who signed them is for the
    /// learner to check.
    fn apply(&mut self, package: Id, bytes: Option<&[u8]>) -> Health;
}

/// What a robot has and needs, besides what it learns.
pub struct Member<'a> {
    /// What it was given when it joined.
    pub pins: Pins,
    /// The key holder's public key, of the pinned fingerprint.
    pub holder: HolderPublic,
    /// Its signing keys.
    pub identity: &'a Identity,
    /// Its memory of what it sealed.
    pub log: &'a mut dyn SealLog,
    /// Where it keeps an upload.
    pub keep: Keep,
    /// Who computes.
    pub backend: &'a dyn Backend,
    /// Where its randomness comes from.
    pub rng: &'a mut dyn CryptoRng,
    /// How long it rests where the server has nothing to say.
    pub rest: Duration,
}

impl std::fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({:?})", self.pins)
    }
}

/// What a robot tells whoever watches it.
#[derive(Clone, Debug)]
pub enum News {
    /// A stage is done.
    Done(Timing),
    /// An upload of so many bytes is with the server.
    Uploaded {
        /// Of the whole upload.
        bytes: usize,
    },
    /// A package was tried.
    Applied(Id, Health),
    /// The server has nothing to do for it.
    Idle,
    /// Something to know, or to mend.
    Note(String),
}

/// Whether to go on.
pub type Verdict = std::ops::ControlFlow<()>;

/// Works until `watch` says to stop.
///
/// # Errors
/// What keeps this robot from working at all.
pub async fn run(
    member: &mut Member<'_>,
    link: &mut Link,
    learner: &mut dyn Learner,
    watch: &mut dyn FnMut(News) -> Verdict,
) -> Result<(), String> {
    if member.holder.fingerprint() != member.pins.holder.0 {
        return Err("the key holder's key is not the pinned one: get it again from a source you trust".into());
    }
    let kept = member.keep.get().map_err(|error| error.to_string())?;
    let (kept, mut stream) = kept.unzip();
    let mut robot = Robot::new(member.pins.clone(), learner.running(), kept);
    let mut asked = Instant::now();
    loop {
        let (input, news) = step(member, link, learner, (&robot, &mut asked), &mut stream).await;
        if news.into_iter().any(|news| watch(news).is_break()) {
            return Ok(());
        }
        robot.take(input);
    }
}

async fn step(
    member: &mut Member<'_>,
    link: &mut Link,
    learner: &mut dyn Learner,
    (robot, asked): (&Robot, &mut Instant),
    stream: &mut Option<Vec<u8>>,
) -> (RobotInput, Vec<News>) {
    match robot.step() {
        RobotStep::Ask(request) => {
            *asked = Instant::now();
            let wait = if matches!(request, Request::Next { .. }) { member.rest } else { Duration::ZERO };
            replied(link.ask(&request, wait).await)
        }
        RobotStep::Seal(terms) => match seal(member, learner, &terms) {
            Ok((prepared, news)) => {
                *stream = Some(prepared.stream);
                (RobotInput::Sealed(prepared.kept), news)
            }
            Err(why) => {
                tokio::time::sleep(member.rest).await;
                (RobotInput::Failed, vec![News::Note(why)])
            }
        },
        RobotStep::Send { from } => {
            let begin = Instant::now();
            let all = stream.as_deref().unwrap_or_default();
            let start = usize::try_from(from).unwrap_or(usize::MAX).saturating_mul(CHUNK_LEN).min(all.len());
            let (input, mut news) = replied(link.upload(from, all[start..].to_vec().into()).await);
            news.push(News::Done(Timing { stage: Stage::Send, took: begin.elapsed() }));
            if input == RobotInput::Reply(protocol::Reply::Stored) {
                news.push(News::Uploaded { bytes: all.len() });
            }
            (input, news)
        }
        RobotStep::Forget => {
            *stream = None;
            match member.keep.forget() {
                Ok(()) => (RobotInput::Forgotten, vec![]),
                Err(error) => (RobotInput::Forgotten, vec![News::Note(error.to_string())]),
            }
        }
        RobotStep::Apply { package, len } => apply(link, learner, package, len).await,
        RobotStep::Rest(why) => {
            tokio::time::sleep(pause(member.rest, *asked)).await;
            (RobotInput::Rested, vec![why.map_or(News::Idle, News::Note)])
        }
    }
}

fn replied(reply: Result<protocol::Reply, LinkError>) -> (RobotInput, Vec<News>) {
    match reply {
        Ok(reply) => (RobotInput::Reply(reply), vec![]),
        Err(error) => (RobotInput::Lost, vec![News::Note(error.to_string())]),
    }
}

fn seal(
    member: &mut Member<'_>,
    learner: &mut dyn Learner,
    terms: &Terms,
) -> Result<(crate::pipeline::Prepared, Vec<News>), String> {
    let begin = Instant::now();
    let (id, values) = learner.update(terms)?;
    let mut news = vec![News::Done(Timing { stage: Stage::Train, took: begin.elapsed() })];
    let Member { identity, holder, log, keep, rng, backend, .. } = member;
    let prepared = prepare(terms, (id, &values), identity, holder, *log, keep, *rng, *backend)?;
    if !prepared.out_of_range.is_none() {
        news.push(News::Note(format!("the update has {}: they count as the clip", prepared.out_of_range)));
    }
    news.extend(prepared.timings.iter().copied().map(News::Done));
    Ok((prepared, news))
}

async fn apply(link: &mut Link, learner: &mut dyn Learner, package: Id, len: u64) -> (RobotInput, Vec<News>) {
    let begin = Instant::now();
    let bytes = if learner.has(package) {
        None
    } else if len > protocol::MOST_PACKAGE_LEN as u64 {
        return (
            RobotInput::Applied(Health::Rejected),
            vec![News::Note(format!("a package of {len} bytes is too long"))],
        );
    } else {
        match link.package(package, len).await {
            Ok(bytes) if Id(Sha256::digest(&bytes).into()) == package => Some(bytes),
            Ok(_) => return (RobotInput::Lost, vec![News::Note("a package came with another hash".into())]),
            Err(LinkError::Refused(refused)) => {
                return (RobotInput::Failed, vec![News::Note(refused.to_string())]);
            }
            Err(error) => return (RobotInput::Lost, vec![News::Note(error.to_string())]),
        }
    };
    let health = learner.apply(package, bytes.as_deref());
    let timing = Timing { stage: Stage::Apply, took: begin.elapsed() };
    (RobotInput::Applied(health), vec![News::Done(timing), News::Applied(package, health)])
}
