//! `tensorguard demo`: a whole fleet on this machine, each party a process of its own, shown at work.

use super::charter::Charter;
use super::files::{adapter_values, read_floats};
use super::{failed, folders, say};
use crate::failure::Failure;
use crate::rounds::update;
use fleet_client::protocol::Id;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use trust::package::{ADAPTER, Package};

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// Robots.
    pub robots: usize,
    /// Values in an update.
    pub values: u64,
    /// Rounds.
    pub rounds: u64,
}

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
    let charter = found(&stage, show)?;
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
    let least = charter.least.to_string();
    let _holder = stage.party(
        "holder",
        &["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", &least],
    )?;
    let mut robots = Vec::new();
    for number in 0..show.robots {
        let (name, file) = (format!("robot-{number}"), file_of(&stage, number));
        let file = file.to_string_lossy().into_owned();
        robots.push(stage.party(&name, &["robot", "--server", &address, "--update", &file])?);
    }
    stage.step(format_args!("{} robots and the key holder run, each a process of its own", show.robots));
    for round in 0..show.rounds {
        let expected = means(&stage, show, round)?;
        if round == 0 {
            // Half of the uploads are in; what comes next must not need the first server's memory.
            let half = format!("{} of {count} uploads", show.robots / 2);
            stage.wait_for("server", &half, &mut |line| tell(&stage, line))?;
            drop(server);
            stage.step("the server is killed (SIGKILL), and started again");
            server = serve(&address)?;
        }
        let over = format!("round {round} is over");
        stage.wait_for("holder", &over, &mut |line| tell(&stage, line))?;
        check(&stage, &charter, show, round, &expected)?;
    }
    drop(server);
    stage.step("done: every robot runs the last package. The folders of the fleet are removed");
    Ok(())
}

/// The authority, and a folder for each party.
fn found(stage: &Stage, show: Show) -> Result<Charter, Failure> {
    let least = (show.robots as u64).min(folding::lwe::Policy::MIN_CLIENTS);
    let charter = Charter {
        fleet: "demo".into(),
        values: show.values,
        bits: 8,
        clip: 1.0,
        least,
        model: Id(Sha256::digest(b"demo's base").into()).to_string(),
        holder: String::new(),
    };
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
    Ok(charter)
}

fn file_of(stage: &Stage, number: usize) -> PathBuf {
    stage.folder.join(format!("robot-{number}")).join("synthetic-update.f32")
}

/// Writes this round's updates, and says what their mean is. Nobody learns here: the updates are synthetic, uniform noise from
/// the robot's and the round's number.
fn means(stage: &Stage, show: Show, round: u64) -> Result<Vec<f64>, Failure> {
    let mut mean = vec![0.0; show.values as usize];
    for number in 0..show.robots {
        let values = update(round << 16 | number as u64, show.values as usize);
        mean.iter_mut().zip(&values).for_each(|(mean, value)| *mean += f64::from(*value) / show.robots as f64);
        let path = file_of(stage, number);
        let fresh = path.with_extension("fresh");
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &path)).map_err(failed)?;
    }
    let bytes = 4 * show.values;
    stage.step(format_args!("round {round}: a synthetic update of {bytes} bytes for each robot (nobody trains here)"));
    Ok(mean)
}

fn tell(stage: &Stage, (party, line): &Line) {
    let of_interest = party == "server" || party == "holder" || party == "robot-0";
    if of_interest {
        stage.step(format_args!("{party:8} {line}"));
    }
}

/// Compares what robots run with the plain updates.
fn check(stage: &Stage, charter: &Charter, show: Show, round: u64, expected: &[f64]) -> Result<(), Failure> {
    let publisher = folders::publisher(&stage.folder.join("robot-0"))?;
    let adapter = |folder: &Path| -> Result<Vec<f32>, Failure> {
        read_floats(&folder.join("policies/adapter.safetensors")).map_err(failed)
    };
    let first = adapter(&stage.folder.join("robot-0"))?;
    for number in 1..show.robots {
        if adapter(&stage.folder.join(format!("robot-{number}")))? != first {
            return Err(Failure::Wrong(format!("robot {number} runs another adapter than robot 0")));
        }
    }
    let running = fs::read_to_string(stage.folder.join("robot-0/policies/running")).map_err(failed)?;
    let bytes = fs::read(stage.folder.join("robot-0/policies").join(running.trim())).map_err(failed)?;
    let package = Package::open(&bytes, &publisher).map_err(failed)?;
    let version = package.origin().version;
    let before = match package.origin().parent {
        None => vec![0.0; first.len()],
        Some(_) => previous(stage, round)?,
    };
    let off = first.iter().zip(&before).zip(expected).map(|((new, old), mean)| (f64::from(new - old) - mean).abs());
    let off = off.fold(0.0, f64::max);
    let step = f64::from(charter.clip) / 127.0;
    if off > step {
        return Err(Failure::Wrong(format!("a mean is off by {off:.2e}, more than a step of the grid ({step:.2e})")));
    }
    let values = package.section(ADAPTER).map(adapter_values).transpose().map_err(failed)?.unwrap_or_default().len();
    fs::write(
        stage.folder.join(format!("adapter-{round}")),
        first.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>(),
    )
    .map_err(failed)?;
    stage.step(format_args!(
        "round {round}: all {} robots run version {version} ({values} values, {} bytes, signed twice); its mean is off by {off:.1e} at most, a step of the grid is {step:.1e}",
        show.robots,
        bytes.len()
    ));
    Ok(())
}

fn previous(stage: &Stage, round: u64) -> Result<Vec<f32>, Failure> {
    read_floats(&stage.folder.join(format!("adapter-{}", round - 1))).map_err(failed)
}
