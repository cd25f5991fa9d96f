//! Snapshots of directories, and volumes that begin with what a snapshot or another volume holds.

use leme_live::{Host, until};

const CLAIM: &str = "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME}
spec: {SOURCE accessModes: [ReadWriteOnce], resources: {requests: {storage: SIZE}}}
---
";

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: c
    image: leme/sample:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "COMMAND"]
    volumeMounts: [MOUNTS]
  volumes: [VOLUMES]
"#;

const SNAPSHOT: &str = "
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: before}
spec: {source: {persistentVolumeClaimName: data}}
";

fn claim(name: &str, size: &str, source: &str) -> String {
    CLAIM.replace("NAME", name).replace("SIZE", size).replace("SOURCE", source)
}

fn pod(name: &str, claims: &[&str], command: &str) -> String {
    let mounts = claims.iter().map(|claim| format!("{{name: {claim}, mountPath: /{claim}}}"));
    let volumes = claims
        .iter()
        .map(|claim| format!("{{name: {claim}, persistentVolumeClaim: {{claimName: {claim}}}}}"));
    POD.replace("NAME", name)
        .replace("COMMAND", command)
        .replace("MOUNTS", &mounts.collect::<Vec<_>>().join(", "))
        .replace("VOLUMES", &volumes.collect::<Vec<_>>().join(", "))
}

/// Red when a snapshot follows its volume, when what begins with it is empty, when its directory outlives it, or when
/// upstream's clients see something else than of upstream's controller.
#[test]
fn a_snapshot_is_taken_restored_and_removed() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let apply = |yaml: &str| host.kubectl("apply -f -").run_with(yaml);
    let show = |what: &str, path: &str| {
        host.kubectl(&format!("get {what} -o")).arg(format!("jsonpath={{{path}}}")).run().ok()
    };
    let run = |name: &str, claims: &[&str], command: &str| {
        apply(&pod(name, claims, command)).ok();
        until("the pod has ended well", || {
            show(&format!("pod {name}"), ".status.phase") == "Succeeded"
        });
        host.kubectl(&format!("logs {name}")).run().ok()
    };
    until("the class is there", || {
        host.kubectl("get volumesnapshotclass local-path").run().code == 0
    });

    apply(&claim("data", "64Mi", "")).ok();
    run("first", &["data"], "echo one > /data/f; ln -s f /data/link; mkdir -m 700 /data/d");
    apply(SNAPSHOT).ok();
    host.kubectl("wait --for=jsonpath={.status.readyToUse}=true vs/before --timeout=60s")
        .run()
        .ok();
    assert_eq!(show("vs before", ".status.restoreSize"), "64Mi");
    let table = host.kubectl("get volumesnapshot").run().ok();
    assert!(
        table.starts_with(
            "NAME     READYTOUSE   SOURCEPVC   SOURCESNAPSHOTCONTENT   RESTORESIZE   SNAPSHOTCLASS"
        ),
        "{table}"
    );
    let content = show("vs before", ".status.boundVolumeSnapshotContentName");
    assert_eq!(show(&format!("vsc {content}"), ".spec.driver"), "leme.dev/local-path");
    run("second", &["data"], "echo two > /data/f");

    let snapshot =
        "dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: before},";
    let other = "dataSource: {kind: PersistentVolumeClaim, name: data},";
    apply(&(claim("restored", "64Mi", snapshot) + &claim("cloned", "128Mi", other))).ok();
    let seen = run(
        "third",
        &["restored", "cloned"],
        "cat /restored/link /cloned/f; stat -c %a /restored/d; touch /restored/own",
    );
    assert_eq!(seen, "one\ntwo\n700\n");

    // Smaller than what it is to hold.
    apply(&(claim("small", "1Mi", snapshot) + &pod("fourth", &["small"], "true"))).ok();
    until("it is told that it is too small", || {
        let told = host.kubectl("describe pvc small").run().ok();
        told.contains("requested volume size 1048576 is less than the size 67108864 for the source snapshot before")
    });
    let both = SNAPSHOT.replace("Name: data", "Name: data, volumeSnapshotContentName: c");
    let refused = apply(&both.replace("name: before", "name: both")).fails(1);
    let rule = "exactly one of volumeSnapshotContentName and persistentVolumeClaimName must be set";
    assert!(refused.contains(rule), "{refused}");

    let kept = host.data().join("node/leme-0/snapshots").join(&content);
    assert!(kept.join("f").exists());
    // It is still wanted, and goes when it is not any more.
    host.kubectl("delete vs before --wait=false").run().ok();
    until("its deletion waits", || {
        host.kubectl("describe vs before")
            .run()
            .ok()
            .contains("Snapshot is being used to restore a PVC")
    });
    host.kubectl("delete pod fourth").run().ok();
    host.kubectl("delete pvc small").run().ok();
    until("the snapshot has gone", || host.kubectl("get vs before").run().code != 0);
    assert_eq!(host.kubectl("get vsc -o name").run().ok(), "");
    assert!(!kept.exists());
    host.kubectl("delete pvc data --wait=false").run().ok();
    assert_eq!(
        run("fifth", &["restored"], "cat /restored/f; ls /restored"),
        "one\nd\nf\nlink\nown\n"
    );
}

/// A content that was there before its snapshot.
const BEFOREHAND: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: old}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotContent
metadata: {name: old}
spec:
  deletionPolicy: Delete
  driver: leme.dev/local-path
  source: {snapshotHandle: there}
  volumeSnapshotRef: {name: old, namespace: old}
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: old, namespace: old}
spec: {source: {volumeSnapshotContentName: old}}
";

/// Red when a directory that is there already cannot be a snapshot, or when one that no node has keeps its namespace for ever.
#[test]
fn a_content_that_was_there_before_is_served_or_says_why_not() {
    let host = Host::new();
    host.up("").ok();
    until("the class is there", || {
        host.kubectl("get volumesnapshotclass local-path").run().code == 0
    });
    let show = |path: &str| {
        host.kubectl("get vs old -n old -o").arg(format!("jsonpath={{{path}}}")).run().stdout
    };
    let there = host.data().join("node/leme-0/snapshots/there");
    for labelled in [true, false] {
        host.kubectl("apply -f -").run_with(BEFOREHAND).ok();
        until("it is told", || show(".status.error.message").contains("it is on no node"));
        if labelled {
            std::fs::create_dir(&there).unwrap();
            let label = "label vsc old snapshot.storage.kubernetes.io/managed-by=leme-0";
            host.kubectl(label).run().ok();
            until("it is ready", || show(".status.readyToUse") == "true");
        }
        host.kubectl("delete namespace old --timeout=60s").run().ok();
        assert_eq!(host.kubectl("get vsc -o name").run().ok(), "");
        assert!(!there.exists());
    }
}
