//! Rules for every text file: clean line ends, Rust files of a readable length, and no path or host that works on one
//! machine only.

use super::Violation;

/// A Rust file with more lines has more than one concept.
const MAX_LINES: usize = 600;

/// Absolute paths into these folders work on their author's machine only; docs and tests use relative or temporary
/// paths. Written in halves, so that this file passes its own rules.
const FOLDERS: [&str; 4] = [concat!("/ho", "me"), concat!("/ro", "ot"), concat!("/wo", "rk"), concat!("/Us", "ers")];
/// Packages come through cargo and pip, whose settings name the index: a host in the code would pass by mirrors and
/// proxies.
const HOSTS: [&str; 4] = [
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("crates", ".io"),
    concat!("download.", "pytorch.org"),
];

/// Written by cargo, which names its registry in it.
const LOCK_FILE: &str = "Cargo.lock";

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(text.split('\n')) {
        let mut violation = |message: String| violations.push(Violation::new(path, number, message));
        if line.ends_with([' ', '\t', '\r']) {
            violation("trailing whitespace".into());
        }
        if path == LOCK_FILE {
            continue;
        }
        if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            violation(format!("names a folder of one machine ({folder})"));
        }
        if let Some(host) = HOSTS.iter().find(|host| line.contains(**host)) {
            violation(format!("names the host of a package registry ({host})"));
        }
    }
    let count = text.lines().count();
    if !text.is_empty() && !text.ends_with('\n') {
        violations.push(Violation::new(path, count, "does not end in a newline"));
    }
    if path.ends_with(".rs") && count > MAX_LINES {
        violations.push(Violation::new(path, count, format!("has more than {MAX_LINES} lines, split it")));
    }
    violations
}

/// Whether the line holds an absolute path under `folder`, rather than a longer name or a relative path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + folder.len()..].chars().next();
        let part_of_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        !before.is_some_and(|c| part_of_name(c) || "~}*)/".contains(c)) && !after.is_some_and(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(Violation::to_string).collect()
    }

    #[test]
    fn clean_text_passes() {
        let text = "One line.\n\nAnother: frame/work, ~/work, a https link https://a.b/home/x.\n";
        assert!(messages("a.md", text).is_empty());
        assert!(messages("empty", "").is_empty());
    }

    #[test]
    fn line_ends_are_checked() {
        let expected = ["a:1: trailing whitespace", "a:2: trailing whitespace", "a:3: does not end in a newline"];
        assert_eq!(messages("a", "x \ny\r\nz"), expected);
    }

    #[test]
    fn long_rust_files_are_found() {
        assert_eq!(messages("a.rs", &"\n".repeat(601)), ["a.rs:601: has more than 600 lines, split it"]);
        assert!(messages("a.rs", &"\n".repeat(600)).is_empty() && messages("a.md", &"\n".repeat(601)).is_empty());
    }

    #[test]
    fn folders_of_a_machine_are_found() {
        for folder in FOLDERS {
            for line in [format!("cd {folder}/x\n"), format!("\"{folder}/me/file\"\n"), format!("in {folder}\n")] {
                assert_eq!(messages("a", &line), [format!("a:1: names a folder of one machine ({folder})")]);
            }
        }
        assert!(messages("a", &format!("{}stead {}ing\n", FOLDERS[0], FOLDERS[2])).is_empty());
    }

    #[test]
    fn hosts_are_found_outside_the_lock_file() {
        let line = format!("https://{}/simple\n", HOSTS[0]);
        assert_eq!(messages("a", &line).len(), 1);
        assert!(messages(LOCK_FILE, &line).is_empty());
    }
}
