//! The libraries that this process has loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The mapped files whose names pass, sorted (`proc_pid_maps(5)`). Empty on systems without `/proc/self/maps`.
pub(crate) fn loaded_libraries(is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    among(&fs::read_to_string("/proc/self/maps").unwrap_or_default(), is_wanted)
}

/// A file that is mapped under two names counts once.
pub(crate) fn among(maps: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let files = maps.lines().filter_map(|line| {
        // Addresses, permissions, offset, device, inode, and a path that may contain spaces.
        let (device, rest) = line.splitn(4, ' ').nth(3)?.split_once(' ')?;
        let (inode, path) = rest.split_once(' ')?;
        let path = PathBuf::from(path.trim_start());
        is_wanted(path.file_name()?.to_str()?).then_some(((device, inode), path))
    });
    let mut paths: Vec<PathBuf> = files.collect::<BTreeMap<_, _>>().into_values().collect();
    paths.sort();
    paths
}
