//! What criterion writes: for each bench a folder, and in it for each run a folder with `benchmark.json` (the bench's
//! name) and `estimates.json` (its times).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The median time of each bench, by its name.
pub(super) type Medians = BTreeMap<String, Duration>;

#[derive(Deserialize)]
struct Benchmark {
    full_id: String,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    /// In nanoseconds.
    point_estimate: f64,
}

/// Those of the run `name` anywhere below `folder`, as far as they were written after `since`. None if there is no such
/// folder.
pub(super) fn read(folder: &Path, name: &str, since: SystemTime) -> Result<Medians> {
    let mut medians = Medians::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(medians),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    for entry in entries {
        let path = entry.with_context(|| folder.display().to_string())?.path();
        if path.ends_with(name) {
            let times = path.join("estimates.json");
            let written = times.metadata().and_then(|metadata| metadata.modified());
            if written.is_ok_and(|written| written >= since) {
                let Benchmark { full_id } = json(&path.join("benchmark.json"))?;
                let Estimates { median } = json(&times)?;
                let _ = medians.insert(full_id, Duration::from_secs_f64(median.point_estimate / 1e9));
            }
        } else if path.is_dir() {
            medians.extend(read(&path, name, since)?);
        }
    }
    Ok(medians)
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    serde_json::from_reader(BufReader::new(file)).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of a bench as criterion leaves it.
    fn write(folder: &Path, bench: &str, run: &str, nanoseconds: f64) {
        let folder = folder.join(bench.replace('/', "_")).join(run);
        fs::create_dir_all(&folder).unwrap();
        let estimate = |value: f64| format!(r#"{{"confidence_interval": {{}}, "point_estimate": {value}}}"#);
        let estimates = format!(r#"{{"mean": {}, "median": {}}}"#, estimate(1.0), estimate(nanoseconds));
        fs::write(folder.join("estimates.json"), estimates).unwrap();
        fs::write(folder.join("benchmark.json"), format!(r#"{{"group_id": "g", "full_id": "{bench}"}}"#)).unwrap();
    }

    #[test]
    fn runs_of_one_name_are_read_by_the_names_of_their_benches() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "conv2d/4x4", "new", 2000.0);
        write(folder.path(), "conv2d/4x4", "main", 3000.0);
        write(&folder.path().join("group"), "fsq/5", "new", 1e9);
        fs::create_dir_all(folder.path().join("fsq_5/change")).unwrap();
        let names = |run| read(folder.path(), run, SystemTime::UNIX_EPOCH).unwrap();
        let expected = [("conv2d/4x4", Duration::from_micros(2)), ("fsq/5", Duration::from_secs(1))]
            .map(|(n, d)| (n.to_owned(), d));
        assert_eq!(names("new"), Medians::from(expected));
        assert_eq!(names("main").into_values().collect::<Vec<_>>(), [Duration::from_micros(3)]);
        assert!(names("other").is_empty());
        assert!(read(&folder.path().join("none"), "new", SystemTime::UNIX_EPOCH).unwrap().is_empty());
    }

    #[test]
    fn what_earlier_runs_left_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "conv2d/4x4", "new", 2000.0);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(read(folder.path(), "new", later).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "conv2d/4x4", "new", 2000.0);
        fs::write(folder.path().join("conv2d_4x4/new/estimates.json"), "{}").unwrap();
        let error = read(folder.path(), "new", SystemTime::UNIX_EPOCH).unwrap_err();
        assert!(format!("{error:#}").contains("estimates.json: missing field"), "{error:#}");
    }
}
