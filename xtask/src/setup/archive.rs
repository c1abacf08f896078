//! The archives that packages come in: wheels are zip files, sdists are gzipped tar files.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use zip::ZipArchive;

const NOTHING: &str = "it holds none of the expected files";

/// Writes each member that `place` maps to a path under `dest`.
pub(crate) fn unpack_zip(file: &Path, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(file)?))?;
    let mut found = false;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let path = place(&member.name()?);
        if let Some(path) = path.filter(|_| member.is_file()) {
            write(&mut member, &dest.join(path))?;
            found = true;
        }
    }
    ensure!(found, NOTHING);
    Ok(())
}

/// Does the same for a gzipped tar archive. Its one top folder is not part of the names that `place` gets.
pub(crate) fn unpack_tar_gz(file: &Path, dest: &Path, place: impl Fn(&str) -> Option<PathBuf>) -> Result<()> {
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(File::open(file)?)));
    let mut found = false;
    for member in archive.entries()? {
        let mut member = member?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let below = name.split_once('/').map_or("", |(_, below)| below);
        if let Some(path) = place(below).filter(|_| member.header().entry_type().is_file()) {
            write(&mut member, &dest.join(path))?;
            found = true;
        }
    }
    ensure!(found, NOTHING);
    Ok(())
}

fn write(member: &mut impl Read, path: &Path) -> Result<()> {
    let mut write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        io::copy(member, &mut File::create(path)?)
    };
    write().map(drop).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn members_of_an_sdist_are_named_without_its_top_folder() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let file = temp.path().join("a.tar.gz");
        let mut archive = tar::Builder::new(GzEncoder::new(File::create(&file)?, Compression::fast()));
        for (name, text) in [("a-1/setup.py", "exit(1)"), ("a-1/a/weights.ckpt", "numbers")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            archive.append_data(&mut header, name, text.as_bytes())?;
        }
        archive.into_inner()?.finish()?;

        let dest = temp.path().join("dest");
        let place = |member: &str| (member == "a/weights.ckpt").then(|| PathBuf::from("weights"));
        unpack_tar_gz(&file, &dest, place)?;
        assert_eq!(fs::read_to_string(dest.join("weights"))?, "numbers");
        assert_eq!(fs::read_dir(&dest)?.count(), 1);
        let nothing = unpack_tar_gz(&file, &dest, |_| None);
        assert_eq!(format!("{:#}", nothing.unwrap_err()), NOTHING);
        Ok(())
    }
}
