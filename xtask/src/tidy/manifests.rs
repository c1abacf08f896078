//! Rules for the manifests of the crates: versions stand in the root, lints are the workspace's, and a crate depends
//! only on those below it.

use std::collections::BTreeSet;

use super::Violation;

/// Each crate with those right below it. What these stand on is below it too.
const LAYERS: [(&str, &[&str]); 19] = [
    ("vidtok-pickle", &[]),
    ("vidtok-core", &[]),
    ("vidtok-torch", &["vidtok-core"]),
    ("vidtok-arch", &["vidtok-torch"]),
    ("vidtok-quant", &["vidtok-torch"]),
    ("vidtok-metrics", &["vidtok-torch"]),
    ("vidtok-loss", &["vidtok-metrics"]),
    ("vidtok-optim", &["vidtok-torch"]),
    ("vidtok-data", &["vidtok-core"]),
    ("vidtok", &["vidtok-arch", "vidtok-quant", "vidtok-pickle"]),
    ("vidtok-report", &["vidtok-data"]),
    ("vidtok-eval", &["vidtok", "vidtok-metrics", "vidtok-report"]),
    ("vidtok-train", &["vidtok", "vidtok-loss", "vidtok-optim", "vidtok-report"]),
    ("vidtok-tokenize", &["vidtok", "vidtok-metrics", "vidtok-data"]),
    ("vidtok-cli", &["vidtok-eval", "vidtok-train", "vidtok-tokenize"]),
    ("vidtok-benches", &["vidtok-train"]),
    ("vidtok-fuzz", &["vidtok-train", "vidtok-tokenize"]),
    ("vidtok-golden", &["vidtok-torch"]),
    ("xtask", &["vidtok-pickle"]),
];

/// Reference numbers: for tests, and below nothing.
const TEST_ONLY: &str = "vidtok-golden";

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let name = package_name(text).unwrap_or_default();
    let below = below(name);
    if below.is_none() {
        violations.push(Violation::new(path, 1, format!("{name} has no place in xtask's table of layers")));
    }
    let below = below.unwrap_or_default();

    let mut section = "";
    let mut has_lints = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        let mut violation = |message: String| violations.push(Violation::new(path, number, message));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            if section.contains("dependencies.") {
                violation("write each dependency on a line of its own".into());
            }
            continue;
        }
        let from_workspace = without_spaces(line).contains("workspace=true");
        if section == "lints" {
            has_lints |= from_workspace;
        } else if section == "package" && key(line) == "version" && !from_workspace {
            violation("the version belongs into the root manifest".into());
        } else if section.ends_with("dependencies") {
            let dependency = key(line);
            if !from_workspace {
                violation(format!("{dependency} must come from the root manifest (workspace = true)"));
            }
            let ours = LAYERS.iter().any(|(known, _)| *known == dependency);
            let in_tests = section.ends_with("dev-dependencies") && dependency == TEST_ONLY;
            if ours && !in_tests && !below.contains(dependency) {
                violation(format!("{dependency} is not below {name}"));
            }
            if name == "xtask" && ["tch", "torch-sys"].contains(&dependency) {
                violation("xtask must build without libtorch".into());
            }
        }
    }
    if !has_lints {
        violations.push(Violation::new(path, 1, "lacks [lints] workspace = true"));
    }
    violations
}

/// All crates that `name` may depend on; None for a crate that is not in the table.
fn below(name: &str) -> Option<BTreeSet<&'static str>> {
    let (_, direct) = LAYERS.iter().find(|(known, _)| *known == name)?;
    let deeper = direct.iter().filter_map(|next| below(next)).flatten();
    Some(direct.iter().copied().chain(deeper).collect())
}

fn package_name(text: &str) -> Option<&str> {
    text.lines().find(|line| key(line.trim()) == "name")?.split('"').nth(1)
}

/// The first part of the key that a line sets.
fn key(line: &str) -> &str {
    line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"')
}

fn without_spaces(line: &str) -> String {
    line.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(name: &str, rest: &str) -> Vec<String> {
        let text = format!("[package]\nname = \"{name}\"\nversion.workspace = true\n[lints]\nworkspace = true\n{rest}");
        let all = check("crates/a/Cargo.toml", &text);
        all.iter().map(|violation| format!("{}: {}", violation.line, violation.message)).collect()
    }

    #[test]
    fn a_clean_manifest_passes() {
        let rest = "[dependencies]\nvidtok-core.workspace = true\ntch = { workspace = true, features = [\"x\"] }\n\
                    [dev-dependencies]\nvidtok-golden.workspace = true\n[[bin]]\nname = \"b\"\npath = \"src/main.rs\"\n";
        assert!(messages("vidtok", rest).is_empty(), "{:?}", messages("vidtok", rest));
    }

    #[test]
    fn versions_stand_in_the_root_only() {
        let rest = "[dependencies]\nserde = \"1\"\n[build-dependencies]\ncc = { version = \"1\" }\n";
        let expected =
            ["serde", "cc"].map(|name| format!("{name} must come from the root manifest (workspace = true)"));
        assert_eq!(messages("vidtok", rest), [format!("7: {}", expected[0]), format!("9: {}", expected[1])]);

        let own = "[package]\nname = \"vidtok\"\nversion = \"1.0.0\"\n[lints]\nworkspace = true\n";
        assert_eq!(check("a", own), [Violation::new("a", 3, "the version belongs into the root manifest")]);
        assert_eq!(messages("vidtok", "[dependencies.serde]\nworkspace = true\n").len(), 1);
    }

    #[test]
    fn lints_are_the_workspaces() {
        let expected = [Violation::new("a", 1, "lacks [lints] workspace = true")];
        assert_eq!(check("a", "[package]\nname = \"vidtok\"\n"), expected);
    }

    #[test]
    fn a_crate_depends_only_on_those_below() {
        let dependency = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
        for (name, fine) in
            [("vidtok-train", "vidtok-core"), ("vidtok-loss", "vidtok-metrics"), ("vidtok", "vidtok-arch")]
        {
            assert!(messages(name, &dependency(fine)).is_empty(), "{name} on {fine}");
        }
        for (name, wrong) in [("vidtok-core", "vidtok"), ("vidtok-data", "vidtok-torch"), ("vidtok", "vidtok-golden")] {
            assert_eq!(messages(name, &dependency(wrong)), [format!("7: {wrong} is not below {name}")]);
        }
        assert_eq!(messages("vidtok-other", ""), ["1: vidtok-other has no place in xtask's table of layers"]);
        assert_eq!(messages("xtask", &dependency("tch")), ["7: xtask must build without libtorch"]);
    }
}
