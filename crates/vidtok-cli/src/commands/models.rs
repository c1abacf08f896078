//! `vidtok models`: lists the models that are built in, on disk, and published.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use vidtok::Weights;
use vidtok_core::Bytes;

use crate::built_in;

/// The repository of the published checkpoints on the Hugging Face hub.
const HUB: &str = "microsoft/VidTok";
/// The published models; `vidtok convert` makes one-file models of their checkpoints.
const PUBLISHED: &str = include_str!("published.txt");

/// Arguments of `vidtok models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Folder to search for one-file models
    #[arg(default_value = ".")]
    folder: PathBuf,
}

pub(crate) fn run(arguments: &ModelsArgs) -> anyhow::Result<()> {
    println!("built in, by name (--model NAME):");
    let built_in = built_in::all();
    for (index, model) in built_in.iter().enumerate() {
        let default = if index == 0 { "; the default" } else { "" };
        println!("  {}  {}, {}{default}", model.name, Bytes(model.bytes()), model.description);
    }
    if built_in.is_empty() {
        println!("  none; this program was built without the feature `builtin`");
    }
    println!("\none-file models in {} (--model FILE):", arguments.folder.display());
    let files = one_file_models(&arguments.folder)?;
    for (path, name) in &files {
        println!("  {}  {name}", path.display());
    }
    if files.is_empty() {
        println!("  none");
    }
    println!(
        "\npublished checkpoints, at {HUB} on the Hugging Face hub (vidtok convert --config configs/NAME.toml NAME.ckpt OUT):"
    );
    PUBLISHED.lines().for_each(|name| println!("  {name}"));
    Ok(())
}

/// The one-file models in a folder with their models' names, sorted by path.
fn one_file_models(folder: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new("safetensors")) || !path.is_file() {
            continue;
        }
        // Other safetensors files are latents, states and weights.
        if let Ok(Some(config)) = Weights::read_config(&path) {
            files.push((path, config.name));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_model_has_a_configuration_and_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = files.filter_map(|file| file.strip_suffix(".toml").map(str::to_owned));
        let mut published: Vec<String> =
            names.filter(|name| name.starts_with("vidtok_") && !name.starts_with("vidtok_lite_")).collect();
        published.sort();
        assert_eq!(PUBLISHED.lines().collect::<Vec<_>>(), published);
    }
}
