//! The shape of a pair of networks.

use serde::{Deserialize, Serialize};

use crate::blocks::resample::Resample;
use crate::causality::Causality;
use crate::patch::{Patch, PatchTransform};

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
    /// The blocks of pixels that the first level of the encoder reads, and that of the decoder writes, as one position.
    #[serde(default, skip_serializing_if = "Patch::is_pixel")]
    pub patch: Patch,
    /// How levels resample.
    #[serde(default, skip_serializing_if = "Resample::is_conv")]
    pub resample: Resample,
    /// Whether both networks have a middle: 3D residual blocks around attention.
    #[serde(default = "ArchConfig::middle", skip_serializing_if = "is_true")]
    pub middle: bool,
    /// Whether a linear map of blocks stands beside each network, whose output is then added to it. The networks' last
    /// convolutions start at zero, so that an untrained model is a linear codec. Not with [`Causality::V1_1`], whose
    /// frames lag in a stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linear: bool,
    /// The decoder's shape, if it differs from the encoder's; `spatial_up` and `temporal_up` then count its levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<DecoderConfig>,
}

/// The shape of a decoder: the `[model.decoder]` table of a configuration. What it leaves out is as in [`ArchConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Base width. Level i has `ch * ch_mult[i]` channels.
    pub ch: i64,
    /// The width of each level as a multiple of `ch`.
    pub ch_mult: Vec<i64>,
    /// One less than the residual units in each level, as in [`ArchConfig::num_res_blocks`]; it may be 0.
    pub num_res_blocks: i64,
    /// The blocks of pixels that the last level writes as one position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Patch>,
    /// How levels resample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resample: Option<Resample>,
    /// Whether there is a middle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle: Option<bool>,
    /// Whether a linear map stands beside the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<bool>,
}

impl DecoderConfig {
    /// A decoder of these widths and this depth that is otherwise like its encoder.
    #[must_use]
    pub fn new(ch: i64, ch_mult: Vec<i64>, num_res_blocks: i64) -> Self {
        Self { ch, ch_mult, num_res_blocks, patch: None, resample: None, middle: None, linear: None }
    }
}

fn is_true(value: &bool) -> bool {
    *value
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
    #[error("model.{field} is {value}; it must be from {min} to {max}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
        /// The lower limit.
        min: i64,
        /// The upper limit.
        max: i64,
    },
    /// The number of levels is out of range.
    #[error("model.{field} has {found} numbers; it must have one for each level, from 1 to {MAX_LEVELS}")]
    LevelCount {
        /// The field.
        field: &'static str,
        /// Its length.
        found: usize,
    },
    /// A block of pixels has a side that is not allowed.
    #[error("model.{field} is {value}; it must be a power of two, at most {max}")]
    Patch {
        /// The field.
        field: String,
        /// Its value.
        value: i64,
        /// The largest side.
        max: i64,
    },
    /// A linear map cannot follow frames that lag.
    #[error(
        "model.linear needs model.causality \"v1.0\" or \"noncausal\", because the frames of \"v1.1\" lag in a stream"
    )]
    LinearLags,
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
    #[error(
        "the patch and model.{down} divide by {divisor}, but the decoder's patch and model.{up} multiply by {multiplier}; \
         both must be equal"
    )]
    Unbalanced {
        /// The encoder's field.
        down: &'static str,
        /// Pixels, or frames, of the input for each position of the latent.
        divisor: i64,
        /// The decoder's field.
        up: &'static str,
        /// Those of the output.
        multiplier: i64,
    },
}

