//! What pods use, as their node tells it, and Deployments that are scaled by it.

use std::time::{Duration, Instant};

use leme_live::{Host, until};

/// Pods that have something to do while a file holds something; what they ask for is little, so that one that works is too busy.
const WEB: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: leme/sample:latest
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "while :; do test -s /tmp/busy || sleep 0.2; done"]
        resources: {requests: {cpu: 50m}, limits: {cpu: 200m}}
      - name: idle
        image: leme/sample:latest
        imagePullPolicy: IfNotPresent
        command: [sleep, "6543"]
        resources: {requests: {cpu: 10m}}
"#;

/// Red when nobody measures pods, when the figures do not reach the autoscaler, or when it does not act on them.
#[test]
fn a_deployment_grows_under_load_and_shrinks_without() {
    let host = Host::new();
    host.load_sample();
    host.up("").ok();
    host.kubectl("apply -f -").run_with(WEB).ok();
    host.kubectl("rollout status deploy/web --timeout=60s").run().ok();
    until("kubectl top tells of the pod", || {
        host.kubectl("top pods --no-headers").run().ok().starts_with("web-")
    });
    let containers = host.kubectl("top pods -A --containers --sort-by=cpu --no-headers").run().ok();
    let mut names: Vec<_> =
        containers.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", "idle"], "{containers}");
    let nodes = host.kubectl("top nodes --no-headers").run().ok();
    assert!(nodes.contains('%') && !nodes.contains("unknown"), "{nodes}");
    let node = nodes.split_whitespace().next().unwrap_or_default();
    let raw = |path: &str| {
        host.kubectl("get --raw").arg(format!("/api/v1/nodes/{node}/proxy/{path}")).run().ok()
    };
    assert!(raw("stats/summary").contains("usageNanoCores"));
    assert!(raw("metrics/resource").contains("container_cpu_usage_seconds_total{container=\"c\""));

    host.kubectl("autoscale deploy/web --min=1 --max=3 --cpu-percent=60").run().ok();
    let at_once = r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":0}}}}"#;
    host.kubectl("patch hpa web -p").arg(at_once).run().ok();
    let pod = host.kubectl("get pods -o name").run().ok();
    let work = |script: &str| {
        host.kubectl(&format!("exec {pod} -c c -- sh -c")).arg(script).run().ok();
    };
    work("echo much > /tmp/busy");
    let show = |what: &str, path: &str| {
        host.kubectl(&format!("get {what} -o")).arg(format!("jsonpath={{{path}}}")).run().ok()
    };
    // It is looked at every 15 seconds, and a pod that has just started is not judged yet.
    let replicas = |count: &str| {
        let ready = || show("deploy web", ".status.readyReplicas");
        let deadline = Instant::now() + Duration::from_secs(240);
        while ready() != count {
            let hpa = || show("hpa web", ".status");
            assert!(Instant::now() < deadline, "{count} replicas: {}", hpa());
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    replicas("3");
    let conditions = show("hpa web", ".status.conditions[*].message");
    let counted = "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)";
    assert!(conditions.contains(counted), "{conditions}");

    work(": > /tmp/busy");
    replicas("1");
    let events = show("events", ".items[*].message");
    for reason in [
        "New size: 3; reason: cpu resource utilization (percentage of request) above target",
        "New size: 1; reason: All metrics below target",
    ] {
        assert!(events.contains(reason), "{reason}: {events}");
    }
}
