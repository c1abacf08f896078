//! Looking for videos in a folder and the folders in it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, DirEntry};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::input::frame_folder::is_image;
use crate::input::list::DatasetError;

/// What the files end in that ffmpeg reads as videos: containers, and streams of one codec without a container. Those
/// that mostly hold sound (ogg, mp4a) or that ffmpeg cannot read without being told the size (yuv) are not among them.
pub(crate) const EXTENSIONS: [&str; 61] = [
    "264", "265", "3g2", "3gp", "amv", "asf", "avi", "bik", "cine", "dav", "divx", "drc", "dv", "f4v", "flv", "gif",
    "gxf", "h264", "h265", "hevc", "ismv", "ivf", "m1v", "m2t", "m2ts", "m2v", "m4v", "mj2", "mjpeg", "mjpg", "mk3d",
    "mkv", "mov", "mp4", "mpe", "mpeg", "mpg", "mpv", "mts", "mxf", "nsv", "nut", "obu", "ogm", "ogv", "qt", "rm",
    "rmvb", "roq", "tod", "trp", "ts", "vob", "webm", "wmv", "wtv", "xmv", "y4m", "yop", "mqv", "vro",
];

/// Extensions that are named at most.
const NAMED: usize = 8;
/// The longest extension that is named.
const LONGEST: usize = 12;

/// Files that are no videos by their names, by their extensions in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    extensions: BTreeMap<String, usize>,
    hidden: usize,
}

impl LeftOut {
    /// Files and hidden folders.
    #[must_use]
    pub fn count(&self) -> usize {
        self.extensions.values().sum::<usize>() + self.hidden
    }

    /// Whether there was nothing but videos.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    fn add_all(&mut self, files: &Files) {
        files.others.iter().for_each(|file| self.add(file));
        self.hidden += files.hidden;
    }

    fn add(&mut self, path: &Path) {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let name = match extension {
            None => "without extension".to_owned(),
            Some(long) if long.len() > LONGEST || !long.chars().all(char::is_alphanumeric) => "others".to_owned(),
            Some(extension) => format!(".{extension}"),
        };
        *self.extensions.entry(name).or_default() += 1;
    }
}

impl fmt::Display for LeftOut {
    /// "left out: 4 files (.txt 2, .json 1, hidden 1)", the most frequent first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds: Vec<(&str, usize)> =
            self.extensions.iter().map(|(name, &count)| (name.as_str(), count)).collect();
        kinds.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let others: usize = kinds.drain(kinds.len().min(NAMED)..).map(|(_, count)| count).sum();
        kinds.extend([("others", others), ("hidden", self.hidden)].into_iter().filter(|&(_, count)| count > 0));
        let count = self.count();
        write!(f, "left out: {count} file{}", if count == 1 { "" } else { "s" })?;
        if kinds.is_empty() {
            return Ok(());
        }
        let kinds: Vec<String> = kinds.iter().map(|(name, count)| format!("{name} {count}")).collect();
        write!(f, " ({})", kinds.join(", "))
    }
}

/// The videos below `folder`, in no order, and what else there is.
pub(crate) fn videos(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let (mut videos, mut left_out) = (Vec::new(), LeftOut::default());
    walk(folder, |folder, mut files| {
        match files.videos.is_empty() && !files.images.is_empty() {
            true => videos.push(folder.to_owned()),
            // Such as pictures of videos, beside them.
            false => files.images.iter().for_each(|image| left_out.add(image)),
        }
        videos.append(&mut files.videos);
        left_out.add_all(&files);
    })?;
    Ok((videos, left_out))
}

/// The images below `folder`, each by itself, in no order, and what else there is.
pub(crate) fn images(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let (mut images, mut left_out) = (Vec::new(), LeftOut::default());
    walk(folder, |_, mut files| {
        images.append(&mut files.images);
        files.videos.iter().for_each(|video| left_out.add(video));
        left_out.add_all(&files);
    })?;
    Ok((images, left_out))
}

