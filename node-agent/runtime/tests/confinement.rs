//! What a container must not be able to do, and what becomes of one that tries.

mod support;

use std::fs;
use std::time::Duration;

use leme_cri::{Runtime, RuntimeError};
use leme_host::cgroup::{Layout, layout};
use leme_node_core::cri::{ContainerConfig, Mount, Seccomp};
use support::{Node, ended, run, sh, shell};

/// Red when the trees are not named as read-only: libcontainer forgets that for version 1. Whoever writes there lifts the
/// container's limits.
#[tokio::test]
async fn cgroups_are_read_only_but_for_privileged_containers() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("cg")).await.unwrap();
    let mut limited = shell("limited", "sleep 600");
    limited.resources.memory_limit = 64 << 20;
    let id = run(&runtime, &sandbox, &limited).await;
    let attack = "cd /sys/fs/cgroup && for d in . */; do mkdir $d/own && echo made $d; done; \
                  for f in */cgroup.procs cgroup.procs; do test -e $f && echo $$ > $f && echo moved $f; done; \
                  for f in memory/memory.limit_in_bytes memory.max; do test -e $f && echo 999999999 > $f && echo lifted; done; \
                  for f in freezer/freezer.state; do test -e $f && echo THAWED > $f && echo froze; done; \
                  ls -d /sys/fs/cgroup/*; true";
    let (text, _) = sh(&runtime, &id, attack).await.unwrap();
    for done in ["made", "moved", "lifted", "froze"] {
        assert!(!text.contains(done), "{text}");
    }
    assert!(text.contains("Read-only file system") && text.contains("/sys/fs/cgroup/"), "{text}");
    let mut boss = shell("boss", "sleep 600");
    boss.security.privileged = true;
    let id = run(&runtime, &sandbox, &boss).await;
    let make = match layout() {
        Layout::PerController => "mkdir /sys/fs/cgroup/pids/own && echo made",
        Layout::Unified => "mkdir /sys/fs/cgroup/own && echo made",
    };
    assert_eq!(sh(&runtime, &id, make).await.unwrap().0, "made");
    node.finish().await;
}

/// Red when nothing thaws: the kill waits for ever, and so does whoever asked for it.
#[tokio::test]
async fn a_container_that_freezes_itself_is_stopped_all_the_same() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("frozen")).await.unwrap();
    let freeze = "cd /sys/fs/cgroup; echo going; \
                  echo FROZEN > freezer/freezer.state || echo 1 > cgroup.freeze; sleep 600";
    for (name, grace) in [("killed", Duration::ZERO), ("asked", Duration::from_millis(100))] {
        let mut config = shell(name, freeze);
        config.security.privileged = true;
        let id = run(&runtime, &sandbox, &config).await;
        support::wait_for("the freeze", || node.log_text("frozen", name).contains("going")).await;
        runtime.stop_container(&id, grace).await.unwrap();
        assert_ne!(runtime.container(&id).await.unwrap().exit_code, 0);
    }
    // One that is left frozen when everything is taken down.
    let mut config = shell("left", freeze);
    config.security.privileged = true;
    run(&runtime, &sandbox, &config).await;
    support::wait_for("the freeze", || node.log_text("frozen", "left").contains("going")).await;
    drop(runtime);
    node.finish().await;
}

/// Processes that cannot be ended: something above the cluster's cgroup is frozen, which a version 1 kernel lets hold kills
/// back. Red when `purge` removes records before it has looked whether anything runs: the next one finds nothing, says that
/// all is well and leaves the processes.
#[tokio::test]
async fn records_stay_while_processes_do() {
    let mut node = Node::new();
    let outer = format!("{}-outer", node.config.cgroup_parent);
    node.config.cgroup_parent = format!("{outer}/inner");
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("stuck")).await.unwrap();
    runtime.run_sandbox(&node.sandbox("empty")).await.unwrap();
    let id = run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
    let pid = runtime.container(&id).await.unwrap().pid;
    drop(runtime);
    if layout() == Layout::PerController {
        let state = format!("/sys/fs/cgroup/freezer/{outer}/freezer.state");
        fs::write(&state, "FROZEN").unwrap();
        let purged = leme_cri::embedded::purge(&node.config).await;
        let listed =
            |what: &str| fs::read_dir(node.config.root.join(what)).map_or(0, Iterator::count);
        let kept = (listed("sandboxes"), listed("containers"));
        fs::write(&state, "THAWED").unwrap();
        let error = purged.unwrap_err().to_string();
        for words in ["processes remain in cgroup", "inner/poduid-stuck", &format!("{pid} (")] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(kept, (1, 1), "{error}");
    }
    node.finish().await;
    leme_host::cgroup::Cgroup::new(&outer).unwrap().remove().unwrap();
}

