//! Stops a build that has no libtorch with one line that says what to do.
//!
//! torch-sys needs `LIBTORCH` in its environment, which no dependency can set for it. This script depends on nothing and
//! more crates depend on it, so cargo runs it before torch-sys's, whose message has a backtrace.

use std::env;
use std::path::{Path, PathBuf};

#[path = "src/locate.rs"]
mod locate;

/// A libtorch that torch-sys finds without being told.
const SYSTEM: &str = "/usr/lib/libtorch.so";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/locate.rs");
    for name in
        ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LIBTORCH_INCLUDE", "LIBTORCH_LIB", "LIBTORCH_BYPASS_VERSION_CHECK"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let downloads = env::var_os("CARGO_FEATURE_DOWNLOAD").is_some();
    let from_system = env::var_os("LIBTORCH").is_none() && Path::new(SYSTEM).exists();
    if downloads || from_system || env::var_os("DOCS_RS").is_some() {
        return;
    }
    // The build's target folder lies in the project that is built, this crate's sources maybe in a checkout of VidTok.
    let starts: Vec<_> =
        ["OUT_DIR", "CARGO_MANIFEST_DIR"].into_iter().filter_map(env::var_os).map(PathBuf::from).collect();
    if let Err(advice) = locate::check(|name| env::var_os(name), || locate::candidates(&starts)) {
        println!("cargo::error={advice}");
    }
}
