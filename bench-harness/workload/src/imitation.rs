//! Imitation: a policy learns to act as the expert did, by least squares.

use crate::arm::{Arm, JOINTS, OBSERVED};
use crate::policy::{Base, Trained, forward};
use crate::random::Stream;
use crate::robots::Robot;
use crate::rollout::roll;
use crate::{Config, Fault};
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

/// What an expert showed: rows of observations, and what it would do.
#[derive(Debug)]
pub(crate) struct Demonstrations {
    observations: Vec<f32>,
    actions: Vec<f32>,
}

impl Demonstrations {
    fn rows(&self) -> usize {
        self.actions.len() / JOINTS
    }

    /// The rows with these numbers.
    fn batch(&self, rows: &[u32]) -> Result<(Tensor, Tensor), Fault> {
        Ok((pick(&self.observations, OBSERVED, rows)?, pick(&self.actions, JOINTS, rows)?))
    }
}

/// Some rows of a table, as a tensor.
pub(crate) fn pick(table: &[f32], columns: usize, rows: &[u32]) -> Result<Tensor, Fault> {
    let chosen = rows.iter().flat_map(|row| &table[*row as usize * columns..][..columns]);
    Ok(Tensor::from_vec(chosen.copied().collect(), (rows.len(), columns), &Device::Cpu)?)
}

/// Lets the expert drive, disturbed, so that it shows how to recover; what it wanted is kept, not what it was made to do.
pub(crate) fn demonstrate(robot: Robot, episodes: usize, random: &mut Stream) -> Result<Demonstrations, Fault> {
    let arms = (0..episodes).map(|_| Arm::new(robot.dynamics, robot.sector, random.word())).collect();
    let mut actions = Vec::new();
    let rollout = roll(arms, |arms, _| {
        let wanted: Vec<f32> = arms.iter().flat_map(Arm::expert).collect();
        let done = wanted.iter().map(|action| action + DISTURBANCE * random.normal()).collect();
        actions.extend(wanted);
        Ok(done)
    })?;
    Ok(Demonstrations { observations: rollout.observations, actions })
}

/// Deviation of what is added to the expert's commands.
const DISTURBANCE: f32 = 0.3;
/// A robot's demonstrations for one round.
pub(crate) const EPISODES: usize = 16;
const LOCAL_STEPS: usize = 40;
const LOCAL_BATCH: usize = 128;
const LOCAL_RATE: f64 = 2e-3;

/// Trains an adapter on demonstrations; gives what was added to it.
pub(crate) fn train(
    config: &Config,
    base: &Base,
    adapter: &[f32],
    shown: &Demonstrations,
    random: &mut Stream,
) -> Result<Vec<f32>, Fault> {
    let trained = Trained::new(config, base, adapter)?;
    let mut steps = AdamW::new(trained.vars.clone(), rate(LOCAL_RATE))?;
    for rows in batches(shown.rows(), LOCAL_BATCH, LOCAL_STEPS, random) {
        let (input, wanted) = shown.batch(&rows)?;
        let loss = (trained.forward(&input)? - wanted)?.sqr()?.mean_all()?;
        steps.backward_step(&loss)?;
    }
    trained.difference(adapter)
}

pub(crate) fn rate(lr: f64) -> ParamsAdamW {
    ParamsAdamW { lr, weight_decay: 0.0, ..ParamsAdamW::default() }
}

/// Batches of row numbers; each pass over the table is in a new order.
pub(crate) fn batches(rows: usize, size: usize, count: usize, random: &mut Stream) -> Vec<Vec<u32>> {
    let mut order = Vec::new();
    let mut next = || {
        if order.len() < size {
            order = random.shuffled(rows);
        }
        order.split_off(order.len().saturating_sub(size))
    };
    (0..count).map(|_| next()).collect()
}

const BASE_EPISODES: usize = 160;
const BASE_BATCH: usize = 192;
const BASE_RATE: f64 = 2e-3;

/// Trains the base's actor on the robot of the data sheet alone, as long as `goes_on`.
pub(crate) fn pretrain(config: &Config, base: &mut Base, goes_on: &dyn Fn() -> bool) -> Result<(), Fault> {
    let mut random = Stream::new(config.seed, "base training", &[config.width as u64]);
    let shown = demonstrate(Robot::NOMINAL, BASE_EPISODES, &mut random)?;
    let vars = base.actor.iter().map(Var::from_tensor).collect::<Result<Vec<_>, _>>()?;
    let layers: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let mut steps = AdamW::new(vars, rate(BASE_RATE))?;
    // A wide network learns as much in fewer steps.
    let count = if config.width <= 300 { 800 } else { 300 };
    for (step, rows) in batches(shown.rows(), BASE_BATCH, count, &mut random).iter().enumerate() {
        if !goes_on() {
            return Err(Fault::Stopped);
        }
        // Falling to a twentieth, so that the last steps settle.
        steps.set_learning_rate(BASE_RATE * (1.0 - 0.95 * step as f64 / count as f64));
        let (input, wanted) = shown.batch(rows)?;
        let loss = (forward(&layers, &[], 0.0, &input)? - wanted)?.sqr()?.mean_all()?;
        steps.backward_step(&loss)?;
    }
    base.actor = layers.iter().map(Tensor::copy).collect::<Result<_, _>>()?;
    Ok(())
}
