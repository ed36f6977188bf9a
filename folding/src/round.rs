//! What all parties of a round agree on, and what each does with it.

use crate::explain::Explanation;
use crate::lanes::{Floats, Grid, OnGrid, OutOfRange};
use crate::rounding::Dither;
use core::fmt;
use kernels::Backend;
use lwe::{
    AddError, Agreement, AgreementError, AnswerLog, Ciphertext, Head, KeyModel, Keys, Malformed, MessageKey, Pads,
    Params, Part, Policy, Refusal, SealError, SealLog, Sum, Terms, UpdateId, Upload, Values, VerifiedManifest, answer,
    model_hash,
};
use rand_core::Rng;

/// What a [`Round`] is made from. All parties must have the same: what differs gives noise, never a wrong mean.
#[derive(Clone, Copy, Debug)]
pub struct RoundTerms<'a> {
    /// The suite.
    pub params: &'a Params,
    /// Values in an update.
    pub length: usize,
    /// The most robots that will be added.
    pub robots: u64,
    /// Bits of a value on the grid, 4 to 24.
    pub bits: u32,
    /// Values beyond this magnitude are out of range.
    pub clip: f32,
    /// Whose key updates are encrypted for. Robots pin it; it never comes from the server.
    pub keys: KeyModel,
    /// Which fleet.
    pub fleet: &'a [u8],
    /// Hash of the exact base weights, the training configuration and the tensor layout.
    pub model: [u8; 32],
    /// Number of the round.
    pub round: u64,
    /// Number of the attempt at it, from 0.
    pub attempt: u32,
    /// What a robot's update counts.
    pub weighting: Weighting,
}

/// What a robot's update counts in the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weighting {
    /// All the same.
    #[default]
    Equal,
    /// All in this class the same; [`Mean::combine`] weighs the classes. Each class is a sum of its own, with enough robots of its
    /// own: a weight of a single robot's would show its key.
    Class {
        /// Number of the class.
        index: u32,
        /// What each of its robots counts.
        weight: u32,
    },
}

impl<'a> RoundTerms<'a> {
    /// Eight bits under the default suite, equal weights, first attempt at round 0. Change what is different.
    #[must_use]
    pub fn new(length: usize, robots: u64, clip: f32, keys: KeyModel) -> Self {
        Self {
            params: &Params::FL_4096_60,
            length,
            robots,
            bits: 8,
            clip,
            keys,
            fleet: b"",
            model: [0; 32],
            round: 0,
            attempt: 0,
            weighting: Weighting::Equal,
        }
    }
}

/// A round: lengths, grid, wire words and context, all computed from its terms.
#[derive(Clone, Debug)]
pub struct Round {
    agreement: Agreement,
    grid: Grid,
    clip: f32,
    weighting: Weighting,
}

/// Why there is no such round.
#[derive(Clone, Debug, PartialEq)]
pub enum RoundError {
    /// Not 4 to 24 bits.
    Bits(u32),
    /// Not a positive, finite range.
    Clip(f32),
    /// A class that counts nothing.
    Weight,
    /// The suite does not take it.
    Agreement(AgreementError),
}

impl fmt::Display for RoundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bits(bits) => {
                write!(f, "{bits} bits per value: must be 4 to 24; 8 costs no training rounds as a rule")
            }
            Self::Clip(clip) => {
                write!(f, "a clip of {clip}: must be a positive number; take a high quantile of |update|")
            }
            Self::Weight => f.write_str("a class of weight 0 adds nothing: leave its robots out"),
            Self::Agreement(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RoundError {}

/// A robot's update and how it is put on the grid.
#[derive(Debug)]
pub struct Update<'a, F: ?Sized> {
    id: UpdateId,
    floats: &'a F,
    dither: Dither,
    clip: bool,
    memory: Vec<u8>,
    /// What [`Round::survey`] found, and on which grid.
    surveyed: Option<(Grid, OutOfRange)>,
}

