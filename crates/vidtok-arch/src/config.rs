//! The shape of a pair of networks.

use serde::{Deserialize, Serialize};

use crate::causality::Causality;

/// The `[model]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchConfig {
    /// How the networks treat time.
    pub causality: Causality,
    /// Base width; level i has `ch * ch_mult[i]` channels.
    pub ch: i64,
    /// Width of each level, as a multiple of `ch`; as many levels as there are numbers.
    pub ch_mult: Vec<i64>,
    /// Residual blocks of a level in the encoder; the decoder has one more.
    pub num_res_blocks: i64,
    /// Levels of the encoder that end by halving height and width.
    pub spatial_down: Vec<usize>,
    /// Levels of the decoder that end by doubling height and width.
    pub spatial_up: Vec<usize>,
    /// Levels of the encoder that end by halving the number of frames.
    pub temporal_down: Vec<usize>,
    /// Levels of the decoder that end by doubling the number of frames.
    pub temporal_up: Vec<usize>,
}

// Far beyond any model, and small enough that no product of them overflows.
const MAX_WIDTH: i64 = 1 << 14;
const MAX_MULTIPLE: i64 = 1 << 8;
const MAX_BLOCKS: i64 = 1 << 8;
const MAX_LEVELS: usize = 16;

/// The shape of the networks makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchError {
    /// A width or a number of blocks is out of range.
    #[error("model.{field} is {value}; it must be from 1 to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// The most it may be.
        max: i64,
    },
    /// There is no level, or too many.
    #[error("model.ch_mult has {0} numbers; it needs one for each level, from 1 to {MAX_LEVELS} levels")]
    LevelCount(usize),
    /// A level is named that does not exist or twice.
    #[error("model.{field} is {found:?}; needed are different levels from 0 to {last}")]
    Levels {
        /// The field.
        field: &'static str,
        /// Its value.
        found: Vec<usize>,
        /// The last level.
        last: usize,
    },
    /// The decoder does not undo the encoder's resampling.
    #[error("model.{down} halves {halvings} times, but model.{up} doubles {doublings} times")]
    Unbalanced {
        /// The encoder's field.
        down: &'static str,
        /// How often the encoder halves.
        halvings: usize,
        /// The decoder's field.
        up: &'static str,
        /// How often the decoder doubles.
        doublings: usize,
    },
}

impl ArchConfig {
    /// Checks that networks of this shape can be built.
    ///
    /// # Errors
    /// If a number is out of range, a level does not exist, or the decoder does not undo the encoder's resampling.
    pub fn validate(&self) -> Result<(), ArchError> {
        let widths = self.ch_mult.iter().map(|&value| ("ch_mult", value, MAX_MULTIPLE));
        let numbers = [("ch", self.ch, MAX_WIDTH), ("num_res_blocks", self.num_res_blocks, MAX_BLOCKS)];
        let mut all = numbers.into_iter().chain(widths);
        if let Some((field, value, max)) = all.find(|(_, value, max)| !(1..=*max).contains(value)) {
            return Err(ArchError::Range { field, value, max });
        }
        let levels = self.ch_mult.len();
        if !(1..=MAX_LEVELS).contains(&levels) {
            return Err(ArchError::LevelCount(levels));
        }
        let last = levels - 1;
        let pairs = [
            (("spatial_down", &self.spatial_down), ("spatial_up", &self.spatial_up)),
            (("temporal_down", &self.temporal_down), ("temporal_up", &self.temporal_up)),
        ];
        for (down, up) in pairs {
            for (field, levels) in [down, up] {
                let repeated = |(i, level): (usize, &usize)| levels[..i].contains(level);
                if levels.iter().any(|&level| level > last) || levels.iter().enumerate().any(repeated) {
                    return Err(ArchError::Levels { field, found: levels.clone(), last });
                }
            }
            if down.1.len() != up.1.len() {
                return Err(ArchError::Unbalanced {
                    down: down.0,
                    halvings: down.1.len(),
                    up: up.0,
                    doublings: up.1.len(),
                });
            }
        }
        Ok(())
    }

    /// How many frames one latent frame stands for.
    #[must_use]
    pub fn temporal_factor(&self) -> i64 {
        1 << self.temporal_down.len()
    }

    /// How many rows, and columns, one latent position stands for.
    #[must_use]
    pub fn spatial_factor(&self) -> i64 {
        1 << self.spatial_down.len()
    }

    /// Channels of a level.
    pub(crate) fn width(&self, level: usize) -> i64 {
        self.ch * self.ch_mult[level]
    }

    /// Channels of the widest level.
    pub(crate) fn widest(&self) -> i64 {
        self.ch * self.ch_mult.iter().max().copied().unwrap_or(1)
    }

    pub(crate) fn last_level(&self) -> usize {
        self.ch_mult.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ArchConfig {
        ArchConfig {
            causality: Causality::V1_0,
            ch: 8,
            ch_mult: vec![1, 2],
            num_res_blocks: 1,
            spatial_down: vec![0],
            spatial_up: vec![1],
            temporal_down: vec![],
            temporal_up: vec![],
        }
    }

    #[test]
    fn shapes_that_cannot_be_built_are_refused() {
        assert_eq!(config().validate(), Ok(()));
        let broken: [fn(&mut ArchConfig); 8] = [
            |c| c.ch = 0,
            |c| c.ch = i64::MAX,
            |c| c.ch_mult = vec![1; 64],
            |c| c.ch_mult = vec![],
            |c| c.ch_mult = vec![1, -2],
            |c| c.spatial_up = vec![2],
            |c| c.spatial_down = vec![0, 0],
            |c| c.temporal_up = vec![1],
        ];
        for (i, spoil) in broken.into_iter().enumerate() {
            let mut config = config();
            spoil(&mut config);
            assert!(config.validate().is_err(), "{i}");
        }
    }
}
