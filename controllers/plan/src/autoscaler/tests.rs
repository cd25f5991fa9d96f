//! What an autoscaler does to its target, and what it says of it.

use serde_json::from_value;

use super::*;

const NOW: &str = "2026-01-01T01:00:00.5Z";

/// An autoscaler of a Deployment of pods that request 100m each, through several looks.
struct Run {
    spec: Value,
    status: Value,
    replicas: i32,
    pods: Result<usize, NoPods>,
    used: Result<Value, String>,
    failure: Option<Failure>,
    uptime: u64,
    memory: Memory,
}

fn cpu() -> Value {
    json!([{"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 80}}}])
}

/// What each of some pods uses.
fn using(milli: i64, count: usize) -> Value {
    let pod = |index: usize| {
        json!({ "metadata": { "name": format!("p{index}") }, "timestamp": "2026-01-01T01:00:00Z", "window": "15s",
            "containers": [{ "name": "c", "usage": { "cpu": format!("{milli}m"), "memory": "1Mi" } }] })
    };
    json!({ "items": (0..count).map(pod).collect::<Vec<Value>>() })
}

fn pod(index: usize) -> Arc<Pod> {
    let pod = json!({
        "metadata": { "name": format!("p{index}") },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "100m" } } }] },
        "status": { "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] },
    });
    Arc::new(from_value(pod).unwrap())
}

