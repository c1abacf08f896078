//! A level of either network: units of a spatial and a temporal block, then the level's resampling.

use tch::Tensor;
use vidtok_torch::{Conv2d, ParamPath};

use crate::residual::Residual;
use crate::time_conv::{Layer, TimeConv1d};
use crate::{Causality, TimeState};

/// One level, with the resampling layers `S` in space and `T` in time.
#[derive(Debug)]
pub(crate) struct Level<S, T> {
    units: Vec<(Residual<Conv2d>, Residual<TimeConv1d>)>,
    spatial: Option<S>,
    temporal: Option<T>,
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
            (Residual::spatial(&space, input, output), Residual::temporal(&time, output, causality))
        };
        Self { units: (0..units).map(unit).collect(), spatial, temporal }
    }
}

impl<S: Layer, T: Layer> Layer for Level<S, T> {
    fn forward(&self, x: &Tensor, state: &mut TimeState) -> Tensor {
        let mut h = x.shallow_clone();
        for (spatial, temporal) in &self.units {
            h = spatial.forward(&h, state);
            h = temporal.forward(&h, state);
        }
        if let Some(resample) = &self.spatial {
            h = resample.forward(&h, state);
        }
        if let Some(resample) = &self.temporal {
            h = resample.forward(&h, state);
        }
        h
    }
}
