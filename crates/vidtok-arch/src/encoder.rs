//! The encoder: from a video to the quantizer's input.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{ParamPath, from_channels_last, to_channels_last};

use crate::blocks::head::Head;
use crate::blocks::level::{Level, LevelPaths};
use crate::blocks::middle::Middle;
use crate::blocks::recomputable::Recomputable;
use crate::blocks::spatial_resample::SpatialDownsample;
use crate::blocks::temporal_resample::TemporalDownsample;
use crate::blocks::time_conv::TimeConv3d;
use crate::config::{ArchConfig, LevelConfig};
use crate::layer::{Layer, Run};
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::{Footprint, FootprintWalk};
use crate::network::{Network, no_frames};
use crate::stream::error::StreamError;
use crate::stream::input::InputSpec;
use crate::stream::restore::restore;
use crate::stream::state::StreamState;

/// A level of the encoder.
type EncoderLevel = Level<SpatialDownsample, TemporalDownsample>;

/// The encoder network.
#[derive(Debug)]
pub struct Encoder {
    conv_in: TimeConv3d,
    levels: Vec<EncoderLevel>,
    middle: Recomputable<Middle>,
    head: Recomputable<Head>,
    /// The temporal and the spatial factor.
    unit: [i64; 2],
    /// Channels of the widest level.
    widest: i64,
}

impl Encoder {
    /// Creates or loads the network of a valid `config` with `output` output channels.
    #[must_use]
    pub fn new(path: &ParamPath, config: &ArchConfig, output: i64) -> Self {
        let causality = config.causality;
        let level = |level: LevelConfig| {
            let (paths, width) = (LevelPaths::new(path, "down", level.index), level.output);
            let spatial =
                level.resamples_space.then(|| SpatialDownsample::new(&paths.spatial.sub("downsample"), width));
            let temporal = level
                .resamples_time
                .then(|| TemporalDownsample::new(&paths.temporal.sub("downsample"), width, causality));
            Level::new(&paths, &level, causality, (spatial, temporal))
        };
        let width = config.width(config.last_level());
        Self {
            conv_in: TimeConv3d::new(&path.sub("conv_in"), 3, config.ch, causality),
            levels: config.encoder_levels().map(level).collect(),
            middle: Recomputable(Middle::new(&path.sub("mid"), width, causality)),
            head: Recomputable(Head::new(path, width, output, causality)),
            unit: [config.temporal_factor(), config.spatial_factor()],
            widest: config.widest(),
        }
    }

    /// Maps `[b, 3, t, h, w]` in [-1, 1] to `[b, output, t / f_t, h / f_s, w / f_s]`, where f_t and f_s are the
    /// config's temporal and spatial factors. t, h and w must be multiples of them.
    ///
    /// # Errors
    /// If the video's shape, kind or device does not fit the network, or if it differs from that of the state's earlier
    /// steps in batch, size or strips. The state is then unchanged.
    pub fn forward(&self, video: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        state.start_step(self.input(), video)?;
        let h = self.run(to_channels_last(video), state);
        let channels = self.head.0.output_weight().size()[0];
        Ok(h.map_or_else(|| no_frames(video, channels), |h| from_channels_last(&h)))
    }

    /// Maps `[b, t, h, w, 3]` to the latent in the same layout.
    fn run(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let levels = self.levels.iter().map(|level| level as &dyn Run);
        let groups: Vec<&dyn Run> = [&self.conv_in as &dyn Run].into_iter().chain(levels).collect();
        let h = state.over_strips(x, 0, &groups)?;
        state.run_group(groups.len(), |state| {
            let h = self.middle.forward(h, state)?;
            self.head.forward(h, state)
        })
    }

    /// Restores the state of a stream of `b` clips of h x w in strips of `strip_rows` rows from its saved
    /// [`tensors`](StreamState::tensors). `tensors` may hold others besides.
    ///
    /// # Errors
    /// If a tensor is missing, belongs to no layer, or has another shape or kind than its layer keeps.
    pub fn restore(
        &self,
        tensors: &BTreeMap<String, Tensor>,
        [b, h, w]: [i64; 3],
        strip_rows: Option<i64>,
    ) -> Result<StreamState, StreamError> {
        restore(self, tensors, [b, h, w], strip_rows)
    }
}

impl Network for Encoder {
    fn input(&self) -> InputSpec<'_> {
        InputSpec { network: "encoder", weight: self.conv_in.weight(), unit: self.unit, density: self.widest }
    }

    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        self.forward(x, state)
    }
}

impl ArchConfig {
    /// The memory of an encoder's step on `[t, h, w]` frames of one clip, computed in strips of `strip_rows` rows.
    #[must_use]
    pub fn encoder_footprint(&self, [t, h, w]: [i64; 3], strip_rows: i64) -> Footprint {
        let latent = (t / self.temporal_factor()) * (h / self.spatial_factor()) * (w / self.spatial_factor());
        let joined = latent * self.width(self.last_level());
        let mut walk = FootprintWalk::new(self, [t, h, w], 3);
        walk.split(strip_rows);
        // The clip in the public layout and channels-last; finished strips.
        walk.set_beside(2 * 3 * t * h * w + if walk.is_in_strips() { joined } else { 0 });
        TimeConv3d::footprint(&mut walk, self.ch);
        for level in self.encoder_levels() {
            EncoderLevel::footprint(&mut walk, &level);
        }
        walk.join();
        Middle::footprint(&mut walk);
        Head::footprint(&mut walk);
        walk.finish()
    }

    /// Bytes that autograd saves of the encoder's forward pass on clips `[b, 3, t, h, w]` in float32, estimated.
    #[must_use]
    pub fn encoder_activation_bytes(&self, [b, t, h, w]: [i64; 4], recompute: bool) -> i64 {
        let mut walk = ActivationWalk::new(self.causality, [b, t, h, w], 3);
        TimeConv3d::activations(&mut walk, self.ch);
        for level in self.encoder_levels() {
            EncoderLevel::activations(&mut walk, &level);
        }
        walk.checkpointed(Middle::activations);
        walk.checkpointed(Head::activations);
        walk.bytes(recompute)
    }
}
