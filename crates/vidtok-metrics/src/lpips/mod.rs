//! Learned perceptual image patch similarity, version 0.1 (Zhang et al. 2018, arXiv 1801.03924).
//!
//! The distance compares the features of a network that was trained to classify images. At five depths, the features of
//! each pixel are scaled to unit length; the squared differences are weighted by channel, averaged over pixels and summed.

pub(crate) mod metric;
pub(crate) mod network;

use std::path::Path;

use tch::{Device, Kind, Tensor};
use vidtok_core::MetricError;
use vidtok_torch::{Init, ParamPath, unit_distance};

use crate::lpips::network::{LpipsNet, Network, channels_last};
use crate::weights::{WeightsError, load, network_of};

/// The shift and scale that normalise images in [-1, 1] by the statistics of ImageNet.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// Pixels whose activations are held at once. Larger tensors are not faster: the work per image is large, and the system
/// allocates fresh memory for them at every call, which takes longer than filling it.
const CHUNK_PIXELS: i64 = 1 << 16;
/// The same on GPUs, which a single image does not occupy.
const CHUNK_PIXELS_ON_GPU: i64 = 1 << 22;

/// The distance, with its frozen parameters.
///
/// Parameters have the names `net.slice{1..5}.N.{weight,bias}`, where N is the index in torchvision's `features`, and
/// `lin{0..4}.model.1.weight`. They require no gradients; distances have gradients with respect to the images. Compute
/// the target's features under [`tch::no_grad`] to save memory.
#[derive(Debug)]
pub struct Lpips {
    net: LpipsNet,
    network: Network,
    /// The weight of each channel, `[c]`, at five depths.
    heads: Vec<Tensor>,
    /// `[1, 3, 1, 1]`
    shift: Tensor,
    scale: Tensor,
}

/// The features that [`Lpips`] compares: five maps `[n, c, h', w']`.
#[derive(Debug)]
pub struct Features {
    maps: Vec<Tensor>,
}

impl Lpips {
    /// Makes or loads the network.
    #[must_use]
    pub fn new(path: &ParamPath, net: LpipsNet) -> Self {
        let network = Network::new(&path.sub("net"), net);
        let head = |(depth, channels): (usize, i64)| {
            let shape = [1, channels, 1, 1];
            path.sub(format!("lin{depth}.model.1")).get("weight", &shape, Init::fan_in(&shape)).flatten(0, -1)
        };
        let heads: Vec<Tensor> = network.channels().into_iter().enumerate().map(head).collect();
        let device = heads.first().map_or(Device::Cpu, Tensor::device);
        let constant = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]).to_device(device);
        Self { net, network, heads, shift: constant(SHIFT), scale: constant(SCALE) }
    }

    /// Loads a file made by `cargo xtask assets`.
    ///
    /// # Errors
    /// If the file cannot be read or holds another network.
    pub fn open(path: &Path, device: Device) -> Result<Self, WeightsError> {
        let (file, net) = network_of(path, "LPIPS")?;
        let other = || WeightsError::OtherNetwork { path: path.to_owned(), network: "LPIPS" };
        let net = LpipsNet::named(&net).ok_or_else(other)?;
        load(&file, device, |root| Self::new(root, net))
    }

    /// Loads the weights fetched by `cargo xtask assets` (`assets/lpips_NET.safetensors`).
    ///
    /// # Errors
    /// If the weights were not fetched or cannot be read.
    pub fn locate(net: LpipsNet, device: Device) -> Result<Self, WeightsError> {
        Self::open(&net.weights_file()?, device)
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> LpipsNet {
        self.net
    }

    /// The number of images of a size to compute at once, at least 1. Forward and backward hold about 2 KiB per pixel.
    #[must_use]
    pub fn chunk(&self, height: i64, width: i64) -> i64 {
        let pixels = if self.shift.device() == Device::Cpu { CHUNK_PIXELS } else { CHUNK_PIXELS_ON_GPU };
        (pixels / (height * width).max(1)).max(1)
    }

    /// The features of images `[n, 3, h, w]` in [-1, 1].
    ///
    /// # Errors
    /// If the shape differs, or h or w is less than [`LpipsNet::least_side`].
    pub fn features(&self, images: &Tensor) -> Result<Features, MetricError> {
        let least = self.net.least_side();
        match images.size()[..] {
            [_, 3, h, w] if h.min(w) >= least => {}
            _ => {
                return Err(MetricError {
                    metric: self.net.metric_name(),
                    expected: format!("images [n, 3, h, w] with h and w of at least {least}"),
                    found: format!("{:?}", images.size()),
                });
            }
        }
        let x = (channels_last(&images.to_kind(Kind::Float)) - &self.shift) / &self.scale;
        Ok(Features { maps: self.network.forward(x) })
    }

    /// The distance of each pair of images, `[n]`, given the features of images of one shape.
    pub fn distance(&self, x: &Features, y: &Features) -> Tensor {
        let level = |((x, y), head): ((&Tensor, &Tensor), &Tensor)| {
            let [x, y] = [x, y].map(|map| map.permute([0, 2, 3, 1]));
            unit_distance(&x, &y, head)
        };
        let levels: Vec<Tensor> = x.maps.iter().zip(&y.maps).zip(&self.heads).map(level).collect();
        Tensor::stack(&levels, 0).sum_dim_intlist(0_i64, false, Kind::Float)
    }

    /// The distance of each pair of images `[n, 3, h, w]` in [-1, 1], `[n]`.
    ///
    /// # Errors
    /// If the shapes differ, or are not those of [`features`](Self::features).
    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, MetricError> {
        if x.size() != y.size() {
            return Err(MetricError {
                metric: self.net.metric_name(),
                expected: format!("a second image of shape {:?}", x.size()),
                found: format!("{:?}", y.size()),
            });
        }
        Ok(self.distance(&self.features(x)?, &self.features(y)?))
    }
}

