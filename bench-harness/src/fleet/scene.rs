//! A fleet's parties as processes of this program, each in a folder of its own below one, heard by the lines that they print.

use super::charter::Charter;
use super::files::adapter_values;
use super::{failed, folders};
use crate::failure::Failure;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use trust::package::{ADAPTER, Package};

/// Without news for so long, something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// Scenes of this process so far: each has a folder of its own.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Something that a party printed; `None` is its end.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The party.
    pub(crate) party: String,
    /// The line.
    pub(crate) line: Option<String>,
    /// When it was heard.
    pub(crate) at: Instant,
}

impl Told {
    /// The line, empty at a party's end.
    pub(crate) fn text(&self) -> &str {
        self.line.as_deref().unwrap_or_default()
    }
}

/// A party's process; killed when dropped.
pub(crate) struct Party(Child);

impl Party {
    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A fleet's folder, and what its parties say. The folder is removed with it.
pub(crate) struct Scene {
    folder: PathBuf,
    lines: Sender<Told>,
    told: Receiver<Told>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A package that robots run.
#[derive(Debug)]
pub(crate) struct Running {
    /// Its hash, as the robots' folders name it.
    pub(crate) name: String,
    /// Its adapter.
    pub(crate) adapter: Vec<f32>,
    /// Its version.
    pub(crate) version: u64,
    /// Its length.
    pub(crate) bytes: usize,
    /// Robots that run it, of those that were looked at.
    pub(crate) robots: usize,
}

impl Scene {
    /// A new folder for it.
    pub(crate) fn new(what: &str) -> Result<Self, Failure> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tensorguard-{what}-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| failed(format_args!("{}: {error}", folder.display())))?;
        let (lines, told) = channel();
        Ok(Self { folder, lines, told })
    }

    /// Where it lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path below it, as an argument.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Makes the authority, and a folder for each party.
    pub(crate) fn enrol(&self, charter: Charter, robots: usize) -> Result<Charter, Failure> {
        let authority = self.folder.join("authority");
        let charter = folders::create(&authority, &self.folder.join("holder"), charter)?;
        folders::add_server(&authority, &self.folder.join("server"))?;
        for number in 0..robots {
            folders::add_robot(&authority, &self.folder.join(format!("robot-{number}")))?;
        }
        Ok(charter)
    }

    /// Starts a party: `through` is what starts it, if not this program itself.
    pub(crate) fn start(&self, name: &str, through: &[String], arguments: &[&str]) -> Result<Party, Failure> {
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = match through {
            [] => Command::new(own),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(own);
                command
            }
        };
        command.args(arguments).arg("--folder").arg(self.folder.join(name));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut party = Party(child.map_err(|error| failed(format_args!("cannot start {name}: {error}")))?);
        let (out, lines, name) = (party.0.stdout.take(), self.lines.clone(), name.to_owned());
        std::thread::spawn(move || {
            let read = out.into_iter().flat_map(|out| BufReader::new(out).lines().map_while(Result::ok));
            for line in read.map(Some).chain([None]) {
                if lines.send(Told { party: name.clone(), line, at: Instant::now() }).is_err() {
                    return;
                }
            }
        });
        Ok(party)
    }

    /// The next thing that a party says.
    pub(crate) fn hear(&self, awaited: &str) -> Result<Told, Failure> {
        self.told.recv_timeout(PATIENCE).map_err(|_| {
            let seconds = PATIENCE.as_secs();
            failed(format_args!("no party said anything for {seconds} s; awaited is {awaited}"))
        })
    }

    /// Waits for a party to say something with this in it; hands everything to `each`.
    pub(crate) fn wait_for(&self, party: &str, what: &str, each: &mut dyn FnMut(&Told)) -> Result<Told, Failure> {
        self.wait_until(party, what, &|line| line.contains(what), each)
    }

    /// Waits for a party to say a line that is `right`; hands everything to `each`.
    pub(crate) fn wait_until(
        &self,
        party: &str,
        what: &str,
        right: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(&Told),
    ) -> Result<Told, Failure> {
        loop {
            let told = self.hear(&format!("{what:?} of {party}"))?;
            each(&told);
            if told.party == party {
                match &told.line {
                    Some(line) if right(line) => return Ok(told),
                    Some(_) => {}
                    None => {
                        return Err(failed(format_args!("{party} ended before it said {what:?}: its error is above")));
                    }
                }
            }
        }
    }

    /// What the first robot runs, and how many run the same; none if that is what they began with.
    pub(crate) fn running(&self, robots: usize, charter: &Charter) -> Result<Option<Running>, Failure> {
        let policies = |number: usize| self.folder.join(format!("robot-{number}/policies"));
        let named = |number: usize| fs::read_to_string(policies(number).join("running"));
        let Ok(name) = named(0).map(|name| name.trim().to_owned()) else { return Ok(None) };
        if name == charter.model {
            return Ok(None);
        }
        let bytes = fs::read(policies(0).join(&name)).map_err(failed)?;
        let publisher = folders::publisher(&self.folder.join("robot-0"))?;
        let package = Package::open(&bytes, &publisher).map_err(failed)?;
        let adapter = adapter_values(package.section(ADAPTER).unwrap_or_default()).map_err(failed)?;
        let version = package.origin().version;
        let robots = (0..robots).filter(|&number| named(number).is_ok_and(|other| other.trim() == name)).count();
        Ok(Some(Running { bytes: bytes.len(), name, adapter, version, robots }))
    }
}

/// The farthest that the step from an adapter to the next is from this mean. No number stays no number.
pub(crate) fn distance(old: &[f32], new: &[f32], mean: &[f64]) -> f64 {
    let off = new.iter().zip(old).zip(mean).map(|((new, old), mean)| (f64::from(*new) - f64::from(*old) - mean).abs());
    let lengths = (old.len(), new.len()) == (mean.len(), mean.len());
    off.fold(if lengths { 0.0 } else { f64::NAN }, |most, off| if off >= most || off.is_nan() { off } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_ends_is_not_waited_for() {
        let scene = Scene::new("scene-test").expect("a folder");
        // The test's own program knows no such argument, and ends.
        let _party = scene.start("server", &[], &["--no-such-argument"]).expect("it starts");
        let begin = Instant::now();
        let failure = scene.wait_for("server", "listening", &mut |_| {}).expect_err("it never listens");
        assert!(failure.to_string().contains("ended") && begin.elapsed() < PATIENCE, "{failure}");
        let folder = scene.folder().to_owned();
        drop(scene);
        assert!(!folder.exists());
    }

    #[test]
    fn a_distance_that_is_no_number_is_not_small() {
        assert_eq!(distance(&[1.0, 1.0], &[1.5, 2.0], &[0.5, 0.75]), 0.25);
        assert!(distance(&[0.0, 0.0], &[f32::NAN, 0.0], &[0.0, 0.0]).is_nan());
        assert!(distance(&[0.0], &[0.0], &[0.0, 0.0]).is_nan());
    }
}