impl<'a, F: Floats + ?Sized> Update<'a, F> {
    /// To the nearest level; values out of range are refused.
    #[must_use]
    pub fn new(id: UpdateId, floats: &'a F) -> Self {
        Self { id, floats, dither: Dither::Nearest, clip: false, memory: Vec::new(), surveyed: None }
    }

    /// Rounds up or down at random, so that the mean is right on average.
    #[must_use]
    pub fn stochastic(mut self, rng: &mut dyn Rng) -> Self {
        self.dither = Dither::stochastic(rng);
        self
    }

    /// Has the upload take over the memory of an earlier one, which spares the system from finding new pages.
    #[must_use]
    pub fn in_memory_of(mut self, earlier: Vec<u8>) -> Self {
        self.memory = earlier;
        self
    }

    /// Takes the nearest level for values out of range, and zero for what is no number, instead of refusing them.
    #[must_use]
    pub fn clipping(mut self) -> Self {
        self.clip = true;
        self
    }
}

/// Why an update was not encrypted.
#[derive(Debug)]
pub enum EncryptError {
    /// Not as many values as the round's.
    Length {
        /// Values there are.
        found: usize,
        /// Values there should be.
        expected: usize,
    },
    /// Values out of range, and no [`Update::clipping`]. Nothing was marked, but key or pads are gone with the call: look before it
    /// with [`Round::survey`].
    OutOfRange(OutOfRange),
    /// Sealing failed.
    Seal(SealError),
}

impl fmt::Display for EncryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found, expected } => {
                write!(
                    f,
                    "an update of {found} values, the round's have {expected}: compare the tensor layout with the terms"
                )
            }
            Self::OutOfRange(found) => {
                write!(f, "the update has {found}: mend it, plan a larger clip, or ask for clipping")
            }
            Self::Seal(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EncryptError {}

impl From<SealError> for EncryptError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

/// The mean of a round's updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// Value by value.
    pub values: Vec<f32>,
    /// Of how many robots.
    pub robots: u64,
    /// What each of them counts.
    pub weight: u32,
}

impl Mean {
    /// The mean over several classes' robots, each counted by its class's weight. `None` without classes, or where their
    /// lengths differ.
    #[must_use]
    pub fn combine(classes: &[Self]) -> Option<Vec<f32>> {
        let length = classes.first()?.values.len();
        if classes.iter().any(|class| class.values.len() != length) {
            return None;
        }
        let share = |class: &Self| class.robots as f64 * f64::from(class.weight);
        let total: f64 = classes.iter().map(share).sum();
        let value =
            |index: usize| -> f64 { classes.iter().map(|class| f64::from(class.values[index]) * share(class)).sum() };
        Some((0..length).map(|index| (value(index) / total) as f32).collect())
    }
}

/// The bits a round takes.
const BITS: core::ops::RangeInclusive<u32> = 4..=24;

impl Round {
    /// Chooses the smallest wire words for these terms.
    ///
    /// # Errors
    /// [`RoundError`] says what does not fit.
    pub fn new(terms: &RoundTerms<'_>) -> Result<Self, RoundError> {
        let &RoundTerms { params, length, robots, bits, clip, keys, fleet, model, round, attempt, weighting } = terms;
        if !BITS.contains(&bits) {
            return Err(RoundError::Bits(bits));
        }
        if !(clip.is_normal() && clip > 0.0) {
            return Err(RoundError::Clip(clip));
        }
        let class = match weighting {
            Weighting::Equal => vec![],
            Weighting::Class { weight: 0, .. } => return Err(RoundError::Weight),
            Weighting::Class { index, weight } => [index, weight].map(u32::to_le_bytes).concat(),
        };
        let model = model_hash(&model, &[clip.to_bits(), bits].map(u32::to_le_bytes).concat());
        let planned = robots;
        let terms =
            Terms { params, fleet, model, round, attempt, class: &class, value_bits: bits, planned, length, keys };
        let agreement = Agreement::new(&terms).map_err(RoundError::Agreement)?;
        Ok(Self { agreement, grid: Grid::new(bits, clip), clip, weighting })
    }

