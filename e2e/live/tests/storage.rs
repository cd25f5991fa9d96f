//! Claims that name no class: a directory on the node of their first pod, kept until nobody has the claim any more.

use leme_live::{Host, until};

/// A StatefulSet that notes each of its starts in its volume, as a user who is not root.
const NOTES: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: notes}
spec:
  serviceName: notes
  selector: {matchLabels: {app: notes}}
  template:
    metadata: {labels: {app: notes}}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {runAsUser: 1000, runAsGroup: 1000}
      containers:
      - name: c
        image: leme/sample:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "echo started >> /data/log; cat /data/log; sleep 6543"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
"#;

/// Red when nobody makes a volume, when it goes with its pod, or stays when its claim has gone.
#[test]
fn a_claim_keeps_its_directory_as_long_as_it_lives() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    host.kubectl("apply -f -").run_with(NOTES).ok();
    host.kubectl("rollout status sts/notes --timeout=60s").run().ok();
    let show = |what: &str, path: &str| {
        host.kubectl(&format!("get {what} -o")).arg(format!("jsonpath={{{path}}}")).run().ok()
    };
    let volume = show("pvc data-notes-0", ".spec.volumeName");
    assert_eq!(show("pvc data-notes-0", ".spec.storageClassName"), "local-path");
    let path = show(&format!("pv {volume}"), ".spec.local.path");
    let log = std::path::Path::new(&path).join("log");
    until("it has noted its start", || {
        std::fs::read_to_string(&log).unwrap_or_default() == "started\n"
    });

    host.kubectl("delete pod notes-0").run().ok();
    host.kubectl("rollout status sts/notes --timeout=60s").run().ok();
    let twice = "started\nstarted\n";
    until("the next pod has what the first one wrote", || {
        std::fs::read_to_string(&log).unwrap_or_default() == twice
    });

    // More is asked for and given.
    let grow = r#"{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}"#;
    host.kubectl("patch pvc data-notes-0 -p").arg(grow).run().ok();
    until("the claim has grown", || {
        show("pvc data-notes-0", ".status.capacity.storage") == "128Mi"
    });

    host.leme("down").run().ok();
    host.up("").ok();
    until("it was started once more", || {
        std::fs::read_to_string(&log).unwrap_or_default() == format!("{twice}started\n")
    });

    // A volume that is to be kept is, and serves the next claim of it.
    host.kubectl("delete sts notes").run().ok();
    let keep = r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#;
    host.kubectl(&format!("patch pv {volume} -p")).arg(keep).run().ok();
    host.kubectl("delete pvc data-notes-0").run().ok();
    until("it is released", || show(&format!("pv {volume}"), ".status.phase") == "Released");
    let free = r#"[{"op":"remove","path":"/spec/claimRef"}]"#;
    host.kubectl(&format!("patch pv {volume} --type json -p")).arg(free).run().ok();
    until("it is free again", || show(&format!("pv {volume}"), ".status.phase") == "Available");
    let again = NOTES
        .replace("64Mi", "128Mi")
        .replace("spec: {accessModes", &format!("spec: {{volumeName: {volume}, accessModes"));
    host.kubectl("apply -f -").run_with(&again).ok();
    host.kubectl("rollout status sts/notes --timeout=60s").run().ok();
    let all = || std::fs::read_to_string(&log).unwrap_or_default();
    until("what was kept is there", || all() == format!("{twice}started\nstarted\n"));
    let go = r#"{"spec":{"persistentVolumeReclaimPolicy":"Delete"}}"#;
    host.kubectl(&format!("patch pv {volume} -p")).arg(go).run().ok();

    host.kubectl("delete sts notes").run().ok();
    assert!(log.exists(), "a StatefulSet leaves its claims");
    host.kubectl("delete pvc data-notes-0 --wait=false").run().ok();
    until("the volume has gone", || host.kubectl(&format!("get pv {volume}")).run().code != 0);
    assert!(!std::path::Path::new(&path).exists(), "and its directory before it");
    let removed = "jsonpath={.metadata.annotations.storage\\.leme\\.dev/removed}";
    until("the node has forgotten it", || {
        host.kubectl("get node leme-0 -o").arg(removed).run().ok().is_empty()
    });
}

/// A pod of a claim, which are made with a group and a request.
const GROUPED: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shared}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: GROUP}
  containers:
  - name: c
    image: leme/sample:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "COMMAND"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: shared}}]