/// Red when `start` takes in what is on record and looks no further: the container runs on beside its successor.
#[tokio::test]
async fn what_runs_and_is_in_no_record_is_ended_at_the_next_start() {
    let node = Node::new();
    let runtime = node.start().await;
    let mut running = Vec::new();
    for name in ["kept", "lost", "damaged", "nosandbox"] {
        let sandbox = runtime.run_sandbox(&node.sandbox(name)).await.unwrap();
        let mut config = shell("main", "sleep 600");
        config.share_pid = name == "lost";
        let id = run(&runtime, &sandbox, &config).await;
        let pid = runtime.container(&id).await.unwrap().pid;
        running.push((sandbox, id, pid));
    }
    drop(runtime);
    let record = |kind: &str, id: &str| node.config.root.join(kind).join(id).join("record.json");
    fs::remove_dir_all(record("containers", &running[1].1).parent().unwrap()).unwrap();
    fs::remove_dir_all(record("sandboxes", &running[1].0).parent().unwrap()).unwrap();
    fs::write(record("containers", &running[2].1), "{\"half").unwrap();
    fs::write(record("sandboxes", &running[3].0), "").unwrap();
    let runtime = node.start().await;
    for (_, id, pid) in &running[1..] {
        assert!(support::gone(*pid), "{id} runs");
        assert!(matches!(runtime.container(id).await, Err(RuntimeError::NotFound(_))), "{id}");
        assert!(!record("containers", id).parent().unwrap().exists());
    }
    let kept = runtime.container(&running[0].1).await.unwrap();
    assert_eq!((kept.pid, kept.sandbox_id.as_str()), (running[0].2, running[0].0.as_str()));
    assert_eq!(sh(&runtime, &running[0].1, "echo in").await.unwrap().0, "in");
    let mut sandboxes: Vec<String> =
        runtime.sandboxes().await.unwrap().into_iter().map(|s| s.id).collect();
    let mut want = vec![running[0].0.clone(), running[2].0.clone()];
    sandboxes.sort();
    want.sort();
    assert_eq!(sandboxes, want);
    // Nothing is left of their namespaces either.
    let held = node.config.run_dir.join("sandboxes");
    assert!(!held.join(&running[1].0).exists() && !held.join(&running[3].0).exists());
    node.finish().await;
}

/// CVE-2023-2431 and its kind. Red when the profile's name is not looked at: the container runs unconfined.
#[tokio::test]
async fn a_localhost_seccomp_profile_holds_or_the_container_does_not_run() {
    let node = Node::new();
    fs::create_dir_all(node.config.seccomp.join("team")).unwrap();
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["chmod", "fchmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}]}"#;
    fs::write(node.config.seccomp.join("team/no-chmod.json"), profile).unwrap();
    fs::write(node.config.seccomp.join("empty.json"), "").unwrap();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("sec")).await.unwrap();
    let with = |name: &str, profile: &str| {
        let mut config = shell(name, "touch /f; chmod 600 /f && echo changed; echo end; sleep 600");
        config.security.seccomp = Seccomp::Localhost(profile.into());
        config
    };
    let id = run(&runtime, &sandbox, &with("held", "team/no-chmod.json")).await;
    support::wait_for("the end", || node.log_text("sec", "held").contains("end")).await;
    let text = node.log_text("sec", "held");
    assert!(text.contains("not permitted") && !text.contains("changed"), "{text}");
    let (text, code) = sh(&runtime, &id, "chmod 600 /f").await.unwrap();
    assert!(code != 0 && text.contains("not permitted"), "a command in it: {text}");
    for (profile, words) in [
        ("", "cannot load seccomp profile"),
        ("absent.json", "No such file"),
        ("empty.json", "EOF"),
        ("../../etc/passwd", "cannot load seccomp profile"),
    ] {
        let error = runtime.create_container(&sandbox, &with("x", profile)).await.unwrap_err();
        assert!(
            matches!(&error, RuntimeError::Invalid(text) if text.contains(words)),
            "{profile}: {error:?}"
        );
    }
    assert_eq!(runtime.containers().await.unwrap().len(), 1);
    node.finish().await;
}

