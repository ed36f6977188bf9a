//! `tensorguard demo`: a whole fleet on this machine, each party a process of its own, shown at work.

use super::charter::Charter;
use super::scene::{Scene, Told, distance};
use super::{LISTENING, arms, failed, folders, say};
use crate::failure::Failure;
use crate::rounds::update;
use fleet_client::protocol::Id;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;
use workload::Config;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// Robots.
    pub robots: usize,
    /// Where their updates come from.
    pub updates: Updates,
    /// Rounds.
    pub rounds: u64,
}

/// Where a demo's updates come from.
#[derive(Clone, Copy, Debug)]
pub enum Updates {
    /// Robot arms train, and a gate judges what they learned.
    Arms(Config),
    /// So many made-up values, to look at the fleet alone.
    Synthetic(u64),
}

/// What robots run, so far.
struct Seen {
    running: String,
    adapter: Vec<f32>,
    lesson: Option<workload::Learner>,
}

/// What the arms learn, in the demo's folder.
const LESSON: &str = "lesson";

struct Stage {
    scene: Scene,
    begin: Instant,
}

impl Stage {
    fn step(&self, what: impl std::fmt::Display) {
        say(format_args!("[{:6.2} s] {what}", self.begin.elapsed().as_secs_f64()));
    }
}

/// Runs it.
///
/// # Errors
/// [`Failure::Wrong`] if a mean is wrong, [`Failure::Internal`] if a party fails.
pub fn run(show: Show) -> Result<(), Failure> {
    let stage = Stage { scene: Scene::new("demo")?, begin: Instant::now() };
    let (charter, mut seen) = found(&stage, show)?;
    let count = show.robots.to_string();
    let rounds = show.rounds.to_string();
    let serve = |listen: &str| {
        let arguments = ["server", "--listen", listen, "--robots", &count, "--rounds", &rounds, "--open-s", "120"];
        stage.scene.start("server", &[], &arguments)
    };
    let mut server = serve("127.0.0.1:0")?;
    let address = stage.scene.wait_for("server", LISTENING, &mut |_| {})?.text().replace(LISTENING, "");
    stage.step(format_args!("the server listens on {address}; it has a certificate and no key of any update"));
    let registry = stage.scene.path(&format!("authority/{}", folders::REGISTRY));
    let (least, lesson) = (charter.least.to_string(), stage.scene.path(LESSON));
    let mut keyholder =
        vec!["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", &least];
    if seen.lesson.is_some() {
        keyholder.extend(["--lesson", &lesson]);
    }
    let _holder = stage.scene.start("holder", &[], &keyholder)?;
    let mut robots = Vec::new();
    for number in 0..show.robots {
        let file = file_of(&stage, number).to_string_lossy().into_owned();
        let arm = number.to_string();
        let source = match seen.lesson {
            Some(_) => ["--lesson", &lesson, "--arm", &arm].to_vec(),
            None => ["--update", &file].to_vec(),
        };
        let arguments = [vec!["robot", "--server", &address], source].concat();
        robots.push(stage.scene.start(&format!("robot-{number}"), &[], &arguments)?);
    }
    stage.step(format_args!("{} robots and the key holder run, each a process of its own", show.robots));
    for round in 0..show.rounds {
        // Synthetic updates are written before the robots can send them; what the arms learn is learned again behind the kill.
        let written = if seen.lesson.is_none() { Some(means(&stage, show, &seen, round)?) } else { None };
        if round == 0 {
            // Half of the uploads are in; what comes next must not need the first server's memory. Not every count is said.
            let half = |line: &str| uploads(line).is_some_and(|stored| stored >= show.robots / 2);
            stage.scene.wait_until("server", "half of the uploads", &half, &mut |told| tell(&stage, told))?;
            drop(server);
            stage.step("the server is killed (SIGKILL), and started again");
            server = serve(&address)?;
        }
        let expected = written.map_or_else(|| means(&stage, show, &seen, round), Ok)?;
        let over = format!("round {round} is over");
        stage.scene.wait_for("holder", &over, &mut |told| tell(&stage, told))?;
        check(&stage, &charter, show, round, &mut seen, &expected)?;
    }
    drop(server);
    stage.step("done. The folders of the fleet are removed");
    Ok(())
}

/// How many uploads a server has, by its line.
fn uploads(line: &str) -> Option<usize> {
    let before = line.split_once(" uploads")?.0;
    let count = before.rsplit_once(" of ").map_or(before, |(stored, _)| stored);
    count.rsplit(' ').next()?.parse().ok()
}

