//! Bad input and trouble: one clear line, nothing lost, nothing left.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use leme_live::{Host, Program, leme, tool, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The one line that a failure is.
#[track_caller]
fn line(text: &str) -> &str {
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    text.trim_end()
}

#[test]
fn wrong_usage_is_two_and_says_what() {
    let flag = Program::new(leme()).words("up --wrong").run().fails(2);
    assert!(flag.contains("--wrong"), "{flag}");
    Program::new(leme()).words("frobnicate").run().fails(2);
    let runtime =
        Program::new(leme()).words("up --runtime lxc --data-dir /tmp/leme-none").run().fails(1);
    assert!(line(&runtime).contains("embedded"), "{runtime}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(!Program::new(leme()).words("completion").arg(shell).run().ok().is_empty());
    }
}

#[test]
fn no_cluster_is_one_line() {
    let host = Host::new();
    let get = host.leme("get pods").run().fails(1);
    assert!(line(&get).contains("leme up"), "{get}");
    host.leme("down").run().ok();
}

#[test]
fn a_taken_port_is_named() {
    let host = Host::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    // In this test's own network namespace: that is where the port is taken.
    let up = Program::new(leme())
        .words("up --no-node --listen")
        .arg(address.to_string())
        .arg("--data-dir")
        .arg(host.data())
        .run()
        .fails(1);
    assert!(line(&up).contains(&address.to_string()) && up.contains("--listen"), "{up}");
}

/// A shell of `ip netns exec` sees a fresh /sys. Red when nobody looks: `up` says that the node is Ready, and `down` that
/// nothing is left, while containers neither start nor end.
#[test]
fn where_no_cgroups_are_seen_nothing_starts_and_nothing_is_forgotten() {
    let host = Host::new();
    let blind = |words: &str| {
        host.program(tool("unshare", "util-linux"))
            .words("--mount sh -c")
            .arg("mount -t tmpfs tmpfs /sys/fs/cgroup && exec \"$@\"")
            .arg("sh")
            .arg(leme())
            .words(words)
            .arg("--data-dir")
            .arg(host.data())
            .run()
            .fails(1)
    };
    let up = blind("up");
    for words in ["this machine cannot run a node", "nsenter", "mount -t cgroup2"] {
        assert!(line(&up).contains(words), "{words}: {up}");
    }
    host.leme("up --detach").run().ok();
    host.kill_leme();
    let down = blind("down --purge");
    assert!(line(&down).contains("nsenter") && host.data().exists(), "{down}");
    host.leme("down --purge").run().ok();
    assert!(!host.data().exists());
}

/// Red when `down` looks only where it is itself: the bridge and the rules stay in the nodes' network, and those of a
/// cluster that runs where `down` does go.
#[test]
fn what_is_left_is_found_in_the_network_of_the_nodes() {
    let (host, other) = (Host::new(), Host::new());
    host.up("").ok();
    host.kill_leme();
    other.up("").ok();
    let elsewhere =
        |words: &str| other.program(leme()).words(words).arg("--data-dir").arg(host.data()).run();
    other.leme("down").run().ok();
    let refused = elsewhere("up --detach").fails(1);
    assert!(line(&refused).contains("another network namespace"), "{refused}");
    other.up("").ok();
    let links = || other.program(tool("ip", "iproute2")).words("-o link").run().ok();
    let before = links();
    elsewhere("down").ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
    assert_eq!(links(), before);
    other.leme("down").run().ok();
}

