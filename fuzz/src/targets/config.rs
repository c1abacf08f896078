//! Configurations of models and of training.

use std::fmt::Display;
use std::str::from_utf8;

use vidtok::Config;
use vidtok_train::{Stage, TrainConfig, read_recipe};

use crate::{Format, Outcome, Target, repository, scratch};

pub(super) const MODEL: Target =
    Target { name: "model_config", format: Format::Text, seeds: model_seeds, read: read_model };
pub(super) const TRAINING: Target =
    Target { name: "training_config", format: Format::Text, seeds: training_seeds, read: read_training };

fn model_seeds() -> Vec<Vec<u8>> {
    [repository::TINY_CONTINUOUS, "configs/vidtok_fsq_causal_41616_262144_v1_1.toml"].map(repository::bytes).into()
}

fn training_seeds() -> Vec<Vec<u8>> {
    let all = r#"
[train]
seed = 1
steps = 9
batch_size = 2
accumulate = 2
clip_norm = 1.0
precision = "bf16"
gradient_checkpointing = true
ema_decay = 0.99
max_skipped = 3
optimizer = { lr = 1e-4, beta1 = 0.5, beta2 = 0.9, eps = 1e-8, weight_decay = 0.01 }
validation = { every = 5, clips = 2, videos = { folder = "a", table = "a/b.csv", sample_fps = 8.0 } }
checkpoints = { every = 5, keep = 2 }
data = { folder = "a", frames = 17, size = [64, 64], images = { folder = "b", share = 0.5 }, random_crop = true }
[[train.stages]]
name = "one"
[[train.stages]]
name = "two"
freeze_encoder = true
data.size = [128, 128]
"#;
    let quickstart = repository::text("configs/quickstart.toml");
    let recipe = quickstart.split_once("[train]").map(|(_, rest)| format!("[train]{rest}"));
    [all.to_owned()].into_iter().chain(recipe).map(String::into_bytes).collect()
}

/// Checks that a configuration that is read stays the same when it is written and read again.
fn read_model(file: &[u8]) -> Outcome {
    let config = Config::parse(from_utf8(file)?).map_err(one_line)?;
    let text = config.to_toml()?;
    assert_eq!(Config::parse(&text)?.to_toml()?, text);
    Ok(())
}

/// Checks that the message has one line. The TOML reader's own messages have several.
fn one_line<E: Display>(error: E) -> E {
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message:?}");
    error
}

/// Checks that each stage that is read stays the same when it is written and read again.
fn read_training(file: &[u8]) -> Outcome {
    scratch::with_file("recipe.toml", file, |path| {
        let config = Config {
            train: Some(read_recipe(path).map_err(one_line)?),
            ..Config::parse(&repository::text(repository::TINY_CONTINUOUS))?
        };
        for stage in Stage::all(&config).map_err(one_line)? {
            let table = toml::Table::try_from(&stage.config)?;
            let again = toml::Table::try_from(TrainConfig::from_table(table.clone())?)?;
            assert_eq!(again.to_string(), table.to_string());
            assert!(stage.config.learning_rate(0).is_finite());
        }
        Ok(())
    })
}
