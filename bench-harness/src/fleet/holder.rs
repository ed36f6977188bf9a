//! `tensorguard keyholder`: opens means, makes packages of them, and gives them to the robots.

use super::charter::Charter;
use super::publisher::Publisher;
use super::{REST, arms, failed, folders, say};
use crate::failure::Failure;
use crate::logs::{AnswerFile, Recovery};
use fleet_client::link::{Credentials, Link, Timeouts};
use fleet_client::protocol::{Answer, Audience, Id};
use fleet_keyholder::{Custody, Means, News, run};
use folding::lwe::Policy;
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::{ChaCha20Rng, SysRng};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

/// How a key holder runs.
#[derive(Debug)]
pub struct Post<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Who may sign as which robot.
    pub registry: &'a Path,
    /// The server.
    pub server: &'a str,
    /// How few robots a mean may have.
    pub policy: Policy,
    /// What the robots learn, to try candidates on; without it, every mean passes.
    pub lesson: Option<&'a Path>,
}

/// Works until the process ends.
///
/// # Errors
/// [`Failure`] if it cannot work at all.
pub fn work(post: &Post<'_>, backend: &dyn Backend) -> Result<(), Failure> {
    let &Post { folder, registry, server, policy, lesson } = post;
    let charter = Charter::read(folder)?;
    let (key, verifier) = (folders::holder_key(folder, &charter)?, folders::registry(registry)?);
    let (mut log, recovery) = AnswerFile::open(&folder.join(folders::ANSWERS)).map_err(failed)?;
    if recovery != Recovery::Whole {
        say(recovery);
    }
    let policies = folder.join("policies");
    fs::create_dir_all(&policies).map_err(failed)?;
    let (means, rng) = (Means::new(folder), ChaCha20Rng::try_from_rng(&mut SysRng).map_err(failed)?);
    let identity = folders::identity(folder)?;
    let model = charter.terms(charter.least, charter.least).model;
    let lesson = lesson.map(|lesson| arms::lesson(lesson, model)).transpose()?;
    if lesson.is_none() {
        say("no --lesson, so no gate: every mean is rolled out");
    }
    let mut publisher = Publisher::new(identity, charter.clone(), policies, rng, lesson);
    let fleet = charter.fleet;
    let mut custody = Custody { key: &key, fleet, verifier: &verifier, policy, log: &mut log, means, backend };
    let credentials = Credentials::read(folder).map_err(failed)?;
    let mut link = Link::new(server, &credentials, Timeouts::default()).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut last = String::new();
    let mut watch = |news: News| {
        let line = told(news);
        if line != last && !line.is_empty() {
            say(&line);
            last = line;
        }
        ControlFlow::Continue(())
    };
    runtime.block_on(run(&mut custody, &mut link, &mut publisher, REST, &mut watch));
    Ok(())
}

fn told(news: News) -> String {
    match news {
        News::Answered { attempted, answer } => {
            let what = match answer {
                Answer::Opened => "the mean is open".to_owned(),
                Answer::LeaveOut(robots) => {
                    format!("left out: {}", robots.iter().map(Id::short).collect::<Vec<_>>().join(", "))
                }
                Answer::UsedUp(why) => format!("no answer: {why}"),
            };
            format!("round {}, attempt {}: {what}", attempted.round, attempted.attempt)
        }
        News::Rolled(offer) => {
            let to = match offer.audience {
                Audience::All => "every robot".to_owned(),
                Audience::Only(robots) => format!("{} robots", robots.len()),
            };
            format!("package {} is offered to {to}", offer.package.short())
        }
        News::Settled { round, model } => format!("round {round} is over: robots run {}", model.short()),
        News::Note(note) => note,
        News::Idle => String::new(),
    }
}