impl Run {
    /// Between 2 and 10 replicas, with so many of them, each of which uses so much.
    fn new(metrics: Value, replicas: i32, milli: i64) -> Run {
        let count = usize::try_from(replicas).unwrap();
        Run {
            spec: json!({"minReplicas": 2, "maxReplicas": 10, "metrics": metrics,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
            status: json!({"desiredReplicas": 0}),
            replicas,
            pods: Ok(count),
            used: Ok(using(milli, count)),
            failure: None,
            uptime: 1000,
            memory: Memory::default(),
        }
    }

    fn plan(&mut self) -> Plan {
        let scaler = json!({
            "metadata": {"name": "h", "namespace": "n", "uid": "h"},
            "spec": self.spec, "status": self.status,
        });
        let scale = Scale {
            uid: "w".into(),
            resource_version: "7".into(),
            replicas: self.replicas,
            selector: "app=web".into(),
        };
        let pods = self.pods.clone().map(|count| (0..count).map(pod).collect());
        let target = Target { scale, pods, used: self.used.clone() };
        let seen = Observed {
            scaler: Some(Arc::new(from_value(scaler).unwrap())),
            target: Ok(target),
            failure: self.failure.as_ref(),
            uptime: Duration::from_secs(self.uptime),
        };
        let plan = plan(&seen, &mut self.memory, NOW.parse().unwrap());
        self.uptime += 15;
        plan
    }

    /// Carries a plan out.
    fn done(&mut self, plan: &Plan) {
        for action in &plan.actions {
            match action {
                Action::Patch { subresource: "status", patch, .. } => {
                    for (field, value) in patch["status"].as_object().unwrap() {
                        self.status[field] = value.clone();
                    }
                }
                Action::Patch { subresource: "scale", patch, .. } => {
                    self.replicas =
                        i32::try_from(patch["spec"]["replicas"].as_i64().unwrap()).unwrap();
                }
                _ => {}
            }
        }
    }
}

/// The conditions as `TYPE STATUS REASON`, and what the target is scaled to.
fn said(plan: &Plan) -> (Vec<String>, Value) {
    let (mut conditions, mut size) = (Vec::new(), Value::Null);
    for action in &plan.actions {
        match action {
            Action::Patch { subresource: "status", patch, .. } => {
                let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
                for one in patch["status"]["conditions"].as_array().unwrap() {
                    let parts = ["type", "status", "reason"].map(|field| text(one, field));
                    conditions.push(parts.join(" "));
                }
            }
            Action::Patch { subresource: "scale", patch, target, .. } => {
                let named =
                    (target.kind.as_str(), target.name.as_str(), target.resource_version.as_str());
                assert_eq!(named, ("Deployment", "web", "7"));
                size = patch["spec"]["replicas"].clone();
            }
            _ => {}
        }
    }
    (conditions, size)
}

/// Reasons and messages of the Events.
fn events(plan: &Plan) -> Vec<String> {
    let told = plan.actions.iter().filter_map(|action| match action {
        Action::Patch { told: Some(told), .. } => Some(format!("{}: {}", told.done.0, told.done.1)),
        _ => None,
    });
    let waits = plan.report.waiting.iter().map(|one| format!("{}: {}", one.reason, one.message));
    told.chain(waits).collect()
}

fn status(plan: &Plan) -> &Value {
    match plan.actions.last() {
        Some(Action::Patch { subresource: "status", patch, .. }) => &patch["status"],
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_target_is_held_between_its_bounds() {
    let check = |replicas: i32, size: Value, conditions: &[&str], event: &[&str]| {
        let plan = Run::new(cpu(), replicas, 80).plan();
        assert_eq!(said(&plan), (conditions.iter().map(|one| (*one).to_owned()).collect(), size));
        assert_eq!(events(&plan), event);
        assert_eq!(plan.requeue, Some(PERIOD));
    };
    let rescaled = "AbleToScale True SucceededRescale";
    check(
        1,
        json!(2),
        &[rescaled],
        &[
            "SuccessfulRescale: New size: 2; reason: Current number of replicas below Spec.MinReplicas",
        ],
    );
    check(
        12,
        json!(10),
        &[rescaled],
        &[
            "SuccessfulRescale: New size: 10; reason: Current number of replicas above Spec.MaxReplicas",
        ],
    );
    let got = "AbleToScale True SucceededGetScale";
    check(0, Value::Null, &[got, "ScalingActive False ScalingDisabled"], &[]);
    let ready = "AbleToScale True ReadyForNewScale";
    let found = "ScalingActive True ValidMetricFound";
    check(3, Value::Null, &[ready, found, "ScalingLimited False DesiredWithinRange"], &[]);
}

#[test]
fn a_target_that_is_not_to_be_had_is_told() {
    let scaler = json!({ "metadata": { "name": "h", "namespace": "n" }, "spec": Run::new(cpu(), 2, 1).spec });
    let (failure, uptime) = (None, Duration::ZERO);
    let target = Err("not found".to_owned());
    let scaler = Some(Arc::new(from_value(scaler).unwrap()));
    let seen = Observed { scaler, target, failure, uptime };
    let lost = plan(&seen, &mut Memory::default(), NOW.parse().unwrap());
    assert_eq!(said(&lost).0, ["AbleToScale False FailedGetScale"]);
    assert_eq!(events(&lost), ["FailedGetScale: not found"]);
}

#[test]
fn what_is_used_decides_how_many_there_are() {
    let mut run = Run::new(cpu(), 3, 160);
    let up = run.plan();
    let conditions = ["AbleToScale True SucceededRescale", "ScalingActive True ValidMetricFound"];
    assert_eq!(said(&up).0[..2], conditions);
    assert_eq!(said(&up).0[2], "ScalingLimited False DesiredWithinRange");
    let name = "cpu resource utilization (percentage of request)";
    assert_eq!(
        events(&up),
        [format!("SuccessfulRescale: New size: 6; reason: {name} above target")]
    );
    let shown = json!([{ "type": "Resource", "resource": { "name": "cpu",
        "current": { "averageUtilization": 160, "averageValue": "160m" } } }]);
    assert_eq!(status(&up)["currentMetrics"], shown);
    assert_eq!(status(&up)["lastScaleTime"], "2026-01-01T01:00:00Z");
    assert_eq!(
        (&status(&up)["currentReplicas"], &status(&up)["desiredReplicas"]),
        (&json!(3), &json!(6))
    );
    run.done(&up);

    // It shrinks only once nothing of late has asked for more.
    (run.pods, run.used) = (Ok(6), Ok(using(10, 6)));
    let held = run.plan();
    assert_eq!(said(&held).1, Value::Null);
    assert_eq!(said(&held).0[0], "AbleToScale True ScaleDownStabilized");
    run.done(&held);
    run.uptime += 300;
    let down = run.plan();
    assert_eq!(events(&down), ["SuccessfulRescale: New size: 2; reason: All metrics below target"]);
    assert_eq!(said(&down).0[2], "ScalingLimited True TooFewReplicas");
}

#[test]
fn of_several_metrics_the_one_counts_that_asks_for_most() {
    let container = json!({"type": "ContainerResource", "containerResource": {"name": "memory", "container": "c",
        "target": {"type": "AverageValue", "averageValue": "512Ki"}}});
    let both = json!([cpu()[0], container]);
    let plan = Run::new(both, 3, 80).plan();
    assert_eq!(
        events(&plan),
        ["SuccessfulRescale: New size: 6; reason: memory resource above target"]
    );
    assert_eq!(
        status(&plan)["currentMetrics"][1]["containerResource"],
        json!({ "name": "memory", "container": "c", "current": { "averageValue": "1048576" } })
    );
    // One that says nothing keeps the target from shrinking, not from growing.
    let pods = json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "1"}}});
    let up = Run::new(json!([pods, cpu()[0]]), 3, 160).plan();
    assert_eq!(said(&up).1, json!(6));
    assert_eq!(events(&up).len(), 2, "{up:?}");
    let still = Run::new(json!([pods, cpu()[0]]), 3, 10).plan();
    assert_eq!(
        said(&still),
        (
            vec![
                "AbleToScale True SucceededGetScale".to_owned(),
                "ScalingActive False FailedGetPodsMetric".to_owned()
            ],
            Value::Null
        )
    );
    assert_eq!(
        status(&still)["currentMetrics"][1]["resource"]["current"]["averageUtilization"],
        10
    );
}

