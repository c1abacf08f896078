//! The encoder: from a video to the quantizer's input.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{ConvInit, ParamPath, add, from_channels_last};

use crate::blocks::head::Head;
use crate::blocks::level::{Level, LevelPaths};
use crate::blocks::middle::Middle;
use crate::blocks::pixel_map::PixelMap;
use crate::blocks::recomputable::Recomputable;
use crate::blocks::resample::{Resampler, SpaceDown, TimeDown};
use crate::blocks::shuffle::{ShuffleSpaceDown, ShuffleTimeDown};
use crate::blocks::spatial_resample::SpatialDownsample;
use crate::blocks::temporal_resample::TemporalDownsample;
use crate::blocks::time_conv::TimeConv3d;
use crate::config::{ArchConfig, LevelConfig};
use crate::layer::{Layer, Run};
use crate::linear::{COLORS, LinearEncoder};
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::{Footprint, FootprintWalk};
use crate::network::{Network, no_frames};
use crate::patch::Patch;
use crate::stream::error::StreamError;
use crate::stream::input::InputSpec;
use crate::stream::restore::restore;
use crate::stream::state::StreamState;

/// A level of the encoder.
type EncoderLevel = Level<SpaceDown, TimeDown>;

/// The encoder network.
#[derive(Debug)]
pub struct Encoder {
    patch: Patch,
    conv_in: PixelMap,
    levels: Vec<EncoderLevel>,
    middle: Option<Recomputable<Middle>>,
    head: Recomputable<Head>,
    linear: Option<LinearEncoder>,
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
            let (space, time) = (paths.spatial.sub("downsample"), paths.temporal.sub("downsample"));
            let spatial = level.resamples_space.then(|| {
                let conv = || SpatialDownsample::new(&space, width);
                Resampler::new(level.resample, conv, || ShuffleSpaceDown::new(&space, width))
            });
            let temporal = level.resamples_time.then(|| {
                let conv = || TemporalDownsample::new(&time, width, causality);
                Resampler::new(level.resample, conv, || ShuffleTimeDown::new(&time, width))
            });
            Level::new(&paths, &level, causality, (spatial, temporal))
        };
        let shape = config.encoder_shape();
        let (patch, width) = (shape.patch, shape.last_width());
        let stem = [patch.channels(COLORS), shape.base_width()];
        let head_init = if shape.linear { ConvInit::Zero } else { ConvInit::Default };
        Self {
            patch,
            conv_in: PixelMap::new(&path.sub("conv_in"), stem, (causality, patch)),
            levels: config.encoder_levels().map(level).collect(),
            middle: shape.middle.then(|| Recomputable(Middle::new(&path.sub("mid"), width, causality))),
            head: Recomputable(Head::new(path, width, |path| {
                PixelMap::Conv(TimeConv3d::with_init(path, [width, output], causality, head_init))
            })),
            linear: shape.linear.then(|| LinearEncoder::new(&path.sub("linear"), config, output)),
            unit: [config.temporal_factor(), config.spatial_factor()],
            widest: shape.widest(),
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
        let h = self.run(self.patch.split(video), state);
        let channels = self.head.0.output_weight().size()[0];
        let Some(h) = h else { return Ok(no_frames(video, channels)) };
        let h = from_channels_last(&h);
        Ok(match &self.linear {
            Some(linear) => add(linear.forward(video), &h),
            None => h,
        })
    }

    /// Maps the patches of the video, channels-last, to the latent in the same layout.
    fn run(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let levels = self.levels.iter().map(|level| level as &dyn Run);
        let groups: Vec<&dyn Run> = [&self.conv_in as &dyn Run].into_iter().chain(levels).collect();
        let h = state.over_strips(x, self.patch.space, 0, &groups)?;
        state.run_group(groups.len(), |state| {
            let h = match &self.middle {
                Some(middle) => middle.forward(h, state)?,
                None => h,
            };
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
        let weight = self.conv_in.weight();
        InputSpec {
            network: "encoder",
            channels: COLORS,
            weight,
            unit: self.unit,
            frames_in_patch: self.patch.time,
            density: self.widest,
        }
    }

    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        self.forward(x, state)
    }
}

impl ArchConfig {
    /// The memory of an encoder's step on `[t, h, w]` frames of one clip, computed in strips of `strip_rows` rows.
    #[must_use]
    pub fn encoder_footprint(&self, [t, h, w]: [i64; 3], strip_rows: i64) -> Footprint {
        let (shape, Patch { time, space, .. }) = (self.encoder_shape(), self.patch);
        let latent = (t / self.temporal_factor()) * (h / self.spatial_factor()) * (w / self.spatial_factor());
        let joined = latent * shape.last_width();
        let size = [t / time, h / space, w / space];
        let mut walk = FootprintWalk::new(self.causality, shape.num_res_blocks, size, self.patch.channels(COLORS));
        walk.split(strip_rows / space);
        // The clip in the public layout and channels-last; finished strips.
        walk.set_beside(2 * COLORS * t * h * w + if walk.is_in_strips() { joined } else { 0 });
        PixelMap::footprint(&mut walk, self.patch, shape.base_width());
        for level in self.encoder_levels() {
            EncoderLevel::footprint(&mut walk, &level);
        }
        walk.join();
        if self.middle {
            Middle::footprint(&mut walk);
        }
        <Head as MemoryModel>::footprint(&mut walk);
        walk.finish()
    }

    /// Bytes that autograd saves of the encoder's forward pass on clips `[b, 3, t, h, w]` in float32, estimated.
    #[must_use]
    pub fn encoder_activation_bytes(&self, [b, t, h, w]: [i64; 4], recompute: bool) -> i64 {
        let Patch { time, space, .. } = self.patch;
        let size = [b, t / time, h / space, w / space];
        let mut walk = ActivationWalk::new(self.causality, size, self.patch.channels(COLORS));
        PixelMap::activations(&mut walk, self.encoder_shape().base_width());
        for level in self.encoder_levels() {
            EncoderLevel::activations(&mut walk, &level);
        }
        if self.middle {
            walk.checkpointed(Middle::activations);
        }
        walk.checkpointed(Head::activations);
        walk.bytes(recompute)
    }
}