/// Red when a node that nobody runs any more is Ready until its silence has lasted.
#[test]
fn nodes_that_are_not_started_again_are_told_apart_at_once() {
    let host = Host::new();
    host.up("--nodes 2").ok();
    host.leme("down").run().ok();
    host.up("--nodes 1").ok();
    // Less than the grace of silence.
    host.leme("wait node/leme-1 --for condition=Ready=Unknown --timeout 30s").run().ok();
    host.leme("wait node/leme-0 --for condition=Ready").run().ok();
    let why = host.leme("why node/leme-1").run().ok();
    assert!(why.contains("Kubelet stopped posting node status."), "{why}");
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// Red when only what the link leads to is removed.
#[test]
fn a_purge_by_way_of_a_link_leaves_none() {
    let host = Host::new();
    let real = host.folder().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, host.data()).unwrap();
    host.up("--no-node").ok();
    host.leme("down --purge").run().ok();
    assert_eq!(fs::read_dir(host.folder()).unwrap().count(), 0);
}

#[test]
fn data_of_others_is_left_alone() {
    let host = Host::new();
    fs::create_dir(host.data()).unwrap();
    fs::write(host.data().join("mine"), "x").unwrap();
    let foreign = host.up("--no-node").fails(1);
    assert!(line(&foreign).contains("is no data directory of leme"), "{foreign}");
    host.leme("down --purge").run().fails(1);
    assert!(host.data().join("mine").exists());
    fs::remove_file(host.data().join("mine")).unwrap();
    fs::write(host.data().join("VERSION"), "999\n").unwrap();
    let newer = host.up("--no-node").fails(1);
    assert!(line(&newer).contains("newer leme"), "{newer}");
    fs::remove_file(host.data().join("VERSION")).unwrap();
}

#[test]
fn not_root_is_said_before_anything_is_done() {
    let host = Host::new();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(host.folder(), open).unwrap();
    let copy = host.folder().join("leme");
    fs::copy(leme(), &copy).unwrap();
    let data = host.folder().join("nobodys");
    let up = Program::new(tool("setpriv", "util-linux"))
        .words("--reuid 65534 --regid 65534 --clear-groups")
        .arg(&copy)
        .words("up --data-dir")
        .arg(&data)
        .run()
        .fails(1);
    assert!(line(&up).contains("needs root"), "{up}");
    assert!(!data.exists());
}

#[test]
fn an_image_that_is_not_there_is_named_with_the_next_step() {
    let host = Host::new();
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - {name: c, image: nobody/knows:v1}\n";
    let file = host.folder().join("pod.yaml");
    fs::write(&file, yaml).unwrap();
    host.up("").ok();
    let apply =
        host.leme(&format!("apply --wait --timeout 60s -f {}", file.display())).run().fails(1);
    assert!(apply.contains("nobody/knows:v1") && apply.contains("leme image load"), "{apply}");
    // Nothing but that will bring it: there is nothing to wait for.
    assert!(!apply.contains("timed out"), "{apply}");
    let why = host.leme("why pod/a").run().ok();
    assert!(why.contains("pod/a waits") && why.contains("leme image load"), "{why}");
    let broken = host.folder().join("broken.tar");
    fs::write(&broken, "no tar").unwrap();
    let load = host.leme("image load").arg(&broken).run().fails(1);
    assert!(line(&load).contains("broken.tar"), "{load}");
}

