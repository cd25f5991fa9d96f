//! Pods with users of their own: what their root may do, and that it is nobody on the node.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::time::Duration;

use leme_cri::embedded::EmbeddedRuntime;
use leme_cri::{Runtime, RuntimeError};
use leme_node_core::cri::{ContainerConfig, ContainerState, Image, Mount, SandboxConfig, Security};
use support::{Node, ended, run, sh, shell};

fn own_users(node: &Node, name: &str) -> SandboxConfig {
    SandboxConfig { own_users: true, ..node.sandbox(name) }
}

/// The machine's id of a container's root.
async fn first_id(runtime: &std::sync::Arc<EmbeddedRuntime>, container: &str) -> u32 {
    let (map, _) =
        sh(runtime, container, "cat /proc/self/uid_map /proc/self/gid_map").await.unwrap();
    let lines: Vec<Vec<u32>> = map
        .lines()
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
        .collect();
    assert_eq!(lines[0], lines[1]);
    assert_eq!((lines[0][0], lines[0][2]), (0, 65536), "{map}");
    lines[0][1]
}

/// Red when any of it is the machine's: the ids, the owner of a namespace, a layer, a volume, a file that is made.
#[tokio::test]
async fn a_pods_root_is_nobody_on_the_node() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&own_users(&node, "own")).await.unwrap();
    let volume = node.directory.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("given"), "text").unwrap();
    chown(volume.join("given"), Some(0), Some(7)).unwrap();
    let mut config = shell("main", "echo $$; sleep 600");
    let mount = |path: &str, readonly| Mount {
        host_path: volume.display().to_string(),
        container_path: path.into(),
        readonly,
        ..Mount::default()
    };
    config.mounts = vec![mount("/deep/data", false), mount("/still", true)];
    let id = run(&runtime, &sandbox, &config).await;
    let first = first_id(&runtime, &id).await;
    assert!(first >= 65536 && first % 65536 == 0, "{first}");
    let pid = runtime.container(&id).await.unwrap().pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{first}\t{first}")), "{status}");
    let script = "cat /deep/data/given; id -u; touch /deep/data/made /made; ls -ln /deep/data | awk 'NR>1{print $3,$4,$9}'; \
        ls -lnd /bin/sh /deep / /etc/hosts /dev/shm | awk '{print $3,$4,$9}'; touch /still/x || echo kept; hostname other && hostname";
    let (text, _) = sh(&runtime, &id, script).await.unwrap();
    let want =
        "text0\n0 7 given\n0 0 made\n0 0 /\n0 0 /bin/sh\n0 0 /deep\n0 0 /dev/shm\n0 0 /etc/hosts\n";
    assert!(text.starts_with(want), "{text}");
    assert!(text.contains("kept"), "{text}");
    // The default capabilities have no say over its host name.
    assert!(text.contains("hostname: ") && text.contains("not permitted"), "{text}");
    let owner = |path: std::path::PathBuf| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(volume.join("made")), 0);
    let containers = node.config.root.join("containers");
    assert_eq!(owner(containers.join(&id).join("upper/made")), first);
    // What it sees of the kernel is its own, and masked like any container's.
    let (text, code) =
        sh(&runtime, &id, "cat /proc/sys/kernel/hostname; test -s /proc/keys").await.unwrap();
    assert_eq!((text.as_str(), code), ("own", 1));
    let boss = Security { privileged: true, ..Security::default() };
    let boss = ContainerConfig { security: boss, ..shell("boss", "sleep 600") };
    let boss = run(&runtime, &sandbox, &boss).await;
    assert_eq!(first_id(&runtime, &boss).await, first);
    let (text, _) = sh(
        &runtime,
        &boss,
        "hostname other && hostname; mount -t tmpfs none /tmp && echo mounted; \
        mknod /tmp/d b 8 0 || echo none; cat /proc/sys/kernel/hostname",
    )
    .await
    .unwrap();
    assert!(text.starts_with("other\nmounted\n") && text.contains("none"), "{text}");
    node.finish().await;
}

