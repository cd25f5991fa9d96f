//! `kubectl debug` of a pod that runs: a container is added to it, sees what it shall see, and goes with it.

use leme_live::{Finished, Host, until};
use serde_json::json;

/// `kubectl debug` with these words about streams, which adds a container to the pod and speaks to it. An older one speaks of
/// a kind that is gone: the container is put, and attached to.
fn debug(
    host: &Host,
    name: &str,
    target: Option<&str>,
    streams: &str,
    command: &str,
    input: &str,
) -> Finished {
    if host.kubectl_minor() >= 27 {
        let target = target.map(|target| format!("--target={target}")).unwrap_or_default();
        return host
            .kubectl(&format!("debug {streams} p -c {name} {target} --image=leme/sample:latest"))
            .words("--image-pull-policy=IfNotPresent --profile=general --quiet -- sh -c")
            .arg(command)
            .run_with(input);
    }
    let (stdin, tty) = (streams.contains('i'), streams.contains('t'));
    let mut added = json!({
        "name": name, "image": "leme/sample:latest", "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", command], "stdin": stdin, "stdinOnce": stdin, "tty": tty,
    });
    if let Some(target) = target {
        added["targetContainerName"] = target.into();
    }
    let put = host.put_part("p", "ephemeralcontainers", |pod| {
        let mut all = pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
        all.push(added);
        pod["spec"]["ephemeralContainers"] = all.into();
    });
    if streams.is_empty() || put.code != 0 {
        return put;
    }
    let running = format!(
        "jsonpath={{.status.ephemeralContainerStatuses[?(@.name==\"{name}\")].state.running}}"
    );
    until("it runs", || !host.kubectl("get pod p -o").arg(&running).run().ok().is_empty());
    host.kubectl(&format!("attach {streams} p -c {name}")).run_with(input)
}

/// Red when `pods/ephemeralcontainers` is not served, or when nothing is run of what it takes in.
#[test]
fn a_debugger_sees_its_target_and_leaves_nothing_behind() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let image = "--image=leme/sample:latest --image-pull-policy=IfNotPresent";
    host.kubectl(&format!("run p --restart=Never {image} --command -- sleep 6543")).run().ok();
    host.kubectl("wait pod/p --for=condition=Ready --timeout=60s").run().ok();
    let show =
        |path: &str| host.kubectl("get pod p -o").arg(format!("jsonpath={{{path}}}")).run().ok();
    let uid = show(".metadata.uid");

    // Attached, with what is typed: the processes of the target. What is written before kubectl listens is in the log only.
    let command = "read word; ps; echo said $word";
    let said = debug(&host, "seeing", Some("p"), "-i", command, "hello\n").ok();
    assert!(said.contains("sleep 6543") && said.contains("said hello"), "{said}");
    // Without a target: its own alone. What it wrote is kept.
    debug(&host, "alone", None, "", "ps; sleep 6544", "").ok();
    let state = ".status.ephemeralContainerStatuses[?(@.name==\"alone\")].state";
    until("it runs", || show(state).contains("running"));
    until("it wrote", || host.kubectl("logs p -c alone").run().ok().contains("sleep 6544"));
    let log = host.kubectl("logs p -c alone").run().ok();
    assert!(!log.contains("sleep 6543"), "{log}");
    let inside = host.kubectl("exec p -c alone -- sh -c").arg("echo inside; ps").run().ok();
    assert!(inside.contains("inside") && inside.contains("sleep 6544"), "{inside}");
    // With a terminal.
    let command = "read word; test -t 0 && test -t 1 && ps";
    let terminal = debug(&host, "terminal", Some("p"), "-it", command, "hello\n");
    assert!(terminal.stdout.contains("sleep 6543"), "{} {}", terminal.stdout, terminal.stderr);

    let ended = ".status.ephemeralContainerStatuses[?(@.name==\"seeing\")].state.terminated.reason";
    until("its end is told", || show(ended) == "Completed");
    assert_eq!(show(".status.phase"), "Running");
    assert_eq!(show(".status.containerStatuses[0].restartCount"), "0");
    let (now, seen) = (show(".metadata.generation"), show(".status.observedGeneration"));
    assert_eq!((now.as_str(), seen.as_str()), ("4", "4"));

    let refused = debug(&host, "bad", Some("none"), "", "true", "");
    assert!(refused.fails(1).contains("targetContainerName: Not found: \"none\""));

    let cgroups = host.cgroups_of_pod(&uid);
    assert!(!cgroups.is_empty());
    host.kubectl("delete pod p --grace-period=1").run().ok();
    until("its cgroups are gone", || host.cgroups_of_pod(&uid).is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&uid)).collect();
    assert!(left.is_empty(), "{left:?}");
    host.leme("down").run().ok();
    assert_eq!(host.leftovers(), Vec::<String>::new());
}

