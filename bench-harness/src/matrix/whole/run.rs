//! Running a cell end to end: processes are started, their lines are heard, and what comes of it is checked.

use super::{AttemptMarks, WholeLine, WholeTrace};
use crate::failure::Failure;
use crate::fleet::charter::Charter;
use crate::fleet::scene::{Party, Scene, Told, distance};
use crate::fleet::{LISTENING, arms, failed, folders};
use crate::interrupt;
use crate::machine::{busy_ns, process_ns};
use crate::matrix::grid::{DEFAULT_MIN_CLIENTS, Fleet, Link, bytes};
use crate::matrix::learning::Budget;
use crate::progress::Progress;
use crate::shaping::{Route, Shaping};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use workload::{Base, Config};

const LESSON: &str = "lesson";
/// Durable writes that are timed.
const WRITES: usize = 30;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Which fleet.
    pub fleet: Fleet,
    /// Its version 0.
    pub base: &'a Base,
    /// The run's limits and seed.
    pub budget: &'a Budget,
    /// How robots reach the server.
    pub shaping: Shaping,
    /// The link that is asked for; none over the bare loopback.
    pub link: Option<Link>,
}

/// Measures the link, then runs the fleet so many times.
///
/// # Errors
/// [`Failure::Unfit`] where this machine has no such link, [`Failure::Wrong`] where a deployed mean is wrong,
/// [`Failure::Internal`] where a party fails, [`Failure::Interrupted`] after Ctrl-C.
pub fn run(order: Order<'_>, runs: u32, progress: &mut Progress) -> Result<WholeLine, Failure> {
    let Order { fleet, shaping, link, .. } = order;
    let cell = super::cell_name(fleet, shaping, link);
    progress.live(&format!("{cell}: measuring the link"));
    let route = Route::open(shaping, link, fleet.clients)?;
    let calibration = route.calibrate(link)?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
    let mut done = Vec::new();
    for number in 0..runs {
        progress.step(&format!("{cell}, end to end, run {} of {runs}", number + 1));
        done.push(Stage::set(order, &route, number)?.play()?);
    }
    let notes = [route.note(), beyond(shaping, link, bytes(fleet.size))].into_iter().flatten().collect::<Vec<_>>();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    Ok(WholeLine { fleet, shaping, link, note, calibration, cores, runs: done })
}

/// What a pacer cannot do: its sleeps are longer than a small update takes on a fast link.
fn beyond(shaping: Shaping, link: Option<Link>, update_bytes: u64) -> Option<String> {
    let is_beyond = shaping == Shaping::Paced && link?.mbit_per_s >= 100 && update_bytes < 1_000_000;
    is_beyond.then(|| "a pacer is honest below 100 Mbit/s or from 1 MB up, and this is neither".to_owned())
}

/// A fleet whose processes run.
struct Stage<'a> {
    order: Order<'a>,
    scene: Scene,
    charter: Charter,
    /// What was decided for training before, the same in every process.
    lesson: workload::Learner,
    parties: Vec<Party>,
    write_ns: Vec<u64>,
    // Dropped after the processes that use it.
    _way: crate::shaping::Way,
}