    /// The integers behind it.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// The levels of a value.
    #[must_use]
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The largest magnitude of a value.
    #[must_use]
    pub fn clip(&self) -> f32 {
        self.clip
    }

    /// What was chosen and what it costs, to be printed.
    #[must_use]
    pub fn explain(&self) -> Explanation<'_> {
        Explanation::of(self)
    }

    /// Robot: looks at an update before a key or pads are spent on it. Encrypting takes those by value, also where it refuses the
    /// update. What is found is kept with the update, which is not looked at again.
    ///
    /// # Errors
    /// [`EncryptError`], as encrypting would refuse it.
    pub fn survey<F: Floats + ?Sized>(
        &self,
        update: &mut Update<'_, F>,
        backend: &dyn Backend,
    ) -> Result<OutOfRange, EncryptError> {
        self.look(update, backend.threads())
    }

    /// Robot: encrypts an update, and says what of it was out of range. One allocation is as long as the upload, or none with
    /// [`Update::in_memory_of`]; the rest is at most 3 MiB at a time for each thread, however long the update.
    ///
    /// # Errors
    /// [`EncryptError`] says why not.
    pub fn encrypt<F: Floats + ?Sized>(
        &self,
        key: MessageKey,
        update: Update<'_, F>,
        log: &mut dyn SealLog,
        backend: &dyn Backend,
    ) -> Result<(Upload, OutOfRange), EncryptError> {
        let (id, values, memory, found) = self.on_grid(update, backend.threads())?;
        Ok((self.agreement.encrypt(key, id, &values, memory, log, backend)?, found))
    }

    /// Robot: makes the half of a ciphertext that does not depend on the update, while it trains.
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn prepare(&self, key: MessageKey, backend: &dyn Backend) -> Result<Pads, SealError> {
        self.agreement.prepare(key, backend)
    }

    /// Robot: the same in the memory of earlier pads, from [`Upload::into_memory`].
    ///
    /// # Errors
    /// [`SealError`] says why not.
    pub fn prepare_in(&self, key: MessageKey, memory: Vec<u32>, backend: &dyn Backend) -> Result<Pads, SealError> {
        self.agreement.prepare_in(key, memory, backend)
    }

    /// Robot: encrypts an update with pads made ahead.
    ///
    /// # Errors
    /// [`EncryptError`] says why not.
    pub fn seal<F: Floats + ?Sized>(
        &self,
        pads: Pads,
        update: Update<'_, F>,
        log: &mut dyn SealLog,
        backend: &dyn Backend,
    ) -> Result<(Upload, OutOfRange), EncryptError> {
        let (id, values, memory, found) = self.on_grid(update, backend.threads())?;
        Ok((self.agreement.seal(pads, id, &values, memory, log, backend)?, found))
    }

    /// The levels that an update's values come to lie on, as they would be encrypted: for simulations and measurements, and for a
    /// fleet that does not encrypt. On the caller's thread. Says what was out of range.
    ///
    /// # Errors
    /// [`EncryptError`] says why not; then `levels` is as it was.
    /// # Panics
    /// If `levels` does not have the round's length.
    pub fn levels<F: Floats + ?Sized>(
        &self,
        update: Update<'_, F>,
        levels: &mut [u32],
    ) -> Result<OutOfRange, EncryptError> {
        let (_, values, _, found) = self.on_grid(update, 1)?;
        assert_eq!(levels.len(), self.agreement.length(), "a level for each value of the round");
        values.fill(0, levels);
        Ok(found)
    }

    fn on_grid<'a, F: Floats + ?Sized>(
        &self,
        mut update: Update<'a, F>,
        threads: usize,
    ) -> Result<(UpdateId, OnGrid<'a, F>, Vec<u8>, OutOfRange), EncryptError> {
        let found = self.look(&mut update, threads)?;
        let Update { id, floats, dither, memory, .. } = update;
        Ok((id, OnGrid { grid: self.grid, dither, found, floats }, memory, found))
    }

    fn look<F: Floats + ?Sized>(&self, update: &mut Update<'_, F>, threads: usize) -> Result<OutOfRange, EncryptError> {
        let (found, expected) = (update.floats.len(), self.agreement.length());
        if found != expected {
            return Err(EncryptError::Length { found, expected });
        }
        let found = match update.surveyed {
            Some((grid, found)) if grid == self.grid => found,
            _ => self.grid.survey(update.floats, threads),
        };
        update.surveyed = Some((self.grid, found));
        if update.clip || found.is_none() { Ok(found) } else { Err(EncryptError::OutOfRange(found)) }
    }

    /// Server: looks at an upload in the buffer it arrived in.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong with it.
    pub fn read<'a>(&self, upload: &'a [u8]) -> Result<Ciphertext<'a>, Malformed> {
        Ciphertext::read(&self.agreement, upload)
    }

    /// Server: a sum of nothing yet.
    #[must_use]
    pub fn sum(&self) -> Sum {
        self.agreement.sum()
    }

    /// Server: looks at an upload and adds it.
    ///
    /// # Errors
    /// [`TakeError`] says why not; then the sum is as it was.
    pub fn take(&self, sum: &mut Sum, upload: &[u8], backend: &dyn Backend) -> Result<(), TakeError> {
        let ciphertext = self.read(upload).map_err(TakeError::Malformed)?;
        sum.add(&[ciphertext], backend).map_err(TakeError::Add)
    }

    /// Key holder: opens the mean of an attempt that has one sum.
    ///
    /// # Errors
    /// [`Refusal`] says why not, and whether the attempt is used up.
    pub fn open(
        &self,
        question: &Question<'_>,
        sum: &Sum,
        manifests: &[VerifiedManifest],
        log: &mut dyn AnswerLog,
        backend: &dyn Backend,
    ) -> Result<Mean, Refusal> {
        let mut means = question.open(&[(self, sum, manifests)], log, backend)?;
        means.pop().ok_or(Refusal::Nothing)
    }
}

