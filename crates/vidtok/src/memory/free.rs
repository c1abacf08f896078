//! The memory that this process holds and that the machine has free.

use std::fs;
use std::path::{Component, Path};

use tch::Device;
use vidtok_torch::free_device_memory;

/// The file system of control groups, and the groups of this process (`cgroups(7)`).
const GROUPS: &str = "/sys/fs/cgroup";
const MEMBERSHIP: &str = "/proc/self/cgroup";

/// Resident memory of this process, in bytes (`proc_pid_status(5)`); `None` if the system does not report it.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmRSS:")
}

/// Free memory of a device, in bytes; `None` if the system does not report it.
///
/// On the CPU, this is the memory that is available without swapping (`proc_meminfo(5)`), or what the tightest control
/// group of the process leaves, if that is less. Both versions of control groups are supported.
#[must_use]
pub fn free_bytes(device: Device) -> Option<u64> {
    if device != Device::Cpu {
        return free_device_memory(device);
    }
    let system = kibibytes("/proc/meminfo", "MemAvailable:")?;
    let membership = fs::read_to_string(MEMBERSHIP).unwrap_or_default();
    Some(left_in_groups(Path::new(GROUPS), &membership).map_or(system, |left| left.min(system)))
}

/// The memory budget if nobody sets one: what this process may hold if it takes nearly all free memory, in bytes; on a
/// GPU, beside what is already there. `None` if the system does not report its memory.
#[must_use]
pub fn default_budget(device: Device) -> Option<u64> {
    let held = if device == Device::Cpu { resident_bytes().unwrap_or(0) } else { 0 };
    free_bytes(device).map(|free| free / 10 * 9 + held)
}

/// The files of a version of control groups: the limit, the usage, and the entry of `memory.stat` for cached files, which
/// the system drops before it refuses memory.
struct Version {
    limit: &'static str,
    usage: &'static str,
    droppable: &'static str,
}

const V1: Version =
    Version { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes", droppable: "total_inactive_file " };
const V2: Version = Version { limit: "memory.max", usage: "memory.current", droppable: "inactive_file " };

/// The memory that the control groups of a process leave, in bytes: the minimum over its groups and their ancestors; `None`
/// if none has a limit. `membership` is the text of `/proc/PID/cgroup`.
fn left_in_groups(groups: &Path, membership: &str) -> Option<u64> {
    let hierarchies = membership.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        match (id, controllers) {
            ("0", "") => Some((V2, groups.to_owned(), path)),
            _ if controllers.split(',').any(|name| name == "memory") => Some((V1, groups.join("memory"), path)),
            _ => None,
        }
    });
    let lefts = hierarchies.filter_map(|(version, root, path)| {
        // A path with .. leaves the part that this process can see; then only the root remains.
        let path = Path::new(path.trim_start_matches('/'));
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        let path = if is_inside { path } else { Path::new("") };
        path.ancestors().filter_map(|group| left_in_group(&root.join(group), &version)).min()
    });
    lefts.min()
}

/// The memory that one group leaves; `None` if it does not exist or has no limit.
fn left_in_group(group: &Path, version: &Version) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, usage) = (number(version.limit)?, number(version.usage)?);
    let stat = read("memory.stat").unwrap_or_default();
    let droppable = stat.lines().find_map(|line| line.strip_prefix(version.droppable)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(usage.saturating_sub(droppable.unwrap_or(0))))
}

fn kibibytes(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of control groups with these files.
    fn groups(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn the_tightest_control_group_around_a_process_is_the_limit() {
        let tree = groups(&[
            ("memory.max", "max\n"),
            ("memory.current", "5000\n"),
            ("a/memory.max", "1000\n"),
            ("a/memory.current", "900\n"),
            ("a/memory.stat", "anon 500\nactive_file 100\ninactive_file 300\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "100\n"),
            ("a/b/c/memory.max", "700\n"),
            ("a/b/c/memory.current", "50\n"),
            ("a/b/d/memory.max", "600\n"),
            ("a/b/d/memory.current", "900\n"),
        ]);
        let left = |membership: &str| left_in_groups(tree.path(), membership);
        assert_eq!(left("0::/\n"), None);
        assert_eq!(left("0::/a/b/c\n"), Some(400), "the limit of a, without cached files");
        assert_eq!(left("0::/a/b/d\n"), Some(0), "not negative");
        assert_eq!(left("0::/a/elsewhere/c\n"), Some(400), "groups that do not exist are ignored");
        assert_eq!(left("0::/../a\n"), None);
        assert_eq!(left(""), None);
    }

    #[test]
    fn control_groups_of_version_1_are_a_limit_too() {
        let tree = groups(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory/memory.usage_in_bytes", "5000\n"),
            ("memory/job/memory.limit_in_bytes", "3000\n"),
            ("memory/job/memory.usage_in_bytes", "1000\n"),
            ("memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 200\n"),
            ("cpu/job/memory.limit_in_bytes", "1\n"),
            ("cpu/job/memory.usage_in_bytes", "1\n"),
        ]);
        let membership = "12:cpu,cpuacct:/job\n4:blkio,memory:/job\n1:name=systemd:/\n0::/job\n";
        assert_eq!(left_in_groups(tree.path(), membership), Some(2200));
        assert_eq!(left_in_groups(tree.path(), "12:cpu,cpuacct:/job\n"), None);
    }

    #[test]
    fn the_machine_reports_free_and_resident_memory() {
        assert!(free_bytes(Device::Cpu).is_some_and(|bytes| bytes > 1 << 20));
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