#[test]
fn tolerance_is_the_behaviours() {
    let check = |milli: i64, tolerance: Value, size: Value| {
        let mut run = Run::new(cpu(), 4, milli);
        run.spec["behavior"] =
            json!({ "scaleUp": tolerance, "scaleDown": { "stabilizationWindowSeconds": 0 } });
        assert_eq!(said(&run.plan()).1, size, "{milli} {tolerance}");
    };
    check(87, json!({}), Value::Null);
    check(87, json!({ "tolerance": "0.05" }), json!(5));
    check(100, json!({}), json!(5));
    check(100, json!({ "tolerance": "300m" }), Value::Null);
    check(60, json!({ "tolerance": "1" }), json!(3));
}

#[test]
fn each_metric_that_says_nothing_is_told_with_its_reason() {
    let check = |metric: Value,
                 used: Result<Value, String>,
                 reason: &str,
                 what: &str,
                 message: &str| {
        let mut run = Run { used, ..Run::new(json!([metric]), 2, 1) };
        let plan = run.plan();
        let whole = match what {
            "" => message.to_owned(),
            what => format!("failed to get {what} metric value: {message}"),
        };
        let all = format!("invalid metrics (1 invalid out of 1), first error is: {whole}");
        let told = [format!("{reason}: {message}"), format!("FailedComputeMetricsReplicas: {all}")];
        assert_eq!(events(&plan), told);
        assert_eq!(said(&plan).0[1], format!("ScalingActive False {reason}"));
        let shown = &status(&plan)["conditions"][1]["message"];
        assert_eq!(*shown, format!("the HPA was unable to compute the replica count: {message}"));
    };
    let utilization = "failed to get cpu utilization";
    let lead = "unable to get metrics for resource cpu";
    let refused = Err("the server is currently unable to handle the request".to_owned());
    check(
        cpu()[0].clone(),
        refused,
        "FailedGetResourceMetric",
        "cpu resource",
        &format!(
            "{utilization}: {lead}: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request"
        ),
    );
    check(
        cpu()[0].clone(),
        Ok(json!({ "items": [] })),
        "FailedGetResourceMetric",
        "cpu resource",
        &format!("{utilization}: {lead}: no metrics returned from resource metrics API"),
    );
    let container = json!({"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "d",
        "target": {"type": "AverageValue", "averageValue": "1"}}});
    check(
        container,
        Ok(using(1, 1)),
        "FailedGetContainerResourceMetric",
        "d container",
        &format!(
            "failed to get cpu usage: {lead}: failed to get container metrics: container d not present in metrics for pod n/p0"
        ),
    );
    let custom = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
    let nothing = || Ok(Value::Null);
    check(
        json!({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue"}}}),
        nothing(),
        "FailedGetPodsMetric",
        "pods",
        &format!("unable to get metric hits: {custom}"),
    );
    let object = |target: Value| {
        json!({"type": "Object", "object": {"metric": {"name": "hits"}, "target": target,
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "web"}}})
    };
    let of = format!("unable to get metric hits: Service on n web/{custom}");
    check(
        object(json!({"type": "Value", "value": "1"})),
        nothing(),
        "FailedGetObjectMetric",
        "object",
        &of,
    );
    check(
        object(json!({"type": "AverageValue", "averageValue": "1"})),
        nothing(),
        "FailedGetObjectMetric",
        "object",
        &format!("failed to get hits object metric: {of}"),
    );
    let external = |selector: Value, target: Value| {
        json!({"type": "External", "external": {
        "metric": {"name": "queue", "selector": selector}, "target": target}})
    };
    let why = "unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)";
    check(
        external(Value::Null, json!({"type": "Value", "value": "1"})),
        nothing(),
        "FailedGetExternalMetric",
        "queue external",
        &format!(
            "failed to get external metric queue: unable to get external metric n/queue/nil: {why}"
        ),
    );
    check(
        external(
            json!({"matchLabels": {"a": "b"}}),
            json!({"type": "AverageValue", "averageValue": "1"}),
        ),
        nothing(),
        "FailedGetExternalMetric",
        "queue external",
        &format!(
            "failed to get queue external metric: unable to get external metric n/queue/&LabelSelector{{MatchLabels:map[string]string{{a: b,}},MatchExpressions:[]LabelSelectorRequirement{{}},}}: {why}"
        ),
    );
    check(
        json!({"type": "X"}),
        nothing(),
        "InvalidMetricSourceType",
        "",
        "unknown metric source type \"X\"",
    );
}

