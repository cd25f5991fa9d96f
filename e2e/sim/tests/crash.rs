//! The controllers crash once, after their first, second, third, ... action; whatever the moment, the cluster ends the
//! same, and not one object more is created or removed on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leme_kinds::builtin;
use leme_sim::Cluster;

const SCALE: &str = "\
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

const JOBS: &str = "\
add-node a
apply jobs.yaml
crash-container pi 0
crash-container pi 0
crash-container indexed-0 1
crash-container indexed 0
delete job indexed
delete job pi
";

const DEPLOYMENT: &str = "\
add-node a
apply quick-v1.yaml
apply quick-v2.yaml
scale deploy web 3
delete deploy web
tick 1s
";

const CONFIG: &str = "\
add-node a
apply dc-quick-v1.yaml
apply dc-quick-v2.yaml
crash-container web-2-hook-pre 0
tick 2s
crash-container web-2-hook-post 0
apply dc-quick-v4.yaml
tick 2s
crash-container web-3-hook-mid 0
delete dc web
tick 2s
";

const DAEMONS: &str = "\
add-node a
add-node b
apply agent-v1.yaml
apply agent-v2.yaml
tick 1s
apply agent-v3.yaml
tick 1s
delete ds agent
tick 1s
";

const STATEFUL: &str = "\
add-node a
apply disks.yaml
apply db-v1.yaml
apply db-v2.yaml
tick 1s
scale sts db 1
tick 1s
delete sts db
tick 1s
";

/// What is left, kind by kind, and what was created and removed.
#[derive(Debug, PartialEq, Eq)]
struct End {
    left: BTreeMap<&'static str, Vec<String>>,
    counts: BTreeMap<&'static str, (usize, usize)>,
    phases: Vec<String>,
}

fn end(script: &str, crash_after: Option<usize>) -> (End, bool) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut cluster = Cluster::new();
    cluster.crash_after = crash_after;
    leme_sim::run_on(&mut cluster, script, &|file| fs::read_to_string(dir.join(file))).unwrap();
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

/// Crashes after each action of the script; gives how it ends without one.
fn check(script: &str) -> End {
    let (whole, _) = end(script, None);
    for after in 0..500 {
        let (cut, crashed) = end(script, Some(after));
        if !crashed {
            assert!(after > 30, "the script has too few actions to say anything: {after}");
            return whole;
        }
        assert_eq!(cut, whole, "crash after {after} actions");
    }
    panic!("the controllers never stop acting");
}

#[test]
fn any_crash_ends_the_same() {
    assert_eq!(check(SCALE).left["Pod"].len(), 0);
}

#[test]
fn any_crash_counts_pods_once() {
    let end = check(JOBS);
    assert_eq!(end.counts["Pod"], (6, 6));
}

#[test]
fn any_crash_amidst_a_rollout_ends_the_same() {
    assert_eq!(check(DEPLOYMENT).left["Pod"].len(), 0);
}

#[test]
fn any_crash_amidst_a_rollout_of_a_configuration_ends_the_same() {
    let end = check(CONFIG);
    assert_eq!((end.left["Pod"].len(), end.counts["ReplicationController"]), (0, (3, 3)));
}

#[test]
fn any_crash_leaves_each_node_one_daemon() {
    assert_eq!(check(DAEMONS).counts["Pod"], (6, 6));
}

#[test]
fn any_crash_leaves_each_ordinal_one_pod_and_its_claim() {
    let end = check(STATEFUL);
    assert_eq!(end.left["PersistentVolumeClaim"].len(), 0);
    assert_eq!(end.counts["ControllerRevision"], (2, 2));
}