impl ArchConfig {
    /// Checks that networks of this shape can be built.
    ///
    /// # Errors
    /// If a number is out of range, a listed level does not exist, or the decoder does not undo the encoder's
    /// resampling.
    pub fn validate(&self) -> Result<(), ArchError> {
        let (encoder, decoder) = (self.encoder_shape(), self.decoder_shape());
        encoder.validate(["ch", "ch_mult", "num_res_blocks"], 1)?;
        if self.decoder.is_some() {
            decoder.validate(["decoder.ch", "decoder.ch_mult", "decoder.num_res_blocks"], 0)?;
        }
        let pairs = [
            (("spatial_down", &self.spatial_down), ("spatial_up", &self.spatial_up)),
            (("temporal_down", &self.temporal_down), ("temporal_up", &self.temporal_up)),
        ];
        for (down, up) in pairs {
            for ((field, levels), last) in [(down, encoder.last_level()), (up, decoder.last_level())] {
                let repeated = |(i, level): (usize, &usize)| levels[..i].contains(level);
                if levels.iter().any(|&level| level > last) || levels.iter().enumerate().any(repeated) {
                    return Err(ArchError::Levels { field, found: levels.clone(), last });
                }
            }
        }
        for (field, patch) in [("patch", encoder.patch), ("decoder.patch", decoder.patch)] {
            if let Some((side, value, max)) = patch.wrong_side() {
                return Err(ArchError::Patch { field: format!("{field}.{side}"), value, max });
            }
        }
        let factors = [
            (("spatial_down", self.spatial_factor()), ("spatial_up", decoder.patch.space << self.spatial_up.len())),
            (("temporal_down", self.temporal_factor()), ("temporal_up", decoder.patch.time << self.temporal_up.len())),
        ];
        for ((down, divisor), (up, multiplier)) in factors {
            if divisor != multiplier {
                return Err(ArchError::Unbalanced { down, divisor, up, multiplier });
            }
        }
        if (encoder.linear || decoder.linear) && self.causality == Causality::V1_1 {
            return Err(ArchError::LinearLags);
        }
        Ok(())
    }

    fn middle() -> bool {
        true
    }

    /// The number of frames that one latent frame represents.
    #[must_use]
    pub fn temporal_factor(&self) -> i64 {
        self.patch.time << self.temporal_down.len()
    }

    /// The number of rows, and of columns, that one latent position represents.
    #[must_use]
    pub fn spatial_factor(&self) -> i64 {
        self.patch.space << self.spatial_down.len()
    }

    /// The block of pixels that one latent position represents.
    pub(crate) fn block(&self) -> Patch {
        Patch { time: self.temporal_factor(), space: self.spatial_factor(), transform: PatchTransform::Pixels }
    }

    /// Numbers of the largest activation at full resolution for each pixel of a frame, rounded up.
    #[must_use]
    pub fn numbers_per_pixel(&self) -> i64 {
        let of = |shape: NetworkShape<'_>| {
            let pixels = shape.patch.channels(1);
            (shape.width(0) + pixels - 1) / pixels
        };
        of(self.encoder_shape()).max(of(self.decoder_shape()))
    }

    /// Whether the encoders of both configurations are the same.
    #[must_use]
    pub fn has_encoder_of(&self, other: &Self) -> bool {
        let levels = |config: &Self| (config.causality, config.spatial_down.clone(), config.temporal_down.clone());
        self.encoder_shape() == other.encoder_shape() && levels(self) == levels(other)
    }

    /// Whether a linear map stands beside the decoder.
    #[must_use]
    pub fn has_linear_decoder(&self) -> bool {
        self.decoder_shape().linear
    }

    /// The encoder's shape.
    pub(crate) fn encoder_shape(&self) -> NetworkShape<'_> {
        NetworkShape {
            ch: self.ch,
            ch_mult: &self.ch_mult,
            num_res_blocks: self.num_res_blocks,
            patch: self.patch,
            resample: self.resample,
            middle: self.middle,
            linear: self.linear,
        }
    }

    /// The decoder's shape.
    pub(crate) fn decoder_shape(&self) -> NetworkShape<'_> {
        let encoder = self.encoder_shape();
        let Some(decoder) = &self.decoder else { return encoder };
        NetworkShape {
            ch: decoder.ch,
            ch_mult: &decoder.ch_mult,
            num_res_blocks: decoder.num_res_blocks,
            patch: decoder.patch.unwrap_or(encoder.patch),
            resample: decoder.resample.unwrap_or(encoder.resample),
            middle: decoder.middle.unwrap_or(encoder.middle),
            linear: decoder.linear.unwrap_or(encoder.linear),
        }
    }

    /// The encoder's levels in the order of the forward pass.
    pub(crate) fn encoder_levels(&self) -> impl Iterator<Item = LevelConfig> {
        let shape = self.encoder_shape();
        (0..=shape.last_level()).map(move |level| LevelConfig {
            index: level,
            input: if level == 0 { shape.ch } else { shape.width(level - 1) },
            output: shape.width(level),
            units: shape.num_res_blocks,
            resamples_space: self.spatial_down.contains(&level),
            resamples_time: self.temporal_down.contains(&level),
            resample: shape.resample,
        })
    }

    /// The decoder's levels in the order of the forward pass, from the last to the first.
    pub(crate) fn decoder_levels(&self) -> impl Iterator<Item = LevelConfig> {
        let shape = self.decoder_shape();
        let last = shape.last_level();
        (0..=last).rev().map(move |level| LevelConfig {
            index: level,
            input: shape.width(last.min(level + 1)),
            output: shape.width(level),
            units: shape.num_res_blocks + 1,
            resamples_space: self.spatial_up.contains(&level),
            resamples_time: self.temporal_up.contains(&level),
            resample: shape.resample,
        })
    }
}

