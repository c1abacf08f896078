//! `cargo xtask setup`: fills `.deps` with what the project needs and a bare machine lacks.
//!
//! Each part is laid out in a temporary folder and renamed when it is whole, so an interrupted run leaves nothing
//! that looks finished, and a second run finds everything in place.

mod archive;
mod assets;
mod clips;
mod ffmpeg;
mod libtorch;
mod package;
mod progress;
mod python;
mod store;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::workspace::{Workspace, on_path};
pub(crate) use store::Store;

/// Sets up and tells what is used.
pub(crate) fn command(workspace: &Workspace, cuda: bool) -> Result<ExitCode> {
    for (part, what) in install(workspace, cuda)? {
        eprintln!("{part:<9} {what}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Sets up what is missing, silent when nothing is.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    install(workspace, false).map(drop)
}

/// Fetches the weights of the metrics alone and tells where they lie.
pub(crate) fn assets(workspace: &Workspace) -> Result<ExitCode> {
    for path in assets::install(&Store::open(&workspace.deps())?)? {
        eprintln!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The name of each part with what stands for it.
fn install(workspace: &Workspace, cuda: bool) -> Result<Vec<(&'static str, String)>> {
    ensure!(
        std::env::var_os("CXX").is_some() || on_path("c++").is_some(),
        "there is no C++ compiler (c++) on PATH, which tch needs; install g++ or clang++"
    );
    let store = Store::open(&workspace.deps())?;
    let mut parts =
        vec![("libtorch", libtorch::install(workspace, &store, cuda)?), ("ffmpeg", ffmpeg::install(&store)?)];
    match clips::install(&store) {
        Ok(clips) => parts.push(("clips", clips)),
        Err(error) => eprintln!("warning: no sample clips, training falls back to procedural ones: {error:#}"),
    }
    match assets::install(&store) {
        Ok(files) => parts.extend(files.into_iter().map(|file| ("weights", file.display().to_string()))),
        Err(error) => eprintln!("warning: training goes on without LPIPS: {error:#}"),
    }
    Ok(parts)
}
