//! The ffmpeg program: VIDTOK_FFMPEG, else the one on PATH, else a static one from PyPI. The video backend searches in
//! the same order.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::package::{self, Package};
use super::store::Store;
use crate::workspace::on_path;

const WHEEL: &str = "imageio-ffmpeg";
/// The beginning of the program's path in the wheel.
const MEMBER: &str = "imageio_ffmpeg/binaries/ffmpeg-";

/// Fetches the program if the user has none, and returns the path of the one in use.
pub(crate) fn install(store: &Store) -> Result<String> {
    let own = std::env::var_os("VIDTOK_FFMPEG").filter(|program| !program.is_empty());
    let program = match own.map(PathBuf::from).or_else(|| on_path("ffmpeg")) {
        Some(program) => program,
        None => {
            let stamp = package::stamp([&WHEEL], &[MEMBER])?;
            store.part("ffmpeg", &stamp, |dir| fetch(store, dir))?.join("ffmpeg")
        }
    };
    let output = Command::new(&program).arg("-version").output();
    let works = output.as_ref().is_ok_and(|output| output.status.success());
    ensure!(works, "{} does not run as ffmpeg; set VIDTOK_FFMPEG to one that does", program.display());
    Ok(program.display().to_string())
}

fn fetch(store: &Store, dir: &Path) -> Result<()> {
    Package::pinned(WHEEL)?.unpack(store, dir, |member| member.starts_with(MEMBER).then(|| PathBuf::from("ffmpeg")))?;
    let program = dir.join("ffmpeg");
    fs::set_permissions(&program, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", program.display()))
}
