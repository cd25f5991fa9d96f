//! A driver of volumes, a process of its own that registers with the node: what it provisions, attaches, stages and publishes,
//! and what becomes of pods when it does not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use leme_live::{Host, until};
use serde_json::Value;

/// A class of the driver's, and a StatefulSet that notes each of its starts in a volume of it.
const NOTES: &str = r#"
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: disk.example}
spec: {podInfoOnMount: true, fsGroupPolicy: File, volumeLifecycleModes: [Persistent, Ephemeral]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disk}
provisioner: disk.example
allowVolumeExpansion: true
volumeBindingMode: WaitForFirstConsumer
---
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
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 4321}
      containers:
      - name: c
        image: leme/sample:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "echo started >> /data/log; sleep 6543"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: disk, accessModes: [ReadWriteOnce], resources: {requests: {storage: 64Mi}}}
"#;

/// The driver's folder, and its process.
struct Driver {
    folder: PathBuf,
    process: Child,
}

impl Driver {
    fn start(host: &Host, name: &str) -> Driver {
        let folder = host.folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        let process = host
            .program(env!("CARGO_BIN_EXE_leme-csi-driver"))
            .words(&format!("--name {name} --node n-1 --kubeconfig"))
            .arg(host.data().join("admin.kubeconfig"))
            .arg("--folder")
            .arg(&folder)
            .arg("--registry")
            .arg(node(host).join("plugins_registry"))
            .spawn();
        Driver { folder, process }
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default()
    }

    fn fault(&self, text: &str) {
        fs::write(self.folder.join("faults"), text).unwrap();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The directory of the node, as of a kubelet.
fn node(host: &Host) -> PathBuf {
    host.data().join("node/leme-0")
}

fn show(host: &Host, what: &str, path: &str) -> String {
    host.kubectl(&format!("get {what} -o")).arg(format!("jsonpath={{{path}}}")).run().stdout
}

fn object(host: &Host, what: &str) -> Value {
    let text = host.kubectl(&format!("get {what} -o json")).run().stdout;
    serde_json::from_str(&text).unwrap_or_default()
}

/// What is mounted for drivers at the node.
fn mounts(host: &Host) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let node = node(host).to_string_lossy().into_owned();
    let of_drivers = |line: &&str| line.contains(&node) && line.contains("csi");
    table.lines().filter(of_drivers).map(str::to_owned).collect()
}

/// Red when a driver is not found, when any call is left out or made in vain, when data is lost with a pod or a node agent, or
/// when anything is left of a volume that is gone.
#[test]
fn a_driver_has_its_volumes_provisioned_used_and_removed() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let mut driver = Driver::start(&host, "disk.example");
    until("the driver is registered", || driver.calls().contains("Registration registered"));
    let told = object(&host, "csinode leme-0");
    let told = &told["spec"]["drivers"][0];
    assert_eq!((&told["name"], &told["nodeID"]), (&"disk.example".into(), &"n-1".into()));
    assert_eq!(told["topologyKeys"][0], "disk.example/node");
    assert_eq!(told["allocatable"]["count"], 16);
    let named =
        show(&host, "node leme-0", ".metadata.annotations.csi\\.volume\\.kubernetes\\.io/nodeid");
    assert_eq!(named, r#"{"disk.example":"n-1"}"#);
    assert_eq!(show(&host, "node leme-0", ".metadata.labels.disk\\.example/node"), "n-1");

    host.kubectl("apply -f -").run_with(NOTES).ok();
    host.kubectl("rollout status sts/notes --timeout=60s").run().ok();
    let volume = show(&host, "pvc data-notes-0", ".spec.volumeName");
    let log = driver.folder.join("volumes").join(&volume).join("log");
    let noted = |times: usize| {
        until("it has noted its start", || {
            fs::read_to_string(&log).unwrap_or_default() == "started\n".repeat(times)
        });
    };
    noted(1);
    assert!(driver.calls().contains(&format!("NodePublishVolume {volume} notes-0")));
    assert_eq!(std::os::unix::fs::MetadataExt::gid(&fs::metadata(&log).unwrap()), 4321);
    let in_use = || show(&host, "node leme-0", ".status.volumesInUse[*]");
    assert_eq!(in_use(), format!("kubernetes.io/csi/disk.example^{volume}"));
    assert_eq!(show(&host, "volumeattachment", ".items[*].status.attached"), "true");

    // The next pod has what the first one wrote, whenever the node agent ends.
    host.kill_leme();
    host.up("").ok();
    host.kubectl("delete pod notes-0").run().ok();
    host.kubectl("rollout status sts/notes --timeout=60s").run().ok();
    noted(2);
    host.kubectl("delete pod notes-0 --wait=false").run().ok();
    host.kill_leme();
    host.up("").ok();
    noted(3);

    let grow = r#"{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}"#;
    host.kubectl("patch pvc data-notes-0 -p").arg(grow).run().ok();
    until("the claim has grown", || {
        show(&host, "pvc data-notes-0", ".status.capacity.storage") == "128Mi"
    });
    assert!(driver.calls().contains(&format!("NodeExpandVolume {volume}")));
    assert_eq!(show(&host, "pvc data-notes-0", ".status.conditions"), "");

    host.leme("down").run().ok();
    assert_eq!(mounts(&host), Vec::<String>::new());
    host.up("").ok();
    noted(4);

    host.kubectl("delete sts notes").run().ok();
    host.kubectl("delete pvc data-notes-0").run().ok();
    until("the volume has gone", || host.kubectl(&format!("get pv {volume}")).run().code != 0);
    until("it is detached", || {
        show(&host, "volumeattachment", ".items[*].metadata.name").is_empty()
    });
    until("nobody says that it is in use", || in_use().is_empty());
    assert!(!Path::new(&log).exists(), "its directory is gone");
    assert_eq!(mounts(&host), Vec::<String>::new());
    let staged = node(&host).join("plugins/kubernetes.io/csi/disk.example");
    assert!(fs::read_dir(staged).unwrap().next().is_none(), "no record is left");
    let calls = driver.calls();
    let last = |method: &str| calls.rfind(method).unwrap();
    let order = ["NodeUnpublishVolume", "NodeUnstageVolume", "ControllerUnpublishVolume"];
    assert!(order.map(last).is_sorted(), "{calls}");
    assert!(last("NodeUnstageVolume") < last("DeleteVolume"), "{calls}");

    driver.kill();
    fs::remove_file(node(&host).join("plugins_registry/disk.example-reg.sock")).unwrap();
    until("the driver has gone", || {
        object(&host, "csinode leme-0")["spec"]["drivers"].as_array().is_none_or(Vec::is_empty)
    });
}

/// A volume that is there before any claim, with its claim, and a pod that has it.
const DISK: &str = r#"
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: DRIVER}
spec: {attachRequired: ATTACH, volumeLifecycleModes: [Persistent, Ephemeral], podInfoOnMount: true}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: NAME}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  csi: {driver: DRIVER, volumeHandle: NAME}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: NAME}
spec: {storageClassName: "", volumeName: NAME, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: "leme/sample:latest", imagePullPolicy: IfNotPresent, volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: NAME}}]
"#;

