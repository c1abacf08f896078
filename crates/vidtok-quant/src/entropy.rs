//! Entropies of soft assignments to a codebook that is a product of channels (the entropy loss of arXiv 2310.05737, as
//! VidTok uses it with FSQ).
//!
//! The probability of a code is the product of its channels' probabilities, so the entropy is the sum of the channels'
//! entropies. The published loss clamps the joint probabilities to a floor inside the logarithm, which subtracts a
//! correction for the codes below the floor. If the codes are written as a product of two halves, a_i b_j, the codes
//! below the floor are those with the smallest b_j for each i, and their sums are prefix sums over the sorted b_j.
//! Memory and time grow with the size of the halves (512 for 262,144 codes), and the value is exact.

use tch::{Device, Kind, Tensor};
use vidtok_core::ProcessGroup;
use vidtok_torch::with_gradient;

/// Probabilities are clamped to this inside the logarithm.
const FLOOR: f64 = 1e-5;
/// Positions that are processed at a time.
const CHUNK: i64 = 1024;
/// The same on GPUs, where each part takes dozens of small kernels.
const CHUNK_ON_GPU: i64 = 1 << 16;

/// The entropy of a position's assignment in nats, averaged over positions.
///
/// `log_factors` returns each channel's log-probabilities `[n, L]` for `z` `[n, z]`. The gradient with respect to `z` is
/// computed right away in chunks of positions, so that autograd keeps no activations.
pub(crate) fn mean_entropy(z: &Tensor, log_factors: impl Fn(&Tensor) -> Vec<Tensor>) -> Tensor {
    let positions = z.size()[0];
    let differentiates = z.requires_grad();
    let mut sum = Tensor::zeros([], (Kind::Float, z.device()));
    let mut gradients = Vec::new();
    let chunk = if z.device() == Device::Cpu { CHUNK } else { CHUNK_ON_GPU };
    for start in (0..positions).step_by(chunk as usize) {
        let part = z.detach().narrow(0, start, chunk.min(positions - start));
        let part = part.set_requires_grad(differentiates);
        let entropy = tch::with_grad(|| entropies(&log_factors(&part)).sum(Kind::Float));
        if differentiates {
            gradients.extend(Tensor::run_backward(&[&entropy], &[&part], false, false));
        }
        sum += entropy.detach();
    }
    let mean = sum / positions as f64;
    if differentiates { with_gradient(&mean, z, &(Tensor::cat(&gradients, 0) / positions as f64)) } else { mean }
}

/// The entropy of the codes' usage in nats: that of the joint probabilities, averaged over positions and over the processes
/// of `group`. `factors` are each channel's probabilities, `[n, L]`.
pub(crate) fn entropy_of_mean(factors: &[Tensor], group: &dyn ProcessGroup) -> Tensor {
    let [low, high] = halves(factors, 1.0, |factor, joint| factor * joint);
    let mean = group.mean(&(high.tr().matmul(&low) / low.size()[0] as f64));
    -(&mean * mean.clamp_min(FLOOR).log()).sum(Kind::Float)
}

/// The entropy of each position's joint assignment, `[n]`.
fn entropies(log_factors: &[Tensor]) -> Tensor {
    let entropy = |log_p: &Tensor| -(log_p.exp() * log_p).sum_dim_intlist(-1, false, Kind::Float);
    log_factors.iter().map(entropy).sum::<Tensor>() - below_floor(log_factors)
}

/// The sum of p (log floor - log p) over the joint probabilities p below the floor, for each position: `[n]`.
fn below_floor(log_factors: &[Tensor]) -> Tensor {
    let [log_b, log_a] = halves(log_factors, 0.0, |factor, joint| factor + joint);
    let (log_b, _) = log_b.sort(-1, false);
    let limit = log_a.neg() + FLOOR.ln();
    // The number of sorted b_j below the limit of each a_i.
    let count = limit.detach().searchsorted(&log_b.detach(), false, false, "left", None::<&Tensor>);
    let b = log_b.exp();
    let mass = prefix_sums(&b).gather(-1, &count, false);
    let mass_of_logs = prefix_sums(&(&b * &log_b)).gather(-1, &count, false);
    (log_a.exp() * (limit * mass - mass_of_logs)).sum_dim_intlist(-1, false, Kind::Float)
}