#[test]
fn pods_that_cannot_be_told_are_said() {
    let check = |pods: NoPods, reason: &str, event: &str| {
        let plan = Run { pods: Err(pods), ..Run::new(cpu(), 2, 1) }.plan();
        assert_eq!(said(&plan).0[1], format!("ScalingActive False {reason}"));
        let (_, why) = event.split_once(": ").unwrap();
        assert_eq!(
            events(&plan),
            [event.to_owned(), format!("FailedComputeMetricsReplicas: {why}")]
        );
    };
    check(NoPods::Unselected, "InvalidSelector", "SelectorRequired: selector is required");
    check(
        NoPods::Unreadable("x".into()),
        "InvalidSelector",
        "InvalidSelector: couldn't convert selector into a corresponding internal selector object: x",
    );
    check(
        NoPods::Shared(vec!["n/h".into(), "n/i".into()]),
        "AmbiguousSelector",
        "AmbiguousSelector: pods by selector app=web are controlled by multiple HPAs: [n/h n/i]",
    );
}

#[test]
fn a_change_that_is_refused_is_told_and_tried_again_later() {
    let mut run = Run::new(cpu(), 1, 80);
    let asked = run.plan();
    assert_eq!(said(&asked).1, json!(2));
    let Action::Patch { told: Some(told), .. } = &asked.actions[0] else { panic!("{asked:?}") };
    let why = "Current number of replicas below Spec.MinReplicas";
    let refused = format!("New size: 2; reason: {why}; error: {{error}}");
    assert_eq!((told.failed.0, &*told.failed.1), ("FailedRescale", &*refused));
    run.uptime -= 15;
    run.failure = Some(Failure { reason: String::new(), message: "no".to_owned() });
    let told = run.plan();
    assert_eq!(said(&told), (vec!["AbleToScale False FailedUpdateScale".to_owned()], Value::Null));
    assert_eq!(events(&told), [] as [&str; 0], "it was told when it was refused");
    run.done(&told);
    (run.failure, run.uptime) = (None, run.uptime - 15);
    assert_eq!(run.plan().actions, [], "it rests");
    assert_eq!(said(&run.plan()).1, json!(2));
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let mut run = Run::new(cpu(), 3, 80);
    let first = run.plan();
    run.done(&first);
    assert_eq!(run.status["conditions"][0]["lastTransitionTime"], "2026-01-01T01:00:00Z");
    assert_eq!(run.plan().actions, []);
}

#[test]
fn metrics_are_asked_for_only_where_they_count() {
    let check = |metrics: Value, replicas: i32, wanted: bool| {
        let spec: HorizontalPodAutoscalerSpec = from_value(Run::new(metrics, 0, 0).spec).unwrap();
        assert_eq!(wants_usage(&spec, replicas), wanted, "{replicas}");
    };
    check(cpu(), 2, true);
    check(cpu(), 10, true);
    check(cpu(), 0, false);
    check(cpu(), 1, false);
    check(cpu(), 11, false);
    check(
        json!([{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}}]),
        2,
        false,
    );
}

/// Red when a DeploymentConfig has no pods: its scale says the selector as a map, and as a text beside it.
#[test]
fn every_scale_says_whose_pods_it_counts() {
    let check = |status: Value, expected: &str| {
        assert_eq!(Scale::of(&json!({ "status": status })).selector, expected);
    };
    check(json!({"selector": "app=a"}), "app=a");
    check(json!({"selector": {"app": "a", "b": "c"}, "targetSelector": "app=a,b=c"}), "app=a,b=c");
    check(json!({"selector": {"app": "a", "b": "c"}}), "app=a,b=c");
    check(json!({}), "");
}
