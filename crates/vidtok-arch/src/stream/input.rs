//! What a network reads in each step, and what must stay the same from step to step.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::stream::error::StreamError;

/// The inputs that a network accepts.
#[derive(Clone, Copy)]
pub(crate) struct InputSpec<'a> {
    /// The network's name in errors.
    pub(crate) network: &'static str,
    /// Channels.
    pub(crate) channels: i64,
    /// A weight of the network, which has the kind and the device of the inputs.
    pub(crate) weight: &'a Tensor,
    /// t must be a multiple of the first number, h and w of the second.
    pub(crate) unit: [i64; 2],
    /// Frames of the input for each frame that the first layer over time sees.
    pub(crate) frames_in_patch: i64,
    /// The most numbers that an activation holds for each position of the input.
    pub(crate) density: i64,
}

impl InputSpec<'_> {
    /// Checks the input of a step, `[b, c, t, h, w]`.
    pub(crate) fn check(&self, x: &Tensor) -> Result<(), StreamError> {
        let (c, kind, device) = (self.channels, self.weight.kind(), self.weight.device());
        let [f_t, f_s] = self.unit;
        let fits = |n: i64, unit: i64| n >= 1 && n % unit == 0;
        let has_shape = match x.size()[..] {
            [_, channels, t, h, w] => channels == c && fits(t, f_t) && fits(h, f_s) && fits(w, f_s),
            _ => false,
        };
        if has_shape && x.kind() == kind && x.device() == device {
            return Ok(());
        }
        let multiples = match self.unit {
            [1, 1] => String::new(),
            [f_t, f_s] => format!(", t a multiple of {f_t}, h and w multiples of {f_s}"),
        };
        Err(StreamError::Input {
            network: self.network,
            expected: format!("{kind:?} [b, {c}, t, h, w] on {device:?}{multiples}"),
            found: format!("{:?} {:?} on {:?}", x.kind(), x.size(), x.device()),
        })
    }
}

/// What all steps of a stream have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamSpec {
    pub(crate) network: &'static str,
    /// b, c, h and w of the inputs.
    pub(crate) shape: [i64; 4],
    pub(crate) kind: Kind,
    pub(crate) device: Device,
    pub(crate) strip_rows: Option<i64>,
}

impl StreamSpec {
    /// The stream that a step over a [checked](InputSpec::check) `x` belongs to.
    pub(crate) fn new(network: &'static str, x: &Tensor, strip_rows: Option<i64>) -> Self {
        let size = x.size();
        let shape = [size[0], size[1], size[3], size[4]];
        Self { network, shape, kind: x.kind(), device: x.device(), strip_rows }
    }
}

impl fmt::Display for StreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, shape: [b, c, h, w], kind, device, strip_rows } = self;
        write!(f, "{network} over {kind:?} [{b}, {c}, t, {h}, {w}] on {device:?}")?;
        match strip_rows {
            Some(rows) => write!(f, " in strips of {rows} rows"),
            None => Ok(()),
        }
    }
}
