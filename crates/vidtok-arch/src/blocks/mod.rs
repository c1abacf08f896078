//! The building blocks of both networks, from single layers to a level.

pub(crate) mod attention;
pub(crate) mod head;
pub(crate) mod interpolate;
pub(crate) mod level;
pub(crate) mod middle;
pub(crate) mod pixel_map;
pub(crate) mod recomputable;
pub(crate) mod resample;
pub(crate) mod residual;
pub(crate) mod shuffle;
pub(crate) mod spatial_resample;
pub(crate) mod temporal_resample;
pub(crate) mod time_conv;
