//! The gradients of several parameters.

use tch::Tensor;

/// Sets the gradients to zero in place, since they may lie in the buckets of a gradient reducer.
pub(crate) fn set_to_zero<'a>(parameters: impl Iterator<Item = &'a Tensor>) {
    tch::no_grad(|| {
        for parameter in parameters {
            let mut gradient = parameter.grad();
            if gradient.defined() {
                let _ = gradient.zero_();
            }
        }
    });
}

/// Scales the gradients so that their joint Euclidean norm is at most `limit`, and returns the norm before scaling.
pub(crate) fn clip_norm<'a>(parameters: impl Iterator<Item = &'a Tensor>, limit: f64) -> f64 {
    tch::no_grad(|| {
        let gradients: Vec<Tensor> = parameters.map(Tensor::grad).filter(Tensor::defined).collect();
        if gradients.is_empty() {
            return 0.0;
        }
        let norms: Vec<Tensor> = gradients.iter().map(Tensor::norm).collect();
        let norm = Tensor::stack(&norms, 0).norm().double_value(&[]);
        if norm > limit {
            let scale = limit / (norm + 1e-6);
            for mut gradient in gradients {
                let _ = gradient.g_mul_scalar_(scale);
            }
        }
        norm
    })
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn clipping_keeps_the_direction_and_caps_the_joint_norm() {
        let [a, b] = [(); 2].map(|()| Tensor::from_slice(&[1.0_f64]).set_requires_grad(true));
        let clip = |limit| clip_norm([&a, &b].into_iter(), limit);
        ((&a * 3.0).sum(Kind::Double) + (&b * 4.0).sum(Kind::Double)).backward();
        assert!((clip(10.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 3.0).abs() < 1e-9);
        assert!((clip(1.0) - 5.0).abs() < 1e-9);
        assert!((a.grad().double_value(&[0]) - 0.6).abs() < 1e-5);
        assert!((b.grad().double_value(&[0]) - 0.8).abs() < 1e-5);
        set_to_zero([&a, &b].into_iter());
        assert_eq!(clip(1.0), 0.0);
    }
}
