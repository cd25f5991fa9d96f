//! Commands in containers: streams, codes, terminals, and who may be what.

mod support;

use std::time::Duration;

use bytes::Bytes;
use leme_cri::{ExecChunk, ExecRequest, ExecSession, Runtime, RuntimeError};
use support::{Node, run, sh, shell};

async fn collect(session: &mut ExecSession) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(chunk) = session.output.recv().await {
        match chunk {
            ExecChunk::Stdout(bytes) => out.extend_from_slice(&bytes),
            ExecChunk::Stderr(bytes) => err.extend_from_slice(&bytes),
        }
    }
    (String::from_utf8_lossy(&out).into_owned(), String::from_utf8_lossy(&err).into_owned())
}

fn request(script: &str, tty: bool, stdin: bool) -> ExecRequest {
    ExecRequest { command: ["/bin/sh", "-c", script].map(String::from).to_vec(), tty, stdin }
}

#[tokio::test]
async fn streams_codes_and_terminals() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("exec")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
    assert_eq!(sh(&runtime, &id, "echo a; echo b >&2; exit 5").await.unwrap(), ("a\nb".into(), 5));
    assert_eq!(sh(&runtime, &id, "kill -9 $$").await.unwrap().1, 137);
    // Standard input, to its end.
    let mut session =
        runtime.exec(&id, request("cat; echo end >&2; exit 4", false, true)).await.unwrap();
    let stdin = session.stdin.take().unwrap();
    let big = vec![b'x'; 300_000];
    let writer = async move {
        stdin.send(Bytes::from_static(b"typed\n")).await.unwrap();
        stdin.send(Bytes::from(big)).await.unwrap();
    };
    let ((out, err), ()) = tokio::join!(collect(&mut session), writer);
    assert_eq!((out.len(), &out[..6], err.as_str()), (300_006, "typed\n", "end\n"));
    assert_eq!(session.exit.await.unwrap().unwrap(), 4);
    // A terminal, with its size.
    let mut session = runtime
        .exec(&id, request("read x; stty size; test -t 0 && echo tty $x", true, true))
        .await
        .unwrap();
    session.resize.send((91, 33)).await.unwrap();
    // The order of size and input is not fixed, so give the size its turn.
    tokio::time::sleep(Duration::from_millis(50)).await;
    session.stdin.take().unwrap().send(Bytes::from_static(b"word\n")).await.unwrap();
    let (out, _) = collect(&mut session).await;
    assert!(out.contains("33 91") && out.contains("tty word"), "{out:?}");
    assert_eq!(session.exit.await.unwrap().unwrap(), 0);
    // Bad commands, bad containers.
    let error = runtime.exec_sync(&id, &["nope".into()], Duration::from_secs(9)).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Invalid(text) if text.contains("not found in $PATH")),
        "{error:?}"
    );
    let error = runtime.exec_sync("none", &["true".into()], Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound(_)));
    node.finish().await;
}

#[tokio::test]
async fn ends_commands_that_take_too_long_or_that_nobody_wants() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("slow")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
    let command = ["sleep", "7001"].map(String::from);
    let error = runtime.exec_sync(&id, &command, Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Timeout(_)), "{error:?}");
    drop(runtime.exec(&id, request("sleep 7002", false, false)).await.unwrap());
    for _ in 0..400 {
        if !sh(&runtime, &id, "ps").await.unwrap().0.contains("sleep 70") {
            return node.finish().await;
        }
    }
    panic!("the commands still run");
}

#[tokio::test]
async fn users_capabilities_and_files() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("user")).await.unwrap();
    let mut config = shell("user", "echo via-dev > /dev/stdout; sleep 600");
    config.security.run_as_user = Some(1001);
    config.security.supplemental_groups = vec![2000];
    config.security.readonly_rootfs = true;
    config.security.no_new_privileges = true;
    config.security.seccomp = leme_node_core::cri::Seccomp::RuntimeDefault;
    config.security.drop_capabilities = vec!["ALL".into()];
    let host = node.directory.path().join("volume");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "volume").unwrap();
    config.mounts.push(leme_node_core::cri::Mount {
        host_path: host.display().to_string(),
        container_path: "/data".into(),
        readonly: true,
        ..Default::default()
    });
    let id = run(&runtime, &sandbox, &config).await;
    let (text, _) =
        sh(&runtime, &id, "id; cat /data/file; touch /x; touch /data/x; unshare -m true; env")
            .await
            .unwrap();
    for expected in [
        "uid=1001(app) gid=1002 groups=50(staff),1002,2000",
        "volume",
        "/x: Read-only",
        "/data/x: Read-only",
        "HOME=/home/app",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(text.to_lowercase().contains("operation not permitted"), "{text}");
    let (text, _) =
        sh(&runtime, &id, "grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status")
            .await
            .unwrap();
    let compact: String = text.split_whitespace().collect();
    assert_eq!(compact, "CapEff:0000000000000000CapBnd:0000000000000000NoNewPrivs:1Seccomp:2");
    support::wait_for("log", || node.log_text("user", "user").contains("via-dev")).await;
    // Without any of that: root with the default set, a writable root file system, but no reach to the host.
    let id = run(&runtime, &sandbox, &shell("root", "sleep 600")).await;
    let (text, _) = sh(
        &runtime,
        &id,
        "id; touch /x && echo wrote; mount -t tmpfs none /tmp; ls /dev; touch /proc/sys/a",
    )
    .await
    .unwrap();
    assert!(text.contains("uid=0(root)") && text.contains("wrote"), "{text}");
    assert!(text.contains("denied") || text.contains("not permitted"), "{text}");
    assert!(!text.contains("vda") && text.contains("null"), "{text}");
    let mut config = shell("boss", "sleep 600");
    config.security.privileged = true;
    let id = run(&runtime, &sandbox, &config).await;
    let (text, code) = sh(&runtime, &id, "mount -t tmpfs none /tmp && ls /dev").await.unwrap();
    assert!(code == 0 && text.contains("kmsg"), "{text}");
    node.finish().await;
}