/// Red when users that the namespace lacks are the machine's, or fail with a number of the kernel's.
#[tokio::test]
async fn a_user_that_does_not_exist_there_is_told_by_name() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&own_users(&node, "far")).await.unwrap();
    for (user, group, says) in
        [(70_000, None, "user id 70000"), (5, Some(1 << 20), "supplemental group 1048576")]
    {
        let mut config = shell("main", "true");
        config.security.run_as_user = Some(user);
        config.security.supplemental_groups = group.into_iter().collect();
        let error = runtime.create_container(&sandbox, &config).await.unwrap_err();
        assert!(matches!(&error, RuntimeError::Invalid(why) if why.contains(says)), "{error}");
    }
    let mut config = shell("main", "id -u; id -G; cat /proc/self/status | grep -i groups");
    config.security.run_as_user = Some(65_535);
    config.security.supplemental_groups = vec![7, 65_535];
    let id = run(&runtime, &sandbox, &config).await;
    ended(&runtime, &id).await;
    let text = node.log_text("far", "main");
    assert!(text.starts_with("65535\n0 7 65535\n"), "{text}");
    node.finish().await;
}

/// Red when a file system without idmapped mounts shows its files as nobody's, or fails with a number of the kernel's.
#[tokio::test]
async fn a_volume_whose_owners_cannot_be_mapped_is_told() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&own_users(&node, "strange")).await.unwrap();
    let mut config = shell("main", "true");
    let mount =
        Mount { host_path: "/sys/kernel".into(), container_path: "/k".into(), ..Mount::default() };
    config.mounts = vec![mount];
    let error = runtime.create_container(&sandbox, &config).await.unwrap_err().to_string();
    for part in ["mount path \"/k\"", "/sys/kernel", "idmapped mounts"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    node.finish().await;
}

/// Red when two pods have the same ids, or a pod others than before, or ids are not given back.
#[tokio::test]
async fn each_pod_has_ids_of_its_own_for_as_long_as_it_is_there() {
    let node = Node::new();
    let runtime = node.start().await;
    let mut first = Vec::new();
    for name in ["a", "b"] {
        let sandbox = runtime.run_sandbox(&own_users(&node, name)).await.unwrap();
        let id = run(&runtime, &sandbox, &shell("main", "sleep 600")).await;
        first.push((sandbox, first_id(&runtime, &id).await, id));
    }
    assert_ne!(first[0].1, first[1].1);
    drop(runtime);
    // Another engine knows who has which, and joins what runs.
    let runtime = node.start().await;
    let again =
        runtime.run_sandbox(&SandboxConfig { attempt: 1, ..own_users(&node, "a") }).await.unwrap();
    let id = run(&runtime, &again, &shell("main", "sleep 600")).await;
    assert_eq!(first_id(&runtime, &id).await, first[0].1);
    assert_eq!(first_id(&runtime, &first[1].2).await, first[1].1);
    for sandbox in [&again, &first[0].0] {
        runtime.remove_sandbox(sandbox).await.unwrap();
    }
    let other = runtime.run_sandbox(&own_users(&node, "c")).await.unwrap();
    let id = run(&runtime, &other, &shell("main", "sleep 600")).await;
    assert_eq!(first_id(&runtime, &id).await, first[0].1);
    node.finish().await;
}

