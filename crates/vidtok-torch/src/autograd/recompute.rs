//! Gradient checkpointing (arXiv 1604.06174), which trades time for memory.

#![allow(unsafe_code)] // Calls of the shim.

use std::ffi::c_void;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::shim::{self, Status};

type Function = Box<dyn Fn(&Tensor) -> Tensor + Send>;

/// Computes `f(x)` so that autograd saves only `x`: the backward pass runs `f` again. Gradients of `x`, and of the
/// leaves (parameters) that `f` holds, equal those of the plain call. Without gradients this is the plain call.
///
/// The second run has the autocast setting of the first. `f` must do the same in both, so it must not draw random
/// numbers. There are no second derivatives. If `f` panics in the backward pass, that pass fails with the panic's
/// message.
pub fn recompute(x: &Tensor, f: impl Fn(&Tensor) -> Tensor + Send + 'static) -> Tensor {
    let inner = x.detach().set_requires_grad(x.requires_grad());
    let y = f(&inner);
    if !y.requires_grad() {
        return y;
    }
    let function: Box<Function> = Box::new(Box::new(f));
    // The shim reads from the graph of y where its gradients go, and replaces the graph by a node of its own.
    shim::tensor(|out| {
        let data = Box::into_raw(function).cast::<c_void>();
        // SAFETY: the tensors live during the call. `data` is a `Function`, which `call` and `release` expect. The shim
        // calls it under a lock, from one thread at a time, perhaps another one (it is Send), and releases it once.
        unsafe { shim::vidtok_recompute(x.as_ptr(), inner.as_ptr(), y.as_ptr(), data, call, release, out) }
    })
}

extern "C" fn call(data: *const c_void, x: *mut C_tensor, y: *mut *mut C_tensor) -> Status {
    shim::guarded(|| {
        // SAFETY: `data` is the function from `recompute`, which the caller keeps alive. `x` is a tensor of the caller,
        // which we clone. `y` can hold the result.
        unsafe {
            let function = &*data.cast::<Function>();
            let mut result = function(&Tensor::clone_from_ptr(x));
            *y = result.as_mut_ptr();
            std::mem::forget(result);
        }
    })
}

extern "C" fn release(data: *mut c_void) {
    // SAFETY: `data` came from `Box::into_raw` in `recompute` and is not used after this call. A panic of a destructor
    // would end the process, which is sound.
    drop(unsafe { Box::from_raw(data.cast::<Function>()) });
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tch::{Device, Kind};

    use super::*;
    use crate::autograd::autocast::autocast;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn leaf(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, CPU).set_requires_grad(true)
    }

    /// x W tanh(x W), whose gradients need intermediate results.
    fn layer(weight: &Tensor) -> impl Fn(&Tensor) -> Tensor + Send + use<> {
        let weight = weight.shallow_clone();
        move |x| {
            let h = x.matmul(&weight);
            h.tanh() * h
        }
    }

    fn gradients(y: &Tensor, leaves: [&Tensor; 2]) -> Vec<Tensor> {
        Tensor::run_backward(&[y.square().sum(Kind::Float)], &leaves, true, false)
    }

    #[test]
    fn gradients_equal_those_of_the_plain_call_exactly() {
        tch::manual_seed(0);
        let (x, weight) = (leaf(&[3, 4]), leaf(&[4, 4]));
        let f = layer(&weight);
        // Two calls in a row that share a parameter.
        let plain = f(&f(&x));
        let recomputed = recompute(&recompute(&x, layer(&weight)), layer(&weight));
        assert_eq!(plain, recomputed);
        assert_eq!(gradients(&plain, [&x, &weight]), gradients(&recomputed, [&x, &weight]));
        recomputed.square().sum(Kind::Float).backward();
        assert_eq!(weight.grad(), gradients(&plain, [&x, &weight])[1]);
    }

    #[test]
    fn gradients_of_nested_calls_equal_those_of_plain_calls() {
        tch::manual_seed(0);
        let (x, weight) = (leaf(&[3, 4]), leaf(&[4, 4]));
        let plain = layer(&weight)(&layer(&weight)(&x));
        let held = weight.shallow_clone();
        let nested = recompute(&x, move |x| recompute(&layer(&held)(x), layer(&held)));
        assert_eq!(gradients(&plain, [&x, &weight]), gradients(&nested, [&x, &weight]));
    }

    #[test]
    fn parameters_get_gradients_if_the_input_needs_none() {
        let (x, weight) = (Tensor::ones([1, 2], CPU), leaf(&[2, 2]));
        recompute(&x, layer(&weight)).sum(Kind::Float).backward();
        assert!(weight.grad().defined());
        assert!(!x.grad().defined());
    }

    #[test]
    fn backward_runs_the_function_once_and_releases_it() {
        let runs = Arc::new(AtomicUsize::new(0));
        let (x, count) = (leaf(&[2]), Arc::clone(&runs));
        let y = recompute(&x, move |x| {
            count.fetch_add(1, Ordering::Relaxed);
            x.square()
        });
        assert_eq!((runs.load(Ordering::Relaxed), Arc::strong_count(&runs)), (1, 2));
        y.sum(Kind::Float).backward();
        assert_eq!((runs.load(Ordering::Relaxed), Arc::strong_count(&runs)), (2, 1));
        assert!(y.sum(Kind::Float).f_backward().unwrap_err().to_string().contains("second time"));
    }

    #[test]
    fn without_gradients_the_function_is_released_at_once() {
        let (x, held) = (leaf(&[2]), Arc::new(()));
        let square = || {
            let held = Arc::clone(&held);
            move |x: &Tensor| {
                let _held = &held;
                x.square()
            }
        };
        let results = [recompute(&x.detach(), square()), tch::no_grad(|| recompute(&x, square()))];
        assert!(results.iter().all(|y| !y.requires_grad()));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn the_second_run_has_the_autocast_setting_of_the_first() {
        tch::manual_seed(0);
        let (x, weight) = (leaf(&[8, 8]), leaf(&[8, 8]));
        let run = |f: &dyn Fn() -> Tensor| autocast(Device::Cpu, Kind::BFloat16, f).unwrap();
        let plain = run(&|| layer(&weight)(&x));
        let recomputed = run(&|| recompute(&x, layer(&weight)));
        assert_eq!(recomputed.kind(), Kind::BFloat16);
        assert_eq!(gradients(&plain, [&x, &weight]), gradients(&recomputed, [&x, &weight]));
    }

    #[test]
    fn a_panic_in_forward_unwinds_and_a_panic_in_backward_is_an_error() {
        let x = leaf(&[2]);
        assert!(catch_unwind(AssertUnwindSafe(|| recompute(&x, |_| panic!("at once")))).is_err());

        let runs = AtomicUsize::new(0);
        let y = recompute(&x, move |x| {
            assert!(runs.fetch_add(1, Ordering::Relaxed) == 0, "the second run fails");
            x.square()
        });
        let error = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
        assert!(error.contains("the second run fails"), "{error}");
    }

    #[test]
    fn changing_the_input_in_place_before_backward_is_an_error() {
        let mut x = leaf(&[2]) * 1.0;
        let y = recompute(&x, Tensor::square);
        let _ = x.g_add_scalar_(1.0);
        assert!(y.sum(Kind::Float).f_backward().unwrap_err().to_string().contains("modified by an inplace"));
    }
}
