//! The shape of a pair of networks.

use serde::{Deserialize, Serialize};

use crate::causality::Causality;

/// The shape of an encoder and its decoder: the `[model]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchConfig {
    /// How the networks treat time.
    pub causality: Causality,
    /// Base width. Level i has `ch * ch_mult[i]` channels.
    pub ch: i64,
    /// The width of each level as a multiple of `ch`. Its length is the number of levels.
    pub ch_mult: Vec<i64>,
    /// Residual units in each level of the encoder. Levels of the decoder have one more.
    pub num_res_blocks: i64,
    /// Encoder levels that end by halving height and width.
    pub spatial_down: Vec<usize>,
    /// Decoder levels that end by doubling height and width.
    pub spatial_up: Vec<usize>,
    /// Encoder levels that end by halving the number of frames.
    pub temporal_down: Vec<usize>,
    /// Decoder levels that end by doubling the number of frames.
    pub temporal_up: Vec<usize>,
}

// Far beyond any model, and small enough that no product of these limits overflows.
const MAX_WIDTH: i64 = 1 << 14;
const MAX_MULTIPLE: i64 = 1 << 8;
const MAX_BLOCKS: i64 = 1 << 8;
const MAX_LEVELS: usize = 16;

/// The shape of the networks is invalid.
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
        /// The upper limit.
        max: i64,
    },
    /// The number of levels is out of range.
    #[error("model.ch_mult has {0} numbers; it must have one for each level, from 1 to {MAX_LEVELS}")]
    LevelCount(usize),
    /// A list of levels names a missing level, or one level twice.
    #[error("model.{field} is {found:?}; it must list different levels from 0 to {last}")]
    Levels {
        /// The field.
        field: &'static str,
        /// Its value.
        found: Vec<usize>,
        /// The last level.
        last: usize,
    },
    /// The decoder does not undo the encoder's resampling.
    #[error("model.{down} halves {halvings} times but model.{up} doubles {doublings} times; give both as many levels")]
    Unbalanced {
        /// The encoder's field.
        down: &'static str,
        /// The number of halvings.
        halvings: usize,
        /// The decoder's field.
        up: &'static str,
        /// The number of doublings.
        doublings: usize,
    },
}

impl ArchConfig {
    /// Checks that networks of this shape can be built.
    ///
    /// # Errors
    /// If a number is out of range, a listed level does not exist, or the decoder does not undo the encoder's
    /// resampling.
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

    /// The number of frames that one latent frame represents.
    #[must_use]
    pub fn temporal_factor(&self) -> i64 {
        1 << self.temporal_down.len()
    }

    /// The number of rows, and of columns, that one latent position represents.
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

    /// The encoder's levels in the order of the forward pass.
    pub(crate) fn encoder_levels(&self) -> impl Iterator<Item = LevelConfig> {
        (0..=self.last_level()).map(|level| LevelConfig {
            index: level,
            input: if level == 0 { self.ch } else { self.width(level - 1) },
            output: self.width(level),
            units: self.num_res_blocks,
            resamples_space: self.spatial_down.contains(&level),
            resamples_time: self.temporal_down.contains(&level),
        })
    }

    /// The decoder's levels in the order of the forward pass, from the last to the first.
    pub(crate) fn decoder_levels(&self) -> impl Iterator<Item = LevelConfig> {
        let last = self.last_level();
        (0..=last).rev().map(move |level| LevelConfig {
            index: level,
            input: self.width(last.min(level + 1)),
            output: self.width(level),
            units: self.num_res_blocks + 1,
            resamples_space: self.spatial_up.contains(&level),
            resamples_time: self.temporal_up.contains(&level),
        })
    }
}

/// The shape of one level of a network.
pub(crate) struct LevelConfig {
    /// The level's index in the configuration and in the published names.
    pub(crate) index: usize,
    /// Channels of the level's input.
    pub(crate) input: i64,
    /// Channels of the level's output.
    pub(crate) output: i64,
    /// Residual units.
    pub(crate) units: i64,
    /// Whether the level ends by resampling height and width.
    pub(crate) resamples_space: bool,
    /// Whether the level ends by resampling frames.
    pub(crate) resamples_time: bool,
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
    fn invalid_shapes_are_rejected() {
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
        for (i, break_config) in broken.into_iter().enumerate() {
            let mut config = config();
            break_config(&mut config);
            assert!(config.validate().is_err(), "{i}");
        }
    }
}