/// Red when the node does not say what its containers were given: the server refuses to resize what runs; or when nobody
/// says that nothing comes of it.
#[test]
fn a_resize_that_the_node_does_not_carry_out_is_said_to_be_infeasible() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"restartPolicy":"Never","containers":[
        {"name":"c","image":"leme/sample:latest","imagePullPolicy":"IfNotPresent","command":["sleep","6545"],
         "resources":{"requests":{"cpu":"10m"},"limits":{"cpu":"100m"}}}]}}"#;
    host.kubectl("create -f -").run_with(pod).ok();
    host.kubectl("wait pod/p --for=condition=Ready --timeout=60s").run().ok();
    let resize = |cpu: &str| {
        let limits = |pod: &mut serde_json::Value| {
            pod["spec"]["containers"][0]["resources"]["limits"]["cpu"] = cpu.into();
        };
        host.put_part("p", "resize", limits).ok()
    };
    resize("200m");
    host.kubectl("wait pod/p --for=condition=PodResizePending --timeout=60s").run().ok();
    let show =
        |path: &str| host.kubectl("get pod p -o").arg(format!("jsonpath={{{path}}}")).run().ok();
    let of =
        |field: &str| show(&format!(".status.conditions[?(@.type==\"PodResizePending\")].{field}"));
    assert_eq!((of("reason").as_str(), of("observedGeneration").as_str()), ("Infeasible", "2"));
    assert!(of("message").contains("this node does not resize what runs"), "{}", of("message"));
    assert_eq!(show(".spec.containers[0].resources.limits.cpu"), "200m");
    assert_eq!(show(".status.containerStatuses[0].resources.limits.cpu"), "100m");
    resize("100m");
    until("nothing is to be resized", || of("reason").is_empty());
}

/// Red when the pod's restart policy alone decides: the pod fails with the code that its container is to start again for.
#[test]
fn a_container_starts_again_by_rules_of_its_own() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    let pod = |name: &str, action: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"restartPolicy":"Never",
            "volumes":[{{"name":"v","emptyDir":{{}}}}],"containers":[
            {{"name":"c","image":"leme/sample:latest","imagePullPolicy":"IfNotPresent","restartPolicy":"Never",
             "restartPolicyRules":[{{"action":"{action}","exitCodes":{{"operator":"In","values":[42]}}}}],
             "command":["sh","-c","test -e /v/ran || {{ touch /v/ran; exit 42; }}"],
             "volumeMounts":[{{"name":"v","mountPath":"/v"}}]}}]}}}}"#
        )
    };
    let show = |name: &str, path: &str| {
        host.kubectl(&format!("get pod {name} -o")).arg(format!("jsonpath={{{path}}}")).run().ok()
    };
    for (name, action) in [("one", "Restart"), ("all", "RestartAllContainers")] {
        host.kubectl("create -f -").run_with(&pod(name, action)).ok();
        until("the pod has ended", || {
            matches!(show(name, ".status.phase").as_str(), "Succeeded" | "Failed")
        });
    }
    assert_eq!(show("one", ".status.phase"), "Succeeded");
    let of = |field: &str| show("one", &format!(".status.containerStatuses[0].{field}"));
    assert_eq!(of("restartCount"), "1");
    assert_eq!(of("lastState.terminated.exitCode"), "42");
    assert_eq!(show("all", ".status.phase"), "Failed");
    let told = show("all", ".status.message");
    assert!(told.contains("spec.containers[0].restartPolicyRules[0].action"), "{told}");
}
