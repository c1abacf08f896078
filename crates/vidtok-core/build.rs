//! Lets `cargo run`, `cargo test` and doc tests find libtorch without environment variables, also in other projects.
//!
//! Cargo adds the library search paths of build scripts to the dynamic loader's path only if they are in the target
//! folder, so this script links libtorch's folder from there. Programs that are started without cargo need an rpath, as
//! `.cargo/config.toml` sets it.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let (Some(lib), Some(out)) = (vidtok_libtorch::libraries(), std::env::var_os("OUT_DIR")) else {
        return Ok(());
    };
    let link = PathBuf::from(out).join("libtorch");
    if link.is_symlink() {
        std::fs::remove_file(&link)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(lib, &link)?;
    println!("cargo::rustc-link-search=native={}", link.display());
    Ok(())
}
