//! Containers outlive the engine, whatever becomes of it.

mod support;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use leme_cri::{Runtime, RuntimeEvent};
use leme_node_core::cri::{ContainerState, SandboxState};
use support::{Node, run, sh, shell};

const HOST: &str = "LEME_TEST_ENGINE_HOST";

/// Not a test by itself: the process that another test starts and kills.
#[tokio::test]
async fn host_an_engine() {
    let Ok(directory) = std::env::var(HOST) else { return };
    let config = support::config_in(Path::new(&directory));
    let runtime = leme_cri::embedded::EmbeddedRuntime::start(config).await.unwrap();
    let sandbox = runtime.sandboxes().await.unwrap().remove(0).id;
    let id =
        run(&runtime, &sandbox, &shell("child", "while :; do echo tick; sleep 0.02; done")).await;
    let waiting = runtime.create_container(&sandbox, &shell("waiting", "echo woke")).await.unwrap();
    std::fs::write(Path::new(&directory).join("ids"), format!("{id} {waiting}")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_engine_leaves_its_containers_running() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    drop(runtime);
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host_an_engine", "--nocapture"])
        .env(HOST, node.directory.path())
        .spawn()
        .unwrap();
    let ids = node.directory.path().join("ids");
    support::wait_for("the other engine", || ids.exists()).await;
    host.kill().unwrap();
    host.wait().unwrap();
    let ids = std::fs::read_to_string(ids).unwrap();
    let (running, waiting) = ids.split_once(' ').unwrap();
    let runtime = node.start().await;
    let status = runtime.container(running).await.unwrap();
    assert_eq!(status.state, ContainerState::Running);
    assert!(status.pid > 0 && status.started_at > 0);
    assert_eq!(runtime.container(waiting).await.unwrap().state, ContainerState::Created);
    assert_eq!(runtime.sandboxes().await.unwrap()[0].state, SandboxState::Ready);
    let lines = node.log("pod", "child").lines().count();
    support::wait_for("more output", || node.log("pod", "child").lines().count() > lines + 2).await;
    assert_eq!(sh(&runtime, running, "echo in").await.unwrap(), ("in".into(), 0));
    runtime.start_container(waiting).await.unwrap();
    assert_eq!(support::ended(&runtime, waiting).await.exit_code, 0);
    assert_eq!(node.log_text("pod", "waiting"), "woke\n");
    runtime.stop_container(running, Duration::from_millis(20)).await.unwrap();
    runtime.remove_sandbox(&sandbox).await.unwrap();
    node.finish().await;
}

#[tokio::test]
async fn an_end_while_nobody_watched_is_known() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    let id = run(
        &runtime,
        &sandbox,
        &shell("brief", "while ! test -e /dev/shm/go; do sleep 0.01; done; exit 9"),
    )
    .await;
    let lost = run(&runtime, &sandbox, &shell("lost", "sleep 600")).await;
    let pid = runtime.container(&lost).await.unwrap().pid;
    assert_eq!(sh(&runtime, &id, "touch /dev/shm/go").await.unwrap().1, 0);
    drop(runtime);
    let state = node.config.root.join("containers");
    support::wait_for("exit record", || state.join(&id).join("exit.json").exists()).await;
    // Its watcher killed as well, a container cannot be vouched for: it is ended.
    let shim = std::fs::read_to_string(state.join(&lost).join("shim.json")).unwrap();
    let shim: serde_json::Value = serde_json::from_str(&shim).unwrap();
    leme_host::sys::send_signal(shim["shim"]["pid"].as_i64().unwrap() as i32, 9).unwrap();
    assert!(support::gone(shim["shim"]["pid"].as_i64().unwrap() as i32));
    let runtime = node.start().await;
    assert_eq!(runtime.container(&id).await.unwrap().exit_code, 9);
    let status = runtime.container(&lost).await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 137));
    assert!(support::gone(pid));
    node.finish().await;
}

#[tokio::test]
async fn a_shim_that_dies_under_the_engine_is_noticed() {
    let node = Node::new();
    let runtime = node.start().await;
    let mut events = runtime.events();
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("lost", "sleep 600")).await;
    assert_eq!(events.next().await, Some(RuntimeEvent::ContainerStarted { id: id.clone() }));
    let shim = support::shims_of(&node.config.root)[0];
    leme_host::sys::send_signal(shim, 9).unwrap();
    assert_eq!(events.next().await, Some(RuntimeEvent::ContainerExited { id: id.clone() }));
    assert_eq!(runtime.container(&id).await.unwrap().exit_code, 137);
    runtime.remove_container(&id).await.unwrap();
    node.finish().await;
}

#[tokio::test]
async fn images_loaded_by_another_process_are_seen_and_removed_ones_gone() {
    let node = Node::new();
    let runtime = node.start().await;
    assert!(runtime.image("second").await.unwrap().is_none());
    let other = leme_host::images::ImageStore::open(&node.config.images).unwrap();
    let archive = support::docker_archive(
        "second",
        &[support::busybox_layer()],
        serde_json::json!({"User": "app"}),
    );
    assert_eq!(other.load_reader(archive.as_slice()).unwrap(), ["docker.io/library/second:latest"]);
    let image = runtime.image("docker.io/library/second").await.unwrap().unwrap();
    assert_eq!((image.uid, image.username.as_str()), (None, "app"));
    assert_eq!(image.tags, ["docker.io/library/second:latest"]);
    assert_eq!(runtime.images().await.unwrap().len(), 2);
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("user", "sleep 600")).await;
    for image in [support::IMAGE, &image.id, "absent"] {
        runtime.remove_image(image).await.unwrap();
    }
    assert!(runtime.images().await.unwrap().is_empty());
    // A running container keeps its files.
    assert_eq!(sh(&runtime, &id, "cat /etc/group | head -n 1").await.unwrap().0, "root:x:0:");
    node.finish().await;
}
