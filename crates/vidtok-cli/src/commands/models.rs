//! `vidtok models`: lists the models that are built in, on disk, and published.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use vidtok::Weights;
use vidtok_configs::REPOSITORY;
use vidtok_core::Bytes;

use vidtok_hub::built_in;

/// Arguments of `vidtok models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    /// Folder to search for models
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
    println!("\nmodels in {} (--model PATH):", arguments.folder.display());
    let files = one_file_models(&arguments.folder)?;
    for (path, name) in &files {
        println!("  {}  {name}", path.display());
    }
    if files.is_empty() {
        println!("  none");
    }
    println!("\npublished, at {REPOSITORY} on the Hugging Face hub (--model NAME downloads it):");
    vidtok_configs::ALL.iter().for_each(|model| println!("  {}", model.name));
    Ok(())
}

/// The one-file models and the folders of diffusers in a folder, with their models' names, sorted by path.
fn one_file_models(folder: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| anyhow::anyhow!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        let is_candidate = match path.is_dir() {
            true => path.join("config.json").exists(),
            false => path.extension() == Some(OsStr::new("safetensors")),
        };
        if !is_candidate {
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
