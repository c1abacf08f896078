//! The PatchGAN discriminator (arXiv 1611.07004): a small network in which each output classifies a patch.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use vidtok_core::ProcessGroup;
use vidtok_torch::{Init, ParamPath};

use crate::batch_norm::BatchNorm;

/// Slope of the leaky ReLU for negative values.
const SLOPE: f64 = 0.2;
/// Standard deviation of the initial weights.
const STD: f64 = 0.02;

/// The extent of a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatchKind {
    /// Patches are parts of one frame.
    #[default]
    #[serde(rename = "2d")]
    Frames,
    /// Patches are parts of several frames.
    #[serde(rename = "3d")]
    Clips,
}

/// The output channels of a layer, and its strides in time and space.
type Shape = (i64, i64, i64);

impl PatchKind {
    /// The layers; the last one returns the logits.
    fn layers(self) -> [Shape; 5] {
        match self {
            Self::Frames => [(64, 1, 2), (128, 1, 2), (256, 1, 2), (512, 1, 1), (1, 1, 1)],
            Self::Clips => [(64, 2, 2), (128, 2, 2), (256, 1, 2), (512, 1, 1), (1, 1, 1)],
        }
    }

    fn kernel(self) -> Vec<i64> {
        match self {
            Self::Frames => vec![4, 4],
            Self::Clips => vec![3, 3, 3],
        }
    }

    /// Whether clips of `[t, h, w]` are large enough: every layer must have an output.
    #[must_use]
    pub fn fits(self, [t, h, w]: [i64; 3]) -> bool {
        let kernel = self.kernel()[0];
        let out = |n: i64, stride: i64| (n.max(0).saturating_add(2) - kernel).div_euclid(stride) + 1;
        let shrink = |(t, h, w): (i64, i64, i64), (_, time, space): Shape| {
            let t = if self == Self::Clips { out(t, time) } else { t };
            (t, out(h, space), out(w, space))
        };
        let (t, h, w) = self.layers().into_iter().fold((t, h, w), |size, layer| {
            let (t, h, w) = shrink(size, layer);
            (t.max(0), h.max(0), w.max(0))
        });
        t >= 1 && h >= 1 && w >= 1
    }
}

/// The discriminator, with the published parameters `main.{0,2,3,5,6,8,9,11}...`.
#[derive(Debug)]
pub struct PatchGan {
    kind: PatchKind,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    weight: Tensor,
    bias: Option<Tensor>,
    norm: Option<BatchNorm>,
    stride: Vec<i64>,
}

impl PatchGan {
    /// Makes or loads the network; weights start from N(0, 0.02), those of the norms from N(1, 0.02).
    #[must_use]
    pub fn new(path: &ParamPath, kind: PatchKind) -> Self {
        let path = path.sub("main");
        let shapes = kind.layers();
        let last = shapes.len() - 1;
        let mut input = 3;
        // The published module indices, which count activations too.
        let mut index = 0;
        let layers = shapes.into_iter().enumerate().map(|(i, (output, time, space))| {
            let mut shape = vec![output, input];
            shape.extend(kind.kernel());
            let conv = path.sub(index);
            let weight = conv.get("weight", &shape, Init::Normal { mean: 0.0, std: STD });
            let normed = i > 0 && i < last;
            // A norm would cancel the bias.
            let bias = (!normed).then(|| conv.get("bias", &[output], Init::fan_in(&shape)));
            let norm = normed.then(|| BatchNorm::new(&path.sub(index + 1), output, STD));
            index += if normed { 3 } else { 2 };
            input = output;
            let stride = match kind {
                PatchKind::Frames => vec![space; 2],
                PatchKind::Clips => vec![time, space, space],
            };
            Layer { weight, bias, norm, stride }
        });
        Self { kind, layers: layers.collect() }
    }

