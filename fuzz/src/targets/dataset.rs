//! The settings of token datasets.

use serde_json::json;
use vidtok::Config;
use vidtok_tokenize::{Dataset, Shard};

use super::shard;
use crate::{Format, Outcome, Target, repository, scratch};

pub(super) const TARGET: Target = Target { name: "dataset", format: Format::Json, seeds, read };

fn seeds() -> Vec<Vec<u8>> {
    let latents = [
        (repository::TINY_DISCRETE, json!({ "kind": "indices", "codes": 512, "bits": 9 })),
        (repository::TINY_CONTINUOUS, json!({ "kind": "moments", "channels": 4, "dtype": "f16" })),
    ];
    let seed = latents.map(|(model, latent)| {
        let model = Config::parse(&repository::text(model)).map(|config| json!(Config { train: None, ..config }));
        json!({
            "format": 1, "version": "0.1.0", "model": model.unwrap_or_default(), "weights_sha256": "0123456789abcdef",
            "compute": "float", "fps": 12.5, "shorter_side": 64, "crop": [48, 64], "padding": "copies", "window": null,
            "shards": "safetensors", "latent": latent, "compression": [2, 2, 2],
        })
    });
    seed.map(|seed| seed.to_string().into_bytes()).into()
}

/// Checks that the settings stay the same when they are written and read again, and that shards opened with them are
/// readable.
fn read(file: &[u8]) -> Outcome {
    scratch::with_file("dataset.json", file, |path| {
        let Some(folder) = path.parent() else { panic!("the path has no folder") };
        let dataset = Dataset::open(folder)?;
        scratch::write(path, &serde_json::to_vec(&dataset)?);
        assert_eq!(Dataset::open(folder)?, dataset);
        for seed in (shard::SAFETENSORS.seeds)() {
            let path = path.with_file_name("a.safetensors");
            scratch::write(&path, &seed);
            if let Ok(shard) = Shard::open(&path, dataset.latent) {
                for (index, video) in shard.videos().enumerate() {
                    shard.tokens(index, 0, video.tokens[0])?;
                }
            }
        }
        Ok(())
    })
}
