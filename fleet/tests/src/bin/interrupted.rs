//! A robot and a key holder who keep their logs in files and are interrupted on request: started and killed by
//! tests/once.rs.
//!
//! `interrupted robot LOG STOP ROUND` seals one update under one key, the same each time; `interrupted holder LOG STOP ROUND`
//! answers for three robots. Both make the log if there is none. STOP is where to wait to be killed: `never`,
//! `before N`, `after N` (write N to the log in this run), `unprinted`, `printed`; or `during N BYTES`: the system kills the
//! process when it has written that many bytes of the write.

use kernels::cpu::Cpu;
use lwe::{
    Agreement, AnswerLog, Created, Entry, ForgetfulLog, HolderKey, Keys, LogError, MessageKey, NotVerified, Params,
    Part, Policy, RobotId, SealLog, Terms, UpdateId, Upload, VerifiedManifest, Verifier, answer,
};
use rand::{SeedableRng, rngs::ChaCha20Rng};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use tensorguard::logs::{AnswerFile, SealFolder};

const ROBOTS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Never,
    Before(usize),
    During { write: usize, bytes: u64 },
    After(usize),
    Unprinted,
    Printed,
}

impl Stop {
    fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        Ok(match text.split(' ').collect::<Vec<_>>()[..] {
            ["never"] => Self::Never,
            ["before", write] => Self::Before(write.parse()?),
            ["during", write, bytes] => Self::During { write: write.parse()?, bytes: bytes.parse()? },
            ["after", write] => Self::After(write.parse()?),
            ["unprinted"] => Self::Unprinted,
            ["printed"] => Self::Printed,
            _ => return Err(format!("no stop is called {text:?}").into()),
        })
    }

    /// Waits to be killed, if it is this stop.
    fn reach(self, here: Self) {
        if self == here {
            say("stopped");
            loop {
                std::thread::park();
            }
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the test reads this");
}

/// From now on the system kills this process when a file of its would grow past `bytes`.
fn limit_files(bytes: u64) {
    let set = |resource, current| {
        let maximum = getrlimit(resource).maximum;
        setrlimit(resource, Rlimit { current: Some(current), maximum }).expect("a limit can be lowered");
    };
    set(Resource::Core, 0);
    set(Resource::Fsize, bytes);
}

/// A log that stops at writes of its own counting.
struct Stopping<'a, L> {
    log: L,
    path: &'a Path,
    stop: Stop,
    count: usize,
}

impl<L> Stopping<'_, L> {
    fn around<T>(&mut self, written: u64, work: impl FnOnce(&mut L) -> T) -> T {
        let here = self.count;
        self.count += 1;
        self.stop.reach(Stop::Before(here));
        if let Stop::During { write, bytes } = self.stop
            && write == here
        {
            limit_files(written + bytes);
        }
        let done = work(&mut self.log);
        self.stop.reach(Stop::After(here));
        done
    }
}

impl SealLog for Stopping<'_, SealFolder> {
    fn create(&mut self, name: &[u8; 32], content: &[u8; 32]) -> Result<Created, LogError> {
        self.around(0, |log| log.create(name, content))
    }
}

impl AnswerLog for Stopping<'_, AnswerFile> {
    fn entries(&mut self) -> Result<Vec<Entry>, LogError> {
        self.log.entries()
    }

    fn append(&mut self, entry: &Entry) -> Result<(), LogError> {
        self.append_all(std::slice::from_ref(entry))
    }

    fn append_all(&mut self, entries: &[Entry]) -> Result<(), LogError> {
        let written = self.path.metadata().expect("the log is there").len();
        self.around(written, |log| log.append_all(entries))
    }
}

/// The same holder, robots and keys each time: what a restored disk or a forked process would have.
struct Scene {
    holder: HolderKey,
    agreement: Agreement,
    rng: ChaCha20Rng,
}

impl Scene {
    fn new(round: u64) -> Result<Self, Box<dyn Error>> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let holder = HolderKey::generate(&mut rng);
        let agreement = Agreement::new(&Terms {
            params: &Params::FL_1024_22,
            fleet: b"fleet",
            model: [0; 32],
            round,
            attempt: 0,
            class: b"",
            value_bits: 4,
            planned: ROBOTS.into(),
            length: 5,
            keys: holder.public().model(),
        })?;
        Ok(Self { holder, agreement, rng })
    }

    fn upload(&mut self, robot: u8, log: &mut dyn SealLog) -> Result<Upload, Box<dyn Error>> {
        let key = MessageKey::new(&self.agreement, RobotId([robot; 32]), &self.holder.public(), &mut self.rng)?;
        let values = &[robot.into(), 1, 2, 3, 4][..];
        Ok(self.agreement.encrypt(key, UpdateId([robot; 32]), values, vec![], log, &Cpu::best(1))?)
    }
}

struct Everybody;

impl Verifier for Everybody {
    fn verify(&self, _robot: RobotId, _signed: &[u8], _signature: &[u8]) -> Result<(), NotVerified> {
        Ok(())
    }
}

fn robot(path: &Path, stop: Stop, round: u64) -> Result<String, Box<dyn Error>> {
    let log = if path.exists() { SealFolder::open(path)? } else { SealFolder::create(path)? };
    let upload = Scene::new(round)?.upload(1, &mut Stopping { log, path, stop, count: 0 })?;
    Ok(format!("sealed {} bytes", upload.bytes().len()))
}

fn holder(path: &Path, stop: Stop, round: u64) -> Result<String, Box<dyn Error>> {
    let (mut scene, backend) = (Scene::new(round)?, Cpu::best(1));
    let (mut sum, mut manifests) = (scene.agreement.sum(), Vec::new());
    for robot in 0..ROBOTS {
        let upload = scene.upload(robot, &mut ForgetfulLog::default())?;
        sum.add(&[lwe::Ciphertext::read(&scene.agreement, upload.bytes())?], &backend)?;
        manifests.push(VerifiedManifest::check(upload.manifest(), b"", &Everybody)?);
    }
    let log = if path.exists() {
        let (log, recovery) = AnswerFile::open(path)?;
        say(&recovery.to_string());
        log
    } else {
        AnswerFile::create(path)?
    };
    let mut log = Stopping { log, path, stop, count: 0 };
    let part = Part { agreement: &scene.agreement, sum: &sum, manifests: &manifests };
    let policy = Policy::lowered_to(ROBOTS.into());
    let opened = answer(Keys::Holder(&scene.holder), policy, &[part], &mut log, None, &backend)?;
    Ok(format!("answered {:?}", opened[0].values()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [who, path, stop, round] = &arguments[..] else { return Err("usage: robot|holder LOG STOP ROUND".into()) };
    let (path, stop, round) = (Path::new(path), Stop::parse(stop)?, round.parse()?);
    let done = match who.as_str() {
        "robot" => robot(path, stop, round),
        "holder" => holder(path, stop, round),
        _ => return Err("who is robot or holder".into()),
    };
    match done {
        Ok(done) => {
            stop.reach(Stop::Unprinted);
            say(&done);
            stop.reach(Stop::Printed);
        }
        Err(refused) => say(&format!("refused: {refused}")),
    }
    Ok(())
}
