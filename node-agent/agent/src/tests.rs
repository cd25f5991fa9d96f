//! The agent against a runtime and an API in memory.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::fakes::{FakeApi, FakeRuntime};
use crate::view::Views;
use crate::{AgentConfig, agent::Agent};

const POD: &str = "/api/v1/namespaces/n/pods/p";

struct Node {
    api: FakeApi,
    runtime: Arc<FakeRuntime>,
    data: tempfile::TempDir,
    token: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
    caught_up: tokio::sync::watch::Receiver<bool>,
}

fn tls() -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver))
}

fn config(
    api: &FakeApi,
    runtime: Arc<FakeRuntime>,
    data: &std::path::Path,
) -> (AgentConfig, tokio::sync::watch::Receiver<bool>) {
    let (caught_up, told) = tokio::sync::watch::channel(false);
    let config = AgentConfig {
        node_name: "node-1".into(),
        client: api.client(),
        runtime,
        data_dir: data.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: tls(),
        node_ip: "127.0.0.1".parse().unwrap(),
        cluster_dns: None,
        cluster_domain: "cluster.local".into(),
        pod_cidr: "10.244.0.0/24".into(),
        labels: [("zone".to_owned(), "a".to_owned())].into(),
        max_pods: 110,
        policy: Default::default(),
        registry: None,
        caught_up,
    };
    (config, told)
}

fn agent_of(config: AgentConfig) -> Agent {
    let (client, data) = (config.client.clone(), config.data_dir.clone());
    let csi = crate::csi::Csi::new(client, config.node_name.clone(), data).unwrap();
    Agent::new(config, csi, Views::default(), 10250)
}

impl Node {
    fn start(api: FakeApi, runtime: Arc<FakeRuntime>, data: tempfile::TempDir) -> Self {
        let (config, caught_up) = config(&api, runtime.clone(), data.path());
        let token = CancellationToken::new();
        let mut agent = agent_of(config);
        agent.measure_every = Duration::from_millis(200);
        let task = tokio::spawn(agent.run(token.clone()));
        Self { api, runtime, data, token, task, caught_up }
    }

    async fn stop(self) -> (FakeApi, Arc<FakeRuntime>, tempfile::TempDir) {
        self.token.cancel();
        self.task.await.unwrap().unwrap();
        (self.api, self.runtime, self.data)
    }

    /// Waits until something holds; a bounded time.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never: {what}; pod {:#}; calls {:?}", self.api.get(POD), self.runtime.lock().calls);
    }

    fn phase(&self) -> Value {
        self.api.get(POD)["status"]["phase"].clone()
    }

    fn reasons(&self) -> Vec<String> {
        let events = self.api.under("/api/v1/namespaces/n/events/");
        events.iter().map(|e| e["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

fn pod(spec: Value) -> Value {
    let mut spec = spec;
    spec["nodeName"] = "node-1".into();
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "p", "namespace": "n", "uid": "u1"}})
}

