//! The decoder: from a latent to a video.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{ConvInit, ParamPath, add, to_channels_last};

use crate::blocks::head::Head;
use crate::blocks::level::{Level, LevelPaths};
use crate::blocks::middle::Middle;
use crate::blocks::pixel_map::PixelMap;
use crate::blocks::recomputable::Recomputable;
use crate::blocks::resample::{Resampler, SpaceUp, TimeUp};
use crate::blocks::shuffle::{ShuffleSpaceUp, ShuffleTimeUp};
use crate::blocks::spatial_resample::SpatialUpsample;
use crate::blocks::temporal_resample::TemporalUpsample;
use crate::blocks::time_conv::TimeConv3d;
use crate::config::{ArchConfig, LevelConfig};
use crate::layer::{Layer, Run};
use crate::linear::{COLORS, LinearDecoder};
use crate::memory::MemoryModel;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::{Footprint, FootprintWalk};
use crate::network::{Network, no_frames};
use crate::patch::Patch;
use crate::stream::error::StreamError;
use crate::stream::input::InputSpec;
use crate::stream::restore::restore;
use crate::stream::state::StreamState;

/// A level of the decoder.
type DecoderLevel = Level<SpaceUp, TimeUp>;

/// The decoder network.
#[derive(Debug)]
pub struct Decoder {
    conv_in: TimeConv3d,
    middle: Option<Recomputable<Middle>>,
    /// In the order of the forward pass: from the last level to the first.
    levels: Vec<DecoderLevel>,
    head: Recomputable<Head>,
    patch: Patch,
    linear: Option<LinearDecoder>,
    /// Channels of the latent.
    input: i64,
    /// The most numbers that an activation holds for each position of the latent.
    density: i64,
}

impl Decoder {
    /// Creates or loads the network of a valid `config` with `input` input channels.
    #[must_use]
    pub fn new(path: &ParamPath, config: &ArchConfig, input: i64) -> Self {
        let causality = config.causality;
        let level = |level: LevelConfig| {
            let (paths, width) = (LevelPaths::new(path, "up", level.index), level.output);
            let earlier_doublings = config.temporal_up.iter().filter(|&&other| other > level.index).count();
            let (space, time) = (paths.spatial.sub("upsample"), paths.temporal.sub("upsample"));
            let spatial = level.resamples_space.then(|| {
                let conv = || SpatialUpsample::new(&space, width);
                Resampler::new(level.resample, conv, || ShuffleSpaceUp::new(&space, width))
            });
            let temporal = level.resamples_time.then(|| {
                let conv = || TemporalUpsample::new(&time, width, causality, earlier_doublings);
                Resampler::new(level.resample, conv, || ShuffleTimeUp::new(&time, width))
            });
            Level::new(&paths, &level, causality, (spatial, temporal))
        };
        let shape = config.decoder_shape();
        let (patch, width) = (shape.patch, shape.last_width());
        let head_init = if shape.linear { ConvInit::Zero } else { ConvInit::Default };
        let head = [shape.width(0), patch.channels(COLORS)];
        Self {
            conv_in: TimeConv3d::new(&path.sub("conv_in"), input, width, causality),
            middle: shape.middle.then(|| Recomputable(Middle::new(&path.sub("mid"), width, causality))),
            levels: config.decoder_levels().map(level).collect(),
            head: Recomputable(Head::new(path, head[0], |path| {
                PixelMap::with_init(path, head, (causality, patch), head_init)
            })),
            patch,
            linear: shape.linear.then(|| LinearDecoder::new(&path.sub("linear"), config, input)),
            input,
            density: [config.temporal_factor(), config.spatial_factor(), config.spatial_factor()]
                .into_iter()
                .fold(shape.widest(), i64::saturating_mul),
        }
    }

    /// The weight of the last convolution, `[3, ch, 3, 3, 3]`, or for larger patches `[3 * time * space * space, ch, 3, 3, 3]`.
    pub fn output_weight(&self) -> &Tensor {
        self.head.0.output_weight()
    }

