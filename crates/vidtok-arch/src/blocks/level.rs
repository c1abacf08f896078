//! A level of either network: units of a spatial and a temporal block, then the level's resampling.

use tch::Tensor;
use vidtok_torch::{Conv2d, ParamPath};

use crate::blocks::recomputable::Recomputable;
use crate::blocks::residual::Residual;
use crate::blocks::time_conv::{Layer, TimeConv1d};
use crate::causality::Causality;
use crate::stream::state::StreamState;
use crate::stream::state::is_empty;

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
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let h = self.0.forward(x, state);
        if is_empty(&h) { h } else { self.1.forward(h, state) }
    }
}

/// Where a level's parameters are: its spatial ones and its temporal ones.
pub(crate) struct LevelPaths {
    pub(crate) spatial: ParamPath,
    pub(crate) temporal: ParamPath,
}

impl LevelPaths {
    /// `down.0` and `down_temporal.0`, or `up.0` and `up_temporal.0`.
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
        widths: (i64, i64),
        units: i64,
        causality: Causality,
        (spatial, temporal): (Option<S>, Option<T>),
    ) -> Self {
        let (input, output) = widths;
        let unit = |i| {
            let [space, time] = [&paths.spatial, &paths.temporal].map(|path| path.sub("block").sub(i));
            let input = if i == 0 { input } else { output };
            Recomputable(Unit(Residual::spatial(&space, input, output), Residual::temporal(&time, output, causality)))
        };
        Self {
            units: (0..units).map(unit).collect(),
            spatial: spatial.map(Recomputable),
            temporal: temporal.map(Recomputable),
        }
    }
}

impl<S: Layer, T: Layer> Layer for Level<S, T> {
    fn forward(&self, x: Tensor, state: &mut StreamState) -> Tensor {
        let mut h = x;
        for unit in &self.units {
            h = unit.forward(h, state);
            if is_empty(&h) {
                return h;
            }
        }
        if let Some(resample) = &self.spatial {
            h = resample.forward(h, state);
            if is_empty(&h) {
                return h;
            }
        }
        match &self.temporal {
            Some(resample) => resample.forward(h, state),
            None => h,
        }
    }
}
