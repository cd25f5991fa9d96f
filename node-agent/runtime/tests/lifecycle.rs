//! Real containers from start to end.

mod support;

use std::path::Path;
use std::time::Duration;

use leme_cri::{Runtime, RuntimeError};
use leme_node_core::cri::{ContainerState, Mount, Propagation, SandboxState};
use support::{Node, ended, run, sh, shell};

#[tokio::test]
async fn runs_logs_and_exits() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("web")).await.unwrap();
    let status = runtime.sandboxes().await.unwrap().remove(0);
    assert_eq!((status.state, status.ip.as_str()), (SandboxState::Ready, "10.9.8.7"));
    let script = "echo out; echo err >&2; hostname; cat /etc/hosts /etc/resolv.conf; echo $FROM $ME; pwd; exit 3";
    let mut config = shell("app", script);
    config.env = vec![("ME".into(), "pod".into())];
    config.working_dir = "/made/here".into();
    let id = run(&runtime, &sandbox, &config).await;
    let status = ended(&runtime, &id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
    assert!(status.started_at > 0 && status.finished_at >= status.started_at);
    let log = node.log("web", "app");
    let text = node.log_text("web", "app");
    assert!(log.lines().any(|line| line.contains(" stdout F out")), "{log}");
    assert!(log.lines().any(|line| line.contains(" stderr F err")), "{log}");
    for expected in ["web\n", "10.9.8.7\tweb", "nameserver 10.0.0.10", "image pod", "/made/here"] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    runtime.remove_container(&id).await.unwrap();
    runtime.remove_container(&id).await.unwrap();
    assert!(!node.log("web", "app").is_empty());
    runtime.stop_sandbox(&sandbox).await.unwrap();
    assert_eq!(runtime.sandboxes().await.unwrap()[0].state, SandboxState::NotReady);
    runtime.remove_sandbox(&sandbox).await.unwrap();
    runtime.remove_sandbox(&sandbox).await.unwrap();
    assert!(runtime.sandboxes().await.unwrap().is_empty());
    node.finish().await;
}

#[tokio::test]
async fn stops_with_the_signal_then_by_force() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("stop")).await.unwrap();
    let polite =
        shell("polite", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    let polite = run(&runtime, &sandbox, &polite).await;
    let deaf = run(
        &runtime,
        &sandbox,
        &shell("deaf", "trap '' TERM; echo ready; while :; do sleep 600 & wait; done"),
    )
    .await;
    for name in ["polite", "deaf"] {
        support::wait_for("ready", || node.log_text("stop", name).contains("ready")).await;
    }
    runtime.stop_container(&polite, Duration::from_secs(20)).await.unwrap();
    assert_eq!(runtime.container(&polite).await.unwrap().exit_code, 7);
    assert!(node.log_text("stop", "polite").contains("bye"));
    runtime.stop_container(&deaf, Duration::from_millis(50)).await.unwrap();
    assert_eq!(runtime.container(&deaf).await.unwrap().exit_code, 137);
    let killed = run(&runtime, &sandbox, &shell("self", "kill -USR1 $$; sleep 5")).await;
    let _ = killed;
    runtime.stop_container(&killed, Duration::ZERO).await.unwrap();
    runtime.remove_sandbox(&sandbox).await.unwrap();
    assert!(runtime.containers().await.unwrap().is_empty());
    node.finish().await;
}

#[tokio::test]
async fn wrong_requests_say_what_is_wrong() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("bad")).await.unwrap();
    let with = |command: &str, change: &dyn Fn(&mut leme_node_core::cri::ContainerConfig)| {
        let mut config = shell("x", "true");
        config.command = vec![command.into()];
        change(&mut config);
        config
    };
    let missing_image = with("/bin/true", &|c| c.image = "nothing:here".into());
    let error = runtime.create_container(&sandbox, &missing_image).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::NotFound(text) if text.contains("nothing:here")),
        "{error}"
    );
    for (config, expected) in [
        (with("true", &|c| c.security.run_as_user = Some(-5)), "bad user id"),
        (with("true", &|c| c.security.add_capabilities = vec!["FLY".into()]), "unknown capability"),
        (with("true", &|c| c.working_dir = "rel".into()), "not an absolute path"),
        (
            with("true", &|c| {
                c.mounts.push(leme_node_core::cri::Mount {
                    host_path: "/does/not/exist".into(),
                    container_path: "/x".into(),
                    ..Default::default()
                })
            }),
            "does not exist",
        ),
    ] {
        let error = runtime.create_container(&sandbox, &config).await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Invalid(text) if text.contains(expected)),
            "{expected}: {error:?}"
        );
    }
    // A program that cannot be executed is a start that failed, as it is elsewhere: red where no container is made of it.
    for (program, expected) in [
        ("nope", "executable file not found in $PATH"),
        ("/bin/nope", "no such file or directory"),
        ("/bin/text", "permission denied"),
        ("/bin", "is a directory"),
        ("/bin/garbage", "Exec format error"),
    ] {
        let id = runtime.create_container(&sandbox, &with(program, &|_| {})).await.unwrap();
        let error = runtime.start_container(&id).await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Invalid(text) if text.contains(expected)),
            "{expected}: {error:?}"
        );
        let status = ended(&runtime, &id).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
        runtime.remove_container(&id).await.unwrap();
    }
    assert!(runtime.containers().await.unwrap().is_empty());
    assert!(matches!(runtime.container("none").await, Err(RuntimeError::NotFound(_))));
    node.finish().await;
}