/// The shape of one network.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct NetworkShape<'a> {
    ch: i64,
    ch_mult: &'a [i64],
    pub(crate) num_res_blocks: i64,
    pub(crate) patch: Patch,
    pub(crate) resample: Resample,
    pub(crate) middle: bool,
    pub(crate) linear: bool,
}

impl NetworkShape<'_> {
    /// Checks the numbers, which the configuration calls `names`; there must be at least `least_blocks` blocks.
    fn validate(&self, names: [&'static str; 3], least_blocks: i64) -> Result<(), ArchError> {
        let [ch, ch_mult, blocks] = names;
        let widths = self.ch_mult.iter().map(|&value| (ch_mult, value, 1, MAX_MULTIPLE));
        let numbers = [(ch, self.ch, 1, MAX_WIDTH), (blocks, self.num_res_blocks, least_blocks, MAX_BLOCKS)];
        let mut all = numbers.into_iter().chain(widths);
        if let Some((field, value, min, max)) = all.find(|(_, value, min, max)| !(*min..=*max).contains(value)) {
            return Err(ArchError::Range { field, value, min, max });
        }
        match self.ch_mult.len() {
            1..=MAX_LEVELS => Ok(()),
            found => Err(ArchError::LevelCount { field: ch_mult, found }),
        }
    }

    /// Channels of a level.
    pub(crate) fn width(&self, level: usize) -> i64 {
        self.ch * self.ch_mult[level]
    }

    /// Channels of the first convolution's output.
    pub(crate) fn base_width(&self) -> i64 {
        self.ch
    }

    /// Channels of the widest level.
    pub(crate) fn widest(&self) -> i64 {
        self.ch * self.ch_mult.iter().max().copied().unwrap_or(1)
    }

    /// Channels of the last level.
    pub(crate) fn last_width(&self) -> i64 {
        self.width(self.last_level())
    }

    pub(crate) fn last_level(&self) -> usize {
        self.ch_mult.len().saturating_sub(1)
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
    /// How it resamples.
    pub(crate) resample: Resample,
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
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
        }
    }

    fn patch(time: i64, space: i64) -> Patch {
        Patch { time, space, ..Patch::default() }
    }

    #[test]
    fn a_decoder_may_write_larger_patches_than_its_encoder_reads() {
        let decoder = DecoderConfig { patch: Some(patch(1, 2)), ..DecoderConfig::new(4, vec![1], 0) };
        let config = ArchConfig { decoder: Some(decoder), spatial_up: vec![], ..config() };
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn invalid_shapes_are_rejected() {
        assert_eq!(config().validate(), Ok(()));
        let decoder = DecoderConfig::new(4, vec![1, 1, 1], 0);
        let other_decoder = ArchConfig { decoder: Some(decoder), spatial_up: vec![2], ..config() };
        assert_eq!(other_decoder.validate(), Ok(()), "spatial_up counts the decoder's levels");
        let broken: [fn(&mut ArchConfig); 16] = [
            |c| c.ch = 0,
            |c| c.ch = i64::MAX,
            |c| c.ch_mult = vec![1; 64],
            |c| c.ch_mult = vec![],
            |c| c.ch_mult = vec![1, -2],
            |c| c.spatial_up = vec![2],
            |c| c.spatial_down = vec![0, 0],
            |c| c.temporal_up = vec![1],
            |c| c.patch.space = 3,
            |c| c.patch.time = 0,
            |c| c.patch.time = 16,
            |c| (c.linear, c.causality) = (true, Causality::V1_1),
            |c| c.decoder = Some(DecoderConfig::new(8, vec![1, 1], -1)),
            |c| c.decoder = Some(DecoderConfig::new(8, vec![1], 0)),
            |c| c.decoder = Some(DecoderConfig { patch: Some(patch(1, 2)), ..DecoderConfig::new(8, vec![1, 1], 0) }),
            |c| c.decoder = Some(DecoderConfig { patch: Some(patch(3, 1)), ..DecoderConfig::new(8, vec![1, 1], 0) }),
        ];
        for (i, break_config) in broken.into_iter().enumerate() {
            let mut config = config();
            break_config(&mut config);
            assert!(config.validate().is_err(), "{i}");
        }
    }
}
