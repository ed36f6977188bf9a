//! A fleet on loopback: its folders, its server, its robots and its key holder, each on a thread of its own.

use fleet_client::{Keep, Learner, Member};
use fleet_keyholder::{Custody, Deployer, Deploying, Means, Move};
use fleet_server::{Desk, Disk, Folder, Limits, StartError};
use folding::lwe::{HolderKey, HolderPublic, Policy, UpdateId, Verifier};
use kernels::cpu::Cpu;
use link::{Authority, Credentials, Link, Revocations, Role, Timeouts};
use protocol::{Audience, Health, Id, Offer, Pins, Plan, Terms};
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;
use tensorguard::logs::{AnswerFile, SealFolder};
use trust::identity::{Identity, Registry};

/// Everything a fleet has on disk, removed with it.
pub(crate) struct Fleet {
    root: PathBuf,
    pub(crate) plan: Plan,
    pub(crate) registry: Registry,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

pub(crate) fn robot_id(number: u8) -> Id {
    identity(number).public().robot().into()
}

pub(crate) fn base() -> Id {
    Id([0xBA; 32])
}

impl Fleet {
    /// `name` is the test's own.
    pub(crate) fn new(name: &str, robots: u8, length: u64) -> Self {
        let root = std::env::temp_dir().join(format!("tensorguard-fleet-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let authority = Authority::create(&root.join("authority")).unwrap();
        authority.issue(Role::Server, &root.join("server")).unwrap();
        authority.issue(Role::Holder, &root.join("holder")).unwrap();
        let mut registry = Registry::default();
        for number in 0..robots {
            registry.enrol(identity(number).public().clone()).unwrap();
            authority.issue(Role::Robot(robot_id(number)), &root.join(format!("robot-{number}"))).unwrap();
        }
        let count = u64::from(robots.max(2));
        let mut fleet = Self { root, plan: plan(count, length), registry };
        fleet.plan.terms.holder = Id(fleet.holder_key().public().fingerprint());
        fleet
    }

    pub(crate) fn path(&self, party: &str) -> PathBuf {
        self.root.join(party)
    }

    pub(crate) fn holder_key(&self) -> HolderKey {
        HolderKey::generate(&mut ChaCha20Rng::seed_from_u64(7))
    }

    /// The key holder's memory of what it answered, which outlives it.
    pub(crate) fn answer_log(&self) -> AnswerFile {
        let path = self.path("holder").join("answers");
        if path.exists() { AnswerFile::open(&path).unwrap().0 } else { AnswerFile::create(&path).unwrap() }
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(Folder::open(&self.path("server/state")).unwrap())
    }

    pub(crate) fn pins(&self) -> Pins {
        let Terms { fleet, holder, length, clip, least, .. } = self.plan.terms.clone();
        Pins { fleet, holder, length, most_clip: clip, least }
    }

    pub(crate) fn link(&self, party: &str, server: SocketAddr) -> Link {
        let credentials = Credentials::read(&self.path(party)).unwrap();
        Link::new(&server.to_string(), &credentials, Timeouts::default()).unwrap()
    }
}

fn plan(robots: u64, length: u64) -> Plan {
    let (round, attempt, model, holder) = (0, 0, base(), Id([0; 32]));
    let (bits, clip, fleet) = (8, 1.0, "arms".to_owned());
    let terms =
        Terms { fleet, round, attempt, model, holder, length, bits, clip, planned: robots, quorum: robots, least: 2 };
    Plan { terms, open_ms: 600_000, attempts: 3, rounds: 1, most_robots: 1000 }
}

/// A server on a thread, until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) desk: Arc<Desk>,
    acceptors: tokio::sync::watch::Sender<link::TlsAcceptor>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Accepts by the list that is in the server's folder now.
    pub(crate) fn renew(&self, fleet: &Fleet) {
        self.acceptors.send(acceptor(fleet)).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) fn open_desk(fleet: &Fleet, disk: Arc<dyn Disk>) -> Result<Desk, StartError> {
    let clock = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64);
    Desk::open(disk, fleet.plan.clone(), Box::new(Cpu::best(1)), Box::new(clock))
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn serve(fleet: &Fleet, disk: Arc<dyn Disk>) -> Running {
    serve_at(fleet, open_desk(fleet, disk).unwrap(), free_address())
}

/// As the server's folder says now.
pub(crate) fn acceptor(fleet: &Fleet) -> link::TlsAcceptor {
    let folder = fleet.path("server");
    link::acceptor(&Credentials::read(&folder).unwrap(), &Revocations::read(&folder).unwrap()).unwrap()
}

pub(crate) fn serve_at(fleet: &Fleet, desk: Desk, address: SocketAddr) -> Running {
    let desk = Arc::new(desk);
    let (acceptors, accepting) = tokio::sync::watch::channel(acceptor(fleet));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, bound) = std::sync::mpsc::channel();
    let at_work = desk.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            ready.send(()).unwrap();
            tokio::select! {
                () = fleet_server::serve(listener, accepting, at_work, Limits::default()) => {}
                _ = stopped => {}
            }
        });
    });
    bound.recv().unwrap();
    Running { address, desk, acceptors, stop: Some(stop), thread: Some(thread) }
}