    /// Maps `[b, input, t, h, w]` to `[b, 3, t * f_t, h * f_s, w * f_s]`, about in [-1, 1], where f_t and f_s are the
    /// config's temporal and spatial factors. In a stream of [`Causality::V1_1`](crate::Causality::V1_1) the frames
    /// lag, and a chunk may return none: the tensor is then empty.
    ///
    /// # Errors
    /// If the latent's shape, kind or device does not fit the network, or if it differs from that of the state's
    /// earlier steps in batch, size or strips. The state is then unchanged.
    pub fn forward(&self, latent: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        state.start_step(self.input(), latent)?;
        let latent = to_channels_last(latent);
        let Some(h) = self.run(latent.shallow_clone(), state) else { return Ok(no_frames(&latent, COLORS)) };
        let video = self.patch.join(&h, COLORS);
        Ok(match &self.linear {
            Some(linear) => add(linear.forward(&latent), &video),
            None => video,
        })
    }

    /// Maps the latent `[b, t, h, w, input]` to the patches of the video in the same layout.
    fn run(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let h = state.run_current_group(|state| {
            let h = self.conv_in.forward(x, state)?;
            match &self.middle {
                Some(middle) => middle.forward(h, state),
                None => Some(h),
            }
        })?;
        let levels = self.levels.iter().map(|level| level as &dyn Run);
        let groups: Vec<&dyn Run> = levels.chain([&self.head as &dyn Run]).collect();
        state.over_strips(h, 1, 1, &groups)
    }

    /// Restores the state of a stream of `b` latents of h x w in strips of `strip_rows` latent rows from its saved
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

impl Network for Decoder {
    fn input(&self) -> InputSpec<'_> {
        let weight = self.conv_in.weight();
        InputSpec {
            network: "decoder",
            channels: self.input,
            weight,
            unit: [1, 1],
            frames_in_patch: 1,
            density: self.density,
        }
    }

    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        self.forward(x, state)
    }
}

impl ArchConfig {
    /// The memory of a decoder's step whose latent becomes `[t, h, w]` frames of one clip, computed in strips of
    /// `strip_rows` of their rows. Leaves out the first convolution, which is small.
    #[must_use]
    pub fn decoder_footprint(&self, [t, h, w]: [i64; 3], strip_rows: i64) -> Footprint {
        let (f_t, f_s) = (self.temporal_factor(), self.spatial_factor());
        let latent = [t / f_t, h / f_s, w / f_s];
        let shape = self.decoder_shape();
        let width = shape.last_width();
        let video = COLORS * t * h * w;
        let mut walk = FootprintWalk::new(self.causality, shape.num_res_blocks, latent, width);
        if shape.middle {
            Middle::footprint(&mut walk);
        }
        walk.split(strip_rows / f_s);
        if walk.is_in_strips() {
            walk.set_beside(latent.iter().product::<i64>() * width + video);
        }
        for level in self.decoder_levels() {
            DecoderLevel::footprint(&mut walk, &level);
        }
        Head::footprint(&mut walk, shape.patch);
        // The frames as strips, joined, and cropped; those of the linear map as blocks and joined.
        walk.set_beside(0);
        walk.hold(if shape.linear { 4 } else { 3 } * video);
        walk.finish()
    }

    /// Bytes that autograd saves of the decoder's forward pass to clips `[b, 3, t, h, w]` in float32, estimated. Leaves
    /// out the first convolution, which is small.
    #[must_use]
    pub fn decoder_activation_bytes(&self, [b, t, h, w]: [i64; 4], recompute: bool) -> i64 {
        let (f_t, f_s) = (self.temporal_factor(), self.spatial_factor());
        let latent = [b, (t + f_t - 1) / f_t, (h / f_s).max(1), (w / f_s).max(1)];
        let shape = self.decoder_shape();
        let mut walk = ActivationWalk::new(self.causality, latent, shape.last_width());
        if shape.middle {
            walk.checkpointed(Middle::activations);
        }
        for level in self.decoder_levels() {
            DecoderLevel::activations(&mut walk, &level);
        }
        walk.checkpointed(Head::activations);
        walk.bytes(recompute)
    }
}
