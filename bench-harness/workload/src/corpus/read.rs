//! Replaying a corpus. It is read and checked whole once; updates are then read again one by one, and checked again.

use super::chain::{self, Entry, Kind, Link};
use super::write::{HEADER, Place};
use super::{Cost, Outcome, Plan, adapter_hash, hex};
use crate::policy::floats;
use crate::{Base, Fault, Learner, apply};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

/// A corpus that has been checked.
#[derive(Debug)]
pub struct Corpus<R> {
    file: R,
    plan: Plan,
    base: Base,
    updates: BTreeMap<Place, Spot>,
    outcomes: Vec<Outcome>,
    hash: Link,
}

/// Where an update is.
#[derive(Clone, Copy, Debug)]
struct Spot {
    offset: u64,
    before: Link,
    cost: Cost,
}

impl<R: Read + Seek> Corpus<R> {
    /// Reads and checks a corpus from the file's position 0.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for a file that was changed, cut or is none; [`Fault::File`] where it cannot be read.
    pub fn open(mut file: R) -> Result<Self, Fault> {
        file.seek(SeekFrom::Start(0))?;
        chain::greeting(&mut file)?;
        let mut link = chain::begin();
        let mut next = |file: &mut R, wanted: Option<Kind>| -> Result<(Entry, Link), Fault> {
            let before = link;
            let entry = chain::next(file, &before)?;
            link = entry.link;
            match wanted {
                Some(kind) if entry.kind != kind => {
                    Err(Fault::Malformed(format!("a {kind:?} record should come before the {:?} record", entry.kind)))
                }
                _ => Ok((entry, before)),
            }
        };
        let plan: Plan = parsed(&next(&mut file, Some(Kind::Plan))?.0.payload)?;
        plan.check()?;
        let base = Base::from_safetensors(&next(&mut file, Some(Kind::Base))?.0.payload)?;
        let (mut updates, mut outcomes) = (BTreeMap::new(), Vec::new());
        loop {
            let offset = file.stream_position()?;
            let (entry, before) = next(&mut file, None)?;
            match entry.kind {
                Kind::Update => {
                    let (place, cost, values) = update(&entry.payload)?;
                    plan.config.expect(values.len())?;
                    if updates.insert(place, Spot { offset, before, cost }).is_some() {
                        return Err(Fault::Malformed(format!("{place:?} is there twice")));
                    }
                }
                Kind::Outcome => outcomes.push(parsed(&entry.payload)?),
                Kind::End => {
                    complete(&plan, &updates, &outcomes)?;
                    return Ok(Self { file, plan, base, updates, outcomes, hash: entry.link });
                }
                Kind::Plan | Kind::Base => return Err(Fault::Malformed("a corpus has one plan and one base".into())),
            }
        }
    }

    /// What was recorded.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Version 0.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// What each round led to, campaign by campaign.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The content hash, in hexadecimal digits: two corpora with one hash are the same bytes.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&self.hash)
    }

    /// What the update that client `client` replays cost to make.
    ///
    /// # Errors
    /// [`Fault::Config`] for a campaign or a round that was not recorded.
    pub fn cost(&self, campaign: u32, round: u32, client: u32) -> Result<Cost, Fault> {
        Ok(self.spot(campaign, round, client)?.cost)
    }

    /// The update that client `client` replays: that of robot `client` modulo the robots that trained.
    ///
    /// # Errors
    /// [`Fault::Config`] for a campaign or a round that was not recorded; [`Fault::Malformed`] where the file changed
    /// since it was opened.
    pub fn update(&mut self, campaign: u32, round: u32, client: u32) -> Result<Vec<f32>, Fault> {
        let Spot { offset, before, .. } = self.spot(campaign, round, client)?;
        self.file.seek(SeekFrom::Start(offset))?;
        Ok(update(&chain::next(&mut self.file, &before)?.payload)?.2)
    }

    /// Replays all training of a campaign and checks that each round leads to the adapter it led to; gives the last one.
    ///
    /// # Errors
    /// [`Fault::Malformed`] for a round that leads elsewhere.
    pub fn replay(&mut self, campaign: u32) -> Result<Vec<f32>, Fault> {
        let mut adapter = Learner::new(self.plan.campaign(campaign), self.base.clone())?.initial_adapter();
        for round in 0..self.plan.rounds {
            let updates: Result<Vec<_>, _> =
                (0..self.plan.robots).map(|robot| self.update(campaign, round, robot)).collect();
            apply(&mut adapter, &self.plan.profile.aggregate(&updates?));
            let outcome = &self.outcomes[campaign as usize * self.plan.rounds as usize + round as usize];
            if adapter_hash(&adapter) != outcome.adapter {
                return Err(Fault::Malformed(format!(
                    "campaign {campaign}, round {round}: its updates do not lead to the adapter that was judged"
                )));
            }
        }
        Ok(adapter)
    }

    fn spot(&self, campaign: u32, round: u32, client: u32) -> Result<Spot, Fault> {
        let place = Place { campaign, round, robot: client % self.plan.robots };
        self.updates.get(&place).copied().ok_or_else(|| {
            let Plan { campaigns, rounds, .. } = self.plan;
            Fault::Config(format!(
                "campaign {campaign}, round {round} is not in a corpus of {campaigns} campaigns with {rounds} rounds: make a \
                 larger one"
            ))
        })
    }
}

fn parsed<T: serde::de::DeserializeOwned>(payload: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(payload).map_err(|error| Fault::Malformed(format!("a record of the corpus: {error}")))
}

fn update(payload: &[u8]) -> Result<(Place, Cost, Vec<f32>), Fault> {
    let Some((header, values)) = payload.split_first_chunk::<HEADER>() else {
        return Err(Fault::Malformed("an update is shorter than its header".into()));
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    let place = Place { campaign: word(0), round: word(4), robot: word(8) };
    Ok((place, Cost { collect_cpu_ns: long(12), train_cpu_ns: long(20) }, floats(values)?))
}

/// Everything that the plan names is there, once, and nothing else.
fn complete(plan: &Plan, updates: &BTreeMap<Place, Spot>, outcomes: &[Outcome]) -> Result<(), Fault> {
    let rounds = || (0..plan.campaigns).flat_map(|campaign| (0..plan.rounds).map(move |round| (campaign, round)));
    let places =
        rounds().flat_map(|(campaign, round)| (0..plan.robots).map(move |robot| Place { campaign, round, robot }));
    let judged = outcomes.iter().map(|outcome| (outcome.campaign, outcome.round));
    if updates.keys().copied().eq(places) && judged.eq(rounds()) {
        return Ok(());
    }
    Err(Fault::Malformed("the corpus does not hold what its plan says: make it again".into()))
}
