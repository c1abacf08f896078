//! Compiles `src/dlpack.cpp` against the libtorch that torch-sys links to.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/dlpack.cpp");
    for variable in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    // docs.rs has no libtorch and links nothing. Without one elsewhere, vidtok-torch says what to do.
    let Some(lib) = vidtok_libtorch::libraries() else { return };
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(|| lib.join(".."), PathBuf::from);
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        // libtorch's headers cause many.
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(root.join("include"))
        .file("src/dlpack.cpp")
        .compile("vidtok_py_dlpack");
}
