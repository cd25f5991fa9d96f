//! The README's table of what is served, held against discovery of a running server.

use std::collections::{BTreeMap, BTreeSet};

use leme_live::{Host, root};
use serde_json::Value;

/// A row of the table: what of a group and version is served, and what is not yet.
#[derive(Debug, Default, PartialEq)]
struct Row {
    served: BTreeSet<String>,
    missing: BTreeSet<String>,
}

/// The names between backquotes.
fn names(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn told() -> BTreeMap<String, Row> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("## What is served").nth(1).expect("the section of the README");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    rows.skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').collect();
            let group = names(cells[1]).into_iter().next().expect("a group and version");
            (group, Row { served: names(cells[2]), missing: names(cells[3]) })
        })
        .collect()
}

fn get(host: &Host, path: &str) -> Value {
    serde_json::from_str(&host.kubectl(&format!("get --raw {path}")).run().ok()).unwrap()
}

fn served(host: &Host) -> BTreeMap<String, BTreeSet<String>> {
    let groups = get(host, "/apis");
    let versions = groups["groups"].as_array().unwrap().iter().flat_map(|group| {
        group["versions"].as_array().unwrap().iter().map(|v| v["groupVersion"].as_str().unwrap())
    });
    std::iter::once(("v1", "/api/v1".to_owned()))
        .chain(versions.map(|version| (version, format!("/apis/{version}"))))
        .map(|(version, path)| {
            let list = get(host, &path);
            let resources = list["resources"].as_array().unwrap().iter();
            let names = resources.map(|resource| resource["name"].as_str().unwrap().to_owned());
            (version.to_owned(), names.collect())
        })
        .collect()
}

/// Red when a kind is added, or a subresource, and the README does not tell; and when it tells of one that is not there.
#[test]
fn the_readme_tells_what_discovery_tells() {
    let host = Host::new();
    host.up("--no-node").ok();
    let served = served(&host);
    let told = told();
    for (version, found) in &served {
        let row = told.get(version).unwrap_or_else(|| panic!("no row for {version}: {found:?}"));
        assert_eq!(&row.served, found, "the row of {version}");
    }
    let known: BTreeSet<&String> = served.values().flatten().collect();
    for (version, row) in &told {
        let here = served.get(version).cloned().unwrap_or_default();
        assert!(row.served == here, "{version} is not served, yet told of: {:?}", row.served);
        let both: Vec<&String> = row.missing.intersection(&here).collect();
        assert!(both.is_empty(), "{version}: served, and told to be missing: {both:?}");
        assert!(!row.served.is_empty() || !row.missing.is_empty(), "{version}: an empty row");
    }
    assert!(known.len() > 20, "discovery lists next to nothing: {known:?}");
}
