//! One server under load, in a process of its own that two cores run, and its memory. The large one: `cargo test --release -p tensorguard
//! --test commands load -- --ignored --nocapture`, or `scripts/full-check load`.

use crate::scratch::Scratch;
use fleet_client::link::{Credentials, Link, Timeouts};
use fleet_client::protocol::{Question, Reply, Request, Terms, Work};
use fleet_client::{Keep, Prepared, prepare};
use folding::lwe::{ForgetfulLog, UpdateId};
use kernels::cpu::Cpu;
use rand::SeedableRng;
use rand::rngs::ChaCha20Rng;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tensorguard::fleet::charter::Charter;
use tensorguard::fleet::folders;
use tensorguard::rounds::update;

const SMALL_MB: u64 = 110;
const LARGE_MB: u64 = 160;

/// What a server is put under, and what it may take.
#[derive(Clone, Copy)]
struct Load {
    robots: usize,
    values: u64,
    /// Megabytes above the server as it stands before the first upload: docs/FLEET.md.
    stated_mb: u64,
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// A line of /proc/<pid>/status.
    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
        line.trim().to_owned()
    }

    /// The same, in kilobytes.
    fn status_kb(&self, name: &str) -> u64 {
        self.status(name).split_whitespace().next().and_then(|kb| kb.parse().ok()).expect("a number")
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

/// Enrols, and waits for the round.
async fn enter(link: &mut Link, running: fleet_client::protocol::Id) -> Terms {
    assert_eq!(link.ask(&Request::Enrol, Duration::ZERO).await, Ok(Reply::Noted));
    loop {
        if let Ok(Reply::Work(Work::Update(terms))) = link.ask(&Request::Next { running }, Duration::from_secs(5)).await
        {
            return terms;
        }
    }
}

fn robot(folder: &Path, address: &str, charter: &Charter, number: usize) -> (usize, Duration) {
    let credentials = Credentials::read(folder).expect("its folder");
    let mut link = Link::new(address, &credentials, Timeouts::default()).expect("a link");
    block_on(async {
        let terms = enter(&mut link, charter.terms(2, 2).model).await;
        let prepared: Prepared = {
            let values = update(number as u64, charter.values as usize);
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            let (identity, holder) = (folders::identity(folder).unwrap(), folders::holder_public(folder).unwrap());
            let (mut rng, mut log) = (ChaCha20Rng::seed_from_u64(number as u64), ForgetfulLog::default());
            let (keep, update) = (Keep::new(folder), (UpdateId(id), &values[..]));
            prepare(&terms, update, &identity, &holder, &mut log, &keep, &mut rng, &Cpu::best(1)).expect("an upload")
        };
        let (signed, leaves) = (prepared.kept.signed.clone(), prepared.kept.leaves.clone());
        let begin = Instant::now();
        let from = link.ask(&Request::Announce { signed, leaves }, Duration::ZERO).await;
        assert_eq!(from, Ok(Reply::SendFrom(0)), "robot {number}");
        let len = prepared.stream.len();
        assert_eq!(link.upload(0, prepared.stream.into()).await, Ok(Reply::Stored), "robot {number}");
        (len, begin.elapsed())
    })
}

/// What the key holder does last: fetches the sum, so many bytes.
fn sum(folder: &Path, address: &str) -> usize {
    let credentials = Credentials::read(folder).expect("its folder");
    let mut link = Link::new(address, &credentials, Timeouts::default()).expect("a link");
    block_on(async {
        match link.ask(&Request::Ask, Duration::from_secs(5)).await {
            Ok(Reply::Question(Question::Open { terms, revision, .. })) => {
                let len = terms.round().expect("good terms").agreement().sum_len();
                link.sum(revision, len as u64).await.expect("the sum").len()
            }
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn twenty_robots_of_a_megabyte_fit_the_stated_memory() {
    put(Load { robots: 20, values: 250_000, stated_mb: SMALL_MB });
}

#[test]
#[ignore = "half a gigabyte of uploads: scripts/full-check load"]
fn a_hundred_robots_of_ten_megabytes_fit_the_stated_memory() {
    put(Load { robots: 100, values: 2_500_000, stated_mb: LARGE_MB });
}

/// Of a list such as `0-1,4`.
fn cores_of(list: &str) -> usize {
    let number = |text: &str| text.parse::<usize>().expect("a core's number");
    let cores = |range: &str| range.split_once('-').map_or(1, |(first, last)| number(last) - number(first) + 1);
    list.split(',').map(cores).sum()
}

/// Starts a process that no other core may help. Robots run wherever there is room.
fn on_two_cores(mut command: Command) -> Child {
    // A process is allowed what the thread is that starts it.
    let start = move || {
        let ours = sched_getaffinity(None).expect("Linux");
        let mut two = CpuSet::new();
        (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).take(2).for_each(|cpu| two.set(cpu));
        sched_setaffinity(None, &two).expect("fewer cores than it has are allowed");
        command.spawn().unwrap()
    };
    std::thread::spawn(start).join().unwrap()
}

fn put(Load { robots: count, values, stated_mb }: Load) {
    let root = Scratch::new(&format!("load-{count}"));
    let charter = Charter {
        fleet: "load".into(),
        values,
        bits: 8,
        clip: 1.0,
        least: count as u64,
        model: "00".repeat(32),
        holder: String::new(),
    };
    let authority = root.join("authority");
    let charter = folders::create(&authority, &root.join("holder"), charter).unwrap();
    folders::add_server(&authority, &root.join("server")).unwrap();
    let names: Vec<_> = (0..count).map(|number| root.join(format!("robot-{number}"))).collect();
    for folder in &names {
        folders::add_robot(&authority, folder).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
    command.args(["server", "--listen", "127.0.0.1:0", "--open-s", "3600", "--robots", &count.to_string(), "--folder"]);
    command.arg(root.join("server")).stdout(Stdio::piped());
    let mut child = on_two_cores(command);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = Server(child);
    let address = lines.next().unwrap().unwrap().replace("listening on ", "");
    let cores = server.status("Cpus_allowed_list:");
    assert!(cores_of(&cores) <= 2, "{cores}: more than two cores");
    let before = server.status_kb("VmHWM:");
    let begin = Instant::now();
    let sent: Vec<(usize, Duration)> = std::thread::scope(|scope| {
        let (address, charter) = (&address, &charter);
        let mut robots = Vec::new();
        for (number, folder) in names.iter().enumerate() {
            robots.push(scope.spawn(move || robot(folder, address, charter, number)));
        }
        robots.into_iter().map(|robot| robot.join().unwrap()).collect()
    });
    let elapsed = begin.elapsed();
    assert!(lines.map_while(Result::ok).any(|line| line.contains(&format!("closed with {count} uploads"))));
    let sum = sum(&root.join("holder"), &address);
    let peak_mb = (server.status_kb("VmHWM:") - before) / 1000;
    let bytes: usize = sent.iter().map(|(len, _)| len).sum();
    let slowest = sent.iter().map(|(_, took)| *took).max().unwrap_or_default();
    println!(
        "{count} robots, {bytes} bytes in all, a sum of {sum}, {:.1} s with their encryption",
        elapsed.as_secs_f64()
    );
    println!(
        "slowest upload {:.1} s; server on cores {cores}: {} MB before, {peak_mb} MB above it at most",
        slowest.as_secs_f64(),
        before / 1000
    );
    let cpu = fs::read_to_string(format!("/proc/{}/stat", server.0.id())).unwrap();
    let ticks: u64 =
        cpu.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    println!("server's CPU time {:.1} s", ticks as f64 / 100.0);
    drop(server);
    assert!(peak_mb <= stated_mb, "{peak_mb} MB, stated are {stated_mb}");
}