/// Red when no limit is set: all of them start.
#[tokio::test]
async fn a_pod_has_so_many_processes_and_no_more() {
    let mut node = Node::new();
    node.config.pod_processes = Some(24);
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("bomb")).await.unwrap();
    let bomb = "i=0; while test $i -lt 60; do sleep 600 & i=$((i+1)); done; echo all";
    let id = run(&runtime, &sandbox, &shell("bomb", bomb)).await;
    ended(&runtime, &id).await;
    let text = node.log_text("bomb", "bomb");
    assert!(text.contains("fork") && !text.contains("all"), "{text}");
    // Together with its siblings, and not its neighbours.
    let id = run(
        &runtime,
        &sandbox,
        &shell("fill", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 600 & done; sleep 600"),
    )
    .await;
    support::wait_for("the processes", || {
        leme_host::cgroup::Cgroup::new(&format!("{}/poduid-bomb/{id}", node.config.cgroup_parent))
            .is_ok_and(|group| group.processes().len() == 13)
    })
    .await;
    let more = run(&runtime, &sandbox, &shell("more", bomb)).await;
    ended(&runtime, &more).await;
    assert!(node.log_text("bomb", "more").contains("fork"));
    let other = runtime.run_sandbox(&node.sandbox("neighbour")).await.unwrap();
    let few = "for i in 1 2 3 4 5 6 7 8; do sleep 0.01 & done; wait; echo all";
    let id = run(&runtime, &other, &shell("few", few)).await;
    assert_eq!(ended(&runtime, &id).await.exit_code, 0);
    node.finish().await;
}

/// Red when only containers have limits: one that lifts its own, or has none, uses all that it likes.
#[tokio::test]
async fn a_pod_has_so_much_memory_and_no_more() {
    let node = Node::new();
    let runtime = node.start().await;
    let mut config = node.sandbox("hog");
    config.resources.memory_limit = 32 << 20;
    config.resources.cpu_quota = 50_000;
    config.resources.cpu_period = 100_000;
    let sandbox = runtime.run_sandbox(&config).await.unwrap();
    let hog = "head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null; echo end $?";
    let id = run(&runtime, &sandbox, &shell("hog", hog)).await;
    ended(&runtime, &id).await;
    let text = node.log_text("hog", "hog");
    assert!(text.contains("end 137"), "{text}");
    node.finish().await;
}

/// Red when the runtime's own list is left as it is: the node opens (or there is no such device, which is another error).
#[tokio::test]
async fn tunnel_devices_are_for_privileged_containers() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("tun")).await.unwrap();
    let open = "mknod /tmp/tun c 10 200 && cat /tmp/tun";
    let id = run(&runtime, &sandbox, &shell("plain", "sleep 600")).await;
    let (text, _) = sh(&runtime, &id, open).await.unwrap();
    assert!(text.contains("Operation not permitted"), "{text}");
    let (text, code) =
        sh(&runtime, &id, "echo x > /dev/null; head -c 1 /dev/urandom | tr -d x").await.unwrap();
    assert_eq!(code, 0, "the usual devices stay: {text}");
    let mut config = shell("boss", "sleep 600");
    config.security.privileged = true;
    let id = run(&runtime, &sandbox, &config).await;
    let (text, _) = sh(&runtime, &id, open).await.unwrap();
    assert!(!text.contains("Operation not permitted"), "{text}");
    node.finish().await;
}

/// Red when the shim does not rotate: one file of everything that was printed.
#[tokio::test]
async fn a_container_s_log_is_bounded() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("log")).await.unwrap();
    let limits = node.config.log_limits;
    let loud = "yes 0123456789012345678901234567890123456789 | head -n 20000; printf last";
    let id = run(&runtime, &sandbox, &shell("loud", loud)).await;
    assert_eq!(ended(&runtime, &id).await.exit_code, 0);
    let path = node.logs().join("log/loud.log");
    let moved = leme_cri::embedded::rotated(&path);
    assert_eq!(moved.len() + 1, limits.files as usize, "{moved:?}");
    for file in moved.iter().chain([&path]) {
        let length = fs::metadata(file).unwrap().len();
        assert!(length <= limits.file_bytes, "{}: {length}", file.display());
    }
    let text = node.log("log", "loud");
    assert!(text.ends_with(" stdout P last\n"), "{}", &text[text.len() - 80..]);
    node.finish().await;
}

/// CVE-2024-21626 and its kind: a descriptor of the runtime that is still open in the container leads to the host.
#[tokio::test]
async fn no_descriptor_of_the_runtime_reaches_a_container() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("fds")).await.unwrap();
    let list = "exec ls /proc/self/fd";
    let id = run(&runtime, &sandbox, &shell("main", list)).await;
    ended(&runtime, &id).await;
    // The fourth is the directory that is being listed.
    assert_eq!(node.log_text("fds", "main"), "0\n1\n2\n3\n");
    let id = run(&runtime, &sandbox, &shell("host", "sleep 600")).await;
    assert_eq!(sh(&runtime, &id, list).await.unwrap().0, "0\n1\n2\n3");
    node.finish().await;
}

