//! libtorch 2.11.0: the user's own, or the headers and libraries in the torch wheel of PyPI.
//!
//! `.deps/libtorch` is a link to the one in use; every build refers to that link.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::package::{self, Package};
use super::store::Store;
use crate::workspace::{Workspace, run};

/// The version that tch 0.24 is written for.
const VERSION: &str = "2.11.0";

/// The folders in `.deps` of the two builds that set-up makes.
const CPU: &str = "libtorch-cpu";
const CUDA: &str = "libtorch-cuda";

/// The torch wheel is a CUDA build: even its CPU library needs the first two packages.
const CPU_WHEELS: [&str; 3] = ["nvidia-cuda-runtime", "nvidia-cuda-cupti", "torch"];
const CPU_LIBRARIES: [&str; 5] = ["libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"];

/// What libtorch_cuda.so needs besides.
const CUDA_WHEELS: [&str; 13] = [
    "nvidia-cublas",
    "nvidia-cuda-nvrtc",
    "nvidia-cudnn-cu13",
    "nvidia-cufft",
    "nvidia-cufile",
    "nvidia-curand",
    "nvidia-cusolver",
    "nvidia-cusparse",
    "nvidia-cusparselt-cu13",
    "nvidia-nccl-cu13",
    "nvidia-nvjitlink",
    "nvidia-nvshmem-cu13",
    "nvidia-nvtx",
];

/// Makes `.deps/libtorch` a libtorch of the right version, and says which.
///
/// LIBTORCH and `cuda` choose. Without them the earlier choice holds, so that a plain set-up does not replace a CUDA
/// build by a CPU one.
pub(crate) fn install(workspace: &Workspace, store: &Store, cuda: bool) -> Result<String> {
    let link = workspace.libtorch();
    let earlier = fs::read_link(&link).ok();
    if let Some(own) = own_libtorch(&link) {
        check(&own).context("LIBTORCH")?;
        point(workspace, &link, &fs::canonicalize(own)?)?;
    } else if cuda || earlier.as_deref() == Some(Path::new(CUDA)) {
        let stamp = package::stamp(CPU_WHEELS.iter().chain(&CUDA_WHEELS), &["all libraries"])?;
        store.part(CUDA, &stamp, |dir| cut_cuda(store, dir))?;
        point(workspace, &link, Path::new(CUDA))?;
    } else if earlier.as_deref() == Some(Path::new(CPU)) || check(&link).is_err() {
        store.part(CPU, &package::stamp(&CPU_WHEELS, &CPU_LIBRARIES)?, |dir| cut_cpu(store, dir))?;
        point(workspace, &link, Path::new(CPU))?;
    }
    check(&link)?;
    Ok(format!("{VERSION}, {}", fs::canonicalize(&link)?.display()))
}

/// The libtorch that the user named. Where the user names none, cargo's configuration sets LIBTORCH to our own link.
fn own_libtorch(link: &Path) -> Option<PathBuf> {
    let own = PathBuf::from(std::env::var_os("LIBTORCH").filter(|value| !value.is_empty())?);
    let folder = |path: &Path| path.parent().and_then(|parent| fs::canonicalize(parent).ok());
    let is_link = own.file_name() == link.file_name() && folder(&own) == folder(link);
    (!is_link).then_some(own)
}

/// Checks that a folder holds the right libtorch: headers of our version and the libraries to link.
fn check(dir: &Path) -> Result<()> {
    let header = dir.join("include/torch/headeronly/version.h");
    let text = fs::read_to_string(&header)
        .with_context(|| format!("{} holds no libtorch {VERSION}: cannot read {}", dir.display(), header.display()))?;
    let number = |part: &str| {
        let define = format!("#define TORCH_VERSION_{part} ");
        text.lines().find_map(|line| line.strip_prefix(&define)).unwrap_or("?").trim()
    };
    let version = format!("{}.{}.{}", number("MAJOR"), number("MINOR"), number("PATCH"));
    ensure!(version == VERSION, "{} holds libtorch {version}, {VERSION} is needed", dir.display());
    for library in ["libtorch.so", "libtorch_cpu.so", "libc10.so"] {
        let path = dir.join("lib").join(library);
        ensure!(path.exists(), "{} is missing", path.display());
    }
    Ok(())
}

