//! Reinforcement: proximal policy optimisation (PPO) with a clipped ratio and generalised advantages.

use crate::arm::{Arm, JOINTS, OBSERVED, STEPS};
use crate::imitation::{batches, pick, rate};
use crate::policy::{Actor, Base, Trained, flat, forward};
use crate::random::Stream;
use crate::robots::Robot;
use crate::rollout::roll;
use crate::{Config, Fault};
use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer};

/// Deviation of the actions around the policy's mean: what exploring robots do, and the scale of divergences.
pub(crate) const DEVIATION: f32 = 0.2;
/// A robot's episodes for one round.
pub(crate) const EPISODES: usize = 32;
const DISCOUNT: f32 = 0.97;
const TRACE: f32 = 0.95;
const RATIO_CLIP: f64 = 0.3;
const LOCAL_STEPS: usize = 40;
const LOCAL_BATCH: usize = 192;
const LOCAL_RATE: f64 = 2e-3;
const CRITIC_STEPS: usize = 40;
const CRITIC_RATE: f64 = 3e-3;
/// Returns are divided by this before the critic sees them.
const RETURN_SCALE: f32 = 10.0;

/// What a robot tried, and how it went. Rows come step by step, and within a step episode by episode.
#[derive(Debug)]
pub(crate) struct Trials {
    observations: Vec<f32>,
    /// Observations with the share of the episode that is over, for the critic.
    situations: Vec<f32>,
    means: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    episodes: usize,
}

/// Lets a policy drive with noise.
pub(crate) fn explore(robot: Robot, actor: &Actor, episodes: usize, random: &mut Stream) -> Result<Trials, Fault> {
    let arms = (0..episodes).map(|_| Arm::new(robot.dynamics, robot.sector, random.word())).collect();
    let mut means = Vec::new();
    let rollout = roll(arms, |_, observations| {
        let mean = actor.act(observations)?;
        let done = mean.iter().map(|mean| mean + DEVIATION * random.normal()).collect();
        means.extend(mean);
        Ok(done)
    })?;
    let mut situations = Vec::new();
    for (row, observation) in rollout.observations.chunks(OBSERVED).enumerate() {
        situations.extend(observation);
        situations.push((row / episodes) as f32 / STEPS as f32);
    }
    let (observations, actions, rewards) = (rollout.observations, rollout.actions, rollout.rewards);
    Ok(Trials { observations, situations, means, actions, rewards, episodes })
}

impl Trials {
    fn rows(&self) -> usize {
        self.rewards.len()
    }

    /// What each row was worth in the end: rewards to come, discounted.
    fn returns(&self) -> Vec<f32> {
        let mut returns = self.rewards.clone();
        for row in (0..self.rows() - self.episodes).rev() {
            returns[row] += DISCOUNT * returns[row + self.episodes];
        }
        returns
    }

    /// How much better each action was than what the critic expected; mean 0, deviation 1.
    fn advantages(&self, values: &[f32]) -> Vec<f32> {
        let mut advantages = vec![0.0; self.rows()];
        for row in (0..self.rows()).rev() {
            let next = row + self.episodes;
            let (value, later) = values.get(next).map_or((0.0, 0.0), |value| (*value, advantages[next]));
            advantages[row] = self.rewards[row] + DISCOUNT * value - values[row] + DISCOUNT * TRACE * later;
        }
        let count = self.rows() as f32;
        let mean = advantages.iter().sum::<f32>() / count;
        let square = advantages.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
        let scale = 1.0 / (libm::sqrtf(square) + 1e-6);
        advantages.iter().map(|value| (value - mean) * scale).collect()
    }
}

/// Fits a critic to what happened; gives its weights.
fn fit(critic: &[Tensor], trials: &Trials, steps: usize, random: &mut Stream) -> Result<Vec<Tensor>, Fault> {
    let vars = critic.iter().map(Var::from_tensor).collect::<Result<Vec<_>, _>>()?;
    let layers: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let mut optimizer = AdamW::new(vars, rate(CRITIC_RATE))?;
    let returns: Vec<f32> = trials.returns().iter().map(|value| value / RETURN_SCALE).collect();
    for rows in batches(trials.rows(), LOCAL_BATCH, steps, random) {
        let input = pick(&trials.situations, OBSERVED + 1, &rows)?;
        let loss = (forward(&layers, &[], 0.0, &input)? - pick(&returns, 1, &rows)?)?.sqr()?.mean_all()?;
        optimizer.backward_step(&loss)?;
    }
    Ok(layers.iter().map(Tensor::copy).collect::<Result<_, _>>()?)
}

/// Trains an adapter on trials; gives what was added to it. The critic starts from the base's and stays on the robot.
pub(crate) fn train(
    config: &Config,
    base: &Base,
    adapter: &[f32],
    trials: &Trials,
    random: &mut Stream,
) -> Result<Vec<f32>, Fault> {
    let critic = fit(&base.critic, trials, CRITIC_STEPS, random)?;
    let all = Tensor::from_slice(&trials.situations, (trials.rows(), OBSERVED + 1), &Device::Cpu)?;
    let values: Vec<f32> = flat(&forward(&critic, &[], 0.0, &all)?)?.iter().map(|value| value * RETURN_SCALE).collect();
    let advantages = trials.advantages(&values);
    let trained = Trained::new(config, base, adapter)?;
    let mut steps = AdamW::new(trained.vars.clone(), rate(LOCAL_RATE))?;
    for rows in batches(trials.rows(), LOCAL_BATCH, LOCAL_STEPS, random) {
        let mean = trained.forward(&pick(&trials.observations, OBSERVED, &rows)?)?;
        let action = pick(&trials.actions, JOINTS, &rows)?;
        let before = (pick(&trials.means, JOINTS, &rows)? - &action)?.sqr()?.sum_keepdim(1)?;
        let now = (mean - &action)?.sqr()?.sum_keepdim(1)?;
        let ratio = ((before - now)? / f64::from(2.0 * DEVIATION * DEVIATION))?.exp()?;
        let advantage = pick(&advantages, 1, &rows)?;
        let clipped = ratio.clamp(1.0 - RATIO_CLIP, 1.0 + RATIO_CLIP)?;
        let gain = (&ratio * &advantage)?.minimum(&(clipped * advantage)?)?;
        steps.backward_step(&gain.mean_all()?.neg()?)?;
    }
    trained.difference(adapter)
}

/// Fits the base's critic to the base policy on the robot of the data sheet.
pub(crate) fn pretrain(config: &Config, base: &mut Base) -> Result<(), Fault> {
    let mut random = Stream::new(config.seed, "critic training", &[config.width as u64]);
    let actor = Actor { layers: base.actor.clone() };
    let trials = explore(Robot::NOMINAL, &actor, 2 * EPISODES, &mut random)?;
    base.critic = fit(&base.critic, &trials, 5 * CRITIC_STEPS, &mut random)?;
    Ok(())
}