/// The authority, and a folder for each party.
fn found(stage: &Stage, show: Show) -> Result<(Charter, Seen), Failure> {
    let least = (show.robots as u64).min(folding::lwe::Policy::MIN_CLIENTS);
    let (values, model, clip, lesson) = match show.updates {
        Updates::Synthetic(values) => (values, Id(Sha256::digest(b"demo's base").into()), 1.0, None),
        Updates::Arms(config) => {
            let folder = stage.scene.folder().join(LESSON);
            let (model, clip) = arms::prepare(&folder, config)?;
            stage.step("a base policy is trained on the robot of the data sheet; the fleet's arms differ from it");
            // Later updates may be larger than the first.
            (config.values() as u64, model, 2.0 * clip, Some(arms::lesson(&folder, model)?))
        }
    };
    let adapter = lesson.as_ref().map_or_else(|| vec![0.0; values as usize], workload::Learner::initial_adapter);
    let seen = Seen { running: model.to_string(), adapter, lesson };
    let charter =
        Charter { fleet: "demo".into(), values, bits: 8, clip, least, model: model.to_string(), holder: String::new() };
    let charter = stage.scene.enrol(charter, show.robots)?;
    let robots = show.robots;
    stage.step(format_args!(
        "an authority issued certificates for a server, a key holder and {robots} robots in {}",
        stage.scene.folder().display()
    ));
    if least < folding::lwe::Policy::MIN_CLIENTS {
        stage.step(format_args!(
            "NOTE: means of {least} robots; a real fleet wants {}",
            folding::lwe::Policy::MIN_CLIENTS
        ));
    }
    Ok((charter, seen))
}

fn file_of(stage: &Stage, number: usize) -> PathBuf {
    stage.scene.folder().join(format!("robot-{number}")).join("synthetic-update.f32")
}

/// What the mean of this round's updates should be, from the updates in the clear: those the arms make, made here once more; or
/// synthetic ones, uniform noise from the robot's and the round's number, which are written into the robots' files.
fn means(stage: &Stage, show: Show, seen: &Seen, round: u64) -> Result<Vec<f64>, Failure> {
    let length = seen.adapter.len();
    let mut mean = vec![0.0; length];
    for number in 0..show.robots {
        let values = match &seen.lesson {
            Some(lesson) => lesson.local_update(number as u32, &seen.adapter, round as u32).map_err(failed)?,
            None => {
                let values = update(round << 16 | number as u64, length);
                let path = file_of(stage, number);
                let fresh = path.with_extension("fresh");
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)?;
                values
            }
        };
        mean.iter_mut().zip(&values).for_each(|(mean, value)| *mean += f64::from(*value) / show.robots as f64);
    }
    let how = if seen.lesson.is_some() { "each arm trains" } else { "SYNTHETIC: nobody trains here" };
    stage.step(format_args!("round {round}: an update of {} bytes for each robot ({how})", 4 * length));
    Ok(mean)
}

fn tell(stage: &Stage, told: &Told) {
    let of_interest = ["server", "holder", "robot-0"].contains(&told.party.as_str());
    if let (true, Some(line)) = (of_interest, &told.line) {
        stage.step(format_args!("{:8} {line}", told.party));
    }
}

/// Compares what robots run with the plain updates.
fn check(
    stage: &Stage,
    charter: &Charter,
    show: Show,
    round: u64,
    seen: &mut Seen,
    expected: &[f64],
) -> Result<(), Failure> {
    let running = stage.scene.running(show.robots, charter)?;
    let Some(running) = running.filter(|running| running.name != seen.running) else {
        stage.step(format_args!("round {round}: nothing new was deployed; robots run what they ran"));
        return Ok(());
    };
    let off = distance(&seen.adapter, &running.adapter, expected);
    let step = f64::from(charter.clip) / 127.0;
    if off.is_nan() || off > step {
        return Err(Failure::Wrong(format!("a mean is off by {off:.2e}, more than a step of the grid ({step:.2e})")));
    }
    stage.step(format_args!(
        "round {round}: {} of {} robots run version {} ({} bytes, signed by two schemes); its mean is off by {off:.1e} at most from that in the clear, a step of the grid is {step:.1e}",
        running.robots, show.robots, running.version, running.bytes
    ));
    (seen.running, seen.adapter) = (running.name, running.adapter);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_counted_from_what_a_server_says() {
        assert_eq!(uploads("round 0, attempt 0: 7 of 16 uploads"), Some(7));
        assert_eq!(uploads("round 0, attempt 0: closed with 16 uploads; the key holder is asked"), Some(16));
        assert_eq!(uploads("16 robots enrolled; a round opens with 16"), None);
    }
}
