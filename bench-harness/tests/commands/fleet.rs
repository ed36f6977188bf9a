//! The fleet's commands, as processes.

use crate::scratch::Scratch;
use folding::lwe::{AnswerLog, Entry};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tensorguard::fleet::charter::Charter;
use tensorguard::fleet::files::adapter_values;
use tensorguard::fleet::{arms, folders};
use tensorguard::logs::AnswerFile;
use tensorguard::rounds::update;
use workload::{Config, Size, Task};

/// Of the scenes below.
const ROBOTS: usize = 4;

fn tensorguard(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tensorguard")).args(arguments).output().expect("the command runs")
}

#[test]
fn the_demo_runs_a_fleet_through_a_killed_server_and_its_means_are_right() {
    let output = tensorguard(&["demo", "--robots", "3", "--synthetic", "2000", "--rounds", "2"]);
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    for line in ["the server is killed", "round 0: 3 of 3 robots run version 1", "round 1: 3 of 3 robots run version 2"]
    {
        assert!(told.contains(line), "no {line:?} in\n{told}");
    }
}

#[test]
fn a_folder_that_is_none_is_a_usage_error_that_says_who_makes_it() {
    let server = tensorguard(&["server", "--folder", "nowhere", "--robots", "20"]);
    let robot = tensorguard(&["robot", "--folder", "nowhere", "--server", "127.0.0.1:1", "--update", "x"]);
    let holder = tensorguard(&["keyholder", "--folder", "nowhere", "--server", "127.0.0.1:1", "--registry", "x"]);
    for output in [server, robot, holder] {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("tensorguard authority"), "{errors}");
    }
}

struct Party(Child);

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

type Heard = Lines<BufReader<ChildStdout>>;

struct Scene(Scratch);

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder for each party.
    fn new(name: &str, model: &str, values: u64, clip: f32) -> Self {
        let scene = Self(Scratch::new(name));
        let (fleet, least) = ("arms".to_owned(), ROBOTS as u64);
        let charter = Charter { fleet, values, bits: 8, clip, least, model: model.to_owned(), holder: String::new() };
        let authority = scene.path("authority");
        folders::create(&authority, &scene.path("holder"), charter).unwrap();
        folders::add_server(&authority, &scene.path("server")).unwrap();
        for number in 0..ROBOTS {
            folders::add_robot(&authority, &scene.path(&format!("robot-{number}"))).unwrap();
        }
        scene
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tensorguard"));
        command.args(arguments).arg("--folder").arg(self.path(folder));
        command
    }

    fn heard(&self, folder: &str, arguments: &[&str]) -> (Party, Heard) {
        let mut child = self.command(folder, arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Party(child), lines)
    }

    /// What robots run, and what their trainers read.
    fn policies(&self) -> Vec<(String, Vec<u8>)> {
        let read = |number: usize| {
            let policies = self.path(&format!("robot-{number}/policies"));
            let running = fs::read_to_string(policies.join("running")).unwrap();
            (running, fs::read(policies.join("adapter.safetensors")).unwrap())
        };
        (0..ROBOTS).map(read).collect()
    }
}

fn until(lines: &mut Heard, what: &str) -> String {
    lines.map_while(Result::ok).find(|line| line.contains(what)).unwrap_or_else(|| panic!("never said: {what:?}"))
}

fn write(path: &Path, values: impl Iterator<Item = f32>) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    fs::rename(&fresh, path).unwrap();
}

#[test]
fn a_policy_that_is_bad_on_the_robots_goes_back_and_all_run_the_package_before() {
    let (config, lesson) = (Config::of(Task::Imitation, Size::Kb10, 7), Scratch::new("canary-lesson"));
    let (model, clip) = arms::prepare(&lesson, config).unwrap();
    // Room for an update that does harm. There is no gate here, so that only the robots can tell.
    let clip = 8.0 * clip;
    let values = config.values() as u64;
    let scene = Scene::new("canary", &model.to_string(), values, clip);
    let (_server, mut said) =
        scene.heard("server", &["server", "--listen", "127.0.0.1:0", "--robots", "4", "--rounds", "2"]);
    let address = until(&mut said, "listening on ").replace("listening on ", "");
    std::thread::spawn(move || said.for_each(drop));
    let registry = scene.text("authority/registry");
    let keyholder = ["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", "4"];
    let (_holder, mut said) = scene.heard("holder", &keyholder);
    // The last robot is no arm. It sends nearly nothing, so that the first mean is what the arms learned.
    let file = scene.path("update.f32");
    write(&file, (0..values).map(|index| index as f32 * 1e-9));
    let mut robots = Vec::new();
    for number in 0..ROBOTS {
        let (arm, lesson) = (number.to_string(), lesson.to_str().unwrap());
        let source = match number == ROBOTS - 1 {
            true => vec!["--update", file.to_str().unwrap()],
            false => vec!["--lesson", lesson, "--arm", &arm],
        };
        let name = format!("robot-{number}");
        let mut command = scene.command(&name, &[&["robot", "--server", &address], &source[..]].concat());
        let log = File::create(scene.path(&format!("{name}.log"))).unwrap();
        robots.push(Party(command.stdout(log).spawn().unwrap()));
    }
    until(&mut said, "round 0 is over");
    let before = scene.policies();
    assert!(before.iter().all(|policy| *policy == before[0]), "all run the first package");
    assert_ne!(before[0].0.trim(), model.to_string());
    // Then the mean is as bad as one robot can make it.
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    write(&file, (0..values).map(|_| if rng.next_u32() % 2 == 0 { clip } else { -clip }));
    until(&mut said, "round 1 is over");
    let log = |number| fs::read_to_string(scene.path(&format!("robot-{number}.log"))).unwrap();
    let told: Vec<String> = (0..ROBOTS).map(log).collect();
    assert!(told.iter().any(|log| log.contains("Unhealthy")), "{told:?}");
    assert!(scene.policies() == before, "back on what they ran: {told:?}");
    let decisions = tensorguard(&["decisions", &scene.text("holder")]);
    let decisions = String::from_utf8_lossy(&decisions.stdout).into_owned();
    assert!(decisions.contains("rolling back"), "{decisions}");
}

