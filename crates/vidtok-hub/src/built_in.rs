//! Models that come with the program: compiled into it (feature `builtin`), or in the folder `VIDTOK_MODELS`.

use std::borrow::Cow;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use vidtok::Weights;

/// The folder whose one-file models count as built in, under the names of their files.
const FOLDER: &str = "VIDTOK_MODELS";

/// A model that comes with the program.
#[derive(Clone, Debug)]
pub struct BuiltIn {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it is, in a few words.
    pub description: Cow<'static, str>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// In the program.
    #[cfg_attr(not(feature = "builtin"), allow(dead_code))]
    Program(&'static [u8]),
    /// In a file.
    File(PathBuf),
}

impl BuiltIn {
    /// Its weights, with its configuration.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn weights(&self) -> Result<Weights, vidtok::Error> {
        match &self.place {
            Place::Program(bytes) => Weights::built_in(&self.name, bytes),
            Place::File(path) => Weights::read(path),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match &self.place {
            Place::Program(bytes) => bytes.len() as u64,
            Place::File(path) => fs::metadata(path).map_or(0, |file| file.len()),
        }
    }
}

/// All of them; the first is the default.
#[must_use]
pub fn all() -> Vec<BuiltIn> {
    let mut all = compiled();
    all.extend(env::var_os(FOLDER).map(|folder| in_folder(Path::new(&folder))).unwrap_or_default());
    all
}

/// The model of a name.
#[must_use]
pub fn find(name: &str) -> Option<BuiltIn> {
    all().into_iter().find(|model| model.name == name)
}

#[cfg(feature = "builtin")]
fn compiled() -> Vec<BuiltIn> {
    let built_in = |model: vidtok_models::BuiltIn| {
        let vidtok_models::BuiltIn { name, description, bytes, .. } = model;
        BuiltIn { name: name.into(), description: description.into(), place: Place::Program(bytes) }
    };
    vidtok_models::ALL.map(built_in).into()
}

#[cfg(not(feature = "builtin"))]
fn compiled() -> Vec<BuiltIn> {
    Vec::new()
}

/// The `.safetensors` files of a folder, sorted by name; none if it cannot be read.
fn in_folder(folder: &Path) -> Vec<BuiltIn> {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let models = paths.filter(|path| path.extension() == Some(OsStr::new("safetensors")));
    let mut models: Vec<BuiltIn> = models
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            let description = format!("in {}", folder.display());
            Some(BuiltIn { name: name.into(), description: description.into(), place: Place::File(path) })
        })
        .collect();
    models.sort_by(|a, b| a.name.cmp(&b.name));
    models
}