#[test]
fn no_acknowledged_write_is_lost_in_twenty_kills() {
    let host = Host::new();
    let mut acknowledged = BTreeMap::new();
    let mut last_version = 0;
    for round in 0..20 {
        host.up("--no-node").ok();
        last_version = nothing_lost(&host, &acknowledged, last_version);

        // A line for each answer: `201 RESOURCE-VERSION NAME`.
        let script = "i=0; while [ $i -lt 500 ]; do i=$((i+1)); answer=$(curl -s -w ' %{http_code}' \
                      --cert \"$2/cert\" --key \"$2/key\" --cacert \"$2/ca\" -H 'Content-Type: application/json' \
                      -d '{\"metadata\":{\"name\":\"'\"$1-$i\"'\"},\"data\":{\"a\":\"b\"}}' \
                      https://127.0.0.1:6443/api/v1/namespaces/default/configmaps) || exit 0; \
                      version=$(printf %s \"$answer\" | sed -n 's/.*\"resourceVersion\": *\"\\([0-9]*\\)\".*/\\1/p'); \
                      echo \"${answer##* } $version $1-$i\"; done";
        credentials(&host);
        let mut writers: Vec<_> = (0..4)
            .map(|writer| {
                host.program(tool("sh", "dash"))
                    .arg("-c")
                    .arg(script)
                    .arg("sh")
                    .arg(format!("r{round}-w{writer}"))
                    .arg(host.folder())
                    .spawn()
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(150 + 37 * round));
        kill(Pid::from_raw(host.pid()), Signal::SIGKILL).unwrap();
        for writer in writers.drain(..) {
            let output = writer.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            acknowledged.extend(text.lines().filter_map(|line| {
                let (version, name) = line.strip_prefix("201 ")?.split_once(' ')?;
                Some((name.to_owned(), version.parse::<u64>().unwrap()))
            }));
        }
    }
    assert!(acknowledged.len() > 20, "only {} writes were acknowledged", acknowledged.len());
    host.up("--no-node").ok();
    nothing_lost(&host, &acknowledged, last_version);
}

/// Every acknowledged object is there as it was answered, and the list's resourceVersion is behind none of them nor
/// behind the last one: it is given back.
///
/// Red when an older copy of the store is put back between two starts, and when one acknowledged object is deleted.
fn nothing_lost(host: &Host, acknowledged: &BTreeMap<String, u64>, last_version: u64) -> u64 {
    let list = host.kubectl("get --raw /api/v1/namespaces/default/configmaps").run().ok();
    let list: Value = serde_json::from_str(&list).unwrap();
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let version = number(&list["metadata"]["resourceVersion"]);
    let told = acknowledged.values().copied().max().unwrap_or(0).max(last_version);
    assert!(version >= told, "resourceVersion {version} after {told} was told");
    let listed: BTreeMap<&str, u64> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["metadata"])
        .map(|meta| (meta["name"].as_str().unwrap(), number(&meta["resourceVersion"])))
        .collect();
    for (name, told) in acknowledged {
        assert_eq!(listed.get(name.as_str()), Some(told), "{name} was acknowledged at {told}");
    }
    version
}