/// Points the link elsewhere, atomically.
fn point(workspace: &Workspace, link: &Path, target: &Path) -> Result<()> {
    let earlier = fs::read_link(link).ok();
    if earlier.as_deref() == Some(target) {
        return Ok(());
    }
    ensure!(earlier.is_some() || !link.exists(), "{} is not a link of set-up; remove it", link.display());
    let new = link.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => bail!("cannot remove {}: {error}", new.display()),
        _ => {}
    }
    symlink(target, &new)
        .and_then(|()| fs::rename(&new, link))
        .with_context(|| format!("cannot make {}", link.display()))?;
    if earlier.is_some() {
        // Cargo sees the same path as before, so it would keep what was built for the other libtorch.
        for profile in ["dev", "release"] {
            run(workspace.cargo().args(["clean", "--quiet", "--package", "torch-sys", "--profile", profile]))?;
        }
    }
    Ok(())
}

/// Lays out a CPU build: only those of the torch wheel's libraries that run without a GPU.
fn cut_cpu(store: &Store, dir: &Path) -> Result<()> {
    for name in CPU_WHEELS {
        fetch(name)?.unpack(store, dir, |member| {
            place(member).filter(|path| {
                path.starts_with("include") || CPU_LIBRARIES.iter().any(|library| path.ends_with(library))
            })
        })?;
    }
    // The wheel's own libtorch.so holds nothing but its dependencies, the CUDA libraries among them.
    fs::write(dir.join("lib/libtorch.so"), "INPUT(libtorch_cpu.so)\n")?;
    finish(dir)
}

/// Lays out a CUDA build: all libraries in one folder, where they find each other ($ORIGIN is in their run paths).
fn cut_cuda(store: &Store, dir: &Path) -> Result<()> {
    for name in CPU_WHEELS.iter().chain(&CUDA_WHEELS) {
        fetch(name)?.unpack(store, dir, place)?;
    }
    finish(dir)
}

fn fetch(name: &str) -> Result<Package> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")),
        "libtorch is fetched for x86-64 Linux with glibc only; set LIBTORCH to a libtorch {VERSION} of your own"
    );
    Package::pinned(name)
}

/// Maps a member of a wheel to its path: torch's headers to `include`, shared libraries to `lib`, the rest to nothing.
fn place(member: &str) -> Option<PathBuf> {
    if let Some(header) = member.strip_prefix("torch/include/") {
        return Some(Path::new("include").join(header));
    }
    let (folder, name) = member.rsplit_once('/')?;
    let library = folder.ends_with("/lib") && name.contains(".so") && name != "libtorch_python.so";
    library.then(|| Path::new("lib").join(name))
}

/// Writes the file with which torch-sys checks the version.
fn finish(dir: &Path) -> Result<()> {
    fs::write(dir.join("build-version"), format!("{VERSION}\n")).context("cannot write build-version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_libraries_of_a_wheel_go_to_their_folders() {
        let to = |member| place(member).map(|path| path.display().to_string());
        assert_eq!(to("torch/include/c10/core/Device.h").as_deref(), Some("include/c10/core/Device.h"));
        assert_eq!(to("nvidia/cudnn/lib/libcudnn.so.9").as_deref(), Some("lib/libcudnn.so.9"));
        assert_eq!(to("nvidia/cu13/lib/libcudart_static.a"), None);
        assert_eq!(to("torch/lib/libshm/err.h"), None);
        assert_eq!(to("torch/lib/libtorch_python.so"), None);
    }

    #[test]
    fn all_wheels_are_pinned_and_torch_has_our_version() -> Result<()> {
        package::stamp(CPU_WHEELS.iter().chain(&CUDA_WHEELS), &[])?;
        assert_eq!(Package::pinned("torch")?.version, VERSION);
        Ok(())
    }

    #[test]
    fn only_a_complete_libtorch_of_the_right_version_passes() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let header = temp.path().join("include/torch/headeronly/version.h");
        let write_version = |minor| {
            let text = format!(
                "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR {minor}\n#define TORCH_VERSION_PATCH 0\n"
            );
            fs::write(&header, text)
        };
        let error = |dir: &Path| check(dir).map_or_else(|error| format!("{error:#}"), |()| String::new());
        assert!(error(temp.path()).contains("holds no libtorch"));

        fs::create_dir_all(header.parent().context("parent")?)?;
        write_version(9)?;
        assert!(error(temp.path()).contains("holds libtorch 2.9.0, 2.11.0 is needed"));

        write_version(11)?;
        assert!(error(temp.path()).ends_with("libtorch.so is missing"));

        fs::create_dir(temp.path().join("lib"))?;
        for library in ["libtorch.so", "libtorch_cpu.so", "libc10.so"] {
            fs::write(temp.path().join("lib").join(library), "")?;
        }
        assert_eq!(error(temp.path()), "");
        Ok(())
    }
}
