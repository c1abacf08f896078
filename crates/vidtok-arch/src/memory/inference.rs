//! How much memory a pass through the networks takes, without making it.
//!
//! The walk follows the forward pass layer by layer and counts the tensors that are alive at the same time, each with
//! the rows and frames beside it that kernels need.

use crate::config::ArchConfig;

/// Points and tiles of a block of the convolutions on the CPU (vidtok-torch's `winograd_kernel.cpp`).
const POINTS: i64 = 36;
const TILES: i64 = 128;

/// Numbers that a step of a network holds. Weights, and what a convolution needs inside, are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Kept from one chunk to the next.
    pub state: i64,
    /// The most that is alive at a time within a step, beside the state.
    pub step: i64,
}

impl ArchConfig {
    /// Of the encoder for `[t, h, w]` frames of one clip that are computed in strips of so many rows.
    #[must_use]
    pub fn encoder_footprint(&self, frames: [i64; 3], strip_rows: i64) -> Footprint {
        let mut walk = Walk::new(self, frames, strip_rows);
        let joined = self.latent_size(frames) * self.width(self.last_level());
        // The clip as it is given, and in our layout; strips that are done.
        walk.beside = 2 * 3 * frames.iter().product::<i64>() + if walk.in_strips() { joined } else { 0 };
        walk.conv3d(3, self.ch);
        for level in 0..=self.last_level() {
            let width = self.width(level);
            let input = if level == 0 { self.ch } else { self.width(level - 1) };
            walk.units(self.num_res_blocks, input, width);
            if self.spatial_down.contains(&level) {
                walk.spatial_downsample(width);
            }
            if self.temporal_down.contains(&level) {
                walk.temporal_downsample(width);
            }
        }
        walk.join(self.width(self.last_level()));
        walk.middle(self.width(self.last_level()));
        walk.head(self.width(self.last_level()));
        walk.footprint
    }

    /// Of the decoder, for a latent that gives `[t, h, w]` frames of one clip, computed in strips of so many of their
    /// rows.
    #[must_use]
    pub fn decoder_footprint(&self, frames: [i64; 3], strip_rows: i64) -> Footprint {
        let (f_t, f_s) = (self.temporal_factor(), self.spatial_factor());
        let latent = [frames[0] / f_t, frames[1] / f_s, frames[2] / f_s];
        let width = self.width(self.last_level());
        let mut walk = Walk::new(self, latent, latent[1]);
        walk.middle(width);
        walk.split(strip_rows / f_s);
        if walk.in_strips() {
            walk.beside = latent.iter().product::<i64>() * width + 3 * frames.iter().product::<i64>();
        }
        for level in (0..=self.last_level()).rev() {
            let width = self.width(level);
            let input = self.width(if level == self.last_level() { level } else { level + 1 });
            walk.units(self.num_res_blocks + 1, input, width);
            if self.spatial_up.contains(&level) {
                walk.spatial_upsample(width);
            }
            if self.temporal_up.contains(&level) {
                walk.temporal_upsample(width);
            }
        }
        walk.head(self.ch);
        // The frames as they are joined, and cropped.
        walk.beside = 0;
        walk.holds(3 * 3 * frames.iter().product::<i64>());
        walk.footprint
    }

    /// The most numbers that a convolution on the CPU holds inside of itself: its weights as a blend scales them and
    /// transformed, and of each thread a block of inputs for three taps and of sums.
    #[must_use]
    pub fn convolution_numbers(&self, threads: i64) -> i64 {
        let width = self.width(self.last_level());
        let weights = (27 + 3 * POINTS) * width * width;
        weights + threads * POINTS * TILES * (3 + 1) * width
    }

    fn latent_size(&self, [t, h, w]: [i64; 3]) -> i64 {
        let (f_t, f_s) = (self.temporal_factor(), self.spatial_factor());
        (t / f_t) * (h / f_s) * (w / f_s)
    }
}

/// Where a pass stands: the size of the activation, and what was counted so far.
struct Walk<'a> {
    config: &'a ArchConfig,
    t: i64,
    /// Rows of the whole frame.
    h: i64,
    /// Rows of a strip.
    rows: i64,
    w: i64,
    /// Alive beside what layers hold.
    beside: i64,
    footprint: Footprint,
}

impl<'a> Walk<'a> {
    fn new(config: &'a ArchConfig, [t, h, w]: [i64; 3], strip_rows: i64) -> Self {
        let rows = strip_rows.clamp(1, h.max(1));
        Self { config, t, h, rows, w, beside: 0, footprint: Footprint::default() }
    }

    fn in_strips(&self) -> bool {
        self.rows < self.h
    }

    /// From the whole frame to strips.
    fn split(&mut self, rows: i64) {
        self.rows = rows.clamp(1, self.h.max(1));
    }

    /// From strips to the whole frame.
    fn join(&mut self, channels: i64) {
        self.rows = self.h;
        self.beside = 0;
        self.holds(2 * self.activation(channels));
    }