/// A pod with a volume of its own.
const INLINE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: c
    image: leme/sample:latest
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "cat /data/greeting; touch /data/x || echo read-only"]
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, csi: {driver: disk.example, readOnly: true, volumeAttributes: {greeting: hello}}}]
"#;

/// Red when a driver that is away, refuses or hangs keeps other pods from running, is not told of in upstream's words, or when
/// its pods do not run once it does what it should.
#[test]
fn pods_wait_for_drivers_that_do_not_do_their_work() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let disk = |driver: &str, name: &str, attach: &str| {
        let text = DISK.replace("DRIVER", driver).replace("NAME", name).replace("ATTACH", attach);
        host.kubectl("apply -f -").run_with(&text).ok();
    };
    let told = |pod: &str, words: &str| {
        until(words, || host.kubectl(&format!("describe pod {pod}")).run().stdout.contains(words));
    };
    let ready = |pod: &str| {
        host.kubectl(&format!("wait --for=condition=Ready pod/{pod} --timeout=60s")).run().ok();
    };
    disk("away.example", "nobodys", "false");
    told(
        "nobodys",
        "MountVolume.MountDevice failed for volume \"nobodys\" : kubernetes.io/csi: attacher.MountDevice failed \
         to create newCsiDriverClient: driver name away.example not found in the list of registered CSI drivers",
    );

    let mut driver = Driver::start(&host, "disk.example");
    let make = |name: &str| fs::create_dir_all(driver.folder.join("volumes").join(name)).unwrap();
    make("refused");
    make("stuck");
    driver.fault("NodePublishVolume refuse\n");
    disk("disk.example", "refused", "true");
    told(
        "refused",
        "MountVolume.SetUp failed for volume \"refused\" : rpc error: code = Internal desc = no disk today",
    );
    driver.fault("NodeStageVolume hang\n");
    ready("refused");
    disk("disk.example", "stuck", "true");
    until("it is asked", || driver.calls().contains("NodeStageVolume stuck"));
    host.kubectl("apply -f -").run_with(INLINE).ok();
    until("a pod with a volume of its own has ended", || {
        show(&host, "pod own", ".status.phase") == "Succeeded"
    });
    let said = host.kubectl("logs own").run().ok();
    assert!(said.contains("hello") && said.contains("read-only"), "{said}");
    host.kubectl("delete pod own").run().ok();

    // The driver comes back as another process and finds what it has half done.
    driver.kill();
    driver.fault("");
    let again = Driver::start(&host, "disk.example");
    ready("stuck");

    // Who comes late still gets its pods to run, and pods whose driver does not let go stay until it does.
    let late = Driver::start(&host, "away.example");
    let volumes = late.folder.join("volumes");
    until("its folder is there", || volumes.exists());
    fs::create_dir_all(volumes.join("nobodys")).unwrap();
    again.fault("NodeUnpublishVolume refuse\n");
    host.kubectl("delete pod stuck --wait=false").run().ok();
    until("it is asked to let go", || again.calls().contains("NodeUnpublishVolume stuck"));
    assert!(host.kubectl("get pod stuck").run().code == 0);
    again.fault("");
    until("the pod has gone", || host.kubectl("get pod stuck").run().code != 0);
    host.kubectl("delete pod refused").run().ok();
    host.kubectl("delete pod nobodys").run().ok();
    until("nothing is mounted", || mounts(&host).is_empty());
}