    /// The running statistics of all norms.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Tensor> {
        self.layers.iter().filter_map(|layer| layer.norm.as_ref()).flat_map(BatchNorm::running)
    }

    /// Logits of clips `[b, 3, t, h, w]` in [-1, 1], high for patches that look real: `[b * t, 1, h', w']` for patches of
    /// frames, `[b, 1, t', h', w']` for patches of clips.
    ///
    /// The norms use the statistics of this batch over the whole process group, and update their running statistics.
    pub fn forward(&self, clips: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        // Channels innermost in memory, the fastest layout for the convolutions.
        let mut x = match self.kind {
            PatchKind::Frames => clips.permute([0, 2, 3, 4, 1]).flatten(0, 1).contiguous().permute([0, 3, 1, 2]),
            PatchKind::Clips => clips.permute([0, 2, 3, 4, 1]).contiguous().permute([0, 4, 1, 2, 3]),
        };
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, group);
            if i < last {
                x = leaky_relu(&x);
            }
        }
        x
    }
}

/// Leaky ReLU with [`SLOPE`]; `leaky_relu` of tch has a fixed slope.
fn leaky_relu(x: &Tensor) -> Tensor {
    x.prelu(&Tensor::from(SLOPE).to_kind(x.kind()).to_device(x.device()).view([1]))
}

impl Layer {
    fn forward(&self, x: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        let axes = self.stride.len();
        let (one, zero) = (vec![1; axes], vec![0; axes]);
        let y = x.convolution(&self.weight, self.bias.as_ref(), &self.stride, &one, &one, false, zero, 1);
        match &self.norm {
            Some(norm) => norm.forward(&y, group),
            None => y,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use vidtok_core::SingleProcess;

    use super::*;

    fn clips(shape: [i64; 5]) -> Tensor {
        Tensor::rand(shape, (Kind::Float, Device::Cpu)) * 2.0 - 1.0
    }

    #[test]
    fn names_and_shapes_are_the_published_ones() {
        let root = ParamPath::shapes();
        let _ = PatchGan::new(&root, PatchKind::Frames);
        let parameters = root.finish().unwrap();
        let weights = [
            ("main.0.weight", vec![64, 3, 4, 4]),
            ("main.2.weight", vec![128, 64, 4, 4]),
            ("main.5.weight", vec![256, 128, 4, 4]),
            ("main.8.weight", vec![512, 256, 4, 4]),
            ("main.11.weight", vec![1, 512, 4, 4]),
            ("main.9.running_var", vec![512]),
        ];
        for (name, shape) in weights {
            assert_eq!(parameters.get(name).unwrap().size(), shape, "{name}");
        }
        let trained = parameters.names().filter(|name| !name.contains("running")).count();
        assert_eq!(trained, 13);
    }

    #[test]
    fn logits_are_per_frame_for_patches_of_frames_and_over_time_for_patches_of_clips() {
        tch::manual_seed(0);
        let clips = clips([2, 3, 5, 32, 48]);
        let make = |kind| PatchGan::new(&ParamPath::fresh(Device::Cpu), kind);
        assert_eq!(make(PatchKind::Frames).forward(&clips, &SingleProcess).size(), [10, 1, 2, 4]);
        assert_eq!(make(PatchKind::Clips).forward(&clips, &SingleProcess).size(), [2, 1, 2, 4, 6]);
    }

    #[test]
    fn clips_fit_exactly_if_every_layer_has_an_output() {
        for kind in [PatchKind::Frames, PatchKind::Clips] {
            let network = PatchGan::new(&ParamPath::fresh(Device::Cpu), kind);
            for side in [1, 8, 16, 23, 24, 32] {
                let run = network.layers.iter().try_fold(
                    match kind {
                        PatchKind::Frames => clips([2, 3, 2, side, side]).transpose(1, 2).flatten(0, 1),
                        PatchKind::Clips => clips([2, 3, 2, side, side]),
                    },
                    |x, layer| {
                        let (one, zero) = (vec![1; layer.stride.len()], vec![0; layer.stride.len()]);
                        x.f_convolution(&layer.weight, layer.bias.as_ref(), &layer.stride, &one, &one, false, zero, 1)
                    },
                );
                assert_eq!(run.is_ok(), kind.fits([2, side, side]), "{kind:?} {side}");
            }
        }
    }
}