/// The administrator's certificate, key and authority as files, out of the kubeconfig.
fn credentials(host: &Host) {
    let view = |path: &str, file: &str| {
        let text =
            host.kubectl("config view --raw -o").arg(format!("jsonpath={{{path}}}")).run().ok();
        let decoded = Program::new(tool("base64", "coreutils")).words("-d").run_with(&text).ok();
        fs::write(host.folder().join(file), decoded).unwrap();
    };
    view(".users[0].user.client-certificate-data", "cert");
    view(".users[0].user.client-key-data", "key");
    view(".clusters[0].cluster.certificate-authority-data", "ca");
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_reading() {
    let host = Host::new();
    let store = host.data().join("store");
    fs::create_dir_all(&store).unwrap();
    fs::write(host.data().join("VERSION"), "1\n").unwrap();
    Program::new(tool("mount", "mount")).words("-t tmpfs -o size=6m none").arg(&store).run().ok();
    let outcome = std::panic::catch_unwind(|| full_disk(&host));
    let down = host.leme("down").run();
    Program::new(tool("umount", "mount")).arg(&store).run().ok();
    down.ok();
    outcome.unwrap();
}

fn full_disk(host: &Host) {
    host.up("--no-node").ok();
    let value = "x".repeat(500_000);
    let mut refused = None;
    for index in 0..150 {
        let created = host
            .kubectl(&format!("create configmap big-{index} --from-literal"))
            .arg(format!("a={}", &value[..100_000]))
            .run();
        if created.code != 0 {
            refused = Some(created.stderr);
            break;
        }
    }
    let refused = refused.expect("a 6 MB disk does not hold 15 MB of objects");
    assert!(
        refused.contains("out of space") || refused.contains("InsufficientStorage"),
        "{refused}"
    );
    host.kubectl("get configmap big-0").run().ok();
    host.kubectl("get namespaces").run().ok();
    // What frees space works, also after a kill: that is how one gets out of it.
    host.kubectl("delete configmap big-0").run().ok();
    kill(Pid::from_raw(host.pid()), Signal::SIGKILL).unwrap();
    host.up("--no-node").ok();
    for index in 1..20 {
        host.kubectl(&format!("delete configmap big-{index}")).run().ok();
    }
    host.kubectl("get configmap big-20").run().ok();
}

#[test]
fn a_stop_while_pods_are_being_made_leaves_nothing() {
    let host = Host::new();
    host.load_sample();
    let yaml = "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: many}\nspec:\n  replicas: 30\n  selector: {app: many}\n\
                \x20 template:\n    metadata: {labels: {app: many}}\n    spec:\n      containers:\n\
                \x20     - {name: c, image: \"leme/sample:latest\", imagePullPolicy: IfNotPresent}\n";
    let file = host.folder().join("many.yaml");
    fs::write(&file, yaml).unwrap();
    // Red when one of these signals has its default: shims and pods outlive the cluster.
    let signals = [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTERM];
    for (pause, signal) in [0, 60, 150, 300].into_iter().zip(signals) {
        // What the last round left would say that this one has begun before it listens for signals.
        let _ = fs::remove_file(host.data().join("admin.kubeconfig"));
        let up = host.leme(&format!("up -f {}", file.display())).spawn();
        until("the cluster is starting", || host.data().join("admin.kubeconfig").exists());
        std::thread::sleep(std::time::Duration::from_millis(pause));
        kill(Pid::from_raw(up.id() as i32), signal).unwrap();
        let ended = up.wait_with_output().unwrap();
        assert!(ended.status.success(), "{signal} after {pause} ms: {ended:?}");
        assert_eq!(host.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing() {
    let host = Host::new();
    host.load_sample();
    let mut up = host.leme(&format!("up -f {}", Host::manifest("hello.yaml"))).spawn();
    until("the cluster is starting", || host.data().join("admin.kubeconfig").exists());
    kill(Pid::from_raw(up.id() as i32), Signal::SIGINT).unwrap();
    up.stdout.take();
    assert!(up.wait().unwrap().success());
    assert_eq!(host.leftovers(), Vec::<String>::new());
    host.up(&format!("-f {}", Host::manifest("hello.yaml"))).ok();
}

/// Red when nothing in etcd says who uses it.
#[test]
fn a_second_server_on_one_etcd_is_refused_in_one_line() {
    let mut host = Host::new();
    let etcd = host
        .program(tool("etcd", "etcd-server"))
        .arg("--data-dir")
        .arg(host.folder().join("etcd"))
        .words("--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379")
        .words("--listen-peer-urls http://127.0.0.1:2380 --log-level error")
        .spawn();
    host.keep(etcd);
    let up = "--no-node --etcd-servers http://127.0.0.1:2379";
    until("etcd answers", || host.up(up).code == 0);
    let second = host
        .program(leme())
        .words(&format!("up {up} --listen 127.0.0.1:7443 --data-dir"))
        .arg(host.folder().join("second"))
        .run()
        .fails(1);
    let said = line(&second);
    assert!(said.contains("in use by another server") && said.contains("127.0.0.1:2379"), "{said}");
    assert!(said.contains(&host.data().display().to_string()), "{said}");
    // The first one is not disturbed, and goes on at once after a kill.
    host.kubectl("create configmap a").run().ok();
    host.kill_leme();
    host.up(up).ok();
    host.kubectl("get configmap a").run().ok();
    host.leme("down").run().ok();
    // Stopped in order, it lets others in at once.
    let third = host.folder().join("third");
    host.program(leme()).words(&format!("up --detach {up} --data-dir")).arg(&third).run().ok();
    host.program(leme()).words("down --data-dir").arg(&third).run().ok();
}
