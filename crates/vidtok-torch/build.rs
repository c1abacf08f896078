//! Compiles `src/shim` against the libtorch that torch-sys links to.

use std::path::PathBuf;
use std::{env, fs, io};

const SOURCES: [&str; 25] = [
    "status",
    "autocast",
    "cuda",
    "generator",
    "many",
    "memory",
    "recompute",
    "norm_silu",
    "biased_sum",
    "kernels/bfloat16",
    "kernels/norm_silu",
    "unit_distance",
    "kernels/unit_distance",
    "convolution",
    "convolution_check",
    "kernels/convolution",
    "winograd",
    "kernels/winograd",
    "gpu/biased_sum",
    "gpu/kernels_on_cpu",
    "gpu/norm_silu",
    "gpu/program",
    "gpu/rows",
    "nccl",
    "process_group",
];

/// Headers of kernels for GPUs, which are compiled at run time.
const GPU_KERNELS: [&str; 4] = ["simt.h", "rows.h", "norm_silu.h", "biased_sum.h"];

/// The variable that compiles the shim with sanitizers: `address` finds accesses out of bounds and undefined behaviour
/// (docs/STYLE.md).
const SANITIZE: &str = "VIDTOK_SANITIZE";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/shim");
    for variable in ["LIBTORCH_INCLUDE", "LIBTORCH_CXX11_ABI", SANITIZE] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let Some(lib) = vidtok_libtorch::libraries() else {
        // docs.rs has no libtorch and links nothing.
        if env::var_os("DOCS_RS").is_none() {
            println!("cargo::error=torch-sys reports no libtorch; set LIBTORCH to its folder");
        }
        return;
    };
    // As torch-sys does: headers are beside the libraries, unless this variable names another folder.
    let root = env::var_os("LIBTORCH_INCLUDE").map_or_else(|| lib.join(".."), PathBuf::from);
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let texts = match write_kernel_texts() {
        Ok(folder) => folder,
        Err(error) => return println!("cargo::error=the texts of the kernels for GPUs: {error}"),
    };
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        // libtorch's headers cause many.
        .warnings(false)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .include("src/shim/gloo_stub")
        .include(texts)
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D", None)
        .define("USE_C10D_GLOO", None)
        // Kernels are plain loops that the compiler vectorises, which tests need too.
        .opt_level(3)
        .flag_if_supported("-fno-math-errno")
        .flag_if_supported("-fno-trapping-math")
        // Only inlined functions pass vectors to each other.
        .flag_if_supported("-Wno-psabi");
    // Another libtorch may replace this one. A missing file is not named: cargo would see it as changed each time.
    let core = lib.join("libc10.so");
    if core.is_file() {
        println!("cargo::rerun-if-changed={}", core.display());
    }
    // libtorch's parallel loops are templates, parallel only if compiled with OpenMP; libtorch's own is GNU's.
    if build.get_compiler().is_like_gnu() {
        build.flag("-fopenmp");
        println!("cargo::rustc-link-lib=gomp");
    } else {
        build.flag_if_supported("-fopenmp-simd");
    }
    match env::var(SANITIZE).as_deref() {
        Ok("address") => {
            // The vptr check needs type information that libtorch does not export.
            for flag in ["-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all", "-g1"] {
                build.flag(flag);
            }
            for library in ["asan", "ubsan"] {
                println!("cargo::rustc-link-lib=dylib={library}");
            }
        }
        Ok("") | Err(_) => {}
        Ok(other) => println!("cargo::error={SANITIZE}={other:?}: expected address"),
    }
    build.files(SOURCES.map(|name| format!("src/shim/{name}.cpp"))).compile("vidtok_shim");
}

/// Writes the texts of the kernels as a header, and returns its folder.
fn write_kernel_texts() -> io::Result<PathBuf> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let mut header = "struct KernelSource {\n  const char* name;\n  const char* text;\n};\n\n".to_owned();
    header.push_str("constexpr KernelSource kKernelSources[] = {\n");
    for name in GPU_KERNELS {
        let text = fs::read_to_string(format!("src/shim/gpu/kernels/{name}"))?;
        header.push_str(&format!("  {{\"{name}\", R\"kernel({text})kernel\"}},\n"));
    }
    header.push_str("};\n");
    fs::write(folder.join("gpu_kernel_sources.h"), header)?;
    Ok(folder)
}
