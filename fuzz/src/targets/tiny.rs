//! Tiny models, for files that belong to a model.

use tch::Device;
use vidtok::{Config, Tokenizer};

use crate::repository::{TINY_CONTINUOUS, TINY_DISCRETE, text};

thread_local! {
    static MODELS: [Tokenizer; 3] = {
        // For such small clips, more threads are slower.
        tch::set_num_threads(1);
        let continuous = text(TINY_CONTINUOUS);
        let non_causal = continuous.replace("v1.0", "noncausal");
        [continuous, text(TINY_DISCRETE), non_causal].map(model)
    };
}

fn model(text: String) -> Tokenizer {
    match Config::parse(&text).and_then(|config| Tokenizer::init(config, 0, Device::Cpu)) {
        Ok(model) => model,
        Err(error) => panic!("{error}"),
    }
}

/// Calls `then` with three models that compress 2x2x2: a continuous one with 4 channels, a discrete one with 512 codes,
/// and a non-causal variant of the first.
pub(super) fn with_models<T>(then: impl FnOnce([&Tokenizer; 3]) -> T) -> T {
    MODELS.with(|models| then(models.each_ref()))
}