#[tokio::test]
async fn the_default_profile_leaves_ordinary_programs_alone() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("seccomp")).await.unwrap();
    let script = "grep Seccomp: /proc/self/status; (ls -l / | head -n 2; sleep 0.01 & wait) >/dev/null && \
                  echo fine; unshare -u true || echo refused; mount -t tmpfs x /tmp || echo refused";
    let mut config = shell("app", script);
    config.security.seccomp = leme_node_core::cri::Seccomp::RuntimeDefault;
    let id = run(&runtime, &sandbox, &config).await;
    assert_eq!(support::ended(&runtime, &id).await.exit_code, 0, "{}", node.log("seccomp", "app"));
    let text = node.log_text("seccomp", "app");
    assert!(text.contains("Seccomp:\t2") && text.contains("fine"), "{text}");
    assert_eq!(text.matches("refused").count(), 2, "{text}");
    node.finish().await;
}

#[tokio::test]
async fn host_network_and_open_standard_input() {
    let node = Node::new();
    let runtime = node.start().await;
    let config = leme_node_core::cri::SandboxConfig { host_network: true, ..node.sandbox("host") };
    let sandbox = runtime.run_sandbox(&config).await.unwrap();
    let mut config = shell("app", "readlink /proc/self/ns/net; read x || echo ended");
    config.stdin = true;
    let open = run(&runtime, &sandbox, &config).await;
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    support::wait_for("the namespace", || node.log_text("host", "app").contains(&ours)).await;
    config.stdin = false;
    config.log_path = "closed.log".into();
    let closed = run(&runtime, &sandbox, &config).await;
    support::ended(&runtime, &closed).await;
    assert!(node.log_text("host", "closed").ends_with("ended\n"));
    assert_eq!(
        runtime.container(&open).await.unwrap().state,
        leme_node_core::cri::ContainerState::Running
    );
    assert_eq!(runtime.sandboxes().await.unwrap()[0].ip, "");
    node.finish().await;
}

#[tokio::test]
async fn mounts_travel_as_far_as_they_may() {
    let node = Node::new();
    let runtime = node.start().await;
    let volume = node.directory.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    rustix::mount::mount_bind(&volume, &volume).unwrap();
    let shared = rustix::mount::MountPropagationFlags::SHARED;
    rustix::mount::mount_change(&volume, shared).unwrap();
    let sandbox = runtime.run_sandbox(&node.sandbox("mounts")).await.unwrap();
    let mounts_at = |name: &str| {
        let path = volume.join(name).display().to_string();
        std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&path)
    };
    let mut shown = Vec::new();
    for (name, propagation) in [
        ("private", leme_node_core::cri::Propagation::Private),
        ("out", leme_node_core::cri::Propagation::Bidirectional),
    ] {
        let script =
            format!("mkdir -p /data/{name} && mount -t tmpfs x /data/{name} && echo mounted");
        let mut config = shell(name, &script);
        config.security.privileged = true;
        config.mounts.push(leme_node_core::cri::Mount {
            host_path: volume.display().to_string(),
            container_path: "/data".into(),
            readonly: false,
            propagation,
        });
        let id = run(&runtime, &sandbox, &config).await;
        assert_eq!(
            support::ended(&runtime, &id).await.exit_code,
            0,
            "{}",
            node.log("mounts", name)
        );
        shown.push(mounts_at(name));
    }
    for name in ["out", ""] {
        let _ = leme_host::mounts::unmount_quietly(&volume.join(name));
    }
    assert_eq!(shown, [false, true]);
    let state = node.config.root.display().to_string();
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&state));
    node.finish().await;
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_opened_anew() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("log")).await.unwrap();
    let script = "echo one; while ! test -e /dev/shm/go; do sleep 0.01; done; echo two";
    let id = run(&runtime, &sandbox, &shell("app", script)).await;
    support::wait_for("the first line", || node.log_text("log", "app") == "one\n").await;
    let log = node.logs().join("log/app.log");
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    runtime.reopen_log(&id).await.unwrap();
    sh(&runtime, &id, "touch /dev/shm/go").await.unwrap();
    support::ended(&runtime, &id).await;
    assert_eq!(node.log_text("log", "app"), "two\n");
    runtime.reopen_log(&id).await.unwrap();
    node.finish().await;
}

#[tokio::test]
async fn a_terminal_container_logs_what_it_shows() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("tty")).await.unwrap();
    let mut config = shell("term", "test -t 1 && echo terminal; exit 2");
    config.tty = true;
    let id = run(&runtime, &sandbox, &config).await;
    assert_eq!(support::ended(&runtime, &id).await.exit_code, 2);
    assert!(node.log_text("tty", "term").contains("terminal"), "{}", node.log("tty", "term"));
    // A long line is split, an unfinished one kept.
    let id = run(
        &runtime,
        &sandbox,
        &shell("long", "head -c 20000 /dev/zero | tr '\\0' x; echo; printf tail"),
    )
    .await;
    support::ended(&runtime, &id).await;
    let log = node.log("tty", "long");
    let tags: Vec<(&str, usize)> = log
        .lines()
        .map(|line| line.splitn(4, ' ').collect::<Vec<_>>())
        .map(|fields| (fields[2], fields[3].len()))
        .collect();
    assert_eq!(tags, [("P", 16384), ("F", 3616), ("P", 4)]);
    node.finish().await;
}
