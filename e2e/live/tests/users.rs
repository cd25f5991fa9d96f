//! Pods with users of their own (`hostUsers: false`), and the image of builders, which runs in such alone.

use leme_live::{Host, until};
use serde_json::{Value, json};

/// A pod with users of its own and one container of the sample's image, or of that which is said.
fn pod(name: &str, container: Value) -> Value {
    let mut whole =
        json!({"name": "c", "image": "leme/sample:latest", "imagePullPolicy": "IfNotPresent"});
    whole.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"hostUsers": false, "restartPolicy": "Never", "containers": [whole]}})
}

fn create(host: &Host, namespace: &str, pod: &Value) {
    host.kubectl(&format!("create -n {namespace} -f -")).run_with(&pod.to_string()).ok();
}

/// Red when anything of a pod works on the node's users alone: volumes, probes, commands, copies, logs, debuggers, the next
/// engine; or when something of it stays.
#[test]
fn a_pod_with_users_of_its_own_does_what_any_pod_does() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let shared = host.folder().join("shared");
    std::fs::create_dir(&shared).unwrap();
    host.kubectl("create configmap settings --from-literal=key=value").run().ok();
    host.kubectl("create secret generic hidden --from-literal=word=secret").run().ok();
    let script = "echo begins; cat /settings/key /hidden/word; echo; id -u > /shared/id; echo x > /empty/x; sleep 6801";
    let mount = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
    let mut whole = pod(
        "own",
        json!({
            "command": ["sh", "-c", script],
            "volumeMounts": [mount("settings"), mount("hidden"), mount("shared"), mount("empty")],
            "readinessProbe": {"exec": {"command": ["sh", "-c", "test -e /empty/x && test $(id -u) = 0"]}, "periodSeconds": 1},
            "securityContext": {"procMount": "Unmasked"},
        }),
    );
    whole["spec"]["securityContext"] = json!({"fsGroup": 4000});
    whole["spec"]["volumes"] = json!([
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "hidden", "secret": {"secretName": "hidden", "defaultMode": 0o400}},
        {"name": "shared", "hostPath": {"path": shared.display().to_string()}},
        {"name": "empty", "emptyDir": {}},
    ]);
    create(&host, "default", &whole);
    host.kubectl("wait pod/own --for=condition=Ready --timeout=60s").run().ok();
    let inside = |script: &str| host.kubectl("exec own -- sh -c").arg(script).run().ok();
    let map = inside("cat /proc/self/uid_map /proc/self/gid_map");
    let words: Vec<&str> = map.split_whitespace().collect();
    assert_eq!((words[0], words[2], words[3], words[5]), ("0", "65536", "0", "65536"), "{map}");
    let first: u32 = words[1].parse().unwrap();
    assert!(first >= 65_536, "{map}");
    assert_eq!(std::fs::read_to_string(shared.join("id")).unwrap(), "0\n");
    let log = host.kubectl("logs own").run().ok();
    assert_eq!(log, "begins\nvaluesecret\n");
    assert!(inside("ls -ldn /empty").contains(" 4000 "));
    let text = host.folder().join("text");
    std::fs::write(&text, "carried").unwrap();
    if host.program("kubectl").words("version --client").run().code == 0 {
        let copied = host.kubectl("cp").arg(&text).words("own:/tmp/text").run();
        if copied.code == 0 {
            assert_eq!(inside("cat /tmp/text"), "carried");
        }
    }
    // A debugger is in there with it.
    let debugger = json!({"name": "d", "image": "leme/sample:latest", "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", "cat /proc/1/uid_map; ps"], "targetContainerName": "c"});
    host.put_part("own", "ephemeralcontainers", |pod| {
        pod["spec"]["ephemeralContainers"] = json!([debugger]);
    })
    .ok();
    until("it looked", || {
        let log = host.kubectl("logs own -c d").run();
        log.code == 0
            && log.stdout.contains("sleep 6801")
            && log.stdout.contains(&first.to_string())
    });

    // What the next engine finds.
    host.kill_leme();
    host.up("").ok();
    assert_eq!(inside("cat /proc/self/uid_map").split_whitespace().nth(1), Some(words[1]));
    let uid = host.kubectl("get pod own -o jsonpath={.metadata.uid}").run().ok();
    host.kubectl("delete pod own --grace-period=1").run().ok();
    until("its cgroups are gone", || host.cgroups_of_pod(&uid).is_empty());
    // Its ids are given to whoever comes next.
    create(&host, "default", &pod("next", json!({"command": ["cat", "/proc/self/uid_map"]})));
    until("it ended", || host.kubectl("logs next").run().stdout.contains(words[1]));
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// Red when a builder cannot make containers, sees the node's files, or shares what it keeps with another namespace.
#[test]
fn a_builder_has_what_it_builds_with_and_nothing_of_the_node() {
    let host = Host::new();
    host.up("").ok();
    host.kubectl("create namespace other").run().ok();
    let builder = |name: &str, script: &str| {
        let container = json!({"image": "leme.io/builder:latest", "imagePullPolicy": "Always",
            "command": ["sh", "-ec", script]});
        pod(name, container)
    };
    let phase = |namespace: &str, name: &str| {
        host.kubectl(&format!("get pod {name} -n {namespace} -o jsonpath={{.status.phase}}"))
            .run()
            .ok()
    };
    let run = |namespace: &str, name: &str, script: &str| {
        create(&host, namespace, &builder(name, script));
        until("it ended", || matches!(phase(namespace, name).as_str(), "Succeeded" | "Failed"));
        let log = host.kubectl(&format!("logs -n {namespace} {name}")).run().ok();
        assert_eq!(phase(namespace, name), "Succeeded", "{log}");
        log
    };
    let secret = host.folder().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let script = format!(
        "cat /proc/self/uid_map; git --version; /leme --version; cd /var/lib/builder; mkdir -p l u w m; echo low > l/f; \
         mount -t overlay overlay -o userxattr,lowerdir=l,upperdir=u,workdir=w m; echo up > m/f; cat l/f u/f; umount m; \
         unshare -m -p -f sh -c 'mount -t proc proc /proc && cat /proc/1/comm'; \
         ! cat {}; ! ls {}; ! cat /etc/shadow; ! mount -o remount,rw /usr; ! touch /usr/x; echo mine > kept",
        secret.display(),
        host.data().display(),
    );
    let log = run("default", "first", &script);
    let map: Vec<&str> = log.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!((map[0], map[2]), ("0", "65536"), "{log}");
    for part in ["git version", "leme ", "low\nup\n", "\nsh\n"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("secret\n"), "{log}");
    assert_eq!(run("default", "second", "cat /var/lib/builder/kept"), "mine\n");
    assert_eq!(run("other", "third", "ls /var/lib/builder"), "");

    let mut node = builder("node", "true");
    node["spec"]["hostUsers"] = json!(true);
    create(&host, "default", &node);
    let why = "-o jsonpath={.status.containerStatuses[0].state.waiting.message}";
    until("it is refused", || {
        host.kubectl(&format!("get pod node {why}")).run().ok().contains("hostUsers: false")
    });
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}