/// What is in one folder, but for the folders in it.
#[derive(Default)]
struct Files {
    videos: Vec<PathBuf>,
    images: Vec<PathBuf>,
    others: Vec<PathBuf>,
    /// Folders, and files that would be taken.
    hidden: usize,
}

/// Visits `folder` and the folders in it.
fn walk(folder: &Path, mut take: impl FnMut(&Path, Files)) -> Result<(), DatasetError> {
    let mut walk = Walk { linked: vec![folder.to_owned()], ..Walk::default() };
    while let Some(next) = walk.next_folder() {
        match walk.visit(&next) {
            Ok(Some(files)) => take(&next, files),
            Ok(None) => {}
            Err(source) => return Err(DatasetError::Folder { path: next, source }),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Walk {
    /// Folders to visit, in the order of their names ...
    folders: Vec<PathBuf>,
    /// ... and those that only a link leads to, after all others: what has a name without links goes by that one.
    linked: Vec<PathBuf>,
    /// Device and inode of each folder that was visited.
    visited: HashSet<(u64, u64)>,
}

impl Walk {
    fn next_folder(&mut self) -> Option<PathBuf> {
        if self.folders.is_empty() {
            self.linked.sort_by(|a, b| b.cmp(a));
            return self.linked.pop();
        }
        self.folders.pop()
    }

    /// What is in a folder; `None` if it was visited before.
    fn visit(&mut self, folder: &Path) -> std::io::Result<Option<Files>> {
        let metadata = fs::metadata(folder)?;
        if !self.visited.insert((metadata.dev(), metadata.ino())) {
            return Ok(None);
        }
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<DirEntry>, _>>()?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        let mut files = Files::default();
        for entry in entries {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_folder(&entry)? {
                match (is_hidden, entry.file_type()?.is_symlink()) {
                    (true, _) => files.hidden += 1,
                    (false, true) => self.linked.push(path),
                    (false, false) => self.folders.push(path),
                }
            } else if is_hidden {
                files.hidden += usize::from(is_video(&path) || is_image(&path));
            } else if is_video(&path) {
                files.videos.push(path);
            } else if is_image(&path) {
                files.images.push(path);
            } else {
                files.others.push(path);
            }
        }
        Ok(Some(files))
    }
}

/// Whether an entry is a folder or a link to one. A link to nothing is a file that is missing, and is named as such later.
fn is_folder(entry: &DirEntry) -> std::io::Result<bool> {
    let kind = entry.file_type()?;
    if !kind.is_symlink() {
        return Ok(kind.is_dir());
    }
    match fs::metadata(entry.path()) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_video(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::input::list::find_videos;

    /// A folder with these empty files.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let list = find_videos(folder).unwrap();
        list.videos.iter().map(|path| path.strip_prefix(&list.root).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_folder_that_links_lead_to_again_is_visited_once_by_its_own_name() {
        let folder = folder(&["v.mp4", "z/w.mp4"]);
        symlink(".", folder.path().join("self")).unwrap();
        symlink("z", folder.path().join("a")).unwrap();
        symlink("..", folder.path().join("z/up")).unwrap();
        let outside = self::folder(&["x.mp4"]);
        symlink(outside.path(), folder.path().join("linked")).unwrap();
        symlink(outside.path(), folder.path().join("linked-too")).unwrap();
        assert_eq!(names(folder.path()), ["linked/x.mp4", "v.mp4", "z/w.mp4"]);
    }

    #[test]
    fn hidden_folders_and_files_are_left_out() {
        let folder = folder(&["a.mp4", ".trash/b.mp4", "c/.git/d.mp4", "c/._e.mp4", ".vidtok-index.jsonl"]);
        let list = find_videos(folder.path()).unwrap();
        assert_eq!(list.videos, [folder.path().join("a.mp4")]);
        assert_eq!(list.left_out.to_string(), "left out: 3 files (hidden 3)");
    }

    #[test]
    fn containers_are_known_whatever_the_case_of_their_extension() {
        let files =
            ["a.mp4", "b.flv", "c.3gp", "d.wmv", "e.MTS", "f.M2ts", "g.vob", "h.ogv", "i.asf", "j.mxf", "k.MPG"];
        assert_eq!(names(folder(&files).path()), files);
    }

    #[test]
    fn no_extension_is_listed_twice() {
        assert_eq!(EXTENSIONS.iter().collect::<HashSet<_>>().len(), EXTENSIONS.len());
    }

    #[test]
    fn what_is_left_out_is_counted_by_extension() {
        let folder =
            folder(&["a.mp4", "b.txt", "c/d.TXT", "e.json", "README", "odd.e\u{301}\u{1b}[m", "f.mp3", "a.jpg"]);
        let list = find_videos(folder.path()).unwrap();
        assert_eq!(list.videos.len(), 1);
        let told = list.left_out.to_string();
        assert_eq!(told, "left out: 7 files (.txt 2, .jpg 1, .json 1, .mp3 1, others 1, without extension 1)");
        assert!(LeftOut::default().is_empty());
    }

    #[test]
    fn a_folder_without_videos_is_an_error_that_tells_what_it_holds() {
        let folder = folder(&["a.txt", "b/c.txt"]);
        let message = find_videos(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("no videos in it; left out: 2 files (.txt 2)") && message.contains("mp4"),
            "{message}"
        );
    }

    #[test]
    fn folders_of_images_are_clips_unless_they_hold_videos() {
        let folder =
            folder(&["a/000001.png", "a/000002.png", "b/1.JPG", "b/notes.txt", "c/v.mp4", "c/v.jpg", "top.mkv"]);
        let list = find_videos(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["a", "b", "c/v.mp4", "top.mkv"]);
        assert_eq!(list.left_out.to_string(), "left out: 2 files (.jpg 1, .txt 1)");
        // Alone, the folder has a name in its parent.
        assert_eq!(names(&folder.path().join("a")), ["a"]);
    }

    #[test]
    fn images_may_each_be_taken_by_itself() {
        let folder = folder(&["a/2.png", "a/1.jpg", "v.mp4", "top.PNG"]);
        let list = crate::find_images(folder.path()).unwrap();
        assert_eq!(list.videos, ["a/1.jpg", "a/2.png", "top.PNG"].map(|name| folder.path().join(name)));
        assert_eq!(list.left_out.to_string(), "left out: 1 file (.mp4 1)");
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        fs::remove_file(folder.path().join("top.PNG")).unwrap();
        assert!(crate::find_images(folder.path()).unwrap_err().to_string().contains("no images in it"));
    }

    #[test]
    fn the_documented_extensions_are_those_that_are_taken() {
        let documented = include_str!("../../../../docs/DATA_FOLDERS.md");
        let rows = documented.lines().skip_while(|line| !line.contains("| extensions |")).skip(2);
        let cells = rows.map_while(|row| row.trim().strip_prefix("| ")?.split(" | ").nth(1));
        let mut listed: Vec<&str> = cells.flat_map(|cell| cell.trim_end_matches(" |").split(' ')).collect();
        listed.sort_unstable();
        let mut taken = EXTENSIONS;
        taken.sort_unstable();
        assert_eq!(listed, taken);
    }

    #[test]
    fn names_that_are_not_utf8_and_links_to_nothing_are_listed() {
        use std::os::unix::ffi::OsStrExt;
        let folder = folder(&["good.mp4"]);
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff.mp4"));
        fs::write(&odd, "").unwrap();
        symlink("nowhere", folder.path().join("gone.mp4")).unwrap();
        symlink("round.mp4", folder.path().join("round.mp4")).unwrap();
        let list = find_videos(folder.path()).unwrap();
        let expected =
            [odd, folder.path().join("gone.mp4"), folder.path().join("good.mp4"), folder.path().join("round.mp4")];
        assert_eq!(list.videos, expected);
    }
}