/// Longer than anything here takes on a machine with others' work on it: whoever is not done by then hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Runs one party's future on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("done in time") })
}

/// Runs one party's future for so long at most; then the party is gone, wherever it was.
pub(crate) fn live<T>(life: Duration, work: impl Future<Output = T>) -> Option<T> {
    block_on(async { tokio::time::timeout(life, work).await.ok() })
}

/// Lives that grow longer, until one is long enough on however slow a machine: two milliseconds, and a tenth more each time.
pub(crate) fn lives() -> impl Iterator<Item = Duration> {
    (0..).map(|count| Duration::from_secs_f64(0.002 * 1.1f64.powi(count))).take_while(|life| *life < PATIENCE)
}

/// The signing keys of robot `number`.
pub(crate) fn identity(number: u8) -> Identity {
    Identity::generate(&mut ChaCha20Rng::seed_from_u64(5000 + u64::from(number)))
}

/// What robot `number` learns: the same in every round.
pub(crate) fn values(number: u8, length: u64) -> Vec<f32> {
    (0..length).map(|index| ((index * 37 + u64::from(number) * 101) % 200) as f32 / 100.0 - 1.0).collect()
}

pub(crate) struct Arm {
    pub(crate) number: u8,
    pub(crate) running: Id,
    pub(crate) packages: Vec<Vec<u8>>,
}

impl Arm {
    pub(crate) fn new(number: u8) -> Self {
        Self { number, running: base(), packages: vec![] }
    }
}

impl Learner for Arm {
    fn running(&self) -> Id {
        self.running
    }

    fn update(&mut self, terms: &Terms) -> Result<(UpdateId, Vec<f32>), String> {
        let id = Sha256::digest([&[self.number][..], &terms.round.to_le_bytes()].concat());
        Ok((UpdateId(id.into()), values(self.number, terms.length)))
    }

    fn has(&self, package: Id) -> bool {
        package == base()
    }

    fn apply(&mut self, package: Id, bytes: Option<&[u8]>) -> Health {
        self.running = package;
        self.packages.extend(bytes.map(<[u8]>::to_vec));
        Health::Healthy
    }
}

/// Everybody gets the mean, as it is.
pub(crate) struct MeanForAll;

pub(crate) fn packed(mean: &[f32]) -> Vec<u8> {
    mean.iter().flat_map(|value| value.to_le_bytes()).collect()
}

impl Deployer for MeanForAll {
    fn next(&mut self, deploying: &Deploying<'_>) -> Result<Move, String> {
        let bytes = packed(&deploying.mean.values);
        let package = Id(Sha256::digest(&bytes).into());
        let offer = Offer { package, audience: Audience::All };
        Ok(match deploying.healths {
            None => Move::Roll { offer, package: Some(bytes) },
            Some(healths)
                if healths.iter().filter(|(_, about, _)| *about == package).count() < deploying.enrolled.len() =>
            {
                Move::Watch
            }
            Some(_) => Move::Settle(package),
        })
    }
}

/// Keeps the means, and leaves the robots with what they run.
pub(crate) struct Kept<'a>(pub(crate) &'a mut Vec<Vec<f32>>);

impl Deployer for Kept<'_> {
    fn next(&mut self, deploying: &Deploying<'_>) -> Result<Move, String> {
        self.0.push(deploying.mean.values.clone());
        Ok(Move::Settle(deploying.terms.model))
    }
}

/// Lives of robots so far.
static LIVES: AtomicU64 = AtomicU64::new(1000);

/// Robot `number` at work until `watch` says to stop.
pub(crate) fn run_robot(
    fleet: &Fleet,
    server: SocketAddr,
    arm: &mut Arm,
    watch: &mut dyn FnMut(fleet_client::News) -> ControlFlow<()>,
) {
    assert!(run_robot_for(fleet, server, arm, PATIENCE, watch), "robot {} is not done", arm.number);
}

/// The same, killed after `life`; says whether it was done before.
pub(crate) fn run_robot_for(
    fleet: &Fleet,
    server: SocketAddr,
    arm: &mut Arm,
    life: Duration,
    watch: &mut dyn FnMut(fleet_client::News) -> ControlFlow<()>,
) -> bool {
    let folder = fleet.path(&format!("robot-{}", arm.number));
    // Other keys in each life, as with a system's randomness: the log refuses one that it has seen.
    let mut rng = ChaCha20Rng::seed_from_u64(LIVES.fetch_add(1, Ordering::SeqCst));
    let seals = folder.join("seals");
    let mut log = if seals.exists() { SealFolder::open(&seals).unwrap() } else { SealFolder::create(&seals).unwrap() };
    let holder: HolderPublic = fleet.holder_key().public();
    let mut member = Member {
        pins: fleet.pins(),
        holder,
        identity: &identity(arm.number),
        log: &mut log,
        keep: Keep::new(&folder),
        backend: &Cpu::best(1),
        rng: &mut rng,
        rest: Duration::from_millis(50),
    };
    let mut link = fleet.link(&format!("robot-{}", arm.number), server);
    let done = live(life, fleet_client::run(&mut member, &mut link, arm, watch));
    done.is_some_and(|result| result == Ok(()))
}

