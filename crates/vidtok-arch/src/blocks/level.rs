//! A level of either network: units of a spatial and a temporal block, then the level's resampling.

use tch::Tensor;
use vidtok_torch::{Conv2d, ParamPath};

use crate::blocks::recomputable::Recomputable;
use crate::blocks::resample::ResamplerMemory;
use crate::blocks::residual::Residual;
use crate::blocks::time_conv::TimeConv1d;
use crate::causality::Causality;
use crate::config::LevelConfig;
use crate::layer::Layer;
use crate::memory::activations::ActivationWalk;
use crate::memory::footprint::FootprintWalk;
use crate::stream::state::StreamState;

/// One level, with the resampling layers `S` in space and `T` in time.
#[derive(Clone, Debug)]
pub(crate) struct Level<S, T> {
    units: Vec<Recomputable<Unit>>,
    spatial: Option<Recomputable<S>>,
    temporal: Option<Recomputable<T>>,
}

/// A block in space, then one in time.
#[derive(Clone, Debug)]
struct Unit(Residual<Conv2d>, Residual<TimeConv1d>);

impl Layer for Unit {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let h = self.0.forward(x, state)?;
        self.1.forward(h, state)
    }
}

impl Unit {
    fn footprint(walk: &mut FootprintWalk, output: i64) {
        Residual::<Conv2d>::footprint(walk, output);
        Residual::<TimeConv1d>::footprint(walk, output);
    }

    fn activations(walk: &mut ActivationWalk, output: i64) {
        Residual::<Conv2d>::activations(walk, output);
        Residual::<TimeConv1d>::activations(walk, output);
    }
}

/// The paths of a level's parameters.
pub(crate) struct LevelPaths {
    /// `down.0` or `up.0`.
    pub(crate) spatial: ParamPath,
    /// `down_temporal.0` or `up_temporal.0`.
    pub(crate) temporal: ParamPath,
}

impl LevelPaths {
    /// The paths of a level in the `direction` `down` or `up`.
    pub(crate) fn new(path: &ParamPath, direction: &str, level: usize) -> Self {
        Self {
            spatial: path.sub(direction).sub(level),
            temporal: path.sub(format_args!("{direction}_temporal")).sub(level),
        }
    }
}

impl<S: Layer, T: Layer> Level<S, T> {
    pub(crate) fn new(
        paths: &LevelPaths,
        config: &LevelConfig,
        causality: Causality,
        (spatial, temporal): (Option<S>, Option<T>),
    ) -> Self {
        let unit = |i| {
            let [space, time] = [&paths.spatial, &paths.temporal].map(|path| path.sub("block").sub(i));
            let (input, output) = (if i == 0 { config.input } else { config.output }, config.output);
            Recomputable(Unit(Residual::spatial(&space, input, output), Residual::temporal(&time, output, causality)))
        };
        Self {
            units: (0..config.units).map(unit).collect(),
            spatial: spatial.map(Recomputable),
            temporal: temporal.map(Recomputable),
        }
    }
}

impl<S: Layer, T: Layer> Layer for Level<S, T> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
        let mut h = x;
        for unit in &self.units {
            h = unit.forward(h, state)?;
        }
        if let Some(resample) = &self.spatial {
            h = resample.forward(h, state)?;
        }
        match &self.temporal {
            Some(resample) => resample.forward(h, state),
            None => Some(h),
        }
    }
}

impl<S: ResamplerMemory, T: ResamplerMemory> Level<S, T> {
    /// Follows a forward pass without gradients.
    pub(crate) fn footprint(walk: &mut FootprintWalk, config: &LevelConfig) {
        for _ in 0..config.units {
            Unit::footprint(walk, config.output);
        }
        if config.resamples_space {
            S::footprint(walk, config.resample);
        }
        if config.resamples_time {
            T::footprint(walk, config.resample);
        }
    }

    /// Adds what autograd saves of a forward pass.
    pub(crate) fn activations(walk: &mut ActivationWalk, config: &LevelConfig) {
        for _ in 0..config.units {
            walk.checkpointed(|walk| Unit::activations(walk, config.output));
        }
        if config.resamples_space {
            walk.checkpointed(|walk| S::activations(walk, config.resample));
        }
        if config.resamples_time {
            walk.checkpointed(|walk| T::activations(walk, config.resample));
        }
    }
}
