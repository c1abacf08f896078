//! Relative links in Markdown files lead to a file or folder of the project.

use std::collections::BTreeSet;

use super::Violation;

pub(super) fn check(path: &str, text: &str, files: &BTreeSet<String>) -> Vec<Violation> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut violations = Vec::new();
    let mut fence = None;
    for (number, line) in (1..).zip(text.lines()) {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        if fence.is_some() || mark.is_some() {
            // A code block ends with the mark that it began with.
            fence = match (fence, mark) {
                (Some(open), Some(mark)) if open == mark => None,
                (Some(open), _) => Some(open),
                (None, mark) => mark,
            };
            continue;
        }
        for target in targets(&without_code(line)) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !elsewhere && !resolve(folder, file).is_some_and(|file| exists(&file, files)) {
                violations.push(Violation::new(path, number, format!("broken link: {target}")));
            }
        }
    }
    violations
}

/// The line without its `code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of `[text](target "title")` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    inline
        .chain(definition)
        .filter_map(|target| target.split_whitespace().next())
        .map(|target| target.trim_start_matches('<').trim_end_matches('>').to_string())
        .collect()
}

/// The path from the root that `target` means in `folder`; `None` if it leads out of the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Whether the path is a file of the project or a folder with one.
fn exists(path: &str, files: &BTreeSet<String>) -> bool {
    let inside = if path.is_empty() { String::new() } else { format!("{path}/") };
    files.contains(path) || files.range(inside.clone()..).next().is_some_and(|file| file.starts_with(&inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let files = ["README.md", "docs/STYLE.md", "docs/img/a.png", "crates/vidtok/src/lib.rs"];
        let violations = check(path, text, &files.map(String::from).into());
        violations.iter().map(|violation| format!("{}: {}", violation.line, violation.message)).collect()
    }

    #[test]
    fn links_to_files_and_folders_of_the_project_pass() {
        let text = "[a](docs/STYLE.md) ![b](docs/img/a.png \"title\") [c](crates/vidtok) [d](#part) [e](docs/STYLE.md#x)\n\
                    [f](https://example.com/x) [g](mailto:a@b)\n[h]: <docs/img/>\n";
        assert!(broken("README.md", text).is_empty(), "{:?}", broken("README.md", text));
        assert!(broken("docs/STYLE.md", "[a](../README.md) [b](./img/a.png) [c](..)\n").is_empty());
    }

    #[test]
    fn broken_links_are_found() {
        let expected = ["1: broken link: docs/NONE.md", "2: broken link: img"];
        assert_eq!(broken("README.md", "[a](docs/NONE.md#x)\n[b]: img\n").len(), 2);
        assert_eq!(broken("README.md", "[a](docs/NONE.md)\n[b]: img\n"), expected);
        assert_eq!(broken("README.md", "[a](../x.md) [b](/docs/STYLE.md)\n").len(), 2, "outside the repository");
    }

    #[test]
    fn code_contains_no_links() {
        let text = "`[a](x)` and `b`\n```rust\na[0](x)\n~~~\n[a](x)\n```\n[real](x)\n";
        assert_eq!(broken("README.md", text), ["7: broken link: x"]);
    }
}
