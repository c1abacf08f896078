//! What the two networks have in common: an input that must fit, and a state that goes from step to step.

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::stream::error::StreamError;
use crate::stream::state::StreamState;

/// A network that is run in steps.
pub(crate) trait Network {
    /// What it reads.
    fn input(&self) -> Input<'_>;

    /// A step, from `[b, c, t, h, w]`.
    fn step(&self, x: &Tensor, state: &mut StreamState) -> Result<Tensor, StreamError>;
}

/// What a network reads.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The network.
    pub(crate) network: &'static str,
    /// The weight of its first convolution, `[out, c, ...]`.
    pub(crate) weight: &'a Tensor,
    /// Frames, and rows and columns, of which it reads multiples.
    pub(crate) unit: [i64; 2],
    /// The most numbers that an activation holds for each position of the input.
    pub(crate) density: i64,
}

impl Input<'_> {
    /// Checks an input of a step.
    pub(crate) fn check(&self, x: &Tensor) -> Result<(), StreamError> {
        let (c, kind, device) = (self.weight.size()[1], self.weight.kind(), self.weight.device());
        let [f_t, f_s] = self.unit;
        let fits = |n: i64, unit: i64| n >= 1 && n % unit == 0;
        let has_shape = match x.size()[..] {
            [_, channels, t, h, w] => channels == c && fits(t, f_t) && fits(h, f_s) && fits(w, f_s),
            _ => false,
        };
        if has_shape && x.kind() == kind && x.device() == device {
            return Ok(());
        }
        let times = |unit: i64| if unit == 1 { String::new() } else { format!(" ({unit})") };
        Err(StreamError::Input {
            network: self.network,
            expected: format!(
                "{kind:?} [b, {c}, t{}, h{s}, w{s}] on {device:?}{}",
                times(f_t),
                if self.unit == [1, 1] { "" } else { ", multiples of what stands in brackets" },
                s = times(f_s)
            ),
            found: format!("{:?} {:?} on {:?}", x.kind(), x.size(), x.device()),
        })
    }
}

/// What stays the same from step to step of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) network: &'static str,
    /// b, c, h and w of the inputs.
    pub(crate) shape: [i64; 4],
    pub(crate) kind: Kind,
    pub(crate) device: Device,
    pub(crate) strip_rows: Option<i64>,
}

impl Stream {
    /// Of a step over a [checked](Input::check) `x`.
    pub(crate) fn new(network: &'static str, x: &Tensor, strip_rows: Option<i64>) -> Self {
        let size = x.size();
        let shape = [size[0], size[1], size[3], size[4]];
        Self { network, shape, kind: x.kind(), device: x.device(), strip_rows }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, shape: [b, c, h, w], kind, device, strip_rows } = self;
        write!(f, "{network}'s steps over {kind:?} [{b}, {c}, t, {h}, {w}] on {device:?}")?;
        match strip_rows {
            Some(rows) => write!(f, " in strips of {rows} rows"),
            None => Ok(()),
        }
    }
}
