//! `tensorguard keyholder`: opens means, makes packages of them, and gives them to the robots.

use super::charter::Charter;
use super::outcasts::Outcasts;
use super::publisher::Publisher;
use super::witness::Witnessed;
use super::{REST, arms, failed, folders, say};
use crate::failure::Failure;
use crate::logs::{AnswerFile, Recovery};
use fleet_client::link::{Credentials, Link, Revocations, Timeouts};
use fleet_client::protocol::{Answer, Audience, Id};
use fleet_keyholder::{Custody, Means, News, run};
use folding::lwe::Policy;
use kernels::Backend;
use rand::SeedableRng;
use rand::rngs::{ChaCha20Rng, SysRng};
use std::ops::ControlFlow;
use std::path::Path;
use trust::identity::Registry;

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
    /// Where the answer log's head is kept, on another disk than the log; without it, nobody notices a log restored from an older copy.
    pub witness: Option<&'a Path>,
}

/// Works until the process ends.
///
/// # Errors
/// [`Failure`] if it cannot work at all.
pub fn work(post: &Post<'_>, backend: &dyn Backend) -> Result<(), Failure> {
    let &Post { folder, registry, server, policy, lesson, witness } = post;
    let charter = Charter::read(folder)?;
    let (key, enrolled) = (folders::holder_key(folder, &charter)?, folders::registry(registry)?);
    let (log, recovery) = AnswerFile::open(&folder.join(folders::ANSWERS)).map_err(failed)?;
    if recovery != Recovery::Whole {
        say(recovery);
    }
    let mut log = Witnessed::new(log, witness)?;
    let rng = ChaCha20Rng::try_from_rng(&mut SysRng).map_err(failed)?;
    let model = charter.terms(charter.least, charter.least).model;
    let lesson = lesson.map(|lesson| arms::lesson(lesson, model)).transpose()?;
    if lesson.is_none() {
        say("no --lesson, so no gate: every mean is rolled out");
    }
    let mut outcasts = Outcasts::read(folder)?;
    let mut publisher = Publisher::new(folder, charter.clone(), rng, lesson, outcasts.list().clone())?;
    let credentials = Credentials::read(folder).map_err(failed)?;
    let mut link = Link::new(server, &credentials, Timeouts::default()).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let mut last = String::new();
    // Until a newer list of revoked robots comes; then on, as after a restart, without these robots.
    loop {
        let verifier = without(&enrolled, outcasts.list())?;
        let (fleet, means) = (charter.fleet.clone(), Means::new(folder));
        let mut custody = Custody { key: &key, fleet, verifier: &verifier, policy, log: &mut log, means, backend };
        let mut watch = |news: News| {
            let line = told(news);
            if line != last && !line.is_empty() {
                say(&line);
                last = line;
            }
            if outcasts.renew() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        runtime.block_on(run(&mut custody, &mut link, &mut publisher, REST, &mut watch));
        publisher.shut_out(outcasts.list().clone());
    }
}

/// Who may sign, less those that are shut out.
fn without(enrolled: &Registry, outcasts: &Revocations) -> Result<Registry, Failure> {
    let mut registry = enrolled.clone();
    let named: Vec<_> =
        enrolled.robots().map(|(robot, ..)| robot).filter(|robot| outcasts.names((*robot).into())).collect();
    named.into_iter().try_for_each(|robot| registry.revoke(robot)).map_err(failed)?;
    Ok(registry)
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
                Answer::Spent(why) => {
                    format!("no mean, and its updates are used up; the next round trains anew: {why}")
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::charter::Charter;
    use crate::scratch::Scratch;
    use trust::identity::{Purpose, RegistryError};

    #[test]
    fn a_revoked_robots_signature_counts_no_more_and_the_others_do() {
        let scratch = Scratch::new("revoke");
        let (authority, holder) = (scratch.join("authority"), scratch.join("holder"));
        let charter = Charter {
            fleet: "arms".into(),
            values: 100,
            bits: 8,
            clip: 1.0,
            least: 2,
            model: "00".repeat(32),
            holder: String::new(),
        };
        folders::create(&authority, &holder, charter).unwrap();
        let robots = ["one", "two"].map(|name| folders::add_robot(&authority, &scratch.join(name)).unwrap());
        let enrolled = folders::registry(&authority.join(folders::REGISTRY)).unwrap();
        let mut outcasts = Outcasts::read(&holder).unwrap();
        assert!(folders::revoke(&authority, "none", &[]).is_err() && folders::revoke(&authority, "", &[]).is_err());
        for times in 0..2 {
            let (id, count) =
                folders::revoke(&authority, &robots[1].to_string()[..12], std::slice::from_ref(&holder)).unwrap();
            assert_eq!((id, count, outcasts.renew()), (robots[1], 1, times == 0));
        }
        let registry = without(&enrolled, outcasts.list()).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let checked = ["one", "two"].map(|name| {
            let identity = folders::identity(&scratch.join(name)).unwrap();
            let signature = identity.sign(Purpose::Manifest, b"upload", &mut rng).to_bytes();
            registry.check(identity.public().robot(), b"upload", &signature)
        });
        assert_eq!(checked, [Ok(()), Err(RegistryError::Revoked)]);
    }
}
