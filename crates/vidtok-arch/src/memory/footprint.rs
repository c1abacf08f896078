//! The memory of a pass without gradients, by walking through the layers and counting the tensors that are alive at the
//! same time, each with the neighbouring rows and frames that kernels need.

use vidtok_torch::winograd_workspace;

use crate::causality::Causality;
use crate::config::ArchConfig;

/// The most memory that one step of a network holds, in numbers (not bytes). Excludes the weights and
/// [what a convolution needs inside](ArchConfig::convolution_numbers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Kept from one chunk to the next.
    pub state: i64,
    /// Alive at the same time within a step, besides the state.
    pub step: i64,
}

impl ArchConfig {
    /// The most numbers that a convolution on the CPU holds inside: the weights as a temporal blend scales them, and
    /// the workspace of the Winograd kernels.
    #[must_use]
    pub fn convolution_numbers(&self, threads: i64) -> i64 {
        let width = self.encoder_shape().widest().max(self.decoder_shape().widest());
        27 * width * width + winograd_workspace(width, threads)
    }
}

/// The position of a walk: the size of the activation there, and the memory counted so far.
pub(crate) struct FootprintWalk {
    pub(crate) causality: Causality,
    /// Channels of the activation.
    pub(crate) channels: i64,
    t: i64,
    /// Rows of the whole frame.
    h: i64,
    /// Rows of a strip.
    rows: i64,
    w: i64,
    /// Rows that the layers of a level hold back until the last strip.
    waiting_rows: i64,
    /// Alive besides what layers hold.
    beside: i64,
    footprint: Footprint,
}

impl FootprintWalk {
    /// Starts on whole frames of an activation `[1, t, h, w, channels]`, in a network with `units` residual units a level.
    pub(crate) fn new(causality: Causality, units: i64, [t, h, w]: [i64; 3], channels: i64) -> Self {
        Self {
            causality,
            channels,
            t,
            h,
            rows: h,
            w,
            waiting_rows: 2 * units + 3,
            beside: 0,
            footprint: Footprint::default(),
        }
    }

    pub(crate) fn finish(self) -> Footprint {
        self.footprint
    }

    pub(crate) fn is_in_strips(&self) -> bool {
        self.rows < self.h
    }

    /// Goes from whole frames to strips of `rows` rows.
    pub(crate) fn split(&mut self, rows: i64) {
        self.rows = rows.clamp(1, self.h.max(1));
    }

    /// Goes from strips to whole frames.
    pub(crate) fn join(&mut self) {
        self.rows = self.h;
        self.beside = 0;
        self.hold(2 * self.activation());
    }

    /// Sets the numbers that are alive besides what layers hold.
    pub(crate) fn set_beside(&mut self, numbers: i64) {
        self.beside = numbers;
    }

    /// Rows of the highest strip: a frame is cut into the nearest number of strips, and the last one brings the rows
    /// that waited within a level.
    fn height(&self) -> i64 {
        match self.is_in_strips() {
            true => (self.rows * 3 / 2 + self.waiting_rows).min(self.h),
            false => self.h,
        }
    }

    /// Numbers of the activation.
    pub(crate) fn activation(&self) -> i64 {
        self.frames(self.t)
    }

    /// Numbers of this many frames of the activation.
    fn frames(&self, count: i64) -> i64 {
        count * self.height() * self.w * self.channels
    }

    /// Numbers of the rows beside a strip that a kernel over height needs.
    pub(crate) fn edge_rows(&self) -> i64 {
        if self.is_in_strips() { 2 * self.t * self.w * self.channels } else { 0 }
    }

    /// Numbers of a strip's causal context of this many frames.
    pub(crate) fn context(&self, frames: i64) -> i64 {
        if self.causality.is_causal() { self.frames(frames) } else { 0 }
    }

    /// Frames of the activation.
    pub(crate) fn t(&self) -> i64 {
        self.t
    }

    /// Counts numbers that are alive at the same time.
    pub(crate) fn hold(&mut self, numbers: i64) {
        self.footprint.step = self.footprint.step.max(self.beside + numbers);
    }

    /// Counts frames that a layer keeps for the next chunk.
    pub(crate) fn keep(&mut self, frames: i64) {
        if self.causality.is_causal() {
            self.footprint.state += frames * self.h * self.w * self.channels;
        }
    }

    pub(crate) fn halve_space(&mut self) {
        (self.h, self.rows, self.w) = (self.h / 2, (self.rows / 2).max(1), self.w / 2);
    }

    pub(crate) fn double_space(&mut self) {
        (self.h, self.rows, self.w) = (2 * self.h, 2 * self.rows, 2 * self.w);
    }

    pub(crate) fn halve_time(&mut self) {
        self.t /= 2;
    }

    pub(crate) fn double_time(&mut self) {
        self.t *= 2;
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::blocks::resample::Resample;
    use crate::decoder::Decoder;
    use crate::encoder::Encoder;
    use crate::patch::Patch;
    use crate::stream::state::StreamState;

    fn config(causality: Causality) -> ArchConfig {
        ArchConfig {
            causality,
            ch: 4,
            ch_mult: vec![1, 2, 2],
            num_res_blocks: 2,
            spatial_down: vec![0, 1],
            spatial_up: vec![1, 2],
            temporal_down: vec![1],
            temporal_up: vec![2],
            patch: Patch::default(),
            resample: Resample::default(),
            middle: true,
            linear: false,
            decoder: None,
        }
    }

    #[test]
    fn the_estimated_state_equals_what_the_layers_keep() {
        for causality in [Causality::V1_0, Causality::V1_1, Causality::NonCausal] {
            let config = config(causality);
            let encoder = Encoder::new(&ParamPath::fresh(Device::Cpu).sub("encoder"), &config, 8);
            let decoder = Decoder::new(&ParamPath::fresh(Device::Cpu).sub("decoder"), &config, 8);
            for rows in [16, 4] {
                let mut states =
                    [StreamState::streaming().in_strips(rows), StreamState::streaming().in_strips(rows / 4)];
                for _ in 0..2 {
                    let video = Tensor::rand([1, 3, 4, 16, 8], (Kind::Float, Device::Cpu));
                    let latent = Tensor::rand([1, 8, 2, 4, 2], (Kind::Float, Device::Cpu));
                    tch::no_grad(|| {
                        let _ = encoder.forward(&video, &mut states[0]).unwrap();
                        let _ = decoder.forward(&latent, &mut states[1]).unwrap();
                    });
                }
                let expected = [
                    config.encoder_footprint([4, 16, 8], rows).state,
                    // The walk starts after the first convolution, so it lacks two frames of the latent.
                    config.decoder_footprint([4, 16, 8], rows).state
                        + if causality.is_causal() { 2 * 4 * 2 * 8 } else { 0 },
                ];
                let found = states.map(|state| state.bytes() as i64 / 4);
                assert_eq!(found, expected, "{causality} {rows}");
            }
        }
    }

    #[test]
    fn strips_need_less_memory_and_frames_need_more() {
        let config = config(Causality::V1_1);
        let step = |t, rows| config.decoder_footprint([t, 64, 64], rows).step;
        assert!(step(8, 16) < step(8, 64) && step(8, 64) < step(16, 64));
        assert_eq!(config.encoder_footprint([8, 64, 64], 64), config.encoder_footprint([8, 64, 64], 1000));
    }
}
