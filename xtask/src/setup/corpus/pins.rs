//! The table `corpus.txt`: packages pinned to one file each, and which files of them are gathered.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

const TABLE: &str = include_str!("../corpus.txt");

/// Where a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registry {
    Debian,
    /// The source archive in one folder with `binary`, a package built from it.
    DebianSource {
        binary: &'static str,
    },
    PyPi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Photo,
    Video,
}

impl Kind {
    /// The folder of the corpus.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Photo => "photos",
            Self::Video => "videos",
        }
    }
}

/// A package, pinned to one file, and the files that are taken from it.
pub(super) struct Pin {
    pub(super) registry: Registry,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
    /// The block of the table.
    pub(super) text: &'static str,
    rules: Vec<Rule>,
    without: Vec<&'static str>,
}

/// Files of one kind, licence and author.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    pub(super) licence: &'static str,
    pub(super) credit: &'static str,
    pattern: &'static str,
}

/// All packages of the table.
pub(super) fn all() -> Result<Vec<Pin>> {
    blocks().map(|text| Pin::parse(text).with_context(|| format!("corpus.txt: {text}"))).collect()
}

fn blocks() -> impl Iterator<Item = &'static str> {
    TABLE.split("\n\n").map(str::trim).filter(|block| !block.is_empty() && !block.starts_with('#'))
}

impl Pin {
    fn parse(text: &'static str) -> Result<Self> {
        let (first, rest) = text.split_once('\n').context("no files")?;
        let (registry, name, version, sha256) = match first.split(' ').collect::<Vec<_>>()[..] {
            ["debian", name, version, sha256] => (Registry::Debian, name, version, sha256),
            ["debian-source", name, version, sha256, binary] => {
                (Registry::DebianSource { binary }, name, version, sha256)
            }
            ["pypi", name, version, sha256] => (Registry::PyPi, name, version, sha256),
            _ => bail!("no package in the first line"),
        };
        let mut pin = Self { registry, name, version, sha256, text, rules: Vec::new(), without: Vec::new() };
        let (mut licence, mut credit) = ("", "");
        for line in rest.lines() {
            let (word, value) = line.split_once(' ').with_context(|| format!("no value: {line}"))?;
            let kind = match word {
                "licence" => {
                    (licence, credit) = (value, "");
                    continue;
                }
                "credit" => {
                    credit = value;
                    continue;
                }
                "without" => {
                    pin.without.push(value);
                    continue;
                }
                "photo" => Kind::Photo,
                "video" => Kind::Video,
                _ => bail!("unknown word: {line}"),
            };
            ensure!(!licence.is_empty() && !credit.is_empty(), "no licence or no credit: {line}");
            pin.rules.push(Rule { kind, licence, credit, pattern: value });
        }
        Ok(pin)
    }

    /// The rule that takes the file at this path in the package.
    pub(super) fn rule(&self, path: &str) -> Option<&Rule> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let left_out = self.without.iter().any(|pattern| matches(pattern, name));
        self.rules.iter().find(|rule| !left_out && matches(rule.pattern, path))
    }

    /// The files that rules take, of all at these paths in the package, with their places in the corpus. Every rule
    /// must take one.
    pub(super) fn select<'a>(&'a self, paths: &'a [String]) -> Result<Vec<(&'a str, &'a Rule, PathBuf)>> {
        let taken: Vec<_> = paths.iter().filter_map(|path| Some((path.as_str(), self.rule(path)?))).collect();
        if let Some(idle) = self.rules.iter().find(|rule| taken.iter().all(|(_, by)| by != rule)) {
            bail!("it has no file {}", idle.pattern);
        }
        let place = |&(path, rule): &(&'a str, &'a Rule)| {
            let same_name = |length| taken.iter().filter(|(other, _)| end(other, length) == end(path, length)).count();
            let name =
                (1..=path.split('/').count()).find(|&length| same_name(length) == 1).map(|length| end(path, length));
            let name = format!("{}__{}", self.name, name.with_context(|| format!("it has {path} twice"))?);
            let place = Path::new(rule.kind.folder()).join(name);
            Ok((path, rule, if rule.kind == Kind::Photo { place.with_extension("jpg") } else { place }))
        };
        taken.iter().map(place).collect()
    }
}