impl<'a> Stage<'a> {
    /// Makes folders and starts everybody. The round opens when the last robot has enrolled.
    fn set(order: Order<'a>, route: &Route, number: u32) -> Result<Self, Failure> {
        let Order { fleet, base, budget, .. } = order;
        let scene = Scene::new("run")?;
        let write_ns = durable(&scene.folder().join("line")).map_err(failed)?;
        let config = Config { campaign: number, ..Config::of(fleet.task, fleet.size, budget.seed) };
        let folder = scene.folder().join(LESSON);
        let (model, clip) = arms::write_lesson(&folder, config, base)?;
        let charter = Charter {
            fleet: "end to end".to_owned(),
            values: config.values() as u64,
            bits: budget.profile_of(fleet).bits(),
            // Later updates may be larger than the first.
            clip: 2.0 * clip,
            least: fleet.clients.min(DEFAULT_MIN_CLIENTS).into(),
            model: model.to_string(),
            holder: String::new(),
        };
        let charter = scene.enrol(charter, fleet.clients as usize)?;
        let (count, attempts) = (fleet.clients.to_string(), budget.attempts.to_string());
        let listen = format!("{}:0", route.host());
        let arguments = ["server", "--listen", &listen, "--robots", &count, "--rounds", &attempts, "--open-s", "600"];
        let mut parties = vec![scene.start("server", &[], &arguments)?];
        let told = scene.wait_for("server", LISTENING, &mut |_| {}).map_err(interrupted)?;
        let address = told.text().replace(LISTENING, "");
        let way = route.to(address.parse().map_err(failed)?)?;
        let (registry, lesson) = (scene.path(&format!("authority/{}", folders::REGISTRY)), scene.path(LESSON));
        let least = charter.least.to_string();
        let arguments = ["keyholder", "--server", &address, "--registry", &registry, "--lower-min-robots-to", &least];
        parties.push(scene.start("holder", &[], &[&arguments[..], &["--lesson", &lesson]].concat())?);
        let (server, through) = (way.address.to_string(), |robot| route.through(robot));
        for robot in 0..fleet.clients {
            let arm = robot.to_string();
            let arguments = ["robot", "--server", &server, "--lesson", &lesson, "--arm", &arm];
            parties.push(scene.start(&format!("robot-{robot}"), &through(robot), &arguments)?);
        }
        Ok(Self { order, scene, charter, lesson: arms::lesson(&folder, model)?, parties, write_ns, _way: way })
    }

    /// From the opening of the first round to the last healthy robot, or to the last refusal.
    fn play(self) -> Result<WholeTrace, Failure> {
        let begin = loop {
            let (party, line, at) = self.hear("the first round")?;
            if party == "server" && line.starts_with("round 0, attempt 0: ") {
                break at;
            }
        };
        let (busy, mut end) = (self.busy(), begin);
        let write_ns = self.write_ns.clone();
        let mut attempts = Vec::new();
        for round in 0..u64::from(self.order.budget.attempts) {
            let marks;
            (marks, end) = self.attempt(round, end)?;
            attempts.push(marks);
            if attempts.last().is_some_and(|marks| marks.deployed) {
                break;
            }
        }
        let others_share = self.others(busy, end - begin);
        let deployed = attempts.iter().position(|marks| marks.deployed);
        let error_max = deployed.map(|round| self.check(round as u32)).transpose()?;
        Ok(WholeTrace { attempts, write_ns, error_max, others_share })
    }

    /// The next line of anybody.
    fn hear(&self, awaited: &str) -> Result<(String, String, Instant), Failure> {
        let Told { party, line, at } = self.scene.hear(awaited).map_err(interrupted)?;
        let line = line.ok_or_else(|| interrupted(failed(format_args!("{party} ended: its error is above"))))?;
        Ok((party, line, at))
    }

    /// One round: when its uploads were in, its mean open, its verdict given, and its last robot healthy.
    fn attempt(&self, round: u64, begin: Instant) -> Result<(AttemptMarks, Instant), Failure> {
        let (mut closed, mut opened, mut judged) = (None, None, None);
        let mut waves = Vec::new();
        let (end, deployed) = loop {
            let (party, line, at) = self.hear(&format!("the end of round {round}"))?;
            match party.as_str() {
                "server" if line.contains("closed with ") => closed = closed.or(Some(at)),
                "holder" if line.contains(": the mean is open") => opened = opened.or(Some(at)),
                "holder" if line.starts_with("gate: ") => judged = judged.or(Some(at)),
                "holder" if line.contains("-> Deployed") => break (at, true),
                "holder" if line.starts_with(&format!("round {round} is over")) => break (at, false),
                "holder" => waves.extend(offered(&line)),
                _ => {}
            }
        };
        // A server says what is, not all that was: between two lines it may have gone on.
        let judged = judged.unwrap_or(end);
        let opened = opened.unwrap_or(judged);
        let instants = [begin, closed.unwrap_or(opened), opened, judged, end];
        let mut parts_ns = [0; 4];
        for (part, pair) in parts_ns.iter_mut().zip(instants.windows(2)) {
            *part = pair[1].saturating_duration_since(pair[0]).as_nanos() as u64;
        }
        Ok((AttemptMarks { parts_ns, waves, deployed }, end))
    }

