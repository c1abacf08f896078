//! The weights of new models. Alone in its process, because all threads share the generator that they are drawn from.
#![allow(clippy::unwrap_used)] // a failure here is what the test is for

use tch::Device;
use vidtok::{Config, Tokenizer};

#[test]
fn a_new_model_depends_on_its_seed_only() {
    let config = || Config::parse(include_str!("../../../configs/tiny_kl.toml")).unwrap();
    let new = |seed| Tokenizer::init(config(), seed, Device::Cpu).unwrap().weights_sha256();
    let first = new(1);
    let _ = tch::Tensor::randn([3], (tch::Kind::Float, Device::Cpu));
    assert_eq!(new(1), first);
    assert_ne!(new(2), first);
}
