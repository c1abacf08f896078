//! The OpenMP runtimes of this process.

use std::path::PathBuf;

use crate::runtime::loaded::loaded_libraries;

/// The OpenMP runtimes that are loaded into this process, sorted (`proc_pid_maps(5)`). Empty on systems without
/// `/proc/self/maps`.
///
/// There should be exactly one. libtorch may load its own besides the one that this program is linked to: each then
/// starts one thread per core, the threads compete, and such programs have crashed.
#[must_use]
pub fn openmp_runtimes() -> Vec<PathBuf> {
    loaded_libraries(is_runtime)
}

/// Whether a file name is that of GNU's, LLVM's or Intel's runtime. Python packages add a hash:
/// `libgomp-a34b3233.so.1`.
fn is_runtime(name: &str) -> bool {
    let names = ["libgomp", "libomp", "libiomp5"];
    name.contains(".so")
        && names.iter().any(|known| name.strip_prefix(known).is_some_and(|rest| rest.starts_with(['.', '-'])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::loaded::among;

    #[test]
    fn each_mapped_runtime_is_listed_once() {
        let maps = "\
            5500-5600 r--p 00000000 08:01 11                         /usr/bin/vidtok\n\
            7000-7100 r--p 00000000 08:01 42                         /usr/lib/libgomp.so.1.0.0\n\
            7100-7200 r-xp 00001000 08:01 42                         /usr/lib/libgomp.so.1.0.0\n\
            7200-7300 r-xp 00001000 08:01 43                         /opt/my torch/libgomp-a34b3233.so.1\n\
            7300-7400 r-xp 00001000 08:01 44                         /opt/intel/libiomp5.so\n\
            7400-7500 r-xp 00001000 08:01 45                         /opt/libompstub.so\n\
            7500-7600 rw-p 00000000 00:00 0                          [heap]\n\
            7600-7700 rw-p 00000000 00:00 0\n";
        let expected = ["/opt/intel/libiomp5.so", "/opt/my torch/libgomp-a34b3233.so.1", "/usr/lib/libgomp.so.1.0.0"];
        assert_eq!(among(maps, is_runtime), expected.map(PathBuf::from));
        assert!(among("", is_runtime).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_a_runtime() {
        assert!(!openmp_runtimes().is_empty());
    }
}
