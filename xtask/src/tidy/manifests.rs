//! Rules for the crates: each depends only on those below it, and one version of a library serves all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Violation;
use crate::workspace::Workspace;

/// Each crate with those right below it. What these stand on is below it too.
const LAYERS: [(&str, &[&str]); 24] = [
    ("vidtok-pickle", &[]),
    ("vidtok-libtorch", &[]),
    ("vidtok-core", &["vidtok-libtorch"]),
    ("vidtok-torch", &["vidtok-core"]),
    ("vidtok-optim", &["vidtok-torch"]),
    ("vidtok-arch", &["vidtok-torch"]),
    ("vidtok-quant", &["vidtok-torch"]),
    ("vidtok-metrics", &["vidtok-torch"]),
    ("vidtok-loss", &["vidtok-metrics"]),
    ("vidtok-data", &["vidtok-core"]),
    ("vidtok", &["vidtok-arch", "vidtok-quant", "vidtok-pickle"]),
    ("vidtok-report", &["vidtok-data"]),
    ("vidtok-eval", &["vidtok", "vidtok-metrics", "vidtok-report"]),
    ("vidtok-train", &["vidtok", "vidtok-optim", "vidtok-loss", "vidtok-report"]),
    ("vidtok-tokenize", &["vidtok", "vidtok-metrics", "vidtok-data"]),
    ("vidtok-configs", &[]),
    ("vidtok-models", &[]),
    ("vidtok-hub", &["vidtok", "vidtok-configs", "vidtok-models"]),
    ("vidtok-py", &["vidtok-tokenize", "vidtok-hub"]),
    ("vidtok-cli", &["vidtok-eval", "vidtok-train", "vidtok-tokenize", "vidtok-hub"]),
    ("vidtok-benches", &["vidtok-train"]),
    ("vidtok-fuzz", &["vidtok-train", "vidtok-tokenize"]),
    ("vidtok-golden", &["vidtok-torch"]),
    ("xtask", &["vidtok-pickle"]),
];

/// Cargo's word for a dependency of tests, examples and benches. It may be any crate that does not depend on this one.
const DEV: Option<&str> = Some("dev");

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Asks cargo for the manifests and checks them.
pub(super) fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut cargo = workspace.cargo();
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    let mut metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    for package in &mut metadata.packages {
        if let Ok(path) = Path::new(&package.manifest_path).strip_prefix(workspace.root()) {
            package.manifest_path = path.display().to_string();
        }
    }
    Ok(violations(&metadata))
}

fn violations(metadata: &Metadata) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut versions = BTreeMap::new();
    for Package { name, manifest_path, dependencies } in &metadata.packages {
        let mut violation = |message: String| violations.push(Violation::new(manifest_path, 1, message));
        let below = below(name).unwrap_or_else(|| {
            violation(format!("{name} is missing in xtask's table of layers (tidy/manifests.rs)"));
            BTreeSet::new()
        });
        for Dependency { name: dependency, req, kind, path } in dependencies {
            let kind = kind.as_deref();
            let in_tests = kind == DEV && self::below(dependency).is_some_and(|below| !below.contains(name.as_str()));
            if path.is_some() && !in_tests && !below.contains(dependency.as_str()) {
                violation(format!("{dependency} is not below {name}"));
            }
            if name == "xtask" && ["tch", "torch-sys"].contains(&dependency.as_str()) {
                violation("xtask must build without libtorch".into());
            }
            if *versions.entry(dependency).or_insert(req) != req {
                violation(format!("{dependency} {req}: take it from the workspace's manifest (workspace = true)"));
            }
        }
    }
    violations
}

/// All crates that `name` may depend on; none for a crate that is not in the table.
fn below(name: &str) -> Option<BTreeSet<&'static str>> {
    let (_, direct) = LAYERS.iter().find(|(known, _)| *known == name)?;
    let deeper = direct.iter().filter_map(|next| below(next)).flatten();
    Some(direct.iter().copied().chain(deeper).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages for a crate with one dependency: its name, version and kind.
    fn messages(name: &str, dependency: [&str; 2], kind: Option<&str>) -> Vec<String> {
        let [dependency, req] = dependency;
        let path = (req == "^0.1.0").then(|| "crates".to_owned());
        let dependency = |req: &str| Dependency {
            name: dependency.to_owned(),
            req: req.to_owned(),
            kind: kind.map(String::from),
            path: path.clone(),
        };
        let package =
            |name: &str, dependencies| Package { name: name.to_owned(), manifest_path: String::new(), dependencies };
        let packages = vec![package(name, vec![dependency(req)]), package("vidtok-fuzz", vec![dependency("^1")])];
        let packages = if path.is_some() { packages.into_iter().take(1).collect() } else { packages };
        violations(&Metadata { packages }).into_iter().map(|violation| violation.message).collect()
    }

    #[test]
    fn a_crate_depends_only_on_those_below() {
        let ours = |name| [name, "^0.1.0"];
        for (name, fine) in
            [("vidtok-train", "vidtok-core"), ("vidtok-loss", "vidtok-metrics"), ("vidtok", "vidtok-arch")]
        {
            assert!(messages(name, ours(fine), None).is_empty(), "{name} on {fine}");
        }
        for (name, wrong) in [("vidtok-core", "vidtok"), ("vidtok-data", "vidtok-torch"), ("vidtok", "vidtok-golden")] {
            assert_eq!(messages(name, ours(wrong), None), [format!("{wrong} is not below {name}")]);
        }
        for fine in ["vidtok-golden", "vidtok-data"] {
            assert!(messages("vidtok", ours(fine), DEV).is_empty());
        }
        assert_eq!(messages("vidtok", ours("vidtok-train"), DEV), ["vidtok-train is not below vidtok"]);
        assert!(messages("vidtok-other", ["serde", "^1"], None)[0].starts_with("vidtok-other is missing"));
        assert_eq!(messages("xtask", ["tch", "^1"], None), ["xtask must build without libtorch"]);
    }

    #[test]
    fn all_crates_take_one_version_of_a_library() {
        assert!(messages("vidtok", ["serde", "^1"], None).is_empty());
        let found = messages("vidtok", ["serde", "^2"], None);
        assert_eq!(found, ["serde ^1: take it from the workspace's manifest (workspace = true)"]);
    }
}