/// A robot is done when it has applied a package and the server has nothing more for it.
pub(crate) fn until_applied() -> impl FnMut(fleet_client::News) -> ControlFlow<()> {
    let mut applied = false;
    move |news| match news {
        fleet_client::News::Applied(..) => {
            applied = true;
            ControlFlow::Continue(())
        }
        fleet_client::News::Idle if applied => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// The key holder at work until `watch` says to stop.
pub(crate) fn run_holder(
    fleet: &Fleet,
    server: SocketAddr,
    verifier: &dyn Verifier,
    deployer: &mut dyn Deployer,
    watch: &mut dyn FnMut(fleet_keyholder::News) -> ControlFlow<()>,
) {
    assert!(run_holder_for(fleet, server, verifier, deployer, PATIENCE, watch), "the key holder is not done");
}

/// The same, killed after `life`; says whether it was done before.
pub(crate) fn run_holder_for(
    fleet: &Fleet,
    server: SocketAddr,
    verifier: &dyn Verifier,
    deployer: &mut dyn Deployer,
    life: Duration,
    watch: &mut dyn FnMut(fleet_keyholder::News) -> ControlFlow<()>,
) -> bool {
    let (key, mut log) = (fleet.holder_key(), fleet.answer_log());
    let mut custody = Custody {
        key: &key,
        fleet: fleet.plan.terms.fleet.clone(),
        verifier,
        policy: Policy::lowered_to(2),
        log: &mut log,
        means: Means::new(&fleet.path("holder")),
        backend: &Cpu::best(1),
    };
    let mut link = fleet.link("holder", server);
    let rest = Duration::from_millis(50);
    live(life, fleet_keyholder::run(&mut custody, &mut link, deployer, rest, watch)).is_some()
}

/// Robots until each has applied a package, and the key holder until a round is settled.
pub(crate) fn run_everybody(fleet: &Fleet, server: SocketAddr, numbers: Range<u8>) -> Vec<Arm> {
    run_with(fleet, server, |_| server, numbers)
}

/// The same, with a way of its own to the server for each robot.
pub(crate) fn run_with(
    fleet: &Fleet,
    server: SocketAddr,
    way: impl Fn(u8) -> SocketAddr,
    numbers: Range<u8>,
) -> Vec<Arm> {
    std::thread::scope(|scope| {
        let robots = start_robots(fleet, way, numbers, scope);
        run_holder(fleet, server, &fleet.registry, &mut MeanForAll, &mut |news| match news {
            fleet_keyholder::News::Settled { .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        robots.into_iter().map(|robot| robot.join().unwrap()).collect()
    })
}

/// The same, where servers come and go: everybody works until `settled` says that the round is. A robot whose acknowledgement was lost
/// rests, and is not done.
pub(crate) fn run_until(
    fleet: &Fleet,
    server: SocketAddr,
    verifier: &dyn Verifier,
    numbers: Range<u8>,
    settled: &(impl Fn() -> bool + Sync),
) -> Vec<Arm> {
    std::thread::scope(|scope| {
        let start = |number| {
            scope.spawn(move || {
                let (mut arm, mut applied) = (Arm::new(number), until_applied());
                run_robot(fleet, server, &mut arm, &mut |news| match applied(news) {
                    ControlFlow::Break(()) if settled() => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                });
                arm
            })
        };
        let robots: Vec<_> = numbers.map(start).collect();
        run_holder(fleet, server, verifier, &mut MeanForAll, &mut |_| {
            let done = robots.iter().all(|robot| robot.is_finished());
            if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        robots.into_iter().map(|robot| robot.join().unwrap()).collect()
    })
}

pub(crate) fn start_robots<'scope>(
    fleet: &'scope Fleet,
    way: impl Fn(u8) -> SocketAddr,
    numbers: Range<u8>,
    scope: &'scope Scope<'scope, '_>,
) -> Vec<ScopedJoinHandle<'scope, Arm>> {
    let start = |number| {
        let server = way(number);
        scope.spawn(move || {
            let mut arm = Arm::new(number);
            run_robot(fleet, server, &mut arm, &mut until_applied());
            arm
        })
    };
    numbers.map(start).collect()
}

/// What robots run is the mean of their updates.
pub(crate) fn check_mean(arms: &[Arm], robots: u8, length: u64) {
    let updates: Vec<Vec<f32>> = (0..robots).map(|number| values(number, length)).collect();
    let expected = |index: usize| updates.iter().map(|update| update[index]).sum::<f32>() / f32::from(robots);
    for arm in arms {
        let mean = arm.packages[0].as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        assert_eq!(mean.len() as u64, length);
        // Steps of the grid are 1/127; rounding at random is off by less than one of them.
        let far = mean.enumerate().find(|(index, value)| (*value - expected(*index)).abs() > 1.0 / 127.0);
        assert_eq!(far, None, "robot {}", arm.number);
    }
}