fn fresh() -> Node {
    Node::start(FakeApi::new(), FakeRuntime::new(&["i"]), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn registers_and_runs_a_pod() {
    let node = fresh();
    node.until("node registered", |n| {
        let conditions = &n.api.get("/api/v1/nodes/node-1")["status"]["conditions"];
        let ready = conditions.as_array().into_iter().flatten();
        ready.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
    .await;
    assert_eq!(node.api.get("/api/v1/nodes/node-1")["metadata"]["labels"]["zone"], "a");
    node.until("lease", |n| {
        let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1";
        n.api.get(path)["spec"]["leaseDurationSeconds"] == 40
    })
    .await;
    let map = "/api/v1/namespaces/n/configmaps/m";
    node.api.put(
        POD,
        pod(json!({"containers": [{"name": "c", "image": "i",
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        "volumes": [{"name": "v", "configMap": {"name": "m"}}]})),
    );
    node.until("mount trouble is told", |n| n.reasons().contains(&"FailedMount".to_owned())).await;
    node.api.put(map, json!({"metadata": {"name": "m", "namespace": "n"}, "data": {"a": "1"}}));
    node.until("pod runs", |n| n.phase() == "Running").await;
    let status = node.api.get(POD)["status"].clone();
    assert_eq!(status["podIP"], "127.0.0.1");
    let (id, config) = {
        let state = node.runtime.lock();
        let (id, config) = state.configs.iter().next().unwrap();
        (id.clone(), config.clone())
    };
    assert_eq!(status["containerStatuses"][0]["containerID"], format!("leme://{id}"));
    assert!(config.env.contains(&("A".into(), "1".into())));
    let file = std::path::Path::new(&config.mounts[0].host_path).join("a");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
    node.api.put(map, json!({"metadata": {"name": "m", "namespace": "n"}, "data": {"a": "2"}}));
    node.until("volume follows", |_| std::fs::read_to_string(&file).is_ok_and(|t| t == "2")).await;
    node.stop().await;
}

#[tokio::test]
async fn restarts_and_deletes() {
    let node = fresh();
    node.api.put(POD, pod(json!({"containers": [{"name": "c", "image": "i"}]})));
    node.until("pod runs", |n| n.phase() == "Running").await;
    let id = node.runtime.lock().containers.keys().next().unwrap().clone();
    node.runtime.exit(&id, 1);
    node.until("restarted", |n| {
        n.api.get(POD)["status"]["containerStatuses"][0]["restartCount"] == 1
    })
    .await;
    let mut dying = node.api.get(POD);
    dying["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    dying["metadata"]["deletionGracePeriodSeconds"] = 1.into();
    node.api.put(POD, dying);
    node.until("pod deleted", |n| n.api.get(POD).is_null()).await;
    let options = node.api.deletes.lock().unwrap()[0].clone();
    assert_eq!(options["gracePeriodSeconds"], 0);
    assert_eq!(options["preconditions"]["uid"], "u1");
    node.until("remains removed", |n| n.runtime.lock().sandboxes.is_empty()).await;
    node.until("directory removed", |n| !n.data.path().join("pods/u1").exists()).await;
    node.stop().await;
}

#[tokio::test]
async fn missing_image_is_told_and_found_later() {
    let node = fresh();
    node.api.put(POD, pod(json!({"containers": [{"name": "c", "image": "other"}]})));
    let waiting =
        |n: &Node| n.api.get(POD)["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    node.until("told", |n| waiting(n)["reason"] == "ErrImagePull").await;
    assert!(waiting(&node)["message"].as_str().unwrap().contains("leme image load"));
    node.runtime.lock().images.push("other".into());
    node.until("pod runs", |n| n.phase() == "Running").await;
    node.stop().await;
}

#[tokio::test]
async fn containers_outlive_the_agent() {
    let node = fresh();
    node.api.put(POD, pod(json!({"containers": [{"name": "c", "image": "i"}]})));
    node.until("pod runs", |n| n.phase() == "Running").await;
    let (api, runtime, data) = node.stop().await;
    let before = runtime.lock().containers.clone();
    assert_eq!(before.len(), 1);
    // While no agent looks, another pod vanishes from the API.
    runtime.lock().calls.clear();
    let stray = leme_node_core::cri::SandboxConfig {
        pod: leme_node_core::cri::PodIdentity {
            name: "gone".into(),
            namespace: "n".into(),
            uid: "u2".into(),
        },
        ..Default::default()
    };
    leme_cri::Runtime::run_sandbox(&*runtime, &stray).await.unwrap();
    let node = Node::start(api, runtime, data);
    node.until("stray removed", |n| n.runtime.lock().sandboxes.len() == 1).await;
    assert_eq!(node.runtime.lock().containers, before);
    assert_eq!(node.phase(), "Running");
    node.stop().await;
}

// Red when nobody says how containers ended that are stopped with their node: their end is unknown then, and their code made
// up.
#[tokio::test]
async fn what_is_stopped_with_its_node_is_told_as_it_ended() {
    let node = fresh();
    node.api.put(POD, pod(json!({"containers": [{"name": "c", "image": "i"}]})));
    node.until("pod runs", |n| n.phase() == "Running").await;
    let (api, runtime, data) = node.stop().await;
    let id = runtime.lock().containers.keys().next().unwrap().clone();
    runtime.exit(&id, 7);
    assert_eq!(crate::tell_ends(&api.client(), "node-1", &*runtime).await, [] as [String; 0]);
    let ended = |state: &Value| state["terminated"]["exitCode"].clone();
    let told = api.get(POD)["status"]["containerStatuses"][0].clone();
    assert_eq!((ended(&told["state"]), &told["ready"]), (json!(7), &json!(false)));
    // Whoever comes next finds nothing of it but that.
    let node = Node::start(api, FakeRuntime::new(&["i"]), data);
    node.until("it runs again", |n| {
        let status = &n.api.get(POD)["status"]["containerStatuses"][0];
        status["state"]["running"].is_object() && status["restartCount"] == 1
    })
    .await;
    let status = &node.api.get(POD)["status"]["containerStatuses"][0];
    assert_eq!(
        (ended(&status["lastState"]), &status["lastState"]["terminated"]["reason"]),
        (json!(7), &json!("Error"))
    );
    node.stop().await;
}

/// A mount namespace for this test's threads, gone with them: volumes in memory are mounts.
fn own_mounts() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("root is needed to mount");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

// Red when volumes are looked at again only when what the pod refers to changes.
#[tokio::test]
async fn downward_volumes_follow_the_pod() {
    own_mounts();
    let node = fresh();
    let labelled = |value: &str| {
        let items = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
            {"path": "note", "fieldRef": {"fieldPath": "metadata.annotations['note']"}}]);
        let mut pod = pod(json!({"containers": [{"name": "c", "image": "i",
            "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "downwardAPI": {"items": items}}]}));
        pod["metadata"]["labels"] = json!({"tier": value});
        pod["metadata"]["annotations"] = json!({"note": value});
        pod
    };
    node.api.put(POD, labelled("one"));
    node.until("pod runs", |n| n.phase() == "Running").await;
    let at = node.data.path().join("pods/u1/volumes/files/v");
    let holds = |name: &str, want: &str| {
        std::fs::read_to_string(at.join(name)).is_ok_and(|text| text == want)
    };
    assert!(holds("labels", "tier=\"one\"") && holds("note", "one"));
    node.api.put(POD, labelled("two"));
    node.until("files follow", |_| holds("labels", "tier=\"two\"") && holds("note", "two")).await;
    let (_, _, data) = node.stop().await;
    crate::release(data.path()).unwrap();
}

// Red when nothing measures: the pod keeps what it wrote and runs on.
#[tokio::test]
async fn a_pod_over_its_limits_is_evicted_and_its_volumes_go() {
    for (limited, written, want) in [
        (
            json!({"containers": [{"name": "c", "image": "i"}],
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "64Ki"}}]}),
            0,
            "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ",
        ),
        (
            json!({"containers": [{"name": "c", "image": "i",
                "resources": {"limits": {"ephemeral-storage": "1Mi"}}}]}),
            2 << 20,
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
    ] {
        let node = fresh();
        node.api.put(POD, pod(limited));
        node.until("pod runs", |n| n.phase() == "Running").await;
        let volume = node.data.path().join("pods/u1/volumes/empty-dir/v");
        if volume.exists() {
            std::fs::write(volume.join("big"), vec![1; 128 << 10]).unwrap();
        }
        let id = node.runtime.lock().containers.keys().next().unwrap().clone();
        node.runtime.lock().written.insert(id, written);
        node.until("pod failed", |n| n.phase() == "Failed").await;
        let status = node.api.get(POD)["status"].clone();
        assert_eq!((&status["reason"], &status["message"]), (&json!("Evicted"), &json!(want)));
        node.until("told", |n| n.reasons().contains(&"Evicted".to_owned())).await;
        node.until("volumes removed", |n| !n.data.path().join("pods/u1/volumes").exists()).await;
        node.stop().await;
    }
}

/// The runtime's stream of events ends before its first listing, so that there are two followers of it by then. Red when
/// the number of tasks tells whether pods are watched.
#[tokio::test]
async fn pods_are_watched_whatever_the_runtime_s_events_do() {
    let data = tempfile::tempdir().unwrap();
    let (config, _told) = config(&FakeApi::new(), FakeRuntime::new(&[]), data.path());
    let mut agent = agent_of(config);
    agent.watch_runtime();
    agent.watch_runtime();
    let before = agent.streams.len();
    agent.handle_listed(Err("not yet".to_owned()));
    assert_eq!(agent.streams.len(), before);
    for _ in 0..2 {
        agent.handle_listed(Ok((Vec::new(), Vec::new())));
        assert_eq!(agent.streams.len(), before + 1);
    }
}

/// What the API had from before: a Lease that was written before its Node was. Red when only a new lease gets an owner.
#[tokio::test]
async fn a_lease_goes_with_its_node() {
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1";
    let api = FakeApi::new();
    api.put("/api/v1/nodes/node-1", json!({"metadata": {"name": "node-1", "uid": "uid-node-1"}}));
    api.put(path, json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease"}}));
    let node = Node::start(api, FakeRuntime::new(&[]), tempfile::tempdir().unwrap());
    node.until("owned", |n| {
        let owner = &n.api.get(path)["metadata"]["ownerReferences"][0];
        owner["uid"] == "uid-node-1" && owner["kind"] == "Node" && owner["apiVersion"] == "v1"
    })
    .await;
    assert_eq!(node.api.get(path)["spec"]["holderIdentity"], "node-1");
    node.stop().await;
}

/// A cluster that was stopped left a pod in the API that calls itself ready. Red when the agent counts as caught up before
/// it has written what is true.
#[tokio::test]
async fn catches_up_with_what_an_earlier_agent_left() {
    let api = FakeApi::new();
    let mut old = pod(json!({"containers": [{"name": "c", "image": "absent"}]}));
    old["status"] = json!({"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "ready": true, "restartCount": 0, "image": "absent",
            "imageID": "", "containerID": "leme://gone"}]});
    api.put(POD, old);
    let node = Node::start(api, FakeRuntime::new(&[]), tempfile::tempdir().unwrap());
    let mut told = node.caught_up.clone();
    told.wait_for(|told| *told).await.unwrap();
    let status = node.api.get(POD)["status"].clone();
    let ready = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready");
    assert_eq!(ready.unwrap()["status"], "False", "{status}");
    assert!(!node.api.get("/api/v1/nodes/node-1").is_null());
    node.stop().await;
}

/// Red when a node waits for ever for the API to take the status of one pod.
#[tokio::test]
async fn catches_up_with_a_pod_whose_status_is_refused() {
    let api = FakeApi::new();
    api.put(POD, pod(json!({"containers": [{"name": "c", "image": "absent"}]})));
    *api.refuses.lock().unwrap() = POD.to_owned();
    let node = Node::start(api, FakeRuntime::new(&[]), tempfile::tempdir().unwrap());
    let mut told = node.caught_up.clone();
    tokio::time::timeout(Duration::from_secs(10), told.wait_for(|told| *told))
        .await
        .unwrap()
        .unwrap();
    // What it would not take is told again.
    node.api.refuses.lock().unwrap().clear();
    node.until("told", |n| n.phase() == "Pending").await;
    node.stop().await;
}

#[tokio::test]
async fn a_refused_pod_fails_with_the_reason() {
    let node = fresh();
    node.api.put(
        POD,
        pod(
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]},
            "containers": [{"name": "c", "image": "i"}]}),
        ),
    );
    node.until("failed", |n| n.phase() == "Failed").await;
    let status = node.api.get(POD)["status"].clone();
    assert_eq!(status["reason"], "SysctlForbidden");
    let message = "Pod was rejected: forbidden sysctl: \"net.ipv4.ip_forward\" not allowlisted";
    assert_eq!(status["message"], message);
    node.until("told", |n| n.reasons().contains(&"SysctlForbidden".to_owned())).await;
    assert!(node.runtime.lock().calls.is_empty(), "{:?}", node.runtime.lock().calls);
    node.stop().await;
}

/// Red when old logs stay until the pod goes.
#[tokio::test]
async fn logs_of_runs_that_nobody_can_ask_for_go() {
    let runtime = FakeRuntime::new(&["i"]);
    let data = tempfile::tempdir().unwrap();
    let log = |n: u32| data.path().join(format!("{n}.log"));
    for attempt in 0..3 {
        let config = leme_node_core::cri::ContainerConfig {
            name: "c".into(),
            attempt,
            ..Default::default()
        };
        let id = leme_cri::Runtime::create_container(&*runtime, "s", &config).await.unwrap();
        std::fs::write(log(attempt), "text").unwrap();
        std::fs::write(data.path().join(format!("{attempt}.log.20260101-000000")), "old").unwrap();
        let path = log(attempt).display().to_string();
        runtime.lock().containers.get_mut(&id).unwrap().log_path = path;
    }
    let ids: Vec<String> = runtime.lock().containers.keys().cloned().collect();
    crate::worker::remove_container(&*runtime, &ids[0]).await.unwrap();
    assert!(!log(0).exists() && !data.path().join("0.log.20260101-000000").exists());
    // The newest is nobody's predecessor: its log is what `logs` shows.
    crate::worker::remove_container(&*runtime, &ids[2]).await.unwrap();
    assert!(log(1).exists() && log(2).exists());
    assert!(data.path().join("2.log.20260101-000000").exists());
}
