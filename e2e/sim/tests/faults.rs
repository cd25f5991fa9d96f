//! The controllers crash once, after their first, second, third, ... action, or see nothing of what happens from then on
//! until they have nothing to do; whatever the moment, the cluster ends the same, and not one object more is created or
//! removed on the way. Each test prints what it did (`cargo nextest run -p leme-sim --test faults --success-output final`).

#![allow(clippy::disallowed_macros, reason = "what is printed is the point")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use leme_sim::{Cluster, Fault, kept};

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

const BUILDS: &str = "\
add-node a
apply builds.yaml
crash-container web-1-build 0
crash-container web-1-build 0
crash-container plain-1-build 1
apply builds-newer.yaml
tick 2s
apply builds-newest.yaml
tick 2s
crash-container web-2-build 0
crash-container web-2-build 0
tick 2s
patch build web-3 {\"status\": {\"cancelled\": true}}
tick 2s
delete bc web
delete bc plain
delete deploy follower
tick 2s
";

const GATEWAYS: &str = "\
add-node a
apply
  apiVersion: v1
  kind: Namespace
  metadata: { name: kube-system, annotations: { gateway.leme.dev/made: null } }
apply quick-v1.yaml
tick 1s
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

const VOLUMES: &str = "\
add-node a room=/srv
add-node b room=/srv
apply rooms.yaml
tick 2s
delete pod first
delete pod second
delete pvc grown
delete pvc other
tick 2s
";

const AUTOSCALING: &str = "\
add-node a
apply quick-v1.yaml
apply scaler.yaml
load app=web 400m
tick 20s
load app=web 20m
tick 20s
delete hpa web
delete deploy web
tick 1s
";

const ATTACHED: &str = "\
add-node a csi=1
apply attached.yaml
tick 2s
delete pod first
tick 2s
delete pod second
delete pvc one
delete pvc two
tick 2s
";

const SNAPSHOTS: &str = "\
add-node a room=/srv
add-node b room=/srv
apply snapshots.yaml
tick 2s
apply restored.yaml
tick 2s
delete vs before
delete pod writer
delete pod reader
delete pvc data
delete pvc restored
delete pvc cloned
tick 2s
";

const CLUSTER: &str = "\
add-node a
add-node b
apply web.yaml
apply cluster.yaml
apply cron-jobs.yaml
tick 61s
delete node b
delete namespace spare
delete cronjob tick
delete svc elsewhere
tick 100s
";

const SERVING: &str = "\
certify-services
apply serving.yaml
delete secret web-tls
delete cm trust
delete svc peers
tick 1s
delete namespace depot
tick 10s
";

/// What is left, kind by kind, and what was created and removed.
#[derive(Debug, PartialEq, Eq)]
struct End {
    left: BTreeMap<&'static str, Vec<String>>,
    counts: BTreeMap<&'static str, (usize, usize)>,
    phases: Vec<String>,
}

/// How a script ends, whether the fault came, and which controllers acted.
fn end(script: &str, fault: Option<(Fault, usize)>) -> (End, bool, usize) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut cluster = Cluster::new();
    cluster.fault = fault;
    leme_sim::run_on(&mut cluster, script, &|file| fs::read_to_string(dir.join(file))).unwrap();
    let mut left = BTreeMap::new();
    let mut phases = Vec::new();
    for kind in kept() {
        let objects = cluster.api.list(kind, None);
        // Generated names differ from run to run: what comes before them does not.
        let names = objects.iter().map(|object| {
            let meta = &object["metadata"];
            meta["generateName"].as_str().or(meta["name"].as_str()).unwrap_or("").to_owned()
        });
        left.insert(&*kind.kind, names.collect());
        phases.extend(objects.iter().map(|object| object["status"]["phase"].to_string()));
    }
    let acting = cluster.acted().into_iter().filter(|one| one.1 > 0).count();
    (End { left, counts: cluster.api.counts, phases }, cluster.fault.is_none(), acting)
}

/// Lets a fault happen at each action of the script; gives how it ends without one.
fn check(script: &str, fault: Fault) -> End {
    let (whole, _, acting) = end(script, None);
    let points = (0..500).take_while(|after| {
        let (cut, struck, _) = end(script, Some((fault, *after)));
        if struck {
            assert_eq!(cut, whole, "{fault:?} after {after} actions");
        }
        struck
    });
    let points = points.count();
    assert!(points > 20, "the script has too few actions to say anything: {points}");
    assert!(points < 500, "the controllers never stop acting");
    println!(
        "{fault:?}: {acting} controllers acted, {} runs, {points} points reached, differences: 0",
        points + 2
    );
    whole
}

/// A script under each fault, and what its end has to be.
macro_rules! under_faults {
    ($($name:ident: $script:ident, |$end:ident| $holds:expr;)*) => {$(
        mod $name {
            use super::*;

            fn under(fault: Fault) {
                let $end = check($script, fault);
                assert!($holds, "{:?}", $end);
            }

            #[test]
            fn crash() {
                under(Fault::Crash);
            }

            #[test]
            fn freeze() {
                under(Fault::Freeze);
            }

            #[test]
            fn hide() {
                under(Fault::Hide);
            }
        }
    )*

        const SCRIPTS: &[&str] = &[$($script),*];
    };
}

under_faults! {
    scaling: SCALE, |end| end.left["Pod"].is_empty();
    jobs: JOBS, |end| end.counts["Pod"] == (6, 6);
    deployment: DEPLOYMENT, |end| end.left["Pod"].is_empty();
    configuration: CONFIG, |end| end.left["Pod"].is_empty()
        && end.counts["ReplicationController"] == (3, 3);
    builds: BUILDS, |end| end.counts["Build"] == (4, 4) && end.left["Pod"].is_empty()
        && end.counts["Pod"] == (4, 4);
    daemons: DAEMONS, |end| end.counts["Pod"] == (6, 6);
    ordinals: STATEFUL, |end| end.left["PersistentVolumeClaim"].is_empty()
        && end.counts["ControllerRevision"] == (2, 2);
    volumes: VOLUMES, |end| end.counts["PersistentVolume"] == (2, 2)
        && end.left["StorageClass"] == ["local-path"];
    autoscaling: AUTOSCALING, |end| end.left["Pod"].is_empty() && end.counts["Pod"] == (5, 5);
    attached: ATTACHED, |end| end.counts["VolumeAttachment"] == (2, 2)
        && end.left["Pod"].is_empty();
    snapshots: SNAPSHOTS, |end| end.counts["VolumeSnapshotContent"] == (1, 1)
        && end.counts["PersistentVolume"] == (3, 3) && end.left["VolumeSnapshot"].is_empty();
    serving: SERVING, |end| end.counts["Secret"] == (3, 2) && end.left["Secret"] == ["web-tls"];
    gateways: GATEWAYS, |end| end.counts["CustomResourceDefinition"] == (6, 0)
        && end.left["GatewayClass"] == ["leme"];
    cluster: CLUSTER, |end| end.counts["Namespace"] == (4, 1) && end.left["Pod"].len() == 4;
}

/// Red when a controller is in the table and in no script.
#[test]
fn every_controller_acts_in_some_script() {
    let mut idle: BTreeSet<&str> = Cluster::new().acted().into_iter().map(|one| one.0).collect();
    for script in SCRIPTS {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut cluster = Cluster::new();
        leme_sim::run_on(&mut cluster, script, &|file| fs::read_to_string(dir.join(file))).unwrap();
        for (name, actions) in cluster.acted() {
            if actions > 0 {
                idle.remove(name);
            }
        }
    }
    assert_eq!(idle, BTreeSet::new());
}