#[tokio::test]
async fn memory_limit_is_enforced_and_told() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("oom")).await.unwrap();
    let mut config = shell("eater", "x=a; while :; do x=$x$x; done");
    config.resources.memory_limit = 16 << 20;
    config.resources.cpu_shares = 128;
    config.resources.oom_score_adj = 900;
    let id = runtime.create_container(&sandbox, &config).await.unwrap();
    let pod = format!("/sys/fs/cgroup/cpu/{}/poduid-oom/cpu.shares", node.config.cgroup_parent);
    if leme_host::cgroup::layout() == leme_host::cgroup::Layout::PerController {
        assert_eq!(std::fs::read_to_string(pod).unwrap().trim(), "128");
    }
    runtime.start_container(&id).await.unwrap();
    let status = ended(&runtime, &id).await;
    assert!(status.oom_killed, "{status:?}");
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    node.finish().await;
}

#[tokio::test]
async fn containers_of_a_pod_share_what_they_should() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    let script = "echo hi > /dev/shm/file; for n in net ipc uts; do readlink /proc/self/ns/$n; done > /dev/shm/list; \
                  mv /dev/shm/list /dev/shm/ns; sleep 600";
    let first = run(&runtime, &sandbox, &shell("first", script)).await;
    let second = run(&runtime, &sandbox, &shell("second", "sleep 600")).await;
    let compare = "while ! test -s /dev/shm/ns; do sleep 0.01; done; cat /dev/shm/file; \
                   for n in net ipc uts; do readlink /proc/self/ns/$n; done > /tmp/ns; \
                   test \"$(cat /tmp/ns)\" = \"$(cat /dev/shm/ns)\" && echo same";
    let (text, code) = sh(&runtime, &second, compare).await.unwrap();
    assert_eq!((text.lines().take(2).collect::<Vec<_>>(), code), (vec!["hi", "same"], 0));
    let (text, _) = sh(&runtime, &second, "ip addr show lo").await.unwrap();
    assert!(text.contains("UP") && text.contains("127.0.0.1"), "{text}");
    assert_eq!(runtime.container(&first).await.unwrap().state, ContainerState::Running);
    let other = runtime.run_sandbox(&node.sandbox("shared")).await.unwrap();
    let mut config = shell("one", "sleep 601");
    config.share_pid = true;
    run(&runtime, &other, &config).await;
    let mut config = shell("two", "sleep 602");
    config.share_pid = true;
    let two = run(&runtime, &other, &config).await;
    let (text, _) = sh(&runtime, &two, "ps").await.unwrap();
    assert!(text.contains("sleep 601") && text.contains("sleep 602"), "{text}");
    // The namespace's first process has nothing to offer, not even to one who may trace it.
    let mut config = shell("tracer", "sleep 603");
    config.share_pid = true;
    config.security.add_capabilities = vec!["SYS_PTRACE".into()];
    let tracer = run(&runtime, &other, &config).await;
    let look = "ls -A /proc/1/root/ /proc/1/fd; \
                test $(readlink /proc/self/ns/net) = $(readlink /proc/1/ns/net) && echo same; \
                grep -E 'Uid|CapPrm' /proc/1/status";
    let (text, _) = sh(&runtime, &tracer, look).await.unwrap();
    let compact: String = text.split_whitespace().collect();
    let nobody = "Uid:65535655356553565535CapPrm:0000000000000000";
    assert!(compact.starts_with("/proc/1/fd:/proc/1/root/:same"), "{text}");
    assert!(compact.ends_with(nobody), "{text}");
    node.finish().await;
}

