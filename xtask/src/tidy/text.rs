//! Rules for every text file: clean line ends, and nothing that ties the project to one machine or service.

use super::Violation;

/// Folders of one machine, hosts of package registries, a folder outside the repository. Put together from halves, so
/// that this file passes its own rules.
const FOLDERS: [&str; 4] = [concat!("/ho", "me"), concat!("/ro", "ot"), concat!("/wo", "rk"), concat!("/Us", "ers")];
const HOSTS: [&str; 6] = [
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("crates", ".io"),
    concat!("download.", "pytorch.org"),
    concat!("ana", "conda.org"),
    concat!("npm", "js.org"),
];
const OUTSIDE: &str = concat!("../", "shared");

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
        if line.contains(OUTSIDE) {
            violation(format!("names a folder outside the repository ({OUTSIDE})"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        violations.push(Violation::new(path, text.lines().count(), "does not end in a newline"));
    }
    violations
}

/// Whether an absolute path under `folder` stands in the line, rather than a longer or a relative one.
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
        assert!(
            messages("a.md", "One line.\n\nAnother: frame/work, ~/work, a https link https://a.b/home/x.\n").is_empty()
        );
        assert!(messages("empty", "").is_empty());
    }

    #[test]
    fn line_ends_are_checked() {
        let expected = ["a:1: trailing whitespace", "a:2: trailing whitespace", "a:3: does not end in a newline"];
        assert_eq!(messages("a", "x \ny\r\nz"), expected);
    }

    #[test]
    fn folders_of_a_machine_are_found() {
        for folder in FOLDERS {
            for line in [format!("cd {folder}/x\n"), format!("\"{folder}/me/file\"\n"), format!("in {folder}\n")] {
                assert_eq!(messages("a", &line), [format!("a:1: names a folder of one machine ({folder})")]);
            }
        }
        let longer = format!("{}stead {}ing\n", FOLDERS[0], FOLDERS[2]);
        assert!(messages("a", &longer).is_empty());
    }

    #[test]
    fn hosts_are_found_outside_the_lock_file() {
        let line = format!("https://{}/simple\n", HOSTS[0]);
        assert_eq!(messages("a", &line).len(), 1);
        assert!(messages(LOCK_FILE, &line).is_empty());
    }

    #[test]
    fn folders_outside_are_found() {
        assert_eq!(messages("docs/a.md", &format!("see {OUTSIDE}/spec\n")).len(), 1);
    }
}
