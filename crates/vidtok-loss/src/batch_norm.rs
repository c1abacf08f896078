//! Batch normalisation (arXiv 1502.03167) for training.

use tch::{Kind, Tensor};
use vidtok_core::ProcessGroup;
use vidtok_torch::{Init, ParamPath};

/// Weight of each batch in the running statistics.
const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

/// Normalises each channel by the statistics of the batch, and tracks running statistics as the published state does. The
/// statistics cover the batch of the whole process group.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// Makes or loads the parameters; weights start from N(1, `std`).
    pub(crate) fn new(path: &ParamPath, channels: i64, std: f64) -> Self {
        Self {
            weight: path.get("weight", &[channels], Init::Normal { mean: 1.0, std }),
            bias: path.get("bias", &[channels], Init::Constant(0.0)),
            running_mean: path.buffer("running_mean", &[channels], Init::Constant(0.0)),
            running_var: path.buffer("running_var", &[channels], Init::Constant(1.0)),
        }
    }

    /// The running mean and variance of each channel, `[c]`.
    pub(crate) fn running(&self) -> [&Tensor; 2] {
        [&self.running_mean, &self.running_var]
    }

    /// Normalises `[n, c, ...]`.
    pub(crate) fn forward(&self, x: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        if group.world_size() > 1 {
            return self.forward_distributed(x, group);
        }
        let [weight, bias] = [&self.weight, &self.bias].map(Some);
        let [mean, var] = [&self.running_mean, &self.running_var].map(Some);
        x.batch_norm(weight, bias, mean, var, true, MOMENTUM, EPS, true)
    }

    /// Normalises in separate operations, between which the statistics of all ranks are averaged.
    fn forward_distributed(&self, x: &Tensor, group: &dyn ProcessGroup) -> Tensor {
        let size = x.size();
        let axes: Vec<i64> = (0..size.len() as i64).filter(|&axis| axis != 1).collect();
        let mean_of = |x: &Tensor| group.mean(&x.mean_dim(axes.as_slice(), true, Kind::Float));
        let mean = mean_of(x);
        let centered = x - &mean;
        let var = mean_of(&centered.square());
        let count = axes.iter().map(|&axis| size[axis as usize]).product::<i64>() as f64 * group.world_size() as f64;
        tch::no_grad(|| {
            let running = [(&self.running_mean, &mean, 1.0), (&self.running_var, &var, count / (count - 1.0))];
            for (running, batch, unbiased) in running {
                let _ = running.shallow_clone().lerp_(&(batch.flatten(0, -1) * unbiased), MOMENTUM);
            }
        });
        let channels: Vec<i64> = size.iter().enumerate().map(|(axis, &n)| if axis == 1 { n } else { 1 }).collect();
        let scale = self.weight.view(channels.as_slice()) * (var + EPS).rsqrt();
        centered * scale + self.bias.view(channels.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};
    use vidtok_core::SingleProcess;

    use super::*;

    #[test]
    fn a_batch_is_normalised_by_its_own_statistics_which_update_the_running_ones() {
        tch::manual_seed(0);
        let norm = BatchNorm::new(&ParamPath::fresh(Device::Cpu), 2, 0.0);
        let x = Tensor::randn([8, 2, 6, 6], (Kind::Float, Device::Cpu)) * 3.0 + 5.0;
        let y = norm.forward(&x, &SingleProcess);
        let axes = [0_i64, 2, 3];
        assert!(y.mean_dim(axes.as_slice(), false, Kind::Float).abs().max().double_value(&[]) < 1e-5);
        let mean = x.mean_dim(axes.as_slice(), false, Kind::Float);
        assert!((&norm.running_mean - mean * 0.1).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn statistics_over_a_process_group_normalise_as_libtorch_does_on_the_whole_batch() {
        /// Two ranks whose parts of the batch have the same statistics.
        #[derive(Debug)]
        struct Alike;

        impl ProcessGroup for Alike {
            fn rank(&self) -> usize {
                0
            }

            fn world_size(&self) -> usize {
                2
            }

            fn mean(&self, x: &Tensor) -> Tensor {
                x.shallow_clone()
            }
        }

        tch::manual_seed(0);
        let x = Tensor::randn([2, 3, 4, 5], (Kind::Float, Device::Cpu)) * 3.0 + 5.0;
        let [whole, distributed] = [false, true].map(|distributed| {
            let norm = BatchNorm::new(&ParamPath::fresh(Device::Cpu), 3, 0.5);
            tch::no_grad(|| norm.weight.shallow_clone().copy_(&Tensor::from_slice(&[0.5_f32, 1.5, -1.0])));
            let x = x.detach().set_requires_grad(true);
            let y = match distributed {
                false => norm.forward(&Tensor::cat(&[&x, &x], 0), &SingleProcess).narrow(0, 0, 2),
                true => norm.forward(&x, &Alike),
            };
            [y, norm.running_mean, norm.running_var]
        });
        for (whole, distributed) in whole.iter().zip(&distributed) {
            assert!(whole.allclose(distributed, 1e-5, 1e-5, false), "{whole} {distributed}");
        }
    }
}
