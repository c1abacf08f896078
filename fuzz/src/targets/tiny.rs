//! Tiny models, one for each thread, for files that belong to one.

use tch::Device;
use vidtok::{Config, Tokenizer};

const CONTINUOUS: &str = include_str!("../../../configs/tiny_kl.toml");
const DISCRETE: &str = include_str!("../../../configs/tiny_fsq.toml");

thread_local! {
    static MODELS: [Tokenizer; 3] = [CONTINUOUS, DISCRETE, &CONTINUOUS.replace("v1.0", "noncausal")].map(|text| {
        // Clips are so small that threads only get in each other's way.
        tch::set_num_threads(1);
        match Config::parse(text).and_then(|config| Tokenizer::init(config, 0, Device::Cpu)) {
            Ok(model) => model,
            Err(error) => panic!("{error}"),
        }
    });
}

/// Calls `then` with a model with a continuous latent of 4 channels, one with 512 codes, and one like the first that is
/// not causal. All compress 2x2x2.
pub(super) fn with_models<T>(then: impl FnOnce([&Tokenizer; 3]) -> T) -> T {
    MODELS.with(|models| then(models.each_ref()))
}
