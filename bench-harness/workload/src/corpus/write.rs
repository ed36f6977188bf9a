//! Making a corpus: real training, recorded while it happens.

use super::chain::{self, Kind, Link};
use super::{COHORTS, Cost, Outcome, Pair, Plan, adapter_hash};
use crate::policy::little_endian;
use crate::{Base, Effort, Fault, Learner, apply};
use std::io::Write;

/// Writes a corpus record by record.
#[derive(Debug)]
pub struct Recorder<W> {
    file: W,
    link: Link,
}

impl<W: Write> Recorder<W> {
    /// Begins a file with the plan and the base.
    ///
    /// # Errors
    /// [`Fault::Config`] for a plan of nothing, [`Fault::File`] where it cannot be written.
    pub fn new(mut file: W, plan: &Plan, base: &Base) -> Result<Self, Fault> {
        plan.check()?;
        chain::greet(&mut file)?;
        let mut recorder = Self { file, link: chain::begin() };
        recorder.append(Kind::Plan, &[&to_json(plan)?])?;
        recorder.append(Kind::Base, &[&base.to_safetensors()?])?;
        Ok(recorder)
    }

    /// Keeps one robot's update.
    ///
    /// # Errors
    /// [`Fault::File`] where it cannot be written.
    pub fn update(&mut self, place: Place, cost: Cost, update: &[f32]) -> Result<(), Fault> {
        self.append(Kind::Update, &[&place.header(cost), &little_endian(update)])
    }

    /// Keeps what a round led to.
    ///
    /// # Errors
    /// [`Fault::File`] where it cannot be written.
    pub fn outcome(&mut self, outcome: &Outcome) -> Result<(), Fault> {
        self.append(Kind::Outcome, &[&to_json(outcome)?])
    }

    /// Ends the file; gives it back with the content hash.
    ///
    /// # Errors
    /// [`Fault::File`] where it cannot be written.
    pub fn finish(mut self) -> Result<(W, [u8; 32]), Fault> {
        self.append(Kind::End, &[])?;
        self.file.flush()?;
        Ok((self.file, self.link))
    }

    fn append(&mut self, kind: Kind, payload: &[&[u8]]) -> Result<(), Fault> {
        self.link = chain::append(&mut self.file, &self.link, kind, payload)?;
        Ok(())
    }
}

/// Which update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which campaign.
    pub campaign: u32,
    /// Which round of it.
    pub round: u32,
    /// Which robot.
    pub robot: u32,
}

impl Place {
    pub(super) fn header(self, cost: Cost) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let words = [self.campaign, self.round, self.robot].map(u32::to_le_bytes);
        header[..12].copy_from_slice(words.as_flattened());
        header[12..20].copy_from_slice(&cost.collect_cpu_ns.to_le_bytes());
        header[20..].copy_from_slice(&cost.train_cpu_ns.to_le_bytes());
        header
    }
}

/// Bytes before an update's values.
pub(super) const HEADER: usize = 28;

fn to_json(what: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(what).map_err(|error| Fault::Malformed(error.to_string()))
}

/// Trains all campaigns of a plan and records them. `cpu_ns` is the caller's clock; `step` hears what comes next, once
/// for each robot and each evaluation. Gives the file and the content hash.
///
/// # Errors
/// Those of training and of writing.
pub fn record<W: Write>(
    plan: &Plan,
    base: &Base,
    file: W,
    cpu_ns: &mut dyn FnMut() -> u64,
    step: &mut dyn FnMut(Place, &str),
) -> Result<(W, [u8; 32]), Fault> {
    let mut recorder = Recorder::new(file, plan, base)?;
    for campaign in 0..plan.campaigns {
        let learner = Learner::new(plan.campaign(campaign), base.clone())?;
        let first = learner.initial_adapter();
        let mut adapter = first.clone();
        for round in 0..plan.rounds {
            let mut updates = Vec::new();
            for robot in 0..plan.robots {
                let place = Place { campaign, round, robot };
                step(place, "train");
                let begin = cpu_ns();
                let experience = learner.collect(robot, &adapter, round)?;
                let collected = cpu_ns();
                let update = learner.train(&experience, &adapter)?;
                let cost = Cost { collect_cpu_ns: collected - begin, train_cpu_ns: cpu_ns() - collected };
                recorder.update(place, cost, &update)?;
                updates.push(update);
            }
            apply(&mut adapter, &plan.profile.aggregate(&updates));
            step(Place { campaign, round, robot: plan.robots }, "evaluate");
            recorder.outcome(&judge(plan, &learner, [campaign, round], [&first, &adapter], cpu_ns)?)?;
        }
    }
    recorder.finish()
}

/// Evaluates the adapter after a round against version 0, in episodes that no round before had.
fn judge(
    plan: &Plan,
    learner: &Learner,
    [campaign, round]: [u32; 2],
    [old, new]: [&[f32]; 2],
    cpu_ns: &mut dyn FnMut() -> u64,
) -> Result<Outcome, Fault> {
    let effort = Effort { draw: round, ..plan.effort };
    let begin = cpu_ns();
    let pair = |cohort| {
        Ok::<_, Fault>(Pair {
            old: learner.evaluate(cohort, effort, old)?,
            new: learner.evaluate(cohort, effort, new)?,
        })
    };
    let (held_out, outside) = (pair(COHORTS[0])?, pair(COHORTS[1])?);
    let divergence = learner.divergence(COHORTS[0], effort, old, new)?;
    let (evaluate_cpu_ns, adapter) = (cpu_ns() - begin, adapter_hash(new));
    Ok(Outcome { campaign, round, held_out, outside, divergence, evaluate_cpu_ns, adapter })
}
