//! Encodes all videos of a folder, in bounded memory:
//! `cargo run --release -p vidtok --example folder_to_latents -- MODEL FOLDER OUT`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::Path;

use tch::{Device, Kind};
use vidtok::{EncodeOptions, Tokenizer};
use vidtok_data::{Ffmpeg, VideoReader, find_videos};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, folder, out] = &arguments[..] else { return Err("expected MODEL FOLDER OUT".into()) };
    let tokenizer = Tokenizer::open(model, Device::Cpu, Kind::Float)?;
    let ffmpeg = Ffmpeg::locate()?;
    std::fs::create_dir_all(out)?;
    for path in find_videos(Path::new(folder))?.videos {
        let mut reader = VideoReader::open(&ffmpeg, &path)?;
        let encoded = tokenizer.encode_video(&mut reader, EncodeOptions::default(), None)?;
        let file = Path::new(out).join(path.file_name().unwrap_or_default()).with_extension("safetensors");
        encoded.save(&file, &tokenizer)?;
        println!("{}: {:?}", file.display(), encoded.latent.size());
    }
    Ok(())
}
