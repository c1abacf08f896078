//! Shards of token datasets.

use serde_json::json;
use tch::Kind;
use vidtok::StreamDecoder;
use vidtok_tokenize::{Latent, NumberType, Packer, Shard, Tokens, VideoEntry};

use super::tiny::with_models;
use crate::{Format, Outcome, Target, format, scratch};

pub(super) const SAFETENSORS: Target = Target {
    name: "shard_safetensors",
    format: Format::Safetensors,
    seeds: safetensors_seeds,
    read: |file| read("a.safetensors", file),
};
pub(super) const WEBDATASET: Target =
    Target { name: "shard_webdataset", format: Format::Tar, seeds: webdataset_seeds, read: |file| read("a.tar", file) };

const BITS: u32 = 9;
const INDICES: Latent = Latent::Indices { codes: 512, bits: BITS };
const MOMENTS: Latent = Latent::Moments { channels: 4, dtype: NumberType::F16 };
/// Videos with more tokens are not decoded, to save time.
const MAX_TOKENS: i64 = 128;
/// Latent frames, rows and columns of the seeds' videos.
const TOKENS: [u64; 3] = [2, 3, 4];

/// The entry of a video.
fn entry(key: &str, bits: Option<u32>) -> serde_json::Value {
    let mut entry = json!({
        "key": key, "path": format!("{key}.mp4"), "tokens": TOKENS, "frames": 3, "size": [6, 7], "fps": "30000/1001",
        "padding": { "front": 1, "back": 0, "bottom": 0, "right": 1 },
        "source": { "frames": 3, "size": [60, 70], "fps": "30000/1001", "bytes": 1000 },
    });
    if let Some(bits) = bits {
        entry["bits"] = bits.into();
    }
    entry
}

/// Packed indices.
fn packed() -> Vec<u8> {
    let mut packer = Packer::new(BITS);
    let mut bytes = packer.push((0..24).map(|i| i * 21));
    bytes.extend(packer.finish());
    bytes
}

fn safetensors_seeds() -> Vec<Vec<u8>> {
    let file = |videos: serde_json::Value, tensors: &[format::Entry<'_>]| {
        format::safetensors(&[("vidtok.dataset", "{}"), ("vidtok.videos", &videos.to_string())], tensors)
    };
    let (indices, moments) = (packed(), [0x3c; 4 * 24 * 2]);
    let shape = &[4, 2, 3, 4];
    vec![
        file(
            json!([entry("a/b", Some(BITS)), entry("c", Some(BITS))]),
            &[("a/b.indices", "U8", &[27], &indices), ("c.indices", "U8", &[27], &indices)],
        ),
        file(json!([entry("a", None)]), &[("a.mean", "F16", shape, &moments), ("a.logvar", "F16", shape, &moments)]),
    ]
}

fn webdataset_seeds() -> Vec<Vec<u8>> {
    let npy = |dtype: &str, shape: &str, numbers: &[u8]| {
        let text = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
        let text = format!("{text:<117}\n");
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), numbers].concat()
    };
    let indices = npy("|u1", "27,", &packed());
    let moments = npy("<f2", "4, 2, 3, 4", &[0x3c; 4 * 24 * 2]);
    let of_indices = |key| entry(key, Some(BITS)).to_string().into_bytes();
    let of_moments = entry("a", None).to_string().into_bytes();
    vec![
        format::tar(&[
            ("a/b.json", &of_indices("a/b")),
            ("a/b.indices.npy", &indices),
            ("c.json", &of_indices("c")),
            ("c.indices.npy", &indices),
        ]),
        format::tar(&[("a.json", &of_moments), ("a.mean.npy", &moments), ("a.logvar.npy", &moments)]),
    ]
}

/// Checks that all tokens of a shard can be read and are in range, that others cannot be read, and that a tiny model
/// decodes them or refuses them.
fn read(name: &str, file: &[u8]) -> Outcome {
    scratch::with_file(name, file, |path| {
        let outcomes = [INDICES, MOMENTS].map(|latent| {
            let shard = Shard::open(path, latent)?;
            for (index, video) in shard.videos().enumerate() {
                let [t, h, w] = video.tokens;
                assert!(shard.tokens(index, 0, t + 1).is_err() && shard.tokens(index, t, 1).is_err());
                if t == 0 {
                    continue;
                }
                match shard.tokens(index, 0, t)? {
                    Tokens::Indices(indices) => {
                        let all: Vec<i32> = Vec::try_from(indices.flatten(0, -1))?;
                        assert!(all.iter().all(|index| (0..1 << BITS).contains(index)));
                        assert_eq!(indices.size(), [1, t, h, w]);
                    }
                    Tokens::Moments { mean, logvar } => {
                        assert_eq!((mean.size(), logvar.size()), (vec![1, 4, t, h, w], vec![1, 4, t, h, w]));
                    }
                }
                if t * h * w <= MAX_TOKENS {
                    decode(&shard, index, video, latent == INDICES)?;
                }
            }
            Ok(())
        });
        let [indices, moments] = outcomes;
        indices.or(moments)
    })
}

/// Decodes a video one latent frame at a time.
fn decode(shard: &Shard, index: usize, video: &VideoEntry, is_discrete: bool) -> Outcome {
    with_models(|[continuous, discrete, _]| {
        let model = if is_discrete { discrete } else { continuous };
        let t = video.tokens[0];
        let mut decoder = StreamDecoder::new(model, t, video.padding, video.window);
        for start in 0..t {
            let latent = match shard.tokens(index, start, 1)? {
                Tokens::Indices(indices) => model.quantizer().indices_to_codes(&indices),
                Tokens::Moments { mean, .. } => Some(mean.to_kind(Kind::Float)),
            };
            let Some(latent) = latent else { panic!("the model has no codes") };
            decoder.push(&latent)?;
        }
        Ok(())
    })
}