#[cfg(test)]
mod tests {
    use tch::no_grad;
    use vidtok_torch::write_tensors;

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn lpips(net: LpipsNet) -> Lpips {
        tch::manual_seed(0);
        Lpips::new(&ParamPath::fresh(Device::Cpu), net)
    }

    fn image(side: i64) -> Tensor {
        Tensor::rand([1, 3, side, side], CPU) * 2.0 - 1.0
    }

    #[test]
    fn the_distance_is_symmetric_and_zero_for_equal_images() {
        let lpips = lpips(LpipsNet::Alex);
        let (x, y) = (image(40), image(40));
        let distance = |x: &Tensor, y: &Tensor| lpips.forward(x, y).unwrap().double_value(&[0]);
        assert_eq!(distance(&x, &x), 0.0);
        assert!(distance(&x, &y) != 0.0);
        assert!((distance(&x, &y) / distance(&y, &x) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_distance() {
        let lpips = lpips(LpipsNet::Vgg);
        let (x, y) = (image(16), image(16));
        let target = no_grad(|| lpips.features(&x)).unwrap();
        let distance = |y: &Tensor| lpips.distance(&target, &lpips.features(y).unwrap());
        let leaf = y.copy().set_requires_grad(true);
        distance(&leaf).sum(Kind::Float).backward();
        // The distance changes most along the gradient, so rounding and kinks matter least there.
        let slope = leaf.grad().norm().double_value(&[]);
        let (direction, step) = (leaf.grad() / slope, 2e-2);
        let [above, below] = [step, -step].map(|step| distance(&(&y + &direction * step)).double_value(&[0]));
        let expected = (above - below) / (2.0 * step);
        assert!((slope / expected - 1.0).abs() < 0.05, "{slope}, expected {expected}");
    }

    #[test]
    fn images_that_are_too_small_or_differ_in_shape_are_errors() {
        for net in [LpipsNet::Vgg, LpipsNet::Alex] {
            let lpips = lpips(net);
            let least = net.least_side();
            assert!(lpips.forward(&image(least), &image(least)).unwrap().double_value(&[0]).is_finite());
            let error = lpips.features(&image(least - 1)).unwrap_err().to_string();
            assert!(error.contains(&format!("h and w of at least {least}, found [1, 3, ")), "{error}");
            assert!(lpips.features(&Tensor::zeros([1, 4, 64, 64], CPU)).is_err());
            assert!(lpips.forward(&image(64), &image(65)).is_err());
        }
    }

    #[test]
    fn files_that_hold_another_network_are_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let message = || Lpips::open(&path, Device::Cpu).unwrap_err().to_string();
        assert!(message().contains("a.safetensors"));
        let bias = Tensor::zeros([64], CPU);
        write_tensors(&path, [("net.slice1.0.bias", &bias)], []).unwrap();
        assert!(message().contains("a.safetensors: not the weights of LPIPS"), "{}", message());
        write_tensors(&path, [("net.slice1.0.bias", &bias)], [("net", "vgg".to_owned())]).unwrap();
        assert!(message().contains("30 missing: net.slice1.0.weight"), "{}", message());
    }
}