/// Its first life ends at its first line, the next one at its second, and so on: by SIGKILL.
fn live_and_die(mut command: impl FnMut() -> Command, over: &AtomicBool) -> usize {
    for life in 1.. {
        let mut child = command().stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let party = Party(child);
        // A line that was said is one that the next life need not say again; what is short of its last line waits for the end.
        let said = std::thread::spawn(move || lines.map_while(Result::ok).take(life).count());
        while !said.is_finished() {
            if over.load(Ordering::SeqCst) {
                return life - 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(party);
    }
    unreachable!("lives are not counted to the end")
}

#[test]
fn every_party_is_killed_at_every_line_it_says_and_the_round_ends_right() {
    let values = 3000;
    let scene = Scene::new("killed", &"ab".repeat(32), values as u64, 1.0);
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let registry = scene.text("authority/registry");
    let updates: Vec<Vec<f32>> = (0..ROBOTS).map(|number| update(number as u64, values)).collect();
    let mut parties = vec![
        ("server".to_owned(), vec!["server", "--listen", &address, "--robots", "4", "--rounds", "1"]),
        (
            "holder".to_owned(),
            vec!["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", "4"],
        ),
    ];
    let files: Vec<String> = (0..ROBOTS).map(|number| scene.text(&format!("update-{number}.f32"))).collect();
    for (number, (file, update)) in files.iter().zip(&updates).enumerate() {
        write(Path::new(file), update.iter().copied());
        parties.push((format!("robot-{number}"), vec!["robot", "--server", &address, "--update", file]));
    }
    let over = AtomicBool::new(false);
    let deaths: Vec<usize> = std::thread::scope(|scope| {
        let (scene, over) = (&scene, &over);
        let lives = |(folder, arguments): (String, Vec<&'_ str>)| {
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            scope.spawn(move || {
                let command = || {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    scene.command(&folder, &arguments)
                };
                live_and_die(command, over)
            })
        };
        let lives: Vec<_> = parties.into_iter().map(lives).collect();
        let begin = Instant::now();
        let page = loop {
            let page = String::from_utf8(tensorguard(&["decisions", &scene.text("holder")]).stdout).unwrap();
            if page.contains("deployed") || begin.elapsed() > Duration::from_secs(300) {
                break page;
            }
            std::thread::sleep(Duration::from_millis(300));
        };
        over.store(true, Ordering::SeqCst);
        let deaths = lives.into_iter().map(|life| life.join().unwrap()).collect();
        assert!(page.contains("deployed"), "{page}");
        deaths
    });
    assert!(deaths.iter().all(|deaths| *deaths >= 2), "{deaths:?}");
    let policies = scene.policies();
    assert!(policies.iter().all(|policy| *policy == policies[0]));
    let mean = adapter_values(&policies[0].1).unwrap();
    for (index, mean) in mean.iter().enumerate() {
        let expected = updates.iter().map(|update| update[index].clamp(-1.0, 1.0)).sum::<f32>() / ROBOTS as f32;
        assert!((mean - expected).abs() <= 1.0 / 127.0, "value {index}: {mean}, expected {expected}");
    }
    let (mut log, _) = AnswerFile::open(&scene.path("holder").join(folders::ANSWERS)).unwrap();
    let answered = log.entries().unwrap().into_iter().filter(|entry| matches!(entry, Entry::Answered { .. }));
    assert_eq!(answered.count(), 1, "one answer, whoever died: {deaths:?}");
}
