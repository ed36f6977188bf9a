//! Training that is done once, by the run or before it ([`super::recorded`]). Robots of a fleet that has more of them than train for themselves send what those learned; and so
//! do all larger fleets of the same kind, byte for byte.

use std::collections::HashMap;
use std::rc::Rc;

/// What the robots that train learned in a round, and what that took each of them.
#[derive(Debug)]
pub struct Lesson {
    /// One update for each.
    pub updates: Vec<Vec<f32>>,
    /// CPU time of its demonstrations or trials.
    pub collect_ns: Vec<u64>,
    /// CPU time of training.
    pub train_ns: Vec<u64>,
    /// How long the slowest robot moved.
    pub collect_s: f64,
}

impl Lesson {
    /// An update for each of so many robots: those that trained in turn.
    #[must_use]
    pub fn sent_by(&self, robots: u32) -> Vec<&[f32]> {
        self.updates.iter().map(Vec::as_slice).cycle().take(robots as usize).collect()
    }

    /// SHA-256 over the updates, value by value: who replays others names them by it.
    #[must_use]
    pub fn sha256(&self) -> String {
        let bytes: Vec<u8> = self.updates.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        crate::record::sha256(&bytes)
    }
}

/// The lessons of fleets of one kind.
#[derive(Clone, Debug, Default)]
pub struct Lessons {
    /// By campaign and round.
    rounds: HashMap<(u32, u32), Rc<Lesson>>,
    /// By campaign.
    clips: HashMap<u32, f32>,
}

impl Lessons {
    /// The lesson of this round, from memory or by `train`.
    ///
    /// # Errors
    /// What `train` gives.
    pub fn of<E>(
        &mut self,
        (campaign, round): (u32, u32),
        train: impl FnOnce() -> Result<Lesson, E>,
    ) -> Result<Rc<Lesson>, E> {
        if let Some(known) = self.rounds.get(&(campaign, round)) {
            return Ok(known.clone());
        }
        let lesson = Rc::new(train()?);
        self.rounds.insert((campaign, round), lesson.clone());
        Ok(lesson)
    }

    /// The range of values that this campaign's robots agree on, from memory or by `find`.
    ///
    /// # Errors
    /// What `find` gives.
    pub fn clip<E>(&mut self, campaign: u32, find: impl FnOnce() -> Result<f32, E>) -> Result<f32, E> {
        if let Some(&known) = self.clips.get(&campaign) {
            return Ok(known);
        }
        let clip = find()?;
        self.clips.insert(campaign, clip);
        Ok(clip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(value: f32) -> Result<Lesson, ()> {
        Ok(Lesson { updates: vec![vec![value], vec![-value]], collect_ns: vec![], train_ns: vec![], collect_s: 1.0 })
    }

    #[test]
    fn a_round_is_trained_once_and_robots_send_in_turn() {
        let mut lessons = Lessons::default();
        let mut sent = |place, value| lessons.of(place, || lesson(value)).map(|lesson| lesson.updates[0][0]);
        assert_eq!([sent((0, 0), 1.0), sent((0, 0), 2.0)], [Ok(1.0), Ok(1.0)]);
        assert_eq!([sent((0, 1), 3.0), sent((1, 0), 4.0)], [Ok(3.0), Ok(4.0)]);
        assert!(lessons.of((5, 5), || Err::<Lesson, &str>("diverged")).is_err());
        let lesson = lesson(7.0).expect("one");
        assert_eq!(lesson.sent_by(5), [[7.0], [-7.0], [7.0], [-7.0], [7.0]]);
        assert_eq!(lesson.sent_by(1), [[7.0]]);
    }

    #[test]
    fn a_lesson_is_named_by_every_value_of_its_updates() {
        let named = |updates: Vec<Vec<f32>>| Lesson { updates, ..lesson(0.0).expect("one") }.sha256();
        let known = named(vec![vec![1.0, 2.0], vec![3.0, 4.0]]);
        assert_eq!(known, named(vec![vec![1.0, 2.0], vec![3.0, 4.0]]));
        assert_ne!(known, named(vec![vec![1.0, 2.0], vec![3.0, 4.000_000_5]]));
        assert_ne!(known, named(vec![vec![3.0, 4.0], vec![1.0, 2.0]]));
    }
}
