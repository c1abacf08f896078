//! From a video to what the quantizer reads.

use std::collections::BTreeMap;

use tch::Tensor;
use vidtok_torch::{ParamPath, from_channels_last, to_channels_last};

use crate::blocks::head::Head;
use crate::blocks::level::{Level, LevelPaths};
use crate::blocks::middle::Middle;
use crate::blocks::recomputable::Recomputable;
use crate::blocks::spatial_resample::SpatialDownsample;
use crate::blocks::temporal_resample::TemporalDownsample;
use crate::blocks::time_conv::{Layer, TimeConv3d};
use crate::config::ArchConfig;
use crate::network::{Input, Network};
use crate::stream::error::StreamError;
use crate::stream::restore::restore;
use crate::stream::state::Run;
use crate::stream::state::StreamState;

/// The encoder network.
#[derive(Debug)]
pub struct Encoder {
    conv_in: TimeConv3d,
    levels: Vec<Level<SpatialDownsample, TemporalDownsample>>,
    middle: Recomputable<Middle>,
    head: Recomputable<Head>,
    /// Frames, and rows and columns, of which it reads multiples.
    unit: [i64; 2],
    /// Channels of the widest level.
    widest: i64,
}

impl Encoder {
    /// Makes or loads the network of a valid `config` that gives `output` channels.
    #[must_use]
    pub fn new(path: &ParamPath, config: &ArchConfig, output: i64) -> Self {
        let causality = config.causality;
        let level = |level: usize| {
            let paths = LevelPaths::new(path, "down", level);
            let width = config.width(level);
            let input = if level == 0 { config.ch } else { config.width(level - 1) };
            let spatial = config
                .spatial_down
                .contains(&level)
                .then(|| SpatialDownsample::new(&paths.spatial.sub("downsample"), width));
            let temporal = config
                .temporal_down
                .contains(&level)
                .then(|| TemporalDownsample::new(&paths.temporal.sub("downsample"), width, causality));
            Level::new(&paths, (input, width), config.num_res_blocks, causality, (spatial, temporal))
        };
        let width = config.width(config.last_level());
        Self {
            conv_in: TimeConv3d::new(&path.sub("conv_in"), 3, config.ch, causality),
            levels: (0..=config.last_level()).map(level).collect(),
            middle: Recomputable(Middle::new(&path.sub("mid"), width, causality)),
            head: Recomputable(Head::new(path, width, output, causality)),
            unit: [config.temporal_factor(), config.spatial_factor()],
            widest: config.widest(),
        }
    }

    /// `[b, 3, t, h, w]` in [-1, 1] to `[b, output, t / f_t, h / f_s, w / f_s]`, f_t and f_s being the config's
    /// temporal and spatial factors; t, h and w must be multiples of them.
    ///
    /// # Errors
    /// If the video is of another shape, kind or device than the network reads, or the state has taken steps over clips of
    /// another batch or size, or in other strips. The state is as before then.
    pub fn forward(&self, video: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        state.start_step(self.input(), video)?;
        let levels = self.levels.iter().map(|level| level as &dyn Run);
        let stages: Vec<&dyn Run> = [&self.conv_in as &dyn Run].into_iter().chain(levels).collect();
        let mut h = state.over_strips(to_channels_last(video), 0, &stages);
        state.start_stage(stages.len());
        h = self.middle.forward(h, state);
        Ok(from_channels_last(&self.head.forward(h, state)))
    }

    /// The state that was saved as these [`tensors`](StreamState::tensors), which may have others among them: of a stream of
    /// `b` clips of h x w, in strips of this many rows.
    ///
    /// # Errors
    /// If a tensor is missing, of another shape or kind than the layer keeps whose it would be, or no layer's.
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
    fn input(&self) -> Input<'_> {
        Input { network: "encoder", weight: self.conv_in.weight(), unit: self.unit, density: self.widest }
    }

    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError> {
        self.forward(x, state)
    }
}
