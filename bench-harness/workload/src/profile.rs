//! What an update loses on its way into the mean: nothing, or what 8-bit values cannot hold.

use crate::mean;
use serde::{Deserialize, Serialize};

/// How updates are compressed before they are added up. Training goes on from the compressed mean, so a trace belongs
/// to one profile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Profile {
    /// As they are, 32-bit floats.
    F32,
    /// On a grid of 255 levels from `-clip` to `clip`, to the nearest; values beyond are moved to its edge.
    Int8 {
        /// Where the grid ends.
        clip: f32,
    },
}

impl Profile {
    /// The mean that a round gives.
    ///
    /// # Panics
    /// Where there are no updates, or their lengths differ.
    #[must_use]
    pub fn aggregate(&self, updates: &[Vec<f32>]) -> Vec<f32> {
        let Self::Int8 { clip } = *self else { return mean(updates) };
        let step = f64::from(clip) / LEVELS;
        let level = |value: &f32| (f64::from(value.clamp(-clip, clip)) / step).round_ties_even() as f32;
        // Sums of whole numbers are exact, so the mean is too, up to the last multiplication.
        let levels: Vec<Vec<f32>> = updates.iter().map(|update| update.iter().map(level).collect()).collect();
        mean(&levels).iter().map(|level| (f64::from(*level) * step) as f32).collect()
    }

    /// Whether the clip is one.
    pub(crate) fn is_sound(&self) -> bool {
        matches!(self, Self::F32) || matches!(self, Self::Int8 { clip } if clip.is_finite() && *clip > 0.0)
    }
}

/// Levels above zero, and below.
const LEVELS: f64 = 127.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_off_by_half_a_level_at_most_and_clip() {
        let profile = Profile::Int8 { clip: 0.127 };
        let updates = vec![vec![0.0104, -0.5, 0.0, 0.001], vec![0.0104, -0.5, 0.0, 0.003]];
        let found = profile.aggregate(&updates);
        for (found, right) in found.iter().zip([0.010, -0.127, 0.0, 0.002]) {
            assert!((found - right).abs() < 1e-7, "{found} {right}");
        }
        assert_eq!(Profile::F32.aggregate(&updates), mean(&updates));
        assert!(!Profile::Int8 { clip: 0.0 }.is_sound() && !Profile::Int8 { clip: f32::NAN }.is_sound());
    }
}
