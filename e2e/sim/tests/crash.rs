//! The controllers crash once, after their first, second, third, ... action; whatever the moment, the cluster ends the
//! same, and not one object more is created or removed on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leme_kinds::builtin;
use leme_sim::Cluster;

const SCRIPT: &str = "\
add-node a
add-node b
apply web.yaml
apply claim.yaml
scale rc web 4
scale rc web 1
delete rc web
delete pvc data
tick 1s
";

/// What is left, kind by kind, and what was created and removed.
#[derive(Debug, PartialEq, Eq)]
struct End {
    left: BTreeMap<&'static str, Vec<String>>,
    counts: BTreeMap<&'static str, (usize, usize)>,
    phases: Vec<String>,
}

fn end(crash_after: Option<usize>) -> (End, bool) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut cluster = Cluster::new();
    cluster.crash_after = crash_after;
    leme_sim::run_on(&mut cluster, SCRIPT, &|file| fs::read_to_string(dir.join(file))).unwrap();
    let mut left = BTreeMap::new();
    let mut phases = Vec::new();
    for kind in builtin().filter(|kind| kind.is_kept()) {
        let objects = cluster.api.list(kind, None);
        // Generated names differ from run to run: what comes before them does not.
        let names = objects.iter().map(|object| {
            let meta = &object["metadata"];
            meta["generateName"].as_str().or(meta["name"].as_str()).unwrap_or("").to_owned()
        });
        left.insert(&*kind.kind, names.collect());
        phases.extend(objects.iter().map(|object| object["status"]["phase"].to_string()));
    }
    (End { left, counts: cluster.api.counts, phases }, cluster.crash_after.is_none())
}

#[test]
fn any_crash_ends_the_same() {
    let (whole, _) = end(None);
    assert_eq!(whole.left["Pod"].len(), 0);
    for after in 0..500 {
        let (cut, crashed) = end(Some(after));
        if !crashed {
            assert!(after > 30, "the script has too few actions to say anything: {after}");
            return;
        }
        assert_eq!(cut, whole, "crash after {after} actions");
    }
    panic!("the controllers never stop acting");
}
