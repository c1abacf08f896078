//! Keeps libtorch's CUDA half in the program: the linker drops it otherwise, as no symbol of it is called by name.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some() {
        for argument in ["-Wl,--no-as-needed", "-ltorch", "-Wl,--as-needed"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}