    /// Rows of the highest strips: they are cut to the nearest number of pieces, and the last brings the rows that
    /// waited within a level.
    fn height(&self) -> i64 {
        match self.in_strips() {
            true => (self.rows * 3 / 2 + 2 * self.config.num_res_blocks + 3).min(self.h),
            false => self.h,
        }
    }

    fn activation(&self, channels: i64) -> i64 {
        self.t * self.height() * self.w * channels
    }

    /// Rows that a strip's kernels see beside it.
    fn edges(&self, channels: i64) -> i64 {
        if self.in_strips() { 2 * self.t * self.w * channels } else { 0 }
    }

    /// Frames before the chunk, of a strip.
    fn before(&self, frames: i64, channels: i64) -> i64 {
        if self.config.causality.is_causal() { frames * self.height() * self.w * channels } else { 0 }
    }

    fn holds(&mut self, numbers: i64) {
        self.footprint.step = self.footprint.step.max(self.beside + numbers);
    }

    /// A layer that keeps so many frames for the next chunk.
    fn keeps(&mut self, frames: i64, channels: i64) {
        if self.config.causality.is_causal() {
            self.footprint.state += frames * self.h * self.w * channels;
        }
    }

    fn conv3d(&mut self, input: i64, output: i64) {
        self.keeps(2, input);
        let extended = self.activation(input) + self.before(2, input) + self.edges(input);
        // The input, and with frames beside it; or that, and the output.
        self.holds(extended + self.activation(input.max(output)));
    }

    /// Blocks in space and in time, in turn.
    fn units(&mut self, count: i64, input: i64, output: i64) {
        for unit in 0..count {
            let [x, y] = [if unit == 0 { input } else { output }, output].map(|channels| self.activation(channels));
            // The block's input, a layer's input and its output.
            self.holds(x + x.max(y) + y + self.edges(output));
            self.keeps(4, output);
            self.holds(3 * y + self.before(2, output));
        }
    }

    fn spatial_downsample(&mut self, channels: i64) {
        let x = self.activation(channels);
        self.holds(2 * x + x / 4 + self.edges(channels));
        (self.h, self.rows, self.w) = (self.h / 2, (self.rows / 2).max(1), self.w / 2);
    }

    fn temporal_downsample(&mut self, channels: i64) {
        self.keeps(1, channels);
        let extended = self.activation(channels) + self.before(1, channels) + self.edges(channels);
        self.holds(extended + self.activation(channels));
        self.t /= 2;
    }

    fn spatial_upsample(&mut self, channels: i64) {
        // The input, both rows of each pair, and all of them joined.
        let x = self.activation(channels);
        self.holds(9 * x + self.edges(channels));
        (self.h, self.rows, self.w) = (2 * self.h, 2 * self.rows, 2 * self.w);
    }

    fn temporal_upsample(&mut self, channels: i64) {
        if self.config.causality.upsamples_nearest() {
            // The input, the same with frames before it, both frames of each pair; then these and all of them joined.
            self.keeps(1, channels);
            self.holds(4 * (self.activation(channels) + self.edges(channels)) + self.before(1, channels));
        } else {
            // Frames with the two that were kept, and one more on both sides; blends with the frames before and after;
            // and both joined.
            self.keeps(2 + 2, channels);
            self.holds((5 * (self.t + 2) + 2) * (self.activation(channels) + self.edges(channels)) / self.t.max(1));
        }
        self.t *= 2;
    }

    fn middle(&mut self, channels: i64) {
        self.keeps(2 * 4, channels);
        let x = self.activation(channels);
        // Residual, normed, queries, keys, values, attended, projected.
        self.holds(7 * x);
        self.holds(3 * x + self.before(2, channels));
    }

    fn head(&mut self, channels: i64) {
        self.keeps(2, channels);
        self.holds(2 * self.activation(channels) + self.before(2, channels) + self.edges(channels));
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};
    use vidtok_torch::ParamPath;

    use super::*;
    use crate::causality::Causality;
    use crate::decoder::Decoder;
    use crate::encoder::Encoder;
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
        }
    }

    #[test]
    fn the_state_is_what_the_layers_keep() {
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
                    // The latent's own two frames are not in the walk, which begins behind the first convolution.
                    config.decoder_footprint([4, 16, 8], rows).state
                        + if causality.is_causal() { 2 * 4 * 2 * 8 } else { 0 },
                ];
                let found = states.map(|state| state.bytes() as i64 / 4);
                assert_eq!(found, expected, "{causality} {rows}");
            }
        }
    }

    #[test]
    fn strips_need_less_and_more_frames_need_more() {
        let config = config(Causality::V1_1);
        let step = |t, rows| config.decoder_footprint([t, 64, 64], rows).step;
        assert!(step(8, 16) < step(8, 64) && step(8, 64) < step(16, 64));
        assert_eq!(config.encoder_footprint([8, 64, 64], 64), config.encoder_footprint([8, 64, 64], 1000));
    }
}
