//! One operation on each of many tensors. On GPUs libtorch does it in a few launches; one a tensor would take longer than the
//! work.

#![allow(unsafe_code)] // Calls of the shim.

use tch::Tensor;
use torch_sys::C_tensor;

use crate::shim::{self, Status};

/// The addresses of tensors, valid as long as those.
fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// # Panics
/// With libtorch's message, like tch's own functions.
fn checked(status: Status) {
    if let Err(error) = shim::check(status) {
        panic!("{error}");
    }
}

/// Moves each tensor towards its end by `share` of the way, in place.
///
/// # Panics
/// If the lists or the shapes differ.
pub fn lerp_many(tensors: &[Tensor], ends: &[Tensor], share: f64) {
    assert_eq!(tensors.len(), ends.len(), "as many ends as tensors");
    let (tensors, ends) = (pointers(tensors), pointers(ends));
    // SAFETY: the lists have this length, and the tensors live during the call.
    checked(unsafe { shim::vidtok_lerp_many(tensors.as_ptr(), ends.as_ptr(), tensors.len(), share) });
}

/// Multiplies each tensor by `factor`, in place.
pub fn scale_many(tensors: &[Tensor], factor: f64) {
    let tensors = pointers(tensors);
    // SAFETY: as above.
    checked(unsafe { shim::vidtok_scale_many(tensors.as_ptr(), tensors.len(), factor) });
}

/// Sets each tensor to zero, in place.
pub fn zero_many(tensors: &[Tensor]) {
    let tensors = pointers(tensors);
    // SAFETY: as above.
    checked(unsafe { shim::vidtok_zero_many(tensors.as_ptr(), tensors.len()) });
}

/// The Euclidean norm of all elements of all tensors; 0 of no tensors.
#[must_use]
pub fn norm_of_many(tensors: &[Tensor]) -> f64 {
    let tensors = pointers(tensors);
    let mut norm = 0.0;
    if !tensors.is_empty() {
        // SAFETY: as above; the call writes a number.
        checked(unsafe { shim::vidtok_norm_of_many(tensors.as_ptr(), tensors.len(), &raw mut norm) });
    }
    norm
}

/// The numbers of a step of AdamW (arXiv 1711.05101).
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    /// The number of this step; the first is 1.
    pub step: i32,
    /// Learning rate.
    pub lr: f64,
    /// Decays of the two moments.
    pub betas: [f64; 2],
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
}

/// Takes a step along the gradients: changes parameters, means of the gradients and means of their squares in place.
///
/// # Panics
/// If the lists, shapes, kinds or devices differ.
pub fn adam_many(numbers: AdamStep, parameters: &[Tensor], gradients: &[Tensor], moments: [&[Tensor]; 2]) {
    let AdamStep { step, lr, betas: [beta1, beta2], weight_decay, eps } = numbers;
    let lists = [parameters, gradients, moments[0], moments[1]];
    let count = parameters.len();
    assert!(lists.iter().all(|list| list.len() == count), "as many gradients and moments as parameters");
    let [parameters, gradients, means, squares] = lists.map(pointers);
    let [parameters, gradients, means, squares] =
        [parameters.as_ptr(), gradients.as_ptr(), means.as_ptr(), squares.as_ptr()];
    // SAFETY: as above.
    checked(unsafe {
        shim::vidtok_adamw_many(
            parameters,
            gradients,
            means,
            squares,
            count,
            f64::from(step),
            lr,
            beta1,
            beta2,
            weight_decay,
            eps,
        )
    });
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn many_tensors_are_changed_like_each_alone() {
        tch::manual_seed(0);
        let tensors = [random(&[3, 4]), random(&[5])];
        let ends = [random(&[3, 4]), random(&[5])];
        let before = tensors.each_ref().map(Tensor::copy);
        let norm = Tensor::cat(&before.each_ref().map(|x| x.flatten(0, -1)), 0).norm().double_value(&[]);
        assert!((norm_of_many(&tensors) - norm).abs() < 1e-6);
        lerp_many(&[], &[], 0.5);
        scale_many(&[], 2.0);
        zero_many(&[]);
        assert_eq!(norm_of_many(&[]), 0.0);
        lerp_many(&tensors, &ends, 0.25);
        scale_many(&tensors, 2.0);
        for ((found, before), end) in tensors.iter().zip(&before).zip(&ends) {
            assert_eq!(*found, before.lerp(end, 0.25) * 2.0);
        }
        zero_many(&tensors);
        assert_eq!(norm_of_many(&tensors), 0.0);
    }

    #[test]
    fn gradients_in_another_memory_order_belong_to_the_same_elements() {
        tch::manual_seed(0);
        let gradient = random(&[3, 4]);
        let step = |gradient: &Tensor| {
            let [parameter, mean, square] = [(); 3].map(|()| Tensor::zeros([3, 4], (Kind::Float, Device::Cpu)));
            let numbers = AdamStep { step: 1, lr: 0.1, betas: [0.9, 0.999], weight_decay: 0.0, eps: 1e-8 };
            adam_many(numbers, &[parameter.shallow_clone()], &[gradient.shallow_clone()], [&[mean], &[square]]);
            parameter
        };
        let transposed = gradient.tr().contiguous().tr();
        assert_ne!(transposed.stride(), gradient.stride());
        assert_eq!(step(&transposed), step(&gradient));
    }
}
