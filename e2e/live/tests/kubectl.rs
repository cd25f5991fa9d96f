//! Stock kubectl against a running cluster: the verbs that people use every day, unmodified.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

use leme_live::{Host, until};

/// A host with the sample served.
fn served() -> Host {
    let host = Host::new();
    host.load_sample();
    host.up(&format!("-f {}", Host::manifest("hello.yaml"))).ok();
    host
}

fn first_pod(host: &Host) -> String {
    host.kubectl("get pods -n hello -o jsonpath={.items[0].metadata.name}").run().ok()
}

#[test]
fn exec_passes_streams_and_exit_codes() {
    let host = served();
    let pod = first_pod(&host);
    let exec = |words: &str| host.kubectl(&format!("exec -n hello {words}"));
    let failed = exec(&format!("{pod} -- sh -c")).arg("echo out; echo err >&2; exit 3").run();
    assert_eq!(failed.stdout, "out\n");
    let stderr = failed.fails(3);
    assert!(stderr.contains("err\n") && stderr.contains("exit code 3"), "{stderr}");

    let echoed = exec(&format!("-i {pod} -- cat")).run_with("from standard input\n").ok();
    assert_eq!(echoed, "from standard input\n");

    let big = exec(&format!("{pod} -- head -c 3000000 /dev/zero")).run().ok();
    assert_eq!(big.len(), 3_000_000);

    let missing = exec(&format!("{pod} -- /no/such/program")).run();
    assert_ne!(missing.code, 0);
    let no_pod = exec("nobody -- true").run().fails(1);
    assert!(no_pod.contains(r#"pods "nobody" not found"#), "{no_pod}");

    let own = host.leme(&format!("exec -n hello {pod} ")).words("-- sh -c").arg("exit 4").run();
    own.fails(4);
}

#[test]
fn logs_follow() {
    let mut host = served();
    let pod = first_pod(&host);
    let log = host.kubectl(&format!("logs -n hello {pod}")).run().ok();
    assert!(log.starts_with("hello listens on port 8080\n"), "{log}");
    let tail = host.kubectl(&format!("logs -n hello {pod} --tail=1 --timestamps")).run().ok();
    assert_eq!(tail.lines().count(), 1);
    assert!(tail.starts_with("20") && tail.contains("T"), "{tail}");

    let mut follower = host.kubectl(&format!("logs -f -n hello {pod}")).spawn();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let address =
        host.kubectl(&format!("get pod -n hello {pod} -o jsonpath={{.status.podIP}}")).run().ok();
    host.get(&format!("http://{address}:8080/")).ok();
    assert!(lines.any(|line| line.unwrap() == "GET / 200"), "the request shows up in the log");
    follower.kill().unwrap();
    host.keep(follower);

    let wrong = host.kubectl(&format!("logs -n hello {pod} -c nobody")).run().fails(1);
    assert!(wrong.contains("container nobody is not valid for pod"), "{wrong}");
}

fn ready_replicas(host: &Host) -> String {
    host.kubectl("get rc hello -n hello -o jsonpath={.status.readyReplicas}").run().ok()
}

#[test]
fn scale_patch_wait_and_watch() {
    let mut host = served();
    let mut watcher = host.kubectl("get pods -n hello -w").spawn();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("NAME"));

    host.kubectl("scale rc hello -n hello --replicas=4").run().ok();
    until("four are ready", || ready_replicas(&host) == "4");
    host.kubectl("wait pods --all -n hello --timeout=60s --for=condition=Ready").run().ok();
    let mut ready = BTreeSet::new();
    for line in lines.by_ref().map(|line| line.unwrap()).filter(|line| line.contains("1/1")) {
        ready.extend(line.split_whitespace().next().map(str::to_owned));
        if ready.len() == 4 {
            break;
        }
    }
    assert_eq!(ready.len(), 4, "the watch ended early: {ready:?}");
    watcher.kill().unwrap();
    host.keep(watcher);

    let mut own = host.leme("get pods -n hello -w").spawn();
    let mut lines = BufReader::new(own.stdout.take().unwrap()).lines();
    let columns = lines.next().unwrap().unwrap().split_whitespace().count();
    for line in lines.take(3) {
        let line = line.unwrap();
        assert_eq!(
            line.split_whitespace().count(),
            columns,
            "every row has the first one's columns: {line}"
        );
    }
    own.kill().unwrap();
    host.keep(own);

    host.kubectl("label pod -n hello -l app=hello tier=front").run().ok();
    let labelled = host.kubectl("get pods -n hello -l tier=front -o name").run().ok();
    assert_eq!(labelled.lines().count(), 4);
    let patch = r#"{"data":{"greeting":"Good morning"}}"#;
    host.kubectl("patch configmap hello -n hello --type=merge -p").arg(patch).run().ok();
    let json = r#"[{"op":"replace","path":"/data/motd","value":"Calm seas.\n"}]"#;
    host.kubectl("patch configmap hello -n hello --type=json -p").arg(json).run().ok();
    let data = host
        .kubectl("get configmap hello -n hello -o jsonpath={.data.greeting}{.data.motd}")
        .run()
        .ok();
    assert_eq!(data, "Good morningCalm seas.\n");
    let pod = first_pod(&host);
    until("the mounted file follows the ConfigMap", || {
        let file = host.kubectl(&format!("exec -n hello {pod} -- cat /etc/hello/motd")).run();
        file.stdout == "Calm seas.\n"
    });

    host.kubectl("delete pod -n hello").arg(&pod).run().ok();
    until("four are ready again", || ready_replicas(&host) == "4");
    let names = host.kubectl("get pods -n hello -o name").run().ok();
    assert!(!names.contains(&pod) && names.lines().count() == 4, "{names}");
}

#[test]
fn apply_edits_and_describes() {
    let host = served();
    let manifest = Host::manifest("hello.yaml");
    let unchanged = host.kubectl(&format!("apply -f {manifest}")).run().ok();
    assert!(
        unchanged.lines().all(|line| line.ends_with("unchanged") || line.ends_with("configured")),
        "{unchanged}"
    );
    // kubectl never says "unchanged" of a Secret with stringData: it cannot know.
    let again = host.kubectl(&format!("apply -f {manifest}")).run().ok();
    let others = again.lines().filter(|line| !line.starts_with("secret/"));
    assert!(
        others.clone().count() > 4 && others.clone().all(|line| line.ends_with("unchanged")),
        "{again}"
    );
    let own = host.leme(&format!("apply -f {manifest}")).run().ok();
    assert!(own.lines().all(|line| line.ends_with("unchanged")), "{own}");

    let described = host.kubectl("describe rc hello -n hello").run().ok();
    assert!(
        described.contains("3 current / 3 desired") && described.contains("SuccessfulCreate"),
        "{described}"
    );
    let pod = host.kubectl(&format!("describe pod -n hello {}", first_pod(&host))).run().ok();
    assert!(
        pod.contains("Successfully assigned hello/") && pod.contains("Started container hello"),
        "{pod}"
    );
    let explained = host.kubectl("explain pod.spec.containers.image").run().ok();
    // Of each version of kubectl with its own blanks; up to 1.26 by version 2 of the document, then by version 3.
    assert!(explained.contains("image <string>"), "{explained}");
    let resources = host.kubectl("api-resources").run().ok();
    for word in [
        "pods",
        "deploymentconfigs",
        "buildconfigs",
        "imagestreams",
        "routes",
        "endpointslices",
        "leases",
    ] {
        assert!(resources.contains(word), "{word} in {resources}");
    }
    let version = host.kubectl("version").run().ok();
    let server = version.lines().find(|line| line.starts_with("Server Version: ")).unwrap();
    assert!(server.contains("v1.36"), "{version}");
    let nodes = host.kubectl("describe nodes").run().ok();
    assert!(nodes.contains("KubeletReady") && nodes.contains("Allocated resources"), "{nodes}");
}

#[test]
fn what_is_wrong_with_a_manifest_is_said_exactly() {
    let host = Host::new();
    host.up("--no-node").ok();
    let apply = |yaml: &str| host.kubectl("apply -f -").run_with(yaml).fails(1);

    let unknown = apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndate: {x: y}\n");
    assert!(unknown.contains(r#"unknown field "date""#), "{unknown}");
    let kind = apply("apiVersion: v1\nkind: Cat\nmetadata: {name: a}\n");
    assert!(kind.contains(r#"no matches for kind "Cat" in version "v1""#), "{kind}");
    let name = apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ../b}\n");
    assert!(
        name.contains(r#"Invalid value: "../b""#) || name.contains("may not contain '/'"),
        "{name}"
    );
    let pod = apply("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: []}\n");
    assert!(pod.contains("spec.containers: Required value"), "{pod}");

    let immutable = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fixed}\nimmutable: true\ndata: {a: VALUE}\n";
    host.kubectl("apply -f -").run_with(immutable).ok();
    let refused = apply(&immutable.replace("VALUE", "other"));
    assert!(
        refused.contains("data: Forbidden: field is immutable when `immutable` is set"),
        "{refused}"
    );

    let two = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\napiVersion: v1\nkind: Cat\nmetadata: {name: b}\n";
    let own = host.leme("apply -f -").run_with(two).fails(1);
    assert!(own.contains(r#"standard input, document 2: no matches for kind "Cat""#), "{own}");
    host.kubectl("get configmap first").run().fails(1);

    let big = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: big}}\ndata: {{a: {}}}\n",
        "x".repeat(3_200_000)
    );
    let big = host.leme("apply -f -").run_with(&big).fails(1);
    assert!(big.contains("RequestEntityTooLarge"), "{big}");
    let deep = host.leme("apply -f -").run_with(&"[".repeat(100_000)).fails(1);
    assert!(deep.lines().count() == 1 && deep.starts_with("leme: standard input: "), "{deep}");
}