"#;

/// Red when a volume that outlives its pod stays another group's, when a class that was taken away comes back, or when a
/// claim that can never be bound is waited for.
#[test]
fn groups_get_volumes_and_wishes_are_kept() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let run = |name: &str, group: &str, command: &str| {
        let pod = GROUPED.replace("NAME", name).replace("GROUP", group).replace("COMMAND", command);
        host.kubectl("apply -f -").run_with(&pod).ok();
        let done = || {
            host.kubectl(&format!("get pod {name} -o jsonpath={{.status.phase}}")).run().ok()
                == "Succeeded"
        };
        until("the pod has ended well", done);
        host.kubectl(&format!("logs {name}")).run().ok()
    };
    run("first", "4321", "umask 077; echo secret > /data/f");
    // Others may not read it: the group of the second pod does.
    let seen = run("second", "5432", "cat /data/f; id -G; stat -c %g:%a /data/f");
    assert!(seen.starts_with("secret\n") && seen.ends_with("5432:660\n"), "{seen}");

    let never = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: NAME}\nspec: {SPEC, \
        accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n";
    for (name, spec, why) in [
        ("nobodys", "storageClassName: \"\"", "no persistent volumes available for this claim"),
        ("fast", "storageClassName: fast", "\"fast\" not found"),
        ("named", "storageClassName: \"\", volumeName: none", "volume \"none\" does not exist"),
    ] {
        let claim = never.replace("NAME", name).replace("SPEC", spec);
        let said = host.leme("apply --wait -f -").run_with(&claim).fails(1);
        assert!(said.contains("cannot be bound") && said.contains(why), "{said}");
    }

    host.kubectl("delete storageclass local-path").run().ok();
    host.leme("down").run().ok();
    host.up("").ok();
    let made = "apiVersion: v1\nkind: Pod\nmetadata: {name: later}\nspec: {containers: [{name: c, image: \
        \"leme/sample:latest\", imagePullPolicy: IfNotPresent, command: [sleep, \"6543\"]}]}\n";
    host.kubectl("apply -f -").run_with(made).ok();
    host.kubectl("wait --for=condition=Ready pod/later --timeout=60s").run().ok();
    // What makes the class has had its turn: it is woken by the node, before which no pod runs.
    assert_eq!(host.kubectl("get storageclass -o name").run().ok(), "");
}

/// A volume of a driver, its claim and a pod that has it.
const DISK: &str = r#"
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  csi: {driver: disk.example, volumeHandle: disk-1}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {storageClassName: "", volumeName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: "leme/sample:latest", imagePullPolicy: IfNotPresent, volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: disk}}]
"#;

/// Red when nobody asks for a volume to be attached, when the node does not list it, or when it stays attached for nobody;
/// this test answers as who attaches does.
#[test]
fn a_volume_of_a_driver_is_attached_as_long_as_a_pod_has_it() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    host.kubectl("apply -f -").run_with(DISK).ok();
    let names = || host.kubectl("get volumeattachments -o name").run().ok();
    until("it is to be attached", || !names().is_empty());
    let name = names().trim().trim_start_matches("volumeattachment.storage.k8s.io/").to_owned();
    let told = host.kubectl(&format!("get volumeattachment {name}")).run().ok();
    assert!(told.contains("disk.example   disk   leme-0   false"), "{told}");
    let text = host.kubectl(&format!("get volumeattachment {name} -o json")).run().ok();
    let mut object: serde_json::Value = serde_json::from_str(&text).unwrap();
    object["status"] = serde_json::json!({ "attached": true });
    let path = format!("/apis/storage.k8s.io/v1/volumeattachments/{name}/status");
    host.kubectl(&format!("replace --raw {path} -f -")).run_with(&object.to_string()).ok();
    let listed = || {
        let path = "jsonpath={.status.volumesAttached[*].name}";
        host.kubectl("get node leme-0 -o").arg(path).run().ok()
    };
    until("the node lists it", || listed() == "kubernetes.io/csi/disk.example^disk-1");
    until("it is told to the pod", || {
        host.kubectl("describe pod user")
            .run()
            .ok()
            .contains("AttachVolume.Attach succeeded for volume \"disk\"")
    });
    host.kubectl("delete pod user").run().ok();
    until("it is detached", || names().is_empty() && listed().is_empty());
}
