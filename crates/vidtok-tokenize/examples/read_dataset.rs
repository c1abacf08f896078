//! Reads a token dataset: `cargo run --example read_dataset -- FOLDER`.
//!
//! Prints one line for each video, with the number of its tokens and the distribution of their values.
#![allow(clippy::print_stdout, reason = "an example prints its results")]

use std::error::Error;

use tch::Kind;
use vidtok_tokenize::{Dataset, Shard, Tokens, shards};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("give the folder of a dataset (written by `vidtok tokenize`)")?;
    let dataset = Dataset::open(&folder)?;
    println!("{} at {} fps", dataset.model.name, dataset.fps.map_or("original".to_owned(), |fps| fps.to_string()));
    for path in shards(&folder, &dataset)? {
        let shard = Shard::open(&path, dataset.latent)?;
        for (index, video) in shard.videos().enumerate() {
            // Any range of latent frames can be read; this is the whole video.
            let [t, h, w] = video.tokens;
            match shard.tokens(index, 0, t)? {
                Tokens::Indices(indices) => {
                    let (codes, ..) = indices.flatten(0, -1).unique_dim(0, true, false, false);
                    println!("{}: {t}x{h}x{w} tokens, {} distinct codes", video.key, codes.numel());
                }
                Tokens::Moments { mean, .. } => {
                    let std = mean.to_kind(Kind::Float).std(true).double_value(&[]);
                    println!("{}: {t}x{h}x{w} tokens, standard deviation {std:.3}", video.key);
                }
            }
        }
    }
    Ok(())
}
