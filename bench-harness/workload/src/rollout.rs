//! Episodes in lockstep: many arms take the same step together, so that the network sees one large batch.

use crate::Fault;
use crate::arm::{Arm, JOINTS, STEPS};
use crate::policy::Actor;

/// What happened in some episodes. Rows come step by step, and within a step arm by arm.
#[derive(Debug)]
pub(crate) struct Rollout {
    pub(crate) arms: Vec<Arm>,
    pub(crate) observations: Vec<f32>,
    pub(crate) actions: Vec<f32>,
    pub(crate) rewards: Vec<f32>,
}

/// Runs whole episodes. `act` gets the arms and their observations and gives each arm's action.
pub(crate) fn roll(
    mut arms: Vec<Arm>,
    mut act: impl FnMut(&[Arm], &[f32]) -> Result<Vec<f32>, Fault>,
) -> Result<Rollout, Fault> {
    let (mut observations, mut actions, mut rewards) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let begin = observations.len();
        arms.iter().for_each(|arm| observations.extend(arm.observe()));
        let chosen = act(&arms, &observations[begin..])?;
        for (arm, action) in arms.iter_mut().zip(chosen.as_chunks::<JOINTS>().0) {
            let before = arm.action();
            arm.step(*action);
            rewards.push(arm.reward(before));
        }
        actions.extend(chosen);
    }
    Ok(Rollout { arms, observations, actions, rewards })
}

/// Runs whole episodes by a policy's mean actions.
pub(crate) fn follow(arms: Vec<Arm>, actor: &Actor) -> Result<Rollout, Fault> {
    roll(arms, |_, observations| actor.act(observations))
}