/// The last parts of a path, as a file name.
fn end(path: &str, length: usize) -> String {
    let parts: Vec<_> = path.split('/').collect();
    parts[parts.len().saturating_sub(length)..].join("_")
}

/// Whether a path fits a pattern, in which `*` stands for any characters but slashes.
fn matches(pattern: &str, path: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == path };
    let Some(rest) = path.strip_prefix(before) else { return false };
    let stop = rest.find('/').unwrap_or(rest.len());
    (0..=stop).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const BLOCK: &str = "\
debian p 1 0
licence MIT
credit A
photo a/*/*.png
credit B
video *.avi
licence CC0-1.0
credit C
photo c.jpg
without bad*";

    #[test]
    fn every_package_is_pinned_once_to_a_version_and_a_hash() -> Result<()> {
        let mut names = HashSet::new();
        for pin in all()? {
            assert!(names.insert(pin.name), "{} is listed twice", pin.name);
            assert!(pin.version.starts_with(|c: char| c.is_ascii_digit()), "{}", pin.text);
            assert!(pin.sha256.len() == 64 && pin.sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{}", pin.text);
            assert!(!pin.rules.is_empty(), "{}", pin.text);
        }
        assert!(names.len() > 20);
        Ok(())
    }

    #[test]
    fn clips_on_which_models_are_judged_are_not_gathered() {
        // Also under the names of their packages in Debian: pytorch-vision, libopenshot, python3-openshot.
        for block in blocks() {
            for reserved in ["torchvision", "pytorch-vision", "openshot"] {
                assert!(!block.to_ascii_lowercase().contains(reserved), "{block}");
            }
        }
    }

    #[test]
    fn every_licence_permits_copies_and_changes() -> Result<()> {
        let free = ["CC0-", "CC-BY-2", "CC-BY-4", "CC-BY-SA-", "GPL-", "LGPL-", "GFDL-", "BSD-", "MIT"];
        for rule in all()?.iter().flat_map(|pin| &pin.rules) {
            for licence in rule.licence.split(' ').filter(|word| !["AND", "OR"].contains(word)) {
                let known =
                    licence == "LicenseRef-public-domain" || free.iter().any(|prefix| licence.starts_with(prefix));
                assert!(known, "{licence}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_star_stands_for_characters_within_a_folder() {
        assert!(matches("a/*.jpg", "a/b.jpg") && matches("a/*/*.jpg", "a/b/c.jpg") && matches("a/*", "a/ü"));
        assert!(matches("a*b*b", "aübb") && matches("a*", "a"));
        for path in ["a/b/c.jpg", "b/a/b.jpg", "a/b.jpg.txt", "a/b.png"] {
            assert!(!matches("a/*.jpg", path), "{path}");
        }
    }

    #[test]
    fn a_block_says_which_files_are_taken_and_what_they_are_called() -> Result<()> {
        let pin = Pin::parse(BLOCK)?;
        let paths = ["a/x/1.png", "a/y/1.png", "a/y/2.png", "a/y/bad.png", "c.jpg", "m.avi", "n.txt"].map(String::from);
        let taken = pin.select(&paths)?;
        let places: Vec<_> = taken.iter().map(|(_, _, place)| place.to_str().unwrap()).collect();
        assert_eq!(
            places,
            ["photos/p__x_1.jpg", "photos/p__y_1.jpg", "photos/p__2.jpg", "photos/p__c.jpg", "videos/p__m.avi"]
        );
        let told: Vec<_> = taken.iter().map(|(_, rule, _)| (rule.licence, rule.credit)).collect();
        assert_eq!(told, [("MIT", "A"), ("MIT", "A"), ("MIT", "A"), ("CC0-1.0", "C"), ("MIT", "B")]);
        assert_eq!(pin.select(&paths[..5]).unwrap_err().to_string(), "it has no file *.avi");

        for broken in
            ["debian p 1 0", "npm p 1 0\nphoto a", "debian p 1 0\nphoto a", "debian p 1 0\nlicence MIT\nphoto a"]
        {
            assert!(Pin::parse(broken).is_err(), "{broken}");
        }
        Ok(())
    }
}