/// Why an upload was not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum TakeError {
    /// Its bytes are wrong.
    Malformed(Malformed),
    /// It cannot be added.
    Add(AddError),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Add(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TakeError {}

/// How a key holder answers: with which keys, under which policy, and what it remembers of its log.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    keys: Keys<'a>,
    policy: Policy,
    witness: Option<Head>,
}

impl<'a> Question<'a> {
    /// Under the default policy.
    #[must_use]
    pub fn new(keys: Keys<'a>) -> Self {
        Self { keys, policy: Policy::default(), witness: None }
    }

    /// Under another policy.
    #[must_use]
    pub fn under(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Notices a log that was restored from before this.
    #[must_use]
    pub fn since(mut self, witness: Head) -> Self {
        self.witness = Some(witness);
        self
    }

    /// Opens the means of all sums of one attempt: its weight classes, or its buckets.
    ///
    /// # Errors
    /// [`Refusal`] says why not, and whether the attempt is used up.
    pub fn open(
        &self,
        sums: &[(&Round, &Sum, &[VerifiedManifest])],
        log: &mut dyn AnswerLog,
        backend: &dyn Backend,
    ) -> Result<Vec<Mean>, Refusal> {
        let parts = sums.iter();
        let parts: Vec<_> =
            parts.map(|&(round, sum, manifests)| Part { agreement: &round.agreement, sum, manifests }).collect();
        let opened = answer(self.keys, self.policy, &parts, log, self.witness, backend)?;
        let mean = |(opened, (round, ..)): (lwe::Opened, &(&Round, &Sum, &[VerifiedManifest]))| {
            let robots = opened.weights.messages;
            let weight = match round.weighting {
                Weighting::Equal => 1,
                Weighting::Class { weight, .. } => weight,
            };
            Mean { values: round.grid.mean(opened), robots, weight }
        };
        Ok(opened.into_iter().zip(sums).map(mean).collect())
    }
}
