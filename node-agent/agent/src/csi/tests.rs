//! Volumes of a driver in memory, on a disk and an API of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use leme_csi::Fault;
use leme_csi::grpc::{INTERNAL, UNIMPLEMENTED};
use leme_csi::serve::serve;
use leme_csi::wire::{
    Can, NodeCapabilities, NodeCapability, NodeInfo, NodeRpc, PluginInfo, Publish, Unpublish,
};
use leme_node_core::csi::{CsiVolume, FsGroupPolicy, Ready};
use leme_node_core::lookup::{Key, Kind, Trouble};
use prost::Message;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::{Csi, Wish};
use crate::fakes::FakeApi;

const DRIVER: &str = "disk.example";
const UNIQUE: &str = "kubernetes.io/csi/disk.example^h";
const NODE: &str = "/api/v1/nodes/node-1";
const CSI_NODE: &str = "/apis/storage.k8s.io/v1/csinodes/node-1";

/// A driver that notes what it is asked.
#[derive(Clone, Default)]
struct Fake {
    calls: watch::Sender<Vec<String>>,
    /// Methods that fail, or that are never answered.
    refuses: Arc<Mutex<String>>,
    hangs: Arc<Mutex<String>>,
}

impl Fake {
    async fn answer(self, path: String, message: Bytes) -> Result<Vec<u8>, Fault> {
        let method = path.rsplit('/').next().unwrap_or("").to_owned();
        let said = match method.as_str() {
            "NodeGetCapabilities" => {
                let one = |can: Can| NodeCapability { rpc: Some(NodeRpc { r#type: can.into() }) };
                let can = [Can::StageUnstageVolume, Can::ExpandVolume].map(one);
                return Ok(NodeCapabilities { capabilities: can.into() }.encode_to_vec());
            }
            "GetInfo" => {
                let name = DRIVER.to_owned();
                let info = PluginInfo {
                    r#type: "CSIPlugin".to_owned(),
                    name,
                    endpoint: String::new(),
                    supported_versions: vec!["1.0.0".to_owned()],
                };
                return Ok(info.encode_to_vec());
            }
            "NodeGetInfo" => {
                NodeInfo { node_id: "n-1".to_owned(), ..NodeInfo::default() }.encode_to_vec()
            }
            "NodePublishVolume" => {
                let wish = Publish::decode(message).unwrap();
                std::fs::create_dir_all(wish.target_path).unwrap();
                Vec::new()
            }
            "NodeUnpublishVolume" => {
                let wish = Unpublish::decode(message).unwrap();
                let _ = std::fs::remove_dir(wish.target_path);
                Vec::new()
            }
            "NodeStageVolume"
            | "NodeUnstageVolume"
            | "NodeExpandVolume"
            | "NotifyRegistrationStatus" => Vec::new(),
            _ => return Err(Fault::of(UNIMPLEMENTED, path)),
        };
        self.calls.send_modify(|calls| calls.push(method.clone()));
        if *self.hangs.lock().unwrap() == method {
            std::future::pending::<()>().await;
        }
        if *self.refuses.lock().unwrap() == method {
            return Err(Fault::of(INTERNAL, "no"));
        }
        Ok(said)
    }

    fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    async fn called(&self, method: &str) {
        let mut calls = self.calls.subscribe();
        calls.wait_for(|calls| calls.iter().any(|one| one == method)).await.unwrap();
    }
}

struct World {
    root: tempfile::TempDir,
    api: FakeApi,
    fake: Fake,
}

impl World {
    fn new() -> World {
        let root = tempfile::tempdir().unwrap();
        let api = FakeApi::new();
        api.put(NODE, json!({ "metadata": { "name": "node-1", "uid": "u-1" } }));
        World { root, api, fake: Fake::default() }
    }

    /// A node agent's part, as after a start.
    fn csi(&self, limit: Duration) -> Arc<Csi> {
        let data = self.root.path().to_owned();
        let csi = Csi::new(self.api.client(), "node-1".to_owned(), data).unwrap();
        let mut csi = Arc::into_inner(csi).unwrap();
        csi.limit = limit;
        Arc::new(csi)
    }

    fn registry(&self) -> PathBuf {
        self.root.path().join("plugins_registry")
    }

    /// The driver begins to listen.
    fn listen(&self) {
        let path = self.registry().join("disk.sock");
        let _ = std::fs::remove_file(&path);
        let (listener, fake) = (UnixListener::bind(path).unwrap(), self.fake.clone());
        tokio::spawn(serve(listener, move |path, message| fake.clone().answer(path, message)));
    }

    fn pod(&self, uid: &str) -> PathBuf {
        self.root.path().join("pods").join(uid)
    }

    fn wish(&self, attached: bool) -> BTreeMap<String, Wish> {
        let volume = CsiVolume {
            driver: DRIVER.to_owned(),
            handle: "h".to_owned(),
            name: "v".to_owned(),
            access_modes: vec!["ReadWriteOncePod".to_owned()],
            claim: ("n".to_owned(), "c".to_owned()),
            ..CsiVolume::default()
        };
        let name = volume.attachment("node-1");
        if attached {
            let path = format!("/apis/storage.k8s.io/v1/volumeattachments/{name}");
            self.api.put(
                &path,
                json!({ "metadata": { "name": name }, "status": { "attached": true },
                "spec": { "attacher": DRIVER, "nodeName": "node-1", "source": {} } }),
            );
        }
        let ready = Ready {
            endpoint: self.registry().join("disk.sock").display().to_string(),
            attachment: attached.then_some(name),
            publish_context: BTreeMap::new(),
            pod_info: BTreeMap::new(),
            fs_group: FsGroupPolicy::None,
            stage_secrets: BTreeMap::new(),
            publish_secrets: BTreeMap::new(),
        };
        [("data".to_owned(), Wish { volume, ready: Ok(ready) })].into()
    }

    fn in_use(&self) -> Value {
        self.api.get(NODE)["status"]["volumesInUse"].clone()
    }
}

const LONG: Duration = Duration::from_secs(60);

async fn registered(csi: &Csi) {
    csi.plugins.subscribe().wait_for(|plugins| plugins.contains_key(DRIVER)).await.unwrap();
}

/// Red when a driver is not told to the API, or stays there when its socket has gone.
#[tokio::test]
async fn a_driver_registers_and_goes() {
    let world = World::new();
    let csi = world.csi(LONG);
    world.listen();
    let _tasks = csi.start();
    registered(&csi).await;
    world.fake.called("NotifyRegistrationStatus").await;
    let told = world.api.get(CSI_NODE);
    assert_eq!(told["spec"]["drivers"][0]["nodeID"], "n-1");
    assert_eq!(told["metadata"]["ownerReferences"][0]["uid"], "u-1");
    let id = &world.api.get(NODE)["metadata"]["annotations"]["csi.volume.kubernetes.io/nodeid"];
    assert_eq!(id, r#"{"disk.example":"n-1"}"#);

    std::fs::remove_file(world.registry().join("disk.sock")).unwrap();
    csi.told.subscribe().wait_for(|told| told.drivers.is_empty()).await.unwrap();
    assert_eq!(world.api.get(CSI_NODE)["spec"]["drivers"], json!([]));
    assert!(csi.plugins.borrow().is_empty());
}

/// Red when a volume is used before the API knows of it, when anything of it outlives its last pod, or when two pods get what is
/// for one.
#[tokio::test]
async fn a_volume_is_there_for_a_pod_and_goes_with_it() {
    let world = World::new();
    let csi = world.csi(LONG);
    world.listen();
    let _tasks = csi.start();
    registered(&csi).await;
    let (first, second) = (world.pod("a"), world.pod("b"));
    let mounted = csi.set_up(&first, world.wish(true), None).await.unwrap();
    assert!(Path::new(&mounted["data"].path).is_dir());
    assert_eq!(world.in_use(), json!([UNIQUE]));
    let refused = csi.set_up(&second, world.wish(true), None).await.unwrap_err();
    assert!(refused.contains("ReadWriteOncePod access mode and is already in use by another pod"));

    csi.tear_down(&first).await.unwrap();
    assert!(!Path::new(&mounted["data"].path).exists());
    csi.told.subscribe().wait_for(|told| told.in_use.is_empty()).await.unwrap();
    assert_eq!(world.in_use(), Value::Null);
    let calls = world.fake.calls();
    let expected =
        ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"];
    assert_eq!(&calls[2..], expected, "{calls:?}");
    assert!(super::records::staged(world.root.path()).unwrap().is_empty());
}

/// Red when what was asked for before the agent ended is forgotten: each time another agent goes on where one has stopped.
#[tokio::test]
async fn what_is_half_done_is_undone_by_the_next_agent() {
    for stage in
        ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]
    {
        let world = World::new();
        let pod = world.pod("a");
        {
            let csi = world.csi(LONG);
            world.listen();
            let _tasks = csi.start();
            registered(&csi).await;
            *world.fake.hangs.lock().unwrap() = stage.to_owned();
            let (csi, pod, wish) = (csi.clone(), pod.clone(), world.wish(true));
            let life = tokio::spawn(async move {
                csi.set_up(&pod, wish, None).await.unwrap();
                csi.tear_down(&pod).await.unwrap();
                std::future::pending::<()>().await;
            });
            world.fake.called(stage).await;
            life.abort();
        }
        world.fake.hangs.lock().unwrap().clear();
        let csi = world.csi(LONG);
        assert!(csi.wanted.borrow().in_use.contains(UNIQUE), "{stage}");
        let _tasks = csi.start();
        csi.clone().sweep(Vec::new()).await;
        csi.told.subscribe().wait_for(|told| told.drivers.contains_key(DRIVER)).await.unwrap();
        csi.told.subscribe().wait_for(|told| told.in_use.is_empty()).await.unwrap();
        assert_eq!(world.fake.calls().last().unwrap(), "NodeUnstageVolume", "{stage}");
        assert!(super::records::staged(world.root.path()).unwrap().is_empty(), "{stage}");
        assert!(super::records::published(&pod).unwrap().is_empty(), "{stage}");
    }
}

/// Red when a driver that hangs is waited for without end, when one that refuses is asked to undo what it has not done, or when
/// a pod lets go without its driver.
#[tokio::test]
async fn drivers_that_hang_or_refuse_are_told_of() {
    let world = World::new();
    let csi = world.csi(Duration::from_millis(300));
    world.listen();
    let pod = world.pod("a");
    *world.fake.refuses.lock().unwrap() = "NodeStageVolume".to_owned();
    let why = csi.set_up(&pod, world.wish(false), None).await.unwrap_err();
    assert_eq!(
        why,
        "MountVolume.MountDevice failed for volume \"v\" : rpc error: code = Internal desc = no"
    );
    // Nothing was done, so that no driver is needed.
    csi.tear_down(&pod).await.unwrap();
    csi.give_back(DRIVER, "h").await;
    assert_eq!(world.fake.calls(), ["NodeStageVolume"]);

    world.fake.refuses.lock().unwrap().clear();
    *world.fake.hangs.lock().unwrap() = "NodePublishVolume".to_owned();
    let why = csi.set_up(&pod, world.wish(false), None).await.unwrap_err();
    assert_eq!(
        why,
        "MountVolume.SetUp failed for volume \"v\" : rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    );
    let why = csi.tear_down(&pod).await.unwrap_err();
    assert_eq!(
        why,
        "UnmountVolume.TearDown failed for volume \"v\" : driver name disk.example not found in the list of registered CSI drivers"
    );
    let _tasks = csi.start();
    registered(&csi).await;
    csi.tear_down(&pod).await.unwrap();
    world.fake.called("NodeUnstageVolume").await;
}

/// Red when a pod is told of what it waits for, though that will be heard of.
#[tokio::test]
async fn what_is_not_attached_is_waited_for_without_a_word() {
    let world = World::new();
    let csi = world.csi(LONG);
    world.listen();
    let _tasks = csi.start();
    let mut wish = world.wish(true);
    let key = Key::new(Kind::Attachment, "", "x");
    wish.get_mut("data").unwrap().ready = Err(Trouble::Loading(key));
    assert_eq!(csi.set_up(&world.pod("a"), wish, None).await.unwrap_err(), "");
    // The API says something else by now than what was heard.
    let wish = world.wish(true);
    let name = wish["data"].volume.attachment("node-1");
    world.api.remove(&format!("/apis/storage.k8s.io/v1/volumeattachments/{name}"));
    assert_eq!(csi.set_up(&world.pod("a"), wish, None).await.unwrap_err(), "");
    assert!(!world.fake.calls().contains(&"NodeStageVolume".to_owned()));
}

/// Red when a volume that has grown is left as it is after a driver has failed once, or when its claim is told too much.
#[tokio::test]
async fn what_has_grown_is_made_to_fit_until_that_works() {
    const CLAIM: &str = "/api/v1/namespaces/n/persistentvolumeclaims/c";
    let world = World::new();
    let csi = world.csi(LONG);
    world.listen();
    let _tasks = csi.start();
    registered(&csi).await;
    let pod = world.pod("a");
    let volume = world.wish(false)["data"].volume.clone();
    let size = |size: &str| {
        json!({ "metadata": {}, "spec": { "capacity": { "storage": size } },
        "status": { "capacity": { "storage": "1Gi" } } })
    };
    world.api.put(CLAIM, size("1Gi"));
    world.api.put("/api/v1/persistentvolumes/v", size("2Gi"));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let tell = move |notice| tell.send(notice).is_ok();
    // No pod has it.
    csi.clone().expand(pod.clone(), volume.clone(), tell.clone()).await;
    csi.set_up(&pod, world.wish(false), None).await.unwrap();
    *world.fake.refuses.lock().unwrap() = "NodeExpandVolume".to_owned();
    tokio::spawn(csi.clone().expand(pod.clone(), volume.clone(), tell.clone()));
    let first = told.recv().await.unwrap();
    assert!(first.warning && first.message.ends_with("code = Internal desc = no"), "{first:?}");
    assert_eq!(world.api.get(CLAIM)["status"]["capacity"]["storage"], "1Gi");
    world.fake.refuses.lock().unwrap().clear();
    let done = told.recv().await.unwrap();
    assert_eq!((done.warning, done.reason), (false, "FileSystemResizeSuccessful"));
    assert_eq!(world.api.get(CLAIM)["status"]["capacity"]["storage"], "2Gi");
    csi.expand(pod, volume, tell).await;
    assert!(told.try_recv().is_err());
}