/// CVE-2024-21626: a working directory that is a descriptor of the runtime. Red when the directory may be outside: the
/// host's root is listed.
#[tokio::test]
async fn a_working_directory_never_leads_out() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("cwd")).await.unwrap();
    let marker = format!("leme-marker-{}", std::process::id());
    fs::write(format!("/{marker}"), "").unwrap();
    for number in 3..24 {
        for directory in
            [format!("/proc/self/fd/{number}"), format!("/proc/thread-self/fd/{number}/..")]
        {
            let name = format!("c{number}");
            let climb =
                format!("ls . .. ../.. ../../.. ../../../../../../../.. | grep {marker}; echo end");
            let mut config = shell(&name, &climb);
            config.working_dir = directory.clone();
            let Ok(id) = runtime.create_container(&sandbox, &config).await else { continue };
            if runtime.start_container(&id).await.is_ok() {
                ended(&runtime, &id).await;
                let text = node.log_text("cwd", &name);
                assert!(!text.contains(&marker), "{directory}: {text}");
            }
            runtime.remove_container(&id).await.unwrap();
        }
    }
    fs::remove_file(format!("/{marker}")).unwrap();
    node.finish().await;
}

/// CVE-2019-5736: a container that gets hold of the runtime's program must not be able to write to it. Red when the helper
/// runs from its file instead of from a read-only mount.
#[tokio::test]
async fn the_runtime_s_program_cannot_be_written_through_proc() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("exe")).await.unwrap();
    run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
    for shim in support::shims_of(&node.config.root) {
        let access = rustix::fs::access(format!("/proc/{shim}/exe"), rustix::fs::Access::WRITE_OK);
        assert_eq!(access, Err(rustix::io::Errno::ROFS));
    }
    // A container whose program is the runtime's own, as the trick goes, is only the container's.
    let mut config = shell("self", "true");
    config.command = vec!["/proc/self/exe".into()];
    if let Ok(id) = runtime.create_container(&sandbox, &config).await {
        let _ = runtime.start_container(&id).await;
        ended(&runtime, &id).await;
    }
    let program = fs::read(&node.config.helper).unwrap();
    assert!(program.starts_with(b"\x7fELF"));
    node.finish().await;
}

fn volume(node: &Node, name: &str, at: &str) -> (std::path::PathBuf, Mount) {
    let host = node.directory.path().join(name);
    fs::create_dir_all(&host).unwrap();
    let mount = Mount {
        host_path: host.display().to_string(),
        container_path: at.into(),
        ..Default::default()
    };
    (host, mount)
}

/// Runs a container if it can be made at all; what it printed.
async fn printed(
    node: &Node,
    runtime: &std::sync::Arc<leme_cri::embedded::EmbeddedRuntime>,
    sandbox: &str,
    config: &ContainerConfig,
) -> Option<String> {
    let id = runtime.create_container(sandbox, config).await.ok()?;
    runtime.start_container(&id).await.ok()?;
    ended(runtime, &id).await;
    Some(node.log_text("masks", &config.name))
}

/// CVE-2025-31133 and CVE-2025-52565: what masks a path, and the console, are bound from the container's own `/dev`, which
/// a volume could fill with links. So no volume takes its place. Red when one may and a link there is followed: the host's
/// setting becomes writable.
#[tokio::test]
async fn links_in_dev_do_not_unmask_anything() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("masks")).await.unwrap();
    let target = "/proc/sys/kernel/core_pattern";
    let before = fs::read_to_string(target).unwrap();
    let attack = format!(
        "for f in {target} /proc/kcore /proc/keys /dev/null /dev/console /proc/sysrq-trigger; do \
                          echo leme-attack > $f; done; head -c 16 /proc/kcore; echo end"
    );
    for tty in [false, true] {
        for link in ["null", "console", "ptmx", "pts"] {
            let name = format!("{link}-{tty}");
            let (host, mount) = volume(&node, &name, "/dev");
            std::os::unix::fs::symlink(target, host.join(link)).unwrap();
            let mut config = shell(&name, &attack);
            config.tty = tty;
            config.mounts.push(mount);
            assert_eq!(printed(&node, &runtime, &sandbox, &config).await, None, "{name}");
            assert_eq!(fs::read_to_string(target).unwrap(), before, "{name}");
        }
    }
    node.finish().await;
}