/// The joint values of the first and of the second half of the channels, each `[n, L_1 * L_2 * ...]`: probabilities
/// multiply from 1, their logarithms add up from 0. The first channel varies fastest.
fn halves(factors: &[Tensor], neutral: f64, join: impl Fn(Tensor, Tensor) -> Tensor) -> [Tensor; 2] {
    let (low, high) = factors.split_at(factors.len() / 2);
    [low, high].map(|half| {
        let one = factors[0].narrow(1, 0, 1).full_like(neutral);
        half.iter().fold(one, |joint, factor| join(factor.unsqueeze(2), joint.unsqueeze(1)).flatten(1, 2))
    })
}

/// `[n, m]` to `[n, m + 1]`: the sums of the first 0, 1, ..., m elements.
fn prefix_sums(x: &Tensor) -> Tensor {
    x.cumsum(-1, Kind::Float).constant_pad_nd([1, 0])
}

#[cfg(test)]
mod tests {
    use tch::Device;
    use vidtok_core::SingleProcess;

    use super::*;

    const LEVELS: [i64; 3] = [8, 5, 7];

    fn log_factors(z: &Tensor) -> Vec<Tensor> {
        let factor = |(channel, &level): (usize, &i64)| {
            let values = Tensor::linspace(-1.0, 1.0, level, (Kind::Float, Device::Cpu));
            (z.narrow(1, channel as i64, 1) * values).log_softmax(1, Kind::Float)
        };
        LEVELS.iter().enumerate().map(factor).collect()
    }

    /// All joint probabilities of all positions, `[n, codes]`.
    fn joint(z: &Tensor) -> Tensor {
        let all = log_factors(z);
        let pair = all[0].unsqueeze(2) + all[1].unsqueeze(1);
        (pair.flatten(1, 2).unsqueeze(2) + all[2].unsqueeze(1)).flatten(1, 2).exp()
    }

    fn direct(p: &Tensor) -> Tensor {
        -(p * p.clamp_min(FLOOR).log()).sum_dim_intlist(-1, false, Kind::Float)
    }

    fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
        let worst = (a - b).abs().max().double_value(&[]);
        assert!(worst < tolerance, "{worst}");
    }

    #[test]
    fn factorised_values_and_gradients_equal_those_of_the_joint_probabilities() {
        tch::manual_seed(0);
        // From nearly uniform to very sharp assignments, so that codes lie on both sides of the floor.
        for sharpness in [0.1, 4.0, 60.0] {
            let z = (Tensor::randn([2500, 3], (Kind::Float, Device::Cpu)) * sharpness).set_requires_grad(true);
            let factored = mean_entropy(&z, log_factors) * 3.0;
            let whole = direct(&joint(&z)).mean(Kind::Float) * 3.0;
            close(&factored.detach(), &whole.detach(), 2e-5);
            let [ours] = Tensor::run_backward(&[&factored], &[&z], false, false).try_into().unwrap();
            let [theirs] = Tensor::run_backward(&[&whole], &[&z], false, false).try_into().unwrap();
            let largest = theirs.abs().max().double_value(&[]);
            close(&ours, &theirs, 1e-3 * largest);

            let mean = entropy_of_mean(&log_factors(&z).iter().map(Tensor::exp).collect::<Vec<_>>(), &SingleProcess);
            close(&mean.detach(), &direct(&joint(&z).mean_dim(0, false, Kind::Float)).detach(), 2e-5);
        }
    }

    #[test]
    fn a_single_channel_is_its_own_joint_distribution() {
        let z = Tensor::from_slice(&[0.0_f32, 1e4]).view([2, 1]);
        let one = |z: &Tensor| vec![log_factors(&z.expand([-1, 3], false)).swap_remove(0)];
        // Uniform over 8 codes, and certain: a mean of ln(8) / 2.
        close(&mean_entropy(&z, one), &Tensor::from(8.0_f64.ln() / 2.0), 1e-5);
    }
}