/// Red when `target` is not looked at: a debugger would see nothing but itself.
#[tokio::test]
async fn a_container_sees_the_processes_of_its_target_and_of_nobody_else() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("pod")).await.unwrap();
    let first = run(&runtime, &sandbox, &shell("first", "sleep 601")).await;
    run(&runtime, &sandbox, &shell("second", "sleep 602")).await;
    let debugger = |target: &str, name: &str| {
        let mut config = shell(name, "ps; sleep 603");
        config.target = target.into();
        config
    };
    let third = run(&runtime, &sandbox, &debugger(&first, "third")).await;
    let (text, _) = sh(&runtime, &third, "ps").await.unwrap();
    assert!(text.contains("sleep 601") && text.contains("sleep 603"), "{text}");
    assert!(!text.contains("sleep 602"), "{text}");
    // It ends by itself, and its target stays.
    runtime.stop_container(&third, Duration::ZERO).await.unwrap();
    runtime.remove_container(&third).await.unwrap();
    assert_eq!(runtime.container(&first).await.unwrap().state, ContainerState::Running);
    // With the first process of a namespace all others of it end.
    let fourth = run(&runtime, &sandbox, &debugger(&first, "fourth")).await;
    runtime.stop_container(&first, Duration::ZERO).await.unwrap();
    assert_eq!(ended(&runtime, &fourth).await.exit_code, 137);
    let other = runtime.run_sandbox(&node.sandbox("other")).await.unwrap();
    let stranger = run(&runtime, &other, &shell("stranger", "sleep 604")).await;
    for target in [first.as_str(), stranger.as_str(), "none"] {
        let made = runtime.create_container(&sandbox, &debugger(target, "fifth")).await;
        assert!(made.is_err(), "{target}");
    }
    assert_eq!(runtime.containers().await.unwrap().len(), 4);
    node.finish().await;
}

/// Red when the container's number in its pod is looked up among the machine's processes, as the runtime does when it mounts
/// version 1 cgroups: mostly there is a process of that number, a thread of the kernel that comes and goes.
#[tokio::test]
async fn a_container_in_a_shared_pid_namespace_needs_no_process_of_its_number_outside() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("numbers")).await.unwrap();
    let mut config = shell("first", "sleep 600");
    config.share_pid = true;
    config.security.privileged = true;
    let first = run(&runtime, &sandbox, &config).await;
    let free = (1000..).find(|pid| !Path::new(&format!("/proc/{pid}")).exists()).unwrap();
    // What joins the namespace takes numbers too.
    let last = format!("echo {} > /proc/sys/kernel/ns_last_pid", free - 1);
    assert_eq!(sh(&runtime, &first, &last).await.unwrap(), (String::new(), 0));
    let mut config = shell("second", "echo $$; sleep 600");
    config.share_pid = true;
    run(&runtime, &sandbox, &config).await;
    support::wait_for("its number", || !node.log_text("numbers", "second").is_empty()).await;
    assert_eq!(node.log_text("numbers", "second").trim(), free.to_string());
    node.finish().await;
}

/// Red when neighbours' mounts are left behind whatever the volumes show.
#[tokio::test]
async fn a_volume_of_the_run_directory_shows_what_is_mounted_there() {
    let node = Node::new();
    let runtime = node.start().await;
    let neighbour = runtime.run_sandbox(&node.sandbox("neighbour")).await.unwrap();
    let sandbox = runtime.run_sandbox(&node.sandbox("observer")).await.unwrap();
    let show = |name: &str, source: &Path| {
        let mut config = shell(name, "sleep 600");
        config.mounts = vec![Mount {
            host_path: source.display().to_string(),
            container_path: "/run-dir".into(),
            readonly: true,
            propagation: Propagation::Private,
        }];
        config
    };
    let link = node.directory.path().join("link");
    std::os::unix::fs::symlink(&node.config.run_dir, &link).unwrap();
    for (name, source, inside) in [
        ("whole", node.config.run_dir.clone(), format!("sandboxes/{neighbour}/files/hostname")),
        ("part", node.config.run_dir.join("sandboxes").join(&neighbour), "files/hostname".into()),
        ("linked", link, format!("sandboxes/{neighbour}/files/hostname")),
    ] {
        let id = run(&runtime, &sandbox, &show(name, &source)).await;
        let (text, _) = sh(&runtime, &id, &format!("cat /run-dir/{inside}")).await.unwrap();
        assert_eq!(text, "neighbour", "{name}");
    }
    node.finish().await;
}
