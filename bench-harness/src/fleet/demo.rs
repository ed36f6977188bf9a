//! `tensorguard demo`: a whole fleet on this machine, each party a process of its own, shown at work.

use super::charter::Charter;
use super::files::adapter_values;
use super::{arms, failed, folders, say};
use crate::failure::Failure;
use crate::rounds::update;
use fleet_client::protocol::Id;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use trust::package::{ADAPTER, Package};
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
/// Without news for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// A line that a party printed.
type Line = (String, String);

/// A party's process; killed when dropped.
struct Party(Child);

impl Drop for Party {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Stage {
    folder: PathBuf,
    lines: Sender<Line>,
    told: Receiver<Line>,
    begin: Instant,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    fn step(&self, what: impl std::fmt::Display) {
        say(format_args!("[{:6.2} s] {what}", self.begin.elapsed().as_secs_f64()));
    }

    fn party(&self, name: &str, arguments: &[&str]) -> Result<Party, Failure> {
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(own);
        command.args(arguments).arg("--folder").arg(self.folder.join(name));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut party = Party(child.map_err(|error| failed(format_args!("cannot start {name}: {error}")))?);
        let (out, lines, name) = (party.0.stdout.take(), self.lines.clone(), name.to_owned());
        std::thread::spawn(move || {
            for line in BufReader::new(out.into_iter().next().expect("it was piped")).lines().map_while(Result::ok) {
                if lines.send((name.clone(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(party)
    }

    /// Waits for a party to say something with this in it; hands every line to `each`.
    fn wait_for(&self, party: &str, what: &str, each: &mut dyn FnMut(&Line)) -> Result<String, Failure> {
        loop {
            match self.told.recv_timeout(PATIENCE) {
                Ok(line) => {
                    each(&line);
                    if line.0 == party && line.1.contains(what) {
                        return Ok(line.1);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let (folder, seconds) = (self.folder.display(), PATIENCE.as_secs());
                    return Err(failed(format_args!("{party} did not say {what:?} within {seconds} s (in {folder})")));
                }
            }
        }
    }
}

/// Runs it.
///
/// # Errors
/// [`Failure::Wrong`] if a mean is wrong, [`Failure::Internal`] if a party fails.
pub fn run(show: Show) -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("tensorguard-demo-{}", std::process::id()));
    let (lines, told) = channel();
    let stage = Stage { folder, lines, told, begin: Instant::now() };
    let (charter, mut seen) = found(&stage, show)?;
    let count = show.robots.to_string();
    let rounds = show.rounds.to_string();
    let serve = |listen: &str| {
        let arguments = ["server", "--listen", listen, "--robots", &count, "--rounds", &rounds, "--open-s", "120"];
        stage.party("server", &arguments)
    };
    let mut server = serve("127.0.0.1:0")?;
    let address = stage.wait_for("server", "listening on ", &mut |_| {})?.replace("listening on ", "");
    stage.step(format_args!("the server listens on {address}; it has a certificate and no key of any update"));
    let registry = stage.folder.join("authority").join(folders::REGISTRY);
    let registry = registry.to_string_lossy().into_owned();
    let (least, lesson) = (charter.least.to_string(), stage.folder.join(LESSON).to_string_lossy().into_owned());
    let mut keyholder =
        vec!["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", &least];
    if seen.lesson.is_some() {
        keyholder.extend(["--lesson", &lesson]);
    }
    let _holder = stage.party("holder", &keyholder)?;
    let mut robots = Vec::new();
    for number in 0..show.robots {
        let file = file_of(&stage, number).to_string_lossy().into_owned();
        let arm = number.to_string();
        let source = match seen.lesson {
            Some(_) => ["--lesson", &lesson, "--arm", &arm].to_vec(),
            None => ["--update", &file].to_vec(),
        };
        let arguments = [vec!["robot", "--server", &address], source].concat();
        robots.push(stage.party(&format!("robot-{number}"), &arguments)?);
    }
    stage.step(format_args!("{} robots and the key holder run, each a process of its own", show.robots));
    for round in 0..show.rounds {
        // Synthetic updates are written before the robots can send them; what the arms learn is learned again behind the kill.
        let written = if seen.lesson.is_none() { Some(means(&stage, show, &seen, round)?) } else { None };
        if round == 0 {
            // Half of the uploads are in; what comes next must not need the first server's memory.
            let half = format!("{} of {count} uploads", show.robots / 2);
            stage.wait_for("server", &half, &mut |line| tell(&stage, line))?;
            drop(server);
            stage.step("the server is killed (SIGKILL), and started again");
            server = serve(&address)?;
        }
        let expected = written.map_or_else(|| means(&stage, show, &seen, round), Ok)?;
        let over = format!("round {round} is over");
        stage.wait_for("holder", &over, &mut |line| tell(&stage, line))?;
        check(&stage, &charter, show, round, &mut seen, &expected)?;
    }
    drop(server);
    stage.step("done. The folders of the fleet are removed");
    Ok(())
}

/// The authority, and a folder for each party.
fn found(stage: &Stage, show: Show) -> Result<(Charter, Seen), Failure> {
    let least = (show.robots as u64).min(folding::lwe::Policy::MIN_CLIENTS);
    let (values, model, clip, lesson) = match show.updates {
        Updates::Synthetic(values) => (values, Id(Sha256::digest(b"demo's base").into()), 1.0, None),
        Updates::Arms(config) => {
            let folder = stage.folder.join(LESSON);
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
    let authority = stage.folder.join("authority");
    let charter = folders::create(&authority, &stage.folder.join("holder"), charter)?;
    folders::add_server(&authority, &stage.folder.join("server"))?;
    for number in 0..show.robots {
        folders::add_robot(&authority, &stage.folder.join(format!("robot-{number}")))?;
    }
    let robots = show.robots;
    stage.step(format_args!(
        "an authority issued certificates for a server, a key holder and {robots} robots in {}",
        stage.folder.display()
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
    stage.folder.join(format!("robot-{number}")).join("synthetic-update.f32")
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

fn tell(stage: &Stage, (party, line): &Line) {
    let of_interest = party == "server" || party == "holder" || party == "robot-0";
    if of_interest {
        stage.step(format_args!("{party:8} {line}"));
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
    let policies = |number: usize| stage.folder.join(format!("robot-{number}/policies"));
    let running = fs::read_to_string(policies(0).join("running")).unwrap_or_else(|_| charter.model.clone());
    if running.trim() == seen.running {
        stage.step(format_args!("round {round}: nothing new was deployed; robots run what they ran"));
        return Ok(());
    }
    let bytes = fs::read(policies(0).join(running.trim())).map_err(failed)?;
    let publisher = folders::publisher(&stage.folder.join("robot-0"))?;
    let package = Package::open(&bytes, &publisher).map_err(failed)?;
    let adapter = adapter_values(package.section(ADAPTER).unwrap_or_default()).map_err(failed)?;
    let others = (1..show.robots).filter(|number| {
        let other = fs::read_to_string(policies(*number).join("running"));
        other.is_ok_and(|other| other == running)
    });
    let same = 1 + others.count();
    let off = adapter.iter().zip(&seen.adapter).zip(expected);
    let off = off.map(|((new, old), mean)| (f64::from(*new) - f64::from(*old) - mean).abs()).fold(0.0, f64::max);
    let step = f64::from(charter.clip) / 127.0;
    if off > step {
        return Err(Failure::Wrong(format!("a mean is off by {off:.2e}, more than a step of the grid ({step:.2e})")));
    }
    stage.step(format_args!(
        "round {round}: {same} of {} robots run version {} ({} bytes, signed by two schemes); its mean is off by {off:.1e} at most from that in the clear, a step of the grid is {step:.1e}",
        show.robots,
        package.origin().version,
        bytes.len()
    ));
    (seen.running, seen.adapter) = (running.trim().to_owned(), adapter);
    Ok(())
}
