//! LPIPS (arXiv 1801.03924) of single frames as a loss.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use vidtok_core::{Differentiated, Loss, MetricError};
use vidtok_metrics::{Lpips, LpipsNet};
use vidtok_torch::with_gradient;

/// Configuration of [`Perceptual`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PerceptualConfig {
    /// The network: VGG16 as published, or the much faster AlexNet.
    pub net: LpipsNet,
    /// The weight of the loss; L1 has weight 1.
    pub weight: f64,
    /// The number of frames of each clip to compare, drawn at random for each batch; all frames if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<i64>,
    /// Whether to train without LPIPS if its weights were not fetched.
    pub if_fetched: bool,
}

impl Default for PerceptualConfig {
    /// The published network and weight, for all frames.
    fn default() -> Self {
        Self { net: LpipsNet::default(), weight: 1.0, frames: None, if_fetched: false }
    }
}

/// The mean LPIPS distance of the frames of a clip.
#[derive(Debug)]
pub struct Perceptual {
    lpips: Rc<Lpips>,
    frames: Option<i64>,
}

impl Perceptual {
    /// The loss over all frames, or over `frames` of each clip, drawn from libtorch's generator (`tch::manual_seed`). Its
    /// expected value is the same.
    #[must_use]
    pub fn new(lpips: Rc<Lpips>, frames: Option<i64>) -> Self {
        Self { lpips, frames }
    }

    /// The indices of the frames to compare, int64 `[k]`.
    fn draw(&self, t: i64, device: Device) -> Tensor {
        match self.frames {
            Some(k) if k < t => {
                Tensor::randperm(t, (Kind::Int64, Device::Cpu)).narrow(0, 0, k.max(1)).to_device(device)
            }
            _ => Tensor::arange(t, (Kind::Int64, device)),
        }
    }

    /// The value and, if requested, the gradient over the frames `indices` of clips `[b, 3, t, h, w]`, computed in chunks of
    /// frames.
    fn run(
        &self,
        target: &Tensor,
        reconstruction: &Tensor,
        indices: &Tensor,
        gradient: bool,
    ) -> Result<(Tensor, Option<Tensor>), MetricError> {
        let [target, reconstruction] = [target, reconstruction].map(|clips| to_images(&clips.detach(), indices));
        let size = reconstruction.size();
        let count = size[0];
        // Chunks of about the same size: converting the layout of the weights costs the same for one frame as for many.
        let most = self.lpips.chunk(size[2], size[3]);
        let chunks = (count + most - 1) / most;
        let chunk = (count + chunks - 1) / chunks.max(1);
        let mut sum = Tensor::zeros([], (Kind::Float, reconstruction.device()));
        let mut gradients = Vec::new();
        for start in (0..count).step_by(chunk as usize) {
            let slice = |images: &Tensor| images.narrow(0, start, chunk.min(count - start));
            let target_features = tch::no_grad(|| self.lpips.features(&slice(&target)))?;
            let distance = |images: &Tensor| {
                let features = self.lpips.features(images)?;
                Ok(self.lpips.distance(&target_features, &features).sum(Kind::Float) / count as f64)
            };
            if gradient {
                let Differentiated { value, gradient } = Differentiated::of(&slice(&reconstruction), distance)?;
                sum += value;
                gradients.push(gradient);
            } else {
                sum += tch::no_grad(|| distance(&slice(&reconstruction)))?;
            }
        }
        Ok((sum, gradient.then(|| Tensor::cat(&gradients, 0))))
    }
}

impl Loss for Perceptual {
    fn name(&self) -> &'static str {
        "lpips"
    }

    fn forward(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Tensor, MetricError> {
        if !reconstruction.requires_grad() {
            let indices = self.draw(target.size()[2], target.device());
            return Ok(self.run(target, reconstruction, &indices, false)?.0);
        }
        let Differentiated { value, gradient } = self.differentiate(target, reconstruction)?;
        Ok(with_gradient(&value, reconstruction, &gradient))
    }

    fn differentiate(&self, target: &Tensor, reconstruction: &Tensor) -> Result<Differentiated, MetricError> {
        let size = reconstruction.size();
        let indices = self.draw(size[2], target.device());
        let (value, gradient) = self.run(target, reconstruction, &indices, true)?;
        let mut whole = reconstruction.detach().zeros_like();
        if let Some(gradient) = gradient {
            let clips = gradient.view([size[0], -1, 3, size[3], size[4]]).permute([0, 2, 1, 3, 4]);
            let _ = whole.index_copy_(2, &indices, &clips);
        }
        Ok(Differentiated { value, gradient: whole })
    }
}

/// The frames `indices` `[k]` of clips `[b, 3, t, h, w]` as images `[b * k, 3, h, w]`.
fn to_images(clips: &Tensor, indices: &Tensor) -> Tensor {
    clips.index_select(2, indices).permute([0, 2, 1, 3, 4]).flatten(0, 1)
}
