//! Training that was recorded, in place of training: a corpus's updates, and what they cost, for every fleet of its kind.
//!
//! The robots of a corpus went on from round to round by its own means, so a campaign has one attempt, of its first rounds. Whose mean is
//! another, because of its robots or of how values travel, sends the same updates all the same: it is a replay, and labelled as one.

use super::replay::{Lesson, Lessons};
use super::run::Request;
use crate::failure::Failure;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use workload::corpus::{Corpus, Plan};
use workload::{Base, Config, Fault, Size};

/// What a run replays of a corpus.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The corpus's content hash.
    pub hash: String,
    /// Version 0.
    pub base: Base,
    /// What its robots learned in each round.
    pub lessons: Lessons,
}

/// Opens and checks a corpus.
///
/// # Errors
/// [`Failure::Usage`] where there is none, [`Failure::Wrong`] where it was changed.
pub fn open(file: &Path) -> Result<Corpus<BufReader<File>>, Failure> {
    let shown = file.display();
    let opened = File::open(file).map_err(|error| {
        Failure::Usage(format!("cannot open {shown}: {error}. `tensorguard corpus make --out {shown}` makes one"))
    })?;
    Corpus::open(BufReader::new(opened)).map_err(failed)
}

/// What a fault of a corpus is to whoever named it.
#[must_use]
pub fn failed(fault: Fault) -> Failure {
    match fault {
        Fault::Config(why) => Failure::Usage(why),
        Fault::Malformed(why) => Failure::Wrong(why),
        other => Failure::Internal(other.to_string()),
    }
}

/// The request with a corpus in place of training: of its way of learning, size and seed alone, with one attempt in each campaign.
///
/// # Errors
/// [`Failure::Usage`] where the corpus has too little, saying what would make enough; what [`open`] gives.
pub fn replaying(file: &Path, mut request: Request) -> Result<Request, Failure> {
    let mut corpus = open(file)?;
    let plan = corpus.plan().clone();
    let (task, seed) = (plan.config.task, plan.config.seed);
    let size = Size::ALL.into_iter().find(|size| Config::of(task, *size, seed) == plan.config).ok_or_else(|| {
        Failure::Usage(format!(
            "{} has updates of no size of the matrix, or does not begin at campaign 0",
            file.display()
        ))
    })?;
    let (rounds, campaigns) = (request.budget.rounds(task), request.budget.campaigns);
    if plan.rounds < rounds || plan.campaigns < campaigns {
        let Plan { rounds: found, campaigns: replicates, .. } = plan;
        return Err(Failure::Usage(format!(
            "{} has {replicates} campaigns of {found} rounds, and this preset takes {campaigns} of {rounds}: tensorguard corpus make --task {} \
             --size {} --campaigns {campaigns} --rounds {rounds} makes enough",
            file.display(),
            task.name(),
            size.name()
        )));
    }
    let mut lessons = Lessons::default();
    for place in (0..campaigns).flat_map(|campaign| (0..rounds).map(move |round| (campaign, round))) {
        lessons.of(place, || lesson(&mut corpus, place))?;
    }
    let of_corpus = format!("task=={} && size=={}", task.name(), size.name());
    let filters = [request.filter.trim(), &of_corpus].into_iter().filter(|filter| !filter.is_empty());
    request.filter = filters.collect::<Vec<_>>().join(" && ");
    // Nobody trains: all robots send what others have learned.
    (request.budget.attempts, request.budget.most_trained, request.budget.seed) = (1, Some(0), seed);
    request.recorded = Some(Recorded { hash: corpus.hash(), base: corpus.base().clone(), lessons });
    Ok(request)
}

