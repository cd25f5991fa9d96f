//! The dependency graph between the workspace's own crates, and the walls it must respect.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One crate of the workspace.
pub struct Member {
    /// Folder relative to the root, such as `apis/meta`.
    pub folder: String,
    /// Names of the workspace crates it depends on (build and normal, not dev).
    pub inner: BTreeSet<String>,
    /// Names of all its outside dependencies (normal).
    pub outer: BTreeSet<String>,
}

/// Every member by crate name, from `cargo metadata`.
pub fn members(root: &std::path::Path) -> Result<BTreeMap<String, Member>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("parse cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    packages.iter().map(|package| member(root, package, &names)).collect()
}

fn member(
    root: &std::path::Path,
    package: &Value,
    names: &BTreeSet<&str>,
) -> Result<(String, Member)> {
    let text = |key: &str| package[key].as_str().with_context(|| format!("a package has no {key}"));
    let manifest = std::path::Path::new(text("manifest_path")?);
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok());
    let folder = folder.context("a member outside the root")?.to_string_lossy().into_owned();
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let (inner, outer) = dependencies
        .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .partition(|name: &String| names.contains(name.as_str()));
    Ok((text("name")?.to_owned(), Member { folder, inner, outer }))
}

/// The graph as the checked-in file holds it: `crate: dependency dependency`.
pub fn render(members: &BTreeMap<String, Member>) -> String {
    let mut text = String::from("# Which crate uses which, held by `cargo xtask tidy`.\n");
    for (name, member) in members {
        let list: Vec<&str> = member.inner.iter().map(String::as_str).collect();
        text.push_str(format!("{name}: {}", list.join(" ")).trim_end());
        text.push('\n');
    }
    text
}

/// Rooms that must never use another room, directly: (user's folder prefix, used folder prefix, why).
const WALLS: &[(&str, &str, &str)] = &[
    ("controllers/", "apiserver/", "controllers meet the server only over the API"),
    ("node-agent/", "apiserver/", "the agent meets the server only over the API"),
    ("apiserver/", "controllers/", "the server knows no controller"),
    ("apiserver/", "node-agent/", "the server knows no node"),
    ("controllers/", "node-agent/", "controllers know no node"),
    ("node-agent/", "controllers/", "the agent knows no controller"),
    ("apis/", "apiserver/", "the nouns know no server"),
    ("apis/", "controllers/", "the nouns know no controller"),
    ("apis/", "node-agent/", "the nouns know no node"),
    ("apiserver/store", "apis/kinds", "the store never names a kind"),
    ("apiserver/registry", "apiserver/strategy", "the registry never names a kind"),
];

/// What in the graph breaks a wall.
pub fn broken_walls(members: &BTreeMap<String, Member>) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, member) in members {
        for used in &member.inner {
            let folder = &members[used].folder;
            for (user, other, why) in WALLS {
                if member.folder.starts_with(user) && folder.starts_with(other) {
                    broken.push(format!("{name} uses {used}: {why}"));
                }
            }
        }
    }
    broken
}
