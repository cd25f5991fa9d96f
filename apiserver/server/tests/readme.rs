//! The README's table of what is served, held against discovery.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;

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

fn written() -> BTreeMap<String, Row> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
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

/// The table; `cargo xtask mutate` asks for one without a name, `readme GROUP/VERSION NAME`.
fn told() -> BTreeMap<String, Row> {
    let mut rows = written();
    let asked = std::env::var("LEME_MUTANT").unwrap_or_default();
    if let ["readme", group, name] = asked.split(' ').collect::<Vec<_>>()[..] {
        rows.get_mut(group).unwrap().served.remove(name);
    }
    rows
}

async fn served(api: &Harness) -> BTreeMap<String, BTreeSet<String>> {
    let groups = api.get("/apis").await.ok();
    let versions = groups["groups"].as_array().unwrap().iter().flat_map(|group| {
        group["versions"].as_array().unwrap().iter().map(|v| v["groupVersion"].as_str().unwrap())
    });
    let paths = versions.map(|version| (version.to_owned(), format!("/apis/{version}")));
    let paths = std::iter::once(("v1".to_owned(), "/api/v1".to_owned())).chain(paths);
    let mut served = BTreeMap::new();
    for (version, path) in paths {
        let list = api.get(&path).await.ok();
        let resources = list["resources"].as_array().unwrap().iter();
        let names = resources.map(|resource| resource["name"].as_str().unwrap().to_owned());
        served.insert(version, names.collect());
    }
    served
}

/// Red when a kind is added, or a subresource, and the README does not tell; and when it tells of one that is not there.
#[tokio::test]
async fn the_readme_tells_what_discovery_tells() {
    let api = Harness::start().await;
    let (served, told) = (served(&api).await, told());
    let mut wrong = Vec::new();
    let versions: BTreeSet<&String> = served.keys().chain(told.keys()).collect();
    for version in versions {
        let (none, empty) = (BTreeSet::new(), Row::default());
        let found = served.get(version).unwrap_or(&none);
        let row = told.get(version).unwrap_or(&empty);
        wrong.extend(row.served.symmetric_difference(found).map(
            |name| match found.contains(name) {
                true => format!("{version}: {name} is served, and not told of"),
                false => format!("{version}: {name} is told of, and not served"),
            },
        ));
        let both = row.missing.intersection(found);
        wrong.extend(
            both.map(|name| format!("{version}: {name} is served, and told to be missing")),
        );
        if row.served.is_empty() && row.missing.is_empty() {
            wrong.push(format!("{version}: no row, or an empty one"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        served.values().map(BTreeSet::len).sum::<usize>() > 100,
        "discovery lists next to nothing"
    );
}

#[test]
#[ignore = "the list that cargo xtask mutate goes by"]
#[allow(clippy::disallowed_macros, reason = "what is printed is the point")]
fn mutants() {
    for (group, row) in written() {
        for name in row.served {
            println!("mutant readme {group} {name}");
        }
    }
}