/// A recorded round.
fn lesson(corpus: &mut Corpus<BufReader<File>>, (campaign, round): (u32, u32)) -> Result<Lesson, Failure> {
    let collect_s = workload::collecting_s(corpus.plan().config.task);
    let mut lesson = Lesson { updates: vec![], collect_ns: vec![], train_ns: vec![], collect_s };
    for robot in 0..corpus.plan().robots {
        lesson.updates.push(corpus.update(campaign, round, robot).map_err(failed)?);
        let cost = corpus.cost(campaign, round, robot).map_err(failed)?;
        lesson.collect_ns.push(cost.collect_cpu_ns);
        lesson.train_ns.push(cost.train_cpu_ns);
    }
    Ok(lesson)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::compose::{Arm, Stage};
    use crate::matrix::grid::Preset;
    use crate::matrix::learning::Budget;
    use crate::matrix::pipeline::Profile;
    use crate::matrix::run;
    use crate::record::verify::verify;
    use crate::record::{Label, sha256};
    use crate::scratch::Scratch;
    use crate::shaping::Shaping;
    use kernels::cpu::Cpu;
    use std::path::PathBuf;
    use workload::{Effort, Task};

    const SEED: u64 = 5;

    /// Two robots, one round.
    fn recorded(folder: &Path) -> PathBuf {
        let plan = Plan {
            config: Config::of(Task::Imitation, Size::Kb10, SEED),
            profile: workload::Profile::F32,
            campaigns: 1,
            rounds: 1,
            robots: 2,
            effort: Effort { robots: 1, episodes: 1, draw: 0 },
            maker: "a test".to_owned(),
        };
        let base = workload::pretrain(&plan.config).expect("a base");
        let mut bytes = Vec::new();
        let mut now_ns = 0;
        let mut clock = || {
            now_ns += 1_000_000;
            now_ns
        };
        workload::corpus::record(&plan, &base, &mut bytes, &mut clock, &mut |_, _| {}).expect("a corpus");
        std::fs::create_dir_all(folder).expect("a folder");
        let file = folder.join("il.corpus");
        std::fs::write(&file, bytes).expect("written");
        file
    }

    fn request(imitation_rounds: u32) -> Request {
        Request {
            preset: Preset::Quick,
            filter: "clients==10 && net==10mbit".to_owned(),
            time_budget: None,
            require: vec![],
            budget: Budget { imitation_rounds, judged: 3, outside: 1, ..Budget::new(1) },
            profiles: vec![Profile::Bits8],
            recorded: None,
            shaping: Shaping::Loopback,
            whole_runs: 0,
        }
    }

    #[test]
    fn a_corpus_is_replayed_byte_for_byte_and_its_training_is_no_measurement() {
        let parent = Scratch::new("recorded");
        let file = recorded(&parent);
        let request = replaying(&file, request(1)).expect("enough of it");
        assert_eq!((request.budget.seed, request.budget.attempts), (SEED, 1));
        let (folder, record) = run::run(&Cpu::best(1), &request, &parent.join("out"), None).expect("a run");
        // Of both ways of learning and both sizes there is the recorded one.
        let [cell] = &record.matrix[..] else { panic!("{:?}", record.matrix) };
        assert_eq!((cell.cell.as_str(), cell.trained), ("imitation-10x10kb-10mbit", 0));
        let mut corpus = open(&file).expect("a corpus");
        assert_eq!(record.header.corpus_sha256, Some(corpus.hash()));
        let updates = [0, 1].map(|robot| corpus.update(0, 0, robot).expect("an update"));
        let bytes: Vec<u8> = updates.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(cell.updates_sha256, Some(sha256(sha256(&bytes).as_bytes())));
        let trained = cell.arm(Arm::Encrypted).expect("an arm").stages.iter().find(|part| part.stage == Stage::Train);
        assert!(trained.is_some_and(|part| part.label == Label::R && part.seconds == 1e-3), "{trained:?}");
        assert!(verify(&folder).expect("a result").differences.is_empty());
    }

    #[test]
    fn what_a_corpus_lacks_is_named_before_anything_is_run() {
        let parent = Scratch::new("recorded-short");
        let file = recorded(&parent);
        let failure = replaying(&file, request(2)).expect_err("it has one round");
        assert!(failure.code() == 2 && failure.to_string().contains("--campaigns 1 --rounds 2"), "{failure}");
        let missing = replaying(&parent.join("none"), request(1)).map(|_| ()).map_err(|failure| failure.code());
        assert_eq!(missing, Err(2));
        let mut bytes = std::fs::read(&file).expect("the corpus");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("written");
        assert_eq!(replaying(&file, request(1)).map(|_| ()).map_err(|failure| failure.code()), Err(8));
    }
}
