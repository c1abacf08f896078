//! Where a libtorch may be, and what to tell a user whose build has not named one.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that tch 0.24 is written for.
pub(crate) const VERSION: &str = "2.11.0";

/// Prints the folder of Python's torch. Importing torch would take seconds.
const PYTHON: &str = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])";

/// What the build needs before torch-sys runs: one line that says what is wrong and what to do about it.
pub(crate) fn check(
    variable: impl Fn(&str) -> Option<OsString>,
    candidates: impl FnOnce() -> Vec<PathBuf>,
) -> Result<(), String> {
    if variable("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(());
    }
    let Some(libtorch) = variable("LIBTORCH") else {
        let found = candidates().into_iter().find(|folder| version(folder).as_deref() == Some(VERSION));
        return Err(advice(found.as_deref()));
    };
    let apart = ["LIBTORCH_INCLUDE", "LIBTORCH_LIB"].into_iter().any(|name| variable(name).is_some());
    match version(Path::new(&libtorch)) {
        _ if apart || variable("LIBTORCH_BYPASS_VERSION_CHECK").is_some() => Ok(()),
        Some(version) if version == VERSION => Ok(()),
        Some(version) => Err(format!("LIBTORCH={} is version {version}; VidTok needs {VERSION}", libtorch.display())),
        None => Err(format!(
            "LIBTORCH={} holds no libtorch; it must name the folder with its `include` and `lib`",
            libtorch.display()
        )),
    }
}

/// The folders to look in, nearest first: `.deps/libtorch` of each start and of the folders around it, then Python's
/// torch.
pub(crate) fn candidates(starts: &[PathBuf]) -> Vec<PathBuf> {
    let around = starts.iter().flat_map(|start| start.ancestors());
    around.map(|folder| folder.join(".deps/libtorch")).chain(python()).collect()
}

fn python() -> Option<PathBuf> {
    let output = Command::new("python3").args(["-c", PYTHON]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// The version that a libtorch's headers state; none where `folder` holds no headers.
fn version(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("include/torch/headeronly/version.h")).ok()?;
    let number = |part: &str| {
        let define = format!("#define TORCH_VERSION_{part} ");
        text.lines().find_map(|line| line.strip_prefix(&define)).map(str::trim)
    };
    Some([number("MAJOR")?, number("MINOR")?, number("PATCH")?].join("."))
}

fn advice(found: Option<&Path>) -> String {
    match found {
        Some(folder) => {
            let folder = folder.display();
            format!(
                "LIBTORCH is not set; write these two lines to .cargo/config.toml to use the libtorch in {folder}:   \
                 env.LIBTORCH = \"{folder}\"   \
                 build.rustflags = [\"-C\", \"link-arg=-Wl,-rpath,{folder}/lib\"]"
            )
        }
        None => format!(
            "LIBTORCH is not set and no libtorch {VERSION} is in .deps/libtorch or in Python; run `pip install \
             torch=={VERSION}` and build again for the lines that .cargo/config.toml needs, or set LIBTORCH to the \
             folder of an unpacked libtorch {VERSION}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the build's own temporary files with headers of a version in it.
    fn libtorch(name: &str, version: [u32; 3]) -> PathBuf {
        let folder = Path::new(env!("OUT_DIR")).join(name);
        let header = folder.join("include/torch/headeronly/version.h");
        fs::create_dir_all(header.parent().unwrap()).unwrap();
        let [major, minor, patch] = version;
        let text = format!(
            "#define TORCH_VERSION_MAJOR {major}\n#define TORCH_VERSION_MINOR {minor}\n#define TORCH_VERSION_PATCH \
             {patch}\n"
        );
        fs::write(header, text).unwrap();
        folder
    }

    fn error(variables: &[(&str, &Path)], candidates: Vec<PathBuf>) -> String {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, path)| path.into());
        check(variable, || candidates).err().unwrap_or_default()
    }

    #[test]
    fn a_named_libtorch_of_the_right_version_passes() {
        let [right, old] = [libtorch("named", [2, 11, 0]), libtorch("named_old", [2, 9, 1])];
        assert_eq!(error(&[("LIBTORCH", &right)], Vec::new()), "");
        assert_eq!(error(&[("LIBTORCH_USE_PYTORCH", Path::new("1"))], Vec::new()), "");
        assert!(error(&[("LIBTORCH", &old)], Vec::new()).ends_with("is version 2.9.1; VidTok needs 2.11.0"));
        assert_eq!(error(&[("LIBTORCH", &old), ("LIBTORCH_BYPASS_VERSION_CHECK", Path::new("1"))], Vec::new()), "");
        assert!(error(&[("LIBTORCH", Path::new("none"))], Vec::new()).starts_with("LIBTORCH=none holds no libtorch"));
    }

    #[test]
    fn a_libtorch_that_is_found_is_advised_in_one_line() {
        let [right, old] = [libtorch("found", [2, 11, 0]), libtorch("found_old", [2, 9, 1])];
        let advice = error(&[], vec![old.clone(), right.clone()]);
        for line in [
            format!("env.LIBTORCH = \"{}\"", right.display()),
            format!("build.rustflags = [\"-C\", \"link-arg=-Wl,-rpath,{}/lib\"]", right.display()),
        ] {
            assert!(advice.contains(&line), "{advice}");
        }
        let advice = error(&[], vec![old]);
        assert!(advice.contains("pip install torch==2.11.0"), "{advice}");
        assert!(!advice.contains('\n'), "{advice}");
    }

    #[test]
    fn folders_around_a_project_are_searched() {
        let found = candidates(&[PathBuf::from("/a/target/debug")]);
        assert_eq!(found[1], Path::new("/a/target/.deps/libtorch"));
        assert!(found.contains(&PathBuf::from("/a/.deps/libtorch")));
    }
}