#[tokio::test]
async fn containers_with_users_of_their_own_share_processes_and_terminals() {
    let node = Node::new();
    let runtime = node.start().await;
    let sandbox = runtime.run_sandbox(&own_users(&node, "shared")).await.unwrap();
    let mut one = shell("one", "sleep 601");
    one.share_pid = true;
    let one_id = run(&runtime, &sandbox, &one).await;
    let two = ContainerConfig { share_pid: true, ..shell("two", "sleep 602") };
    let two = run(&runtime, &sandbox, &two).await;
    let (text, _) = sh(
        &runtime,
        &two,
        "cat /proc/*/cmdline | tr '\\0' ' '; cat /proc/1/status | grep -e Name -e Uid",
    )
    .await
    .unwrap();
    for part in ["sleep 601", "sleep 602", "pause", "65535"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Another one joins the processes of one of them, as ephemeral containers do.
    let solo = run(&runtime, &sandbox, &shell("solo", "sleep 603")).await;
    let joins = ContainerConfig { target: solo.clone(), ..shell("joins", "cat /proc/1/cmdline") };
    let joins = run(&runtime, &sandbox, &joins).await;
    assert_eq!(ended(&runtime, &joins).await.exit_code, 0);
    assert!(node.log_text("shared", "joins").contains("sleep"), "{}", node.log("shared", "joins"));
    let terminal = ContainerConfig {
        tty: true,
        ..shell("tty", "test -t 1 && ls -ln /proc/self/fd/1 && echo there")
    };
    let terminal = run(&runtime, &sandbox, &terminal).await;
    assert_eq!(ended(&runtime, &terminal).await.exit_code, 0, "{}", node.log("shared", "tty"));
    runtime.stop_container(&one_id, Duration::ZERO).await.unwrap();
    assert_eq!(runtime.container(&one_id).await.unwrap().state, ContainerState::Exited);
    node.finish().await;
}

const BUILDER: &str = "leme.io/builder:latest";

fn builder(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig { image: BUILDER.into(), ..shell(name, script) }
}

/// Red when the node's root runs what only a pod's own may.
#[tokio::test]
async fn the_builders_image_is_for_pods_with_users_of_their_own() {
    let node = Node::new();
    let runtime = node.start().await;
    let nobody = Default::default();
    let Image { uid, .. } = runtime.pull_image(BUILDER, &nobody).await.unwrap();
    assert_eq!(uid, Some(0));
    assert!(runtime.may_use("leme.io/builder", &nobody).await.unwrap());
    assert!(runtime.image("leme.io/builder:other").await.unwrap().is_none());
    let sandbox = runtime.run_sandbox(&node.sandbox("node")).await.unwrap();
    let error = runtime.create_container(&sandbox, &builder("main", "true")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "image leme.io/builder:latest is for pods with \"hostUsers: false\" only"
    );
    node.finish().await;
}

/// Red when a builder lacks what it builds with, or has what is the node's or another namespace's.
#[tokio::test]
async fn a_builder_makes_containers_and_keeps_things_for_its_namespace() {
    let node = Node::new();
    let runtime = node.start().await;
    let secret = node.directory.path().join("secret");
    fs::write(&secret, "s").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let script = format!(
        "set -e; id -u; cat /proc/self/uid_map; git --version; test -x /leme; ! test -w /leme; \
         cd /var/lib/builder; rm -rf l u w m; mkdir l u w m; echo lower > l/f; \
         mount -t overlay overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w m; cat m/f; echo upper > m/f; \
         echo l2 > m/g; rm m/g; cat u/f; stat -c %u u/f; \
         unshare -m -p -f sh -c 'mount -t proc proc /proc && cat /proc/1/comm'; \
         ls /usr/bin/env; ! touch /usr/x; ! test -e {}; ! cat /etc/shadow; ! ls /etc/ssl/private; umount m; echo kept > kept; \
         hostname builder && hostname",
        secret.display()
    );
    let mut ids = Vec::new();
    // Whatever a pod asks for less.
    for (index, security) in [
        Security::default(),
        Security {
            run_as_user: Some(1000),
            drop_capabilities: vec!["ALL".into()],
            no_new_privileges: true,
            ..Security::default()
        },
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("build-{index}");
        let sandbox = runtime.run_sandbox(&own_users(&node, &name)).await.unwrap();
        let config = ContainerConfig { security, ..builder("main", &script) };
        let id = run(&runtime, &sandbox, &config).await;
        let status = ended(&runtime, &id).await;
        let text = node.log_text(&name, "main");
        assert_eq!(status.exit_code, 0, "{text}");
        for part in ["git version", "lower\n", "upper\n0\nsh\n", "builder\n"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        ids.push(id);
    }
    for (namespace, has) in [("test", "kept"), ("other", "")] {
        let mut config = own_users(&node, namespace);
        config.pod.namespace = namespace.into();
        let sandbox = runtime.run_sandbox(&config).await.unwrap();
        let look = builder("main", "ls -A /var/lib/builder; cat /var/lib/builder/kept; exit 0");
        let id = run(&runtime, &sandbox, &look).await;
        ended(&runtime, &id).await;
        let text = node.log_text(namespace, "main");
        assert_eq!(
            text.contains("kept\nkept") || text.ends_with("kept\n"),
            !has.is_empty(),
            "{text}"
        );
    }
    // On the disk it is root's, where nobody else finds it.
    let kept = node.config.builds.join("test/kept");
    assert_eq!(fs::metadata(kept).unwrap().uid(), 0);
    for directory in [node.config.builds.clone(), node.config.builds.join("test")] {
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    }
    node.finish().await;
}
