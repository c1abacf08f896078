//! Finding videos and images in a folder and its subfolders.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::input::extensions::{is_image, is_video};
use crate::input::left_out::LeftOut;
use crate::input::list_error::DatasetError;
use crate::parallel::map;

/// The videos below `folder`, in no particular order, and the other files.
pub(crate) fn videos(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let (mut videos, mut left_out) = (Vec::new(), LeftOut::default());
    walk(folder, |folder, mut files| {
        match files.videos.is_empty() && !files.images.is_empty() {
            true => videos.push(folder.to_owned()),
            // Images beside videos are thumbnails or the like, not frames.
            false => files.images.iter().for_each(|image| left_out.add(image)),
        }
        videos.append(&mut files.videos);
        files.others.iter().for_each(|file| left_out.add(file));
        left_out.add_hidden(files.hidden);
    })?;
    Ok((videos, left_out))
}

/// The images below `folder`, each on its own, in no particular order, and the other files.
pub(crate) fn images(folder: &Path) -> Result<(Vec<PathBuf>, LeftOut), DatasetError> {
    let (mut images, mut left_out) = (Vec::new(), LeftOut::default());
    walk(folder, |_, mut files| {
        images.append(&mut files.images);
        files.videos.iter().for_each(|video| left_out.add(video));
        files.others.iter().for_each(|file| left_out.add(file));
        left_out.add_hidden(files.hidden);
    })?;
    Ok((images, left_out))
}

/// The contents of one folder, without its subfolders.
struct Listing {
    /// Device and inode of the folder.
    id: (u64, u64),
    files: Files,
    /// Subfolders that are not links.
    folders: Vec<PathBuf>,
    /// Links to folders.
    linked: Vec<PathBuf>,
}

/// The files of one folder.
#[derive(Default)]
struct Files {
    videos: Vec<PathBuf>,
    images: Vec<PathBuf>,
    others: Vec<PathBuf>,
    /// Hidden folders, and hidden files that would otherwise be videos or images.
    hidden: usize,
}

/// Calls `take` with `folder` and each folder below it, once each. Folders of equal depth are read in parallel.
///
/// Links are followed last, in the order of their names, so that a folder goes by its own path if it has one.
fn walk(folder: &Path, mut take: impl FnMut(&Path, Files)) -> Result<(), DatasetError> {
    let mut visited = HashSet::new();
    let mut folders = vec![folder.to_owned()];
    let mut linked = Vec::new();
    while !folders.is_empty() {
        let listings = map(folders, |folder| (Listing::read(&folder), folder));
        folders = Vec::new();
        for (listing, path) in listings {
            let listing = listing.map_err(|source| DatasetError::Folder { path: path.clone(), source })?;
            if visited.insert(listing.id) {
                take(&path, listing.files);
                folders.extend(listing.folders);
                linked.extend(listing.linked);
            }
        }
        if folders.is_empty() {
            linked.sort_by(|a: &PathBuf, b| b.cmp(a));
            folders.extend(linked.pop());
        }
    }
    Ok(())
}

impl Listing {
    fn read(folder: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(folder)?;
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<DirEntry>, _>>()?;
        entries.sort_by_key(DirEntry::file_name);
        let id = (metadata.dev(), metadata.ino());
        let mut listing = Self { id, files: Files::default(), folders: Vec::new(), linked: Vec::new() };
        let files = &mut listing.files;
        for entry in entries {
            let path = entry.path();
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_folder(&entry)? {
                match (is_hidden, entry.file_type()?.is_symlink()) {
                    (true, _) => files.hidden += 1,
                    (false, true) => listing.linked.push(path),
                    (false, false) => listing.folders.push(path),
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
        Ok(listing)
    }
}

/// Whether an entry is a folder or a link to one. A broken link counts as a file, which is reported as missing later.
fn is_folder(entry: &DirEntry) -> io::Result<bool> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::input::extensions::VIDEOS;
    use crate::input::list::find_videos;

    /// A folder that contains these empty files.
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
    fn a_folder_with_several_links_is_visited_once_under_its_own_name() {
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
    fn extensions_are_recognised_in_any_case() {
        let files =
            ["a.mp4", "b.flv", "c.3gp", "d.wmv", "e.MTS", "f.M2ts", "g.vob", "h.ogv", "i.asf", "j.mxf", "k.MPG"];
        assert_eq!(names(folder(&files).path()), files);
    }

    #[test]
    fn extensions_are_unique() {
        assert_eq!(VIDEOS.iter().collect::<HashSet<_>>().len(), VIDEOS.len());
    }

    #[test]
    fn files_left_out_are_counted_by_extension() {
        let folder =
            folder(&["a.mp4", "b.txt", "c/d.TXT", "e.json", "README", "odd.e\u{301}\u{1b}[m", "f.mp3", "a.jpg"]);
        let list = find_videos(folder.path()).unwrap();
        assert_eq!(list.videos.len(), 1);
        let text = list.left_out.to_string();
        assert_eq!(text, "left out: 7 files (.txt 2, .jpg 1, .json 1, .mp3 1, others 1, without extension 1)");
        assert!(LeftOut::default().is_empty());
    }

    #[test]
    fn a_folder_without_videos_is_an_error_that_lists_its_contents() {
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
        // A folder of frames that is the whole data set is named within its parent.
        assert_eq!(names(&folder.path().join("a")), ["a"]);
    }

    #[test]
    fn images_can_be_listed_one_by_one() {
        let folder = folder(&["a/2.png", "a/1.jpg", "v.mp4", "top.PNG"]);
        let list = crate::find_images(folder.path()).unwrap();
        assert_eq!(list.videos, ["a/1.jpg", "a/2.png", "top.PNG"].map(|name| folder.path().join(name)));
        assert_eq!(list.left_out.to_string(), "left out: 1 file (.mp4 1)");
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        fs::remove_file(folder.path().join("top.PNG")).unwrap();
        assert!(crate::find_images(folder.path()).unwrap_err().to_string().contains("no images in it"));
    }

    #[test]
    fn the_documented_extensions_are_the_recognised_ones() {
        let documented = include_str!("../../../../docs/DATA_FOLDERS.md");
        let rows = documented.lines().skip_while(|line| !line.contains("| extensions |")).skip(2);
        let cells = rows.map_while(|row| row.trim().strip_prefix("| ")?.split(" | ").nth(1));
        let mut listed: Vec<&str> = cells.flat_map(|cell| cell.trim_end_matches(" |").split(' ')).collect();
        listed.sort_unstable();
        let mut taken = VIDEOS;
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
