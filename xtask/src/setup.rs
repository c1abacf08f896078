//! `cargo xtask setup`: fills `.deps` with what the project needs and a bare machine lacks.
//!
//! Each part is laid out in a temporary folder and renamed when it is complete, so an interrupted run leaves nothing
//! that looks finished, and a second run finds everything in place.

mod apt;
mod archive;
mod assets;
mod clips;
pub(crate) mod corpus;
mod ffmpeg;
mod libtorch;
mod package;
mod pip;
mod store;

use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::workspace::{Workspace, on_path};
pub(crate) use store::Store;

/// Sets up and prints what is used, and how a project outside uses it too.
pub(crate) fn command(workspace: &Workspace, cuda: bool) -> Result<ExitCode> {
    for (part, what) in install(workspace, cuda)? {
        eprintln!("{part:<9} {what}");
    }
    let libtorch = workspace.libtorch();
    let libtorch = libtorch.display();
    eprintln!("\nTo use a crate in another project, add to its .cargo/config.toml:");
    eprintln!("env.LIBTORCH = \"{libtorch}\"");
    eprintln!("build.rustflags = [\"-C\", \"link-arg=-Wl,-rpath,{libtorch}/lib\"]");
    Ok(ExitCode::SUCCESS)
}

/// Sets up what is missing; prints nothing where all is there.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    install(workspace, false).map(drop)
}

/// Fetches only the weights of the metrics and prints their paths.
pub(crate) fn assets(workspace: &Workspace) -> Result<ExitCode> {
    for path in assets::install(&Store::open(&workspace.deps())?)? {
        eprintln!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the name of each part and what is used for it.
fn install(workspace: &Workspace, cuda: bool) -> Result<Vec<(&'static str, String)>> {
    ensure!(
        std::env::var_os("CXX").is_some() || on_path("c++").is_some(),
        "no C++ compiler (c++) is on PATH; tch needs one, install g++ or clang++"
    );
    let store = Store::open(&workspace.deps())?;
    let mut parts =
        vec![("libtorch", libtorch::install(workspace, &store, cuda)?), ("ffmpeg", ffmpeg::install(&store)?)];
    match clips::install(&store) {
        Ok(clips) => parts.push(("clips", clips)),
        Err(error) => eprintln!("warning: no sample clips, training uses procedural ones: {error:#}"),
    }
    match assets::install(&store) {
        Ok(files) => parts.extend(files.into_iter().map(|file| ("weights", file.display().to_string()))),
        Err(error) => eprintln!("warning: no weights of metrics, training runs without LPIPS: {error:#}"),
    }
    Ok(parts)
}
