//! The state of libtorch's default generator. Alone in its process, because all threads share the generator.
#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use std::panic::{AssertUnwindSafe, catch_unwind};

use tch::{Device, Kind, Tensor};
use vidtok_torch::with_seed;

fn numbers() -> Vec<f32> {
    Tensor::randn([20], (Kind::Float, Device::Cpu)).try_into().unwrap()
}

#[test]
fn with_seed_draws_the_numbers_of_manual_seed_and_restores_the_generator() {
    tch::manual_seed(3);
    let expected = numbers();
    tch::manual_seed(7);
    let uninterrupted = (numbers(), numbers());

    tch::manual_seed(7);
    let first = numbers();
    assert_eq!(with_seed(3, numbers), expected);
    assert!(catch_unwind(AssertUnwindSafe(|| with_seed(5, || panic!("while drawing")))).is_err());
    assert_eq!((first, numbers()), uninterrupted);
}