/// CVE-2025-52881: what the runtime writes to `/proc` for a container goes elsewhere when something else is mounted there.
#[tokio::test]
async fn nothing_is_mounted_into_proc() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("masks")).await.unwrap();
    for (index, at) in
        ["/proc", "/proc/self/attr", "/proc/sys/kernel", "/proc/1/../self", "/tmp/../proc"]
            .into_iter()
            .enumerate()
    {
        let (_, mount) = volume(&node, &format!("proc{index}"), at);
        let mut config = shell(&format!("p{index}"), "echo ran");
        config.mounts.push(mount);
        assert_eq!(printed(&node, &runtime, &sandbox, &config).await, None, "{at}");
    }
    node.finish().await;
}

/// An image whose layers hold busybox and these links.
fn linked(node: &Node, tag: &str, directories: &[&str], links: &[(&str, &str)]) {
    let directories: Vec<(&str, u32, &[u8])> =
        directories.iter().map(|path| (*path, 0o755, &b""[..])).collect();
    let links: Vec<(String, &str)> =
        links.iter().map(|(path, target)| ((*path).to_owned(), *target)).collect();
    let layer = support::tar_of(&directories, &links);
    let archive = support::docker_archive(
        tag,
        &[support::busybox_layer(), layer],
        serde_json::json!({"Cmd": ["/bin/true"]}),
    );
    let images = leme_host::images::ImageStore::open(&node.config.images).unwrap();
    images.load_reader(archive.as_slice()).unwrap();
}

/// Where the runtime makes files by name, an image's link would lead it to the host's directory of that name. Red when the
/// image's own `/dev` is not looked at: `ptmx` on the host is replaced and links appear beside it.
#[tokio::test]
async fn an_image_s_link_in_place_of_dev_leads_nowhere() {
    let node = Node::new();
    let target = node.directory.path().join("host");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("ptmx"), "precious").unwrap();
    let shown = target.display().to_string();
    let inside = format!("{}/", shown.trim_start_matches('/'));
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("masks")).await.unwrap();
    for name in ["dev", "proc", "sys"] {
        let tag = format!("linked-{name}:test");
        linked(&node, &tag, &[&inside], &[(name, &shown)]);
        let mut config = shell(name, "echo ran");
        config.image = tag.clone();
        let refused = runtime.create_container(&sandbox, &config).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the image's /{name} is no directory")), "{refused}");
    }
    assert_eq!(fs::read_to_string(target.join("ptmx")).unwrap(), "precious");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    node.finish().await;
}

/// Red when only the text of a mount path is looked at: the volume covers the kernel's settings.
#[tokio::test]
async fn no_link_of_an_image_leads_a_volume_into_proc() {
    let node = Node::new();
    linked(&node, "proc-link:test", &[], &[("foo", "/proc")]);
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("masks")).await.unwrap();
    for (index, at) in ["/foo", "/foo/sys", "/foo/self/attr"].into_iter().enumerate() {
        let (_, mount) = volume(&node, &format!("link{index}"), at);
        let mut config = shell(&format!("l{index}"), "echo ran");
        config.image = "proc-link:test".into();
        config.mounts.push(mount);
        assert_eq!(printed(&node, &runtime, &sandbox, &config).await, None, "{at}");
    }
    node.finish().await;
}

/// Red when the runtime is left alone with an image whose links lead to nothing yet: the container is not made.
#[tokio::test]
async fn what_an_image_s_link_leads_to_is_made_inside_of_it() {
    let node = Node::new();
    let stub = "../run/of-an-image/stub-resolv.conf";
    linked(&node, "dangling:test", &[], &[("etc/resolv.conf", stub)]);
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&node.sandbox("masks")).await.unwrap();
    let mut config = shell("dangling", "cat /etc/resolv.conf");
    config.image = "dangling:test".into();
    let printed = printed(&node, &runtime, &sandbox, &config).await;
    assert!(printed.as_deref().is_some_and(|text| text.contains("10.0.0.10")), "{printed:?}");
    assert!(!std::path::Path::new("/run/of-an-image").exists());
    let (_, mount) = volume(&node, "on-a-file", "/etc/passwd");
    let mut config = shell("on-a-file", "echo ran");
    config.mounts.push(mount);
    let refused = runtime.create_container(&sandbox, &config).await.unwrap_err().to_string();
    assert!(refused.contains("the image has a file there"), "{refused}");
    node.finish().await;
}
