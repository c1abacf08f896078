//! From a latent back to a video.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{ParamPath, from_channels_last, to_channels_last};

use crate::blocks::head::Head;
use crate::blocks::level::{Level, LevelPaths};
use crate::blocks::middle::Middle;
use crate::blocks::recomputable::Recomputable;
use crate::blocks::spatial_resample::SpatialUpsample;
use crate::blocks::temporal_resample::TemporalUpsample;
use crate::blocks::time_conv::{Layer, TimeConv3d};
use crate::config::ArchConfig;
use crate::network::{Input, Network};
use crate::stream::error::StreamError;
use crate::stream::restore::restore;
use crate::stream::state::StreamState;
use crate::stream::state::{Run, is_empty};

/// The decoder network.
#[derive(Debug)]
pub struct Decoder {
    conv_in: TimeConv3d,
    middle: Recomputable<Middle>,
    /// From the last level to the first, as they are run.
    levels: Vec<Level<SpatialUpsample, TemporalUpsample>>,
    head: Recomputable<Head>,
    /// The most numbers that an activation holds for each position of the latent.
    density: i64,
}

impl Decoder {
    /// Makes or loads the network of a valid `config` that reads `input` channels.
    #[must_use]
    pub fn new(path: &ParamPath, config: &ArchConfig, input: i64) -> Self {
        let causality = config.causality;
        let last = config.last_level();
        let level = |level: usize| {
            let paths = LevelPaths::new(path, "up", level);
            let width = config.width(level);
            let input = config.width(if level == last { last } else { level + 1 });
            let stage = config.temporal_up.iter().filter(|&&earlier| earlier > level).count();
            let spatial =
                config.spatial_up.contains(&level).then(|| SpatialUpsample::new(&paths.spatial.sub("upsample"), width));
            let temporal = config
                .temporal_up
                .contains(&level)
                .then(|| TemporalUpsample::new(&paths.temporal.sub("upsample"), width, causality, stage));
            Level::new(&paths, (input, width), config.num_res_blocks + 1, causality, (spatial, temporal))
        };
        Self {
            conv_in: TimeConv3d::new(&path.sub("conv_in"), input, config.width(last), causality),
            middle: Recomputable(Middle::new(&path.sub("mid"), config.width(last), causality)),
            levels: (0..=last).rev().map(level).collect(),
            head: Recomputable(Head::new(path, config.width(0), 3, causality)),
            density: [config.temporal_factor(), config.spatial_factor(), config.spatial_factor()]
                .into_iter()
                .fold(config.widest(), i64::saturating_mul),
        }
    }

    /// The weight of the last convolution, `[3, ch, 3, 3, 3]`.
    pub fn output_weight(&self) -> &Tensor {
        self.head.0.output_weight()
    }

    /// `[b, input, t, h, w]` to `[b, 3, t * f_t, h * f_s, w * f_s]`, about in [-1, 1], f_t and f_s being the config's
    /// temporal and spatial factors. In a stream of [`Causality::V1_1`](crate::Causality::V1_1) the frames run behind,
    /// and a chunk may give none.
    ///
    /// # Errors
    /// If the latent is of another shape, kind or device than the network reads, or the state has taken steps over latents
    /// of another batch or size, or in other strips. The state is as before then.
    pub fn forward(&self, latent: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        state.start_step(self.input(), latent)?;
        let mut h = self.conv_in.forward(to_channels_last(latent), state);
        h = self.middle.forward(h, state);
        let levels = self.levels.iter().map(|level| level as &dyn Run);
        let stages: Vec<&dyn Run> = levels.chain([&self.head as &dyn Run]).collect();
        h = state.over_strips(h, 1, &stages);
        Ok(if is_empty(&h) { no_frames(latent) } else { from_channels_last(&h) })
    }

    /// As [`Encoder::restore`](crate::Encoder::restore), of a stream of latents.
    ///
    /// # Errors
    /// As there.
    pub fn restore(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        [b, h, w]: [i64; 3],
        strip_rows: Option<i64>,
    ) -> Result<StreamState, StreamError> {
        restore(self, tensors, [b, h, w], strip_rows)
    }
}

impl Network for Decoder {
    fn input(&self) -> Input<'_> {
        Input { network: "decoder", weight: self.conv_in.weight(), unit: [1, 1], density: self.density }
    }

    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        self.forward(x, state)
    }
}

fn no_frames(latent: &Tensor) -> Tensor {
    Tensor::zeros([latent.size()[0], 3, 0, 0, 0], (latent.kind(), latent.device()))
}