    /// CPU time so far: of the machine, and of this fleet.
    fn busy(&self) -> Option<(u64, u64)> {
        let own = self.parties.iter().map(Party::id).chain([std::process::id()]);
        Some((busy_ns()?, own.map(process_ns).sum::<Option<u64>>()?))
    }

    /// The share of the cores' time that others took since.
    fn others(&self, before: Option<(u64, u64)>, took: Duration) -> Option<f64> {
        let ((all, own), (all_now, own_now)) = (before?, self.busy()?);
        let others = (all_now.saturating_sub(all)).saturating_sub(own_now.saturating_sub(own));
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Some(others as f64 / (took.as_nanos() as f64 * cores as f64))
    }

    /// Whether every robot runs what the plain updates of this round give, within a step of the grid.
    fn check(&self, round: u32) -> Result<f64, Failure> {
        let robots = self.order.fleet.clients;
        let running = self.scene.running(robots as usize, &self.charter)?;
        let running =
            running.ok_or_else(|| Failure::Wrong("a package was deployed, and no robot runs it".to_owned()))?;
        let old = self.lesson.initial_adapter();
        let mut mean = vec![0.0; old.len()];
        for robot in 0..robots {
            let update = self.lesson.local_update(robot, &old, round).map_err(failed)?;
            mean.iter_mut().zip(&update).for_each(|(mean, value)| *mean += f64::from(*value) / f64::from(robots));
        }
        let off = distance(&old, &running.adapter, &mean);
        let levels = (1u64 << (self.charter.bits - 1)) - 1;
        let step = f64::from(self.charter.clip) / levels as f64;
        if off.is_nan() || off > step || running.robots < robots as usize {
            return Err(Failure::Wrong(format!(
                "end to end: {} of {robots} robots run the package, and its mean is off by {off:.2e}, allowed is {step:.2e}",
                running.robots
            )));
        }
        Ok(off)
    }
}

/// Times to append a line to a file and make it durable, as journals and logs do.
fn durable(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = File::create(path)?;
    let mut one = || {
        let begin = Instant::now();
        file.write_all(&[b'x'; 500])?;
        file.sync_all()?;
        Ok(begin.elapsed().as_nanos() as u64)
    };
    (0..WRITES).map(|_| one()).collect()
}

/// Robots of an offer, by the key holder's line.
fn offered(line: &str) -> Option<u32> {
    line.split_once(" is offered to ")?.1.split(' ').next()?.parse().ok()
}

/// Ctrl-C reaches the parties too: their end is no failure then.
fn interrupted(failure: Failure) -> Failure {
    if interrupt::asked() {
        Failure::Interrupted("a cell that goes end to end was stopped".to_owned())
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_of_the_roll_out_is_counted_from_what_a_key_holder_says() {
        assert_eq!(offered("package f44c07e3 is offered to 4 robots"), Some(4));
        assert_eq!(offered("roll-out: Canary -> Progressive(0), 1 robots healthy"), None);
    }

    #[test]
    fn a_pacer_says_where_it_is_not_honest() {
        let at = |mbit_per_s| Some(Link { mbit_per_s, rtt_ms: 20 });
        assert!(
            beyond(Shaping::Paced, at(100), 10_000).is_some() && beyond(Shaping::Paced, at(1000), 999_999).is_some()
        );
        assert_eq!(beyond(Shaping::Paced, at(10), 10_000), None);
        assert_eq!(beyond(Shaping::Paced, at(1000), 1_000_000), None);
        assert_eq!(beyond(Shaping::Netns, at(1000), 10_000), None);
        assert_eq!(beyond(Shaping::Loopback, None, 10_000), None);
    }
}
